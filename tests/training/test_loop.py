from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from listening import Listen
from safetensors.torch import load_file
from tests_training_tiny import TinyTask, quick_adam

from artgen.backend import Silent, TrainOptions
from artgen.dataset import Dataset
from artgen.errors import FullDiskError, Interrupted, OptionError, OutputError, TrainingError
from artgen.media.prepare_image import Prepare, prepare
from artgen.model import Model
from artgen.training import Run, fit, state
from artgen.training.loop import Stage
from artgen.training.plan import Clock, Plan
from artgen.training.precision import Calibration, Choice
from artgen.training.processes import Processes
from artgen.training.record import Record
from artgen.training.step import Stepper
from artgen.training.task import Layout, Position


@pytest.fixture(scope="session")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The generated pictures at 32 pixels, in two classes."""
    return prepare([pictures], tmp_path_factory.mktemp("prepared") / "dataset", Prepare(resolution=32, workers=1))


FIXED: dict[str, Any] = {"precision": "fp32", "memory_format": "contiguous", "batch_size": 6}


def run(
    folder: Path, dataset: Dataset, task: Any = None, *, resume: bool = False, heard: Listen | None = None, **options: Any
) -> Model:
    chosen = TrainOptions(**{**FIXED, **options})
    started = Run.create(folder, backend="image.tiny", options=chosen, dataset=dataset, resume=resume)
    return fit(TinyTask() if task is None else task, dataset, started, heard or Silent())


def weights(folder: Path, name: str = "model-last") -> dict[str, torch.Tensor]:
    return load_file(folder / name / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), f"{name}: {(a[name] - b[name]).abs().max()}"


def records(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


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


def test_resume_equals_uninterrupted_bit_for_bit(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path / "whole", dataset, steps=12, previews=0)
    stop_at(tmp_path / "cut", dataset, 5, steps=12, previews=0)
    run(tmp_path / "cut", dataset, resume=True, steps=12, previews=0)
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    lines = [(record["step"], record["loss/painter"]) for record in records(tmp_path / "cut") if "loss/painter" in record]
    assert lines == [(r["step"], r["loss/painter"]) for r in records(tmp_path / "whole") if "loss/painter" in r]


def stop_at(folder: Path, dataset: Dataset, step: int, **options: Any) -> None:
    """Send ourselves Ctrl-C within the given step; the run saves and raises."""

    class Stopping(TinyTask):
        def forward(self, phase: str, batch: Any, position: Position) -> dict[str, torch.Tensor]:
            if phase == "painter" and position.seen == (step - 1) * batch.size and position.total > 1:
                os.kill(os.getpid(), signal.SIGINT)
            return super().forward(phase, batch, position)

    with pytest.raises(
        Interrupted, match=rf"stopped at step {step}, everything is saved; go on with artgen image train .* --resume"
    ):
        run(folder, dataset, Stopping(), **options)


def test_ctrl_c_saves_and_exits_with_130(tmp_path: Path, dataset: Dataset) -> None:
    assert Interrupted.exit_code == 130
    before = signal.getsignal(signal.SIGINT)
    stop_at(tmp_path, dataset, 3, steps=50, previews=0)
    assert signal.getsignal(signal.SIGINT) is before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


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


def test_until_stops_when_the_metric_is_reached(tmp_path: Path, dataset: Dataset) -> None:
    heard = Listen()
    run(tmp_path, dataset, steps=400, previews=100, until="error<=0.003", heard=heard)
    found = [record for record in records(tmp_path) if "error" in record]
    assert found[-1]["error"] <= 0.003 < found[-2]["error"]
    assert found[-1]["step"] < 400
    assert "error<=0.003 is reached" in heard.sentences


def test_patience_stops_a_run_that_gets_no_better(tmp_path: Path, dataset: Dataset) -> None:
    class Stuck(TinyTask):
        def measure(self, dataset: Dataset, names: Any) -> dict[str, float]:
            return {"error": 1.0}

    heard = Listen()
    run(tmp_path, dataset, Stuck(), steps=40, previews=20, patience=3, heard=heard)
    assert records(tmp_path)[-1]["step"] == 8  # the first evaluation is the best, three more are not
    assert "no better error in 3 evaluations: stopping" in heard.sentences
    # Without previews it looks as often, and so does a run that names the metric of its best model.
    run(tmp_path / "quiet", dataset, Stuck(), steps=40, previews=0, patience=3)
    assert records(tmp_path / "quiet")[-1]["step"] == 8
    assert not (tmp_path / "quiet" / "previews").exists()
    run(tmp_path / "named", dataset, Stuck(), steps=20, previews=0, best_by="error")
    assert sum("error" in record for record in records(tmp_path / "named")) == 20


def test_the_time_that_is_said_before_counts_the_previews_that_take_long(tmp_path: Path, dataset: Dataset) -> None:
    class Looking(TinyTask):
        def look_cost(self, size: int) -> float:
            return 2.0

    for number, (options, looks) in enumerate(
        [({}, 4), ({"until": "error<=0"}, 16), ({"patience": 90}, 16), ({"previews": 3}, 3), ({"steps": 2}, 1)]
    ):
        heard = Listen()
        given = {"steps": 160, **options}
        run(tmp_path / str(number), dataset, Looking(), heard=heard, **given)
        found = [record for record in records(tmp_path / str(number)) if "error" in record]
        assert len(found) == looks, options
    plan = Stage.__new__(Stage)
    plan.task, plan.options, plan.size, plan.goal, plan.metric = Looking(), TrainOptions(steps=160, **FIXED), 6, None, "error"
    plan.clock = Clock(step=40, total=960, pace=0.5)
    plan.plan = Plan(plan.options, plan.clock)
    assert plan._seconds_left() == (120 + 3 * 2) * 0.5
    plan.plan = Plan(TrainOptions(minutes=1.0, **FIXED), plan.clock)
    assert plan._seconds_left() == 120 * 0.5


def test_the_best_model_is_kept_apart_from_the_last(tmp_path: Path, dataset: Dataset) -> None:
    class Worse(TinyTask):
        calls = 0

        def measure(self, dataset: Dataset, names: Any) -> dict[str, float]:
            self.calls += 1
            return {"error": float(self.calls)}

    model = run(tmp_path, dataset, Worse(), steps=8, previews=4)
    assert model.config.train["items_seen"] == 12
    assert Model.open(tmp_path / "model-last").config.train["items_seen"] == 48


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"best_by": "errro"}, "--best-by takes auto, none, error, not errro; did you mean error?"),
        (
            {"patience": 2, "best_by": "none"},
            "--patience waits for a metric to get better, but --best-by none keeps the last model; leave --patience out",
        ),
        ({"until": "nothing<=1"}, "--until: no metric 'nothing'; this backend measures: error"),
    ],
)
def test_metrics_that_do_not_exist_are_refused_before_training(
    tmp_path: Path, dataset: Dataset, given: dict[str, str], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        run(tmp_path, dataset, steps=2, **given)
    assert str(caught.value) == message
    assert not (tmp_path / "model").exists()


def test_minutes_end_the_run_about_when_they_are_over(tmp_path: Path, dataset: Dataset) -> None:
    class Slow(TinyTask):
        def forward(self, phase: str, batch: Any, position: Position) -> dict[str, torch.Tensor]:
            time.sleep(0.01)
            return super().forward(phase, batch, position)

    run(tmp_path, dataset, Slow(), minutes=0.05, previews=0)
    last = records(tmp_path)[-1]
    assert 1 < last["step"] < 600
    assert last["seconds"] < 30  # three are asked for; a crowded machine may be late by one step, not by ten times


def test_a_slow_first_step_does_not_shorten_the_run(tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    class Watch:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    watch, totals = Watch(), []

    class Cold(TinyTask):
        def forward(self, phase: str, batch: Any, position: Position) -> dict[str, torch.Tensor]:
            if position.total > 1 and phase == next(
                each.name for each in self.phases if each.every == 1
            ):  # not while the formats are measured
                watch.now += 0.1 if position.seen else 3.0
                totals.append(position.total)
            return super().forward(phase, batch, position)

    monkeypatch.setattr("artgen.training.loop.time", watch)
    run(tmp_path, dataset, Cold(), minutes=0.1, previews=0)
    # Of 6 seconds the first step takes 3, each of the others a tenth.
    assert len(totals) == pytest.approx(31, abs=2)
    assert totals[-1] == pytest.approx(31 * FIXED["batch_size"], abs=2 * FIXED["batch_size"])


def test_auto_measures_and_says_so(tmp_path: Path, dataset: Dataset) -> None:
    heard = Listen()
    run(tmp_path, dataset, steps=3, previews=0, precision="auto", memory_format="auto", heard=heard)
    assert heard.sentences[0].startswith("measured a step: fp32, contiguous")
    assert "training 3 steps (18 items): about" in heard.sentences[1]
    run(tmp_path, dataset, steps=5, previews=0, precision="auto", memory_format="auto", resume=True, heard=(again := Listen()))
    assert not any("measured" in sentence for sentence in again.sentences)  # a resume never chooses again


def test_fp16_on_a_processor_is_told_to_be_slow(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path, dataset, steps=1, previews=0, precision="fp16", heard=(heard := Listen()))
    assert "fp16 is slow on most processors; --precision auto measures the others and takes the fastest" in heard.sentences


def test_what_is_compiled_once_counts_into_no_format(tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    step = Stepper.step
    monkeypatch.setattr("artgen.training.loop.usable", lambda: done.append("compiled"))
    monkeypatch.setattr(Stepper, "step", lambda self, *rest: (done.append(str(self.choice)), step(self, *rest))[1])
    run(tmp_path / "auto", dataset, steps=1, previews=0, precision="auto", memory_format="auto")
    assert done[0] == "compiled"
    assert "bf16, channels-last" in done
    done.clear()
    run(tmp_path / "fixed", dataset, steps=1, previews=0)
    assert "compiled" not in done  # contiguous: nothing needs it


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


def test_stages_run_in_order_and_a_resume_knows_its_stage(tmp_path: Path, dataset: Dataset) -> None:
    def two(fail: bool = False) -> list[TinyTask]:
        class Second(TinyTask):
            def begin(self, dataset: Dataset, earlier: Any) -> None:
                self.painter.load_state_dict(earlier[0].painter.state_dict())

            def forward(self, phase: str, batch: Any, position: Position) -> dict[str, torch.Tensor]:
                if fail and position.seen >= 3 * batch.size and position.total > 1:
                    raise RuntimeError("pulled the plug")
                return super().forward(phase, batch, position)

        return [TinyTask(name="first", share=1.0), Second(name="second", share=1.0)]

    heard = Listen()
    whole = run(tmp_path / "whole", dataset, two(), steps=12, previews=0, save_steps=2, heard=heard)
    for name in ("first", "second"):
        assert any(sentence.startswith(f"{name}: training 6 steps (") for sentence in heard.sentences)
    assert whole.config.network == {"first": 4, "second": 4}
    with pytest.raises(RuntimeError, match="plug"):
        run(tmp_path / "cut", dataset, two(fail=True), steps=12, previews=0, save_steps=2)
    run(tmp_path / "cut", dataset, two(), resume=True, steps=12, previews=0, save_steps=2)
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


@pytest.mark.parametrize(("slow", "steps", "said"), [
    (1.0, 8, "second: ready after 1 s; training 8 steps (48 items): about 2 s ("),
    (8.2, 6, "second: ready after 8 s, so the training ends 7 s later than planned; training 6 steps (36 items): about 2 s ("),
])  # fmt: skip
def test_what_a_stage_does_before_its_first_step_counts_into_the_minutes_once(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, slow: float, steps: int, said: str
) -> None:
    class Watch:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    watch, begun = Watch(), []

    class Timed(TinyTask):
        broken = False

        def begin(self, dataset: Dataset, earlier: Any) -> None:
            begun.append(self.name)
            watch.now += slow if earlier else 0.0

        def forward(self, phase: str, batch: Any, position: Position) -> dict[str, torch.Tensor]:
            if position.total > 1 and phase == self.phases[1].name:  # not while the formats are measured
                watch.now += 0.25
                if self.broken and position.seen == 3 * batch.size:
                    raise RuntimeError("pulled the plug")
            return super().forward(phase, batch, position)

    monkeypatch.setattr("artgen.training.loop.time", watch)
    monkeypatch.setattr("artgen.training.loop.calibrate", lambda choices, trial, device: Calibration(choices[0], 0.25, {}))

    def stages(broken: bool = False) -> list[Timed]:
        made = [Timed(name="first"), Timed(name="second")]
        made[1].broken = broken
        return made

    # Of 6 seconds each stage has 3; the second is ready when 4, or 11.2, are over, and half of its share is left to it in any case.
    heard = Listen()
    run(tmp_path / "whole", dataset, stages(), minutes=0.1, previews=0, heard=heard)
    whole = records(tmp_path / "whole")
    assert [whole[-1][name] for name in ("step", "seconds")] == pytest.approx([steps, 3 + slow + steps / 4], abs=0.5)
    assert any(sentence.startswith(said) for sentence in heard.sentences)
    with pytest.raises(RuntimeError, match="plug"):
        run(tmp_path / "cut", dataset, stages(broken=True), minutes=0.1, previews=0, save_steps=1)
    run(tmp_path / "cut", dataset, stages(), resume=True, minutes=0.1, previews=0, save_steps=1)
    assert begun[-2:] == ["first", "second"]  # again, but the clock knows of it
    assert records(tmp_path / "cut")[-1] == pytest.approx(whole[-1])
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_previews_and_saves_do_not_change_the_weights(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path / "quiet", dataset, steps=10, previews=0, best_by="none")
    run(tmp_path / "busy", dataset, steps=10, previews=10, save_steps=1)
    same(weights(tmp_path / "quiet"), weights(tmp_path / "busy"))


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from tests_training_tiny import TinyTask, quick_adam
from artgen.backend import TrainOptions
from artgen.dataset import Dataset
from artgen.training import Run, fit, state
dataset = Dataset.open({dataset!r})
options = TrainOptions(steps=60, previews=6, save_steps=1, precision="fp32", memory_format="contiguous", batch_size=6)
started = Run.create({folder!r}, backend="image.tiny", options=options, dataset=dataset, resume={resume})
fit(TinyTask(optimizer=quick_adam), dataset, started)
"""


