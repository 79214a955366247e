"""The one training loop and what it is made of; :func:`fit` runs it."""

from __future__ import annotations

from artgen.training.loop import fit
from artgen.training.run import Run
from artgen.training.step import seeded
from artgen.training.task import Batch, Layout, Phase, Position, Task

__all__ = ["Batch", "Layout", "Phase", "Position", "Run", "Task", "fit", "seeded"]
