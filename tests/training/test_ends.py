"""What ends a run: goals, patience, minutes, and the parts of stages in them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from listening import Listen
from tests_training_runs import FIXED, prepared, records, run, same, weights
from tests_training_tiny import TinyTask

from artgen.backend import TrainOptions
from artgen.dataset import Dataset
from artgen.errors import OptionError
from artgen.training.loop import Stage
from artgen.training.plan import Clock, Plan
from artgen.training.precision import Calibration
from artgen.training.task import Position


@pytest.fixture(scope="module")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(pictures, tmp_path_factory.mktemp("prepared") / "dataset")


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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"best_by": "errro"}, "--best-by takes auto, none, error, not errro; did you mean error?"),
        (
            {"patience": 2, "best_by": "none"},
            "--patience waits for a metric to get better, but --best-by none keeps the last model; leave --patience out",
        ),
        ({"until": "nothing<=1"}, "--until takes error, not nothing"),
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
