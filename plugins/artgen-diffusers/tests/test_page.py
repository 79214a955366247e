"""The page of the package and its README: what they tell to type is understood, and the options they name are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from artgen.artwork import open_artwork, read_recipe
from artgen.cli import main, verbs
from artgen.options import Options, declared, resolve
from artgen_diffusers import options as ours
from artgen_diffusers.audio import AudioDiffusers
from artgen_diffusers.image import ImageDiffusers
from artgen_diffusers.loading import SCHEDULERS
from artgen_diffusers.video import VideoDiffusers

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "docs" / "plugins" / "diffusers.md", ROOT / "plugins" / "artgen-diffusers" / "README.md"]
BACKENDS = {"image": ImageDiffusers, "video": VideoDiffusers, "audio": AudioDiffusers}
TYPED = [line.strip() for page in PAGES for line in page.read_text().splitlines() if line.startswith("    artgen ")]


@pytest.mark.parametrize("command", sorted(set(TYPED)))
def test_a_documented_command_is_understood(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reached: list[str] = []
    words = shlex.split(command)[1:]

    def seen(modality: str, own: Any, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        cls, verb = BACKENDS[modality], words[1]
        kinds: list[type[Options]] = [cls.Train, cls.Prepare] if verb == "train" else [getattr(cls, verb.capitalize())]
        assert set(options) <= {name for kind in kinds for name in kind.__struct_fields__}
        for kind in kinds:
            resolve(kind, {name: value for name, value in options.items() if name in kind.__struct_fields__})
        reached.append(verb)

    for verb in ("prepare", "train", "generate", "modify"):
        monkeypatch.setattr(verbs, verb, seen)
    if "--backend" not in words and words[1] != "prepare":
        words += ["--backend", "diffusers"]  # the model of a run says it
    assert (main(words), capsys.readouterr().err, reached) == (0, "", [words[1]])


def test_every_option_that_the_pages_name_exists() -> None:
    kinds = [kind for kind in vars(ours).values() if isinstance(kind, type) and issubclass(kind, Options)]
    known = {option.flag for kind in kinds for option in declared(kind)}
    known |= {option.flag for option in declared(ImageDiffusers.Prepare)}
    known |= {"--backend", "--model", "--output", "--seed", "--grid"}
    named = {flag for page in PAGES for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text())}
    assert named - known == set()


def test_the_names_of_schedulers_are_said_once() -> None:
    option = next(option for option in declared(ours.Generate) if option.name == "scheduler")
    assert list(option.choices) == sorted(SCHEDULERS)


def test_the_command_line_makes_and_changes(pipelines: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(pipelines("sd"))
    common = ["--backend", "diffusers", "--model", model, "--prompt", "a cat", "--steps", "4", "--device", "cpu"]
    first = tmp_path / "first.png"
    assert main(["image", "generate", *common, "--width", "32", "--height", "32", "--seed", "3", "--output", str(first)]) == 0
    told = capsys.readouterr()
    assert told.out == f"{first}\n"
    assert "licence creativeml-openrail-m" in told.err
    recipe = read_recipe(first)
    assert recipe is not None
    assert (recipe.licence, recipe.options["prompt"]) == ("creativeml-openrail-m", "a cat")
    second = tmp_path / "second.png"
    assert main(["image", "modify", str(first), *common, "--strength", "0.5", "--output", str(second)]) == 0
    assert open_artwork(second).numpy().shape == (32, 32, 3)
    assert main(["replay", str(second)]) == 0
    assert "identical" in capsys.readouterr().out
    assert main(["image", "generate", "--backend", "diffusers", "--model", model, "--seed", "1"]) == 2
    assert "--prompt must be given" in capsys.readouterr().err
