"""Training of ``audio.rnn``: stages, their budgets, what they leave, exact resume, and every option."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from audio_models import TRAIN, prepared, shrink, trained
from sample_sounds import RATE, sine, write

from artgen import api
from artgen.backend import Silent
from artgen.backends.audio.rnn import presets
from artgen.backends.audio.rnn.backend import Rnn
from artgen.backends.audio.rnn.codec_task import CodecTask
from artgen.backends.audio.rnn.composer_task import ComposerTask
from artgen.backends.audio.rnn.settle import make_tasks, settled
from artgen.backends.audio.rnn.tape import STEP, Moments, Tape
from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError, OptionError, TrainingError
from artgen.media.audio import from_pcm
from artgen.media.prepare_audio import Prepare, prepare
from artgen.model import WEIGHTS, Model
from artgen.training.task import Batch, Position, Task


@pytest.fixture(scope="module", autouse=True)
def small() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("notes"))


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained(dataset, tmp_path_factory.mktemp("run") / "run", save_steps=1)


def options(**changes: Any) -> Rnn.Train:
    return Rnn.Train(**{**TRAIN, **changes})


def tasks(dataset: Dataset, **changes: Any) -> list[Task]:
    torch.manual_seed(0)
    chosen = options(**changes)
    return make_tasks(Moments(dataset), chosen, settled(chosen), "cpu")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Cut(BaseException):
    """A process is killed."""


class Cutting(Silent):
    """Kills a training when ``count`` steps are done; like a bar on a terminal it cannot be copied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        raise TypeError("cannot pickle '_io.TextIOWrapper' object")

    def __init__(self, count: int) -> None:
        self.left = count

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.left -= amount > 0
        if self.left < 0:
            raise Cut


# --- the tape


def test_the_tape_is_what_is_not_held_out_from_end_to_end(dataset: Dataset) -> None:
    moments = Moments(dataset)
    held = set(dataset.array("held_out").tolist())
    wanted = [
        from_pcm(dataset.array("samples")[start:stop])
        for number, (start, stop) in enumerate(dataset.array("pieces"))
        if number not in held
    ]
    assert moments.tape.length == sum(map(len, wanted))
    assert len(moments) == moments.tape.length // STEP
    read = moments.tape.read(0, moments.tape.length)
    whole = np.concatenate(wanted)
    inner = np.ones(len(whole), bool)
    for end in np.cumsum([0, *map(len, wanted)]):
        inner[max(0, end - 50) : end + 50] = False
    assert np.array_equal(read[inner], whole[inner])
    assert moments.held is not None
    assert moments.held.length == dataset.manifest.shapes["samples"][0] - moments.tape.length


def test_a_read_goes_on_from_the_front_and_joins_without_a_click(dataset: Dataset) -> None:
    tape = Moments(dataset).tape
    around = tape.read(tape.length - 300, 600)
    assert np.array_equal(around[300:], tape.read(0, 300))
    assert np.array_equal(around, tape.read(2 * tape.length - 300, 600))
    assert np.abs(around[298:302]).max() < 0.01


def test_crops_are_reads(dataset: Dataset) -> None:
    tape = Moments(dataset).tape
    places = np.array([0, 700, tape.length - 100, 3 * tape.length + 5, int(tape.ends[0]) - 250])
    crops = tape.crops(places, 500)
    for place, crop in zip(places, crops, strict=True):
        assert np.abs(from_pcm(crop) - tape.read(int(place), 500)).max() <= 1 / 32768


def test_many_short_files_are_joined(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "s" / f"{number}.wav", sine(200 + 50 * number, 0.12))
    made = prepare([tmp_path / "s"], tmp_path / "d", Prepare(workers=1, held_out=0))
    tape = Moments(made).tape
    assert tape.length == 6 * round(0.12 * RATE)
    assert np.abs(tape.read(0, tape.length)).max() > 0.05


def test_nothing_left_to_learn_from_is_said(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dataset._arrays, "held_out", np.arange(len(dataset)))
    with pytest.raises(DatasetError, match="nothing is left to learn from; prepare it again with --held-out 0"):
        Moments(dataset)


# --- both stages


def test_both_networks_are_in_the_model_and_both_learned(model: Model) -> None:
    tensors = model.tensors()
    assert {name.partition(".")[0] for name in tensors} == {"codec", "composer"}
    assert model.config.network["codec"]["rate"] == RATE
    assert model.config.network["sound"] == {"loudness": -20.0}
    network = model.network(Rnn())
    assert set(dict(network.named_children())) == {"codec", "composer"}
    assert not any("follower" in name or "uses" in name for name in tensors)


