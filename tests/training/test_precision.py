"""Measuring number formats: the fastest that computes numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from listening import Listen
from tests_training_tiny import TinyTask

from artgen.backend import TrainOptions
from artgen.media.prepare_image import Prepare, prepare
from artgen.training import Run, fit, precision
from artgen.training.precision import Choice, NotFiniteError, calibrate
from artgen.training.task import Batch, Position

CPU = torch.device("cpu")
PLAIN, HALF = Choice("fp32", "contiguous"), Choice("bf16", "contiguous")


class Watch:
    """A clock that only steps move."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    made = Watch()
    monkeypatch.setattr(precision, "time", made)
    return made


def taking(watch: Watch, seconds: dict[Choice, float]) -> Callable[[Choice], Callable[[], object]]:
    """Steps of these lengths; one of less than nothing computes no number."""

    def trial(choice: Choice) -> Callable[[], object]:
        def step() -> None:
            if seconds[choice] < 0:
                raise NotFiniteError(f"the loss is nan in {choice}")
            watch.now += seconds[choice]

        return step

    return trial


def test_the_faster_format_is_chosen_and_both_are_told(watch: Watch) -> None:
    found = calibrate([PLAIN, HALF], taking(watch, {PLAIN: 0.05, HALF: 0.005}), CPU)
    assert (found.choice, found.seconds) == (HALF, pytest.approx(0.005))
    assert list(found.measured) == ["fp32, contiguous", "bf16, contiguous"]
    assert found.broken == ()


@pytest.mark.parametrize("wrong", [PLAIN, HALF])
def test_a_format_that_computes_no_numbers_is_left_out(wrong: Choice, watch: Watch) -> None:
    right = HALF if wrong == PLAIN else PLAIN
    found = calibrate([PLAIN, HALF], taking(watch, {wrong: -1, right: 0.002}), CPU)
    assert found.choice == right
    assert found.broken == (str(wrong),)
    assert list(found.measured) == [str(right)]


def test_where_no_format_computes_numbers_the_first_error_is_told(watch: Watch) -> None:
    with pytest.raises(NotFiniteError, match="nan in fp32, contiguous"):
        calibrate([PLAIN, HALF], taking(watch, {PLAIN: -1, HALF: -1}), CPU)


def test_a_first_step_of_three_times_the_best_is_the_only_one(watch: Watch) -> None:
    steps: list[Choice] = []

    def trial(choice: Choice) -> Callable[[], object]:
        def step() -> None:
            steps.append(choice)
            watch.now += 0.6 if choice == HALF else 0.001

        return step

    found = calibrate([PLAIN, HALF], trial, CPU)
    assert found.choice == PLAIN
    assert steps.count(HALF) == 1


class BrokenInHalf(TinyTask):
    """A task whose loss is no number under autocast, as where a kernel of the machine is wrong."""

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, torch.Tensor]:
        found = super().forward(phase, batch, position)
        return {**found, "loss": found["loss"] * float("nan")} if torch.is_autocast_enabled("cpu") else found


def test_a_training_says_which_format_it_leaves_out_and_goes_on(pictures: Path, tmp_path: Path) -> None:
    dataset = prepare([pictures], tmp_path / "data", Prepare(resolution=32, workers=1))
    heard = Listen()
    options = TrainOptions(steps=2, batch_size=4, previews=0, best_by="none")
    run = Run.create(tmp_path / "run", backend="image.tiny", options=options, dataset=dataset, resume=False)
    fit(BrokenInHalf(), dataset, run, heard)
    broken = [sentence for sentence in heard.sentences if "left out" in sentence]
    told = "left out, for on this machine it computes a loss that is no number"
    assert broken == [f"bf16, contiguous: {told}", f"bf16, channels-last: {told}"]
    assert "bf16" not in next(sentence for sentence in heard.sentences if sentence.startswith("measured a step"))
    assert any("about" in sentence and "fp32" in sentence for sentence in heard.sentences)


def test_a_step_of_minutes_is_not_repeated(watch: Watch) -> None:
    found = calibrate([PLAIN, HALF], taking(watch, {PLAIN: 47.0, HALF: 17.0}), CPU)
    assert (found.choice, found.seconds, watch.now) == (HALF, pytest.approx(17.0), pytest.approx(64.0))
