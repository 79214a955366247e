"""A dataset while it is being prepared: an array that grows on disk, and a journal that lets a stopped prepare go on.

Each source gets one line in the journal, after its bytes are on the disk. Whatever stops the program, the journal never
tells of bytes that are not there, and what is beyond it is cut off before the next run goes on.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, Self

import msgspec
import numpy as np

from artgen.dataset import MANIFEST
from artgen.errors import OutputError
from artgen.files import sentences, write_atomically

JOURNAL = "prepare.journal"
SETTLE = 2.0
"""Seconds of work that a crash may cost: waiting for the disk after every few items would cost more than decoding them."""

OWN_FILES = ("labels.npy", "captions.jsonl", "names.jsonl")


class Record(msgspec.Struct, frozen=True, array_like=True):
    """What became of one source: its item is in the array (``stored``), or ``note`` says why not.

    ``digest`` is a hash of the item's content, ``note`` of a stored one says how it was made to fit. ``rows`` are those of the
    array that a stored one takes: one, where every item has the same size.
    """

    stored: bool
    digest: str
    note: str
    rows: int = 1


class Partial:
    """An array [N, ...] in ``folder`` that grows by the rows of each stored source; a context manager.

    ``shape`` is that of a row, ``numbers`` its kind of numbers, ``name`` what the array is called without its ending.
    ``key`` says what is being prepared: a journal of another key is not gone on with but begun again.

    Raises:
        OutputError: the folder holds other files of these names, or cannot be written.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], key: str, *, name: str = "images", numbers: str = "|u1") -> None:
        self.folder = folder
        self.shape = shape
        self.numbers = numbers
        self.records: list[Record] = []
        self._lines: list[bytes] = []
        self._settled = time.monotonic()
        self._final = folder / f"{name}.npy"
        self._growing = folder / f"{name}.npy.part"
        with sentences(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign()
            self._recall(key)
            self._array, self._journal = self._open(key)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # A full disk is told of by the write that met it, not again by closing.
        with contextlib.suppress(OSError, ValueError):  # ValueError: closed by finish
            self._settle()
        for file in (self._array, self._journal):
            with contextlib.suppress(OSError):
                file.close()

    @property
    def count(self) -> int:
        """Rows in the array."""
        return sum(record.rows for record in self.records if record.stored)

    def add(self, records: Sequence[Record], items: Iterable[bytes]) -> None:
        """Append the results of the next sources; ``items`` are the bytes of the stored ones, in pieces of any size.

        Raises:
            OutputError: the disk is full or cannot be written; what was added before stays.
        """
        with sentences(self._growing):
            self._array.writelines(items)
            self._lines.extend(msgspec.json.encode(record) + b"\n" for record in records)
            self.records.extend(records)
            if time.monotonic() - self._settled >= SETTLE:
                self._settle()

    def finish(self) -> None:
        """Give the array its header and its name; the journal stays until :meth:`forget`.

        Raises:
            OutputError: the disk cannot be written.
        """
        with sentences(self._final):
            self._settle()
            self._array.seek(0)
            self._array.write(_header(self.count, self.shape, self.numbers))
            _to_disk(self._array)
            self._array.close()
            self._growing.replace(self._final)

    def forget(self) -> None:
        """Remove the journal, once ``dataset.json`` is written."""
        self._journal.close()
        with sentences(self.folder):
            (self.folder / JOURNAL).unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove array and journal, and the folder when nothing else is in it: there was nothing to keep."""
        self._array.close()
        self.forget()
        with sentences(self.folder):
            self._growing.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            self.folder.rmdir()

    def _settle(self) -> None:
        """Put the items on the disk, and only then the lines that tell of them."""
        _to_disk(self._array)
        # Taken out first: Ctrl-C in here must not make the last settling write them once more.
        lines, self._lines = self._lines, []
        self._journal.writelines(lines)
        _to_disk(self._journal)
        self._settled = time.monotonic()

    def _refuse_foreign(self) -> None:
        if (self.folder / JOURNAL).exists():
            return
        for name in (*OWN_FILES, self._final.name, self._growing.name):
            if (self.folder / name).exists():
                raise OutputError(f"{self.folder}: holds a file {name} already but no dataset; choose another --output")

    def _recall(self, key: str) -> None:
        """Read the journal as far as it is whole, of this key, and borne out by the array's size."""
        # Stopped between naming the array and writing dataset.json: it only needs its old name back.
        if self._final.exists() and not self._growing.exists() and not (self.folder / MANIFEST).exists():
            self._final.replace(self._growing)
        try:
            lines = (self.folder / JOURNAL).read_bytes().split(b"\n")[:-1]  # the last line was cut short unless empty
            room = self._growing.stat().st_size - len(_header(0, self.shape, self.numbers))
        except FileNotFoundError:
            return
        if not lines or lines[0] != msgspec.json.encode(key):
            return
        with contextlib.suppress(msgspec.DecodeError):
            for line in lines[1:]:
                record = msgspec.json.decode(line, type=Record)
                room -= record.stored * record.rows * self._row_bytes
                if room < 0:
                    break
                self.records.append(record)

    def _open(self, key: str) -> tuple[BinaryIO, BinaryIO]:
        head = _header(0, self.shape, self.numbers)
        lines = [msgspec.json.encode(key), *map(msgspec.json.encode, self.records)]
        write_atomically(self.folder / JOURNAL, b"\n".join(lines) + b"\n")
        with contextlib.ExitStack() as stack:
            array = stack.enter_context(self._growing.open("r+b" if self.records else "w+b"))
            array.write(head)
            array.truncate(len(head) + self.count * self._row_bytes)
            array.seek(0, os.SEEK_END)
            journal = stack.enter_context((self.folder / JOURNAL).open("ab"))
            stack.pop_all()
        return array, journal

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.numbers).itemsize


def _header(count: int, shape: tuple[int, ...], numbers: str) -> bytes:
    """The start of an .npy file; numpy leaves room for the first number to grow, so the length does not depend on it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": numbers, "fortran_order": False, "shape": (count, *shape)})
    return file.getvalue()


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
