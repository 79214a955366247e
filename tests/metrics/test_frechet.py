from __future__ import annotations

import math

import numpy as np
import pytest

from artgen.metrics.frechet import Gaussian, frechet, frechet_distance, gaussian, kernel_distance


def cloud(count: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)


def test_distance_of_gaussians_that_share_axes_has_a_closed_form() -> None:
    one = Gaussian(np.array([0.0, 1.0, 2.0]), np.diag([1.0, 4.0, 9.0]), 10)
    two = Gaussian(np.array([3.0, 1.0, 0.0]), np.diag([4.0, 4.0, 1.0]), 10)
    expected = (9 + 0 + 4) + (1 - 2) ** 2 + 0 + (3 - 1) ** 2
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-12)


def test_distance_of_gaussians_with_turned_axes() -> None:
    a, b = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([[1.0, -0.5], [-0.5, 3.0]])
    product = a @ b
    # For a 2x2 matrix with positive eigenvalues tr(sqrt(P)) = sqrt(tr P + 2 sqrt(det P)).
    root = math.sqrt(np.trace(product) + 2 * math.sqrt(np.linalg.det(product)))
    expected = np.trace(a) + np.trace(b) - 2 * root
    found = frechet_distance(Gaussian(np.zeros(2), a, 9), Gaussian(np.zeros(2), b, 9))
    assert found == pytest.approx(expected, rel=1e-12)


def test_statistics_are_mean_and_unbiased_covariance() -> None:
    x = cloud(50, 4)
    found = gaussian(x)
    np.testing.assert_allclose(found.mean, x.mean(0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(found.covariance, np.cov(x.astype(np.float64), rowvar=False), rtol=1e-10)


def test_equal_clouds_are_at_zero_even_where_the_covariance_is_singular() -> None:
    x = cloud(20, 64)  # fewer vectors than dimensions
    assert frechet(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet(x, x + 1) == pytest.approx(64, rel=1e-5)


def test_distance_is_symmetric_and_grows_with_the_shift() -> None:
    x, y = cloud(300, 8), 1.5 * cloud(200, 8, 1)
    assert frechet(x, y) == pytest.approx(frechet(y, x), rel=1e-9)
    assert frechet(x, y) < frechet(x, y + 0.5) < frechet(x, y + 1)


def test_kernel_distance_equals_the_definition() -> None:
    x, y = cloud(7, 3).astype(np.float64), cloud(5, 3, 1).astype(np.float64) + 0.3

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    xx = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    yy = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    xy = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(1000 * (xx + yy - 2 * xy), rel=1e-10)


def test_kernel_distance_is_unbiased_whatever_the_number() -> None:
    few = [kernel_distance(cloud(20, 6, seed), cloud(20, 6, seed + 100)) for seed in range(200)]
    assert abs(np.mean(few)) < 4 * np.std(few) / math.sqrt(len(few))
    assert kernel_distance(cloud(200, 6), cloud(200, 6, 1) + 0.5) > 10 * np.std(few) / math.sqrt(10)


def test_kernel_sum_in_blocks_is_the_whole_sum() -> None:
    from artgen.metrics.frechet import _kernel_sum

    x = cloud(30, 4).astype(np.float64)
    assert _kernel_sum(x, x, rows=7) == pytest.approx(_kernel_sum(x, x, rows=1000), rel=1e-12)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_vectors_are_not_a_number(count: int) -> None:
    assert math.isnan(frechet(cloud(count, 4), cloud(9, 4)))
    assert math.isnan(frechet(cloud(9, 4), cloud(count, 4)))
    assert math.isnan(kernel_distance(cloud(count, 4), cloud(9, 4)))
