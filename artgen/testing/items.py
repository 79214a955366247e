"""The kit in pytest: one test item for each check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from artgen.backend import Backend
from artgen.testing.kit import CHECKS, found, known, run
from artgen.testing.subject import Subject


class Item:
    """One check of one backend; calling it fails, skips or xfails the test that it is called in."""

    def __init__(self, name: str, subject: Callable[[], Subject], expected: str | None) -> None:
        self.name, self._subject, self._expected = name, subject, expected

    def __call__(self) -> None:
        """Run the check."""
        import pytest

        finding = run(self.name, self._subject(), self._expected)
        if finding.state == "failed":
            pytest.fail(finding.reason, pytrace=False)
        if finding.state == "skipped":
            pytest.skip(finding.reason)
        if finding.state == "expected":
            pytest.xfail(finding.reason)


def conformance(
    backend: type[Backend] | str,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    expected: Mapping[str, str] | None = None,
    sources: Sequence[str | Path] | None = None,
    model: str | Path | None = None,
) -> Callable[..., Any]:
    """A test function with one named item for each check; the arguments are those of :func:`artgen.testing.check_backend`.

    The whole test file of a plugin::

        from artgen.testing import conformance
        from artgen_dots import Dots

        test_contract = conformance(Dots)

    pytest then shows ``test_contract[light-import]``, ``test_contract[resume]`` and so on. It is a decorator as well, for a
    function that takes ``check`` and calls it when it has done what it wants around it::

        @conformance(Dots, expected={"resume": "the optimiser of the method keeps no state"})
        def test_contract(check):
            check()

    Raises:
        UsageError: ``expected`` names no check.
    """
    import pytest

    reasons = known(expected or {})
    kept: list[Subject] = []

    def subject() -> Subject:
        if not kept:  # at the first check, not when pytest collects
            kept.append(Subject(found(backend), options=options, sources=sources, model=model))
        return kept[0]

    items = [Item(name, subject, reasons.get(name)) for name in CHECKS]
    parametrized: Callable[..., Any] = pytest.mark.parametrize("check", items, ids=CHECKS)

    def test(check: Any) -> Any:
        if isinstance(check, Item):
            return check()
        return parametrized(check)  # used as a decorator

    test.__doc__ = "One check of the contract."
    tested: Callable[..., Any] = parametrized(test)
    return tested
