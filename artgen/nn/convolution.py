"""Convolutions that the generators of pictures and of clips are made of."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.nn.styled import styled

# B batch, C channels, T frames, H height, W width, S style size


def bias(layer: nn.Conv2d | nn.Conv3d | nn.Linear) -> Tensor:
    """The bias of a layer that has one."""
    assert layer.bias is not None
    return layer.bias


class ClipConv(nn.Conv3d):
    """A convolution of clips whose gradients are right in bf16 on every CPU.

    Where the kernel spans three moments, there are two and a border on either side, they are convolved as one picture of twice
    the channels: the same sums, without the third of them that meets the border. The 3D kernel that oneDNN 3.10 takes there on CPUs
    with AVX-512 and bf16 returns weights' gradients that it never wrote (docs/log.md, 2026-11-28).
    Shapes: x [B, C_in, T, H, W] -> [B, C_out, T', H', W'], as of ``nn.Conv3d``.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if (x.shape[2], self.kernel_size[0], self.stride[0], self.padding[0]) != (2, 3, 1, 1):
            convolved: Tensor = super().forward(x)
            return convolved
        before, here, after = self.weight.unbind(2)
        both = torch.cat([torch.cat([here, after], 1), torch.cat([before, here], 1)])
        bias = None if self.bias is None else self.bias.repeat(2)
        paired = torch.cat([x[:, :, 0], x[:, :, 1]], 1)
        last = self.weight.is_contiguous(memory_format=torch.channels_last_3d) and not self.weight.is_contiguous()
        if last:
            paired, both = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (paired, both))
        y = F.conv2d(paired, both, bias, self.stride[1:], self.padding[1:])
        y = torch.stack(y.chunk(2, 1), 2)
        return y.contiguous(memory_format=torch.channels_last_3d) if last else y


class StyledConv(nn.Module):
    """A 3x3 convolution whose normalised output is scaled and shifted, channel by channel, by a style.

    With ``grow`` it doubles the size first.
    Shapes: x [B, C_in, H, W], style [B, S] -> [B, C_out, H, W] (or 2H, 2W).
    """

    def __init__(self, inputs: int, outputs: int, style: int, grow: bool = False) -> None:
        super().__init__()
        self.grow = grow
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.affine = nn.Linear(style, 2 * outputs)
        nn.init.kaiming_normal_(self.conv.weight, a=0.2)
        nn.init.normal_(self.affine.weight, std=0.5 / math.sqrt(style))
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Convolve, normalise every pixel over its channels, apply the style, rectify."""
        x = doubled(x, self.conv.weight) if self.grow else self.conv(x)
        return styled(x, *self.affine(style).chunk(2, 1))


def doubled(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest upsampling of height and width followed by a convolution, as one transposed one: 4/9 of the work, same result.

    Each of the four kinds of output pixel sees only 2x2 different inputs, so the 3x3 weights that meet the same input
    are added up first. A free 4x4 kernel would cost the same and draw a checkerboard.
    Shapes: x [B, C_in, H, W], weight [C_out, C_in, 3, 3] -> [B, C_out, 2H, 2W]; or of clips x [B, C_in, T, H, W],
    weight [C_out, C_in, 3, 3, 3] -> [B, C_out, T - 2, 2H, 2W], without a border in time.
    Source: Karras et al. 2018, "Progressive Growing of GANs", published code (fused upsampling).
    """
    # Transposed, and read from its end: a transposed convolution walks its kernel the other way.
    taps = weight.transpose(0, 1).flatten(-2)
    folded = taps @ _fold(taps.dtype, taps.device)
    kernel = folded.view(*folded.shape[:-1], 4, 4)
    if weight.ndim == 5:
        kernel = kernel.flip(2)
        if weight.is_contiguous(memory_format=torch.channels_last_3d):
            kernel = kernel.contiguous(memory_format=torch.channels_last_3d)
        return F.conv_transpose3d(x, kernel, stride=(1, 2, 2), padding=(2, 1, 1))
    if x.is_contiguous(memory_format=torch.channels_last):
        kernel = kernel.contiguous(memory_format=torch.channels_last)
    return F.conv_transpose2d(x, kernel, stride=2, padding=1)


@lru_cache(16)
def _fold(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The matrix [9, 16] that adds the taps of a 3x3 kernel up to those of the 4x4 kernel of :func:`doubled`.

    One product instead of shifted sums, whose gradients walk strided memory a dozen times: half the time of a small stage.
    """
    line = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]])
    return torch.kron(line, line).to(device, dtype)
