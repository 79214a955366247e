"""Between samples and spectra on any device: frames that tile a sound exactly, and how far two sounds are apart in spectra."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# B sounds, N samples, T frames, W samples of a window, F frequencies (W / 2 + 1).

SCALES = (2048, 1024, 512, 256, 128)
"""Windows of the multi-resolution distance, those of :mod:`artgen.metrics.sounds`."""

OVERLAP = 4
"""Hops in a window of the codec."""

FLOOR = 1e-5
"""Magnitudes below it (of a full-scale sine's) count as equal: nobody hears the difference."""


def window(hop: int, device: torch.device) -> Tensor:
    """A Hann window [W] of four hops."""
    return torch.hann_window(OVERLAP * hop, device=device)


def spectra(wave: Tensor, hop: int) -> Tensor:
    """The spectrum of every frame, complex [B, T, F], of sounds [B, T * hop]; frame t is centred in hop t."""
    size = OVERLAP * hop
    padded = F.pad(wave, ((size - hop) // 2, size - hop - (size - hop) // 2))
    frames = padded.unfold(-1, size, hop)  # [B, T, W]
    found: Tensor = torch.fft.rfft(frames * window(hop, wave.device)) * (4 / size)
    return found


def wave_of(spectrum: Tensor, hop: int) -> Tensor:
    """The sounds [B, T * hop] whose frames have such spectra [B, T, F], by overlap and add: the inverse of :func:`spectra`."""
    size = OVERLAP * hop
    shape = window(hop, spectrum.device)
    frames = torch.fft.irfft(spectrum * (size / 4), n=size) * shape  # [B, T, W]
    made = _overlapped(frames, hop)
    weight = _overlapped((shape * shape).expand(1, frames.shape[1], size), hop)
    start = (size - hop) // 2
    stop = start + frames.shape[1] * hop
    return made[:, start:stop] / weight[:, start:stop].clamp_min(1e-3)


def _overlapped(frames: Tensor, hop: int) -> Tensor:
    """Frames [B, T, W] laid over one another a hop apart: [B, (T + 3) * hop]."""
    parts = frames.view(*frames.shape[:2], OVERLAP, hop)  # [B, T, 4, hop]
    made = sum(F.pad(parts[:, :, part], (0, 0, part, OVERLAP - 1 - part)) for part in range(OVERLAP))
    assert isinstance(made, Tensor)
    return made.flatten(1)


def magnitudes(wave: Tensor, size: int) -> Tensor:
    """Magnitudes [B, T, F] through a Hann window of ``size`` samples, a quarter of it apart; a full-scale sine has about 1."""
    padded = F.pad(wave, (size // 2, size // 2))
    frames = padded.unfold(-1, size, size // 4) * torch.hann_window(size, device=wave.device)
    found = torch.fft.rfft(frames)
    power = (found.real.square() + found.imag.square()) * (4 / size) ** 2
    size_of: Tensor = (power + FLOOR**2 / 4).sqrt()  # the root has no slope at 0
    return size_of


def distances(real: Tensor, made: Tensor, scales: tuple[int, ...] = SCALES) -> tuple[Tensor, Tensor]:
    """How far sounds [B, N] are from one another, each [B]: the multi-resolution STFT distance, and the log-spectral one (dB).

    The first is what :func:`artgen.metrics.sounds.stft_distance` measures, the second is
    :func:`artgen.metrics.sounds.log_spectral_distance` at the longest of ``scales``, both smooth enough to learn from.
    """
    total, logs = real.new_zeros(len(real)), real.new_zeros(len(real))
    for size in scales:
        first, second = magnitudes(real, size), magnitudes(made, size)
        gap = first - second
        relative = gap.flatten(1).norm(dim=1) / first.flatten(1).norm(dim=1).clamp_min(1e-3)
        one, two = first.clamp_min(FLOOR).log(), second.clamp_min(FLOOR).log()
        total = total + relative + (one - two).abs().mean((1, 2))
        if size == max(scales):
            low = (first.amax((1, 2)) * 1e-4).clamp_min(FLOOR).log()[:, None, None]
            squares = (torch.maximum(one, low) - torch.maximum(two, low)).square().mean(2)
            logs = (squares + 1e-6).sqrt().mean(1) * 8.6859  # 20 / ln 10
    return total / len(scales), logs
