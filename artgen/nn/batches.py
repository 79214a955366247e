"""Batches of one size: then how many works are asked for cannot change the bits of any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

MICRO_BATCH = 8
"""Networks always run on this many works at once, the last ones padded."""


def split(values: Sequence[int], size: int = MICRO_BATCH) -> Iterator[tuple[int, ...]]:
    """``values`` in tuples of ``size``."""
    for start in range(0, len(values), size):
        yield tuple(values[start : start + size])


def padded(tensor: Tensor, size: int = MICRO_BATCH) -> Tensor:
    """``tensor`` [B, ...] repeated at its end up to ``size`` rows."""
    missing = size - len(tensor)
    return tensor if missing <= 0 else torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])])
