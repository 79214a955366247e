from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from artgen.artwork import Artwork, Image, Video, grid, open_artwork, read_recipe, read_text
from artgen.errors import OutputError, SourceError, UsageError
from artgen.media.image import read_mark
from artgen.media.video import read_mark as read_clip_mark
from artgen.recipe import COMPOSITE, GENERATED, Recipe

RECIPE = Recipe(artgen="0.1.0", verb="generate", backend="image.gan", seeds=(7,), options={"truncation": 0.7}, mark=COMPOSITE)
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (16, 24, 3)).astype(np.uint8)
FRAMES = RANDOM.integers(0, 256, (5, 16, 24, 3)).astype(np.uint8)


def works() -> list[tuple[Artwork, str]]:
    picture, clip = Image(PIXELS, recipe=RECIPE, seeds=(7,)), Video(FRAMES, 10.0, recipe=RECIPE, seeds=(7,))
    return [(picture, ending) for ending in Image.endings] + [(clip, ending) for ending in Video.endings]


@pytest.mark.parametrize(("work", "ending"), works(), ids=lambda value: value if isinstance(value, str) else value.modality)
def test_a_saved_work_opens_with_its_recipe(tmp_path: Path, work: Artwork, ending: str) -> None:
    path = work.save(tmp_path / f"a{ending}")
    again = open_artwork(path)
    assert type(again) is type(work)
    assert again.recipe == RECIPE == read_recipe(path)
    assert again.name == f"a{ending}"
    assert again.numpy().shape == work.numpy().shape
    assert read_text(str(path)) == RECIPE.to_json()


@pytest.mark.parametrize(("work", "ending"), works(), ids=lambda value: value if isinstance(value, str) else value.modality)
@pytest.mark.parametrize("detail", ["minimal", "none"])
def test_less_is_told_and_the_mark_stays(tmp_path: Path, work: Artwork, ending: str, detail: Any) -> None:
    path = work.save(tmp_path / f"a{ending}", recipe=detail)
    assert open_artwork(path).recipe is None
    assert read_text(path) == RECIPE.to_json(detail)
    assert (read_clip_mark if isinstance(work, Video) else read_mark)(path) == COMPOSITE
    assert (b"truncation" in path.read_bytes()) is False
    assert (b"image.gan" in path.read_bytes()) is (detail == "minimal")


def test_a_work_without_recipe_has_neither_recipe_nor_mark(tmp_path: Path) -> None:
    path = Image(PIXELS).save(tmp_path / "a.png")
    assert (read_text(path), read_mark(path), open_artwork(path).recipe) == (None, None, None)


def test_the_mark_of_a_generated_work(tmp_path: Path) -> None:
    recipe = Recipe(artgen="0.1.0", verb="generate", backend="image.gan", seeds=(1,))
    assert read_mark(Image(PIXELS, recipe=recipe).save(tmp_path / "a.png", recipe="none")) == GENERATED


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    first = Image(PIXELS).save(tmp_path / "a.png")
    before = first.read_bytes()
    others = [Image(PIXELS // 2).save(first) for _ in range(2)]
    assert [path.name for path in others] == ["a-2.png", "a-3.png"]
    assert first.read_bytes() == before
    assert Image(PIXELS // 2).save(first, overwrite=True) == first
    assert first.read_bytes() == others[0].read_bytes() != before


@pytest.mark.parametrize(("work", "ending"), works(), ids=lambda value: value if isinstance(value, str) else value.modality)
def test_the_same_work_has_the_same_bytes(tmp_path: Path, work: Artwork, ending: str) -> None:
    first, second = work.save(tmp_path / f"a{ending}"), work.save(tmp_path / f"a{ending}")
    assert first != second
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["a.bmp", "a.mp4", "a", "a.PNGX"])
def test_an_ending_that_a_picture_cannot_have(tmp_path: Path, name: str) -> None:
    shown = Path(name).suffix or "no ending"
    allowed = r"\.png, \.jpg, \.jpeg, \.webp, \.tif, \.tiff"
    with pytest.raises(UsageError, match=rf"{name}: image is saved as {allowed}, not {shown}$"):
        Image(PIXELS).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_an_ending_that_a_clip_cannot_have(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.png: video is saved as \.mp4, \.webm, \.gif, \.webp, not \.png$"):
        Video(FRAMES).save(tmp_path / "a.png")


def test_endings_may_be_in_capitals(tmp_path: Path) -> None:
    np.testing.assert_array_equal(open_artwork(Image(PIXELS).save(tmp_path / "A.PNG")).numpy(), PIXELS)


def test_folders_are_made_and_a_place_that_cannot_be_is_told(tmp_path: Path) -> None:
    assert Image(PIXELS).save(tmp_path / "new" / "deep" / "a.png").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/a"):
        Image(PIXELS).save(tmp_path / "file" / "a.png")


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pictures(tmp_path: Path, channels: int) -> None:
    picture = Image(RANDOM.integers(0, 256, (4, 6, channels)).astype(np.uint8), recipe=RECIPE)
    for ending in Image.endings:
        assert open_artwork(picture.save(tmp_path / f"a{ending}")).numpy().shape == (4, 6, 3)


def test_notebooks_show_the_work() -> None:
    data = Image(PIXELS)._repr_png_()
    assert data.startswith(b"\x89PNG")
    assert Video(FRAMES)._repr_html_().startswith('<video controls autoplay loop muted playsinline width="24" height="16"')
    assert Image(PIXELS).to_pil().size == (24, 16)
    assert isinstance(Image(PIXELS).to_pil(), Pillow.Image)


# --- grids


def test_a_grid_goes_row_by_row_and_leaves_white() -> None:
    pictures = [Image(np.full((2, 3, 3), value, np.uint8), seeds=(value,)) for value in (10, 20, 30)]
    sheet = grid(pictures, columns=2, rows=2)
    assert sheet.seeds == (10, 20, 30)
    assert sheet.pixels[::2, ::3, 0].tolist() == [[10, 20], [30, 255]]
    assert sheet.pixels.shape == (4, 6, 3)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ([(2, 2)] * 3, "a grid of 2x1 holds 2 pictures, not 3"),
        ([], "a grid needs at least one picture"),
        ([(2, 2), (2, 4)], "a grid holds pictures of one size, not 2x2x3, 4x2x3"),
    ],
)
def test_a_grid_that_cannot_be(sizes: list[tuple[int, int]], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        grid([Image(np.zeros((*size, 3), np.uint8)) for size in sizes], columns=2, rows=1)


# --- opening


@pytest.mark.parametrize("name", ["gone.png", "gone.mp4"])
def test_what_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="no such file"):
        open_artwork(tmp_path / name)


def test_a_folder_is_no_work(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"a folder, not a work; give the files in it, for example .*/\*$"):
        open_artwork(tmp_path)


def test_what_is_neither_picture_nor_clip(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("Dear diary")
    for read in (open_artwork, read_text, read_recipe):
        with pytest.raises(SourceError, match=r"a\.png: not a picture of a known kind"):
            read(tmp_path / "a.png")


def test_a_picture_of_another_program_has_no_recipe(tmp_path: Path) -> None:
    for ending in (".png", ".jpg", ".gif", ".bmp", ".webp", ".avif"):
        Pillow.fromarray(PIXELS).save(tmp_path / f"a{ending}")
        assert open_artwork(tmp_path / f"a{ending}").recipe is None
        assert read_text(tmp_path / f"a{ending}") is None
