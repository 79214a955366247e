from __future__ import annotations

import numpy as np
import pytest
import torch
from figures import figures

from artgen.metrics import swd


def test_equal_sets_are_at_zero() -> None:
    images = figures(20)[0]
    value, levels = swd.sliced_wasserstein(images, images.copy(), patches=16, projections=64)
    assert value == 0
    assert levels == {32: 0, 16: 0}


def test_it_is_symmetric_seeded_and_the_mean_of_its_levels() -> None:
    one, two = figures(20)[0], figures(20, 100)[0]
    value, levels = swd.sliced_wasserstein(one, two, patches=16, projections=64)
    assert swd.sliced_wasserstein(two, one, patches=16, projections=64)[0] == pytest.approx(value, rel=1e-6)
    assert swd.sliced_wasserstein(one, two, patches=16, projections=64)[0] == value
    assert swd.sliced_wasserstein(one, two, patches=16, projections=64, seed=1)[0] != value
    assert value == pytest.approx(np.mean(list(levels.values())))
    assert value > 0


def test_noise_disturbs_the_finest_level_most_and_more_noise_more() -> None:
    images = figures(40)[0]
    random = np.random.default_rng(0)
    noisy = [np.clip(images + random.normal(0, strength, images.shape), 0, 255).astype(np.uint8) for strength in (10, 40)]
    mild, strong = (swd.sliced_wasserstein(images, other, patches=32, projections=64)[1] for other in noisy)
    assert strong[32] > mild[32] > 0
    assert strong[32] > strong[16]


def test_the_first_pictures_are_compared_where_one_set_has_more() -> None:
    one, two = figures(20)[0], figures(12, 100)[0]
    assert swd.sliced_wasserstein(one, two, patches=8, projections=32) == swd.sliced_wasserstein(
        one[:12], two, patches=8, projections=32
    )


def test_sets_that_do_not_match_are_refused() -> None:
    one, two = swd.descriptors(figures(3)[0], patches=4), swd.descriptors(figures(4)[0], patches=4)
    with pytest.raises(ValueError, match="as many pictures of the same size"):
        swd.distances(one, two)


@pytest.mark.parametrize(
    ("size", "levels"), [((64, 64), [64, 32, 16]), ((32, 32), [32, 16]), ((24, 24), [24]), ((8, 8), [8]), ((33, 64), [33, 17])]
)
def test_levels_stop_at_16_pixels(size: tuple[int, int], levels: list[int]) -> None:
    assert [height for height, _ in swd.level_sizes(*size)] == levels


@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 40), (5, 6)])
def test_every_size_can_be_measured(height: int, width: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), np.uint8)
    value, _ = swd.sliced_wasserstein(images, images[::-1], patches=8, projections=16)
    assert np.isfinite(value)


def test_the_pyramid_adds_up_to_the_picture() -> None:
    x = torch.from_numpy(figures(2)[0]).permute(0, 3, 1, 2).float()
    fine, coarse = swd._laplacian(x, 2)
    assert coarse.shape[-2:] == (16, 16)
    torch.testing.assert_close(fine + swd._grown(coarse, x.shape[-2:]), x)


def test_a_flat_picture_has_no_detail() -> None:
    fine, coarse = swd._laplacian(torch.full((1, 3, 32, 32), 100.0), 2)
    assert fine.abs().max() < 1e-3
    torch.testing.assert_close(coarse, torch.full((1, 3, 16, 16), 100.0))


def test_pictures_of_one_colour_do_not_break_it() -> None:
    flat = np.full((4, 32, 32, 3), 90, np.uint8)
    assert np.isfinite(swd.sliced_wasserstein(flat, figures(4)[0], patches=8, projections=16)[0])


def test_patches_are_cut_from_the_picture_they_belong_to() -> None:
    band = np.arange(2 * 3 * 9 * 10, dtype=np.float32).reshape(2, 3, 9, 10)
    found = swd._patches(band, 5, np.random.default_rng(3))
    random = np.random.default_rng(3)
    top, left = random.integers(0, 3, (2, 5)), random.integers(0, 4, (2, 5))
    for number in range(2):
        for place in range(5):
            y, x = top[number, place], left[number, place]
            np.testing.assert_array_equal(found[number * 5 + place], band[number, :, y : y + 7, x : x + 7].ravel())


def test_descriptors_have_mean_zero_and_deviation_one_per_channel() -> None:
    for level in swd.descriptors(figures(20)[0], patches=16).levels:
        split = level.reshape(len(level), 3, 49)
        np.testing.assert_allclose(split.mean((0, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(split.std((0, 2)), 1, atol=1e-4)


def test_chunks_do_not_change_the_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    images = figures(10)[0]
    whole = swd.descriptors(images, patches=4)
    monkeypatch.setattr(swd, "CHUNK", 10)
    again = swd.descriptors(images, patches=4)
    np.testing.assert_array_equal(whole.levels[0], again.levels[0])


def test_no_pictures_are_not_a_number() -> None:
    assert np.isnan(swd.sliced_wasserstein(figures(2)[0][:0], figures(2)[0])[0])
