"""What a check of the doctor says: a state, a sentence, and for every problem a line to type."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    ``state`` is ``good``, ``note`` (worth knowing, nothing is broken) or ``problem``; ``remedy`` is the line to type, there for
    every problem. ``facts`` are the numbers behind the sentence, plain values by name.
    """

    check: str
    state: Literal["good", "note", "problem"]
    told: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def asdict(self) -> dict[str, Any]:
        """The finding as plain values."""
        return asdict(self)


def installing(*requirements: str, again: bool = False) -> str:
    """The line that installs ``requirements`` here, with the tool that owns the environment; ``again`` replaces what is there."""
    from artgen.errors import ArtgenError
    from artgen.plugins.installing import Tool

    try:
        name = Tool.of_environment().name
    except ArtgenError:
        return "python -m ensurepip"
    start, replace = ("uv pip install", "--reinstall") if name == "uv" else ("python -m pip install", "--force-reinstall")
    quoted = [f'"{each}"' if set(each) & set("<>=*~!,; ") else each for each in requirements]
    return " ".join([start, *([replace] if again else []), *quoted])


def needed(*names: str) -> list[str]:
    """The requirements of artgen on the packages ``names``, as it declares them: ``torch==2.11.*``."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    found = {wanted.name: f"{wanted.name}{wanted.specifier}" for wanted in map(Requirement, requires("artgen") or [])}
    return [found.get(name, name) for name in names]


def cause(error: BaseException) -> str:
    """What an exception says, on one line."""
    from artgen.quarantine import told

    return told(error)
