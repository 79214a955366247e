"""The documents in text files: whole files, parts between separators, or the rows of a table.

A document comes in pieces, so that one of any length needs little memory.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

import msgspec

from artgen.errors import SourceError
from artgen.media import text
from artgen.media.archives import FILE_LIMIT, Reader, Source

TABLES = (".jsonl", ".ndjson", ".csv", ".tsv")
LINE = "line"
BLANK_LINE = "blank-line"

_PEEK = 100
_FAULTS = 20
_COLUMN = "text"


@dataclass(frozen=True)
class Reading:
    """How text files become documents: the options of ``prepare`` that say so."""

    encoding: str = "auto"
    column: str | None = None
    split: str | None = None
    normal: text.Normal = "NFC"
    lowercase: bool = False


@dataclass
class Told:
    """What was found in one file besides its documents: its ``encoding``, ``remarks``, and rows left out with the reason."""

    encoding: str = ""
    remarks: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    faults: int = 0

    def fault(self, place: str, reason: str) -> None:
        """Leave out a row; only the first twenty are told one by one."""
        self.faults += 1
        if self.faults <= _FAULTS:
            self.skipped.append((place, reason))


def documents(source: Source, reader: Reader, how: Reading, told: Told) -> Iterator[Iterator[str]]:
    """The documents of ``source``, each as its pieces; take all pieces of one before the next.

    Raises:
        SourceError: the file is no text, or its table has not the column asked for.
    """
    opening = _opener(source, reader)
    found = text.detect(opening, source.name, how.encoding)
    told.encoding = found.name.removesuffix("-sig")
    if found.remark:
        told.remarks.append(found.remark)
    kind = PurePosixPath(source.name).suffix.lower()
    if kind in TABLES:
        yield from _of_table(opening(), found, source.name, kind, how, told)
    else:
        pieces = text.pieces(opening(), found, how.normal, lowercase=how.lowercase)
        yield from split(pieces, how.split) if how.split else iter([pieces])
    if told.faults > _FAULTS:
        told.skipped.append((source.name, f"{told.faults - _FAULTS} more rows for such reasons"))


def _opener(source: Source, reader: Reader) -> Callable[[], IO[bytes]]:
    path = source.path
    if path is None:
        data = reader.read(source)
        return lambda: io.BytesIO(data)

    def opening() -> IO[bytes]:
        try:
            return path.open("rb")
        except OSError as error:
            raise SourceError(f"{source.name}: cannot be read ({error.strerror or error})") from None

    return opening


# --- parts between separators


def split(pieces: Iterable[str], separator: str) -> Iterator[Iterator[str]]:
    """The parts of a text between separators: ``line``, ``blank-line`` or the very characters given."""
    splitter = _Splitter(iter(pieces), separator)
    while not splitter.done:
        yield splitter.part()


class _Splitter:
    def __init__(self, pieces: Iterator[str], separator: str) -> None:
        self._pieces = pieces
        self._blank = separator == BLANK_LINE
        self._signs = "\n" if separator == LINE else separator
        self._pattern = re.compile(r"\r?\n(?:[ \t]*\r?\n)+" if self._blank else re.escape(self._signs))
        self._text = ""
        self._at = 0
        self._last = False
        self.done = False

    def part(self) -> Iterator[str]:
        """The pieces of the next part."""
        while True:
            found = self._pattern.search(self._text, self._at)
            # Blank lines at the end of what is read so far may go on in the next piece.
            if found and (self._last or not self._blank or found.end() < len(self._text)):
                yield self._text[self._at : found.start()]
                self._at = found.end()
                return
            hold = len(self._text) if self._last else self._settled()
            yield self._text[self._at : hold]
            if self._last:
                self.done = True
                return
            following = next(self._pieces, None)
            self._last = following is None
            self._text = self._text[hold:] + (following or "")
            self._at = 0

    def _settled(self) -> int:
        """Up to where the text read so far cannot be the beginning of a separator."""
        if self._blank:
            return max(self._at, len(self._text.rstrip(" \t\r\n")))
        longest = min(len(self._signs) - 1, len(self._text) - self._at)
        half = next((size for size in range(longest, 0, -1) if self._text.endswith(self._signs[:size])), 0)
        return len(self._text) - half


# --- tables


def _of_table(
    file: IO[bytes], found: text.Encoding, name: str, kind: str, how: Reading, told: Told
) -> Iterator[Iterator[str]]:  # fmt: skip
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(text.lines_of(file, found))
        made = _json_rows(stream, name, told) if kind in (".jsonl", ".ndjson") else _csv_rows(stream, name, kind)
        rows = stack.enter_context(contextlib.closing(made))
        first = list(itertools.islice(rows, _PEEK))
        column = _column([row for _, row in first], how.column, name)
        for number, row in itertools.chain(first, rows):
            value = row if isinstance(row, str) else row.get(column)
            if not isinstance(value, str):
                kind_of = "nothing" if value is None else type(value).__name__
                told.fault(f"{name}: row {number}", f"its column {column} holds {kind_of}, not text")
                continue
            whole = text.normalised(value, how.normal, lowercase=how.lowercase)
            yield from split([whole], how.split) if how.split else iter([iter([whole])])


def _json_rows(stream: io.TextIOWrapper, name: str, told: Told) -> Generator[tuple[int, Any], None, None]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            yield number, msgspec.json.decode(line, type=dict[str, Any] | str)
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            told.fault(f"{name}: row {number}", f"not a JSON object or text ({error})")


def _csv_rows(stream: io.TextIOWrapper, name: str, kind: str) -> Generator[tuple[int, Any], None, None]:
    before = csv.field_size_limit(FILE_LIMIT)  # of the whole process: a text may be longer than the usual cell
    try:
        for row in (table := csv.DictReader(stream, delimiter="\t" if kind == ".tsv" else ",")):
            yield table.line_num, row
    except csv.Error as error:
        raise SourceError(f"{name}: not a table ({error}); correct it") from None
    finally:
        csv.field_size_limit(before)


def _column(rows: list[Any], wanted: str | None, name: str) -> str:
    """The column with the text: the one asked for, ``text``, or the only one that holds text."""
    tables = [row for row in rows if isinstance(row, dict)]
    known = list(dict.fromkeys(str(column) for row in tables for column in row if column is not None))
    if not tables:
        if not rows:
            raise SourceError(f"{name}: no row in it can be read; give a table with a column of text")
        return wanted or _COLUMN
    if wanted is not None:
        if wanted not in known:
            raise SourceError(f"{name}: no column {wanted!r}; --column takes one of: {', '.join(known)}")
        return wanted
    texts = [column for column in known if any(isinstance(row.get(column), str) for row in tables)]
    if _COLUMN in texts:
        return _COLUMN
    if len(texts) == 1:
        return texts[0]
    raise SourceError(f"{name}: which column holds the text? --column takes one of: {', '.join(known) or 'none'}")
