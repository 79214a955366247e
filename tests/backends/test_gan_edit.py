"""Edits of a found picture of ``image.gan``: mixing, directions, masks, classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_edits import SIZE, STYLE, apart, classed, corner, generated, model, modified, sampler, save  # noqa: F401 - fixtures
from PIL import Image as Pictures

from artgen.backends.image.gan.backend import Gan
from artgen.backends.image.gan.directions import direction, directions
from artgen.backends.image.gan.modify import stages
from artgen.backends.image.gan.project import project
from artgen.backends.image.gan.sample import Sampler
from artgen.media.frame import Pixels, read_mask, spread
from artgen.model import Model
from artgen.nn.manifold import Manifold, sample
from artgen.nn.pixels import to_signal
from tests.conftest import picture

# ruff: noqa: F811 - fixtures are imported and then named as arguments


# Mixing


def test_mix_takes_the_stages_that_layers_names(model: Model, save: Callable[..., str]) -> None:
    own, other = generated(model, 5), generated(model, 6)
    path = save(other)
    settings: dict[str, Any] = {"mix": path, "detail": 0.0, "iterations": 20}
    whole = modified(model, own, layers="1-4", **settings)
    assert np.array_equal(whole, modified(model, other, strength=0.0, detail=0.0, iterations=20))
    works = {layers: modified(model, own, layers=layers, **settings) for layers in ("1", "2-3", "4")}
    assert len({work.tobytes() for work in works.values()}) == 3
    assert np.array_equal(modified(model, own, **settings), modified(model, own, layers="3-4", **settings))
    assert all(apart(work, whole) > 1 for work in works.values())


def test_stages_are_counted_from_1_and_the_default_is_the_finer_half() -> None:
    assert (stages(None, 4), stages(None, 5)) == (slice(2, 4), slice(2, 5))
    assert (stages("2", 4), stages("2-4", 4)) == (slice(1, 2), slice(1, 4))


# Directions


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_directions_are_orthonormal_signed_and_in_order(sampler: Sampler, method: Any) -> None:
    manifold = Manifold.of(sampler.generator.mapping, None)
    found = directions(sampler.generator, manifold, method)
    assert found.shape == (STYLE, STYLE)
    assert torch.allclose(found @ found.T, torch.eye(STYLE, dtype=torch.float64), atol=1e-9)
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    assert torch.equal(found, directions(sampler.generator, Manifold.of(sampler.generator.mapping, None), method))
    if method == "pca":
        lengths = torch.stack([direction(sampler.generator, manifold, number + 1, method).norm() for number in range(STYLE)])
        assert torch.allclose(lengths.double(), (manifold.styles.double() @ found.T).std(0), rtol=1e-3)
        assert torch.equal(lengths, lengths.sort(descending=True)[0])


def test_sefa_orders_by_what_the_weights_do(sampler: Sampler) -> None:
    generator = sampler.generator
    found = directions(generator, Manifold.of(generator.mapping, None), "sefa").float()
    readers = [generator.root, *(stage.enter.affine for stage in generator.stages)]
    readers += [stage.refine.affine for stage in generator.stages if stage.refine is not None]
    moved = sum(((reader.weight / reader.weight.norm(dim=1, keepdim=True)) @ found.T).square().sum(0) for reader in readers)
    assert torch.equal(moved, moved.sort(descending=True)[0])


@pytest.mark.parametrize("method", ["sefa", "pca"])
def test_a_direction_moves_both_ways_and_amount_0_stays(model: Model, method: str) -> None:
    own = picture(1, 48, 40)
    assert np.array_equal(modified(model, own, direction=2, amount=0.0, directions=method), own)
    there, back = (modified(model, own, direction=2, amount=amount, directions=method) for amount in (2.0, -2.0))
    assert np.array_equal(there, modified(model, own, direction=2, directions=method))
    assert apart(there, own) > 0.5 < apart(back, own)
    assert apart(there, back) > max(apart(there, own), apart(back, own))
    assert not np.array_equal(there, modified(model, own, direction=3, directions=method))


def test_the_two_kinds_of_direction_differ_and_sefa_is_the_default(model: Model) -> None:
    own = picture(1, SIZE, SIZE)
    assert np.array_equal(modified(model, own, direction=1), modified(model, own, direction=1, directions="sefa"))
    assert not np.array_equal(modified(model, own, direction=1), modified(model, own, direction=1, directions="pca"))


def test_coordinates_are_whitened_and_lead_back(sampler: Sampler) -> None:
    manifold = Manifold.of(sampler.generator.mapping, None)
    fresh = sample(sampler.generator.mapping, 2000, None, seed=7)
    coordinates = manifold.coordinates(fresh)
    assert torch.allclose(manifold.at(coordinates), fresh, atol=1e-4)
    assert 0.5 < float(coordinates[:, -8:].std(0).mean()) < 1.5


def test_outside_the_mask_every_pixel_stays(model: Model, corner: str) -> None:
    own = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    work = modified(model, own, mask=corner)
    assert np.array_equal(work[16:], own[16:])
    assert np.array_equal(work[:, 12:], own[:, 12:])
    assert apart(work[:16, :12], own[:16, :12]) > 5
    assert (work[:16, :12] != own[:16, :12]).any(2).mean() > 0.9


def test_what_the_mask_covers_does_not_matter(model: Model, corner: str) -> None:
    own = picture(1)
    blotted = own.copy()
    blotted[:15, :11] = (255, 0, 255)  # not the last pixels before the border, which the model sees mixed with what is kept
    one, other = (modified(model, pixels, mask=corner, iterations=40) for pixels in (own, blotted))
    assert apart(one[:16, :12], other[:16, :12]) < apart(own[:16, :12], blotted[:16, :12]) / 4


def test_the_repainted_part_meets_its_border(model: Model, corner: str) -> None:
    ground = np.full((40, 40, 3), (40, 90, 200), np.uint8)
    work = modified(model, ground, mask=corner, strength=1.0, seed=9)
    raw = np.asarray(Pictures.fromarray(generated(model, 9)).resize((40, 40)))

    def step(pixels: Pixels) -> float:
        """Across the lower border, in the mean along it: the texture of the model does not count."""
        return float(np.abs(pixels[14:16, :11].mean((0, 1)) - ground[16, :11].mean(0)).max())

    assert step(work) < step(raw) / 4, f"a step of {step(work):.1f} grey levels, {step(raw):.1f} without matching"


def test_grey_parts_of_a_mask_blend(model: Model, save: Callable[..., str]) -> None:
    own = picture(1)
    works = {}
    for value in (85, 170):
        mask = np.zeros((40, 40), np.uint8)
        mask[:16, :12] = value
        works[value] = modified(model, own, 9, mask=save(mask, f"{value}.png"), strength=1.0)
        assert np.array_equal(works[value][16:], own[16:])
    assert 0 < apart(works[85], own) < apart(works[170], own)


def test_the_seed_and_strength_change_what_is_painted(model: Model, corner: str) -> None:
    own = picture(1)
    works = [modified(model, own, seed, mask=corner, **more) for seed, more in ((0, {}), (1, {}), (0, {"strength": 0.8}))]
    assert len({work.tobytes() for work in works}) == 3


def test_a_mask_of_another_size_is_stretched(tmp_path: Path, save: Callable[..., str]) -> None:
    mask = read_mask(save(np.array([[255, 0], [0, 102]], np.uint8), "mask.png"), 6, 10)
    assert mask.shape == (6, 10)
    assert (mask[:3, :5] == 1).all()
    assert (mask[:3, 5:] == 0).all()
    assert mask[4, 7] == pytest.approx(0.4)


def test_a_surface_goes_on_smoothly_where_it_is_unknown() -> None:
    known = np.ones((32, 32), np.float32)
    known[10:20, 8:24] = 0
    values = np.where(known > 0, np.linspace(0, 100, 32, dtype=np.float32)[None], np.float32(-999))
    carried = spread(values, known)
    assert np.array_equal(carried[known > 0], values[known > 0])
    assert carried.min(where=known == 0, initial=999) > 10
    assert np.abs(np.diff(carried, axis=1)).max() < 25
    assert (spread(np.full((8, 8), 7, np.float32), np.eye(8, dtype=np.float32)) == 7).all()
    assert (spread(np.ones((4, 4), np.float32), np.zeros((4, 4), np.float32)) == 0).all()


# Classes


def test_the_class_is_found_out(classed: Model) -> None:
    for number, name in enumerate(classed.config.classes):
        own = generated(classed, 11, class_=name)
        found = project(Sampler.of(classed, Gan()), to_signal(torch.from_numpy(own)[None]), seed=0, label=None, iterations=1)
        assert found.label == number


def test_the_class_can_be_given(classed: Model) -> None:
    own = generated(classed, 11, class_="kind 2")
    assert np.array_equal(modified(classed, own, 9, strength=1.0), generated(classed, 9, class_="kind 2"))
    assert np.array_equal(modified(classed, own, 9, strength=1.0, class_="kind 1"), generated(classed, 9, class_="1"))
