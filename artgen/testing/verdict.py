"""What a check of the conformance kit can find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["passed", "failed", "skipped", "expected"]


@dataclass(frozen=True)
class Check:
    """One finding of :func:`artgen.testing.check_backend`.

    ``state`` is ``passed``, ``failed``, ``skipped`` (the check does not apply to this backend) or ``expected`` (it failed, as the
    author said it would); ``reason`` is one sentence, empty for what passed. ``seconds`` is the time that the check took; work that
    several checks share counts for the first of them.
    """

    name: str
    state: State
    reason: str = ""
    seconds: float = 0.0


class Failure(Exception):  # noqa: N818 - a finding about a backend, not a fault of the kit
    """A backend does not keep a promise: what was expected, what was seen, and what its author can do."""

    def __init__(self, expected: str, seen: str, advice: str) -> None:
        super().__init__(f"expected {expected}, but {seen}; {advice}")


class NotApplicable(Exception):  # noqa: N818 - a finding about a backend, not a fault of the kit
    """A check that this backend cannot be held to, with the reason."""


def told(error: BaseException) -> str:
    """An exception in one line: its type and the first line of its message."""
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
