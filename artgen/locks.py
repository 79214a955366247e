"""One program at a time: a lock on an output folder that ends with its process, however that ends."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from artgen.errors import OutputError

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_FAR = 2**30  # Windows lets nobody read a locked byte: this one lies beyond all that is written
_ours: dict[Path, str] = {}  # the system's locks are of a process, so two threads would both get one
_guard = threading.Lock()


@contextlib.contextmanager
def alone(folder: str | os.PathLike[str], doing: str) -> Iterator[None]:
    """Keep other processes and threads from writing into ``folder``, which need not be there yet; ``doing`` is for the sentence.

    The lock is of the operating system, on a hidden file beside the folder: a process that is killed holds nothing. Where the
    file cannot be written or the disk knows no locks (some network folders), nothing is locked and nothing is said.

    Raises:
        OutputError: another process or thread holds it.
    """
    place = Path(os.path.realpath(folder))
    with _guard:
        if place in _ours:
            raise _taken(folder, f"this program is {_ours[place]}")
        _ours[place] = doing
    handle: int | None = None
    made: list[Path] = []
    path = place.parent / f".{place.name}.lock"
    try:
        with contextlib.suppress(OSError):  # what cannot be written is told by what has to write there
            made = _parents(place.parent)
            handle = _lock(path, folder, doing)
        yield
    finally:
        if handle is not None:
            _release(handle, path)
        for empty in made:
            with contextlib.suppress(OSError):  # not empty
                empty.rmdir()
        with _guard:
            del _ours[place]


def _parents(folder: Path) -> list[Path]:
    """Make ``folder``; returns what was not there before, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _lock(path: Path, folder: str | os.PathLike[str], doing: str) -> int | None:
    """The open and locked file at ``path``; None where the disk knows no locks."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _take(handle)
        except OSError as error:
            os.lseek(handle, 0, os.SEEK_SET)
            who = os.read(handle, 100).decode(errors="replace")
            os.close(handle)
            if error.errno in _HELD:
                raise _taken(folder, who or "another process is at work") from None
            path.unlink(missing_ok=True)
            return None
        # Whoever held it before may have removed the file between our opening and our locking: then it locks nothing.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                os.ftruncate(handle, 0)
                os.write(handle, f"process {os.getpid()} is {doing}".encode())
                return handle
        os.close(handle)


def _take(handle: int) -> None:
    if os.name == "nt":
        import msvcrt

        os.lseek(handle, _FAR, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # on Windows alone
        os.lseek(handle, 0, os.SEEK_SET)
    else:
        import fcntl

        # Not flock: a child process would inherit that, and hold it when this one is dead.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _release(handle: int, path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()  # while it is held, so that nobody else's is removed
    os.close(handle)
    if os.name == "nt":  # which removes no file that is open, and so not one that another has opened since
        with contextlib.suppress(OSError):
            path.unlink()


def _taken(folder: str | os.PathLike[str], who: str) -> OutputError:
    return OutputError(f"{folder}: {who} there; wait until it is done, or choose another --output")
