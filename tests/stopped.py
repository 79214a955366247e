"""Trainings that are stopped at a step that their plan knows nothing of, and gone on with."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from artgen.backend import Backend
from artgen.dataset import Dataset
from artgen.errors import Interrupted
from artgen.training import Position, Run, fit, seeded


def whole_and_cut(
    backend: Backend, data: Dataset, options: Any, folder: Path, cuts: tuple[int, ...]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The last weights of a training that ran through, and of one that was stopped in the steps ``cuts`` and resumed."""
    name = f"{backend.modality}.{backend.name}"

    def go(place: str, resume: bool, until: int | None) -> dict[str, Tensor]:
        with seeded(options.seed):
            task: Any = backend.task(data, options)
        forward = task.forward

        def stopping(phase: str, batch: Any, position: Position) -> Any:
            # A total of 1 is a trial of number formats.
            here = until is not None and position.total > 1 and position.seen == (until - 1) * options.batch_size
            if here and phase == task.phases[-1].name:
                os.kill(os.getpid(), signal.SIGTERM)
            return forward(phase, batch, position)

        task.forward = stopping
        return fit(task, data, Run.create(folder / place, backend=name, options=options, dataset=data, resume=resume)).tensors()

    whole = go("whole", False, None)
    for number, until in enumerate(cuts):
        with pytest.raises(Interrupted):
            go("cut", number > 0, until)
    return whole, go("cut", True, None)
