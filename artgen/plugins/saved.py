"""The list of plugins that the user installed, in the user's folder for settings; an upgrade of artgen's environment keeps it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from artgen.discovery import normal
from artgen.errors import SourceError
from artgen.files import config_folder, write_atomically


class Saved(msgspec.Struct, frozen=True):
    """One installed plugin: ``requirement`` is what was typed (a folder or file as a full path), ``distribution`` the package."""

    distribution: str
    requirement: str


class _List(msgspec.Struct, frozen=True):
    plugins: list[Saved] = []


def list_file() -> Path:
    """Where the list is."""
    return config_folder() / "plugins.json"


def read() -> list[Saved]:
    """The list; empty where there is none.

    Raises:
        SourceError: the file is damaged.
    """
    path = list_file()
    try:
        return msgspec.json.decode(path.read_bytes(), type=_List).plugins
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        raise SourceError(f"{path}: damaged ({error}); remove the file and install the plugins again") from None


def add(new: list[Saved]) -> None:
    """Put ``new`` on the list; a package that is on it gets its new requirement.

    Raises:
        OutputError: the list cannot be written.
    """
    names = {normal(item.distribution) for item in new}
    _write([*(item for item in read() if normal(item.distribution) not in names), *new])


def drop(names: list[str]) -> None:
    """Take packages off the list.

    Raises:
        OutputError: the list cannot be written.
    """
    gone = {normal(name) for name in names}
    before = read()
    kept = [item for item in before if normal(item.distribution) not in gone]
    if kept != before:
        _write(kept)


def _write(items: list[Saved]) -> None:
    ordered = _List(sorted(items, key=lambda item: normal(item.distribution)))
    write_atomically(list_file(), msgspec.json.format(msgspec.json.encode(ordered), indent=1) + b"\n")
