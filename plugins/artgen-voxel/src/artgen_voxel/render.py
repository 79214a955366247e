"""Pictures of shapes: one view, a sheet of many, a turntable. numpy and scipy alone."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from artgen_voxel.grids import Density

Pixels = NDArray[np.uint8]

TILT = math.radians(24)
ANGLE = math.radians(35)
_PAPER = np.array([246, 243, 238], np.float32)
_CLAY = np.array([214, 122, 84], np.float32)
_SHADE = np.array([70, 52, 74], np.float32)
_LIGHT = np.array([-0.45, 0.75, 0.6])
_GAP = 4


def view(density: Density, angle: float = ANGLE, size: int = 96) -> Pixels:
    """A shape seen from the side and a little above, turned by ``angle`` about its upright axis: uint8 [size, size, 3]."""
    from scipy import ndimage

    soft = ndimage.gaussian_filter(np.pad(density, 1).astype(np.float32) / 255, 0.6)
    middle, radius = _extent(soft > 0.5)
    step = 2.1 * radius / size
    # From the viewer's grid [right, up, away] to the shape's [X, Y, Z].
    turn = _turn(angle)
    along = (np.arange(size) - (size - 1) / 2) * step
    deep = size // 2  # half as fine towards the back as across: nobody sees it, and it halves the work
    inwards = (np.arange(deep) - (deep - 1) / 2) * 2 * step
    right, up, away = np.meshgrid(along, along[::-1], inwards, indexing="ij")
    places = turn @ np.stack([right.ravel(), up.ravel(), away.ravel()]) + middle[:, None]
    seen = ndimage.map_coordinates(soft, places, order=1, mode="constant").reshape(size, size, deep)
    inside = seen > 0.5
    hit = inside.any(2)
    depth = np.where(hit, inside.argmax(2), deep - 1)
    slopes = np.stack(np.gradient(seen, 1, 1, 2), -1)  # [right, down, away, 3]: density grows inwards
    rows = np.arange(size)
    normal = -slopes[rows[:, None], rows[None, :], depth]
    normal[..., 1] *= -1  # the grid runs downwards
    normal[..., 2] *= -1  # towards the viewer
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-6)
    light = _LIGHT / np.linalg.norm(_LIGHT)
    bright = np.clip(0.5 + 0.5 * normal @ light, 0, 1) ** 1.4
    lit = _SHADE + (_CLAY - _SHADE) * np.clip(1.25 * bright, 0, 1.2)[..., None]
    far = (1 - 0.25 * (depth / deep))[..., None]
    picture = np.where(hit[..., None], lit * far, _PAPER)
    return np.ascontiguousarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8).swapaxes(0, 1))


def turntable(density: Density, frames: int = 24, size: int = 128) -> Iterator[Pixels]:
    """The shape seen once round, a frame after the other."""
    for number in range(frames):
        yield view(density, ANGLE + 2 * math.pi * number / frames, size)


def sheet(shapes: list[Density], columns: int = 6, size: int = 96) -> Pixels:
    """Views of several shapes side by side, row by row, uint8 [H, W, 3]."""
    rows = -(-len(shapes) // columns)
    columns = min(columns, len(shapes))
    page = np.empty((rows * (size + _GAP) + _GAP, columns * (size + _GAP) + _GAP, 3), np.uint8)
    page[:] = _PAPER
    for number, density in enumerate(shapes):
        y, x = (_GAP + place * (size + _GAP) for place in divmod(number, columns))
        page[y : y + size, x : x + size] = view(density, size=size)
    return page


def _extent(solid: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
    """The middle of a solid's box and the distance of its corners from there, in voxels; those of the grid for an empty one."""
    places = np.argwhere(solid) if solid.any() else np.array([[0, 0, 0], solid.shape])
    low, high = places.min(0), places.max(0)
    return (low + high) / 2, float(np.linalg.norm(high - low) / 2 + 1)


@functools.cache
def _turn(angle: float) -> NDArray[np.float64]:
    """What takes [right, up, away] of the viewer to [X, Y, Z] of the shape."""
    c, s, tilt_c, tilt_s = math.cos(angle), math.sin(angle), math.cos(TILT), math.sin(TILT)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    about_x = np.array([[1, 0, 0], [0, tilt_c, -tilt_s], [0, tilt_s, tilt_c]])
    turn: NDArray[np.float64] = about_y @ about_x
    return turn
