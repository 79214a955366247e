"""Blocks of a causal Transformer: rotary positions, normalised queries and keys, squared ReLU, no biases.

Everything a block computes is two plain matrices for attention and two for the perceptron, so that a compiled kernel can
mirror it: ``x + out(attention(norm(x)))``, then ``x + down(relu(up(norm(x)))²)``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROTARY_BASE = 1024.0
EPSILON = 1e-5
ATTENTION_SCALE = 1.35
"""Times 1/sqrt(head size): normalised queries and keys have a fixed length, so attention may look a little closer."""


def norm(x: Tensor) -> Tensor:
    """``x`` with mean 0 and variance 1 over its last dimension (``epsilon`` 1e-5), without learned weights.

    Source: Ba et al. 2016, "Layer Normalization"; on CPUs one fused kernel, half the time of a root mean square by parts.
    """
    return F.layer_norm(x, x.shape[-1:], eps=EPSILON)


class _SquaredReLU(torch.autograd.Function):
    """max(x, 0)², which keeps one tensor for the way back instead of two."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = x.clamp(min=0)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return (gradients[0] * positive).mul_(2)


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)². Source: So et al. 2021, "Primer"."""
    result: Tensor = _SquaredReLU.apply(x)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return result


def rotary(positions: int, head: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Cosines and sines [positions, head / 4] of the rotation of the first half of every head.

    Angle of pair ``i`` at position ``t``: ``t * 1024^(-i / (head / 4))``; the second half of a head is not rotated.
    Source: Su et al. 2021, "RoFormer"; rotating half of each head as in GPT-NeoX.
    """
    pairs = head // 4
    rates = ROTARY_BASE ** (-torch.arange(pairs, dtype=torch.float64, device=device) / pairs)
    angles = torch.arange(positions, dtype=torch.float64, device=device)[:, None] * rates
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate ``x`` [..., T, head] by :func:`rotary`: pair ``i`` is entries ``i`` and ``i + head / 4``."""
    pairs = x.shape[-1] // 4
    first, second, rest = x.split([pairs, pairs, 2 * pairs], -1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine, rest], -1)


class Block(nn.Module):
    """Causal self-attention and a perceptron of four times the width, each added to what came in.

    ``mix`` holds two learned scalars: how much of the stream and how much of the first embedding the block starts from.
    The matrices that write to the stream begin at zero, so that a new block does nothing.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads or width // heads % 4:
            raise ValueError(f"a width of {width} does not split into {heads} heads of a multiple of 4")
        self.heads = heads
        self.dropout = dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.mix = nn.Parameter(torch.tensor([1.0, 0.0]))
        for layer in (self.qkv, self.up):
            nn.init.uniform_(layer.weight, -((3 / width) ** 0.5), (3 / width) ** 0.5)
        for layer in (self.out, self.down):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, first: Tensor, values: Tensor | None, cosine: Tensor, sine: Tensor) -> Tensor:
        """The stream [B, T, W] after this block; ``first`` is the first embedding, ``values`` [B, T, W] add to attention's."""
        x = self.mix[0] * x + self.mix[1] * first
        x = x + self._drop(self._attend(norm(x), values, cosine, sine))
        return x + self._drop(self.down(squared_relu(self.up(norm(x)))))

    def _attend(self, x: Tensor, values: Tensor | None, cosine: Tensor, sine: Tensor) -> Tensor:
        batch, length, width = x.shape
        head = width // self.heads
        query, key, value = self.qkv(x).split(width, -1)
        if values is not None:
            value = value + values
        query, key, value = (part.view(batch, length, self.heads, head).transpose(1, 2) for part in (query, key, value))
        query, key = rotate(norm(query), cosine, sine), rotate(norm(key), cosine, sine)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=ATTENTION_SCALE / head**0.5)
        mixed: Tensor = self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return mixed

    def _drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x
