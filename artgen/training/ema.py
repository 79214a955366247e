"""Exponential moving averages of weights, and borrowing them for a preview."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from artgen.training.task import Task


class Average:
    """A copy of the task's ``averaged`` modules that follows them slowly."""

    def __init__(self, task: Task) -> None:
        self._never, self._behind = type(task).half_life is Task.half_life, False
        self.modules = {name: copy.deepcopy(module).requires_grad_(False) for name, module in task.averaged.items()}
        self._pairs = [
            (mine, own)
            for name, module in task.averaged.items()
            for mine, own in zip(self.modules[name].parameters(), module.parameters(), strict=True)
        ]
        self._buffers = [
            (mine, own)
            for name, module in task.averaged.items()
            for mine, own in zip(self.modules[name].buffers(), module.buffers(), strict=True)
        ]

    @torch.no_grad()
    def update(self, items: int, half_life: float) -> None:
        """Move towards the present weights as much as ``items`` more items ask for; a half-life of 0 copies."""
        if self._never:
            self._behind = True  # a copy is made when somebody looks: for large tables copying costs as much as learning
            return
        kept = 0.5 ** (items / half_life) if half_life > 0 else 0.0
        if self._pairs:
            mine, own = zip(*self._pairs, strict=True)
            torch._foreach_lerp_(list(mine), list(own), 1.0 - kept)
        for mine_buffer, own_buffer in self._buffers:
            mine_buffer.copy_(own_buffer)

    def tensors(self) -> dict[str, Tensor]:
        """Every averaged tensor by ``module.name``."""
        self._catch_up()
        return flat(self.modules)

    @contextlib.contextmanager
    def in_place(self, task: Task) -> Iterator[None]:
        """Put the averaged weights into the task, in evaluation mode, and give the others back afterwards."""
        self._catch_up()
        training = task.training
        self._swap()
        task.eval()
        try:
            yield
        finally:
            task.train(training)
            self._swap()

    @torch.no_grad()
    def _catch_up(self) -> None:
        """Copy the weights of a task that does not average."""
        if self._behind:
            self._behind = False
            for mine, own in (*self._pairs, *self._buffers):
                mine.copy_(own)

    def _swap(self) -> None:
        for mine, own in (*self._pairs, *self._buffers):
            mine.data, own.data = own.data, mine.data


def flat(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of several modules under ``module.name``."""
    return {f"{name}.{key}": tensor for name, module in modules.items() for key, tensor in module.state_dict().items()}
