"""Distances between two clouds of features: Fréchet (of Gaussians) and kernel (polynomial MMD).

Computed in float64: covariances of features are close to singular, and their square roots lose half of the digits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Mean [D] and covariance [D, D] of ``count`` feature vectors."""

    mean: Matrix
    covariance: Matrix
    count: int


def gaussian(features: NDArray[np.floating]) -> Gaussian:
    """The Gaussian with the mean and (unbiased) covariance of ``features`` [N, D]; NaN for fewer than two vectors."""
    x = np.asarray(features, np.float64)
    count, width = x.shape
    if count < 2:
        return Gaussian(np.full(width, np.nan), np.full((width, width), np.nan), count)
    mean = x.mean(0)
    centred = x - mean
    return Gaussian(mean, centred.T @ centred / (count - 1), count)


def frechet_distance(one: Gaussian, two: Gaussian) -> float:
    """The squared Wasserstein-2 distance of two Gaussians: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^½ C2 C1^½)^½).

    Symmetric products keep every eigenvalue real, so nothing is thrown away as with a general matrix square root.
    NaN where one of the two came from fewer than two vectors.

    Source: Dowson & Landau 1982; Heusel et al. 2017 use it on Inception features.
    """
    if one.count < 2 or two.count < 2:
        return float("nan")
    values, vectors = np.linalg.eigh(one.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = root @ two.covariance @ root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    gap = float(np.sum((one.mean - two.mean) ** 2))
    distance = gap + float(np.trace(one.covariance) + np.trace(two.covariance) - 2 * cross)
    return max(0.0, distance)  # rounding leaves about -1e-10 for equal clouds


def frechet(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    """:func:`frechet_distance` of two sets of features [N, D]."""
    return frechet_distance(gaussian(one), gaussian(two))


def kernel_distance(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    """The unbiased squared MMD under the kernel (x·y / D + 1)^3, times 1000; it may be slightly negative for equal clouds.

    All pairs are used, not random subsets. NaN for fewer than two vectors on a side.

    Source: Bińkowski et al. 2018, "Demystifying MMD GANs", section 4.
    """
    x, y = np.asarray(one, np.float64), np.asarray(two, np.float64)
    m, n = len(x), len(y)
    if m < 2 or n < 2:
        return float("nan")
    within_x = (_kernel_sum(x, x) - _kernel_diagonal(x)) / (m * (m - 1))
    within_y = (_kernel_sum(y, y) - _kernel_diagonal(y)) / (n * (n - 1))
    return 1000 * (within_x + within_y - 2 * _kernel_sum(x, y) / (m * n))


def _kernel_sum(x: Matrix, y: Matrix, rows: int = 1024) -> float:
    width = x.shape[1]
    return float(sum(((x[i : i + rows] @ y.T / width + 1) ** 3).sum() for i in range(0, len(x), rows)))


def _kernel_diagonal(x: Matrix) -> float:
    return float((((x * x).sum(1) / x.shape[1] + 1) ** 3).sum())
