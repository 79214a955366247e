"""From a stream of equal squares to clips of equal length: where scenes change, what to do with short ones, which stand still."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

Cut = Literal["scenes", "stride"]
Short = Literal["loop", "mirror", "skip"]

SINGLE = "a single frame, nothing moves"
"""Why a stream of one square has no clip."""

_AROUND = 2
"""Frames before and after a change that tell how much the film moves anyway."""

_STEP = 18.0  # mean difference of two frames, in steps of 255, below which no scene changes
_RATIO = 3.0  # how many times the movement around it a change of scene is at least
_COLOURS = 0.2  # share of the pixels whose colour must be another one, wherever they are
_SEEN = 12  # steps of 255 that noise of compression does not reach
_MOVING = 0.001  # share of the pixels that must change so that anything moves


@dataclass(frozen=True)
class Piece:
    """A clip uint8 [T, H, W, C] that begins at tick ``start``, or the ``reason`` why there is none at this place."""

    start: int
    frames: Pixels | None
    reason: str = ""


def cut_up(squares: Iterable[Pixels], length: int, *, cut: Cut, stride: int, short: Short, keep_still: bool) -> Iterator[Piece]:
    """Clips of ``length`` frames from a stream of squares, each ``stride`` after the last; memory holds little more than one clip.

    With ``scenes`` no clip holds a change of scene. A stream shorter than a clip is looped, played to and fro, or refused; so is
    a scene that is all of the stream. Clips in which nothing moves are refused unless ``keep_still``.
    """
    stream = iter(squares)
    opening = list(itertools.islice(stream, length + 1))
    if not opening:
        return
    if len(opening) <= length:
        yield _checked(_whole(opening, length, short), keep_still)
        return
    frames = itertools.chain(opening, stream)
    scenes = _scenes(frames) if cut == "scenes" else ((square, False) for square in frames)
    for piece in _clips(scenes, length, stride):
        yield _checked(piece, keep_still)


def moves(frames: Pixels) -> bool:
    """Whether anything moves in a clip uint8 [T, H, W, C]: some pixels differ from the first frame by more than noise."""
    apart = np.abs(frames.astype(np.int16) - frames[0]).max(-1) > _SEEN
    most = float(apart.mean((1, 2)).max())
    return bool(most >= max(_MOVING, 1 / apart[0].size))


def _whole(squares: list[Pixels], length: int, short: Short) -> Piece:
    count = len(squares)
    if count == length:
        return Piece(0, np.stack(squares))
    if count < 2:
        return Piece(0, None, SINGLE)
    if short == "skip":
        return Piece(0, None, f"too short: {count} frames, needs {length} (--short)")
    order = list(range(count)) if short == "loop" else [*range(count), *range(count - 2, 0, -1)]
    return Piece(0, np.stack([squares[number] for number in itertools.islice(itertools.cycle(order), length)]))


def _checked(piece: Piece, keep_still: bool) -> Piece:
    if piece.frames is None or keep_still or moves(piece.frames):
        return piece
    return Piece(piece.start, None, "still: nothing moves (--still)")


def _clips(frames: Iterable[tuple[Pixels, bool]], length: int, stride: int) -> Iterator[Piece]:
    """``frames`` come with whether a scene begins there."""
    held: deque[Pixels] = deque()
    wait = began = made = number = 0
    for number, (square, begins) in enumerate(frames):
        if begins:
            if not made:
                yield _too_short(began, number, length)
            held.clear()
            wait = made = 0
            began = number
        if wait:
            wait -= 1
            continue
        held.append(square)
        if len(held) == length:
            yield Piece(number - length + 1, np.stack(held))
            made += 1
            wait = max(0, stride - length)
            for _ in range(min(stride, length)):
                held.popleft()
    if not made:
        yield _too_short(began, number + 1, length)


def _too_short(began: int, end: int, length: int) -> Piece:
    count = "1 frame" if end - began == 1 else f"{end - began} frames"
    return Piece(began, None, f"a scene of {count}, needs {length} (--cut)")


def _scenes(frames: Iterable[Pixels]) -> Iterator[tuple[Pixels, bool]]:
    """Every frame with whether a scene begins there: it differs from the last far more than those around it from theirs.

    What flickers or moves fast all the time is no change of scene.
    """
    waiting: deque[tuple[Pixels, float, float]] = deque()  # frame, difference from the last one, share of other colours
    before: deque[float] = deque(maxlen=_AROUND)

    def judged() -> tuple[Pixels, bool]:
        square, step, colours = waiting.popleft()
        around = [*before, *(later[1] for later in waiting)]
        usual = sum(around) / len(around) if around else 0.0
        begins = step > max(_STEP, _RATIO * usual) and colours > _COLOURS
        before.append(step)
        if begins:
            before.clear()
        return square, begins

    last: Pixels | None = None
    for square in frames:
        waiting.append((square, *_change(last, square)))
        last = square
        if len(waiting) > _AROUND:
            yield judged()
    while waiting:
        yield judged()


def _change(last: Pixels | None, now: Pixels) -> tuple[float, float]:
    if last is None or last is now:
        return 0.0, 0.0
    step = float(np.abs(now.astype(np.int16) - last).mean())
    if step <= _STEP:
        return step, 0.0
    return step, float(np.abs(_colours(now) - _colours(last)).sum() / 2)


def _colours(square: Pixels) -> NDArray[np.float64]:
    """The share of the pixels in each of 64 boxes of colours."""
    boxes = square >> 6
    numbers = boxes[..., 0].astype(np.int64) << 4 | boxes[..., 1] << 2 | boxes[..., 2]
    return np.bincount(numbers.ravel(), minlength=64) / numbers.size
