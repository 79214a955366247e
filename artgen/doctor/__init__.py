"""The doctor: tests, not lists. What artgen needs of a machine is tried, and every problem comes with a line to type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from artgen.backend import SILENT, Progress
from artgen.doctor.devices import check_devices, check_precision
from artgen.doctor.finding import Finding, cause
from artgen.doctor.formats import check_formats, check_history
from artgen.doctor.machine import check_disk, check_memory, check_threads
from artgen.doctor.packages import check_plugins, check_starters, check_versions
from artgen.errors import UsageError
from artgen.options import nearest

__all__ = ["CHECKS", "Finding", "examine"]

CHECKS: dict[str, Callable[[], Iterator[Finding]]] = {
    "versions": check_versions,
    "plugins": check_plugins,
    "formats": check_formats,
    "devices": check_devices,
    "precision": check_precision,
    "threads": check_threads,
    "memory": check_memory,
    "disk": check_disk,
    "starters": check_starters,
    "history": check_history,
}
"""Every check by its name, in the order they run."""


def examine(only: Sequence[str] = (), progress: Progress = SILENT) -> Iterator[Finding]:
    """Run every check, or those of ``only``, and tell what each finds; a check that fails itself is a problem like any other.

    Raises:
        UsageError: no check of that name; the nearest is suggested.
    """
    for name in only:
        if name not in CHECKS:
            raise UsageError(f"no check {name!r}{nearest(name, CHECKS)}; the checks are {', '.join(CHECKS)}")
    return _examined([name for name in CHECKS if not only or name in only], progress)


def _examined(names: Sequence[str], progress: Progress) -> Iterator[Finding]:
    progress.start("examining", len(names))  # without a unit: no check takes as long as another
    try:
        for name in names:
            progress.advance(0, name)
            try:
                yield from CHECKS[name]()
            except Exception as error:  # the rest can still be told
                yield Finding(name, "problem", f"the check itself ends in {cause(error)}", f"artgen doctor --only {name} --debug")
            progress.advance()
    finally:
        progress.finish()
