"""Training of ``audio.rnn``: stages, their budgets, what they leave, exact resume, a codec that is brought, the plain network."""

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
from audio_models import TRAIN, prepared, tasks, trained
from sample_sounds import RATE

from artgen import api
from artgen.backend import Silent
from artgen.backends.audio.rnn import presets
from artgen.backends.audio.rnn.backend import Rnn
from artgen.backends.audio.rnn.codec_task import CodecTask
from artgen.backends.audio.rnn.composer_task import ComposerTask
from artgen.backends.audio.rnn.settle import settled
from artgen.backends.audio.rnn.tape import Tape
from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError, OptionError, TrainingError
from artgen.model import WEIGHTS, Model


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained(dataset, tmp_path_factory.mktemp("run") / "run", save_steps=1)


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
    told = {"tests": str(Path(__file__).parents[2]), "dataset": str(dataset.folder), "output": str(tmp_path / "two")}
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
    with pytest.raises(OptionError, match="--until takes val/loss, bits_per_second, mr-stft, lsd, not"):
        trained(dataset, tmp_path / "other", until="fd<=3")


def test_until_a_metric_of_the_composer(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ComposerTask, "look_cost", lambda task, size: 0.0)
    trained(dataset, tmp_path / "run", steps=8, previews=8, best_by="auto", until="val/loss<=100")
    assert max(line["step"] for line in lines(tmp_path / "run") if "loss/composer" in line) < 4


def test_a_resume_keeps_the_recipe_whatever_the_budget(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Cut):
        api.train("audio", dataset.folder, tmp_path, device="cpu", progress=Cutting(1), **{**TRAIN, "steps": 4, "save_steps": 1})
    (tmp_path / "recipe.json").unlink()
    with pytest.raises(TrainingError, match=r"recipe.json: missing or damaged .* start a new run"):
        api.train("audio", output=tmp_path, resume=True, device="cpu")


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
