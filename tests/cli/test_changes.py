"""What changed in a text, as it is shown: whole and in colour while short, shortened where there is much of it."""

from __future__ import annotations

import io
import time
from pathlib import Path

from artgen.artwork import Text
from artgen.cli import texts
from artgen.media.difference import word_edits


def test_changes_are_shown() -> None:
    before, after = "It was a dark\nand stormy night here.", "It was a bright\nand stormy night here."
    edits = Text(after).edits(Text(before))
    assert texts.plain_lines(before, edits) == ["- It was a {dark}⏎and stormy night", "+ It was a {bright}⏎and stormy night"]
    assert texts.coloured(before, edits) == "It was a \x1b[31;9mdark\x1b[0m\x1b[32mbright\x1b[0m\nand stormy night here."


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_changes_are_coloured_on_a_terminal() -> None:
    out = Terminal()
    texts.show_changes("a b", word_edits("a b", "a c"), out)
    assert out.getvalue() == "a \x1b[31;9mb\x1b[0m\x1b[32mc\x1b[0m\n"


def test_many_changes_are_shortened_wherever_they_are_shown() -> None:
    before = " ".join(f"w{number} k{number} n{number} t{number}" for number in range(500))
    edits = word_edits(before, before.replace("w", "v"))
    assert len(edits) == 500
    pipe, terminal = io.StringIO(), Terminal()
    texts.show_changes(before, edits, pipe)
    lines = pipe.getvalue().splitlines()
    assert (len(lines), lines[-1]) == (41, "… and 480 more changes; --json tells every change in full, as edits")
    texts.show_changes(before, edits, terminal)
    coloured = terminal.getvalue().splitlines()
    assert (len(coloured), coloured[-1]) == (41, lines[-1])
    assert coloured[1] == f"\x1b[32m{lines[1]}\x1b[0m"
    exact = io.StringIO()
    texts.show_changes(before, edits[:20], exact)
    assert exact.getvalue().splitlines() == lines[:-1]


def test_a_chapter_is_compared_in_a_moment() -> None:
    old = (Path(__file__).parents[2] / "examples/data/books/alice.txt").read_text(encoding="utf-8")[:30_000]
    new = old.replace("Alice", "Emma").replace("said", "sang")
    began = time.monotonic()
    edits = word_edits(old, new)
    assert time.monotonic() - began < 6  # with every blank compared with every other it was half a minute
    assert {("Alice", "Emma"), ("said", "sang"), ("said Alice", "sang Emma")} <= {(edit.before, edit.after) for edit in edits}
    assert max(len(edit.before) for edit in edits) < 30
    made, at = "", 0
    for edit in edits:
        made += old[at : edit.at] + edit.after
        at = edit.at + len(edit.before)
    assert made + old[at:] == new
    whole = word_edits("a " * 3000, "b " * 3000)
    assert [len(edit.before) for edit in whole] == [5999]


def test_a_long_change_is_told_by_its_ends() -> None:
    out = io.StringIO()
    added = "x" * 300 + "y" * 9000 + "z" * 300
    texts.show_changes("It was", word_edits("It was", f"It was {added}"), out)
    line, rest = out.getvalue().splitlines()
    assert line == f"+ It was{{ {'x' * 199} … 9,201 characters … {'z' * 200}}}"
    assert rest == "--json tells every change in full, as edits"
