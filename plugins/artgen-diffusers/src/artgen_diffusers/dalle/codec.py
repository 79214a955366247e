"""The discrete autoencoder: a picture as a small grid of whole numbers, and back."""

# B batch, C channels, H height, W width, G edge of the grid, L levels of a scalar, D scalars of a code

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(inside: int, outside: int, size: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size of the picture, or divides it by ``stride``."""
    return nn.Conv2d(inside, outside, size, stride, padding=(size - stride) // 2 if stride > 1 else size // 2)


def groups(width: int) -> nn.GroupNorm:
    """Group normalisation with about sixteen channels a group."""
    return nn.GroupNorm(math.gcd(width, max(1, width // 16)), width)


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in; the second begins at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.before, self.first = groups(width), conv(width, width)
        self.between, self.second = groups(width), conv(width, width)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [B, C, H, W] -> the same."""
        found: Tensor = self.second(F.silu(self.between(self.first(F.silu(self.before(x))))))
        return x + found


class DiscreteVAE(nn.Module):
    """Pictures [B, 3, H, W] in -1..1 to codes [B, G * G] below ``size`` and back, ``H / G`` a power of two.

    The encoder ends in ``len(levels)`` numbers a place, each rounded to one of its levels: every code means something from
    the first step on, no table can collapse, and rounding is passed over on the way back.
    Source: Ramesh et al. 2021, "Zero-shot text-to-image generation" (a discrete VAE before a Transformer); Mentzer et al. 2024,
    "Finite scalar quantization: VQ-VAE made simple".
    """

    levels: Tensor
    basis: Tensor

    def __init__(self, *, width: int, downs: int, levels: Sequence[int]) -> None:
        super().__init__()
        widths = [width * min(3, 1 + step) for step in range(downs + 1)]
        encoder: list[nn.Module] = [conv(3, width)]
        for inside, outside in pairwise(widths):
            encoder += [groups(inside), nn.SiLU(), conv(inside, outside, 4, 2), Residual(outside)]
        encoder += [Residual(widths[-1]), groups(widths[-1]), nn.SiLU(), conv(widths[-1], len(levels), 1)]
        decoder: list[nn.Module] = [conv(len(levels), widths[-1]), Residual(widths[-1]), Residual(widths[-1])]
        for inside, outside in pairwise(reversed(widths)):
            decoder += [nn.Upsample(scale_factor=2, mode="nearest"), conv(inside, outside), Residual(outside)]
        decoder += [groups(width), nn.SiLU(), conv(width, 3)]
        self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)
        self.size = math.prod(levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor([math.prod(levels[:place]) for place in range(len(levels))]), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """The pictures as they come back, gradients included."""
        return self._drawn(self.rounded(self._told(pictures)))

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """Codes int64 [B, G * G] of pictures [B, 3, H, W], row by row."""
        steps = self.rounded(self._told(pictures)).movedim(1, -1).flatten(1, 2)  # [B, G * G, D] in -1..1
        half = self.levels // 2
        return ((steps * half).round().long() + half).mul(self.basis).sum(-1)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] of codes [B, G * G]."""
        edge = math.isqrt(codes.shape[1])
        half = self.levels // 2
        steps = ((codes[..., None] // self.basis) % self.levels - half) / half  # [B, G * G, D]
        return self._drawn(steps.view(len(codes), edge, edge, -1).movedim(-1, 1))

    def rounded(self, numbers: Tensor) -> Tensor:
        """Numbers [B, D, G, G] bent into the range of their levels and rounded, as multiples of ``1 / (L // 2)`` in -1..1."""
        levels = self.levels[:, None, None].to(numbers.dtype)
        reach = (levels - 1) * 1.001 / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        bent = torch.tanh(numbers + torch.atanh(offset / reach)) * reach - offset
        # The way back goes past the rounding, which has no slope.
        return (bent + (bent.round() - bent).detach()) / (levels // 2)

    def _told(self, pictures: Tensor) -> Tensor:
        # float32: in 16 bits the numbers near a border between two levels would fall to either side.
        told: Tensor = self.encoder(pictures).float()
        return told

    def _drawn(self, steps: Tensor) -> Tensor:
        drawn: Tensor = self.decoder(steps.float())
        return drawn


def build_codec(config: dict[str, Any]) -> DiscreteVAE:
    """The autoencoder that ``config`` describes."""
    return DiscreteVAE(width=config["width"], downs=config["downs"], levels=config["levels"])
