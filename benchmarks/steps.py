"""Training steps of two settings in turn, each in a process of its own: for ``speed.py`` and ``video_speed.py``."""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from artgen.backend import Backend
from artgen.dataset import Dataset


@dataclass
class Setting:
    """What is trained; ``defaults`` asks for what the framework does by itself: fp32, contiguous, memory given back."""

    backend: type[Backend]
    dataset: Dataset
    preset: str
    batch: int
    defaults: bool


def _serve(setting: Setting, line: Connection) -> None:
    import copy

    from artgen.nn.styled import compiling
    from artgen.training.memory import keep_freed
    from artgen.training.order import batch_indices
    from artgen.training.precision import Choice, bearable, calibrate, candidates
    from artgen.training.processes import Processes
    from artgen.training.step import Stepper
    from artgen.training.task import Position

    inside = contextlib.ExitStack()
    if not setting.defaults:
        keep_freed()
        inside.enter_context(compiling())
    backend: Any = setting.backend()
    task = backend.task(setting.dataset, setting.backend.Train(preset=setting.preset, batch_size=setting.batch, steps=1))  # type: ignore[call-arg]
    processes = Processes("cpu")
    items = task.load(setting.dataset, batch_indices(0, 0, setting.batch, len(setting.dataset)).tolist())

    def trial(choice: Choice) -> Callable[[], object]:
        stepper = Stepper(copy.deepcopy(task), choice, processes, seed=0, batch_size=setting.batch, micro_batch=None)
        laid = {name: choice.layout(tensor) for name, tensor in items.items()}
        return lambda: stepper.step(1, laid, Position(1, 1))

    choice = Choice("fp32", "contiguous")
    if not setting.defaults:
        choices = bearable(candidates("auto", "auto", processes.device), processes, print)
        choice = calibrate(choices, trial, processes.device).choice
    step = trial(choice)
    for _ in range(3):
        step()
    line.send(str(choice))
    while line.recv():
        started = time.perf_counter()
        step()
        line.send(time.perf_counter() - started)


def compare(backend: type[Backend], dataset: Dataset, preset: str, batch: int, rounds: int) -> tuple[str, float, list[float]]:
    """The measured choice, its median seconds a step, and how many times as long the framework's defaults take, by round."""
    context = multiprocessing.get_context("spawn")
    lines, workers, choices = [], [], []
    for defaults in (False, True):
        ours, theirs = context.Pipe()
        worker = context.Process(target=_serve, args=(Setting(backend, dataset, preset, batch, defaults), theirs), daemon=True)
        worker.start()
        choices.append(str(ours.recv()))  # one gets ready after the other
        lines.append(ours)
        workers.append(worker)
    pairs = []
    for _ in range(rounds):
        pair = []
        for line in lines:
            line.send(True)
            pair.append(float(line.recv()))
        pairs.append(pair)
    for line, worker in zip(lines, workers, strict=True):
        line.send(False)
        worker.join()
    return choices[0], statistics.median(own for own, _ in pairs), [default / own for own, default in pairs]
