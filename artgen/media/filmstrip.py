"""Clips as a still picture: a strip of frames each, many strips on a sheet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

SHOWN = 24
"""Clips on a sheet."""

_FRAMES = 8
_COLUMNS = 2
_GAP = 6
_PAPER = 24
_WIDEST = 96  # pixels of a frame on the sheet


def strip(clip: Pixels, frames: int = _FRAMES) -> Pixels:
    """Up to ``frames`` frames of a clip uint8 [T, H, W, C], evenly chosen, side by side: uint8 [H, W * n, C]."""
    chosen = np.unique(np.linspace(0, len(clip) - 1, min(frames, len(clip))).round().astype(int))
    row: Pixels = np.concatenate([_small(clip[number]) for number in chosen], axis=1)
    return row


def sheet(clips: NDArray[np.uint8], count: int = SHOWN) -> Pixels:
    """Strips of up to ``count`` of the clips uint8 [N, T, H, W, C], evenly chosen, in two columns: uint8 [H, W, C]."""
    chosen = np.unique(np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int))
    return stacked([strip(clips[number]) for number in chosen])


def stacked(strips: list[Pixels]) -> Pixels:
    """Strips of one size under one another, in two columns where there are several."""
    height, width, channels = strips[0].shape
    columns = min(_COLUMNS, len(strips))
    rows = -(-len(strips) // columns)
    shape = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels)
    page = np.full(shape, _PAPER, np.uint8)
    for number, shown in enumerate(strips):
        # Down the first column, then the second: the order in which the clips lie.
        y, x = number % rows * (height + _GAP) + _GAP, number // rows * (width + _GAP) + _GAP
        page[y : y + height, x : x + width] = shown
    return page


def _small(frame: Pixels) -> Pixels:
    if frame.shape[0] <= _WIDEST:
        return frame
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(picture.resize((_WIDEST, _WIDEST), Image.Resampling.LANCZOS))
