"""What a method tells the loop: its phases, its losses, its previews. It knows no devices, files or processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from artgen.artwork import Artwork
from artgen.dataset import Dataset


class Optimizer(Protocol):
    """What the loop asks of an optimizer: every one of torch's, and :class:`artgen.training.adam.Adam`."""

    param_groups: list[dict[str, Any]]
    state: Any

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""

    def step(self) -> Any:
        """Update the parameters."""

    def state_dict(self) -> dict[str, Any]:
        """``state``: the tensors of every parameter by its number."""


class Position(NamedTuple):
    """Where the run stands: items seen so far and items planned in all. Schedules are functions of it alone."""

    seen: int
    total: int

    @property
    def fraction(self) -> float:
        """How much of the plan is done, 0 to 1."""
        return min(1.0, self.seen / max(1, self.total))


@dataclass(frozen=True)
class Phase:
    """One kind of update within a step: which parameters, by which optimizer, at which learning rate.

    ``optimizer`` builds the optimizer from the parameters; ``learning_rate`` is a function of the position;
    the phase runs in every ``every``-th step.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    optimizer: Callable[[Sequence[nn.Parameter]], Optimizer]
    learning_rate: Callable[[Position], float]
    every: int = 1


@dataclass
class Batch:
    """A slice of one step's batch, with random numbers that do not depend on how the batch was sliced.

    ``data`` maps names to tensors [b, ...], the items ``start`` to ``stop`` of a batch of ``size``.
    """

    data: dict[str, Tensor]
    size: int
    start: int
    stop: int
    seed: int
    device: torch.device
    _generator: torch.Generator | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, name: str) -> Tensor:
        return self.data[name]

    def get(self, name: str) -> Tensor | None:
        """The tensor ``name``, or None when the dataset has none."""
        return self.data.get(name)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers [b, *shape], drawn for the whole batch on the CPU and cut to this slice."""
        return self._cut(torch.randn(self.size, *shape, generator=self._stream()))

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in 0..1 [b, *shape], drawn like :meth:`normal`."""
        return self._cut(torch.rand(self.size, *shape, generator=self._stream()))

    def _cut(self, numbers: Tensor) -> Tensor:
        part = numbers[self.start : self.stop]
        return part.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else part.to(self.device)

    def _stream(self) -> torch.Generator:
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self.seed)
        return self._generator


@dataclass(frozen=True)
class Layout:
    """How a model is stored: ``tensors`` by name, more entries of ``config.json`` beside artgen's own, and more ``files``."""

    tensors: dict[str, Tensor]
    config: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


class Task(nn.Module):
    """Base of every training task; the networks are submodules.

    ``phases`` are updated in order in every step. ``averaged`` modules get an exponential moving average, which becomes
    the model; ``kept`` modules go into the model as they are. ``network`` is what ``Backend.build`` takes to construct them
    again, ``files`` is what else belongs to the model (a tokenizer), by name, and ``licence`` that of the weights it began with.
    ``metrics`` names what :meth:`measure` can
    measure and which way is better; the first is the default.
    Of several stages, ``share`` is this one's part of the budget. ``position`` is where the run stands, for :meth:`preview` and
    :meth:`measure`: what they do may not hang on the last step, for after a resume there was none.
    """

    name: str = "main"
    share: float = 1.0
    position: Position = Position(0, 1)
    phases: tuple[Phase, ...]
    averaged: dict[str, nn.Module]
    kept: ClassVar[dict[str, nn.Module]] = {}
    network: dict[str, Any]
    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {}
    generate_defaults: ClassVar[dict[str, Any]] = {}
    files: ClassVar[dict[str, bytes]] = {}
    licence: str = ""

    def begin(self, dataset: Dataset, earlier: Sequence[Task]) -> None:
        """Called once before the stage starts, with the finished stages before it."""

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """The items ``indices`` as tensors [b, ...] on the CPU; called in a background thread."""
        raise NotImplementedError

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """What ``phase`` minimises, as ``"loss"`` (a mean over the slice), and other numbers worth a log line (also means)."""
        raise NotImplementedError

    def after(self, phase: str, numbers: dict[str, Tensor], position: Position, size: int) -> None:
        """Called after the update of ``phase`` with its numbers averaged over the whole batch of ``size`` items.

        What it changes must live in buffers, so that a resume finds it.
        """

    def half_life(self, position: Position) -> float:
        """Items over which the averaged weights forget half; 0 copies the weights."""
        return 0.0

    def look_cost(self, size: int) -> float:
        """About how many steps of a batch of ``size`` one preview with its measures costs; 0 where that does not matter."""
        return 0.0

    def layout(self, tensors: dict[str, Tensor]) -> Layout:
        """How the model with ``tensors`` (by ``module.name``) is stored; one that other programs read too is laid out as theirs."""
        return Layout(tensors)

    def preview(self, dataset: Dataset) -> Iterator[Artwork]:
        """Works that show how far training is, from the same noise every time; the averaged weights are in place."""
        yield from ()

    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """The metrics ``names``, or none while there is nothing to measure yet; the averaged weights are in place."""
        return {}
