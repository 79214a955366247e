"""The networks of ``image.gan``."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from artgen.backends.image.gan import presets
from artgen.backends.image.gan.backend import Gan
from artgen.backends.image.gan.model import Generator
from artgen.backends.image.gan.sample import closed_spline
from artgen.nn.batches import padded
from artgen.nn.convolution import doubled
from artgen.nn.critic import Discriminator


def test_growing_in_one_pass_equals_nearest_upsampling_then_convolution() -> None:
    for form in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 5, 6, 6).contiguous(memory_format=form)
        weight = torch.randn(3, 5, 3, 3)
        expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
        torch.testing.assert_close(doubled(x, weight), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("resolution", presets.RESOLUTIONS)
@pytest.mark.parametrize("preset", ["brief", "sketch", "standard", "compact", "large"])
def test_every_preset_makes_every_size(preset: str, resolution: int) -> None:
    with torch.device("meta"):
        network = presets.network(preset, resolution, classes=[2, 3], progressive=True)
        modules = Gan().build(network)
        labels = torch.zeros(2, dtype=torch.long)
        picture = modules["generator"](torch.zeros(2, 64), labels)
        assert picture.shape == (2, 3, resolution, resolution)
        assert modules["generator"].resolution == resolution
        assert modules["discriminator"](picture, labels).shape == (2,)


def test_a_growing_network_fades_from_one_stage_to_the_next() -> None:
    torch.manual_seed(0)
    generator = Generator([8, 8, 8, 8], progressive=True)
    critic = Discriminator([8, 8, 8], progressive=True)
    latents = torch.randn(2, 64)
    small, large = generator(latents, level=2), generator(latents, level=3)
    assert small.shape[-1] == 16
    torch.testing.assert_close(generator(latents, level=3, fade=0.0), F.interpolate(small, scale_factor=2))
    torch.testing.assert_close(generator(latents, level=3, fade=1.0), large)
    faded = critic(large, fade=0.0)
    assert faded.shape == (2,)
    assert not torch.allclose(faded, critic(large))


def test_a_spline_passes_its_keys_and_is_periodic() -> None:
    keys = torch.randn(4, 3)
    torch.testing.assert_close(closed_spline(keys, torch.arange(4.0)), keys)
    torch.testing.assert_close(closed_spline(keys, torch.tensor([3.999999])), keys[:1], rtol=1e-3, atol=1e-3)


def test_padding_repeats_the_last_row() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert padded(rows).shape == (8, 2)
    assert torch.equal(padded(rows)[3:], rows[-1:].expand(5, 2))
