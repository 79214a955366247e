"""Number format and memory layout: what a machine is fastest with is measured, never assumed."""

from __future__ import annotations

import contextlib
import math
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from artgen.errors import TrainingError

if TYPE_CHECKING:
    from artgen.training.processes import Processes

_LONG = 10.0
"""Seconds of a step from which one says enough."""

_HEAVY = 4.0
"""Times the seconds of fp32 from which a number format is not worth a step."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class NotFiniteError(TrainingError):
    """A loss is infinite or not a number."""


@dataclass(frozen=True)
class Choice:
    """A number format (``fp32``, ``bf16``, ``fp16``) and a memory layout (``contiguous``, ``channels-last``)."""

    precision: str
    memory_format: str

    def __str__(self) -> str:
        return f"{self.precision}, {self.memory_format}"

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """The context in which networks run in this number format."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast(device.type, DTYPES[self.precision])

    def layout(self, tensor: Tensor) -> Tensor:
        """``tensor`` in this memory layout; pictures [B, C, H, W] and clips [B, C, T, H, W] have one, others pass."""
        last = self.memory_format == "channels-last"
        if tensor.ndim == 4:
            return tensor.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
        if tensor.ndim == 5:
            return tensor.contiguous(memory_format=torch.channels_last_3d if last else torch.contiguous_format)
        return tensor

    def place(self, module: torch.nn.Module) -> None:
        """Lay out the weights of ``module`` in this memory layout."""
        for parameter in module.parameters():
            parameter.data = self.layout(parameter.data)


@contextlib.contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, a GPU takes algorithms that give the same bits every time, so that a resume can be exact; CPUs always do.

    What has no such algorithm runs as it is.
    """
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when the first product runs
    filling = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), filling.fill_uninitialized_memory  # type: ignore[attr-defined]
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*deterministic", category=UserWarning)
        torch.use_deterministic_algorithms(True, warn_only=True)
        filling.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a kernel for every new tensor, and needless
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0])
            filling.fill_uninitialized_memory = before[1]  # type: ignore[attr-defined]


def candidates(precision: str, memory_format: str, device: torch.device) -> list[Choice]:
    """The choices worth measuring where ``auto`` leaves one, framework defaults first."""
    precisions = [precision]
    if precision == "auto":
        precisions = ["fp32"]
        if device.type == "cuda":
            precisions.append("bf16" if torch.cuda.is_bf16_supported() else "fp16")
        elif device.type == "cpu":
            precisions.append("bf16")  # fp16 convolutions on CPUs fall back to loops a hundred times slower
    formats = ["contiguous", "channels-last"] if memory_format == "auto" else [memory_format]
    return [Choice(p, f) for p in precisions for f in formats]


def bearable(choices: list[Choice], processes: Processes, say: Callable[[str], None]) -> list[Choice]:
    """``choices`` without the number formats in which a single step would take too long to be measured, which ``say`` hears of."""
    heavy = _burdens(choices, processes.device)
    names = list(DTYPES)
    # All processes measure the same ones: those that the first can bear.
    out = dict(zip(names, processes.from_first([heavy.get(name, 0.0) for name in names]), strict=True))
    for name, times in out.items():
        if times:
            say(f"{name} is not tried: this processor takes {times:.0f} times as long in it as in fp32")
    return [choice for choice in choices if not out[choice.precision]]


def _burdens(choices: list[Choice], device: torch.device) -> dict[str, float]:
    """The number formats of ``choices`` that a CPU only imitates, and how many times as long it takes in them as in fp32.

    One step of clips can take minutes in such a format; a small product and a small convolution, forwards and back, tell in
    milliseconds. The one that suffers less decides.
    """
    formats = {choice.precision for choice in choices}
    if device.type != "cpu" or "fp32" not in formats:
        return {}
    plain = _small(torch.float32)
    found = {name: min(a / b for a, b in zip(_small(DTYPES[name]), plain, strict=True)) for name in sorted(formats - {"fp32"})}
    return {name: times for name, times in found.items() if times > _HEAVY}


def _small(dtype: torch.dtype) -> list[float]:
    """The seconds of a product and of a convolution of pictures with their gradients, the best of three."""
    pictures = torch.ones(4, 32, 16, 16, dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.ones(32, 32, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    square = torch.ones(128, 128, dtype=dtype)
    works: list[Callable[[], Tensor]] = [
        lambda: torch.matmul(square.requires_grad_(), square),
        lambda: torch.conv2d(pictures.requires_grad_(), kernel.requires_grad_()),
    ]
    found = []
    for work in works:
        once = partial(_back, work)
        once()  # the first one loads the kernel
        found.append(min(_timed(once, torch.device("cpu")) for _ in range(3)))
    return found


def _back(work: Callable[[], Tensor]) -> None:
    work().sum().backward()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Calibration:
    """The fastest choice, the seconds a step takes with it, what every candidate took, and those that computed no numbers."""

    choice: Choice
    seconds: float
    measured: dict[str, float]
    broken: tuple[str, ...] = ()


def calibrate(choices: list[Choice], trial: Callable[[Choice], Callable[[], object]], device: torch.device) -> Calibration:
    """Time a few steps of every choice and keep the fastest.

    ``trial`` builds, for a choice, a function that runs one step on a copy of everything. A candidate whose first step
    takes three times the best so far is dropped at once: a slow format must not cost more than it can save. One whose loss is
    not finite is left out while there is another: kernels of a machine can be wrong in one format alone (docs/log.md).

    Raises:
        NotFiniteError: the loss is not finite in any format.
    """
    measured: dict[str, float] = {}
    broken: dict[str, NotFiniteError] = {}
    best: tuple[float, Choice] | None = None
    for choice in choices:
        try:
            found = _steps(trial(choice), device, best[0] if best else math.inf)
        except NotFiniteError as error:
            broken[str(choice)] = error
            continue
        measured[str(choice)] = found.seconds
        # A tie goes to the earlier, plainer choice: 3 % is within the noise.
        if found.whole and (best is None or found.seconds < 0.97 * best[0]):
            best = (found.seconds, choice)
    if best is None:
        raise next(iter(broken.values()))
    return Calibration(best[1], best[0], measured, tuple(broken))


@dataclass(frozen=True)
class _Pace:
    seconds: float
    whole: bool  # whether it was measured to the end


def _steps(step: Callable[[], object], device: torch.device, best: float) -> _Pace:
    """The seconds of a step; of the first alone where it takes three times the ``best`` so far, or too long for another."""
    first = _timed(step, device)
    if device.type == "cuda":
        first = _timed(step, device)  # the first use of a kernel loads it, which takes longer than many steps
    if first > 3 * best and first > 0.5:
        return _Pace(first, whole=False)
    if first > _LONG:
        return _Pace(first, whole=True)
    # The smallest of several: other work on the machine only ever adds time.
    return _Pace(min(_timed(step, device) for _ in range(3 if first < 2 else 1)), whole=True)


def _timed(step: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter() - started
