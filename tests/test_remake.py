"""Making a work again: identical, close, or why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise_fixtures import cat, made, model, place  # noqa: F401 - fixtures
from noise_plugin import save_noise

import artgen
from artgen.artwork import Image, Video
from artgen.errors import SourceError
from artgen.remake import replay, side_by_side

pytestmark = pytest.mark.usefixtures("place")

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def pixels(works: list[Any]) -> list[bytes]:
    return [work.numpy().tobytes() for work in works]


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif"])
def test_replay_says_identical(model: Path, tmp_path: Path, cat: Path, ending: str) -> None:
    found = replay(made(model, tmp_path / f"a{ending}", palette=cat, mirror=True))
    assert (found.state, found.distance) == ("identical", (0.0, 0.0))
    assert "every byte" in found.reason
    assert found.artwork is not None


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_replay_of_clips(model: Path, tmp_path: Path, ending: str) -> None:
    found = replay(made(model, tmp_path / f"a{ending}", walk="1s"))
    assert found.state == "identical", found.reason


def test_replay_of_a_modified_work_with_files(model: Path, tmp_path: Path, cat: Path) -> None:
    path = artgen.modify("image", cat, model=model, seed=4, mix=[cat])[0].save(tmp_path / "m.png")
    assert replay(path).state == "identical"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    path = path.rename(moved / "m.png")
    cat.rename(moved / "cat.png")
    assert replay(path).state == "identical"
    (moved / "cat.png").write_bytes(b"changed")
    found = replay(path)
    assert found.state == "impossible"
    assert "its mix" in found.reason or "its input" in found.reason
    assert "has changed since (it is not the cat.png that was used)" in found.reason
    (moved / "cat.png").unlink()
    assert "is gone" in replay(path).reason


def test_replay_of_a_work_from_memory_is_impossible(model: Path, tmp_path: Path) -> None:
    path = artgen.modify("image", Image(np.zeros((4, 4, 3), np.uint8)), model=model)[0].save(tmp_path / "m.png")
    assert "its input was not a file, so it cannot be read again" in replay(path).reason


def test_replay_finds_a_moved_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(model, tmp_path / "a.png")
    moved = model.rename(tmp_path / "moved")
    found = replay(path)
    assert (found.state, "its model hum is not at" in found.reason) == ("impossible", True)
    assert replay(path, model=moved).state == "identical"
    other = save_noise(tmp_path / "other", [1, 2, 3], 5.0, 8).folder
    assert "has other weights than the model that made it (hum)" in replay(path, model=other).reason
    save_noise(model, [1, 2, 3], 5.0, 8)
    assert "what is there now has other weights" in replay(path).reason
    monkeypatch.setattr("artgen.model.STARTERS", tmp_path)
    assert replay(path).state == "identical"


def test_replay_measures_the_distance(model: Path, tmp_path: Path) -> None:
    work = artgen.generate("image", model=model, seed=5)[0]
    assert isinstance(work, Image)
    assert work.recipe is not None
    near = work.pixels.copy()
    near[0, 0, 0] ^= 1
    found = replay(Image(near, recipe=work.recipe).save(tmp_path / "near.png"))
    assert (found.state, found.distance) == ("close", (1.0, 1 / near.size))
    far = replay(Image(255 - near, recipe=work.recipe).save(tmp_path / "far.png"))
    assert (far.state, "made again, but far from it" in far.reason) == ("impossible", True)
    wide = replay(Image(near[:, :4], recipe=work.recipe).save(tmp_path / "wide.png"))
    assert "another shape ([8, 4, 3] in the file, [8, 8, 3] now)" in wide.reason


def test_replay_tells_other_versions(model: Path, tmp_path: Path) -> None:
    import msgspec

    work = artgen.generate("image", model=model, seed=5)[0]
    assert work.recipe is not None
    recipe = msgspec.structs.replace(work.recipe, environment={"torch": "1.0"})
    pixels = work.numpy().copy()
    pixels[0, 0, 0] ^= 1
    found = replay(Image(pixels, recipe=recipe).save(tmp_path / "old.png"))
    assert found.state == "close"
    assert "; torch 1.0 there and 2." in found.reason


@pytest.mark.parametrize("detail", ["minimal", "none"])
def test_replay_of_an_incomplete_recipe(model: Path, tmp_path: Path, detail: Any) -> None:
    path = artgen.generate("image", model=model, seed=5)[0].save(tmp_path / "a.png", recipe=detail)
    found = replay(path)
    assert found.state == "impossible"
    assert "--recipe minimal or none" in found.reason or "carries no recipe" in found.reason


def test_replay_without_a_recipe(cat: Path, tmp_path: Path) -> None:
    assert replay(cat).reason == f"{cat}: carries no recipe"
    with pytest.raises(SourceError, match="no such file"):
        replay(tmp_path / "gone.png")


def test_replay_from_a_sidecar(model: Path, tmp_path: Path) -> None:
    work = artgen.generate("image", model=model, seed=5)[0]
    assert work.recipe is not None
    text = work.recipe.to_json()
    path = Image(work.numpy()).save(tmp_path / "plain.png")
    sidecar = tmp_path / "plain.json"
    sidecar.write_text(text)
    for file in (path, sidecar):
        assert replay(file).state == "identical"
    sidecar.rename(tmp_path / "plain.png.json")
    assert replay(path).state == "identical"
    assert replay(tmp_path / "plain.png.json").state == "identical"
    lonely = tmp_path / "lonely.json"
    lonely.write_text(text)
    with pytest.raises(SourceError, match="the work that it tells of is not beside it"):
        replay(lonely)


def test_replay_refuses_what_it_does_not_know(model: Path, tmp_path: Path) -> None:
    import msgspec

    work = artgen.generate("image", model=model, seed=5)[0]
    assert work.recipe is not None
    changes: list[tuple[dict[str, Any], str]] = [
        ({"options": {"sparkle": 1}}, "no option 'sparkle'"),
        ({"layout": "spiral"}, "its layout 'spiral' is not one"),
        ({"verb": "explain"}, "it was made with explain, which this artgen cannot make again"),
        ({"backend": "image.gone"}, "no backend 'gone'"),
        ({"artgen": "9.9"}, ""),
    ]
    for number, (change, sentence) in enumerate(changes):
        recipe = msgspec.structs.replace(work.recipe, **change)
        found = replay(Image(work.numpy(), recipe=recipe).save(tmp_path / f"{number}.png"))
        assert sentence in found.reason
        assert (found.state == "impossible") == bool(sentence)


def test_side_by_side_scales_the_first() -> None:
    both = side_by_side(Image(np.full((20, 40, 3), 10, np.uint8)), Image(np.full((10, 10, 3), 200, np.uint8), seeds=(3,)))
    assert both.pixels.shape == (10, 30, 3)
    assert (both.pixels[0, 0, 0], both.pixels[0, -1, 0], both.seeds) == (10, 200, (3,))
    with pytest.raises(SourceError, match="only pictures can stand side by side"):
        side_by_side(Video(np.zeros((1, 2, 2, 3), np.uint8)), both)
