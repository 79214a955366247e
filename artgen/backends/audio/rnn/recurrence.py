"""The recurrence of a minimal gated unit, ``h[t] = keep[t] * h[t - 1] + add[t]``, for all steps at once, with its gradient.

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


def scan(gate: Tensor, new: Tensor, first: Tensor) -> Tensor:
    """The states [B, T, E] after every step: ``h[t] = h[t - 1] + sigmoid(gate[t]) * (new[t] - h[t - 1])``.

    ``gate`` and ``new`` are [B, T, E], ``first`` [B, E] is the state before them. In 32 bits whatever the number format around it:
    a product of hundreds of factors near 1 has no digits to spare.
    """
    states: Tensor = _Scan.apply(gate.float(), new.float(), first.float())  # type: ignore[no-untyped-call]
    return states


class _Scan(torch.autograd.Function):
    """Gates, scan and their gradient in one: what lies between would be written to memory and read again."""

    @staticmethod
    def forward(context: Any, gate: Tensor, new: Tensor, first: Tensor) -> Tensor:
        keep = torch.sigmoid(-gate)
        states = _forwards(keep, new, first)
        context.save_for_backward(keep, new, states, first)
        return states

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keep, new, states, first = context.saved_tensors
        slope = _backwards(keep, gradient)  # by the state after each step
        before = torch.cat([first[:, None], states[:, :-1]], 1)
        by_new = torch.addcmul(slope, slope, keep, value=-1)
        by_gate = before.sub_(new).mul_(by_new).mul_(keep).neg_()
        return by_gate, by_new, slope[:, 0] * keep[:, 0]


def _sequential(device: torch.device) -> bool:
    """Whether a step after the other is fastest: where an operation costs its memory and not its launch."""
    return device.type == "cpu"


def _forwards(keep: Tensor, new: Tensor, first: Tensor) -> Tensor:
    if not _sequential(keep.device):
        return _chunked(keep, torch.addcmul(new, new, keep, value=-1), first)
    made = torch.empty_like(new)
    state = first
    for kept, one, out in zip(keep.unbind(1), new.unbind(1), made.unbind(1), strict=True):
        state = torch.lerp(one, state, kept, out=out)
    return made


def _backwards(keep: Tensor, gradient: Tensor) -> Tensor:
    """The gradient by the state after each step: it lives on in every later state."""
    if not _sequential(keep.device):
        later = torch.cat([keep[:, 1:], torch.zeros_like(keep[:, :1])], 1)
        return _chunked(later.flip(1), gradient.flip(1), torch.zeros_like(gradient[:, 0])).flip(1)
    made = torch.empty_like(gradient)
    slope = torch.zeros_like(gradient[:, 0])
    kept = slope
    rows = zip(keep.unbind(1)[::-1], gradient.unbind(1)[::-1], made.unbind(1)[::-1], strict=True)
    for after, one, out in rows:
        slope = torch.addcmul(one, kept, slope, out=out)
        kept = after
    return made


def _chunked(keep: Tensor, add: Tensor, first: Tensor) -> Tensor:
    """``h[t] = keep[t] * h[t - 1] + add[t]`` in chunks of the root of the length: inside all at once, then from one to the next."""
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
