"""Import a plugin's class so that whatever the plugin does, nothing else of the process is changed by it.

What a plugin may not do while it is imported: end the process, change the state of random number generators or torch's
default number format, widen the filters of warnings, change environment variables or the working folder, print to stdout.
The first kinds make it unusable, since its works would not repeat; the others are put back and named.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from artgen.errors import UnusableBackendError

_TYPED_SEED = 2**32
"""torch starts from 64 random bits: a first seed below this was set by someone."""


_tainted: dict[str, str] = {}
"""Modules whose import changed what it must not: Python imports a module once, so a second try would find nothing."""


class TaintedError(UnusableBackendError):
    """A plugin changed what makes works repeat; that was put back."""


@dataclass
class Traces:
    """What an import left behind: ``faults`` make a plugin unusable, ``notes`` were put right and are only told."""

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load(value: str) -> tuple[Any, tuple[str, ...]]:
    """The object that ``module:Name`` names, with notes on what its import changed and what was put back.

    Raises:
        UnusableBackendError: the import fails, ends the process, or changes what makes works repeat; the message is the reason.
    """
    module, _, name = value.partition(":")
    if module in _tainted:
        raise UnusableBackendError(_tainted[module])
    try:
        return watched("import", lambda: _attribute(import_module(module.strip()), name.strip()))
    except TaintedError as error:
        _tainted[module] = str(error)
        raise


def watched(what: str, action: Callable[[], Any]) -> tuple[Any, tuple[str, ...]]:
    """What ``action`` (the plugin's ``import``, say) returns, with notes on what it changed and what was put back.

    Raises:
        UnusableBackendError: it raised, whatever it raised but Ctrl-C, or it changed what makes works repeat.
    """
    traces = Traces()
    try:
        with _kept(traces), contextlib.redirect_stdout(sys.stderr):
            found = action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UnusableBackendError(told(error)) from error
    if traces.faults:
        raise TaintedError(f"its {what} changes {' and '.join(traces.faults)}; do that inside a method")
    return found, tuple(f"its {what} {note}, which was put back" for note in traces.notes)


def told(error: BaseException) -> str:
    """An exception of a plugin in one line."""
    if isinstance(error, SystemExit):
        return f"it ends the process (SystemExit: {error.code}) instead of raising an error"
    text = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextlib.contextmanager
def _kept(traces: Traces) -> Iterator[None]:
    checks = [check() for check in (_random, _numpy, _torch, _environment, _folder, _warnings)]
    try:
        yield
    finally:
        for check in checks:
            check(traces)


Check = Callable[[Traces], None]


def _random() -> Check:
    before = random.getstate()

    def check(traces: Traces) -> None:
        if random.getstate() != before:
            random.setstate(before)
            traces.faults.append("the state of Python's random numbers")

    return check


def _numpy() -> Check:
    # Imported here, not by the plugin: its own first state is drawn from the system and could not be told from a seeded one.
    from numpy.random import get_state, set_state

    before: Any = get_state(legacy=False)

    def check(traces: Traces) -> None:
        now: Any = get_state(legacy=False)
        same = now["state"]["pos"] == before["state"]["pos"] and (now["state"]["key"] == before["state"]["key"]).all()
        if not same or now["has_gauss"] != before["has_gauss"]:
            set_state(before)
            traces.faults.append("the state of NumPy's random numbers")

    return check


def _torch() -> Check:
    was_there = "torch" in sys.modules
    torch: Any = sys.modules.get("torch")
    before = (torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()) if was_there else None

    def check(traces: Traces) -> None:
        torch: Any = sys.modules.get("torch")
        if torch is None or not hasattr(torch, "get_rng_state"):  # not imported, or its own import failed half way
            return
        dtype, grad = (before[1], before[2]) if before else (torch.float32, True)
        seeded = not torch.equal(torch.get_rng_state(), before[0]) if before else torch.initial_seed() < _TYPED_SEED
        if seeded:
            torch.set_rng_state(before[0]) if before else torch.seed()
            traces.faults.append("the state of torch's random numbers")
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
            traces.faults.append("torch's default number format")
        if torch.is_grad_enabled() != grad:
            torch.set_grad_enabled(grad)
            traces.faults.append("whether torch computes gradients")

    return check


def _environment() -> Check:
    before = dict(os.environ)

    def check(traces: Traces) -> None:
        now = dict(os.environ)
        changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        for name in changed:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]
        if changed:
            traces.notes.append(f"set {', '.join(changed)} in the environment")

    return check


def _folder() -> Check:
    before = Path.cwd()

    def check(traces: Traces) -> None:
        if Path.cwd() != before:
            os.chdir(before)
            traces.notes.append("changed the working folder")

    return check


def _warnings() -> Check:
    before = list(warnings.filters)

    def check(traces: Traces) -> None:
        # Libraries add filters for single messages of theirs, which is fair; one that silences or raises all is not.
        wide = [item for item in warnings.filters if item not in before and item[1] is None and item[3] is None]
        broad = [item for item in wide if item[2] in (Warning, UserWarning, DeprecationWarning, FutureWarning, RuntimeWarning)]
        gone = [item for item in before if item not in warnings.filters]
        if broad or gone:
            kept = [item for item in warnings.filters if item not in broad]
            warnings.filters[:] = [*kept, *gone]  # type: ignore[index]  # a list, whatever the stub says
            getattr(warnings, "_filters_mutated", dict)()  # tells the C part that its cache is old; dict() does nothing
            traces.notes.append("changed which warnings are shown")

    return check


def _attribute(module: Any, name: str) -> Any:
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    return found
