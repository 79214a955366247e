"""The smallest real task: a two-layer painter that learns the mean picture, with noise, two phases and a metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from artgen.artwork import Image
from artgen.dataset import Dataset
from artgen.nn.pixels import to_pixels, to_signal
from artgen.training import Batch, Phase, Position, Task
from artgen.training.adam import Adam


def adam(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, fused=True)


def quick_adam(parameters: Sequence[nn.Parameter]) -> Any:
    """For processes of their own: the import that torch's optimizers need takes longer than the training."""
    return Adam([{"params": list(parameters)}], (0.9, 0.999))


class TinyTask(Task):
    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"error": "lower"}

    def __init__(
        self,
        *,
        name: str = "main",
        share: float = 1.0,
        poison: int | None = None,
        optimizer: Callable[[Sequence[nn.Parameter]], Any] = adam,
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.name, self.share, self.poison = name, share, poison
        self.painter = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
        self.judge = nn.Conv2d(3, 2, 3)
        self.register_buffer("counter", torch.zeros(()))
        self.averaged = {f"painter_{name}": self.painter}
        self.kept = {f"judge_{name}": self.judge}  # type: ignore[misc]
        self.network: dict[str, Any] = {name: 4}
        self.poisoned: list[int] = []
        self.phases = (
            Phase("judge", list(self.judge.parameters()), optimizer, lambda at: 1e-2 * (1 - at.fraction), every=2),
            Phase("painter", list(self.painter.parameters()), optimizer, lambda at: 1e-2 * (1 - at.fraction / 2)),
        )

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        return {"pictures": to_signal(torch.from_numpy(dataset.array("images")[np.asarray(indices)]))}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        colours = self.painter(batch.normal(4) + 0.1 * batch.uniform(4))
        made = colours[:, :, None, None].expand(-1, -1, 8, 8)
        if phase == "judge":
            return {"loss": (self.judge(made.detach()) - self.judge(batch["pictures"][..., :8, :8])).square().mean()}
        loss = (colours - batch["pictures"].mean((2, 3))).square().mean() + 0.01 * self.judge(made).square().mean()
        step = position.seen // batch.size
        if self.poison is not None and step == self.poison:
            self.poisoned.append(batch.seed)
            loss = loss * float("nan")
        return {"loss": loss, "bright": colours.mean()}

    def after(self, phase: str, numbers: dict[str, Tensor], position: Position, size: int) -> None:
        if phase == "painter":
            self.counter += numbers["bright"]

    def half_life(self, position: Position) -> float:
        return 0.5 * position.seen

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Image]:
        colour = self.painter(torch.zeros(1, 4))[:, :, None, None].expand(-1, -1, 16, 16)
        yield Image(to_pixels(colour)[0])

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        mean = torch.from_numpy(np.array(dataset.array("images"))).float().mean((0, 1, 2)) / 127.5 - 1
        return {"error": float((self.painter(torch.zeros(1, 4))[0] - mean).square().mean())}
