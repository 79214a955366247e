"""Sounds that tests make: sines, noise, clicks. A module of its own name, since workers import it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 22_050
Samples = NDArray[np.float32]


def sine(hertz: float = 440.0, seconds: float = 0.5, rate: int = RATE, *, level: float = 0.3, phase: float = 0.0) -> Samples:
    """A sine [N, 1]."""
    time = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * hertz * time + phase)).astype(np.float32)[:, None]


def noise(seconds: float = 0.5, rate: int = RATE, *, level: float = 0.1, seed: int = 0, channels: int = 1) -> Samples:
    """White noise [N, C]."""
    random = np.random.default_rng(seed)
    return (level * random.standard_normal((round(seconds * rate), channels))).astype(np.float32)


def notes(seconds: float = 1.0, rate: int = RATE, *, seed: int = 0) -> Samples:
    """Decaying tones at random pitches, four a second, [N, 1]."""
    random = np.random.default_rng(seed)
    made = np.zeros((round(seconds * rate), 1), np.float32)
    for start in range(0, len(made), rate // 4):
        tone = sine(220 * 2 ** (random.integers(24) / 12), (len(made) - start) / rate, rate)
        made[start:] += tone * np.exp(-6 * np.arange(len(tone)) / rate)[:, None].astype(np.float32)
    return made


def write(path: Path, samples: Samples, rate: int = RATE, coding: str | None = None) -> Path:
    """Write a sound with libsndfile, in any coding it has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), samples, rate, subtype=coding)
    return path


def lying_wave(path: Path, samples: Samples, promised: int, rate: int = RATE) -> Path:
    """A 16-bit mono WAV whose header promises ``promised`` bytes of sound."""
    data = (samples[:, 0] * 32767).astype("<i2").tobytes()
    head = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    whole = min(36 + promised, 0xFFFFFFFF)
    path.write_bytes(b"RIFF" + struct.pack("<I", whole) + b"WAVE" + head + b"data" + struct.pack("<I", promised) + data)
    return path
