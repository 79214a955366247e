"""Sounds varied so that a small collection teaches more: speed, pitch, length, volume, sign, another sound behind.

All of it runs on any device, for a batch at once, from uniform numbers that the caller draws.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# B sounds, C channels, N samples.

DRAWS = 4
"""Uniform numbers a sound that :func:`varied` takes."""

_TAPS = 16
_WINDOW, _HOP = 2048, 512


def reach(semitones: float) -> float:
    """How many samples :func:`varied` needs for each that it gives."""
    return 2 ** (semitones / 12)


def varied(
    wave: Tensor, other: Tensor, count: int, draws: Tensor, *, semitones: float, gain: float, polarity: bool, mixing: float
) -> Tensor:  # fmt: skip
    """``count`` samples [B, C, count] of sounds [B, C, N] played at another speed, with ``other`` sounds mixed into some.

    ``draws`` [B, DRAWS] are uniform numbers; ``semitones`` is how far pitch (and with it speed) goes either way, ``gain`` how far
    the volume does, in dB; ``mixing`` is the share of sounds that get another one behind them.
    """
    ratios = 2 ** ((2 * draws[:, 0] - 1) * semitones / 12)
    made = at_speed(wave, ratios, count) if semitones else wave[..., :count]
    if mixing:
        mixed = (draws[:, 1] < mixing).to(made.dtype)
        made = made + other[..., :count] * (mixed * 0.7)[:, None, None]
        made = made * (1 - 0.2 * mixed)[:, None, None]
    # Mostly quieter: louder than the loudness of the dataset would clip.
    volume = 10 ** ((2 * draws[:, 2] - 1.5) * gain / 20)
    sign = torch.where(draws[:, 3] < 0.5, 1.0, -1.0) if polarity else torch.ones_like(volume)
    return made * (volume * sign)[:, None, None]


def at_speed(wave: Tensor, ratios: Tensor, count: int) -> Tensor:
    """The first ``count`` samples of sounds [B, C, N] played ``ratios`` [B] times as fast, through a windowed sinc."""
    places = torch.arange(count, device=wave.device) * ratios[:, None]  # [B, count]
    whole = places.floor()
    taps = torch.arange(1 - _TAPS // 2, _TAPS // 2 + 1, device=wave.device)
    distance = (places - whole)[..., None] - taps  # [B, count, taps]
    # Faster is higher: what would come to lie beyond half the rate is left out.
    cut = (1 / ratios).clamp_max(1.0)[:, None, None] * 0.97
    weights = cut * torch.sinc(cut * distance) * torch.cos(math.pi * distance / (_TAPS + 1)).square()
    index = (whole[..., None].long() + taps).clamp(0, wave.shape[2] - 1)  # [B, count, taps]
    made = torch.zeros(*wave.shape[:2], count, device=wave.device, dtype=wave.dtype)
    for tap in range(_TAPS):  # one tap after the other: all at once would need sixteen times the memory
        found = wave.gather(2, index[:, None, :, tap].expand(-1, wave.shape[1], -1))
        made += found * weights[:, None, :, tap]
    return made


def stretched(wave: Tensor, factor: float) -> Tensor:
    """A sound [C, N] made ``factor`` times as long at the same pitch, by a phase vocoder: [C, round(N * factor)].

    Source: Flanagan & Golden 1966, "Phase vocoder"; phases add up along all frames at once.
    """
    count = round(wave.shape[1] * factor)
    if factor == 1.0 or not count:
        return wave
    window = torch.hann_window(_WINDOW, device=wave.device)
    found = torch.stft(wave, _WINDOW, _HOP, window=window, return_complex=True, pad_mode="constant")  # [C, F, T]
    frames = found.shape[2]
    places = torch.arange(count // _HOP + 2, device=wave.device, dtype=torch.float64) / factor
    places = places.clamp_max(frames - 1.001)
    low = places.long().clamp_max(max(0, frames - 2))
    part = (places - low).to(wave.dtype)
    size, angle = found.abs(), found.angle()
    magnitude = size[..., low] * (1 - part) + size[..., (low + 1).clamp_max(frames - 1)] * part
    expected = torch.arange(found.shape[1], device=wave.device, dtype=torch.float64) * (2 * math.pi * _HOP / _WINDOW)
    turn = (angle[..., (low + 1).clamp_max(frames - 1)] - angle[..., low]).double() - expected[:, None]
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi)) + expected[:, None]
    # 64 bits: the sum of thousands of turns loses its place in a circle otherwise.
    phase = angle[..., :1].double() + torch.cumsum(turn, -1) - turn
    spectrum = torch.polar(magnitude, torch.remainder(phase, 2 * math.pi).to(magnitude.dtype))
    return torch.istft(spectrum, _WINDOW, _HOP, window=window, length=count)


def transposed(wave: Tensor, semitones: float, factor: float) -> Tensor:
    """A sound [C, N] moved by ``semitones`` and made ``factor`` times as long."""
    ratio = 2 ** (semitones / 12)
    longer = stretched(wave, factor * ratio)
    count = round(wave.shape[1] * factor)
    if ratio == 1.0:
        return longer
    return at_speed(longer[None], torch.tensor([ratio], device=wave.device), count)[0]
