"""The state of the whole process that a backend borrows and has to give back."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

_OWN_VARIABLES = ("TF_CPP_MIN_LOG_LEVEL", "PYTEST_CURRENT_TEST")
"""Set by artgen's training log, so that TensorBoard stays quiet, and by pytest: not by a backend."""


@dataclass(frozen=True)
class Snapshot:
    """The state at one moment, by name."""

    values: dict[str, Any]

    @classmethod
    def now(cls) -> Snapshot:
        """The state as it is."""
        import torch

        values: dict[str, Any] = {
            "the state of random": random.getstate(),
            "the state of numpy.random": _numpy_state(),
            "the state of torch's generator": bytes(torch.get_rng_state().numpy()),
            "torch's default dtype": torch.get_default_dtype(),
            "torch's number of threads": torch.get_num_threads(),
            "torch's grad mode": torch.is_grad_enabled(),
            "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
            "torch's matmul precision": torch.get_float32_matmul_precision(),
            "numpy's error handling": np.geterr(),
            "the working folder": os.getcwd(),  # noqa: PTH109 - text is what chdir and a message need
            "the environment": {name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES},
            "the warnings filters": list(warnings.filters),
            "the recursion limit": sys.getrecursionlimit(),
        }
        if threading.current_thread() is threading.main_thread():
            values["the signal handlers"] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        return cls(values)

    def changed(self, later: Snapshot) -> list[str]:
        """What is different ``later``, in words; variables of the environment by name."""
        found = [name for name, value in self.values.items() if later.values.get(name) != value]
        return [self._named(name, later) for name in found]

    def _named(self, name: str, later: Snapshot) -> str:
        if name != "the environment":
            return name
        before, after = self.values[name], later.values[name]
        names = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
        return f"the environment ({', '.join(names)})"

    def restore(self) -> None:
        """Put back what is not as it was."""
        now = Snapshot.now().values
        for name, value in self.values.items():
            # Only what changed: to set the deterministic mode, say, imports a compiler.
            if now.get(name) != value:
                _SETTERS[name](value)


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Give back the state of the process at the end, whatever a backend did to it."""
    before = Snapshot.now()
    try:
        yield
    finally:
        before.restore()


def threads_left(before: set[threading.Thread], patience: float = 2.0) -> list[str]:
    """The names of threads that are not in ``before`` and do not end within ``patience`` seconds."""
    end = time.monotonic() + patience
    while (left := [thread for thread in threading.enumerate() if thread not in before]) and time.monotonic() < end:
        time.sleep(0.01)
    return sorted(thread.name for thread in left)


def _numpy_state() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return (kind, bytes(np.asarray(keys)), *rest)


def _set_numpy_state(value: tuple[Any, ...]) -> None:
    kind, keys, *rest = value
    np.random.set_state((kind, np.frombuffer(keys, np.uint32), *rest))


def _set_torch(name: str) -> Callable[[Any], None]:
    """The function of torch called ``name``, looked up when it is used: torch is imported late."""

    def setter(value: Any) -> None:
        import torch

        getattr(torch, name)(value)

    return setter


def _set_torch_state(value: bytes) -> None:
    import torch

    torch.set_rng_state(torch.frombuffer(bytearray(value), dtype=torch.uint8))


def _set_environment(value: dict[str, str]) -> None:
    for name in os.environ.keys() - value.keys() - set(_OWN_VARIABLES):
        del os.environ[name]
    os.environ.update(value)


def _set_filters(value: list[Any]) -> None:
    warnings.filters[:] = value  # type: ignore[index]  # a list, which typeshed hides
    warnings.simplefilter("default", append=True)  # tells the module that its filters changed
    warnings.filters[:] = value  # type: ignore[index]


def _set_signals(value: dict[int, Any]) -> None:
    for number, handler in value.items():
        signal.signal(number, handler)


_SETTERS: dict[str, Callable[[Any], object]] = {
    "the state of random": random.setstate,
    "the state of numpy.random": _set_numpy_state,
    "the state of torch's generator": _set_torch_state,
    "torch's default dtype": _set_torch("set_default_dtype"),
    "torch's number of threads": _set_torch("set_num_threads"),
    "torch's grad mode": _set_torch("set_grad_enabled"),
    "torch's deterministic mode": _set_torch("use_deterministic_algorithms"),
    "torch's matmul precision": _set_torch("set_float32_matmul_precision"),
    "numpy's error handling": lambda value: np.seterr(**value),
    "the working folder": os.chdir,
    "the environment": _set_environment,
    "the warnings filters": _set_filters,
    "the recursion limit": sys.setrecursionlimit,
    "the signal handlers": _set_signals,
}
