"""Schedules: pure functions of how much of the plan is done. There is no state to save."""

from __future__ import annotations

import math


def cosine(fraction: float, start: float, end: float) -> float:
    """From ``start`` to ``end`` along half a cosine while ``fraction`` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, fraction))))


def warm_up(seen: int, items: int) -> float:
    """A factor that rises in a straight line to 1 over the first ``items``."""
    return min(1.0, (seen + 1) / max(1, items))
