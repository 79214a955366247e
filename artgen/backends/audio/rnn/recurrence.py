"""The recurrence of a minimal gated unit, ``h[t] = keep[t] * h[t - 1] + add[t]``, for all steps at once, with its own gradient.

Neither gate looks at the state, so the states of a whole sequence are a scan: on a CPU one pass over memory, on a GPU two levels of
chunks, whose number of steps is the square root of the length.

Source: Feng et al. 2024, "Were RNNs all we needed?", sections 3.1 and 3.2; the gradient is the same scan backwards.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# B sequences, T steps, E entries of a state.


def scan(keep: Tensor, add: Tensor, first: Tensor) -> Tensor:
    """The states [B, T, E] after every step, for ``keep`` and ``add`` [B, T, E] and the state ``first`` [B, E] before them.

    In 32 bits whatever the number format around it: a product of hundreds of factors near 1 has no digits to spare.
    """
    states: Tensor = _Scan.apply(keep.float(), add.float(), first.float())  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, keep: Tensor, add: Tensor, first: Tensor) -> Tensor:
        states = _forwards(keep, add, first)
        context.save_for_backward(keep, states, first)
        return states

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keep, states, first = context.saved_tensors
        slope = _backwards(keep, gradient)
        before = torch.cat([first[:, None], states[:, :-1]], 1)
        return slope * before, slope, slope[:, 0] * keep[:, 0]


def _forwards(keep: Tensor, add: Tensor, first: Tensor) -> Tensor:
    if keep.device.type == "cpu":
        made = torch.empty_like(add)
        state = first
        for kept, added, out in zip(keep.unbind(1), add.unbind(1), made.unbind(1), strict=True):
            state = torch.addcmul(added, kept, state, out=out)
        return made
    return _chunked(keep, add, first)


def _backwards(keep: Tensor, gradient: Tensor) -> Tensor:
    """The gradient by ``add``: what a step adds lives on in every later state."""
    if keep.device.type == "cpu":
        made = torch.empty_like(gradient)
        slope = torch.zeros_like(gradient[:, 0])
        kept = slope
        rows = zip(keep.unbind(1)[::-1], gradient.unbind(1)[::-1], made.unbind(1)[::-1], strict=True)
        for after, one, out in rows:
            slope = torch.addcmul(one, kept, slope, out=out)
            kept = after
        return made
    later = torch.cat([keep[:, 1:], torch.zeros_like(keep[:, :1])], 1)
    return _chunked(later.flip(1), gradient.flip(1), torch.zeros_like(gradient[:, 0])).flip(1)


def _chunked(keep: Tensor, add: Tensor, first: Tensor) -> Tensor:
    """The scan in chunks of about the square root of its length: inside all of them at once, then from one to the next."""
    length = keep.shape[1]
    size = max(1, math.isqrt(length))
    over = -length % size
    if over:
        keep = torch.cat([keep, keep.new_ones(len(keep), over, keep.shape[2])], 1)
        add = torch.cat([add, add.new_zeros(len(add), over, add.shape[2])], 1)
    keeps, made = _chunks(keep, size), _chunks(add, size).clone()  # [B, n, size, E]
    whole = keeps.clone()
    for step in range(1, size):
        made[:, :, step].addcmul_(keeps[:, :, step], made[:, :, step - 1])
        whole[:, :, step].mul_(whole[:, :, step - 1])
    starts = torch.empty_like(made[:, :, 0])  # [B, n, E]
    state = first
    for chunk in range(made.shape[1]):
        starts[:, chunk] = state
        state = torch.addcmul(made[:, chunk, -1], whole[:, chunk, -1], state)
    made.addcmul_(whole, starts[:, :, None])
    states: Tensor = made.flatten(1, 2)[:, :length].contiguous()
    return states


def _chunks(steps: Tensor, size: int) -> Tensor:
    """[B, n * size, E] -> [B, n, size, E]."""
    return steps.reshape(len(steps), -1, size, steps.shape[2])
