"""Checks of training: what is saved is what was learned, the seed fixes it, and a run that was cut goes on exactly."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from artgen import api
from artgen.backend import Backend
from artgen.dataset import Dataset
from artgen.model import WEIGHTS, Model
from artgen.options import resolve
from artgen.testing.life import Recording
from artgen.testing.subject import SEEDS, Subject, require_same
from artgen.testing.verdict import Failure, NotApplicable


class _CutError(BaseException):
    """A run ends here, as when its process is killed; no ``except Exception`` of a backend catches it."""


class _Cutting(Recording):
    """Ends the training once a state with at least one step is on disk and one more step was made."""

    def __init__(self, states: Path, last: int) -> None:
        super().__init__()
        self.states, self.last, self.count = states, last, 0

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Count, and cut when it is time."""
        if amount <= 0:
            return
        self.count += 1
        saved = any(place.name.isdigit() and int(place.name) % 10**9 for place in self.states.glob("[0-9]*"))
        if saved or self.count >= self.last:
            raise _CutError


def save_load(subject: Subject) -> None:
    """A trained model makes the same works from memory, from its folder, and from a copy of the folder elsewhere."""
    subject.need("train", "generate")
    trained: Model = subject.cold.result("train")
    own = subject.generate(SEEDS, model=trained)
    copy = subject.folder / "copy"
    if not copy.exists():
        shutil.copytree(trained.folder, copy)
    advice = "put all that generate needs into the weights, or into network of config.json"
    for place, name in ((trained.folder, "opened again"), (copy, "opened from a copy elsewhere")):
        for first, second in zip(own, subject.generate(SEEDS, model=Model.open(place)), strict=True):
            require_same(first, second, f"the same works from the model {name}", "they are others", advice)


def same_training(subject: Subject) -> None:
    """Two trainings with the same data, options and seed give the same weights."""
    subject.need("train")
    first, second = subject.cold.result("train"), subject.warm.result("train")
    if names := different(first, second):
        advice = "draw random numbers from the batch or from a generator made from run.options.seed"
        raise Failure("the same weights from the same seed", f"{_listed(names)} came out otherwise", advice)


def resume(subject: Subject) -> None:
    """A run that was killed after one step and goes on ends in the very weights of the run that was never stopped."""
    subject.need("train")
    whole: Model = subject.cold.result("train")
    if different(whole, subject.warm.result("train")):
        raise NotApplicable("two trainings differ anyway; see the check same-training")
    folder = subject.folder / "resumed"
    shutil.rmtree(folder, ignore_errors=True)
    dataset = subject.cold.folder / "dataset"
    common: dict[str, Any] = {"backend": subject.cls.name, "device": "cpu"}
    cutting = _Cutting(folder / "state", max(1, subject.warm.training_advances))
    with contextlib.suppress(_CutError):
        api.train(subject.cls.modality, dataset, folder, progress=cutting, **common, **subject.options("train"))
    resumed = api.train(subject.cls.modality, output=folder, resume=True, **common)
    if names := different(whole, resumed):
        advice = "keep all that a step depends on in the state: parameters, buffers, optimizer; count nothing elsewhere"
        raise Failure("the weights of a run that was never stopped", f"{_listed(names)} came out otherwise", advice)


def metrics(subject: Subject) -> None:
    """What a training measures is among the ``metrics`` that the class declares, or a right ``--until`` would be refused."""
    subject.need("train")
    cls = subject.cls
    if not cls.metrics:
        return
    if cls.task is Backend.task:
        raise NotApplicable("it trains in a way of its own")
    subject.cold.result("train")
    dataset = Dataset.open(subject.cold.folder / "dataset", cls.modality)
    tasks = cls().task(dataset, resolve(cls.Train, subject.options("train")))
    measured = {name for task in (tasks if isinstance(tasks, Sequence) else [tasks]) for name in task.metrics}
    if rest := sorted(measured - set(cls.metrics)):
        raise Failure(f"only {', '.join(cls.metrics)}", f"the task measures {_listed(rest)} too", f"add to {cls.__name__}.metrics")


def different(first: Model, second: Model) -> list[str]:
    """The names of the weights in which two models differ, bit for bit."""
    if (first.folder / WEIGHTS).read_bytes() == (second.folder / WEIGHTS).read_bytes():
        return []
    one, other = first.tensors(), second.tensors()
    common = one.keys() & other.keys()
    return sorted((one.keys() ^ other.keys()) | {name for name in common if not _equal(one[name], other[name])})


def _equal(first: Any, second: Any) -> bool:  # tensors, whose module is not imported here
    return bool(first.shape == second.shape and first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes())


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
