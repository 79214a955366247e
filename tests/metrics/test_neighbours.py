from __future__ import annotations

import numpy as np
import pytest

from artgen.metrics.neighbours import GAP, Neighbours, closest_ratio, copy_ratios, nearest, sheet


def cloud(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 6))


def test_nearest_are_the_nearest_in_order() -> None:
    queries, items = cloud(12), cloud(30, 1)
    found = nearest(queries, items, 4)
    distances = np.linalg.norm(queries[:, None] - items[None], axis=-1)
    np.testing.assert_array_equal(found.indices, np.argsort(distances, axis=1)[:, :4])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :4])


def test_the_item_to_skip_is_skipped() -> None:
    items = cloud(10)
    found = nearest(items, items, 1, np.arange(10))
    assert (found.indices[:, 0] != np.arange(10)).all()
    assert (found.distances > 0).all()


def test_there_are_only_as_many_neighbours_as_items() -> None:
    assert nearest(cloud(2), cloud(3, 1), 5).indices.shape == (2, 3)
    assert nearest(cloud(2), cloud(2), 5, np.arange(2)).indices.shape == (2, 1)
    assert nearest(cloud(1), cloud(1), 5, np.arange(1)).indices.shape == (1, 0)


def test_copies_have_ratio_zero_and_new_works_about_one() -> None:
    real = cloud(300)
    assert copy_ratios(real[:20], real).max() < 1e-6
    assert np.median(copy_ratios(cloud(200, 1), real)) == pytest.approx(1, abs=0.25)


def test_the_ratio_is_the_one_that_the_docstring_says() -> None:
    line = np.array([[0.0], [4.0], [10.0]])
    assert copy_ratios(np.array([[1.0]]), line)[0] == pytest.approx(1 / 4)  # 1 to the first, which is 4 from the second
    assert copy_ratios(np.array([[9.0]]), line)[0] == pytest.approx(1 / 6)


def test_a_real_picture_as_sample_is_left_out_on_both_sides() -> None:
    line = np.array([[0.0], [1.0], [4.0]])
    own = np.array([0])
    # Without the first, the nearest is the second (1 away), whose nearest other but the first is 3 away.
    assert copy_ratios(line[:1], line, own)[0] == pytest.approx(1 / 3)


def test_one_in_ten_copied_is_seen() -> None:
    real, new = cloud(300), cloud(100, 1)
    mixed = np.concatenate([new[:90], real[:10]])
    assert closest_ratio(copy_ratios(mixed, real)) < 0.01 < 0.3 < closest_ratio(copy_ratios(new, real))


def test_real_against_real_is_like_new_against_real() -> None:
    real = cloud(400)
    floor = closest_ratio(copy_ratios(real, real, np.arange(400)))
    assert floor == pytest.approx(closest_ratio(copy_ratios(cloud(400, 1), real)), rel=0.25)


def test_a_picture_that_is_there_twice_does_not_divide_by_zero() -> None:
    real = np.concatenate([cloud(50), cloud(1)])
    assert np.isfinite(copy_ratios(cloud(50, 2), real)).all()
    assert np.isnan(copy_ratios(cloud(3, 2), np.zeros((5, 6)))).all()


def test_too_few_pictures_are_not_a_number() -> None:
    assert np.isnan(copy_ratios(cloud(4), cloud(2))).all()
    assert np.isnan(closest_ratio(np.zeros(0)))


def test_the_sheet_shows_each_sample_beside_its_neighbours() -> None:
    samples, training = np.full((2, 4, 4, 3), 10, np.uint8), np.stack([np.full((4, 4, 3), 50 * n, np.uint8) for n in range(4)])
    found = Neighbours(np.array([[2, 1], [3, 0]]), np.zeros((2, 2)))
    pixels = sheet(samples, training, found)
    assert pixels.shape == (2 * (4 + GAP), 4 + 4 * GAP + 2 * (4 + GAP), 3)
    first, second = 4 + 4 * GAP, 4 + 4 * GAP + 4 + GAP
    assert (pixels[:4, :4] == 10).all()
    assert (pixels[:4, first : first + 4] == 100).all()
    assert (pixels[:4, second : second + 4] == 50).all()
    assert (pixels[4 + GAP : 8 + GAP, first : first + 4] == 150).all()
    assert (pixels[4 : 4 + GAP] == 255).all()
