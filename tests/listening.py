"""Progress displays of tests: one keeps what it is told, one presses Ctrl-C."""

from __future__ import annotations

from pathlib import Path

from artgen.backend import Silent


class Listen(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.started: list[tuple[str, float | None, str]] = []
        self.amount = 0.0

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        self.started.append((description, total, unit))

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.amount += amount

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


class Stop(Silent):
    """Ctrl-C after ``after`` units of work, or where the work called ``at`` begins."""

    def __init__(self, after: float = float("inf"), *, at: str = "") -> None:
        self.left, self.at = after, at

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        if description == self.at:
            raise KeyboardInterrupt

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.left -= amount
        if self.left <= 0:
            raise KeyboardInterrupt


def files(folder: Path) -> dict[str, bytes]:
    """The files of a folder with what is in them."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
