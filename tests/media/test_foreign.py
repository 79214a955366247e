"""Files that people have among their pictures and that artgen does not read: each is named, with what to do."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from artgen import api, describe
from artgen.errors import SourceError
from artgen.media import foreign, image
from artgen.media.prepare_image import Prepare, prepare

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)
SVG = b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"></svg>'
FILES = {
    "a.heic": (HEIC, 'a HEIC photo, which is not read (export it as JPEG, or type: pip install "artgen[heic]")'),
    "b.jpg": (HEIC, "a HEIC photo, which is not read (export it as JPEG"),
    "c.svg": (SVG, "an SVG drawing, which has no pixels (export it as PNG)"),
    "d.cr2": (
        b"II*\0\x10\0\0\0CR\2\0" + bytes(300),
        "a camera's raw file, which is not read (develop it to JPEG or TIFF in a photo",
    ),
    "e.cr3": (b"\0\0\0\x18ftypcrx " + bytes(300), "a camera's raw file"),
    "f.RAF": (b"FUJIFILMCCD-RAW 0201" + bytes(300), "a camera's raw file"),
    "g.psd": (b"8BPS\0\2" + bytes(100), "a Photoshop file of a kind that is not read (export it as PNG or JPEG)"),
    "h.pdf": (b"%PDF-1.7 words", "a PDF document, not a picture (export it as PNG or JPEG, page by page)"),
    "i.jpg": (b"\n<!DOCTYPE html><html>", "a web page, not a picture (download the picture itself)"),
    "j.xcf": (b"gimp xcf v011" + bytes(100), "a GIMP file"),
    "k.jxl": (b"\xff\x0a" + bytes(100), "a JPEG XL picture"),
    "l.png": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), "a sound, not a picture (artgen audio prepare takes it)"),
    "m.png": (b"\0\0\0\x18ftypisom" + bytes(300), "a clip, not a picture (artgen video prepare takes it)"),
    "n.png": (b"PK\x03\x04" + bytes(100), "a zip archive by its content (give its name the ending .zip"),
}


@pytest.fixture(autouse=True)
def afresh() -> Iterator[None]:
    foreign.learn_heic.cache_clear()
    yield
    foreign.learn_heic.cache_clear()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_picture_is_named_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for package in ("pi_heif", "pillow_heif"):
        monkeypatch.setitem(sys.modules, package, None)
    data, sentence = FILES[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError) as caught:
        image.decode(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: {sentence}")
    if name in ("a.heic", "c.svg", "d.cr2", "h.pdf"):
        for opening in (describe.show, lambda path: api.own_work("image", path)):
            with pytest.raises(SourceError) as caught:
                opening(tmp_path / name)
            assert str(caught.value).startswith(f"{tmp_path / name}: {sentence}")


def test_the_preview_in_a_raw_file_is_not_taken_for_the_picture(tmp_path: Path) -> None:
    Pillow.new("RGB", (160, 120), "red").save(tmp_path / "a.tif")
    assert image.decode(tmp_path / "a.tif").shape == (120, 160, 3)
    for name in ("a.NEF", "a.dng"):
        (tmp_path / "a.tif").rename(tmp_path / name)
        with pytest.raises(SourceError, match="a camera's raw file, which is not read"):
            image.decode(tmp_path / name)
        (tmp_path / name).rename(tmp_path / "a.tif")


def test_prepare_lists_them_with_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    Pillow.new("RGB", (16, 16), "red").save(folder / "0.png")
    for name in ("c.svg", "d.cr2"):
        (folder / name).write_bytes(FILES[name][0])
    made = prepare([folder], tmp_path / "out", Prepare(resolution=8))
    assert [skip.reason for skip in made.manifest.skipped] == [
        "an SVG drawing, which has no pixels (export it as PNG)",
        "a camera's raw file, which is not read (develop it to JPEG or TIFF in a photo editor)",
    ]


def test_heic_is_read_where_a_package_for_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("pi_heif")

    def register_heif_opener() -> None:
        Pillow.register_open("HEIF", lambda file, name: Pillow.new("RGB", (5, 4), "blue"), lambda head: head[4:12] == b"ftypheic")  # type: ignore

    package.register_heif_opener = register_heif_opener  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pi_heif", package)
    (tmp_path / "a.heic").write_bytes(HEIC)
    try:
        assert np.array_equal(image.decode(tmp_path / "a.heic"), np.full((4, 5, 3), (0, 0, 255), np.uint8))
    finally:
        Pillow.OPEN.pop("HEIF", None)
        if "HEIF" in Pillow.ID:
            Pillow.ID.remove("HEIF")
