"""Help, mistakes in what is typed, completion, and a start that loads nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import noise_plugin
import pytest
from noise_fixtures import dataset, model, place  # noqa: F401 - fixtures
from noise_plugin import save_noise
from typed import run  # noqa: F401 - fixtures

import artgen
from artgen import registry

pytestmark = pytest.mark.usefixtures("place")

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


# help


def test_version(run: Any) -> None:
    said = run("--version")
    assert (said.code, said.out) == (0, f"artgen {artgen.__version__}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        *[[command, "--help"] for command in ("backends", "show", "replay")],
        *[["image", verb, "--backend", "noise", "-h"] for verb in ("prepare", "train", "generate", "modify", "evaluate")],
    ],
)
def test_every_command_has_help_with_an_example(run: Any, words: list[str]) -> None:
    said = run(*words)
    assert said.code == 0
    assert "Examples:\n    artgen " in said.out


@pytest.mark.parametrize("words", [["image", "--help"], ["text", "--help"]])
def test_a_modality_lists_its_verbs(run: Any, words: list[str]) -> None:
    said = run(*words)
    assert said.code == 0
    assert all(verb in said.out for verb in ("prepare", "train", "generate", "modify", "evaluate"))


def test_options_show_range_default_and_unit(run: Any) -> None:
    text = " ".join(run("image", "generate", "--help", "--backend", "noise").out.split())
    assert "--truncation NUMBER Distance from the mean. [0 to 2; default: 0.7]" in text
    assert "--mirror / --no-mirror Mirror the picture. [default: false]" in text
    assert "--tone warm|cold" in text
    assert "--palette FILE" in text
    assert "--walk NUMBER Length of a clip. [more than 0 and at most 10 seconds]" in text
    assert "-n, --count INTEGER" in text
    train = " ".join(run("image", "train", "--help", "--backend", "noise").out.split())
    assert "--resolution INTEGER Edge of the pictures. [4 to 64 px; default: 8]" in train
    assert "--spread" in train


def test_the_models_own_backend_gives_the_flags(run: Any, model: Path, dataset: Path) -> None:
    assert "--mirror" in run("image", "generate", "--model", model, "--help").out
    assert "Works to make." in run("image", "evaluate", model, dataset, "--help").out
    assert "--mirror" not in run("image", "generate", "--help", "--backend", "gan").out


def test_words_alone_are_answered_with_help(run: Any) -> None:
    for words in ([], ["image"], ["audio"]):
        said = run(*words)
        assert (said.code, said.out, said.err.startswith("Usage: artgen")) == (2, "", True)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("imag", "no command 'imag' of artgen; did you mean image?"),
        ("image generat", "no command 'generat' of artgen image; did you mean generate?"),
        ("--vershun", "no option --vershun; did you mean --version?"),
        ("show --jsn x", "no option --jsn; did you mean --json?"),
        ("NOISE --truncatoin 1", "no option --truncatoin; did you mean --truncation?"),
        ("NOISE --zzz", "no option --zzz; see artgen image generate --help"),
        ("NOISE --truncation 9", "--truncation takes 0 to 2, not 9"),
        ("NOISE --truncation big", "--truncation takes 0 to 2, not big"),
        ("NOISE --tone pink", "--tone takes warm or cold, not pink"),
        ("NOISE --shift 1 --shift x", "--shift takes a whole number, not x"),
        ("NOISE -n 0", "--count takes 1 or more, not 0"),
        ("NOISE -n two", "--count takes 1 or more, not two"),
        ("NOISE --seed -1", "--seed takes 0 to 9223372036854775807, not -1"),
        ("NOISE --seeds 1-x", "--seeds takes numbers and ranges such as 0,1,4-6"),
        ("NOISE --grid 4", "--grid takes COLUMNSxROWS such as 4x2"),
        ("NOISE --recipe some", "--recipe takes full, minimal or none, not some"),
        ("NOISE --format bmp", "--format takes png"),
        ("NOISE -n", "Option '-n' requires an argument; see artgen image generate --help"),
        ("NOISE stray", "artgen image generate has no place for stray; see artgen image generate --help"),
        ("image generate --backend nois", "no backend 'nois' for image; did you mean noise?"),
        ("image generate --backend preparer", "image.preparer does not generate (it can: prepare)"),
        ("NOISE", "no starter model for image.noise; train one and give it with --model"),
        ("image generate --model gone", "gone: no such model; give a folder that artgen train wrote"),
        ("image prepare --backend noise", "give what to prepare: artgen image prepare SOURCE"),
        ("image prepare --backend noise x", "--output DATASET must be given"),
        ("image train --backend noise", "nothing to train on; give a folder, an archive or a prepared dataset"),
        ("image train --backend noise --resume", "--resume needs the run to go on with; give it with --output RUN"),
        ("image modify --backend noise", "give what to modify: artgen image modify FILE"),
        ("image evaluate --backend noise x", "give a model and a dataset: artgen image evaluate MODEL DATASET"),
        ("show", "give what to show: artgen show FILE, MODEL, DATASET or RUN"),
        ("replay", "give what to make again: artgen replay FILE"),
        ("backends --modality smell", "no modality 'smell'"),
    ],
)
def test_mistakes_get_one_sentence_and_2(run: Any, line: str, sentence: str) -> None:
    words = line.replace("NOISE", "image generate --backend noise").split()
    said = run(*words)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"artgen: {sentence}")
    assert said.err.count("\n") == 1
    told = run("--json", *words)
    assert (told.code, told.err) == (2, "")
    assert told.json == {"error": said.err.removeprefix("artgen: ").rstrip("\n"), "exit_code": 2}
    assert files() == []


def test_a_modality_may_have_no_backend(run: Any, place: Path) -> None:
    noise_plugin.install(place, {}, distribution="artgen-palette", modalities={"palette": "palette_plugin:Palette"})
    said = run("palette", "generate", "-n", "3")
    assert (said.code, said.err) == (2, "artgen: no backend for palette is installed; see artgen backends\n")
    assert run("backends", "--modality", "palette", "--json").json == {"backends": []}
    assert run("--json", "backends", "--modality", "palette").json == {"backends": []}


def test_an_unusable_backend_still_has_help(run: Any, place: Path) -> None:
    noise_plugin.broken_module(place, "broken_cli", "raise RuntimeError('no such card')")
    noise_plugin.install(
        place,
        {"palette.broken": "broken_cli:Backend", "image.greedy": "noise_plugin:Greedy"},
        distribution="artgen-broken",
        modalities={"palette": "palette_plugin:Palette"},
    )
    said = run("palette", "--help")
    assert said.code == 0
    assert "palette.broken of artgen-broken cannot be used: RuntimeError: no such card" in " ".join(said.out.split())
    said = run("palette", "generate", "--anything")
    assert (said.code, "RuntimeError: no such card" in said.err) == (1, True)
    assert "RuntimeError: no such card" in " ".join(run("palette", "generate", "--help").out.split())
    assert "declares --output, which is one of artgen's own" in run("image", "generate", "--backend", "greedy").err
    assert run("image", "generate", "--help").code == 0


# start-up, completion


LIGHT = [
    ["--help"],
    ["image", "--help"],
    ["image", "generate", "--help"],
    ["image", "train", "--help"],
    ["image", "generate", "--truncatoin", "1"],
    ["image", "generate", "--truncation", "99"],
    ["backends"],
    ["audio", "--help"],
]


@pytest.mark.parametrize("words", LIGHT, ids=" ".join)
def test_help_lists_and_mistakes_do_not_load_torch(words: list[str]) -> None:
    run = subprocess.run([sys.executable, "-X", "importtime", "-m", "artgen", *words], capture_output=True, text=True)
    loaded = {
        line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines() if line.startswith("import time:")
    }
    assert "artgen" in loaded
    assert not loaded & {"torch", "transformers", "diffusers", "librosa", "accelerate"}
    if "--help" in words or "--truncatoin" in words:
        assert not loaded & {"rich", "pydantic", "tensorboard"}
    assert run.returncode == (0 if "--help" in words or words == ["backends"] else 2)


def complete(*words: str) -> list[str]:
    environment = {
        **os.environ,
        "_ARTGEN_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(["artgen", *words]),
        "COMP_CWORD": str(len(words)),
    }
    run = subprocess.run([sys.executable, "-m", "artgen"], capture_output=True, text=True, env=environment)
    return run.stdout.split()


def test_completion_knows_the_chosen_backends_flags(model: Path) -> None:
    assert {"image", "backends", "replay"} <= set(complete(""))
    assert "generate" in complete("image", "g")
    assert complete("image", "generate", "--backend", "noise", "--mir") == ["--mirror"]
    assert complete("image", "generate", "--model", str(model), "--trunc") == ["--truncation"]
    assert complete("image", "generate", "--model", str(model), "--tone", "w") == ["warm"]


def test_completion_can_be_shown() -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    run = subprocess.run(
        [sys.executable, "-m", "artgen", "--show-completion", "bash"], capture_output=True, text=True, env=environment
    )
    assert (run.returncode, "_ARTGEN_COMPLETE=complete_bash" in run.stdout) == (0, True), run.stderr


def test_every_declared_flag_is_offered(run: Any) -> None:
    from artgen.cli.app import flags_of
    from artgen.cli.scan import Scan

    for verb in noise_plugin.Noise.verbs():
        text = run("image", verb, "--backend", "noise", "--help").out
        for flag in flags_of(Scan("image", verb, "noise")):
            assert flag in text
    assert registry.get("image", "noise") is noise_plugin.Noise


def test_python_m_artgen_exits_with_the_code(tmp_path: Path) -> None:
    save_noise(tmp_path / "m", [1, 2, 3], 1.0, 4)
    run = subprocess.run([sys.executable, "-m", "artgen", "show", str(tmp_path / "gone")], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
