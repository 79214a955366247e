"""Watching what a backend does while it works: network, files, pickles, CUDA.

An audit hook of Python sees sockets, files that are opened for writing, and unpickled names in this process, also where a
library does it. Worker processes and C code that opens files by itself are not seen; what they leave behind is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg")
_CHANGING = {"os.mkdir": 0, "os.rename": 1, "os.symlink": 1, "os.link": 1, "os.remove": 0, "os.rmdir": 0, "os.truncate": 0}
_PASSING_ON = ("multiprocessing", "concurrent", "numba")  # pickle between a program's own processes and caches is no format


@dataclass
class Watch:
    """What was seen: addresses asked for, paths written to, names unpickled (or functions of torch that pickle), uses of CUDA."""

    addresses: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    unpickled: list[str] = field(default_factory=list)
    cuda: list[str] = field(default_factory=list)


_active: list[Watch] = []
_installed = False


@contextmanager
def watching() -> Iterator[Watch]:
    """Record what happens inside, and refuse network and CUDA there."""
    global _installed
    if not _installed:
        sys.addaudithook(_hook)  # for good: Python has no way to take one out
        _installed = True
    watch = Watch()
    with _torch_watched(watch):
        _active.append(watch)
        try:
            yield watch
        finally:
            _active.remove(watch)


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if not _active:
        return
    watch = _active[-1]
    if event == "open":
        path, mode, flags = args
        if isinstance(path, (str, bytes)) and _for_writing(mode, flags):
            _note(watch, path)
    elif event in _NETWORK:
        address = args[0] if event in ("socket.getaddrinfo", "socket.gethostbyname") else args[1]
        if isinstance(address, (str, bytes)) and event not in ("socket.getaddrinfo", "socket.gethostbyname"):
            return  # a socket in the file system, between processes of one machine
        watch.addresses.append(":".join(str(part) for part in args[:2]) if event == "socket.getaddrinfo" else str(address))
        raise ConnectionRefusedError("the conformance kit allows no network")
    elif event in _CHANGING and not _relative_to_open_folder(event, args):
        _note(watch, args[_CHANGING[event]])
    elif event == "pickle.find_class" and not _passing_on():
        watch.unpickled.append(f"{args[0]}.{args[1]}")


def _relative_to_open_folder(event: str, args: tuple[Any, ...]) -> bool:
    """Whether the path hangs on an open folder (as in ``shutil.rmtree``), so that it says nothing about the working folder."""
    return event != "os.truncate" and isinstance(args[-1], int) and args[-1] >= 0


def _for_writing(mode: object, flags: object) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & _WRITING)


def _note(watch: Watch, path: object) -> None:
    if not isinstance(path, (str, bytes, os.PathLike)):
        return  # a number of an open file
    place = Path(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - resolve() would follow links, and open files
    if "__pycache__" not in place.parts and place.suffix != ".pyc" and place.parts[1:2] not in (("dev",), ("proc",)):
        watch.written.append(place)


def _passing_on() -> bool:
    frame: Any = sys._getframe(1)
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _PASSING_ON:
            return True
        frame = frame.f_back
    return False


@contextmanager
def _torch_watched(watch: Watch) -> Iterator[None]:
    """Replace the functions of torch that start CUDA and that read and write pickles by ones that are seen."""
    import torch

    def no_cuda() -> None:
        watch.cuda.append("CUDA")
        raise RuntimeError("the conformance kit allows no CUDA: the model's device is the CPU")

    def seen(name: str, original: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            watch.unpickled.append(f"torch.{name}")
            return original(*args, **kwargs)

        return call

    kept: list[tuple[Any, str, Any]] = [(torch.cuda, "_lazy_init", torch.cuda._lazy_init)]
    kept += [(torch, name, getattr(torch, name)) for name in ("load", "save")]
    try:
        setattr(torch.cuda, "_lazy_init", no_cuda)  # noqa: B010 - a private name that mypy does not let us assign
        for module, name, original in kept[1:]:
            setattr(module, name, seen(name, original))
        yield
    finally:
        for module, name, original in kept:
            setattr(module, name, original)
