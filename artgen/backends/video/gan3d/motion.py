"""Motion latents: sequences of random numbers that change smoothly, at several speeds, and swing.

A step of the latent stands for four frames. Some of its numbers are noise that is smoothed along time, a third of them each over
three lengths; the others are pairs of a cosine and a sine whose frequency and phase are drawn, so that what a clip repeats need
not be learnt as noise. Each number alone has mean 0 and variance 1. The latent can be read at any moment: closer together for
slow motion, round a circle for a loop.
Sources: Brooks et al. 2022, "Generating Long Videos of Dynamic Scenes", section 3.1 (noise smoothed over several lengths);
Skorokhodov et al. 2022, "StyleGAN-V", section 3.2 (periodic motion codes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

# B batch, K moments that are read, J noises in a row, N noises beside each other, O oscillators

NOISES = 24
OSCILLATORS = 4
SIZE = NOISES + 2 * OSCILLATORS
"""Numbers of a motion latent."""

WIDTHS = (0.75, 1.5, 3.0)
"""Standard deviations of the smoothing, in steps."""

REACH = 9
"""Steps to either side that smoothing reads."""

SLOWEST, FASTEST = 1 / 16, 1 / 2.5
"""Turns an oscillator makes in a step."""

_BLOCK = 64  # noises drawn in one go: a longer film begins as a shorter one does


@dataclass(frozen=True)
class Span:
    """The noises [B, J, N] of the steps from ``start`` to ``stop`` (not included)."""

    start: int
    stop: int

    @classmethod
    def around(cls, first: float, last: float) -> Span:
        """What is read for moments from ``first`` to ``last``."""
        return cls(math.floor(first) - REACH, math.ceil(last) + REACH + 1)

    def __len__(self) -> int:
        return self.stop - self.start


def motion(noise: Tensor, turns: Tensor, moments: tuple[float, ...], start: int, period: int | None = None) -> Tensor:
    """Motion latents [B, K, :data:`SIZE`] at ``moments`` [K], in steps.

    ``noise`` [B, J, N] is standard normal, of the steps from ``start`` on; ``turns`` [B, O, 2] are uniform in 0..1 and fix
    frequency and phase of the oscillators. With ``period`` everything returns after so many steps: noise j stands for j plus
    every multiple of it, from 0 on.
    """
    parts = []
    for width, part in zip(WIDTHS, noise.chunk(len(WIDTHS), 2), strict=True):
        parts.append(smoothing(moments, start, noise.shape[1], width, period, noise.device) @ part)
    return torch.cat([*parts, swinging(turns, moments, period)], 2)


@lru_cache(256)
def smoothing(moments: tuple[float, ...], start: int, count: int, width: float, period: int | None, device: torch.device) -> Tensor:
    """How much each of ``count`` noises from ``start`` on weighs at ``moments``: [K, J], each row of length 1."""
    place = torch.tensor(moments, dtype=torch.float64)[:, None]
    noise = torch.arange(start, start + count, dtype=torch.float64)
    if period is None:
        found = _bell(place - noise, width)
    else:
        turns = range(-math.ceil(2 * REACH / period) - 1, math.ceil(2 * REACH / period) + 2)
        found = torch.stack([_bell(place % period - noise + period * turn, width) for turn in turns]).sum(0)
    weights: Tensor = (found / found.norm(dim=1, keepdim=True)).float().to(device)
    return weights


def _bell(distance: Tensor, width: float) -> Tensor:
    return torch.exp(-0.5 * (distance / width) ** 2) * (distance.abs() <= REACH)


def swinging(turns: Tensor, moments: tuple[float, ...], period: int | None = None) -> Tensor:
    """Cosines and sines [B, K, 2 O] of oscillators whose frequency and phase ``turns`` [B, O, 2] give; all octaves alike."""
    frequency = SLOWEST * (FASTEST / SLOWEST) ** turns[..., 0]  # turns a step
    if period is not None:
        frequency = (frequency * period).round().clamp_min(1) / period
    angle = (frequency[:, None] * _column(moments, turns.device) + turns[:, None, :, 1]) * (2 * math.pi)  # [B, K, O]
    return math.sqrt(2) * torch.cat([angle.cos(), angle.sin()], 2)


@lru_cache(256)
def _column(moments: tuple[float, ...], device: torch.device) -> Tensor:
    return torch.tensor(moments, dtype=torch.float32).to(device)[:, None]


def draw(span: Span, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Oscillators [1, O, 2] and the noises [1, J, N] of ``span``, whose first are the same however many follow."""
    turns = torch.rand(1, OSCILLATORS, 2, generator=generator)
    blocks = [torch.randn(_BLOCK, NOISES, generator=generator) for _ in range(-(-len(span) // _BLOCK))]
    return turns, torch.cat(blocks)[None, : len(span)]
