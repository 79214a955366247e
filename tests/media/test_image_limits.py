"""Pictures that are too large, damaged, or none at all."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import RANDOM, SOFT, save
from PIL import Image, ImageFile

from artgen.errors import SourceError
from artgen.media import image


def png(width: int, height: int, extra: bytes = b"") -> bytes:
    """The header of a PNG and as good as no pixels: what a picture of any size looks like before decoding."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("width", "height", "told"),
    [(50_000, 50_000, "2,500,000,000 pixels"), (10_001, 10_000, "10001x10000 is 100,010,000 pixels")],
)
def test_a_huge_picture_is_refused_by_its_header(tmp_path: Path, width: int, height: int, told: str) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(png(width, height))
    with pytest.raises(SourceError, match=rf"big\.png: {told}, at most 100,000,000 are read; make the picture smaller first$"):
        image.decode(path)


def test_the_pixel_limit_counts_exactly(tmp_path: Path) -> None:
    path = save(Image.fromarray(SOFT), tmp_path / "a.png")
    assert image.decode(path, max_pixels=24 * 30).shape == (24, 30, 3)
    with pytest.raises(SourceError, match="30x24 is 720 pixels, at most 719 are read"):
        image.decode(path, max_pixels=24 * 30 - 1)


def test_below_our_limit_and_above_the_one_of_pillow_there_is_no_remark() -> None:
    """95 million pixels make Pillow warn (an error in these tests); here the missing pixels are what is told."""
    with pytest.raises(SourceError, match="damaged or incomplete") as caught:
        image.decode(png(9_500, 10_000), name="wide.png")
    assert "bomb" not in str(caught.value)


def test_a_limit_above_the_one_of_pillow_tells_the_one_that_holds() -> None:
    with pytest.raises(SourceError, match="2,500,000,000 pixels, at most 178,956,970 are read"):
        image.decode(png(50_000, 50_000), max_pixels=10**12)


def test_text_that_unpacks_to_more_than_is_sensible_is_refused() -> None:
    body = b"zTXt" + b"Comment\0\0" + zlib.compress(b"\0" * 50_000_000)
    bomb = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(SourceError, match=r"^bomb\.png: .*too large.*replace the file or leave it out$"):
        image.decode(png(4, 4, bomb), name="bomb.png")


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".jp2"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_cut_off_is_refused_in_one_sentence(tmp_path: Path, ending: str, share: float) -> None:
    noise = RANDOM.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = save(Image.fromarray(noise), tmp_path / f"cut{ending}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=rf"cut\{ending}: ") as caught:
        image.decode(path)
    assert "\n" not in str(caught.value)


def test_a_byte_changed_anywhere_gives_a_picture_or_a_sentence() -> None:
    """A thousand damaged files: nothing but SourceError comes out."""
    refused = 0
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        buffer = io.BytesIO()
        Image.fromarray(SOFT).save(buffer, kind)
        for _ in range(170):
            data = bytearray(buffer.getvalue())
            for place in RANDOM.integers(0, len(data), 3):
                data[place] = RANDOM.integers(0, 256)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    assert image.decode(bytes(data), max_pixels=1_000_000).shape[2] == 3
            except SourceError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "the file is empty"),
        (b"Dear diary,\n" * 50, "not a picture of a known kind"),
        (bytes(range(256)) * 9, "not a picture"),
    ],
)
def test_what_is_no_picture(tmp_path: Path, data: bytes, told: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data)
    for source in (path, str(path), data):
        with pytest.raises(SourceError, match=told):
            image.decode(source)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.png: no such file"):
        image.decode(tmp_path / "gone.png")
    with pytest.raises(SourceError, match="a folder, not a picture"):
        image.decode(tmp_path)
    with pytest.raises(SourceError, match=r"gone\.png: no such file"):
        image.read_text(tmp_path / "gone.png")


def test_messages_use_the_name_that_is_given() -> None:
    with pytest.raises(SourceError, match=r"^holiday\.zip/a\.png: "):
        image.decode(b"nothing", name="holiday.zip/a.png")


def test_nothing_global_is_changed(tmp_path: Path) -> None:
    """Also when many threads read at once: the filters of warnings are put back in order."""
    path = save(Image.fromarray(SOFT), tmp_path / "a.png")
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters))
    threads = [threading.Thread(target=lambda: [image.decode(path) for _ in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before
