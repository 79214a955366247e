"""How an artwork was made, as JSON that travels inside the file.

The same text goes into PNG, JPEG, WebP, GIF, MP4, WAV, FLAC or a sidecar; :mod:`artgen.media` knows where.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import Any, Literal

import msgspec

from artgen.errors import SourceError
from artgen.files import similar

KEY = "artgen:recipe"
"""The name under which the recipe stands in a file's metadata."""

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
"""IPTC digital source types: wholly made by a model, and a human work changed by one."""

Detail = Literal["full", "minimal", "none"]


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A file that went into a work: the option it came through (``input`` for the work itself), name and hash."""

    role: str
    name: str
    sha256: str
    path: str = ""


class Recipe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything needed to make a work again.

    ``seeds`` are the seeds of the works in the file (one, unless it is a grid or a walk); ``layout`` says how
    several works were put into one file. There is no time of day in it: the same work has the same bytes.
    """

    artgen: str
    verb: str
    backend: str
    seeds: tuple[int, ...] = ()
    model: dict[str, str] = {}
    options: dict[str, Any] = {}
    inputs: tuple[Input, ...] = ()
    layout: str = ""
    licence: str = ""
    environment: dict[str, str] = {}
    mark: str = GENERATED

    def to_json(self, detail: Detail = "full") -> str:
        """The recipe as one line of JSON with sorted keys; it always has the key ``mark``.

        ``minimal`` tells only that artgen made it, with which backend and mark; ``none`` only the mark.
        """
        if detail == "none":
            return msgspec.json.encode({"mark": self.mark}, order="sorted").decode()
        if detail == "minimal":
            told = {"artgen": self.artgen, "verb": self.verb, "backend": self.backend, "mark": self.mark}
            return msgspec.json.encode(told, order="sorted").decode()
        told = {**msgspec.to_builtins(self), "mark": self.mark}  # a clip has no other place for the mark
        return msgspec.json.encode(_speakable(told), order="sorted").decode()

    @property
    def modality(self) -> str:
        """The part of the backend's name before the dot."""
        return self.backend.partition(".")[0]


def read_json(text: str) -> Recipe | None:
    """The recipe that ``text`` holds, or None where it holds only the mark (``--recipe none|minimal``) or is no recipe."""
    try:
        recipe = msgspec.json.decode(text.encode(), type=Recipe)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return recipe if recipe.seeds or recipe.model else None


def _speakable(value: Any) -> Any:
    """``value`` with ``?`` for what UTF-8 cannot say: names of files on Linux may hold any bytes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_speakable(name): _speakable(inner) for name, inner in value.items()}
    return [_speakable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def environment() -> dict[str, str]:
    """The versions and hardware facts that decide whether bits repeat."""
    from importlib.metadata import version

    facts = {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
    facts["torch"] = version("torch")
    return facts


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file's bytes, in hexadecimal.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        hint = similar(path) if isinstance(error, FileNotFoundError) else ""
        raise SourceError(f"{path}: {error.strerror or error}{hint}") from None
