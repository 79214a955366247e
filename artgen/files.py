"""Writing files so that a crash, a full disk or a second run never costs what was good."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from artgen.errors import FullDiskError, OutputError, SourceError

_MANY = 20_000
"""Names in a folder up to which a mistyped one is compared with all."""


def typed(path: str | os.PathLike[str]) -> str:
    """``path`` as it has to be typed in a shell: in quotes where it has spaces and the like."""
    return shlex.quote(os.fspath(path))


@contextlib.contextmanager
def sentences(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn an ``OSError`` while writing ``path`` into one sentence for the user."""
    try:
        yield
    except OSError as error:
        raise _output_error(path, error.errno, error.strerror or str(error)) from None
    except Exception as error:
        # safetensors writes in Rust; its own kind of error tells of the disk in its text alone.
        found = re.search(r"\(os error (\d+)\)", str(error)) if type(error).__name__ == "SafetensorError" else None
        if not found:
            raise
        raise _output_error(path, int(found[1]), os.strerror(int(found[1]))) from None


def _output_error(path: str | os.PathLike[str], number: int | None, reason: str) -> OutputError:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return FullDiskError(path)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{path}: no permission to write there; choose another --output")
    if number in (errno.EEXIST, errno.ENOTDIR):
        return OutputError(f"{path}: a file is there, where a folder is to be; choose another --output")
    return OutputError(f"{path}: {reason}")


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object] | bytes) -> None:
    """Write a file under a temporary name beside ``path``, flush it to disk and rename it into place.

    ``write`` is the bytes, or a function that writes to the path it is given. The old file stays until the new one is whole.

    Raises:
        OutputError: no space, no permission or another fault of the disk; ``path`` is then as it was.
    """
    path = Path(path)
    with sentences(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The ending is kept: encoders choose the format by it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix=path.suffix)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                if isinstance(write, bytes):
                    file.write(write)
            if not isinstance(write, bytes):
                write(temporary)
            flush(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        flush(path.parent)


def flush(path: Path) -> None:
    """Ask the operating system to put a file (or a folder's list of names) on the disk now."""
    if os.name == "nt" and path.is_dir():  # Windows cannot open a folder
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def free_name(path: str | os.PathLike[str]) -> Path:
    """``path`` where nothing has that name yet, else ``name-2``, ``name-3`` …: nothing is overwritten."""
    path = Path(path)
    if not os.path.lexists(path):  # a link to nothing is a name too
        return path
    number = 2
    while os.path.lexists(other := path.with_name(f"{path.stem}-{number}{path.suffix}")):
        number += 1
    return other


def present(path: Path) -> None:
    """Make sure that there is a file at ``path``.

    Raises:
        SourceError: there is none; the message names the one that is probably meant.
    """
    if path.is_dir():
        raise SourceError(f"{path}: a folder, not a work; give the files in it, for example {path / '*'}")
    if not path.is_file():
        raise SourceError(f"{path}: no such file{similar(path)}")


def similar(path: str | os.PathLike[str]) -> str:
    """``; did you mean X?`` for a file or folder that is there and named much like ``path``, which is not; or nothing."""
    import difflib

    missing = Path(path)
    rest: list[str] = []
    while not missing.parent.exists() and missing != missing.parent:
        rest.insert(0, missing.name)
        missing = missing.parent
    try:
        names = [each.name for each in os.scandir(missing.parent)]
    except OSError:
        return ""
    close = difflib.get_close_matches(missing.name, names, n=1, cutoff=0.7) if len(names) <= _MANY else []
    if not close:
        return ""
    found = missing.with_name(close[0])
    whole = found.joinpath(*rest)
    return f"; did you mean {whole if whole.exists() else found}?"


def _umask() -> int:
    # There is no way to read the mask but to set it; mkstemp alone would leave files that only their owner reads.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_folder() -> Path:
    """Where artgen keeps what belongs to no dataset: ``$ARTGEN_HOME``, ``$XDG_CACHE_HOME/artgen`` or ``~/.cache/artgen``."""
    if home := os.environ.get("ARTGEN_HOME"):
        return Path(home)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "artgen"


def config_folder() -> Path:
    """The user's folder for artgen's settings, by the rules of the platform; ``ARTGEN_CONFIG`` names another."""
    if own := os.environ.get("ARTGEN_CONFIG"):
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "artgen"
    if os.name == "nt":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "artgen"
    config = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG rules: a path that is not absolute is to be ignored.
    return (Path(config) if config.startswith("/") else Path.home() / ".config") / "artgen"
