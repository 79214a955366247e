"""Is the model copying? The nearest training pictures of each sample, and how near they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artgen.metrics.arrays import Pixels
from artgen.metrics.manifold import squared_distances

CLOSEST = 0.05
"""The share of samples that the copy check looks at: copies among many new pictures do not move a median."""

Vectors = NDArray[np.floating]
"""Features [N, D]."""

NEAR_COPY = 0.2
"""A sample is called a near-copy when it is this much closer than the real pictures are to one another."""

GAP = 2


@dataclass(frozen=True, eq=False)
class Neighbours:
    """``indices`` int64 [N, k] of the nearest, nearest first, and their ``distances`` float64 [N, k]."""

    indices: NDArray[np.int64]
    distances: NDArray[np.float64]


def nearest(queries: Vectors, items: Vectors, k: int, skip: NDArray[np.int64] | None = None) -> Neighbours:
    """The ``k`` items nearest to each query (fewer where there are not as many); ``skip`` [N] names one item each to leave out."""
    k = min(k, len(items) - (skip is not None))
    indices, distances = np.zeros((len(queries), max(k, 0)), np.int64), np.zeros((len(queries), max(k, 0)))
    if k < 1:
        return Neighbours(indices, distances)
    for start, block in squared_distances(queries, items):
        rows = np.arange(len(block))
        if skip is not None:
            block[rows, skip[start : start + len(block)]] = np.inf
        best = np.argpartition(block, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(block, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        indices[start : start + len(block)] = best
        distances[start : start + len(block)] = np.sqrt(np.take_along_axis(block, best, 1))
    return Neighbours(indices, distances)


def copy_ratios(samples: Vectors, real: Vectors, own: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
    """For each sample: its distance to the nearest real picture over that picture's distance to its own nearest other one.

    Near 0: a copy; about 1: as new as the real pictures are to one another. ``own`` [N] says which real picture each
    sample is, when real pictures are tried as samples: it is left out on both sides. NaN with fewer than three real pictures.
    """
    if len(real) < 3 or not len(samples):
        return np.full(len(samples), np.nan)
    found = nearest(samples, real, 1, own)
    hit = found.indices[:, 0]
    others = nearest(real[hit], real, 2, hit)
    apart = others.distances[:, 0]
    if own is not None:  # the nearest other picture may be the one that is being tried
        apart = np.where(others.indices[:, 0] == own, others.distances[:, 1], apart)
    usual = np.median(apart)
    apart = np.where(apart > 0, apart, usual)  # the picture is there twice
    ratios: NDArray[np.float64] = np.divide(found.distances[:, 0], apart, out=np.full(len(samples), np.nan), where=apart > 0)
    return ratios


def closest_ratio(ratios: NDArray[np.float64]) -> float:
    """The ratio that the closest twentieth of the samples stays under."""
    return float(np.quantile(ratios, CLOSEST)) if len(ratios) and not np.isnan(ratios).any() else float("nan")


def sheet(samples: Pixels, training: Pixels, found: Neighbours) -> NDArray[np.uint8]:
    """A picture [H, W, 3]: in each row a sample, a gap, and its nearest training pictures, nearest first."""
    count, height, width, channels = samples.shape
    gap = 4 * GAP
    columns = found.indices.shape[1]
    rows = np.full((count, height + GAP, width + gap + columns * (width + GAP), channels), 255, np.uint8)
    rows[:, :height, :width] = samples
    for column in range(columns):
        left = width + gap + column * (width + GAP)
        rows[:, :height, left : left + width] = training[found.indices[:, column]]
    return rows.reshape(count * (height + GAP), -1, channels)
