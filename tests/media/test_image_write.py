"""Pictures that are written, and their range."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_files import NOISE, RANDOM, SOFT, first

from artgen.errors import OutputError
from artgen.media import image

# --- writing


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("ending", [".png", ".tif", ".tiff", ".webp"])
def test_written_without_loss(tmp_path: Path, ending: str, channels: int) -> None:
    pixels = RANDOM.integers(0, 256, (9, 7, channels)).astype(np.uint8)
    pixels[..., 3:] |= 1  # a WebP forgets the colour of what cannot be seen
    image.encode(pixels, tmp_path / f"a{ending}", "{}", "mark", quality=100)
    decoded = image.decode(tmp_path / f"a{ending}", keep_alpha=channels == 4)
    np.testing.assert_array_equal(decoded, np.repeat(pixels, 3, axis=2) if channels == 1 else pixels)


@pytest.mark.parametrize(("ending", "worst", "mean"), [(".jpg", 6, 1.5), (".jpeg", 6, 1.5), (".webp", 12, 3.0)])
def test_written_with_little_loss(tmp_path: Path, ending: str, worst: int, mean: float) -> None:
    image.encode(SOFT, tmp_path / f"a{ending}", "", "")
    error = np.abs(image.decode(tmp_path / f"a{ending}").astype(int) - SOFT)
    assert error.max() <= worst
    assert error.mean() <= mean


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_quality_trades_size_for_loss(tmp_path: Path, ending: str) -> None:
    sizes, errors = [], []
    for quality in (10, 92):
        path = tmp_path / f"{quality}{ending}"
        image.encode(NOISE, path, "", "", quality=quality)
        sizes.append(path.stat().st_size)
        errors.append(float(np.abs(image.decode(path).astype(int) - NOISE).mean()))
    assert sizes[0] < sizes[1]
    assert errors[0] > errors[1]


def test_a_jpeg_lays_transparency_on_white(tmp_path: Path) -> None:
    image.encode(np.zeros((8, 8, 4), np.uint8), tmp_path / "a.jpg", "", "")
    assert first(image.decode(tmp_path / "a.jpg")) == [255, 255, 255]


@pytest.mark.parametrize("ending", sorted(image.FORMATS))
def test_same_input_same_bytes(tmp_path: Path, ending: str) -> None:
    for name in ("a", "b"):
        image.encode(NOISE, tmp_path / f"{name}{ending}", '{"seed":7}', "mark")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


@pytest.mark.parametrize(("ending", "most"), [(".webp", "16,383"), (".jpg", "65,500")])
def test_a_picture_too_large_for_its_format(tmp_path: Path, ending: str, most: str) -> None:
    wide = np.zeros((1, 70_000, 3), np.uint8)
    with pytest.raises(OutputError, match=rf"a\{ending}: \{ending} holds at most {most} pixels a side, not 70000x1; save as \.png"):
        image.encode(wide, tmp_path / f"a{ending}", "", "")
    image.encode(wide, tmp_path / "a.png", "", "")
    assert image.decode(tmp_path / "a.png").shape == (1, 70_000, 3)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/a"):
        image.encode(NOISE, tmp_path / "file" / "a.png", "", "")


def test_png_bytes_and_to_pil() -> None:
    np.testing.assert_array_equal(image.decode(image.png_bytes(NOISE)), NOISE)
    assert image.png_bytes(NOISE) == image.png_bytes(NOISE)
    assert [image.to_pil(NOISE[..., :1]).mode, image.to_pil(NOISE).mode] == ["L", "RGB"]
    assert image.to_pil(np.zeros((2, 3, 4), np.uint8)).mode == "RGBA"
    assert image.to_pil(NOISE[:, ::2]).size == (15, 24)


# --- ranges


def test_to_pixels_is_the_inverse_of_to_signal_for_all_256_values() -> None:
    pixels = np.arange(256, dtype=np.uint8)
    signal = image.to_signal(pixels)
    assert signal.dtype == np.float32
    assert (signal[0], signal[255]) == (-1.0, 1.0)
    np.testing.assert_array_equal(image.to_pixels(signal), pixels)
    np.testing.assert_array_equal(image.to_pixels(signal.astype(np.float64)), pixels)


def test_to_pixels_clips() -> None:
    assert image.to_pixels(np.array([-9, -1.001, 1.001, 9], np.float32)).tolist() == [0, 0, 255, 255]
