"""Normalise, scale, shift and rectify in one differentiable step: the part of a styled convolution that is not the convolution.

Left to automatic differentiation this part costs as much as the convolutions: its graph has a dozen passes over the pixels.
Written by hand it has five forwards and eight backwards, and as few kernels to launch on a GPU. In training on a CPU, where the
convolutions run on matrix units, even those take a third of a step; there machine code makes one pass each way (:mod:`.kernel`).
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

SLOPE = 0.2
_SMALL = 1e-6
_WHOLE = {torch.bfloat16: torch.int16, torch.float32: torch.int32}
_ALONE = 1 << 17
"""Numbers that one thread is done with before another has woken."""

# B batch, C channels, ... places (H, W of pictures, T, H, W of clips), G groups of places that share a style, P places of one


def styled(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """``leaky_relu(pixel_norm(x) * (1 + gain) + shift)``; it can be differentiated once.

    Shapes: x [B, C, ...], gain and shift [B, C], or of clips [B, C, T] -> [B, C, ...]. Pixel norm divides every place by the root
    of its mean square over the channels. Source: Karras et al. 2018, "Progressive Growing of GANs", section 4.2.
    """
    result: Tensor
    if _compiles(x):
        result = _Compiled.apply(x, gain, shift)  # type: ignore[no-untyped-call]
    else:
        places = (..., *(None,) * (x.ndim - gain.ndim))
        result = _Styled.apply(x, gain[places].to(x.dtype), shift[places].to(x.dtype))  # type: ignore[no-untyped-call]
    return result


_wanted = contextvars.ContextVar("compiled", default=False)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Inside, machine code does on CPUs what it can; for training, which is long enough to wait for it."""
    before = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(before)


def usable() -> bool:
    """Whether machine code can be made here; the first call makes it, or loads what was made before."""
    return _kernel() is not None


@cache
def _kernel() -> Any:
    try:
        from artgen.nn import kernel

        kernel.ready()
    except Exception:  # a Numba that does not fit NumPy or the system says so in many ways
        return None
    return kernel


def _compiles(x: Tensor) -> bool:
    if not _wanted.get() or x.device.type != "cpu" or x.dtype not in _WHOLE or x.is_contiguous():
        return False
    return x.movedim(1, -1).is_contiguous() and usable()


class _Styled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        # float32 at least: the mean of squares decides the scale of everything after it.
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        scale = length.square_().div_(x.shape[1]).add_(_SMALL).rsqrt_().to(x.dtype)
        normed = x * scale
        # Into the layout of the pixels: left to itself the sum takes that of its first term, and all after it walk strided memory.
        result = F.leaky_relu_(torch.addcmul(shift, normed, gain + 1, out=torch.empty_like(normed)), SLOPE)
        ctx.save_for_backward(normed, scale, gain, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normed, scale, gain, result = ctx.saved_tensors  # type: ignore[attr-defined]
        slope = torch.ops.aten.leaky_relu_backward(_laid(slope, result), result, SLOPE, True)
        places = tuple(place for place in range(2, slope.ndim) if gain.shape[place] == 1)
        weighed = slope * normed
        along = (weighed * (gain + 1)).mean(1, keepdim=True)
        down = torch.addcmul(slope * (gain + 1), normed, along, value=-1).mul_(scale)
        return down, weighed.sum(places, keepdim=True), slope.sum(places, keepdim=True)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        own, offset = _by_group(gain) + 1, _by_group(shift)
        result = torch.empty_like(x)
        scale = torch.empty(len(own), x[0, 0].numel() * len(x) // len(own))
        arrays = _rows(x, scale), own.numpy(), offset.numpy(), _rows(result, scale), scale.numpy()
        _shared(_kernel().forward, x, *arrays, np.float32(SLOPE), np.float32(_SMALL))
        ctx.save_for_backward(x, scale, own, result)
        ctx.kinds = gain.dtype, shift.dtype, gain.ndim, len(x)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, scale, own, result = ctx.saved_tensors
        down, gains, shifts = torch.empty_like(x), torch.empty_like(own), torch.empty_like(own)
        arrays = _rows(_laid(slope, result), scale), _rows(x, scale), scale.numpy(), own.numpy(), _rows(result, scale)
        results = _rows(down, scale), gains.numpy(), shifts.numpy()
        _shared(_kernel().backward, x, *arrays, *results, np.float32(SLOPE))
        gain_dtype, shift_dtype, dimensions, batch = ctx.kinds
        if dimensions == 3:
            gains, shifts = (each.view(batch, -1, each.shape[1]).transpose(1, 2) for each in (gains, shifts))
        return down, gains.to(gain_dtype), shifts.to(shift_dtype)


def _laid(tensor: Tensor, like: Tensor) -> Tensor:
    """``tensor`` in the memory layout and number format of ``like``."""
    if tensor.stride() == like.stride() and tensor.dtype == like.dtype:
        return tensor
    return torch.empty_like(like).copy_(tensor)


def _by_group(style: Tensor) -> Tensor:
    """Gains or shifts [B, C] or [B, C, T] as float32 [G, C]."""
    style = style.detach().float()
    return (style if style.ndim == 2 else style.transpose(1, 2).flatten(0, 1)).contiguous()


def _rows(x: Tensor, scale: Tensor) -> Any:
    """The numbers of ``x``, whose channels lie beside each other, as an array [G, P, C] of whole numbers of as many bits."""
    return x.detach().movedim(1, -1).reshape(*scale.shape, x.shape[1]).view(_WHOLE[x.dtype]).numpy()


def _shared(work: Callable[..., None], x: Tensor, *arguments: Any) -> None:
    """Run ``work(*arguments, start, stop)`` for the groups of the first argument, on as many threads as torch uses."""
    groups = len(arguments[0])
    threads = 1 if x.numel() < _ALONE else min(torch.get_num_threads(), groups)
    edges = [groups * part // threads for part in range(threads + 1)]
    others = [_pool().submit(work, *arguments, start, stop) for start, stop in pairwise(edges[1:])]
    work(*arguments, edges[0], edges[1])
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="styled")
