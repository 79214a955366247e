"""A composed sound made ready to hear: edges without clicks or a seamless loop, one loudness, no peak over the ceiling.

The raw samples wait in a scratch file, so that a sound of any length takes the same memory.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from artgen.media import loudness
from artgen.media.loudness import CEILING, TARGET, Meter, from_db, gain_for, limited

Samples = NDArray[np.float32]

FADE_IN, FADE_OUT = 0.005, 0.03
"""Seconds over which a sound begins and ends."""

_BLOCK = 2**16
_AROUND = 4096  # more samples than the limiter looks ahead or back
_ROUNDS = 5
_CLOSE = 0.1  # LU


def mastered(
    raw: Iterable[Samples], rate: int, channels: int, *, overlap: int = 0, rise: bool = True, target: float = TARGET
) -> Iterator[Samples]:
    """The blocks [n, C] of ``raw`` at ``target`` LUFS, with no true peak above -1 dB.

    Where ``overlap`` is given, the last so many samples are what would come after a loop's end, and fade into its beginning; else
    the sound begins (if ``rise``) and ends in silence.
    """
    with tempfile.TemporaryFile() as file:
        spool = _Spool(file, channels)
        for block in raw:
            spool.write(block)
        if overlap:
            seam = loudness.loop(np.concatenate([spool.read(0, 2 * overlap), spool.read(spool.length - overlap, overlap)]), overlap)
            length = spool.length - overlap

            def read(start: int, count: int) -> Samples:
                part = spool.read(start, count)
                if start < overlap:
                    part[: overlap - start] = seam[start : min(overlap, start + count)]
                return part
        else:
            length, fades = spool.length, [round(FADE_IN * rate) if rise else 0, round(FADE_OUT * rate)]

            def read(start: int, count: int) -> Samples:
                places = np.arange(start, start + count)
                return spool.read(start, count) * _edges(places, length, *fades)[:, None]

        yield from _levelled(read, length, rate, channels, min(_AROUND, length) if overlap else 0, target)


def _levelled(
    read: Callable[[int, int], Samples], length: int, rate: int, channels: int, around: int, target: float
) -> Iterator[Samples]:  # fmt: skip
    """``length`` samples at ``target`` LUFS; the limiter hears ``around`` samples before and after, of a loop."""
    meter = Meter(rate, channels)
    for block in _blocks(read, length):
        meter.add(block)
    gain = gain_for(meter.loudness, target)

    def made() -> Iterator[Samples]:
        ends = ([read(length - around, around)], [read(0, around)]) if around else ([], [])
        scaled = (block * np.float32(gain) for block in itertools.chain(ends[0], _blocks(read, length), ends[1]))
        return _cut(limited(scaled, rate, channels, CEILING), around, length)

    if meter.peak * gain > from_db(CEILING) * 0.5:
        for _ in range(_ROUNDS):
            after = Meter(rate, channels)
            for block in made():
                after.add(block)
            missing = target - after.loudness
            if not abs(missing) > _CLOSE:
                break
            gain *= from_db(min(6.0, missing))
    yield from made()


def _cut(blocks: Iterable[Samples], start: int, length: int) -> Iterator[Samples]:
    """The samples from ``start`` on, ``length`` of them."""
    at = 0
    for block in blocks:
        part = block[max(0, start - at) : max(0, start + length - at)]
        at += len(block)
        if len(part):
            yield part


def _blocks(read: Callable[[int, int], Samples], length: int) -> Iterator[Samples]:
    for start in range(0, length, _BLOCK):
        yield read(start, min(_BLOCK, length - start))


def _edges(places: NDArray[np.int64], length: int, fade_in: int, fade_out: int) -> Samples:
    """The gain at ``places`` of a sound of ``length``: raised cosines at both ends, shorter for a short sound."""
    fade_in, fade_out = min(fade_in, length // 2), min(fade_out, length // 2)
    gain = np.ones(len(places))
    for fade, inside in ((fade_in, places), (fade_out, length - 1 - places)):
        if fade:
            near = inside < fade
            gain[near] *= 0.5 - 0.5 * np.cos(np.pi * (inside[near] + 0.5) / fade)
    return gain.astype(np.float32)


class _Spool:
    """Samples [N, C] in a file, written once from front to back and read anywhere."""

    def __init__(self, file: IO[bytes], channels: int) -> None:
        self._file, self._channels = file, channels
        self.length = 0

    def write(self, block: Samples) -> None:
        self._file.write(np.ascontiguousarray(block, np.float32).tobytes())
        self.length += len(block)

    def read(self, start: int, count: int) -> Samples:
        size = 4 * self._channels
        self._file.seek(start * size)
        data = self._file.read(count * size)
        return np.frombuffer(data, np.float32).reshape(-1, self._channels).copy()
