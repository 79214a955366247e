"""Runs that are stopped, killed, or out of disk lose nothing that was saved."""

from __future__ import annotations

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
from tests_training_runs import prepared, records, run, same, weights
from tests_training_tiny import TinyTask, quick_adam

from artgen.dataset import Dataset
from artgen.errors import FullDiskError, Interrupted
from artgen.training import state
from artgen.training.record import Record
from artgen.training.task import Position


@pytest.fixture(scope="module")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(pictures, tmp_path_factory.mktemp("prepared") / "dataset")


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


def test_resume_equals_uninterrupted_bit_for_bit(tmp_path: Path, dataset: Dataset) -> None:
    run(tmp_path / "whole", dataset, steps=12, previews=0)
    stop_at(tmp_path / "cut", dataset, 5, steps=12, previews=0)
    run(tmp_path / "cut", dataset, resume=True, steps=12, previews=0)
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    lines = [(record["step"], record["loss/painter"]) for record in records(tmp_path / "cut") if "loss/painter" in record]
    assert lines == [(r["step"], r["loss/painter"]) for r in records(tmp_path / "whole") if "loss/painter" in r]


def test_ctrl_c_saves_and_exits_with_130(tmp_path: Path, dataset: Dataset) -> None:
    assert Interrupted.exit_code == 130
    before = signal.getsignal(signal.SIGINT)
    stop_at(tmp_path, dataset, 3, steps=50, previews=0)
    assert signal.getsignal(signal.SIGINT) is before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


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
