from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import NOISE, SOFT, first, save
from numpy.typing import NDArray
from PIL import Image, ImageCms

from artgen.errors import UsageError
from artgen.media import image


def filled(mode: str, colour: Any, size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


# --- modes


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".gif", ".ppm", ".tga", ".webp", ".jp2"])
def test_rgb_comes_back_exactly_from_lossless_formats(tmp_path: Path, ending: str) -> None:
    pixels = NOISE // 86 * 80  # 27 colours: a GIF keeps them
    path = save(Image.fromarray(pixels), tmp_path / f"a{ending}", **({"lossless": True} if ending == ".webp" else {}))
    decoded = image.decode(path)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".gif"])
@pytest.mark.parametrize(("mode", "colour", "expected"), [("1", 1, 255), ("1", 0, 0), ("L", 77, 77), ("P", 3, None)])
def test_grey_bilevel_and_palette(tmp_path: Path, ending: str, mode: str, colour: int, expected: int | None) -> None:
    picture = filled(mode, colour)
    if mode == "P":
        picture.putpalette([0, 0, 0, 1, 1, 1, 2, 2, 2, 10, 200, 30])
    decoded = image.decode(save(picture, tmp_path / f"a{ending}"))
    assert decoded.shape == (8, 8, 3)
    assert first(decoded) == ([expected] * 3 if expected is not None else [10, 200, 30])


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (257, 1), (32_768, 128), (65_407, 255), (65_535, 255)])
@pytest.mark.parametrize(("mode", "ending"), [("I;16", ".png"), ("I;16", ".tif"), ("I;16B", ".tif")])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path, mode: str, ending: str, value: int, expected: int) -> None:
    values = np.full((4, 4), value, ">u2" if mode == "I;16B" else "<u2")
    path = save(Image.frombytes(mode, (4, 4), values.tobytes()), tmp_path / f"a{ending}")
    with Image.open(path) as picture:
        assert picture.mode.startswith("I;16")
    assert first(image.decode(path)) == [expected] * 3


def test_a_transparent_value_of_16_bit_grey_shows_the_background(tmp_path: Path) -> None:
    values = np.array([[0, 40_000]], np.uint16)
    path = tmp_path / "a.png"
    Image.fromarray(values).save(path)
    data = path.read_bytes()
    body = b"tRNS" + (40_000).to_bytes(2, "big")
    path.write_bytes(data[:33] + struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body)) + data[33:])
    assert image.decode(path, background="red").tolist() == [[[0, 0, 0], [255, 0, 0]]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),
        ([0.0, 100.4, 255.0], [0, 100, 255]),
        ([0.0, 32_896.0, 65_535.0], [0, 128, 255]),
        ([-1.0, 0.0, 1.0], [0, 128, 255]),
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
        ([0.0, 1.0, float("inf")], [0, 255, 0]),
        ([7e6, 7e6, 7e6], [0, 0, 0]),
    ],
)
def test_float_grey_takes_the_smallest_usual_range(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    path = save(Image.fromarray(np.array([values], np.float32)), tmp_path / "a.tif")
    assert image.decode(path)[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0, 100, 255], [0, 100, 255]), ([0, 32_896, 65_535], [0, 128, 255]), ([-500, 0, 500], [0, 128, 255]), ([0, 0, 0], [0, 0, 0])],
)
def test_32_bit_grey_takes_the_smallest_usual_range(tmp_path: Path, values: list[int], expected: list[int]) -> None:
    path = save(Image.fromarray(np.array([values], np.int32)), tmp_path / "a.tif")
    assert image.decode(path)[0, :, 0].tolist() == expected


def test_a_constant_picture_outside_the_usual_ranges_is_black(tmp_path: Path) -> None:
    path = save(Image.fromarray(np.full((2, 2), 70_000, np.int32)), tmp_path / "a.tif")
    assert first(image.decode(path)) == [0, 0, 0]


