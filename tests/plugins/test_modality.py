"""A plugin adds a modality: its works are made, saved, shown, changed and made again like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noise_plugin
import numpy as np
import palette_plugin
import pytest
from noise_fixtures import place  # noqa: F401 - a fixture

import artgen
from artgen import artwork as artworks
from artgen.cli import main
from artgen.errors import ModelError, SourceError, UnusableBackendError, UsageError


@pytest.fixture(autouse=True)
def palettes(place: Path) -> Iterator[Path]:  # noqa: F811
    noise_plugin.install(
        place,
        {"palette.ramp": "palette_plugin:Ramp"},
        distribution="artgen-palette",
        modalities={"palette": "palette_plugin:Palette"},
    )
    yield place
    artworks._added.cache_clear()


def test_python_makes_saves_opens_and_replays(tmp_path: Path) -> None:
    (work,) = artgen.generate("palette", seed=7, colours=3)
    assert isinstance(work, palette_plugin.Palette)
    assert work.recipe is not None
    assert (work.recipe.backend, work.recipe.model, work.recipe.options) == ("palette.ramp", {}, {"colours": 3})
    path = work.save(tmp_path / "seven.palette")
    again = artgen.open_artwork(path)
    assert isinstance(again, palette_plugin.Palette)
    assert again.name == "seven.palette"
    assert np.array_equal(again.numpy(), work.numpy())
    assert again.recipe == work.recipe
    found = artgen.replay(path)
    assert (found.state, found.reason) == ("identical", f"{path}: identical, every byte")


def test_modify_takes_files_of_the_modality(tmp_path: Path) -> None:
    mine = tmp_path / "mine.hex"
    mine.write_text("#010203\n")
    (work,) = artgen.modify("palette", mine, shift=1)
    assert work.numpy().tolist() == [[2, 3, 4]]
    saved = work.save(tmp_path / "changed.hex")
    assert artgen.replay(saved).state == "identical"
    mine.write_text("red\n")
    with pytest.raises(SourceError, match=r"mine.hex: no palette; a line is #rrggbb"):
        artgen.modify("palette", mine)


def test_the_command_line_knows_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "palette" in capsys.readouterr().out
    assert main(["palette", "generate", "--help"]) == 0
    assert "--colours" in capsys.readouterr().out
    assert main(["palette", "generate", "--seed", "3", "-n", "2", "--output", "out/"]) == 0
    first, second = capsys.readouterr().out.split()
    assert (first, second) == ("out/ramp-seed0003.palette", "out/ramp-seed0004.palette")
    assert main(["show", first, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["colours"], told["recipe"]["backend"]) == ("palette", 5, "palette.ramp")
    assert told["mark"].endswith("trainedAlgorithmicMedia")
    assert main(["replay", first, "--output", "again.hex"]) == 0
    assert "identical" in capsys.readouterr().out
    assert Path("again.hex").is_file()
    assert main(["palette", "modify", first, "--output", "changed.palette"]) == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["palette", "generate", "--output", "x.png"], "works are saved as .palette, .hex, not .png"),
        (["palette", "generate", "--format", "png"], "--format takes palette, hex, not png"),
        (["palette", "generate", "--model", "x"], "--model x, but palette.ramp needs no model; leave --model out"),
        (["palette", "train", "x"], "palette.ramp does not train"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], words: list[str], sentence: str) -> None:
    extra = ["--backend", "ramp"] if "--model" in words else []
    assert main([*words, *extra]) == 2
    assert sentence in capsys.readouterr().err


def test_a_backend_without_model_refuses_one() -> None:
    with pytest.raises(ModelError, match="needs no model"):
        palette_plugin.Ramp.find_model("somewhere")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise RuntimeError('no ink')", "RuntimeError: no ink"),
        ("Kind = 3", "is not a subclass of artgen.artwork.Artwork"),
        ("from palette_plugin import Palette as Kind", "its class says modality 'palette'"),
        (
            "from palette_plugin import Palette\nclass Kind(Palette):\n modality = 'smell'\n endings = ('smell',)",
            "Kind.endings is a tuple",
        ),
        (
            "from artgen.artwork import Artwork\nclass Kind(Artwork):\n modality = 'smell'\n endings = ('.smell',)",
            "Kind does not implement numpy, encode, decode",
        ),
    ],
)
def test_a_broken_modality_is_a_sentence(palettes: Path, tmp_path: Path, body: str, reason: str) -> None:
    noise_plugin.broken_module(palettes, "bad_kind", body)
    noise_plugin.install(palettes, {}, distribution="artgen-smell", modalities={"smell": "bad_kind:Kind"})
    with pytest.raises(UnusableBackendError, match="the modality smell of artgen-smell cannot be used: ") as caught:
        artworks.kind("smell")
    assert reason in str(caught.value)
    (tmp_path / "x.smell").write_text("")
    with pytest.raises(SourceError):  # passed over: the file is then none that can be opened
        artgen.open_artwork(tmp_path / "x.smell")
    assert main(["--help"]) == 0


def test_unknown_modalities() -> None:
    with pytest.raises(UsageError, match="no works of modality 'smell' can be opened or saved"):
        artworks.kind("smell")
    assert artworks.kind("image") is artworks.Image


def test_the_base_reads_a_sidecar(tmp_path: Path) -> None:
    path = tmp_path / "x.hex"
    assert palette_plugin.Palette.read_text(path) is None
    palette_plugin.Palette(np.zeros((1, 3), np.uint8)).encode(path, "", "a mark")
    assert json.loads(palette_plugin.Palette.read_text(path) or "") == {"mark": "a mark"}
    facts: dict[str, Any] = artworks.Artwork.facts(palette_plugin.Palette(np.zeros((1, 3), np.uint8)))
    assert facts == {"shape": [1, 3], "numbers": "uint8"}
