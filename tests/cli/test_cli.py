"""The command line as it is typed: verbs, files, JSON, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import noise_plugin
import pytest
from noise_fixtures import cat, dataset, model, place  # noqa: F401 - fixtures
from typed import run  # noqa: F401 - fixtures

import artgen
from artgen.cli import verbs
from artgen.errors import Interrupted
from artgen.recipe import GENERATED

pytestmark = pytest.mark.usefixtures("place")

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def files() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


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
    assert (said.code, ".jpg does not fit: a walk is a film, saved as .mp4, .webm, .gif, .webp" in said.err) == (2, True)
    for file in (("-o", "w.gif"), ("-o", "films/", "--format", "mp4"), ("-o", "{seed}.webm")):
        said = run("image", "generate", "--model", model, "--seed", "1", *file)
        assert (said.code, "does not fit: add --walk 10s to get a film; pictures are saved as .png" in said.err) == (2, True)
    assert not Path("films").exists()


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
    said = run("audio", "generate", "--grid", "2x2")
    assert (said.code, said.err) == (2, "artgen: --grid is for pictures and clips; leave it out\n")
    said = run("audio", "modify", "none.wav", "--stretch", "2", "--compare")
    assert (said.code, said.err) == (2, "artgen: --compare is for pictures; leave it out\n")


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
    assert "--output FOLDER keeps the sheets" not in said.err
    assert "--output FOLDER keeps the sheets" in run("image", "evaluate", model, dataset, "--items", "2").err
    told = run("image", "evaluate", model, dataset, "--json").json["scores"]
    assert (told["colour"]["floor"], told["unknown"]["value"], told["colour"]["better"]) == (0.0, None, "lower")


def test_a_remark_on_several_scores_is_made_once() -> None:
    protocols, remarks = verbs._once(
        ["artgen-FD@cls-1@N=8 (too few)", "artgen-SWD@N=8 (too few)", "artgen-copies@N=8", "x (a (b) c)"]
    )
    assert protocols == ["artgen-FD@cls-1@N=8", "artgen-SWD@N=8", "artgen-copies@N=8", "x"]
    assert remarks == ["too few", "a (b) c"]


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
