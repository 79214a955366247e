"""Training through the verbs: plans, layers, folders, mistakes, other processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import noise_plugin
import pytest
from listening import Listen
from noise_fixtures import dataset, model, place  # noqa: F401 - fixtures

import artgen
from artgen.describe import show
from artgen.errors import ArtgenError, Interrupted, OptionError, UsageError
from artgen.plan import plan_training

pytestmark = pytest.mark.usefixtures("place")

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def test_train_on_a_raw_folder_prepares_it_first(pictures: Path, tmp_path: Path) -> None:
    made = artgen.train("image", pictures, tmp_path / "run", backend="noise", resolution=4, spread=2, steps=3, device="cpu")
    assert made.modality == "image"
    assert show(tmp_path / "run" / "dataset")["shapes"] == {"images": [24, 4, 4, 3]}
    told = show(tmp_path / "run")
    assert (told["kind"], told["backend"], told["options"]["spread"], told["models"]) == ("run", "image.noise", 2.0, ["model"])
    assert f"artgen image train --resume --output {tmp_path / 'run'}" in told["next"]
    again = artgen.train("image", output=tmp_path / "run", resume=True, steps=9, device="cpu")
    assert again.sha256 == made.sha256
    assert show(tmp_path / "run")["options"]["steps"] == 9
    with pytest.raises(UsageError, match="a run is there already; add --resume to go on with it, or give another --output"):
        artgen.train("image", pictures, tmp_path / "run", backend="noise")


def test_a_plan_layers_file_and_keywords(dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('backend = "image.noise"\nspread = 2\nsteps = 5\nminutes = "90s"\n[prepare]\nresolution = 16\n')
    plan: Any = plan_training("image", tmp_path, config=config, steps=7)
    assert (plan.options.spread, plan.options.steps, plan.options.minutes, plan.prepare.resolution) == (2.0, 7, 1.5, 16)
    again = tmp_path / "again.toml"
    again.write_text(plan.to_toml())
    assert plan_training("image", tmp_path, config=again).to_toml() == plan.to_toml()
    assert plan_training("image", tmp_path, config=config, resolution=32).prepare.resolution == 32  # type: ignore[union-attr]
    assert not list(Path().iterdir())


def test_a_file_for_both_commands_may_say_how_the_dataset_was_prepared(dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('backend = "image.noise"\nspread = 2\n[prepare]\nresolution = 8\n')
    plan: Any = plan_training("image", dataset, tmp_path / "run", config=config)
    assert (plan.dataset, plan.prepare, plan.options.spread) == (dataset, None, 2.0)
    config.write_text('backend = "image.noise"\nspread = 2\n[prepare]\nresolution = 32\n')
    with pytest.raises(UsageError, match=f"--resolution 32, but {dataset} was prepared with 8; leave --resolution out"):
        plan_training("image", dataset, tmp_path / "run", config=config)


def test_a_line_break_in_a_file_is_the_one_that_was_typed(tmp_path: Path) -> None:
    (tmp_path / "verses.txt").write_text("\n\n".join(f"rose {number} is a rose" for number in range(40)))
    data = artgen.prepare("text", tmp_path / "verses.txt", tmp_path / "data", tokenizer="char", split="\\n\\n").folder
    config = tmp_path / "settings.toml"
    config.write_text('[prepare]\nsplit = "\\n\\n"\n')
    assert plan_training("text", data, tmp_path / "run", config=config).prepare is None
    config.write_text('[prepare]\nsplit = "\\n"\n')
    with pytest.raises(UsageError, match=r"--split \\n, but .*data was prepared with \\n\\n; leave --split out"):
        plan_training("text", data, tmp_path / "run", config=config)


@pytest.mark.parametrize(
    ("modality", "given", "message"),
    [
        ("image", {"until": "fdd<=40"}, "--until takes fd_rnd, fd, swd, not fdd; did you mean fd?"),
        ("video", {"until": "fd_clip=40"}, "--until takes a comparison such as \"fd_clip<=40\", not 'fd_clip=40'"),
        ("audio", {"until": "bpb<=1"}, "--until takes val/loss, bits_per_second, mr-stft, lsd, not bpb"),
        ("text", {"best_by": "bcp"}, "--best-by takes auto, none, val/loss, bpc, bpb, not bcp; did you mean bpc?"),
    ],
)
def test_a_metric_that_is_none_is_told_before_data_is_prepared(
    pictures: Path, tmp_path: Path, modality: str, given: dict[str, str], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        artgen.train(modality, pictures, tmp_path / "run", **given)  # type: ignore[arg-type]
    assert str(caught.value) == message
    assert not (tmp_path / "run").exists()


def test_a_run_gets_a_new_folder(dataset: Path) -> None:
    assert str(plan_training("image", dataset, backend="noise").output) == "runs/data-1"
    Path("runs/data-1").mkdir(parents=True)
    assert str(plan_training("image", dataset, backend="noise").output) == "runs/data-2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("spread = ", "not a TOML file"),
        ("[optimizer]\nlr = 1", r"no table \[optimizer\]; options stand at the top"),
        ("prepare = 3", r"prepare is a table; write \[prepare\]"),
        ('backend = "audio.rnn"', "its backend is audio.rnn, which is not one of image"),
        ("sprad = 2", r"no option 'sprad' of train or prepare; did you mean spread\?"),
        ("[prepare]\nspread = 2", "no option 'spread' of train or prepare"),
        ("spread = 9", "--spread takes more than 0 and at most 4, not 9"),
    ],
)
def test_mistakes_in_a_config_file(tmp_path: Path, pictures: Path, text: str, sentence: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    backend = None if "backend" in text else "noise"
    with pytest.raises(UsageError, match=sentence):
        plan_training("image", pictures, config=config, backend=backend)


def test_mistakes_in_training(tmp_path: Path, dataset: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(sentence: str, *arguments: Any, **options: Any) -> None:
        with pytest.raises(ArtgenError, match=sentence):
            plan_training("image", *arguments, **{"backend": "noise", **options})

    fails("nothing to train on; give a folder, an archive or a prepared dataset")
    fails("a prepared dataset, of which one is trained on alone; prepare the folders behind it together", [pictures, dataset])
    fails("gone: no such file or folder", "gone")
    fails("gone.toml: No such file or directory", pictures, config="gone.toml")
    fails("--resolution 16, but .*data was prepared with 8; leave --resolution out, or prepare", dataset, resolution=16)
    (dataset / "dataset.json").write_text((dataset / "dataset.json").read_text().replace('"resolution"', '"edge"'))
    fails("--resolution says how to prepare raw files, but .*data is prepared already; leave", dataset, resolution=8)
    fails("image.preparer does not train", dataset, backend="preparer")
    fails("--resume needs the run to go on with; give it with --output RUN", resume=True)
    fails(r"no run to go on with \(no config.toml\)", resume=True, output=tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text(f'backend = "image.noise"\ndataset = "{tmp_path / "moved"}"\nspread = 2.0\n')
    fails("the dataset of .*run is not there", resume=True, output=run)
    fails("--backend gan, but .*run is a run of image.noise; leave --backend out", dataset, resume=True, output=run, backend="gan")
    moved: Any = plan_training("image", dataset, run, resume=True)
    assert (moved.dataset, moved.options.spread) == (dataset, 2.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    fails("several processes need one common run; name it with --output", dataset)


def test_a_mistake_that_only_the_networks_can_find_leaves_no_run_but_keeps_the_prepared_data(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> Any:
        raise UsageError("no such metric")

    monkeypatch.setattr(noise_plugin.Noise, "train", refuse)
    heard = Listen()
    with pytest.raises(UsageError, match="no such metric"):
        artgen.train("image", pictures, tmp_path / "raw", backend="noise", progress=heard)
    assert not (tmp_path / "raw" / "config.toml").exists()
    assert heard.sentences[-1] == f"the data is prepared all the same: give {tmp_path / 'raw' / 'dataset'} in place of {pictures}"
    with pytest.raises(UsageError, match="no such metric"):
        artgen.train("image", tmp_path / "raw" / "dataset", tmp_path / "ready", backend="noise")
    assert not (tmp_path / "ready").exists()


def test_preparing_that_is_interrupted_says_which_run_goes_on(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any) -> Any:
        raise Interrupted("stopped after 3 of 24 files; the same command again goes on from there")

    monkeypatch.setattr(noise_plugin.Noise, "prepare", stopped)
    with pytest.raises(Interrupted) as caught:
        artgen.train("image", pictures, backend="noise")
    place = Path("runs") / f"{pictures.name}-1"
    assert str(caught.value) == f"stopped after 3 of 24 files; the same command with --output {place} goes on from there"


def test_other_processes_wait_for_the_dataset(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from artgen.plan import plan_dataset

    plan = plan_training("image", pictures, tmp_path / "run", backend="noise")
    opened = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    waiting = threading.Thread(target=lambda: opened.append(plan_dataset(plan)), daemon=True)
    waiting.start()
    noise_plugin.Noise().prepare([pictures], plan.dataset, noise_plugin.Noise.Prepare())
    waiting.join(30)
    assert len(opened[0]) == 24


def test_raw_sources_are_prepared_as_the_options_of_the_training_demand(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def demands(self: noise_plugin.Noise, options: Any) -> dict[str, object]:
        return {"resolution": 32} if options.spread == 2 else {}

    monkeypatch.setattr(noise_plugin.Noise, "demands", demands)

    def planned(**options: Any) -> int:
        return plan_training("image", pictures, tmp_path / "run", backend="noise", **options).prepare.resolution  # type: ignore

    assert (planned(), planned(spread=2), planned(spread=2, resolution=32), planned(resolution=16)) == (8, 32, 32, 16)
    with pytest.raises(OptionError, match="--resolution takes 32 with the other options of this training, not 16; leave --resol"):
        planned(spread=2, resolution=16)
    assert not (tmp_path / "run").exists()


def test_a_plan_tells_what_is_left_open_and_its_file_stays_open(pictures: Path, dataset: Path, tmp_path: Path) -> None:
    raw = plan_training("image", pictures, tmp_path / "run", backend="gan")
    assert raw.settled() == {"batch_size": 16, "learning_rate": 0.001, "minutes": 30.0}
    text = raw.to_toml()
    assert "# left open above, which comes to:\n# batch_size = 16\n# learning_rate = 0.001\n# minutes = 30.0\n" in text
    (tmp_path / "settings.toml").write_text(text)
    again = plan_training("image", pictures, tmp_path / "run", config=tmp_path / "settings.toml", preset="standard")
    assert again.settled()["batch_size"] == 32  # the file fixed nothing that the preset decides
    closed = plan_training("image", pictures, tmp_path / "run", backend="gan", batch_size=8, learning_rate=1e-4, steps=3)
    assert closed.settled() == {}
    assert "left open" not in closed.to_toml()
    assert plan_training("image", dataset, backend="noise", steps=1).settled() == {}


def test_a_flag_of_train_is_no_colour_of_prepare(tmp_path: Path) -> None:
    """``background`` is a switch of the training of clips and a colour of their preparing."""
    from PIL import Image

    for number in range(12):
        Image.new("RGB", (32, 32), (20 * number, 90, 0)).save(tmp_path / f"f{number:03d}.png")
    plan = plan_training("video", tmp_path, tmp_path / "run", background=True, resolution=32)
    assert plan.options.asdict()["background"] is True
    assert plan.prepare is not None
    assert plan.prepare.asdict()["background"] == "white"
    assert plan.prepare.asdict()["resolution"] == 32
