"""The command line as it is typed: flags, sentences, exit codes, JSON, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import noise_plugin
import pytest
from noise_fixtures import cat, dataset, model, place  # noqa: F401 - fixtures
from noise_plugin import save_noise

import artgen
from artgen import registry
from artgen.cli import main
from artgen.errors import Interrupted
from artgen.recipe import GENERATED

pytestmark = pytest.mark.usefixtures("place")
# ruff: noqa: F811 - fixtures are imported and then named as arguments


class Said:
    """What one command did."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run words through ``main`` and keep what came out."""

    def typed(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return typed


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
        ("imag", "No such command 'imag'. Did you mean 'image'?; see artgen --help"),
        ("image generat", "No such command 'generat'. Did you mean 'generate'?; see artgen image --help"),
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
        ("NOISE stray", "Got unexpected extra argument(s) (stray); see artgen image generate"),
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


# generate


def test_generate_names_files_by_model_and_seed(run: Any, model: Path) -> None:
    options = ["-n", "2", "--seed", "7", "--truncation", "1.5", "--mirror", "--shift", "3", "--shift", "4", "--shift", "5"]
    said = run("image", "generate", "--model", model, *options)
    assert (said.code, said.lines, said.err) == (0, ["hum-seed0007.png", "hum-seed0008.png"], "")
    recipe = artgen.open_artwork("hum-seed0008.png").recipe
    assert recipe is not None
    assert recipe.seeds == (8,)
    assert (recipe.options["truncation"], recipe.options["mirror"], recipe.options["shift"]) == (1.5, True, [3, 4, 5])


def test_nothing_is_overwritten(run: Any, model: Path) -> None:
    words = ("image", "generate", "--model", model, "--seed", "7", "-o", "cat.png")
    assert run(*words).lines == ["cat.png"]
    first = Path("cat.png").read_bytes()
    assert run(*words).lines == ["cat-2.png"]
    assert run(*words, "--truncation", "0").lines == ["cat-3.png"]
    assert Path("cat.png").read_bytes() == first == Path("cat-2.png").read_bytes()
    assert Path("cat-3.png").read_bytes() != first


def test_the_same_seed_gives_the_same_bytes(run: Any, model: Path) -> None:
    for folder, words in (("a/", ["-n", "1"]), ("b/", ["-n", "5"]), ("c/", []), ("d/", ["--format", "webp"])):
        seeds = ["--seeds", "6,9-7"] if folder == "c/" else ["--seed", "7"]
        assert run("image", "generate", "--model", model, *seeds, *words, "-o", folder).code == 0
    same = {Path(folder, "hum-seed0007.png").read_bytes() for folder in ("a", "b", "c")}
    assert len(same) == 1
    assert Path("d/hum-seed0007.webp").is_file()
    assert len(files()) == 1 + 5 + 4 + 1


def test_generate_output_names(run: Any, model: Path) -> None:
    def names(*words: str) -> list[str]:
        return run("image", "generate", "--model", model, *words).lines  # type: ignore[no-any-return]

    assert names("--seeds", "1,3", "-o", "cat.png") == ["cat-0001.png", "cat-0003.png"]
    assert names("--seed", "1", "-o", "x/{model}/{seed}.jpg") == ["x/hum/0001.jpg"]
    assert names("--seed", "1", "--walk", "1s") == ["hum-seed0001.mp4"]
    assert names("--seed", "1", "--walk", "1s", "--format", "gif") == ["hum-seed0001.gif"]
    said = run("image", "generate", "--model", model, "--seed", "1", "--walk", "1s", "-o", "w.jpg")
    assert (said.code, "w.jpg: video is saved as .mp4" in said.err) == (2, True)


def test_a_grid_is_one_sheet(run: Any, model: Path) -> None:
    said = run("image", "generate", "--model", model, "--seed", "3", "--grid", "4x2")
    assert said.lines == ["hum-seeds0003-0010.png"]
    work = artgen.open_artwork(said.lines[0])
    assert work.numpy().shape == (16, 32, 3)
    assert work.recipe is not None
    assert (work.recipe.seeds, work.recipe.layout) == (tuple(range(3, 11)), "grid 4x2")
    assert run("replay", said.lines[0]).code == 0
    assert run("image", "generate", "--model", model, "--seeds", "5,1", "--grid", "2x2", "-o", "sheet.png").lines == ["sheet.png"]
    said = run("image", "generate", "--model", model, "-n", "9", "--grid", "4x2")
    assert (said.code, said.err) == (2, "artgen: --grid 4x2 holds 8 works, not 9; ask for fewer or a larger grid\n")
    said = run("image", "generate", "--model", model, "--seed", "1", "--walk", "1s", "--grid", "1x1")
    assert said.err == "artgen: --grid is for pictures; leave it out for moving ones\n"


def test_a_drawn_seed_is_printed(run: Any, model: Path) -> None:
    said = run("image", "generate", "--model", model, "--json")
    seed = said.json["files"][0]["seeds"][0]
    assert said.err == f"seed {seed}, drawn at random; give --seed {seed} to make the same again\n"


def test_generate_as_json(run: Any, model: Path) -> None:
    said = run("image", "generate", "--model", model, "--seeds", "1,2", "--json")
    assert said.json == {
        "model": "hum",
        "backend": "image.noise",
        "files": [{"path": "hum-seed0001.png", "seeds": [1]}, {"path": "hum-seed0002.png", "seeds": [2]}],
    }


@pytest.mark.parametrize("detail", ["full", "minimal", "none"])
def test_the_mark_stays_whatever_is_told(run: Any, model: Path, detail: str) -> None:
    run("image", "generate", "--model", model, "--seed", "1", "-o", "a.png", "--recipe", detail)
    told = run("show", "a.png", "--json").json
    assert told["mark"] == GENERATED
    assert ("options" in (told["recipe"] or {})) == (detail == "full")
    assert str(model) not in Path("a.png").read_bytes().decode("latin-1") or detail == "full"


def test_processes_share_names_and_bytes(run: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("image", "generate", "--model", model, "-n", "3", "--seed", "0", "-o")
    run(*words, "whole/")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        run(*words, "shared/")
        run(*words, "sheets/", "--grid", "2x2")
    whole, shared = ({path.name: path.read_bytes() for path in Path(folder).iterdir()} for folder in ("whole", "shared"))
    assert whole == shared
    assert [path.name for path in Path("sheets").iterdir()] == ["hum-seeds0000-0002.png"]


def test_a_folder_that_cannot_be_written_is_told_before_any_work(run: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise_plugin.Noise, "generate", lambda *_: pytest.fail("work was made"))
    Path("file").write_text("")
    said = run("image", "generate", "--model", model, "-o", "file/below/")
    assert (said.code, "choose another --output" in said.err) == (1, True)


def test_a_damaged_model_is_told(run: Any, model: Path) -> None:
    (model / "config.json").write_text("{")
    said = run("image", "generate", "--model", model)
    assert (said.code, "config.json: damaged" in said.err) == (2, True)


def test_a_model_of_another_modality_is_told(run: Any, model: Path) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "backend": "audio.hum"}))
    said = run("image", "generate", "--model", model)
    assert (said.code, "a model of audio.hum, not of image; use artgen audio generate" in said.err) == (2, True)


