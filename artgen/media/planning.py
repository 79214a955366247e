"""Before films are cut into clips: a rate that suits them all, and long ones divided into parts for all cores."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from artgen.errors import SourceError
from artgen.media import clip_kinds, clips, film
from artgen.media.archives import Reader
from artgen.media.clipwork import Take
from artgen.media.sources import Item

PART = 300.0
"""Seconds of a long film that are cut at one go: short enough for many cores, a bar that moves, and to lose little by a stop."""

_LARGE = 2**24  # bytes below which no file is worth dividing
_ASKED = 64  # films whose headers tell the usual rate
_FEWEST = 8.0  # frames a second, below which motion falls apart
_LONGEST = 2.0  # seconds that a clip lasts at most
_USUAL = 25.0


def survey(items: Sequence[Item], source_fps: float, max_pixels: int) -> tuple[list[float], list[float]]:
    """The frames a second and the seconds of some of the films, evenly chosen; those that cannot be read are passed over."""
    chosen = sorted({round(number) for number in np.linspace(0, len(items) - 1, min(_ASKED, len(items)))})
    rates, lengths = [], []
    with Reader() as reader:
        for number in chosen:
            item = items[number]
            if item.frames:
                rates.append(source_fps)
                lengths.append(len(item.frames) / source_fps)
                continue
            try:
                given = item.source.path or reader.read(item.source)
                with film.opened(given, item.source.name, max_pixels=max_pixels) as shown:
                    seconds = shown.seconds or (shown.frames or 1) / shown.fps
                    if shown.frames == 1:
                        continue
                    rates.append(shown.fps)
                    lengths.append(seconds)
            except SourceError:
                continue
    return rates, lengths


def rate_for(rates: Sequence[float], lengths: Sequence[float], frames: int) -> float:
    """A whole part of the films' own rate (median), so that ``frames`` last about as long as a film, at most 2 seconds.

    A part of the rate takes every second or third frame, which moves as evenly as the film itself.
    """
    if not rates:
        return _USUAL
    native = float(np.median(rates))
    wanted = min(_LONGEST, float(np.median(lengths)))
    parts = max(1, int(native * wanted / frames + 0.5))
    while parts > 1 and native / parts < _FEWEST:
        parts -= 1
    return native / parts


def takes_of(items: Sequence[Item], fps: float) -> list[tuple[int, Take]]:
    """What is cut at one go, in order, each with the number of its item: whole films, and long ones in parts."""
    takes: list[tuple[int, Take]] = []
    for number, item in enumerate(items):
        ends = [] if item.frames else _ends(item, fps)
        if len(ends) < 2:
            takes.append((number, Take(item.source, item.frames)))
            continue
        edges = [0.0, *ends[:-1], None]
        takes.extend((number, Take(item.source, (), start or 0.0, stop)) for start, stop in pairwise(edges))
    return takes


def _ends(item: Item, fps: float) -> list[float]:
    """The seconds at which the parts of a long film end, on ticks of the clips' rate; nothing for one that stays whole."""
    path = item.source.path
    if path is None or item.source.size < _LARGE:
        return []
    try:
        with path.open("rb") as file:
            if not clip_kinds.is_clip_format(file.read(clip_kinds.HEAD)):
                return []
        with clips.opened(path, item.source.name) as container:
            seconds = float(clips.promised(container))
    except (OSError, SourceError):
        return []
    count = int(seconds // PART)
    return [round(PART * part * fps) / fps for part in range(1, count + 1)] if count > 1 else []