def test_each_stage_has_its_part_of_the_budget_and_its_lines(dataset: Dataset, tmp_path: Path) -> None:
    trained(dataset, tmp_path / "run", steps=5, previews=1, best_by="auto")
    told = lines(tmp_path / "run")
    assert [line["step"] for line in told if "loss/codec" in line] == [1, 2]
    assert [line["step"] for line in told if "loss/composer" in line] == [1, 2]
    assert {line.get("stage") for line in told if "loss/codec" in line} == {"codec"}
    measured = next(line for line in told if "mr-stft" in line)
    assert measured["stage"] == "codec"
    assert measured["lsd"] > 0
    assert any("val/loss" in line for line in told)
    names = {path.name for path in (tmp_path / "run" / "previews").iterdir()}
    assert {"codec-0000000000.png", "codec-0000000000-2.ogg", "0000000000.png", "0000000000-2.ogg"} <= names
    for place in ("events/codec", "events"):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = EventAccumulator(str(tmp_path / "run" / place)).Reload().Tags()
        assert (found["audio"], found["images"]) == (["preview"], ["preview"])


def test_training_makes_the_loss_smaller(dataset: Dataset, tmp_path: Path) -> None:
    trained(dataset, tmp_path / "run", steps=60, batch_size=8)
    told = lines(tmp_path / "run")
    for stage in ("codec", "composer"):
        losses = [line[f"loss/{stage}"] for line in told if f"loss/{stage}" in line]
        assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5]), losses


@pytest.mark.parametrize("cut", [1, 3])
def test_a_killed_training_ends_in_the_same_weights(model: Model, dataset: Dataset, tmp_path: Path, cut: int) -> None:
    with pytest.raises(Cut):
        api.train("audio", dataset.folder, tmp_path, device="cpu", progress=Cutting(cut), **{**TRAIN, "steps": 4, "save_steps": 1})
    assert not (tmp_path / "model").exists()
    resumed = api.train("audio", output=tmp_path, resume=True, device="cpu")
    assert (resumed.folder / WEIGHTS).read_bytes() == (model.folder / WEIGHTS).read_bytes()
    codec_steps = [line["step"] for line in lines(tmp_path) if "loss/codec" in line]
    assert codec_steps == [1, 2]