# prepare, train, modify, evaluate


def test_prepare_lists_what_it_skipped(run: Any, tmp_path: Path, pictures: Path) -> None:
    source = tmp_path / "mixed"
    source.mkdir()
    for number in range(23):
        (source / f"bad{number:02}.png").write_text("no picture")
    (source / "good.png").write_bytes(next(pictures.rglob("*.png")).read_bytes())
    said = run("image", "prepare", source, "-o", "set", "--backend", "noise", "--resolution", "4")
    assert (said.code, said.lines) == (0, ["set: 1 usable, 23 skipped"])
    assert "bad00.png" in said.err
    assert "bad19.png" in said.err
    assert "bad20.png" not in said.err
    assert "… and 3 more; set/dataset.json lists all" in said.err
    assert "next: artgen image train set" in said.err
    told = run("image", "prepare", source, "-o", "again", "--backend", "noise", "--json").json
    assert (told["dataset"], told["count"], len(told["skipped"])) == ("again", 1, 23)
    assert told["skipped"][0] == {"file": str(source / "bad00.png"), "reason": "no picture"}


def test_a_dry_run_prints_a_configuration_that_can_be_used(run: Any, pictures: Path) -> None:
    words = (
        "image",
        "train",
        pictures,
        "--backend",
        "noise",
        "--spread",
        "2",
        "--minutes",
        "90s",
        "--resolution",
        "16",
        "--dry-run",
    )
    said = run(*words)
    values = tomllib.loads(said.out)
    assert (values["backend"], values["spread"], values["minutes"], values["prepare"]["resolution"]) == (
        "image.noise",
        2.0,
        1.5,
        16,
    )
    assert files() == []
    Path("settings.toml").write_text(said.out)
    assert tomllib.loads(run("image", "train", pictures, "--config", "settings.toml", "--dry-run").out) == values
    over = run("image", "train", pictures, "--config", "settings.toml", "--spread", "3", "--dry-run", "--json").json
    assert (over["options"]["spread"], over["options"]["minutes"], over["prepare"]["resolution"]) == (3.0, 1.5, 16)


