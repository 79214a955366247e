"""The catalogue of checks, and running them."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from artgen import history, registry
from artgen.backend import Backend
from artgen.errors import UsageError
from artgen.options import nearest
from artgen.testing import declarations, door, learning, manners, works
from artgen.testing.state import preserved
from artgen.testing.subject import Subject
from artgen.testing.verdict import Check, Failure, NotApplicable, told

DECLARATIONS: dict[str, Callable[[Subject], None]] = {
    "light-import": declarations.light_import,
    "described": declarations.described,
    "verbs": declarations.verbs,
    "options-supported": declarations.options_supported,
    "options-documented": declarations.options_documented,
    "options-defaults": declarations.options_defaults,
    "options-refuse": declarations.options_refuse,
    "options-own-flags": declarations.options_own_flags,
    "usable": declarations.usable,
}
"""What is looked at before anything runs."""

WORK: dict[str, Callable[[Subject], None]] = {
    "runs": works.runs,
    "save-load": learning.save_load,
    "same-training": learning.same_training,
    "resume": learning.resume,
    "metrics": learning.metrics,
    "same-seed": works.same_seed,
    "different-seeds": works.different_seeds,
    "recipe": works.recipe,
    "replay": works.replay,
    "modify-size": works.modify_size,
    "modify-inputs": works.modify_inputs,
    "modify-marked": works.modify_marked,
    "modify-repeats": works.modify_repeats,
    "scores": works.scores,
    "offline": manners.offline,
    "cpu": manners.cpu,
    "working-folder": manners.working_folder,
    "no-leftovers": manners.no_leftovers,
    "no-threads": manners.no_threads,
    "global-state": manners.global_state,
    "no-pickle": manners.no_pickle,
    "progress-optional": manners.progress_optional,
    "progress-balanced": manners.progress_balanced,
    "errors-sources": manners.errors_sources,
    "errors-model": manners.errors_model,
    "errors-inputs": manners.errors_inputs,
}
"""What is seen while the backend works."""

CHECKS: tuple[str, ...] = (*DECLARATIONS, *WORK)
"""The names of all checks, in the order they run."""


def check_backend(
    backend: type[Backend] | str,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    expected: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    sources: Sequence[str | Path] | None = None,
    model: str | Path | None = None,
) -> list[Check]:
    """Hold a backend to the contract and to every promise of artgen; one finding a check.

    ``backend`` is the class, or the name of an installed backend (``image.gan``). ``options`` are options by verb, for example
    ``{"train": {"preset": "sketch"}}``: small ones, since the kit trains four times; it adds two steps of two items itself.
    ``expected`` maps the name of a check that is known to fail to the reason; it is ``expected`` then, and ``failed`` once it
    passes, so that the list stays true. ``only`` runs some checks. ``sources`` are files to train on, for a modality that
    the kit has no data for; ``model`` is what a backend that is not trained works with.

    Raises:
        UsageError: no check of that name, no such backend, or options that the backend does not take.
    """
    reasons = known(expected or {})
    chosen = [name for name in CHECKS if only is None or name in known(dict.fromkeys(only, ""))]
    subject = Subject(found(backend), options=options, sources=sources, model=model)
    try:
        return [run(name, subject, reasons.get(name)) for name in chosen]
    finally:
        subject.close()


def found(cls: type[Backend] | str) -> type[Backend]:
    """The class itself, or the one installed under a name such as ``image.gan``.

    Raises:
        UsageError: the name has no modality, or nothing of that name is installed.
    """
    if not isinstance(cls, str):
        return cls
    modality, dot, name = cls.partition(".")
    if not dot:
        raise UsageError(f"{cls!r} is no full name of a backend; write it as modality.name, for example image.gan")
    return registry.get(modality, name)


def run(name: str, subject: Subject, expected: str | None = None) -> Check:
    """One check of ``subject``; ``expected`` is why it is known to fail."""
    began = time.monotonic()
    state, reason = _outcome(name, subject)
    seconds = time.monotonic() - began
    if expected is None or state == "skipped":
        return Check(name, state, reason, seconds)  # type: ignore[arg-type]
    if state == "passed":
        return Check(name, "failed", f"it passes, but was expected to fail ({expected}); take it out of the list", seconds)
    return Check(name, "expected", expected, seconds)


def _outcome(name: str, subject: Subject) -> tuple[str, str]:
    try:
        if name in DECLARATIONS:
            DECLARATIONS[name](subject)
        else:
            with preserved(), door.installed(subject.cls), history.paused():
                WORK[name](subject)
    except Failure as failure:
        return "failed", str(failure)
    except NotApplicable as reason:
        return "skipped", str(reason)
    except (Exception, SystemExit) as error:
        return "failed", f"it ends in {told(error)}"
    return "passed", ""


def known(named: Mapping[str, str]) -> Mapping[str, str]:
    """``named`` itself, when every key of it is the name of a check.

    Raises:
        UsageError: one is not; the nearest is suggested.
    """
    for name in named:
        if name not in CHECKS:
            raise UsageError(f"no check {name!r}{nearest(name, CHECKS)}; the checks are {', '.join(CHECKS)}")
    return named
