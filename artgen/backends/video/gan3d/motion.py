"""Motion latents: sequences of random numbers that change smoothly, at several speeds, and swing.

A step of the latent stands for four frames. Some of its numbers are noise that is smoothed along time, a third of them each over
one, two and four steps; the others are pairs of a cosine and a sine whose frequency and phase are drawn, so that what a clip
repeats need not be learnt as noise. Each number alone has mean 0 and variance 1.
Sources: Brooks et al. 2022, "Generating Long Videos of Dynamic Scenes", section 3.1 (noise smoothed over several lengths);
Skorokhodov et al. 2022, "StyleGAN-V", section 3.2 (periodic motion codes).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# B batch, K steps, R the steps beside them that smoothing reads, N noises, O oscillators

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


def motion(noise: Tensor, turns: Tensor, start: int) -> Tensor:
    """Motion latents [B, K, :data:`SIZE`] of the steps from ``start`` on.

    ``noise`` [B, K + 2 R, N] is standard normal, with R = :data:`REACH` more steps on each side; ``turns`` [B, O, 2] are
    uniform in 0..1 and fix frequency and phase of the oscillators.
    """
    return torch.cat([smoothed(noise), swinging(frequencies(turns[..., 0]), turns[..., 1], start, noise.shape[1] - 2 * REACH)], 2)


def smoothed(noise: Tensor) -> Tensor:
    """Noise [B, K + 2 R, N] smoothed along time, [B, K, N], of variance 1."""
    parts = []
    for width, part in zip(WIDTHS, noise.chunk(len(WIDTHS), 2), strict=True):
        kernel = torch.exp(-0.5 * (torch.arange(-REACH, REACH + 1, device=noise.device) / width) ** 2)
        windows = part.unfold(1, 2 * REACH + 1, 1)  # [B, K, N / 3, 2 R + 1]
        parts.append(windows @ (kernel / kernel.norm()))
    return torch.cat(parts, 2)


def frequencies(uniform: Tensor) -> Tensor:
    """Turns a step for uniform numbers 0..1, each octave alike."""
    return SLOWEST * (FASTEST / SLOWEST) ** uniform


def swinging(frequency: Tensor, phase: Tensor, start: int, steps: int) -> Tensor:
    """Cosines and sines [B, K, 2 O] at ``frequency`` [B, O] turns a step, from ``phase`` [B, O] turns on."""
    time = torch.arange(start, start + steps, device=frequency.device)
    angle = 2 * math.pi * (frequency[:, None] * time[:, None] + phase[:, None])  # [B, K, O]
    return math.sqrt(2) * torch.cat([angle.cos(), angle.sin()], 2)
