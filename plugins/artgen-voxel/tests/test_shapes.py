"""Files of shapes there and back, bad ones refused in a sentence, and pictures of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from artgen.artwork import Video, open_artwork
from artgen.errors import SourceError, UsageError
from artgen.recipe import GENERATED
from artgen_voxel import grids, meshes, render, samples
from artgen_voxel.shape import Shape, decoded

CHAIR = samples.chair(1)
RECIPE = '{"artgen": "0.1.0", "note": "\\u043a"}'


def npy(array: NDArray[np.generic]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def overlap(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    return float((one & two).sum() / (one | two).sum())


# --- there and back


@pytest.mark.parametrize("ending", Shape.endings)
def test_every_file_opens_again_with_its_recipe(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    Shape(grids.to_density(CHAIR)).encode(path, RECIPE, GENERATED)
    work = open_artwork(path, "shape")
    assert isinstance(work, Shape)
    assert Shape.read_text(path) == RECIPE
    if ending in (".obj", ".stl"):
        # The mesh fills the cube that the chair stood in, on its feet and facing the same way.
        assert overlap(grids.to_solid(work.density), grids.fitted(np.pad(CHAIR, 1), 32)) > 0.7
    else:
        assert np.array_equal(grids.to_solid(work.density), CHAIR)
    (tmp_path / "none").mkdir()
    bare = tmp_path / "none" / f"a{ending}"
    Shape(grids.to_density(CHAIR)).encode(bare, "", "")
    assert Shape.read_text(bare) is None


def test_soft_edges_are_kept_in_arrays_and_turntables(tmp_path: Path) -> None:
    density = np.random.default_rng(0).integers(0, 256, (32, 32, 32), dtype=np.uint8)
    for ending in (".npy", ".gif"):
        Shape(density).encode(tmp_path / f"a{ending}", "", "")
        assert np.array_equal(Shape.decode(tmp_path / f"a{ending}").density, density)


def test_a_turntable_is_a_film_for_everybody_else(tmp_path: Path) -> None:
    Shape(grids.to_density(CHAIR)).encode(tmp_path / "a.gif", RECIPE, GENERATED)
    film = open_artwork(tmp_path / "a.gif")
    assert isinstance(film, Video)
    assert film.frames.shape == (24, 128, 128, 3)
    film.save(tmp_path / "b.gif")
    with pytest.raises(SourceError, match=r"a film without voxels behind it; give the \.npy, \.binvox, \.obj or \.stl"):
        Shape.decode(tmp_path / "b.gif")


def test_binvox_of_any_sizes_and_long_runs() -> None:
    random = np.random.default_rng(0)
    for sizes in ((1, 1, 1), (5, 9, 3), (40, 40, 40)):
        for solid in (random.random(sizes) < 0.5, np.zeros(sizes, bool), np.ones(sizes, bool)):
            assert np.array_equal(grids.to_solid(grids.read_binvox(grids.binvox_bytes(solid), "a")), solid)


def test_binvox_axes_are_x_z_y() -> None:
    """The format stores Y fastest: the second voxel of the file is one above the first."""
    data = b"#binvox 1\ndim 2 2 2\ntranslate 0 0 0\nscale 1\ndata\n" + bytes([0, 1, 1, 1, 0, 6])
    assert np.argwhere(grids.to_solid(grids.read_binvox(data, "a"))).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    ("array", "inside"),
    [
        (np.array([[[True, False]]]), [1, 0]),
        (np.array([[[1, 0]]], np.uint8), [1, 0]),
        (np.array([[[200, 100]]], np.uint8), [1, 0]),
        (np.array([[[3, -1]]], np.int64), [1, 0]),
        (np.array([[[0.6, 0.4]]], np.float32), [1, 0]),
    ],
)
def test_arrays_of_many_kinds(array: NDArray[np.generic], inside: list[int]) -> None:
    assert grids.to_solid(grids.read_npy(npy(array), "a")).ravel().tolist() == [bool(value) for value in inside]


# --- meshes


def test_the_surface_is_closed_and_faces_outwards() -> None:
    import trimesh

    vertices, faces = meshes.marching_cubes(grids.to_density(CHAIR))
    mesh = trimesh.Trimesh(vertices, faces)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(CHAIR.sum(), rel=0.2)  # inside out it would be negative
    assert len(meshes.marching_cubes(np.zeros((4, 4, 4), np.uint8))[1]) == 0


def test_a_mesh_is_filled_scaled_and_centred() -> None:
    import trimesh

    box = trimesh.creation.box((1, 2, 0.5)).export(file_type="obj").encode()
    solid = meshes.voxels(box, ".obj", "a", 32)
    places = np.argwhere(solid)
    assert (places.max(0) - places.min(0) + 1).tolist() == pytest.approx([15, 30, 8], abs=1)
    assert solid.sum() == pytest.approx(15 * 30 * 7.5, rel=0.2)
    assert (places.max(0) + places.min(0)).tolist() == pytest.approx([31, 31, 31], abs=1)
    shell = meshes.voxels(box, ".obj", "a", 32, fill=False)
    assert 0 < shell.sum() < 0.7 * solid.sum()


@pytest.mark.parametrize("ending", meshes.ENDINGS)
def test_every_kind_of_mesh_is_read(ending: str) -> None:
    import trimesh

    exported = trimesh.creation.icosphere(subdivisions=2).export(file_type=ending[1:])
    data = exported if isinstance(exported, bytes) else exported.encode()
    density = decoded(data, ending, "a", 32)
    assert (density > 0).sum() == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.1)


def test_a_mesh_is_shown_with_its_own_triangles(tmp_path: Path) -> None:
    import trimesh

    (tmp_path / "box.stl").write_bytes(trimesh.creation.box((1, 2, 0.5)).export(file_type="stl"))
    assert Shape.decode(tmp_path / "box.stl").facts()["triangles"] == 12
    shape = Shape(grids.to_density(CHAIR))
    for ending in (".obj", ".stl", ".npy"):
        shape.save(tmp_path / f"chair{ending}")
        assert Shape.decode(tmp_path / f"chair{ending}").facts()["triangles"] == shape.facts()["triangles"]


def test_a_mesh_gets_no_other_files(tmp_path: Path) -> None:
    (tmp_path / "secret.mtl").write_text("newmtl a\n")
    data = (
        f"mtllib {tmp_path}/secret.mtl\nusemtl a\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n".encode()
    )
    assert meshes.voxels(data, ".obj", "a", 32).any()


# --- bad files


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.npy", b"", "a.npy: the file is empty; give voxels"),
        ("a.npy", b"\x93NUMPY\x01\x00", "a.npy: no array of numpy"),
        ("a.npy", npy(np.zeros((3, 3))), r"a.npy: an array \[3, 3\] of float64; give voxels \[X, Y, Z\]"),
        ("a.npy", npy(np.full((2, 2, 2), 1.5)), "a.npy: fractions outside 0 to 1"),
        ("a.npy", npy(np.full((2, 2, 2), np.nan)), "a.npy: fractions outside 0 to 1"),
        ("a.npy", npy(np.ones((4, 4, 4)))[:-9], "a.npy: cut short"),
        ("a.npy", npy(np.zeros((1, 1, 1), bool)).replace(b"(1, 1, 1), }  ", b"(1, 1, 1), (  "), "a.npy: no array of numpy"),
        (
            "a.npy",
            npy(np.zeros((1, 1, 1), bool)).replace(b"(1, 1, 1), }      ", b"(9999, 9999, 9), }"),
            "a.npy: 9999x9999x9 voxels, at",
        ),
        ("a.binvox", b"#binvox 1\ndim 2 2\ndata\n", "a.binvox: its dim is 2 2; three sizes are needed"),
        ("a.binvox", b"#binvox 1\ndim 2 2 2\ndata\n\x01\x05", "a.binvox: 5 of 8 voxels are there; replace the file"),
        ("a.binvox", b"#binvox 1\ndim 9999 9999 9999\ndata\n", "a.binvox: 9999x9999x9999 voxels, at most"),
        ("a.binvox", b"#binvox 1\n", "a.binvox: no binvox file"),
        ("a.txt", b"words", r"a.txt: no shape of a known kind; give voxels \(\.npy, \.binvox\) or a mesh"),
        ("a.obj", b"v 0 0 0\n", "a.obj: a mesh without triangles|a.obj: the mesh is damaged"),
        ("a.stl", b"solid nothing\nendsolid\n", "a.stl: "),
        ("a.obj", b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "a.obj: "),
        ("a.glb", b"glTF not really", "a.glb: the mesh is damaged or of another kind"),
    ],
)
def test_what_is_no_shape_gets_a_sentence(name: str, data: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        decoded(data, Path(name).suffix, name)
    assert "\n" not in str(caught.value)


def test_pickles_are_never_read() -> None:
    data = npy(np.zeros((1, 1, 1))).replace(b"'<f8'", b"'|O' ")
    with pytest.raises(SourceError, match="of object; give voxels"):
        decoded(data, ".npy", "a.npy")


def test_too_many_triangles_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import trimesh

    data = trimesh.creation.icosphere(subdivisions=1).export(file_type="stl")
    monkeypatch.setattr(meshes, "MOST_FACES", 79)
    with pytest.raises(SourceError, match="80 triangles, at most 79 are read; simplify it"):
        meshes.voxels(data, ".stl", "a", 32)
    monkeypatch.setattr(meshes, "MOST_FACES", 80)
    monkeypatch.setattr(meshes, "_MOST_PIECES", 10)
    with pytest.raises(SourceError, match="too many and too large triangles"):
        meshes.voxels(data, ".stl", "a", 32)


def test_a_shape_is_bytes_in_three_dimensions() -> None:
    with pytest.raises(UsageError, match=r"a shape is voxels uint8 \[X, Y, Z\], not float32 \[2, 2\]"):
        Shape(np.zeros((2, 2), np.float32))  # type: ignore[arg-type]
    assert Shape(grids.to_density(CHAIR)).facts()["voxels"] == [32, 32, 32]


# --- grids


def test_a_solid_of_another_size_fills_the_cube() -> None:
    assert grids.fitted(CHAIR, 32) is CHAIR
    for side in (16, 48, 100):
        solid = grids.fitted(samples.chair(1, side), 32)
        places = np.argwhere(solid)
        assert solid.shape == (32, 32, 32)
        assert places.min() >= 1
        assert (places.max(0) - places.min(0)).max() >= 28
    thin = np.zeros((128, 128, 128), bool)
    thin[10:120, 60:63, 60:63] = True
    assert grids.fitted(thin, 32).sum(0).any()
    assert not grids.fitted(np.zeros((4, 4, 4), bool), 32).any()


def test_specks_in_the_air_are_taken_out() -> None:
    density = np.zeros((16, 16, 16), np.uint8)
    density[2:8, 2:8, 2:8] = 255
    density[12:14, 12:14, 12:14] = 255
    clean = grids.largest_piece(density)
    assert clean[2:8, 2:8, 2:8].min() == 255
    assert clean[10:].max() == 0
    assert grids.largest_piece(clean) is clean


# --- pictures


def test_a_view_shows_the_shape_lit_from_above() -> None:
    picture = render.view(grids.to_density(CHAIR), size=64)
    paper = picture[0, 0]
    drawn = (picture != paper).any(2)
    assert 0.05 < drawn.mean() < 0.7
    assert not drawn[0].any()
    box = np.zeros((32, 32, 32), np.uint8)
    box[8:24, 8:24, 8:24] = 255
    lit = render.view(box, 0.0, 64).sum(2, dtype=int)
    assert lit[16, 32] > lit[45, 32] + 50  # the top is brighter than the front
    assert (render.view(np.zeros((8, 8, 8), np.uint8), size=32) == paper).all()


def test_a_turntable_comes_round() -> None:
    frames = list(render.turntable(grids.to_density(CHAIR), 4, 48))
    again = render.view(grids.to_density(CHAIR), render.ANGLE + 2 * np.pi, 48)
    assert np.abs(again.astype(int) - frames[0]).mean() < 1
    assert np.abs(frames[1].astype(int) - frames[0]).mean() > 2
    assert render.sheet([grids.to_density(CHAIR)] * 7, columns=3, size=20).shape == (3 * 24 + 4, 3 * 24 + 4, 3)
