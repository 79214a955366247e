"""The one training loop and what it is made of; :func:`fit` runs it."""

from __future__ import annotations

from artgen.training.loop import fit
from artgen.training.run import Run
from artgen.training.step import seeded
from artgen.training.task import Batch, Phase, Position, Task

__all__ = ["Batch", "Phase", "Position", "Run", "Task", "fit", "seeded"]
