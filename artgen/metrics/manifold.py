"""Precision, recall, density and coverage: fidelity and variety as two numbers, from balls around nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
ROWS = 512


@dataclass(frozen=True)
class Manifold:
    """``precision``: share of samples inside the real manifold; ``recall``: share of real items inside that of the samples.

    ``density`` counts how many real balls hold a sample (it may exceed 1), ``coverage`` how many real balls hold any sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def manifold(real: NDArray[np.floating], samples: NDArray[np.floating], *, k: int = 3, k_density: int = 5) -> Manifold:
    """Measure ``samples`` [M, D] against ``real`` [N, D]; NaN where a side has no k-th neighbour.

    Memory is bounded: 512 rows of the distance matrix at a time.

    Source: Kynkäänniemi et al. 2019 (precision, recall; k = 3), Naeem et al. 2020 (density, coverage; k = 5).
    """
    x, y = np.asarray(real, np.float64), np.asarray(samples, np.float64)
    precision = _share_inside(y, x, radii(x, k))
    recall = _share_inside(x, y, radii(y, k))
    density, coverage = _density_coverage(x, y, k_density)
    return Manifold(precision, recall, density, coverage)


def radii(x: NDArray[np.floating], k: int) -> Matrix:
    """The squared distance of each vector to its k-th nearest other one [N]; empty when there are not that many."""
    if len(x) <= k:
        return np.zeros(0)
    found = []
    for start, block in squared_distances(x, x):
        rows = np.arange(len(block))
        block[rows, start + rows] = np.inf  # not its own neighbour
        found.append(np.partition(block, k - 1, axis=1)[:, k - 1])
    return np.concatenate(found)


def squared_distances(a: NDArray[np.floating], b: NDArray[np.floating]) -> Iterator[tuple[int, Matrix]]:
    """Blocks of rows of the matrix of squared distances, each with the number of its first row."""
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    centre = y.mean(0) if len(y) else 0.0
    x, y = x - centre, y - centre  # small norms keep the digits that the subtraction below needs
    norms = (y * y).sum(1)
    for start in range(0, len(x), ROWS):
        rows = x[start : start + ROWS]
        yield start, np.clip((rows * rows).sum(1)[:, None] + norms - 2 * rows @ y.T, 0, None)


def _share_inside(points: Matrix, centres: Matrix, squared_radii: Matrix) -> float:
    if not len(squared_radii) or not len(points):
        return float("nan")
    inside = sum(int((block <= squared_radii).any(1).sum()) for _, block in squared_distances(points, centres))
    return inside / len(points)


def _density_coverage(x: Matrix, y: Matrix, k: int) -> tuple[float, float]:
    squared_radii = radii(x, k)
    if not len(squared_radii) or not len(y):
        return float("nan"), float("nan")
    hits = np.zeros(len(x), np.int64)
    for _, block in squared_distances(y, x):
        hits += (block <= squared_radii).sum(0)
    return float(hits.sum()) / (k * len(y)), float((hits > 0).mean())
