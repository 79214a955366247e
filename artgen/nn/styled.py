"""Normalise, scale, shift and rectify in one differentiable step: the part of a styled convolution that is not the convolution.

Left to automatic differentiation this part costs as much as the convolutions: its graph has a dozen passes over the pixels.
Written by hand it has five forwards and eight backwards, and as few kernels to launch on a GPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional as F

SLOPE = 0.2
_SMALL = 1e-6

# B batch, C channels, ... places (H, W of pictures, T, H, W of clips)


def styled(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    """``leaky_relu(pixel_norm(x) * (1 + gain) + shift)``; it can be differentiated once.

    Shapes: x [B, C, ...], gain and shift [B, C], or of clips [B, C, T] -> [B, C, ...]. Pixel norm divides every place by the root
    of its mean square over the channels. Source: Karras et al. 2018, "Progressive Growing of GANs", section 4.2.
    """
    places = (..., *(None,) * (x.ndim - gain.ndim))
    result: Tensor = _Styled.apply(x, gain[places].to(x.dtype), shift[places].to(x.dtype))  # type: ignore[no-untyped-call]
    return result


class _Styled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
        # float32 at least: the mean of squares decides the scale of everything after it.
        length = torch.linalg.vector_norm(x, dim=1, keepdim=True, dtype=torch.promote_types(x.dtype, torch.float32))
        scale = length.square_().div_(x.shape[1]).add_(_SMALL).rsqrt_().to(x.dtype)
        normed = x * scale
        result = F.leaky_relu_(torch.addcmul(shift, normed, gain + 1), SLOPE)
        ctx.save_for_backward(normed, scale, gain, result)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normed, scale, gain, result = ctx.saved_tensors  # type: ignore[attr-defined]
        slope = torch.ops.aten.leaky_relu_backward(slope, result, SLOPE, True)
        places = tuple(place for place in range(2, slope.ndim) if gain.shape[place] == 1)
        weighed = slope * normed
        along = (weighed * (gain + 1)).mean(1, keepdim=True)
        down = torch.addcmul(slope * (gain + 1), normed, along, value=-1).mul_(scale)
        return down, weighed.sum(places, keepdim=True), slope.sum(places, keepdim=True)