def test_kill_at_any_moment_then_resume_equals_uninterrupted(tmp_path: Path, dataset: Dataset) -> None:
    """Saving after every step, so that most kills fall into a save."""

    cut = tmp_path / "cut"

    def start(resume: bool) -> subprocess.Popen[bytes]:
        text = PROGRAM.format(tests=str(Path(__file__).parent), dataset=str(dataset.folder), folder=str(cut), resume=resume)
        return subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.DEVNULL)

    run(tmp_path / "whole", dataset, TinyTask(optimizer=quick_adam), steps=60, previews=6, save_steps=1)
    process = start(False)
    ends = []
    for target in (3, 32):
        deadline = time.monotonic() + 120
        while _saved(cut) < target and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        ends.append(process.wait())
        process = start(True)
    assert process.wait() == 0
    assert -signal.SIGKILL in ends  # it was still at work
    same(weights(tmp_path / "whole"), weights(cut))
    same(weights(tmp_path / "whole", "model"), weights(cut, "model"))


def _saved(folder: Path) -> int:
    return max((int(place.name) for place in (folder / "state").glob("[0-9]*")), default=-1)


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


def test_a_full_disk_costs_no_more_than_the_steps_since_the_last_state(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    folder, again = tmp_path / "a run", tmp_path / "uninterrupted"
    with monkeypatch.context() as patch:
        patch.setattr("artgen.training.state.save_file", full)
        with pytest.raises(FullDiskError, match=r"free some space or choose another --output$"):  # there is nothing to go on with
            run(folder, dataset, steps=9, save_steps=3, previews=0)
    save, saved = state.save_file, []

    def filling(tensors: Any, path: Path) -> None:
        saved.append(path)
        full() if len(saved) == 3 else save(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(state, "save_file", filling)
        with pytest.raises(FullDiskError) as caught:
            run(folder, dataset, steps=9, save_steps=3, previews=0)
    assert str(caught.value) == (
        f"{folder / 'state'}: the disk is full; what was trained up to step 3 is safe: free some space, "
        f"then go on with artgen image train --output '{folder}' --resume"
    )
    run(folder, dataset, steps=9, save_steps=3, previews=0, resume=True)
    run(again, dataset, steps=9, save_steps=3, previews=0)
    same(weights(folder), weights(again))


@pytest.mark.parametrize("file", ["_file", "_events"])
def test_a_disk_that_is_full_for_the_logs_gets_the_same_sentence(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    class Full:
        def write(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

        add_scalar = flush = close = write

    begin = Record.__init__

    def full(record: Record, *given: Any, **more: Any) -> None:
        begin(record, *given, **more)
        getattr(record, file).close()
        setattr(record, file, Full())

    monkeypatch.setattr(Record, "__init__", full)
    with pytest.raises(FullDiskError, match="the disk is full; what was trained up to step 0 is safe: free some space, then go on"):
        run(tmp_path, dataset, steps=3, previews=0)
