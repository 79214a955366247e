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
from collections.abc import Iterator
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
        """Put everything back as it was."""
        import torch

        values = self.values
        random.setstate(values["the state of random"])
        kind, keys, *rest = values["the state of numpy.random"]
        np.random.set_state((kind, np.frombuffer(keys, np.uint32), *rest))
        torch.set_rng_state(torch.frombuffer(bytearray(values["the state of torch's generator"]), dtype=torch.uint8))
        torch.set_default_dtype(values["torch's default dtype"])
        if torch.get_num_threads() != values["torch's number of threads"]:
            torch.set_num_threads(values["torch's number of threads"])
        torch.set_grad_enabled(values["torch's grad mode"])
        torch.use_deterministic_algorithms(values["torch's deterministic mode"])
        torch.set_float32_matmul_precision(values["torch's matmul precision"])
        np.seterr(**values["numpy's error handling"])
        os.chdir(values["the working folder"])
        for name in os.environ.keys() - values["the environment"].keys() - set(_OWN_VARIABLES):
            del os.environ[name]
        os.environ.update(values["the environment"])
        warnings.filters[:] = values["the warnings filters"]  # type: ignore[index]  # a list, which typeshed hides
        sys.setrecursionlimit(values["the recursion limit"])
        for number, handler in values.get("the signal handlers", {}).items():
            signal.signal(number, handler)


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
