"""Files on disk and inside zip and tar archives, read in place: nothing is ever unpacked to disk.

A :class:`Source` says where the bytes are; a :class:`Reader` fetches them and keeps the archives used last open.
Archives come from strangers, so sizes are checked before anything is read.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, cast

from artgen.errors import SourceError

FILE_LIMIT = 512 * 2**20
"""Bytes of the largest file that is read from an archive or into memory."""

TOTAL_LIMIT = 2**30
"""Bytes that an archive may always unpack to; beyond it the ratio counts."""

RATIO_LIMIT = 200
"""How many times its own size an archive may unpack to: media are compressed already, only a bomb is beyond it."""

ZIP_SUFFIXES = (".zip", ".cbz")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".cbt")
FOREIGN_SUFFIXES = (".rar", ".cbr", ".7z", ".tar.zst", ".tzst", ".tar.lz4", ".gz", ".bz2", ".xz", ".zst")

# Any: each opener has other overloads.
_OPENERS: tuple[tuple[bytes, Callable[..., Any]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\x00", lzma.open),
)
_DAMAGE = (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, KeyError)
_DAMAGE_OF_FORMAT = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, slots=True)
class Source:
    """Where the bytes of one file are; light enough to be sent to another process.

    ``name`` is for people. ``container`` is the file on disk; ``member`` the name inside it when it is an archive.
    ``offset`` counts the bytes of the unpacked tar before the file (-1 elsewhere). ``stamp`` is the time of the last
    change of a plain file in nanoseconds.
    """

    name: str
    container: str
    member: str = ""
    size: int = 0
    offset: int = -1
    stamp: int = 0

    @property
    def path(self) -> Path | None:
        """The file itself where it is one on disk, None inside an archive."""
        return None if self.member else Path(self.container)

    def read(self) -> bytes:
        """All bytes of this one file; for many files of an archive use one :class:`Reader`.

        Raises:
            SourceError: it is gone, damaged, encrypted or larger than ``FILE_LIMIT``.
        """
        with Reader() as reader:
            return reader.read(self)


class Reader:
    """Reads sources and keeps the ``keep`` archives used last open, because opening one costs more than a read.

    In a compressed tar going back means unpacking it from the start: read its sources in their order.
    """

    def __init__(self, keep: int = 4) -> None:
        self._keep = keep
        self._open: OrderedDict[str, zipfile.ZipFile | IO[bytes]] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the archives; the reader can be used again."""
        while self._open:
            self._open.popitem()[1].close()

    def read(self, source: Source) -> bytes:
        """All bytes of ``source``.

        Raises:
            SourceError: it is gone, damaged, encrypted or larger than ``FILE_LIMIT``.
        """
        if source.size > FILE_LIMIT:
            raise SourceError(f"{source.name}: too large: {source.size / 2**20:.0f} MB, at most {FILE_LIMIT // 2**20} are read")
        try:
            data = self._bytes(source)
        except (*_DAMAGE, *_DAMAGE_OF_FORMAT) as error:
            if "encrypted" in str(error):
                raise SourceError(f"{source.name}: encrypted; unpack the archive with its password first") from None
            raise SourceError(f"{source.name}: cannot be read ({_why(error)})") from None
        if source.member and len(data) != source.size:
            raise SourceError(f"{source.name}: cut short: {len(data)} of {source.size} bytes")
        return data

    def _bytes(self, source: Source) -> bytes:
        if source.path:
            with source.path.open("rb") as file:
                return file.read(FILE_LIMIT + 1)
        archive = self._archive(source)
        if isinstance(archive, zipfile.ZipFile):
            with archive.open(source.member) as file:
                return file.read(source.size + 1)
        archive.seek(source.offset)
        return archive.read(source.size)

    def _archive(self, source: Source) -> zipfile.ZipFile | IO[bytes]:
        if source.container not in self._open:
            path = Path(source.container)
            opened = zipfile.ZipFile(path) if source.offset < 0 else open_unpacked(path)
            self._open[source.container] = opened
            while len(self._open) > self._keep:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(source.container)
        return self._open[source.container]


def archive_kind(path: str | Path) -> str:
    """``zip`` or ``tar`` by the ending of the name, ``foreign`` for archives that cannot be read in place, else nothing."""
    name = str(path).lower()
    for kind, suffixes in (("zip", ZIP_SUFFIXES), ("tar", TAR_SUFFIXES), ("foreign", FOREIGN_SUFFIXES)):
        if name.endswith(suffixes):
            return kind
    return ""


def list_archive(path: Path) -> list[tuple[str, Source]]:
    """The files in the zip or tar archive ``path``, in its own order, each with its name inside.

    Raises:
        SourceError: it is no such archive, damaged, or unpacks to so much that it must be a bomb.
    """
    kind = archive_kind(path)
    if kind == "foreign":
        raise SourceError(f"{path}: archives of this kind are not read; unpack it, or pack it again as .zip or .tar.gz")
    members = _zip_members(path) if kind == "zip" else _tar_members(path)
    packed, total, found = path.stat().st_size, 0, []
    try:
        for name, source in members:
            total += source.size
            if total > max(TOTAL_LIMIT, RATIO_LIMIT * packed):
                raise SourceError(
                    f"{path}: unpacks to more than {total / 2**20:.0f} MB from {packed / 2**20:.1f} MB, which no honest archive of "
                    "pictures or sounds does; unpack it yourself if you trust it"
                )
            found.append((name, source))
    except (*_DAMAGE, *_DAMAGE_OF_FORMAT) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path}: the archive cannot be read ({_why(error)}); download or pack it again") from None
    return found


def compressed_tar(path: Path) -> bool:
    """Whether ``path`` is a tar that can only be read from its start."""
    return archive_kind(path) == "tar" and _opener(path) is not None


def open_unpacked(path: Path) -> IO[bytes]:
    """The bytes of the tar ``path`` without its compression, as a stream that can seek."""
    opener = _opener(path)
    return cast("IO[bytes]", opener(path, "rb")) if opener else path.open("rb")


def printable(name: str) -> str:
    """``name`` with the bytes that are no UTF-8 replaced, so that it can be written to JSON."""
    return os.fsencode(name).decode("utf-8", "replace")


def _opener(path: Path) -> Callable[..., Any] | None:
    with path.open("rb") as file:
        head = file.read(6)
    return next((opener for magic, opener in _OPENERS if head.startswith(magic)), None)


def _zip_members(path: Path) -> Iterator[tuple[str, Source]]:
    with zipfile.ZipFile(path) as archive:
        for info in {info.filename: info for info in archive.infolist()}.values():
            if not info.is_dir():
                inside = printable(info.filename.replace("\\", "/"))
                yield inside, Source(f"{path.name}/{inside}", str(path), info.filename, info.file_size)


def _tar_members(path: Path) -> Iterator[tuple[str, Source]]:
    with open_unpacked(path) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
        while info := archive.next():
            # Links name bytes that are in the archive once more already; a sparse file's bytes are not in one piece.
            if info.isreg() and not info.issparse():
                inside = printable(info.name.removeprefix("./"))
                yield inside, Source(f"{path.name}/{inside}", str(path), info.name, info.size, info.offset_data)
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep all headers in memory


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
