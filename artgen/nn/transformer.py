"""Blocks of a causal Transformer: rotary positions, normalised queries and keys, squared ReLU, no biases.

Everything a block computes is two plain matrices for attention and two for the perceptron, so that a compiled kernel can
mirror it: ``x + out(attention(norm(x)))``, then ``x + down(relu(up(norm(x)))²)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ROTARY_BASE = 1024.0
EPSILON = 1e-5
ATTENTION_SCALE = 1.35
"""Times 1/sqrt(head size): normalised queries and keys have a fixed length, so attention may look a little closer."""


Drop = Callable[[Tensor], Tensor]
"""What is done to a tensor so that a network does not learn its data by heart."""


def keep(x: Tensor) -> Tensor:
    """``x`` as it is."""
    return x


def dropout(share: float, seed: int, device: torch.device) -> Drop:
    """Zero a ``share`` of every tensor and enlarge the rest to match, by the random numbers that ``seed`` fixes.

    Source: Srivastava et al. 2014, "Dropout".
    """
    if share <= 0:
        return keep
    generator = torch.Generator(device).manual_seed(seed)

    def drop(x: Tensor) -> Tensor:
        kept = torch.empty_like(x).bernoulli_(1 - share, generator=generator)
        return x * kept.div_(1 - share)

    return drop


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
        positive: Tensor = ctx.saved_tensors[0]
        return (gradients[0] * positive).mul_(2)


def squared_relu(x: Tensor) -> Tensor:
    """max(x, 0)². Source: So et al. 2021, "Primer"."""
    result: Tensor = _SquaredReLU.apply(x)  # type: ignore[no-untyped-call]  # torch leaves apply untyped
    return result


def rotary(positions: int, head: int) -> Tensor:
    """Unit complex numbers [positions, head / 2]: how far each pair of entries of a head turns at each position.

    Pair ``i`` (entries ``2i`` and ``2i + 1``) turns by ``t * 1024^(-i / (head / 4))`` at position ``t`` in the first half of
    a head; the second half does not turn. Source: Su et al. 2021, "RoFormer"; turning half of each head as in GPT-NeoX.
    """
    turning = head // 4
    rates = torch.zeros(head // 2, dtype=torch.float64)
    rates[:turning] = ROTARY_BASE ** (-torch.arange(turning, dtype=torch.float64) / turning)
    angles = torch.arange(positions, dtype=torch.float64)[:, None] * rates
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turn ``x`` [B, T, heads, head] by :func:`rotary` [T, head / 2]; one multiplication of complex numbers, in fp32."""
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * turns[:, None]).flatten(-2)


class Past:
    """Keys and values [B, heads, T, head] of what a block has read so far; starts empty."""

    key: Tensor | None = None
    value: Tensor | None = None

    def take(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add those of what is read now; returns all of them."""
        if self.key is not None and self.value is not None:
            key, value = torch.cat([self.key, key], 2), torch.cat([self.value, value], 2)
        self.key, self.value = key, value
        return key, value


class Block(nn.Module):
    """Causal self-attention and a perceptron of four times the width, each added to what came in.

    ``mix`` holds two learned scalars: how much of the stream and how much of the first embedding the block starts from.
    The matrices that write to the stream begin at zero, so that a new block does nothing.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads or width // heads % 4:
            raise ValueError(f"a width of {width} does not split into {heads} heads of a multiple of 4")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.mix = nn.Parameter(torch.tensor([1.0, 0.0]))
        for layer in (self.qkv, self.up):
            nn.init.uniform_(layer.weight, -((3 / width) ** 0.5), (3 / width) ** 0.5)
        for layer in (self.out, self.down):
            nn.init.zeros_(layer.weight)

    def forward(self, x: Tensor, first: Tensor, values: Tensor | None, turns: Tensor, drop: Drop = keep) -> Tensor:
        """The stream [B, T, W] after this block.

        ``first`` is the first embedding, ``values`` [B, T, W] are added to those of attention, ``drop`` is applied to what is
        added to the stream.
        """
        x = self.mix[0] * x + self.mix[1] * first
        x = x + drop(self._attend(norm(x), values, turns))
        return x + drop(self.down(squared_relu(self.up(norm(x)))))

    def grow(self, x: Tensor, first: Tensor, turns: Tensor, past: Past) -> Tensor:
        """What :meth:`forward` gives for further tokens [B, T, W] after those that ``past`` holds; it takes up the new ones.

        ``turns`` are those of the new positions. After the first call, T is 1.
        """
        x = self.mix[0] * x + self.mix[1] * first
        x = x + self._attend(norm(x), None, turns, past)
        grown: Tensor = x + self.down(squared_relu(self.up(norm(x))))
        return grown

    def _attend(self, x: Tensor, values: Tensor | None, turns: Tensor, past: Past | None = None) -> Tensor:
        batch, length, width = x.shape
        head = width // self.heads
        both, value = self.qkv(x).split([2 * width, width], -1)
        if values is not None:
            value = value + values
        # Queries and keys are normalised and turned together: small tensors cost by the call.
        both = rotate(norm(both.view(batch, length, 2 * self.heads, head)), turns).transpose(1, 2)
        query, key = both.chunk(2, 1)
        value = value.view(batch, length, self.heads, head).transpose(1, 2).to(query.dtype)
        if past is not None:
            key, value = past.take(key, value)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=length > 1, scale=ATTENTION_SCALE / head**0.5)
        mixed: Tensor = self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return mixed
