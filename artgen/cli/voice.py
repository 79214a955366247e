"""How a command speaks: results on stdout (as text or JSON), talk and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from artgen.cli.progress import Bars, Lines
from artgen.errors import OutputError

if TYPE_CHECKING:
    from artgen.artwork import Artwork

_SHOWN_AT_MOST = 20


@dataclass(frozen=True)
class Voice:
    """What a command was asked to sound like."""

    json: bool = False
    progress: Lines | Bars = field(default_factory=lambda: Bars() if sys.stderr.isatty() else Lines())
    kept: dict[str, Any] = field(default_factory=dict)

    def say(self, sentence: str) -> None:
        """One sentence that is not a result."""
        self.progress.say(sentence)

    def result(self, value: Any, *lines: str) -> None:
        """The result: ``value`` as JSON, or ``lines`` for people."""
        self.close()
        for line in [json.dumps(value, ensure_ascii=False, default=str)] if self.json else lines:
            print(line, flush=True)

    def above(self, text: str) -> None:
        """A result for people that comes while a bar is still shown below it."""
        if isinstance(self.progress, Bars):
            self.progress.hide()
        print(text, flush=True)

    def work(self, paths: Sequence[str], work: Artwork, own: Any) -> None:
        """A work that was saved, by the names of its files, with a thumbnail where the terminal can show one."""
        if self.json:
            return
        self.result(None, *paths)
        if sys.stdout.isatty() and own.thumbnail != "never":
            from artgen.cli.viewing import Thumbnails
            from artgen.settings import thumbnails

            if "shown" not in self.kept:
                self.kept["shown"] = Thumbnails(own.thumbnail or thumbnails())
            self.kept["shown"].show(work)

    def open(self, paths: Sequence[str], own: Any) -> None:
        """The system's viewer for ``paths``, where ``--open`` asks for it; that there is none is told, and costs nothing else."""
        if not own.open or not paths:
            return
        from artgen.cli.viewing import open_files

        try:
            open_files(paths)
        except OutputError as error:
            self.say(str(error))

    def table(self, value: Any, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The result: ``value`` as JSON, or a table for people."""
        if self.json:
            self.result(value)
            return
        self.close()
        show_table(columns, rows)

    def close(self) -> None:
        """Take bars away, so that what follows stands on lines of its own."""
        if isinstance(self.progress, Bars):
            self.progress.close()


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, stderr: bool = False) -> None:
    """Print a table; nothing in it is cut where the output is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stderr if stderr else sys.stdout
    # A pipe has no width: one wide enough keeps each row on its line, for grep.
    console = Console(file=stream, width=None if stream.isatty() else 400)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")  # a long name goes on in the next line: cut, it could not be copied
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def shortened(rows: Sequence[Sequence[str]], where: str) -> tuple[list[Sequence[str]], str]:
    """The first rows, and a sentence that tells the number of the rest and where they stand."""
    rest = len(rows) - _SHOWN_AT_MOST
    return list(rows[:_SHOWN_AT_MOST]), f"… and {rest} more; {where} lists all" if rest > 0 else ""


def bytes_text(count: int) -> str:
    """``512 bytes``, ``3.2 kB``, ``1.4 MB``."""
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
