"""Schedules: pure functions of how much of the plan is done. There is no state to save."""

from __future__ import annotations

import math


def cosine(fraction: float, start: float, end: float) -> float:
    """From ``start`` to ``end`` along half a cosine while ``fraction`` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, fraction))))


def growth(fraction: float, first: int, last: int) -> tuple[int, float]:
    """The stage of networks that grow from ``first`` to ``last``, and how far in 0..1 it has replaced the one before.

    Every stage but the last gets an equal part of the first 60 percent.
    Source: Karras et al. 2018, "Progressive Growing of GANs", section 2.
    """
    if first >= last:
        return last, 1.0
    place = fraction / 0.6 * (last - first)
    level = min(last, first + int(place))
    inside = place - int(place) if level < last else min(1.0, (place - (last - first)) * 2)
    return level, 1.0 if level == first else min(1.0, max(0.05, inside * 2))


def penalty_of(side: int, reference: int) -> float:
    """How much heavier the gradient penalty on items of ``side`` pixels is than on those of ``reference``.

    Of a judge that sees as well at every size, the squared gradient falls with the number of pixels: the weight grows with it.
    Source: Karras et al. 2020, "Training generative adversarial networks with limited data", appendix C; the power is ours.
    """
    return float((side / reference) ** 1.5)


def warm_up(seen: int, items: int) -> float:
    """A factor that rises in a straight line to 1 over the first ``items``."""
    return min(1.0, (seen + 1) / max(1, items))
