"""Filling an array from many sources: a bar that begins where a stopped prepare was, equal items once, Ctrl-C as a sentence."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from artgen.backend import Progress
from artgen.errors import Interrupted
from artgen.files import sentences
from artgen.media.archives import Source
from artgen.media.partial import Partial, Record

_SCRATCH = ".tmp-prepare-"


@contextlib.contextmanager
def stoppable(partial: Partial, total: int, unit: str = "files") -> Iterator[None]:
    """Say how far it came when Ctrl-C is pressed.

    Raises:
        Interrupted: in place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        done = f"stopped after {len(partial.records)} of {total} {unit}"
        raise Interrupted(f"{done}; the same command again goes on from there") from None


@contextlib.contextmanager
def bar(partial: Partial, title: str, total: int, progress: Progress, unit: str = "files") -> Iterator[None]:
    """A bar over ``total`` sources, of which those that the journal of ``partial`` tells of are done already."""
    done = len(partial.records)
    progress.start(title, total, unit)
    if done:
        progress.say(f"going on after {done} of {total} {unit}")
        progress.advance(done)
    try:
        yield
    finally:
        progress.finish()


class Firsts:
    """The source in which each item came first; with ``keep`` later ones that are equal to it are taken all the same."""

    def __init__(self, partial: Partial, sources: Sequence[Source], *, keep: bool) -> None:
        self._keep = keep
        self._names: dict[str, str] = {}
        for source, record in zip(sources, partial.records, strict=False):
            if record.stored:
                self._names.setdefault(record.digest, source.name)

    def judged(self, name: str, record: Record) -> Record:
        """The ``record`` of the source ``name`` as it is, or one that tells which source it is a duplicate of."""
        if not record.stored or self._keep:
            return record
        if record.digest in self._names:
            return Record(False, record.digest, f"duplicate of {self._names[record.digest]}")
        self._names[record.digest] = name
        return record


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder for the workers, inside ``folder`` so that it is on the same disk; those of a killed prepare are removed."""
    with sentences(folder):
        for old in folder.glob(f"{_SCRATCH}*"):
            shutil.rmtree(old, ignore_errors=True)
        place = Path(tempfile.mkdtemp(dir=folder, prefix=_SCRATCH))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