@pytest.mark.parametrize(("mode", "ending"), [("CMYK", ".jpg"), ("CMYK", ".tif"), ("YCbCr", ".tif"), ("YCbCr", ".jpg")])
def test_print_and_video_colours(tmp_path: Path, mode: str, ending: str) -> None:
    path = save(Image.fromarray(SOFT).convert(mode), tmp_path / f"a{ending}", **({"quality": 95} if ending == ".jpg" else {}))
    assert np.abs(image.decode(path).astype(int) - SOFT).mean() < 3


def test_lab(tmp_path: Path) -> None:
    profile = ImageCms.createProfile("LAB", 5000)
    picture = ImageCms.profileToProfile(Image.fromarray(SOFT), ImageCms.createProfile("sRGB"), profile, outputMode="LAB")
    assert picture is not None
    path = save(picture, tmp_path / "a.tif")
    with Image.open(path) as opened:
        assert opened.mode == "LAB"
    assert np.abs(image.decode(path).astype(int) - SOFT).mean() < 3


# --- transparency


def see_through(mode: str, path: Path) -> Path:
    """A picture of 8x8 whose left half cannot be seen and whose right half is blue (grey: 80)."""
    alpha = Image.new("L", (8, 8), 255)
    alpha.paste(0, (0, 0, 4, 8))
    if mode in ("RGBA", "LA"):
        picture = filled("RGB" if mode == "RGBA" else "L", (0, 0, 255) if mode == "RGBA" else 80)
        picture.putalpha(alpha)
        return save(picture, path)
    picture = filled("P" if mode.startswith("P") else mode, 1 if mode.startswith("P") else (0, 0, 255) if mode == "RGB" else 80)
    hidden: Any = 0 if mode.startswith("P") else (9, 9, 9) if mode == "RGB" else 9
    picture.paste(hidden, (0, 0, 4, 8))
    if mode.startswith("P"):
        picture.putpalette([9, 9, 9, 0, 0, 255])
    return save(picture, path, transparency=b"\0\xff" if mode == "P bytes" else hidden)


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        ("RGBA", ".png"),
        ("RGBA", ".tif"),
        ("LA", ".png"),
        ("P bytes", ".png"),
        ("P", ".png"),
        ("P", ".gif"),
        ("RGB", ".png"),
        ("L", ".png"),
    ],
)
@pytest.mark.parametrize(("background", "seen"), [("white", [255, 255, 255]), ("#102030", [16, 32, 48]), ("tomato", [255, 99, 71])])
def test_transparency_shows_the_background(tmp_path: Path, mode: str, ending: str, background: str, seen: list[int]) -> None:
    path = see_through(mode, tmp_path / f"a{ending}")
    pixels = image.decode(path, background=background)
    right = [80, 80, 80] if mode in ("L", "LA") else [0, 0, 255]
    assert pixels.shape == (8, 8, 3)
    assert [int(value) for value in pixels[3, 3]] == seen
    assert [int(value) for value in pixels[3, 4]] == right
    kept = image.decode(path, keep_alpha=True)
    assert kept.shape == (8, 8, 4)
    assert kept[0, :, 3].tolist() == [0] * 4 + [255] * 4
    assert [int(value) for value in kept[3, 4, :3]] == right


def test_half_transparent_pixels_mix_with_the_background(tmp_path: Path) -> None:
    path = save(filled("RGBA", (0, 0, 0, 128)), tmp_path / "a.png")
    assert first(image.decode(path)) == [127, 127, 127]


def test_keep_alpha_leaves_an_opaque_picture_with_three_channels(tmp_path: Path) -> None:
    assert image.decode(save(filled("RGB", (1, 2, 3)), tmp_path / "a.png"), keep_alpha=True).shape == (8, 8, 3)


def test_an_unknown_background_is_named(tmp_path: Path) -> None:
    path = save(filled("L", 0), tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"--background takes a colour name \(white, navy\) or #rrggbb, not blurple"):
        image.decode(path, background="blurple")


# --- orientation, frames, profiles