def test_another_seed_is_another_model(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    other = trained(dataset, tmp_path / "run", seed=4)
    assert (other.folder / WEIGHTS).read_bytes() != (model.folder / WEIGHTS).read_bytes()


def test_slices_of_a_batch_add_up_to_the_batch(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    sliced = trained(dataset, tmp_path / "run", micro_batch=2, dropout=0.0, steps=2)
    whole = trained(dataset, tmp_path / "whole", dropout=0.0, steps=2)
    for name, tensor in whole.tensors().items():
        assert torch.allclose(tensor, sliced.tensors()[name], atol=2e-3), name


LEARNERS = """
import sys
sys.path.insert(0, {tests!r})
import pytest
from audio_models import TRAIN, shrink
from artgen import api
with pytest.MonkeyPatch.context() as patch:
    shrink(patch)
    api.train("audio", {dataset!r}, {output!r}, device="cpu", **{{**TRAIN, "steps": 4, "dropout": 0.0}})
"""


@pytest.mark.slow
def test_two_processes_train_like_one_in_both_stages(dataset: Dataset, tmp_path: Path) -> None:
    program = tmp_path / "learn.py"
    told = {"tests": str(Path(__file__).parents[1]), "dataset": str(dataset.folder), "output": str(tmp_path / "two")}
    program.write_text(LEARNERS.format(**told))
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29641"]
    run = subprocess.run(
        [sys.executable, *launcher, str(program)], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    one = trained(dataset, tmp_path / "one", dropout=0.0)
    for stage in ("codec", "composer"):
        name = f"loss/{stage}"
        alone, shared = ([line[name] for line in lines(folder) if name in line] for folder in (tmp_path / "one", tmp_path / "two"))
        assert len(alone) == 2
        np.testing.assert_allclose(alone, shared, rtol=2e-3, err_msg=stage)
    found = Model.open(tmp_path / "two").tensors()
    for name, tensor in one.tensors().items():
        assert torch.allclose(tensor, found[name], atol=2e-3), name


@pytest.mark.parametrize("representation", ["codec", "mulaw"])
def test_half_precision_learns_too(dataset: Dataset, tmp_path: Path, representation: str) -> None:
    found = trained(dataset, tmp_path / "run", precision="bf16", representation=representation, steps=2, weights="fp16")
    assert all(torch.isfinite(tensor).all() for tensor in found.tensors().values())
    assert {tensor.dtype for tensor in found.tensors().values()} == {torch.float16}
    assert len(api.generate("audio", model=found, seed=0, seconds=0.1)[0].numpy())


def test_stereo_at_another_rate(tmp_path: Path) -> None:
    stereo = prepared(tmp_path, channels="stereo", rate=16_000, files=2, seconds=1.0)
    found = trained(stereo, tmp_path / "run", steps=2)
    assert found.config.network["codec"]["channels"] == 2
    work = api.generate("audio", model=found, seed=1, seconds=0.5)[0]
    assert work.samples.shape == (8000, 2)  # type: ignore[attr-defined]
    assert work.rate == 16_000  # type: ignore[attr-defined]


def test_until_a_metric_of_the_codec_ends_its_stage(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CodecTask, "look_cost", lambda task, size: 0.0)
    trained(dataset, tmp_path / "run", steps=8, previews=4, best_by="auto", until="lsd<=1000")
    told = lines(tmp_path / "run")
    assert max(line["step"] for line in told if "loss/codec" in line) == 1
    assert max(line["step"] for line in told if "loss/composer" in line) == 4
    with pytest.raises(OptionError, match="this backend measures: val/loss, bits_per_second, mr-stft, lsd"):
        trained(dataset, tmp_path / "other", until="fd<=3")


def test_until_a_metric_of_the_composer(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComposerTask, "look_cost", lambda task, size: 0.0)
    trained(dataset, tmp_path / "run", steps=8, previews=8, best_by="auto", until="val/loss<=100")
    assert max(line["step"] for line in lines(tmp_path / "run") if "loss/composer" in line) < 4


# --- a codec that is brought


def test_a_codec_is_taken_over_as_it_is(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    found = trained(dataset, tmp_path / "run", codec=str(model.folder), steps=3)
    before, after = model.tensors(), found.tensors()
    codec = [name for name in before if name.startswith("codec.")]
    assert codec
    assert all(torch.equal(before[name], after[name]) for name in codec)
    assert not torch.equal(before["composer.heads"], after["composer.heads"])
    assert not any("stage" in line for line in lines(tmp_path / "run"))


def test_a_run_with_a_brought_codec_resumes_exactly(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    given: dict[str, Any] = {**TRAIN, "steps": 3, "save_steps": 1, "codec": str(model.folder)}
    whole = api.train("audio", dataset.folder, tmp_path / "whole", device="cpu", **given)
    with pytest.raises(Cut):
        api.train("audio", dataset.folder, tmp_path / "cut", device="cpu", progress=Cutting(1), **given)
    resumed = api.train("audio", output=tmp_path / "cut", resume=True, device="cpu")
    assert (resumed.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()


def test_a_codec_of_other_sounds_is_refused(model: Model, tmp_path: Path) -> None:
    other = prepared(tmp_path / "slow", rate=16_000, files=2, seconds=1.0)
    with pytest.raises(ModelError, match=r"it codes 22050 Hz mono, the dataset is 16000 Hz mono; prepare with --rate 22050$"):
        trained(other, tmp_path / "run", codec=str(model.folder))
    other = prepared(tmp_path / "wide", channels="stereo", files=2, seconds=1.0)
    with pytest.raises(ModelError, match=r"it codes 22050 Hz mono, the dataset is 22050 Hz stereo; prepare with --channels mono$"):
        trained(other, tmp_path / "run", codec=str(model.folder))


def test_a_folder_is_prepared_as_the_codec_needs_it(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stereo = prepared(tmp_path / "stereo", channels="stereo", rate=16_000, files=2, seconds=1.0)
    codec = str(trained(stereo, tmp_path / "codec", steps=2).folder)
    folder, given = tmp_path / "stereo" / "sounds", {**TRAIN, "steps": 1, "workers": 1, "device": "cpu"}
    found = api.train("audio", folder, tmp_path / "run", codec=codec, **given)
    assert [found.config.network["codec"][name] for name in ("rate", "channels")] == [16_000, 2]
    assert Dataset.open(tmp_path / "run" / "dataset").manifest.notes["rate"] == 16_000
    for wrong, sentence in (
        ({"rate": 22_050}, "--rate takes 16000 with the other options of this training, not 22050; leave --rate out"),
        ({"channels": "mono"}, "--channels takes stereo with the other options of this training, not mono; leave --channels out"),
        ({"representation": "mulaw"}, "--codec is about a codec, and --representation mulaw has none"),
    ):
        with pytest.raises(OptionError, match=sentence):
            api.train("audio", folder, tmp_path / "other", codec=codec, **given, **wrong)
    with pytest.raises(ModelError, match="gone"):
        api.train("audio", folder, tmp_path / "other", codec="gone", **given)
    monkeypatch.setitem(model.config.network["codec"], "rate", 8000)
    monkeypatch.setattr(Model, "open", lambda *place: model)
    with pytest.raises(
        ModelError, match="it codes 8000 Hz mono; give one of 16000, 22050, 24000, 32000 or 44100 Hz, mono or stereo"
    ):
        api.train("audio", folder, tmp_path / "other", codec=codec, **given)
    assert not (tmp_path / "other").exists()


def test_a_model_without_a_codec_brings_none(dataset: Dataset, tmp_path: Path) -> None:
    raw = trained(dataset, tmp_path / "raw", representation="mulaw", steps=1)
    with pytest.raises(ModelError, match=r"a model of audio.rnn without a codec; give one that artgen audio train made"):
        trained(dataset, tmp_path / "run", codec=str(raw.folder))


def test_damaged_weights_of_a_codec_are_said(model: Model, dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    for path in model.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config["network"]["codec"]["width"] = 24
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config.json and weights do not belong together"):
        trained(dataset, tmp_path / "run", codec=str(folder))


# --- options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"codec_minutes": 1.0}, "--codec-minutes sets a part of --minutes apart; give --minutes too"),
        ({"codec_minutes": 2.0, "minutes": 2.0}, "--codec-minutes takes less than --minutes 2, not 2"),
        ({"codec_minutes": 1.0, "minutes": 2.0, "codec": "x"}, "leave one of them out"),
        ({"representation": "mulaw", "codec": "x"}, "--codec is about a codec, and --representation mulaw has none"),
        ({"representation": "mulaw", "codes": 4}, "--codes is about a codec"),
        ({"representation": "mulaw", "codec_minutes": 4.0}, "--codec-minutes is about a codec"),
    ],
)
def test_options_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        settled(options(**given))


def test_the_recipe_is_what_options_and_budget_ask_for() -> None:
    assert presets.chosen("auto", 5.0) == "sketch"
    assert presets.chosen("auto", None) == "sketch"
    assert presets.chosen("auto", 40.0) == "standard"
    assert presets.chosen("large", 1.0) == "large"
    plan = settled(options(minutes=20.0, codec_minutes=5.0, codes=2, dropout=0.3, learning_rate=0.01, batch_size=7))
    assert plan.share == 0.25
    assert plan.codec["codebooks"] == 2
    assert presets.composer_network(plan, presets.codec_network(plan, RATE, 1))["codebooks"] == 2
    assert (plan.dropout, plan.codec_rate, plan.composer_rate, plan.batch) == (0.3, 0.01, 0.01, 7)
    assert settled(options(batch_size=0)).batch == presets.SKETCH.batch


def test_a_resume_keeps_the_recipe_whatever_the_budget(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Cut):
        api.train("audio", dataset.folder, tmp_path, device="cpu", progress=Cutting(1), **{**TRAIN, "steps": 4, "save_steps": 1})
    (tmp_path / "recipe.json").unlink()
    with pytest.raises(TrainingError, match=r"recipe.json: missing or damaged .* start a new run"):
        api.train("audio", output=tmp_path, resume=True, device="cpu")


def codec_loss(dataset: Dataset, **changes: Any) -> float:
    task = tasks(dataset, **changes)[0]
    assert isinstance(task, CodecTask)
    task.begin(dataset, [])
    batch = Batch(task.load(dataset, [0, 5, 9]), 3, 0, 3, 12, torch.device("cpu"))
    return float(task.eval()("codec", batch, Position(0, 10))["loss"].detach())


NONE = {"pitch": 0.0, "gain": 0.0, "polarity": False, "mixing": 0.0}


@pytest.mark.parametrize("given", [{"pitch": 2.0}, {"gain": 12.0}, {"mixing": 1.0}])
def test_each_variation_changes_what_the_codec_learns_from(dataset: Dataset, given: dict[str, Any]) -> None:
    loss = codec_loss(dataset, **{**NONE, **given})
    assert loss != codec_loss(dataset, **NONE)
    assert loss == codec_loss(dataset, **{**NONE, **given})


def test_polarity_is_no_difference_to_spectra_but_one_to_the_codec(dataset: Dataset) -> None:
    assert codec_loss(dataset, **{**NONE, "polarity": True}) != codec_loss(dataset, **NONE)


@pytest.mark.parametrize(("given", "copies"), [({}, 5), ({"pitch": 0.0, "stretch": 0.0}, 1), ({"pitch": 0.0}, 5)])
def test_the_composer_learns_from_changed_copies(dataset: Dataset, given: dict[str, Any], copies: int) -> None:
    first, second = tasks(dataset, **given)
    first.begin(dataset, [])
    second.begin(dataset, [first])
    assert isinstance(second, ComposerTask)
    assert len(second.tapes) == copies
    windows = second.load(dataset, list(range(12)))["codes"]
    assert windows.shape == (12, 3, 12)
    assert torch.equal(windows[0], torch.from_numpy(second.tapes[0][:, :12].astype(np.int64)))
    if copies > 1:
        assert any(not np.array_equal(second.tapes[0][:, :40], tape[:, :40]) for tape in second.tapes[1:])
    last = second.load(dataset, [len(Moments(dataset)) - 1])["codes"]
    assert last.shape == (1, 3, 12)


def test_too_little_sound_is_said(tmp_path: Path) -> None:
    write(tmp_path / "s" / "click.wav", sine(440, 0.011))
    made = prepare([tmp_path / "s"], tmp_path / "d", Prepare(workers=1, held_out=0, min_seconds=0.01))
    first, second = tasks(made)
    with pytest.raises(DatasetError, match="less than two frames of sound to learn from; give more sound"):
        second.begin(made, [first])


def test_one_clip_of_a_second_is_enough(tmp_path: Path) -> None:
    write(tmp_path / "s" / "short.wav", sine(440, 0.2))
    made = prepare([tmp_path / "s"], tmp_path / "d", Prepare(workers=1))
    found = trained(made, tmp_path / "run", steps=2, best_by="auto", previews=1)
    assert len(api.generate("audio", model=found, seed=0, seconds=0.1)[0].samples) == 2205  # type: ignore[attr-defined]


def test_dropout_is_a_function_of_the_batch(dataset: Dataset) -> None:
    first, second = tasks(dataset, dropout=0.5)
    second.begin(dataset, [first])
    second.train()
    batch = Batch(second.load(dataset, [0, 3]), 2, 0, 2, 5, torch.device("cpu"))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = float(second("composer", batch, Position(0, 9))["loss"].detach())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert float(second("composer", batch, Position(0, 9))["loss"].detach()) == one
    other = Batch(batch.data, 2, 0, 2, 6, torch.device("cpu"))
    assert float(second("composer", other, Position(0, 9))["loss"].detach()) != one


# --- the plain network


def test_the_plain_network_trains_and_resumes(dataset: Dataset, tmp_path: Path) -> None:
    given: dict[str, Any] = {**TRAIN, "steps": 3, "save_steps": 1, "representation": "mulaw", "best_by": "auto", "previews": 1}
    whole = api.train("audio", dataset.folder, tmp_path / "whole", device="cpu", **given)
    assert {name.partition(".")[0] for name in whole.tensors()} == {"plain"}
    assert any("val/loss" in line for line in lines(tmp_path / "whole"))
    assert (tmp_path / "whole" / "previews" / "0000000000-2.ogg").is_file()
    with pytest.raises(Cut):
        api.train("audio", dataset.folder, tmp_path / "cut", device="cpu", progress=Cutting(1), **given)
    resumed = api.train("audio", output=tmp_path / "cut", resume=True, device="cpu")
    assert (resumed.folder / WEIGHTS).read_bytes() == (whole.folder / WEIGHTS).read_bytes()


def test_the_plain_network_needs_three_samples(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = tasks(dataset, representation="mulaw")
    monkeypatch.setattr(Tape, "length", 5, raising=False)
    task.moments.tape.length = 5  # type: ignore[union-attr]
    with pytest.raises(DatasetError, match="less than three samples"):
        task.begin(dataset, [])


def test_a_recipe_survives_its_file() -> None:
    for plan in (presets.SKETCH, presets.STANDARD, presets.LARGE, presets.PLAIN):
        assert msgspec.json.decode(msgspec.json.encode(plan), type=presets.Recipe) == plan


def test_what_is_settled_is_what_is_trained() -> None:
    told = Rnn().settled(Rnn.Train(minutes=20.0))
    plan = settled(Rnn.Train(minutes=20.0))
    assert told == {
        "batch_size": plan.batch, "dropout": plan.dropout, "preset": "standard", "codes": plan.codec["codebooks"],
        "codec_minutes": 10.0,
    }  # fmt: skip
    told = Rnn().settled(Rnn.Train(preset="sketch", steps=4, batch_size=3, codes=2, dropout=0.5))
    assert told == {"batch_size": 3, "dropout": 0.5, "codes": 2}
    assert Rnn().settled(Rnn.Train(representation="mulaw")) == {"batch_size": presets.PLAIN.batch, "dropout": 0.0}
