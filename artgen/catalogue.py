"""Which models there are: those that come with artgen and its plugins, and the user's own runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from artgen import registry
from artgen.api import generate
from artgen.artwork import Artwork
from artgen.backend import SILENT, Progress
from artgen.errors import ArtgenError, SourceError
from artgen.files import similar, typed
from artgen.model import CONFIG, STARTERS, WEIGHTS, Model, brought, starters
from artgen.options import nearest
from artgen.plan import RUN_CONFIG

RUNS = "runs"
_DEPTH = 3
"""Folders below a place that are looked through."""


@dataclass(frozen=True)
class Listed:
    """One model: ``place`` is what ``--model`` takes; ``reason`` says why it cannot be used, or is empty.

    ``origin`` is ``starter`` (part of artgen), ``plugin`` (comes with a backend of one), ``run`` or ``folder``.
    """

    name: str
    place: str
    origin: Literal["starter", "plugin", "run", "folder"]
    backend: str = ""
    bytes: int = 0
    data: str = ""
    licence: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    @property
    def next(self) -> str:
        """The line to type for a sample."""
        modality, _, name = self.backend.partition(".")
        if self.origin == "plugin":
            return f"artgen {modality} generate --backend {name} --model {typed(self.place)} --seed 7"
        return f"artgen {modality} generate --model {typed(self.place)} --seed 7"

    def asdict(self) -> dict[str, Any]:
        """The facts as plain values."""
        return {**asdict(self), "next": self.next if not self.reason else ""}


def list_models(places: Sequence[str | os.PathLike[str]] = ()) -> list[Listed]:
    """Starters first, then the models that plugins bring, then those below ``runs`` and ``places``.

    Raises:
        SourceError: one of ``places`` is not there.
    """
    found = [_listed(Path(STARTERS / name), name, "starter") for name in starters()]
    found += [_listed(folder, folder.name, "plugin") for folder in _of_plugins()]
    for place in [RUNS, *places] if Path(RUNS).is_dir() else places:
        if not Path(place).exists():
            raise SourceError(f"{place}: no such folder{_hint(place)}")
        found += [_listed(folder, str(folder), origin) for folder, origin in _below(Path(place), _DEPTH)]
    return list({each.place if each.origin != "plugin" else f"{each.backend} {each.place}": each for each in found}.values())


def _hint(place: str | os.PathLike[str]) -> str:
    name = os.fspath(place)
    if name in starters():
        return f"; {name} is a starter, which artgen models lists alone and artgen show {name} describes"
    return similar(place) or nearest(name, starters()) or "; give one that holds models or runs"


def sample(model: Listed, seed: int = 7, progress: Progress = SILENT) -> Artwork:
    """One work of a listed model.

    Raises:
        ArtgenError: the model cannot be used, or its backend needs more than a seed.
    """
    if model.reason:
        raise SourceError(f"{model.place}: {model.reason}")
    modality, _, name = model.backend.partition(".")
    return generate(modality, model=model.place, backend=name, seed=seed, progress=progress)[0]


def _of_plugins() -> Iterator[Path]:
    for entry in registry.entries():
        if entry.built_in or entry.reason:
            continue
        try:
            yield from brought(registry.load(entry))
        except ArtgenError:  # artgen plugin list tells of it
            continue


def _below(place: Path, depth: int) -> Iterator[tuple[Path, Literal["run", "folder"]]]:
    """Every run and model folder at ``place`` or below it; what is inside one is part of it."""
    if (place / RUN_CONFIG).is_file():
        yield place, "run"
    elif (place / CONFIG).is_file():
        yield place, "folder"
    elif depth and place.is_dir():
        try:
            inner = sorted(each for each in place.iterdir() if each.is_dir() and not each.name.startswith("."))
        except OSError:
            return
        for folder in inner:
            yield from _below(folder, depth - 1)


def _listed(folder: Path, place: str, origin: Literal["starter", "plugin", "run", "folder"]) -> Listed:
    try:
        model = Model.open(folder)
    except ArtgenError as error:
        started = origin == "run" and not (folder / "model").exists()
        reason = (
            f"no model yet; go on with artgen {_modality(folder)} train --resume --output {typed(folder)}"
            if started
            else str(error)
        )
        return Listed(folder.name, place, origin, reason=reason)
    config = model.config
    licence = config.licence or "; ".join(config.data.get("licences", []))
    size = (model.folder / WEIGHTS).stat().st_size
    return Listed(model.name, place, origin, config.backend, size, _data(config.data), licence, config.scores)


def _data(data: dict[str, Any]) -> str:
    sources = ", ".join(data.get("sources", []))
    count = data.get("count")
    return f"{count} items" + (f": {sources}" if sources else "") if count else sources


def _modality(run: Path) -> str:
    import tomllib

    try:
        return str(tomllib.loads((run / RUN_CONFIG).read_text(encoding="utf-8")).get("backend", "image")).partition(".")[0]
    except (OSError, ValueError):
        return "image"