def test_train_then_generate_then_resume(run: Any, dataset: Path) -> None:
    said = run("image", "train", dataset, "--backend", "noise", "--steps", "2", "--device", "cpu")
    assert (said.code, said.lines) == (0, [str(Path("runs/data-1/model").resolve())])
    assert "run: runs/data-1\n" in said.err
    assert "next: artgen image generate --model runs/data-1" in said.err
    assert run("image", "generate", "--model", "runs/data-1", "--seed", "1").lines == ["data-1-seed0001.png"]
    before = Path("runs/data-1/model/model.safetensors").read_bytes()
    told = run("image", "train", "--resume", "--output", "runs/data-1", "--steps", "4", "--device", "cpu", "--json").json
    assert (told["run"], told["backend"]) == ("runs/data-1", "image.noise")
    assert Path("runs/data-1/model/model.safetensors").read_bytes() == before
    said = run("image", "train", dataset, "--backend", "noise", "-o", "runs/data-1")
    assert (said.code, "a run is there already; add --resume" in said.err) == (2, True)
    said = run("image", "train", "--resume", "-o", "runs/data-1", "--spread", "3")
    assert (said.code, "--spread" in said.err) == (1, True)


def test_modify_and_compare(run: Any, model: Path, cat: Path) -> None:
    said = run("image", "modify", cat, "--model", model, "--strength", "0.2", "--compare", "--seed", "4", "--mix", cat)
    assert (said.code, said.lines) == (0, ["cat-modified.png", "cat-modified-compare.png"])
    assert artgen.open_artwork("cat-modified-compare.png").numpy().shape == (6, 16, 3)
    for path in said.lines:
        assert run("replay", path).out.startswith(f"{path}: identical")
    told = run("image", "modify", cat, cat, "--model", model, "-o", "m.png", "--json", "--recipe", "none").json
    assert [file["path"] for file in told["files"]] == ["m-cat.png", "m-cat-2.png"]
    assert told["files"][0]["input"] == str(cat)
    assert run("image", "modify", cat, "--model", model, "-o", "{name}-{seed}.webp").lines == ["cat-0000.webp"]
    said = run("image", "modify", "gone.png", "--model", model)
    assert (said.code, said.err) == (2, "artgen: gone.png: no such file\n")


def test_evaluate_prints_floors_and_saves_sheets(run: Any, model: Path, dataset: Path) -> None:
    said = run("image", "evaluate", model, dataset, "--items", "2", "-o", "sheets")
    assert said.code == 0
    assert "floor (real against real)" in said.out
    assert "mean@N=2" in said.out
    assert "sheet: sheets/colour.png" in said.err
    assert json.loads(Path("sheets/scores.json").read_text())["colour"]["sheet"] == "sheets/colour.png"
    told = run("image", "evaluate", model, dataset, "--json").json["scores"]
    assert (told["colour"]["floor"], told["unknown"]["value"], told["colour"]["better"]) == (0.0, None, "lower")


