"""Which backend and which model the arguments of a verb mean."""

from __future__ import annotations

import os
from typing import Any

from artgen import registry
from artgen.backend import Backend
from artgen.errors import ArtgenError, ModelError, UnusableBackendError, UsageError
from artgen.model import Model


def list_backends(modality: str | None = None) -> list[dict[str, Any]]:
    """Every installed backend with its verbs and summary; one that cannot be used has a ``reason`` instead."""
    if modality is not None:
        registry.backends(modality)  # an unknown modality is a mistake, not an empty list
    found = []
    for entry in registry.entries():
        if modality not in (None, entry.modality):
            continue
        facts: dict[str, Any] = {"name": entry.full_name, "package": entry.distribution, "version": entry.version}
        reason = entry.reason
        try:
            cls = registry.load(entry) if not reason else None
        except UnusableBackendError as error:
            cls, reason = None, str(error).partition(" cannot be used: ")[2] or str(error)
        facts["verbs"] = list(cls.verbs()) if cls else []
        facts["summary"] = cls.summary if cls else ""
        found.append({**facts, "source": cls.source if cls else "", "reason": reason, "notes": list(registry.notes(entry))})
    return found


def offering(modality: str, backend: str | None, verb: str) -> type[Backend]:
    """The class of a backend that implements ``verb``.

    Raises:
        UsageError: it does not; the message names the backends that do.
    """
    cls = registry.get(modality, backend)
    if verb in cls.verbs():
        return cls
    others = [found["name"] for found in list_backends(modality) if verb in found["verbs"]]
    hint = f"choose one that does with --backend: {', '.join(others)}" if others else f"no installed backend of {modality} does"
    raise UsageError(f"{cls.modality}.{cls.name} does not {verb} (it can: {', '.join(cls.verbs()) or 'nothing'}); {hint}")


def choose(
    modality: str, verb: str, *, model: str | os.PathLike[str] | Model | None, backend: str | None
) -> tuple[type[Backend], Model]:
    """The backend and the opened model that arguments ask for: a model brings its backend, a backend finds its model.

    Raises:
        ModelError: the model is missing, or of another modality.
        UsageError: ``backend`` cannot work with the model, or does not implement ``verb``.
    """
    if not isinstance(modality, str):
        given = type(modality).__name__
        raise UsageError(f'the modality comes first: artgen.{verb}("image", …), not {given}; a model is given as model=…')
    registry.backends(modality)
    if model is None:
        cls = offering(modality, backend, verb)
        return cls, cls.find_model(None)
    if backend is not None:
        cls = registry.get(modality, backend)
        opened = _fitting(cls, model) if isinstance(model, Model) else cls.find_model(os.fspath(model))
        return offering(modality, cls.name, verb), opened
    opened = model if isinstance(model, Model) else _opened(modality, os.fspath(model))
    if opened.modality != modality:
        raise ModelError(f"{opened.folder}: a model of {opened.backend}, not of {modality}; use artgen {opened.modality} {verb}")
    return offering(modality, opened.backend.partition(".")[2], verb), opened


def _fitting(cls: type[Backend], model: Model) -> Model:
    """``model`` where ``cls`` made it or takes models of others; only the class itself can tell the latter."""
    full = f"{cls.modality}.{cls.name}"
    if model.backend == full or _takes_foreign(cls):
        return model
    raise UsageError(f"--backend {cls.name}, but {model.folder} is a model of {model.backend}; leave --backend out")


def _opened(modality: str, place: str) -> Model:
    """A model by its place alone; what artgen did not write, the default backend of the modality may know."""
    try:
        return Model.open(place)
    except ModelError:
        try:
            cls = registry.get(modality)
            taken = cls.find_model(place) if _takes_foreign(cls) else None
        except ArtgenError:
            taken = None
        if taken is None:
            raise
        return taken


def _takes_foreign(cls: type[Backend]) -> bool:
    return getattr(cls.find_model, "__func__", None) is not getattr(Backend.find_model, "__func__", None)
