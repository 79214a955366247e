"""Meshes to voxels with trimesh, and voxels to meshes by marching cubes: ``.obj``, ``.stl`` and what trimesh reads."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import ArtgenError, SourceError
from artgen_voxel.grids import INSIDE, MARGIN, Density, Solid

ENDINGS = (".obj", ".stl", ".ply", ".off", ".glb")
"""Endings of meshes; the names tell, because an OBJ or STL may begin like any text."""

MOST_FACES = 2_000_000
_FINE = 0.5  # voxels: no piece of a triangle is longer, so none jumps over a voxel
_MOST_PIECES = 20_000_000


Vertices = NDArray[np.float64]
Faces = NDArray[np.int64]


def voxels(data: bytes, ending: str, name: str, resolution: int, *, fill: bool = True) -> Solid:
    """A mesh as a solid in a cube of ``resolution``, scaled to fill it; with ``fill`` what it encloses is inside.

    Raises:
        SourceError: it is no mesh of that kind, damaged, flat to a point, or too large.
    """
    return filled(*read(data, ending, name), name, resolution, fill=fill)


def filled(vertices: Vertices, faces: Faces, name: str, resolution: int, *, fill: bool = True) -> Solid:
    """The solid of vertices [V, 3] and triangles [F, 3], Y upwards, as :func:`voxels` says."""
    from scipy import ndimage

    low, high = vertices.min(0), vertices.max(0)
    longest = float((high - low).max())
    if not np.isfinite(longest) or longest <= 0:
        raise SourceError(f"{name}: a mesh without extent; give one of a solid")
    room = resolution - 2 * MARGIN
    scale = room / longest
    placed = (vertices - (low + high) / 2) * scale + resolution / 2
    solid = np.zeros((resolution,) * 3, bool)
    cells = np.clip(np.floor(_finer(placed, faces, name)), MARGIN, resolution - 1 - MARGIN).astype(np.int64)
    solid[tuple(cells.T)] = True
    return ndimage.binary_fill_holes(solid) if fill else solid


def marching_cubes(density: Density) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The surface of a density as vertices [V, 3] in voxels and triangles [F, 3] that face outwards; none for an empty one.

    Source: Lewiner et al. 2003, as scikit-image has it.
    """
    from skimage import measure

    padded = np.pad(density, 1).astype(np.float32)
    if padded.max() <= INSIDE + 0.5:
        return np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int64)
    vertices, faces, _, _ = measure.marching_cubes(padded, INSIDE + 0.5, gradient_direction="ascent")
    return np.asarray(vertices, np.float32) - 1, np.asarray(faces, np.int64)


def obj_bytes(density: Density, remarks: str = "") -> bytes:
    """The surface as an OBJ, Y upwards; every line of ``remarks`` stands in a comment at its head."""
    vertices, faces = marching_cubes(density)
    lines = [f"# artgen: {line}\n" for line in remarks.splitlines()]
    lines += [f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in vertices.tolist()]
    lines += [f"f {a} {b} {c}\n" for a, b, c in (faces + 1).tolist()]
    return "".join(lines).encode()


def stl_bytes(density: Density) -> bytes:
    """The surface as a binary STL, Z upwards as printers have it."""
    vertices, faces = marching_cubes(density)
    upright = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1) if len(vertices) else vertices
    corners = upright[faces]  # [F, 3, 3]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    table = np.zeros(len(faces), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]))
    table["normal"], table["corners"] = normals, corners
    return b"artgen".ljust(80) + np.uint32(len(faces)).tobytes() + table.tobytes()


def read(data: bytes, ending: str, name: str) -> tuple[Vertices, Faces]:
    """The vertices [V, 3], Y upwards, and triangles [F, 3] of a mesh.

    Raises:
        SourceError: it is no mesh of that kind, damaged, or has too many triangles.
    """
    import trimesh

    try:
        # From memory and without a resolver: a mesh that names other files or addresses gets none of them.
        loaded: Any = trimesh.load_scene(io.BytesIO(data), file_type=ending.removeprefix("."), skip_materials=True)
        mesh: Any = loaded.to_mesh()
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except ArtgenError:
        raise
    except Exception as error:  # the bytes are anybody's, and the readers of twenty formats raise what they trip over
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise SourceError(f"{name}: the mesh is damaged or of another kind ({reason}); give one such as OBJ, STL or PLY") from None
    if not len(vertices) or not len(faces):
        raise SourceError(f"{name}: a mesh without triangles; give one of a solid")
    if len(faces) > MOST_FACES:
        raise SourceError(f"{name}: {len(faces):,} triangles, at most {MOST_FACES:,} are read; simplify it")
    if ending == ".stl":  # the one kind that has Z upwards by custom: printers do
        vertices = np.stack([vertices[:, 0], vertices[:, 2], -vertices[:, 1]], 1)
    return vertices, faces


def _finer(vertices: Vertices, faces: Faces, name: str) -> NDArray[np.float64]:
    """Points [N, 3] on the triangles, no further apart than half a voxel.

    Every triangle gets a lattice of points as fine as its longest edge asks for.
    """
    corners = vertices[faces]  # [F, 3, 3]
    edges = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    parts = np.maximum(1, np.ceil(edges / _FINE)).astype(np.int64)
    total = int(((parts + 1) * (parts + 2) // 2).sum())
    if total > _MOST_PIECES:
        raise SourceError(f"{name}: too many and too large triangles; simplify it")
    found = []
    for count in np.unique(parts):
        i, j = np.meshgrid(np.arange(count + 1), np.arange(count + 1), indexing="ij")
        inside = i + j <= count
        weights = np.stack([i[inside], j[inside], count - i[inside] - j[inside]], 1) / count  # [P, 3]
        found.append(np.einsum("pk,fkc->fpc", weights, corners[parts == count]).reshape(-1, 3))
    return np.concatenate(found)