def test_evaluate_tells_a_folder_that_cannot_be_written_before_any_work(
    run: Any, model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise_plugin.Noise, "evaluate", lambda *_: pytest.fail("work was made"))
    Path("file").write_text("")
    said = run("image", "evaluate", model, dataset, "-o", "file/below")
    assert (said.code, "choose another --output" in said.err) == (1, True)


def test_a_training_that_could_not_begin_does_not_keep_its_place(run: Any, dataset: Path) -> None:
    line = ("image", "train", dataset, "--backend", "noise", "--steps", "1", "--device", "cpu", "-o", "runs/one")
    Path("runs/one").mkdir(parents=True)
    Path("runs/one/config.toml").write_text('backend = "image.noise"')  # what a mistake found after planning leaves
    assert run(*line).code == 0
    assert run(*line).code == 2


# show, replay, backends


def test_show_prints_and_tells(run: Any, model: Path, dataset: Path) -> None:
    said = run("show", model)
    assert "kind: model" in said.lines
    assert "licence: CC0-1.0" in said.lines
    assert any(line.startswith("size: ") and line.endswith("bytes") for line in said.lines)
    assert f"next: artgen image generate --model {model}" in said.lines
    assert "kind: dataset" in run("show", dataset).lines
    assert "count: 24" in run("show", dataset).lines
    assert run("show", dataset, "--json").json["of"] == "image"
    said = run("show", "gone")
    assert (said.code, said.err.startswith("artgen: gone: no such file or folder")) == (2, True)


def test_replay_says_its_state_and_exits_by_it(run: Any, model: Path, tmp_path: Path) -> None:
    run("image", "generate", "--model", model, "--seed", "1", "-o", "a.png")
    assert run("replay", "a.png").lines == ["a.png: identical, every byte"]
    told = run("replay", "a.png", "--json", "--output", "again/").json
    assert told == {
        "path": "a.png", "state": "identical", "reason": "a.png: identical, every byte",
        "distance": {"largest": 0.0, "mean": 0.0}, "remake": "again/a-again.png",
    }  # fmt: skip
    assert run("replay", "again/a-again.png").code == 0
    moved = model.rename(tmp_path / "moved")
    said = run("replay", "a.png")
    assert (said.code, "say with --model where it is now" in said.out) == (1, True)
    assert run("replay", "a.png", "--model", moved).code == 0
    assert run("replay", "a.png", "--json").json["state"] == "impossible"


def test_backends(run: Any, place: Path) -> None:
    noise_plugin.broken_module(place, "broken_list", "import nothing_of_that_name")
    noise_plugin.install(place, {"image.broken": "broken_list:Backend"}, distribution="artgen-broken")
    said = run("backends")
    assert said.code == 0
    assert "Gaussian noise around the mean colour of the data." in said.out
    assert "cannot be used: ModuleNotFoundError: No module named 'nothing_of_that_name'" in said.out
    told = {item["name"]: item for item in run("backends", "--json").json["backends"]}
    assert told["image.noise"]["package"] == "artgen-noise"


# exits


def test_an_unexpected_error_is_one_sentence(run: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError("by nothing\nand more")

    monkeypatch.setattr(noise_plugin.Noise, "generate", fails)
    words = ("image", "generate", "--model", model, "--seed", "1")
    said = run(*words)
    assert (said.code, said.err) == (1, "artgen: ZeroDivisionError: by nothing; run again with --debug for the traceback\n")
    assert run(*words, "--json").json["exit_code"] == 1
    with pytest.raises(ZeroDivisionError):
        run(*words, "--debug")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(KeyboardInterrupt(), "interrupted"), (Interrupted("stopped; the state is saved"), "stopped; the state is saved")],
)
def test_an_interruption_exits_130(
    run: Any, model: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, sentence: str
) -> None:
    def stops(*_: object) -> None:
        raise error

    monkeypatch.setattr(noise_plugin.Noise, "generate", stops)
    said = run("image", "generate", "--model", model, "--seed", "1")
    assert (said.code, said.err) == (130, f"artgen: {sentence}\n")


def test_a_reader_that_leaves_is_no_error() -> None:
    words = [sys.executable, "-m", "artgen", "backends"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 1)


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
