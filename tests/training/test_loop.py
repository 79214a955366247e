"""The loop: what a run leaves, exact resume, slices of a batch, losses that are no numbers, what it tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from listening import Listen
from tests_training_runs import prepared, records, run, same, weights
from tests_training_tiny import TinyTask

from artgen.dataset import Dataset
from artgen.errors import OutputError, TrainingError
from artgen.model import Model
from artgen.training.precision import Choice
from artgen.training.processes import Processes
from artgen.training.step import Stepper
from artgen.training.task import Layout, Position


@pytest.fixture(scope="module")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(pictures, tmp_path_factory.mktemp("prepared") / "dataset")


def test_a_run_leaves_models_logs_previews_and_a_time_lapse(tmp_path: Path, dataset: Dataset) -> None:
    model = run(tmp_path, dataset, steps=20, previews=4)
    assert model.folder == (tmp_path / "model").resolve()
    assert {"config.toml", "metrics.jsonl", "model", "model-last", "previews", "state", "timelapse.gif", "events"} <= {
        path.name for path in tmp_path.iterdir()
    }
    found = records(tmp_path)
    assert found[-1]["step"] == 20
    assert found[-1]["items"] == 120
    assert {"step", "items", "seconds", "loss/painter"} <= found[0].keys()
    assert sum("error" in record for record in found) == 4
    assert len(list((tmp_path / "previews").glob("*.png"))) == 5  # one before the first step
    assert model.config.train["items_seen"] == 120
    assert min(record["error"] for record in found if "error" in record) == pytest.approx(model.config.scores["error"])


def test_training_learns(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path, dataset, steps=150, previews=50)
    errors = [record["error"] for record in records(tmp_path) if "error" in record]
    assert errors[-1] < errors[0] / 3


def test_a_longer_budget_goes_on_from_where_it_was(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path, dataset, steps=4, previews=0)
    run(tmp_path, dataset, resume=True, steps=9, previews=0)
    assert records(tmp_path)[-1]["step"] == 9


def test_a_resume_refuses_other_data_and_other_options(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path, dataset, steps=2, previews=0)
    with pytest.raises(TrainingError, match=r"started with --seed 0, not 5; leave it out to go on, or start a new run"):
        run(tmp_path, dataset, resume=True, steps=4, previews=0, seed=5)
    with pytest.raises(OutputError, match="there is a run already; go on with --resume"):
        run(tmp_path, dataset, steps=2, previews=0)
    other = Dataset(dataset.folder, type(dataset.manifest)(**{**_fields(dataset), "fingerprint": "other"}))
    with pytest.raises(TrainingError, match="started with other data"):
        run(tmp_path, other, resume=True, steps=4, previews=0)


def _fields(dataset: Dataset) -> dict[str, Any]:
    return {name: getattr(dataset.manifest, name) for name in dataset.manifest.__struct_fields__}


def test_micro_batches_equal_the_whole_batch(dataset: Dataset) -> None:
    results = []
    for micro in (None, 2):
        task = TinyTask()
        stepper = Stepper(task, Choice("fp32", "contiguous"), Processes("cpu"), seed=1, batch_size=6, micro_batch=micro)
        data = task.load(dataset, range(6))
        numbers = [stepper.step(step, data, Position(step * 6, 60)) for step in range(4)]
        results.append((task.state_dict(), numbers))
    for name, tensor in results[0][0].items():
        torch.testing.assert_close(tensor, results[1][0][name], rtol=1e-5, atol=1e-6)
    for whole, parts in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(whole["loss/painter"], parts["loss/painter"], rtol=1e-5, atol=1e-6)


def test_a_phase_changes_its_own_weights_alone_and_only_when_due(dataset: Dataset) -> None:
    task = TinyTask()
    stepper = Stepper(task, Choice("fp32", "contiguous"), Processes("cpu"), seed=1, batch_size=6, micro_batch=None)
    data = task.load(dataset, range(6))
    before = task.judge.weight.clone()
    assert "loss/judge" not in stepper.step(1, data, Position(6, 60))
    assert torch.equal(task.judge.weight, before)
    assert "loss/judge" in stepper.step(2, data, Position(12, 60))
    assert not torch.equal(task.judge.weight, before)


def test_a_loss_that_is_not_finite_goes_back_once_then_stops_and_names_the_place(tmp_path: Path, dataset: Dataset) -> None:
    heard = Listen()
    task = TinyTask(poison=4)
    with pytest.raises(TrainingError, match=r"the loss of phase painter is nan at step 5, again after going back"):
        run(tmp_path, dataset, task, steps=10, previews=0, save_steps=2, heard=heard)
    assert any("went back to step 4 and go on with other random numbers" in sentence for sentence in heard.sentences)
    assert len(set(task.poisoned)) == 2  # the second attempt drew other numbers
    assert all(torch.isfinite(tensor).all() for tensor in task.state_dict().values())


def test_a_loss_that_recovers_goes_on_to_the_end(tmp_path: Path, dataset: Dataset) -> None:
    class Once(TinyTask):
        def forward(self, phase: str, batch: Any, position: Position) -> dict[str, torch.Tensor]:
            if self.poisoned:
                self.poison = None
            return super().forward(phase, batch, position)

    run(tmp_path, dataset, Once(poison=4), steps=10, previews=0, save_steps=2)
    assert records(tmp_path)[-1]["step"] == 10


def test_the_best_model_is_kept_apart_from_the_last(tmp_path: Path, dataset: Dataset) -> None:
    class Worse(TinyTask):
        calls = 0

        def measure(self, dataset: Dataset, names: Any) -> dict[str, float]:
            self.calls += 1
            return {"error": float(self.calls)}

    model = run(tmp_path, dataset, Worse(), steps=8, previews=4)
    assert model.config.train["items_seen"] == 12
    assert Model.open(tmp_path / "model-last").config.train["items_seen"] == 48


def test_a_model_can_be_laid_out_for_other_programs_too(tmp_path: Path, dataset: Dataset) -> None:
    class Guest(TinyTask):
        licence = "mit"

        def layout(self, tensors: dict[str, torch.Tensor]) -> Layout:
            theirs = {name.replace(".", "/"): tensor for name, tensor in tensors.items()}
            return Layout(theirs, {"model_type": "guest", "backend": "nobody"}, {"count.txt": str(len(theirs)).encode()})

    own = weights(run(tmp_path / "own", dataset, steps=2, previews=0).folder.parent)
    found = run(tmp_path / "guest", dataset, Guest(), steps=2, previews=0)
    told = json.loads((found.folder / "config.json").read_text())
    # artgen's own entries stay its own
    assert (told["model_type"], told["backend"], told["licence"], found.config.licence) == ("guest", "image.tiny", "mit", "mit")
    same({name.replace(".", "/"): tensor for name, tensor in own.items()}, weights(tmp_path / "guest"))
    assert (found.folder / "count.txt").read_text() == str(len(own))
    assert "license: mit" in (found.folder / "README.md").read_text()


def test_weights_can_be_saved_in_half_precision(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path, dataset, steps=2, previews=0, weights="fp16")
    assert {tensor.dtype for tensor in weights(tmp_path).values()} == {torch.float16}


def test_previews_and_saves_do_not_change_the_weights(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path / "quiet", dataset, steps=10, previews=0, best_by="none")
    run(tmp_path / "busy", dataset, steps=10, previews=10, save_steps=1)
    same(weights(tmp_path / "quiet"), weights(tmp_path / "busy"))


class Told(Listen):
    """Keeps what is said of the plan."""

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[tuple[float, float, float | None]] = []

    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None:
        self.plans.append((total, before, seconds))


def test_the_progress_is_told_the_plan_and_what_was_done_before(dataset: Dataset, tmp_path: Path) -> None:
    first, second, third = Told(), Told(), Told()
    run(tmp_path / "run", dataset, heard=first, steps=4)
    run(tmp_path / "run", dataset, heard=second, steps=6, resume=True)
    run(tmp_path / "timed", dataset, heard=third, minutes=0.02)
    assert first.plans == [(24, 0, None)]
    assert second.plans == [(36, 24, None)]
    assert all(seconds is not None and 0 <= seconds <= 1.2 for _, _, seconds in third.plans)
    assert len(third.plans) > 1
    assert [seconds for _, _, seconds in third.plans] == sorted((seconds for _, _, seconds in third.plans), reverse=True)
    # Steps that are over long before the time is end the run, not the time.
    both = Told()
    run(tmp_path / "both", dataset, heard=both, minutes=60, steps=3)
    assert both.plans[0] == (18, 0, None)
