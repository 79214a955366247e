"""Measures between sets of solids, from how much two of them overlap (intersection over union). numpy alone.

Source of the three: Achlioptas et al. 2018, "Learning Representations and Generative Models for 3D Point Clouds", section 4
(coverage, minimum matching distance); Yang et al. 2019, "PointFlow", section 5 (nearest-neighbour accuracy).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Solids = NDArray[np.bool_]
"""Solids [N, R, R, R]."""


def overlaps(one: Solids, two: Solids) -> NDArray[np.float64]:
    """Intersection over union of every pair [N, M]; two empty solids overlap wholly."""
    a, b = (solids.reshape(len(solids), -1).astype(np.float32) for solids in (one, two))
    both = (a @ b.T).astype(np.float64)
    either = a.sum(1, dtype=np.float64)[:, None] + b.sum(1, dtype=np.float64) - both
    found: NDArray[np.float64] = np.divide(both, either, out=np.ones_like(both), where=either > 0)
    return found


def coverage(real: Solids, made: Solids) -> float:
    """The share of the real solids that are the nearest one to some made solid; NaN where a side is empty."""
    if not len(real) or not len(made):
        return float("nan")
    return len(np.unique(overlaps(made, real).argmax(1))) / len(real)


def matching(real: Solids, made: Solids) -> float:
    """The mean over the real solids of their overlap with the nearest made one; NaN where a side is empty."""
    return float(overlaps(real, made).max(1).mean()) if len(real) and len(made) else float("nan")


def one_nna(real: Solids, made: Solids) -> float:
    """How often a solid's nearest neighbour is of its own set, beyond chance: 0 where the sets cannot be told apart, to 0.5.

    NaN for fewer than two on a side.
    """
    if len(real) < 2 or len(made) < 2:
        return float("nan")
    whole = np.concatenate([real, made])
    near = overlaps(whole, whole)
    np.fill_diagonal(near, -1)
    own = np.arange(len(whole)) < len(real)
    return float(abs((own[near.argmax(1)] == own).mean() - 0.5))


def nearest(made: Solids, training: Solids) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The training solid nearest to each made one, and their overlap."""
    found = overlaps(made, training)
    return found.argmax(1), found.max(1)
