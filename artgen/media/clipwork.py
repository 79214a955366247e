"""What one worker of ``artgen video prepare`` does with one source: decode, resample in time, make square, cut up, judge.

Clips go to a scratch file one by one: a film of hours needs no more memory than a short one.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec

from artgen.errors import SourceError
from artgen.files import sentences
from artgen.media import cutting, film, image, prepare_image
from artgen.media.archives import Reader, Source
from artgen.media.film import Film, Pixels
from artgen.media.partial import Record

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Take:
    """What is cut into clips at one go: a file, the numbered ``frames`` of a folder, or a part of a long film.

    A part begins at ``start`` seconds and goes to ``stop``, the end where it is None.
    """

    source: Source
    frames: tuple[Source, ...] = ()
    start: float = 0.0
    stop: float | None = None


@dataclass(frozen=True)
class Job:
    """What a worker must know: where scratch files go, and the options that decide the clips.

    ``fit`` makes a frame square. ``threads`` are those of a decoder, where there are fewer films than cores.
    """

    scratch: str
    fit: prepare_image.Prepare
    frames: int
    fps: float
    source_fps: float
    cut: cutting.Cut
    stride: int
    short: cutting.Short
    keep_still: bool
    max_minutes: float
    max_bytes: float
    threads: int = 1


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal keeps of a source.

    ``reason`` says why none of it is used. ``pieces`` are (seconds at which it begins, hash of its frames, why it is left out or
    nothing) for every clip and every place where there could be one.
    """

    reason: str = ""
    pieces: list[tuple[float, str, str]] = []
    how: str = ""


def work(sources: Sequence[Take], options: Job, reader: Reader) -> list[tuple[Record, str]]:
    """The record of each take, and where its clips uint8 [N, T, H, W, 3] are; nowhere for one that has none."""
    return [_item(take, options, reader) for take in sources]


def _item(take: Take, job: Job, reader: Reader) -> tuple[Record, str]:
    place = ""
    try:
        with sentences(job.scratch), tempfile.NamedTemporaryFile(dir=job.scratch, delete=False) as file:
            place = file.name
            told = _cut(take, job, reader, file)
    except SourceError as error:
        told = Told(reason=str(error).removeprefix(f"{take.source.name}: ").partition("; ")[0])
    rows = 0 if told.reason else sum(not reason for _, _, reason in told.pieces)
    if not rows and place:
        Path(place).unlink()
        place = ""
    digest = hashlib.blake2b("".join(piece[1] for piece in told.pieces).encode(), digest_size=16).hexdigest()
    return Record(bool(rows), digest, msgspec.json.encode(told).decode(), rows), place


def _cut(take: Take, job: Job, reader: Reader, file: IO[bytes]) -> Told:
    if take.source.size > job.max_bytes:
        size = f"{take.source.size / 2**30:.1f} GB"
        raise SourceError(f"too large: {size}, at most {job.max_bytes / 2**30:g} are read (--max-gigabytes)")
    squarer = _Squarer(job)
    with opened(take, job, reader) as shown:
        minutes = (shown.seconds or 0) / 60
        if minutes > job.max_minutes:
            raise SourceError(f"too long: {_length(minutes * 60)}, at most {job.max_minutes:g} minutes (--max-minutes)")
        first = math.ceil(take.start * job.fps)
        squares = _squares(shown, take, job, squarer, first)
        pieces: list[tuple[float, str, str]] = []
        # The last part of a long film may be short; looping it would be no loop of anything.
        short = job.short if take.stop is None and not take.start else "skip"
        pieces_of = cutting.cut_up(
            squares, job.frames, cut=job.cut, stride=job.stride, short=short, keep_still=job.keep_still
        )  # fmt: skip
        for piece in pieces_of:
            seconds = round((first + piece.start) / job.fps, 3)
            if piece.frames is None:
                few = piece.reason == cutting.SINGLE and squarer.shots > 1
                reason = f"too short: one frame at {job.fps:.4g} a second (--fps)" if few else piece.reason
                # Hours in which nothing moves are one line of the list.
                if not (pieces and pieces[-1][2] == reason):
                    pieces.append((seconds, "", reason))
                continue
            data = piece.frames.tobytes()
            pieces.append((seconds, hashlib.blake2b(data, digest_size=16).hexdigest(), ""))
            file.write(data)
    return Told(pieces=pieces, how=squarer.how)


@contextmanager
def opened(take: Take, job: Job, reader: Reader) -> Iterator[Film]:
    """The film of a take, whether it is a file, lies in an archive, or is a folder of numbered frames."""
    if take.frames:
        yield film.numbered(take.source.name, (_Frame(source, job, reader) for source in take.frames), job.source_fps)
        return
    given = take.source.path or reader.read(take.source)
    with film.opened(
        given, take.source.name, background=job.fit.background, max_pixels=job.fit.max_pixels, threads=job.threads
    ) as shown:
        yield shown


@dataclass(frozen=True)
class _Frame:
    """A numbered frame that is decoded when it is asked for."""

    source: Source
    job: Job
    reader: Reader

    def __call__(self) -> Pixels:
        given = self.source.path or self.reader.read(self.source)
        fit = self.job.fit
        return image.decode(given, name=self.source.name, background=fit.background, max_pixels=fit.max_pixels)


class _Squarer:
    """Makes frames square; the first one decides how they grow, so that no clip flickers between two ways.

    ``how`` is what was done to the first one, ``shots`` the number of frames that the film showed.
    """

    def __init__(self, job: Job) -> None:
        self._fit = job.fit
        self.how = ""
        self.shots = 0

    def __call__(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        if (max if self._fit.fit == "pad" else min)(height, width) < self._fit.smallest:
            raise SourceError(f"too small: {width}x{height}, needs {self._fit.smallest} (--min-size)")
        if self._fit.upscale == "auto":
            self._fit = self._fit.replace(upscale=prepare_image.growth(pixels, self._fit))
        square, how = prepare_image.fitted(pixels, self._fit)
        self.how = self.how or how
        return square


def _squares(shown: Film, take: Take, job: Job, squarer: _Squarer, first: int) -> Iterator[Pixels]:
    """A square for every tick; a shot that is seen for several is made square once."""
    last: object = None
    square: Pixels | None = None
    stop = None if take.stop is None else math.ceil(take.stop * job.fps)

    def counted() -> Iterator[film.Shot]:
        for shot in shown.shots(take.start):
            squarer.shots += 1
            yield shot

    for tick, shot in film.ticks(counted(), job.fps, shown.fps, first, stop):
        if tick / job.fps > job.max_minutes * 60:
            raise SourceError(f"too long: more than {job.max_minutes:g} minutes (--max-minutes)")
        if square is None or shot is not last:
            square, last = squarer(shot.pixels()), shot
        yield square


def _length(seconds: float) -> str:
    return f"{seconds / _HOUR:.1f} hours" if seconds >= _HOUR else f"{seconds:.1f} seconds"