@pytest.mark.parametrize("ending", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda p: p),
        (2, lambda p: p[:, ::-1]),
        (3, lambda p: p[::-1, ::-1]),
        (4, lambda p: p[::-1]),
        (5, lambda p: p.transpose(1, 0, 2)),
        (6, lambda p: np.rot90(p, -1)),
        (7, lambda p: p[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90),
        (9, lambda p: p),
    ],
)
def test_exif_orientation(
    tmp_path: Path, ending: str, orientation: int, turned: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    settings: dict[str, Any] = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(ending, {})
    path = save(Image.fromarray(SOFT), tmp_path / f"a{ending}", exif=exif, **settings)
    decoded = image.decode(path)
    assert decoded.shape == turned(SOFT).shape
    assert np.abs(decoded.astype(int) - turned(SOFT)).max() <= 4


def test_broken_exif_does_not_cost_the_picture(tmp_path: Path) -> None:
    path = save(Image.fromarray(SOFT), tmp_path / "a.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\1\2")
    np.testing.assert_array_equal(image.decode(path), SOFT)


@pytest.mark.parametrize("ending", [".gif", ".png", ".webp", ".tif"])
def test_the_first_frame_of_several(tmp_path: Path, ending: str) -> None:
    frames = [filled("RGB", colour) for colour in ("red", "lime", "blue")]
    settings = {"lossless": True} if ending == ".webp" else {}
    path = save(frames[0], tmp_path / f"a{ending}", save_all=True, append_images=frames[1:], **settings)
    assert first(image.decode(path)) == [255, 0, 0]


def swapped_profile() -> bytes:
    """sRGB with the colourants of red and blue exchanged: what it calls red is blue to the eye."""
    raw = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(raw[128:132], "big")
    for entry in range(132, 132 + 12 * count, 12):
        name = bytes(raw[entry : entry + 4])
        raw[entry : entry + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    return bytes(raw).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be")).replace(b"sRGB built", b"swap built")


@pytest.mark.parametrize(
    ("mode", "ending"), [("RGB", ".png"), ("RGB", ".tif"), ("RGB", ".webp"), ("RGB", ".jpg"), ("RGBA", ".png"), ("P", ".png")]
)
def test_an_embedded_profile_is_converted_to_srgb(tmp_path: Path, mode: str, ending: str) -> None:
    picture = filled("RGB", (250, 5, 5)).convert(mode)
    settings: dict[str, Any] = {".webp": {"lossless": True}, ".jpg": {"quality": 100}}.get(ending, {})
    red, _, blue = first(image.decode(save(picture, tmp_path / f"a{ending}", icc_profile=swapped_profile(), **settings)))
    assert blue > 200 > 60 > red


def test_an_srgb_profile_changes_no_bit(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = save(Image.fromarray(NOISE), tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_array_equal(image.decode(path), NOISE)


@pytest.mark.parametrize("profile", [b"no profile", swapped_profile()[:200], swapped_profile()[:-400]])
def test_a_broken_profile_is_left_out_of_account(tmp_path: Path, profile: bytes) -> None:
    path = save(filled("RGB", (250, 5, 5)), tmp_path / "a.png", icc_profile=profile)
    assert first(image.decode(path)) == [250, 5, 5]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_profile_of_another_kind_of_colour_is_left_out_of_account(tmp_path: Path, mode: str) -> None:
    picture = filled("RGB", (200, 200, 200)).convert(mode)
    path = save(picture, tmp_path / "a.tif", icc_profile=swapped_profile())
    assert first(image.decode(path)) == [200, 200, 200]


# --- a smaller decoding


@pytest.mark.parametrize(
    ("target", "expected"),
    [(None, (400, 800)), (50, (50, 100)), (51, (100, 200)), (200, (200, 400)), (201, (400, 800)), (900, (400, 800))],
)
def test_target_reduces_a_jpeg_and_never_below(tmp_path: Path, target: int | None, expected: tuple[int, int]) -> None:
    path = save(Image.fromarray(np.tile(SOFT, (17, 27, 1))[:400, :800]), tmp_path / "a.jpg")
    assert image.decode(path, target=target).shape[:2] == expected


def test_target_leaves_other_formats_as_they_are(tmp_path: Path) -> None:
    assert image.decode(save(Image.fromarray(SOFT), tmp_path / "a.png"), target=4).shape == SOFT.shape
