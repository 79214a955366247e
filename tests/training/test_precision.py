"""Measuring number formats: the fastest that computes numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from listening import Listen
from tests_training_runs import prepared, run
from tests_training_tiny import TinyTask

from artgen.backend import TrainOptions
from artgen.dataset import Dataset
from artgen.training import Run, fit, precision
from artgen.training.precision import Choice, NotFiniteError, bearable, calibrate, candidates
from artgen.training.processes import Processes
from artgen.training.step import Stepper
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


def test_a_training_says_which_format_it_leaves_out_and_goes_on(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_small", lambda dtype: [1.0, 1.0])
    dataset = prepared(pictures, tmp_path / "data")
    heard = Listen()
    options = TrainOptions(steps=2, batch_size=4, previews=0, best_by="none")
    started = Run.create(tmp_path / "run", backend="image.tiny", options=options, dataset=dataset, resume=False)
    fit(BrokenInHalf(), dataset, started, heard)
    broken = [sentence for sentence in heard.sentences if "left out" in sentence]
    told = "left out, for on this machine it computes a loss that is no number"
    assert broken == [f"bf16, contiguous: {told}", f"bf16, channels-last: {told}"]
    assert "bf16" not in next(sentence for sentence in heard.sentences if sentence.startswith("measured a step"))
    assert any("about" in sentence and "fp32" in sentence for sentence in heard.sentences)


def test_a_step_of_minutes_is_not_repeated(watch: Watch) -> None:
    found = calibrate([PLAIN, HALF], taking(watch, {PLAIN: 47.0, HALF: 17.0}), CPU)
    assert (found.choice, found.seconds, watch.now) == (HALF, pytest.approx(17.0), pytest.approx(64.0))


@pytest.mark.parametrize(
    ("imitated", "kept", "told"),
    [
        ([0.9, 14.0], 4, []),  # a slow convolution alone is no reason: another network may have none
        ([4.0, 4.0], 4, []),
        ([37.0, 14.0], 2, ["bf16 is not tried: this processor takes 14 times as long in it as in fp32"]),
    ],
)
def test_a_format_that_the_processor_only_imitates_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, imitated: list[float], kept: int, told: list[str]
) -> None:
    monkeypatch.setattr(precision, "_small", lambda dtype: [1.0, 1.0] if dtype == torch.float32 else imitated)
    said: list[str] = []
    choices = candidates("auto", "auto", CPU)
    found = bearable(choices, Processes("cpu"), said.append)
    assert (found, said) == (choices[:kept], told)


def test_what_was_asked_for_is_taken_whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_small", lambda dtype: [1.0, 1.0] if dtype == torch.float32 else [99.0, 99.0])
    for asked in ("bf16", "fp16", "fp32"):
        choices = candidates(asked, "auto", CPU)
        assert bearable(choices, Processes("cpu"), lambda said: None) == choices


def test_small_works_are_measured_in_every_format() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        assert len(precision._small(dtype)) == 2
        assert all(seconds > 0 for seconds in precision._small(dtype))


@pytest.fixture(scope="module")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(pictures, tmp_path_factory.mktemp("prepared") / "dataset")


def test_auto_measures_and_says_so(tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_small", lambda dtype: [1.0, 1.0])
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
    monkeypatch.setattr(precision, "_small", lambda dtype: [1.0, 1.0])
    monkeypatch.setattr("artgen.training.loop.usable", lambda: done.append("compiled"))
    monkeypatch.setattr(Stepper, "step", lambda self, *rest: (done.append(str(self.choice)), step(self, *rest))[1])
    run(tmp_path / "auto", dataset, steps=1, previews=0, precision="auto", memory_format="auto")
    assert done[0] == "compiled"
    assert "bf16, channels-last" in done
    done.clear()
    run(tmp_path / "fixed", dataset, steps=1, previews=0)
    assert "compiled" not in done  # contiguous: nothing needs it
