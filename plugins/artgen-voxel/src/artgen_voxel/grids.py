"""Solids as grids of voxels: read and written as ``.binvox`` and ``.npy``, brought to one size, cleaned of specks.

A grid is an array [X, Y, Z] with Y upwards. A *density* is uint8, 0 outside and 255 inside, 127.5 on the surface.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError

Density = NDArray[np.uint8]
Solid = NDArray[np.bool_]

MOST = 2**27
"""Voxels of the largest grid that is read: 512 a side."""

INSIDE = 127
"""A density above it is inside."""

MARGIN = 1
"""Voxels left free around a shape that is scaled to its cube."""


def read_npy(data: bytes, name: str) -> Density:
    """The density in the bytes of an ``.npy`` file: bools, whole numbers (0 is outside) or fractions from 0 to 1.

    Bytes of which some exceed 1 are taken for a density.

    Raises:
        SourceError: it is no such array, or too large.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        shape, _, kind = (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    except Exception as error:  # a header is a piece of Python: whatever its parser trips over
        reason = str(error).split("\n")[0] or type(error).__name__
        raise SourceError(f"{name}: no array of numpy ({reason}); give an .npy file of three dimensions") from None
    if len(shape) != 3 or 0 in shape or kind.kind not in "buif":
        raise SourceError(f"{name}: an array {list(shape)} of {kind}; give voxels [X, Y, Z] of bools or numbers")
    _refuse_large(shape, name)
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise SourceError(f"{name}: cut short ({error}); replace the file") from None
    if kind.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise SourceError(f"{name}: fractions outside 0 to 1; give voxels of bools, whole numbers or fractions from 0 to 1")
        density: Density = np.rint(array * 255).astype(np.uint8)
        return density
    if kind == np.uint8 and array.max() > 1:
        return np.ascontiguousarray(array)
    return to_density(array > 0)


def read_binvox(data: bytes, name: str) -> Density:
    """The density in the bytes of a ``.binvox`` file: a header in words, then runs of equal voxels.

    Raises:
        SourceError: it is no such file, cut short, or too large.
    Source of the format: Min, "binvox", www.patrickmin.com/binvox.
    """
    head, mark, body = data.partition(b"\ndata\n")
    lines = head.decode("ascii", "replace").split("\n")
    sizes = [line.split()[1:] for line in lines if line.startswith("dim ")]
    if not lines[0].startswith("#binvox 1") or not mark or len(sizes) != 1:
        raise SourceError(f"{name}: no binvox file; its first line is #binvox 1, and dim and data follow")
    numbers = [int(size) for size in sizes[0] if size.isdigit() and len(size) < 6]
    if len(numbers) != 3 or 0 in numbers:
        raise SourceError(f"{name}: its dim is {' '.join(sizes[0])}; three sizes are needed")
    _refuse_large(numbers, name)
    runs = np.frombuffer(body[: len(body) // 2 * 2], np.uint8).reshape(-1, 2)
    if int(runs[:, 1].sum(dtype=np.int64)) != int(np.prod(numbers)):
        told = f"{int(runs[:, 1].sum(dtype=np.int64)):,} of {int(np.prod(numbers)):,} voxels"
        raise SourceError(f"{name}: {told} are there; replace the file")
    flat = np.repeat(runs[:, 0] > 0, runs[:, 1])
    return to_density(flat.reshape(numbers).transpose(0, 2, 1))  # stored as [X, Z, Y]


def binvox_bytes(solid: Solid) -> bytes:
    """A solid as the bytes of a ``.binvox`` file."""
    stored = np.ascontiguousarray(solid.transpose(0, 2, 1))
    sizes = " ".join(map(str, stored.shape))
    head = f"#binvox 1\ndim {sizes}\ntranslate 0 0 0\nscale 1\ndata\n".encode()
    flat = stored.ravel().astype(np.uint8)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] ^ 1))
    runs = bytearray()
    for start, stop in zip(starts, [*starts[1:], len(flat)], strict=True):
        length = int(stop - start)
        runs += bytes([flat[start], 255]) * (length // 255)
        if length % 255:
            runs += bytes([flat[start], length % 255])
    return head + bytes(runs)


def to_density(solid: NDArray[np.bool_]) -> Density:
    """A solid as a density without soft edges."""
    return np.ascontiguousarray(solid).astype(np.uint8) * np.uint8(255)


def to_solid(density: Density) -> Solid:
    """Where a density is inside."""
    return density > INSIDE


def fitted(solid: Solid, resolution: int) -> Solid:
    """A solid in a cube of ``resolution``: of that size it stays as it is, of any other it is scaled to fill it, and centred."""
    if solid.shape == (resolution,) * 3 or not solid.any():
        return solid
    from scipy import ndimage

    corner = [np.flatnonzero(solid.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    part = solid[tuple(slice(places[0], places[-1] + 1) for places in corner)]
    room = resolution - 2 * MARGIN
    scale = room / max(part.shape)
    sizes = [min(room, max(1, round(side * scale))) for side in part.shape]
    factors = [size / side for size, side in zip(sizes, part.shape, strict=True)]
    # Averages first where it shrinks: every voxel of the old grid has a say.
    soft = ndimage.uniform_filter(part.astype(np.float32), [max(1, round(1 / factor)) for factor in factors], mode="constant")
    small = ndimage.zoom(soft, factors, order=1, grid_mode=True, mode="grid-constant")
    cube = np.zeros((resolution,) * 3, bool)
    starts = [(resolution - size) // 2 for size in small.shape]
    cube[tuple(slice(start, start + size) for start, size in zip(starts, small.shape, strict=True))] = small > 0.4
    return cube


def largest_piece(density: Density) -> Density:
    """The density with its largest connected solid alone; specks that hang in the air are taken out."""
    from scipy import ndimage

    pieces, count = ndimage.label(to_solid(density))
    if count < 2:
        return density
    largest = 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    others = ndimage.binary_dilation((pieces > 0) & (pieces != largest), iterations=1) & (pieces != largest)
    return np.where(others, 0, density).astype(np.uint8)


def _refuse_large(sizes: tuple[int, ...] | list[int], name: str) -> None:
    if int(np.prod(sizes, dtype=np.int64)) > MOST:
        shown = "x".join(map(str, sizes))
        raise SourceError(f"{name}: {shown} voxels, at most {MOST:,} are read; make it coarser")
