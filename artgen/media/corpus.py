"""Documents on the way to tokens: one scratch file of UTF-8, where each document begins, and where the held-out part does."""

from __future__ import annotations

import codecs
import hashlib
import io
from array import array
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError
from artgen.files import flush, sentences

BATCH = 2**20
"""Characters that are encoded at once."""

_PIECE = 2**20


class Corpus:
    """Documents one after another in the file ``path``; a context manager that closes it.

    ``held_out`` is the share of the characters at the end that :meth:`cut` sets apart. A document equal to an earlier one is
    left out where ``unique``, and so is one of fewer than ``min_length`` characters.
    """

    def __init__(self, path: Path, held_out: float, *, min_length: int = 1, unique: bool = True) -> None:
        self.path = path
        self.documents = array("q")  # characters of each
        self.duplicates = 0
        self.too_short = 0
        self.inside = False
        self._sizes = array("q")  # bytes of each
        self._held_out = held_out
        self._min_length = min_length
        self._unique = unique
        self._seen: set[bytes] = set()
        self._digests: list[bytes] = []
        self._cut = (0, 0)
        with sentences(path):
            self._file = path.open("w+b")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    @property
    def characters(self) -> int:
        """Characters in all documents."""
        return sum(self.documents)

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of all documents."""
        return sum(self._sizes)

    def add(self, pieces: Iterator[str]) -> None:
        """Append a document that comes in pieces; white space alone is none.

        Raises:
            SourceError: it holds half of a character (a lone surrogate).
            OutputError: the disk is full.
        """
        start = self._file.tell()
        digest = hashlib.blake2b(digest_size=16)
        characters, blank = 0, True
        for piece in pieces:
            try:
                data = piece.encode()
            except UnicodeEncodeError:
                data = piece.encode("utf-8", "replace")
            digest.update(data)
            characters += len(piece)
            blank = blank and not piece.strip()
            with sentences(self.path):
                self._file.write(data)
        if blank or characters < self._min_length:
            self.too_short += not blank
        elif self._unique and digest.digest() in self._seen:
            self.duplicates += 1
        else:
            self._seen.add(digest.digest())
            self._digests.append(digest.digest())
            self.documents.append(characters)
            self._sizes.append(self._file.tell() - start)
            return
        self._file.seek(start)
        self._file.truncate()

    def drop(self, count: int) -> None:
        """Take back all documents but the first ``count``: their file turned out to be damaged."""
        self._seen.difference_update(self._digests[count:])
        del self._digests[count:], self.documents[count:], self._sizes[count:]
        self._file.seek(self.bytes)
        self._file.truncate()

    def cut(self) -> None:
        """Decide where the held-out part begins: in a single document exactly at its share of the characters.

        Of several, at the end of the document nearest to that place, unless the part would be less than half or more than
        twice its share; then inside a document, exactly.

        Raises:
            SourceError: there is no text on one side.
        """
        total = self.characters
        place = int(total * (1 - self._held_out))
        ends = np.cumsum(np.frombuffer(self.documents, np.int64))
        nearest = int(np.abs(ends[:-1] - place).argmin()) if len(ends) > 1 else 0
        share = (total - int(ends[nearest])) / total
        if len(ends) > 1 and self._held_out / 2 <= share <= min(2 * self._held_out, 0.9):
            self._cut = (nearest + 1, 0)
            return
        document = int(np.searchsorted(ends, place, side="right"))
        before = int(ends[document - 1]) if document else 0
        self.inside = len(ends) > 1 and place > before
        self._cut = (document, place - before)
        if not 0 < place < total:
            raise SourceError(f"{total} characters are too few to hold {self._held_out:.1%} out; give more text")

    @property
    def training_characters(self) -> int:
        """Characters before the cut."""
        return sum(self.documents[: self._cut[0]]) + self._cut[1]

    @cached_property
    def _inventory(self) -> dict[int, int]:
        counts = np.zeros(0x110000, np.int64)
        for piece in self._decoded(0, self.bytes):
            found, times = np.unique(np.frombuffer(piece.encode("utf-32-le"), np.uint32), return_counts=True)
            counts[found] += times
        present = np.flatnonzero(counts)
        return dict(zip(present.tolist(), counts[present].tolist(), strict=True))

    def inventory(self) -> dict[int, int]:
        """How often each code point occurs, in all documents."""
        return self._inventory

    def training_text(self, limit: int) -> Iterator[str]:
        """Texts before the cut, of about ``limit`` characters in all: where there are more, every so many batches are left out."""
        every = max(1, -(-self.training_characters // limit))
        for number, (name, batch) in enumerate(self.batches()):
            if name == "train" and number % every == 0:
                yield from (text for text, _ in batch)

    def batches(self) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
        """The text in order, about a million characters at once: its part, and [(text, whether a document ends with it)].

        The part is ``train`` or ``held_out``.
        """
        batch: list[tuple[str, bool]] = []
        size, now = 0, "train"
        for name, text, ends in self._parts():
            if batch and (size >= BATCH or name != now):
                yield now, batch
                batch, size = [], 0
            now = name
            batch.append((text, ends))
            size += len(text)
        if batch:
            yield now, batch

    def _parts(self) -> Iterator[tuple[str, str, bool]]:
        at = 0
        for number, (characters, size) in enumerate(zip(self.documents, self._sizes, strict=True)):
            document, inside = self._cut
            train = characters if number < document else inside if number == document else 0
            done = 0
            for piece in self._decoded(at, size):
                left, right = piece[: max(0, train - done)], piece[max(0, train - done) :]
                done += len(piece)
                last = done == characters
                if left:
                    yield "train", left, last and not right
                if right:
                    yield "held_out", right, last
            at += size

    def _decoded(self, start: int, size: int) -> Iterator[str]:
        """The text in ``size`` bytes from ``start``, in pieces that end before a word where there is one."""
        decoder = codecs.getincrementaldecoder("utf-8")()
        kept = ""
        self._file.seek(start)
        while size:
            data = self._file.read(min(size, _PIECE))
            if not data:
                raise SourceError(f"{self.path}: the scratch file was cut short; prepare again")
            size -= len(data)
            text = kept + decoder.decode(data, final=not size)
            cut = len(text)
            if size:
                space = max(text.rfind("\n"), text.rfind(" "))
                cut = space if space > 0 else cut
            kept = text[cut:]
            if cut:
                yield text[:cut]


class TokenFile:
    """An array of tokens [N] on disk that grows; its header is written at the end, when N is known."""

    def __init__(self, path: Path, kind: np.dtype[Any]) -> None:
        self.path = path
        self._kind = kind
        self._count = 0
        self._digest = hashlib.sha256()
        with sentences(path):
            self._file = path.open("w+b")
            self._file.write(self._header())

    @property
    def digest(self) -> bytes:
        """A hash of the tokens and their type."""
        return self._digest.digest() + self._kind.str.encode()

    def add(self, ids: NDArray[np.int64]) -> None:
        """Append tokens.

        Raises:
            OutputError: the disk is full.
        """
        data = ids.astype(self._kind).tobytes()
        self._digest.update(data)
        self._count += len(ids)
        with sentences(self.path):
            self._file.write(data)

    def finish(self) -> int:
        """Write the header and put all on the disk; returns the number of tokens."""
        with sentences(self.path):
            self._file.seek(0)
            self._file.write(self._header())
            self.close()
            flush(self.path)
        return self._count

    def close(self) -> None:
        """Close the file; twice is no harm."""
        self._file.close()

    def _header(self) -> bytes:
        # numpy leaves room for the first number to grow, so the length does not depend on it.
        head = io.BytesIO()
        told = {"descr": self._kind.str, "fortran_order": False, "shape": (self._count,)}
        np.lib.format.write_array_header_1_0(head, told)
        return head.getvalue()
