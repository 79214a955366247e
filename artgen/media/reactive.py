"""A sound as curves that pictures can follow: how loud it is, where notes begin, how bright it sounds, a value a frame.

The features are librosa's; how they become motion is here. ``artgen image generate --walk`` and ``artgen video generate`` use it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError
from artgen.media import audio
from artgen.media.clips import Sound

Curve = NDArray[np.float64]

LONGEST = 3600.0
"""Seconds of a sound that are listened to at most."""

_RATE = 22_050
_WINDOW, _HOP = 2048, 512
_AT_ONCE = 2048  # hops: an hour of sound needs little memory
_KNOWN_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # those that sound in an MP4 can have
_QUIET = 40.0  # decibels below the loud parts, at which a sound no longer moves anything
_FADE = 0.15  # seconds in which the stroke of an onset falls to a third
_SMOOTH = 0.2  # seconds over which brightness is averaged: a single frame of it is noise
_SLOWEST = 0.15  # of the usual speed: silence holds its breath and does not stop
_SWING = 0.6  # how far the brightest and loudest places push the truncation, as a share of it


@dataclass(frozen=True, eq=False)
class Curves:
    """What is heard in each frame of a film [T], from 0 to 1.

    ``loudness`` is 1 in the loud parts and 0 where it is 40 dB quieter, ``onsets`` jumps to 1 at a strong beat and fades,
    ``brightness`` goes from the darkest to the brightest the sound becomes.
    """

    fps: float
    loudness: Curve
    onsets: Curve
    brightness: Curve

    def speeds(self, reactivity: float = 1.0) -> Curve:
        """How fast things move in each frame [T], 1 on average: fast where it is loud and at onsets; with 0 evenly."""
        push = 0.5 * self.loudness + 0.5 * self.onsets
        raw = _SLOWEST + (1 - _SLOWEST) * push
        speeds = np.maximum(1 + reactivity * (raw / raw.mean() - 1), _SLOWEST / 4)
        return np.asarray(speeds / speeds.mean())

    def places(self, reactivity: float = 1.0) -> Curve:
        """How far along a way of length 1 each frame is [T]: from 0, ever forward, with the end one frame after the last."""
        steps = self.speeds(reactivity)
        return np.asarray((np.cumsum(steps) - steps) / steps.sum())

    def truncations(self, truncation: float, reactivity: float = 1.0, most: float = 2.0) -> Curve:
        """The truncation of each frame [T], ``truncation`` on average: further from the mean where it is bright and loud."""
        push = 0.5 * self.brightness + 0.5 * np.maximum(self.loudness, self.onsets)
        return np.asarray(np.clip(truncation * (1 + reactivity * 2 * _SWING * (push - push.mean())), 0, most))


def listen(path: str | Path, fps: float, seconds: float | None = None) -> tuple[Sound, Curves]:
    """The sound in a file (or of a clip), and its curves at ``fps`` frames a second.

    Both are as long as the sound, or ``seconds``: then the sound is cut, or the rest of the curves is silence.

    Raises:
        SourceError: there is no such file, it is no sound, or it is shorter than two frames.
    """
    wanted = min(seconds if seconds is not None else LONGEST, LONGEST)
    samples, rate = _read(path, wanted)
    length = seconds if seconds is not None else len(samples) / rate
    count = round(length * fps)
    if count < 2:
        raise SourceError(f"{path}: {length:.3g} seconds are shorter than two frames; give a longer sound")
    return (samples, rate), curves(samples, rate, fps, count)


def curves(samples: NDArray[np.float32], rate: int, fps: float, count: int) -> Curves:
    """The curves of samples float32 [N, C] for ``count`` frames."""
    mono = audio.mix(samples, 1)
    heard = np.concatenate([np.zeros((0, 1), np.float32), *audio.resampled(iter([mono]), rate, _RATE, 1)])[:, 0]
    loudness, onsets, brightness = _features(heard)
    centres = (np.arange(count) + 0.5) / fps
    times = np.arange(len(loudness)) * _HOP / _RATE
    strokes = _most(onsets, times, count, fps)
    kept = np.exp(-1 / (fps * _FADE))
    for number in range(1, count):
        strokes[number] = max(strokes[number], strokes[number - 1] * kept)
    return Curves(
        fps,
        np.interp(centres, times, loudness, right=0.0),
        strokes,
        np.interp(centres, times, brightness, right=0.0),
    )


def _read(path: str | Path, seconds: float) -> tuple[NDArray[np.float32], int]:
    with audio.opened(path) as reading:
        rate = reading.rate if reading.rate in _KNOWN_RATES else 48_000
        most = round(seconds * rate)
        blocks, count = [], 0
        for block in audio.convert(reading, rate, min(reading.channels, 2)):
            blocks.append(block[: most - count])
            count += len(blocks[-1])
            if count >= most:
                break
    samples = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    if not len(samples):
        raise SourceError(f"{path}: holds no sound; give one with some")
    return samples / np.float32(max(1.0, float(np.abs(samples).max()))), rate


def _features(heard: NDArray[np.float32]) -> tuple[Curve, Curve, Curve]:
    """Loudness, onset strength and brightness from 0 to 1 at every hop of samples [N] at 22,050 Hz."""
    import librosa

    levels, mels, centroids = [], [], []
    hops = 1 + len(heard) // _HOP
    whole = np.pad(heard, (_WINDOW // 2, _WINDOW // 2 + _HOP))
    filters = librosa.filters.mel(sr=_RATE, n_fft=_WINDOW, n_mels=64)
    for start in range(0, hops, _AT_ONCE):
        stop = min(start + _AT_ONCE, hops)
        part = whole[start * _HOP : (stop - 1) * _HOP + _WINDOW]
        magnitudes: Any = np.abs(librosa.stft(part, n_fft=_WINDOW, hop_length=_HOP, center=False))  # [F, n]
        levels.append(librosa.feature.rms(S=magnitudes, frame_length=_WINDOW)[0])
        centroids.append(librosa.feature.spectral_centroid(S=magnitudes + 1e-9, sr=_RATE)[0])
        mels.append(filters @ magnitudes**2)
    level = np.concatenate(levels).astype(np.float64)
    if level.max(initial=0.0) < 1e-5:  # -100 dB: silence
        return np.zeros(hops), np.zeros(hops), np.zeros(hops)
    decibels = 20 * np.log10(np.maximum(level, 1e-6))
    loudness = np.clip((decibels - np.percentile(decibels, 95)) / _QUIET + 1, 0, 1)
    strength = librosa.onset.onset_strength(S=librosa.power_to_db(np.concatenate(mels, 1)), sr=_RATE, hop_length=_HOP)
    onsets = np.clip(strength / max(float(np.percentile(strength, 98)), 1.0), 0, 1)
    return loudness, np.asarray(onsets, np.float64), _brightness(np.concatenate(centroids), loudness)


def _brightness(centroids: NDArray[Any], loudness: Curve) -> Curve:
    """The spectral centroid on a scale of octaves, between the darkest and the brightest of what is loud enough to be heard."""
    octaves = np.log2(np.maximum(centroids, 20.0)).astype(np.float64)
    heard = octaves[loudness > 0.25]
    if not len(heard):
        return np.zeros_like(octaves)
    low, high = np.percentile(heard, (5, 95))
    level = np.clip((octaves - low) / (high - low), 0, 1) if high - low > 0.25 else np.full_like(octaves, 0.5)
    width = max(1, round(_SMOOTH * _RATE / _HOP))
    smooth = np.convolve(np.pad(level * (loudness > 0), width, mode="edge"), np.ones(width) / width, mode="same")[width:-width]
    return np.clip(smooth, 0, 1)


def _most(values: Curve, times: Curve, count: int, fps: float) -> Curve:
    """The largest of the values inside each frame, so that no beat falls between two."""
    found = np.zeros(count)
    frames = (times * fps).astype(np.int64)
    inside = frames < count
    np.maximum.at(found, frames[inside], values[inside])
    # With more frames than hops some have none of their own: they see what is nearest.
    own = np.zeros(count, bool)
    own[frames[inside]] = True
    return found if own.all() else np.where(own, found, np.interp((np.arange(count) + 0.5) / fps, times, values, right=0.0))
