"""The modality ``shape``: a solid of voxels, saved as an array, as a mesh, or as a film that turns it round."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from artgen.artwork import Artwork, write_sidecar
from artgen.errors import SourceError, UsageError
from artgen.files import write_atomically
from artgen.media import image, video
from artgen_voxel import grids, meshes, render
from artgen_voxel.grids import Density

RESOLUTION = 32
"""Voxels a side of a mesh that is opened."""

FPS = 12.0
_LARGEST = 512 * 2**20
_REMARK = "# artgen: "
_VOXELS = b"\x21\xff\x0bartgen3D1.0"  # an application extension of GIF: other programs pass over it


@dataclass(eq=False)
class Shape(Artwork):
    """A solid: ``density`` uint8 [X, Y, Z] with Y upwards, 0 outside, 255 inside, half of it on the surface.

    ``triangles`` is how many the mesh had that it was read from; None where it comes from voxels.
    """

    density: Density
    triangles: int | None = None
    modality: ClassVar[str] = "shape"
    endings: ClassVar[tuple[str, ...]] = (".npy", ".binvox", ".obj", ".stl", ".gif")

    def __post_init__(self) -> None:
        if self.density.ndim != 3 or self.density.dtype != np.uint8:
            raise UsageError(f"a shape is voxels uint8 [X, Y, Z], not {self.density.dtype} {list(self.density.shape)}")

    def numpy(self) -> Density:
        """The density, uint8 [X, Y, Z]."""
        return self.density

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write ``.npy`` or ``.binvox`` (voxels), ``.obj`` or ``.stl`` (the surface), or ``.gif`` (a turntable).

        OBJ and GIF hold the recipe inside, the others beside them.
        """
        ending = path.suffix.lower()
        if ending == ".gif":
            write_atomically(path, lambda place: self._turned(place, text, mark))
            return
        if ending == ".obj":
            write_atomically(path, meshes.obj_bytes(self.density, text or f'{{"mark": "{mark}"}}' if text or mark else ""))
            return
        write_atomically(path, self._bytes(ending))
        write_sidecar(path, text, mark)

    def _turned(self, path: Path, text: str, mark: str) -> None:
        """A turntable with the voxels themselves behind its pictures, so that it can be opened as a shape again."""
        video.encode_stream(self.turntable(), FPS, path, text, mark)
        packed = zlib.compress(self._bytes(".npy"), 9)
        blocks = b"".join(bytes([len(part)]) + part for part in (packed[at : at + 255] for at in range(0, len(packed), 255)))
        path.write_bytes(path.read_bytes()[:-1] + _VOXELS + blocks + b"\0" + b";")

    def _bytes(self, ending: str) -> bytes:
        if ending == ".binvox":
            return grids.binvox_bytes(grids.to_solid(self.density))
        if ending == ".stl":
            return meshes.stl_bytes(self.density)
        file = io.BytesIO()
        np.save(file, self.density, allow_pickle=False)
        return file.getvalue()

    @classmethod
    def decode(cls, path: Path) -> Self:
        """Voxels, or a mesh that is filled with them.

        Raises:
            SourceError: it is neither, or damaged.
        """
        if path.suffix.lower() == ".gif":
            return cls(_behind(_read(path), str(path)))
        data, ending, name = _read(path), path.suffix.lower(), str(path)
        if not is_mesh(data, ending):
            return cls(decoded(data, ending, name))
        vertices, faces = meshes.read(data, ending, name)
        return cls(grids.to_density(meshes.filled(vertices, faces, name, RESOLUTION)), len(faces))

    @classmethod
    def read_text(cls, path: Path) -> str | None:
        """The recipe text in an OBJ or GIF, else beside the file."""
        ending = path.suffix.lower()
        if ending == ".gif":
            return image.read_text(path)
        if ending != ".obj":
            return super().read_text(path)
        with path.open(encoding="utf-8", errors="replace") as lines:
            found = []
            for line in lines:
                if not line.startswith("#"):
                    break
                found += [line.removeprefix(_REMARK).rstrip("\n")] if line.startswith(_REMARK) else []
        return "\n".join(found) or None

    def facts(self) -> dict[str, Any]:
        """Size, share of the cube that is filled, and the triangles of the mesh, or of the surface of voxels."""
        triangles = len(meshes.marching_cubes(self.density)[1]) if self.triangles is None else self.triangles
        return {
            "voxels": list(self.density.shape),
            "filled": round(float(grids.to_solid(self.density).mean()), 4),
            "triangles": triangles,
        }

    def turntable(self) -> Iterator[render.Pixels]:
        """The shape seen once round."""
        return render.turntable(self.density)

    def _repr_png_(self) -> bytes:
        return image.png_bytes(render.view(self.density, size=192))


def decoded(data: bytes, ending: str, name: str, resolution: int = RESOLUTION, *, fill: bool = True) -> Density:
    """The density in the bytes of a file of that ``ending``; a mesh is filled into a cube of ``resolution``.

    Raises:
        SourceError: it is no shape, or damaged.
    """
    if not data:
        raise SourceError(f"{name}: the file is empty; give voxels (.npy, .binvox) or a mesh ({', '.join(meshes.ENDINGS)})")
    if data.startswith(b"\x93NUMPY"):
        return grids.read_npy(data, name)
    if data.startswith(b"#binvox"):
        return grids.read_binvox(data, name)
    if is_mesh(data, ending):
        return grids.to_density(meshes.voxels(data, ending, name, resolution, fill=fill))
    raise SourceError(f"{name}: no shape of a known kind; give voxels (.npy, .binvox) or a mesh ({', '.join(meshes.ENDINGS)})")


def is_mesh(data: bytes, ending: str) -> bool:
    """Whether the bytes of a file of that ``ending`` are to be read as a mesh."""
    return bool(data) and not data.startswith((b"\x93NUMPY", b"#binvox")) and ending in meshes.ENDINGS


def _behind(data: bytes, name: str) -> Density:
    """The voxels that :meth:`Shape.encode` put into a turntable."""
    at = data.rfind(_VOXELS)
    packed, place = b"", at + len(_VOXELS)
    while at >= 0 and place < len(data) and data[place]:
        packed += data[place + 1 : place + 1 + data[place]]
        place += 1 + data[place]
    try:
        # One byte more than the largest array may have: a bomb of zeros is found out before it fills the memory.
        array = zlib.decompressobj().decompress(packed, grids.MOST + 1024)
    except zlib.error:
        array = b""
    if not array:
        raise SourceError(f"{name}: a film without voxels behind it; give the .npy, .binvox, .obj or .stl of the shape")
    return grids.read_npy(array, name)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise SourceError(f"{path}: larger than {_LARGEST // 2**20} MB; make it coarser")
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None
