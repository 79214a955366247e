"""Moving pictures read one frame after the other, with the time each is shown: clips, animated pictures, numbered frames.

However long a film is, only the frame at hand is in memory; whoever reads says which frames become pixels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError
from artgen.media import animation, clip_kinds, clips, colour, image

Pixels = NDArray[np.uint8]

MAX_PIXELS = 50_000_000
"""Pixels of the largest frame: 8K has 33 million."""

_FASTEST = 120.0  # frames a second: a file that says more says it of its clock, and clocks are rounded to thousandths
_LAST = 10.0  # seconds that a last frame stands at most: a broken header may say hours


@dataclass(frozen=True)
class Shot:
    """One frame: shown from ``start`` to ``end`` seconds, its ``pixels`` uint8 [H, W, 3] made when they are asked for.

    Ask before the next shot is taken: an animated picture draws each frame over the last.
    """

    start: float
    end: float
    pixels: Callable[[], Pixels]


@dataclass(frozen=True)
class Film:
    """An opened film: its size as stored, its frames a second on average, what its header promises.

    ``frames`` and ``seconds`` are None where the header tells nothing. ``shots`` gives the frames from about the second that it is
    called with (never later), in order of time.
    """

    name: str
    format: str
    width: int
    height: int
    fps: float
    frames: int | None
    seconds: float | None
    sound: bool
    shots: Callable[[float], Iterator[Shot]]


@contextlib.contextmanager
def opened(
    source: Path | bytes, name: str, *, background: str = "white", max_pixels: int = MAX_PIXELS, threads: int = 1
) -> Iterator[Film]:
    """A film in a file or in memory: MP4, WebM, MOV, MKV, AVI and the like, GIF, APNG, animated WebP.

    ``threads`` decode side by side, which changes nothing but the speed.

    Raises:
        SourceError: it is gone, of no known kind, damaged or cut off (perhaps only while its shots are taken), or too large.
    """
    head = _head(source, name)
    paper = colour.paper(background)
    if not head:
        raise SourceError(f"{name}: the file is empty; give a clip such as MP4, WebM or GIF")
    if clip_kinds.is_clip_format(head):
        with clips.opened(source, name) as container:
            yield _clip(container, name, paper, max_pixels, threads)
    elif clip_kinds.is_picture_format(head):
        with image.opened(source, name=name, max_pixels=max_pixels) as picture:
            yield _animation(picture, name, paper)
    else:
        raise SourceError(f"{name}: {_otherwise(source, name, max_pixels)}; give a clip such as MP4, WebM or GIF")


def numbered(name: str, frames: Iterable[Callable[[], Pixels]], fps: float) -> Film:
    """A film of pictures that are decoded one by one, each shown equally long."""

    def shots(after: float) -> Iterator[Shot]:
        for number, pixels in enumerate(frames):
            yield Shot(number / fps, (number + 1) / fps, pixels)

    return Film(name, "frames", 0, 0, fps, None, None, False, shots)


def ticks(shots: Iterable[Shot], fps: float, native: float, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Shot]]:
    """Which shot is to be seen at tick ``start``, ``start + 1`` and so on up to ``stop``, at ``fps`` ticks a second.

    Times decide, so a film of a variable rate keeps its speed. A tick looks some way into its frame (of ``native`` frames a second,
    or of ``fps`` where those are more): times that are rounded by the file then never pick the neighbour.
    """
    inside = 0.4 / max(fps, min(native, _FASTEST))
    tick = start
    for shot in shots:
        while tick / fps + inside < shot.end:
            if stop is not None and tick >= stop:
                return
            yield tick, shot
            tick += 1


def _head(source: Path | bytes, name: str) -> bytes:
    if isinstance(source, bytes):
        return source[: clip_kinds.HEAD]
    try:
        with source.open("rb") as file:
            return file.read(clip_kinds.HEAD)
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}") from None


def _otherwise(source: Path | bytes, name: str, max_pixels: int) -> str:
    """What a file is that holds no film."""
    try:
        with image.opened(source, name=name, max_pixels=max_pixels) as picture:
            return f"a single picture ({picture.format or 'picture'}), nothing moves"
    except SourceError:
        return "not a clip of a known kind"


def _refuse_large(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise SourceError(f"{name}: frames of {width}x{height}, at most {max_pixels:,} pixels are read")


# --- clips


def _clip(container: Any, name: str, paper: tuple[int, int, int], max_pixels: int, threads: int) -> Film:
    stream = clips.pictures(container, name)
    context = stream.codec_context
    _refuse_large(name, context.width, context.height, max_pixels)
    context.thread_count, context.thread_type = threads, "AUTO" if threads > 1 else "SLICE"
    fps = clips.rate(stream, name)
    seconds = float(clips.promised(container)) - _began(container)

    def shots(after: float) -> Iterator[Shot]:
        offset = _began(container)
        frames = clips.decoded(container, stream, name, after=after and after + offset)
        return _timed(frames, name, paper, max_pixels, fps, offset, _wider(stream))

    return Film(
        name, container.format.name.split(",")[0], context.width, context.height, fps, stream.frames or None,
        seconds if seconds > 0 else None, bool(container.streams.audio), shots,
    )  # fmt: skip


def _began(container: Any) -> float:
    return max(0.0, (container.start_time or 0) / 1_000_000)


def _wider(stream: Any) -> float:
    """How many times wider than high a stored pixel is to be shown; films on discs have such."""
    ratio = float(stream.sample_aspect_ratio or 1)
    return ratio if 0.25 <= ratio <= 4 else 1.0


def _timed(
    frames: Iterable[Any], name: str, paper: tuple[int, int, int], max_pixels: int, fps: float, offset: float, wider: float
) -> Iterator[Shot]:
    """Frames of FFmpeg with the time until the next one; the last is shown as long as it says, or as its like."""
    waiting: tuple[float, Any] | None = None
    size = (0, 0)

    def shot(start: float, end: float, frame: Any) -> Shot:
        return Shot(start, end, lambda: clips.pixels(frame, size, paper))

    for number, frame in enumerate(frames):
        if not size[0]:
            size = (max(1, round(frame.width * wider)), frame.height)
        _refuse_large(name, frame.width, frame.height, max_pixels)
        at = number / fps if frame.time is None else float(frame.time) - offset
        if waiting is not None:
            at = max(at, waiting[0])
            yield shot(waiting[0], at, waiting[1])
        waiting = at, frame
    if waiting is None:
        raise SourceError(f"{name}: the clip has no frame that can be read; replace the file")
    start, frame = waiting
    length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
    yield shot(start, start + (min(length, _LAST) if length > 0 else 1 / fps), frame)


# --- animated pictures


def _animation(picture: Any, name: str, paper: tuple[int, int, int]) -> Film:
    count = int(getattr(picture, "n_frames", 1))
    first = float(picture.info.get("duration") or 100.0) / 1000
    if picture.info.get("default_image"):
        count -= 1

    def shots(after: float) -> Iterator[Shot]:
        time = 0.0
        for pixels, seconds in animation.pages(picture, paper):
            yield Shot(time, time + seconds, lambda pixels=pixels: pixels)  # type: ignore[misc]
            time += seconds

    return Film(name, picture.format or "", picture.width, picture.height, 1 / first, count, None, False, shots)
