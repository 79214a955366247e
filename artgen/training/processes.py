"""Several processes or machines: who we are, adding up, waiting. One process is the plain case and costs nothing.

Accelerate sets the group up from the environment that torchrun or accelerate launch leaves.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Processes:
    """The group of processes that train together; ``rank`` is ours of ``count``."""

    def __init__(self, device: str) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0")) if self.count > 1 else 0
        self.device = torch.device(device)
        self._accelerator: Any = None  # accelerate is imported only where there is a group
        if self.count > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=self.device.type == "cpu")
            self.device = self._accelerator.device
            self.count, self.rank = self._accelerator.num_processes, self._accelerator.process_index
            atexit.register(_leave)  # a group that is still open when Python ends may abort the process

    @property
    def first(self) -> bool:
        """Whether this process writes files and talks."""
        return self.rank == 0

    def sum(self, numbers: Tensor) -> Tensor:
        """``numbers`` added up over all processes."""
        return numbers if self._accelerator is None else self._accelerator.reduce(numbers, reduction="sum")

    def from_first(self, numbers: Sequence[float]) -> list[float]:
        """The numbers of the first process, in every process."""
        if self._accelerator is None:
            return list(numbers)
        mine = list(numbers) if self.first else [0.0] * len(numbers)
        total = self.sum(torch.tensor(mine, dtype=torch.float64, device=self.device))
        return [float(number) for number in total]

    def wait(self) -> None:
        """Until every process is here."""
        if self._accelerator is not None:
            self._accelerator.wait_for_everyone()

    def part(self, size: int) -> tuple[int, int]:
        """Our items of a batch of ``size``: start and stop."""
        return size * self.rank // self.count, size * (self.rank + 1) // self.count


def _leave() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
