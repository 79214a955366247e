"""Which model a place names: one that artgen trained, a folder in Hugging Face layout, or a name on the Hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artgen import hub
from artgen.errors import ModelError
from artgen.model import CONFIG, Model


def find(place: str, backend: str) -> Model:
    """The model of ``backend`` at ``place``, known but not loaded.

    Raises:
        ModelError: there is none, its weights are pickles, it needs code of its own, or it is of another backend.
    """
    own = _own(Path(place))
    if own is not None:
        model = Model.open(own)
        if model.backend != backend:
            raise ModelError(f"{place}: a model of {model.backend}, not of {backend}; use the verbs of that backend")
        return model
    found = hub.find(place, backend)
    found.refuse_code(found.json(CONFIG), known_types())
    found.choose(variants=())
    return found


def none_given(backend: str, example: str) -> ModelError:
    """What is said where no model was given and none comes along."""
    return ModelError(f"{backend} brings no model; give --model with a folder or a name on the Hub, such as {example}")


def kind(model: Model) -> str:
    """What the configuration calls the architecture of a model of another program: ``llama``, ``musicgen``."""
    return str(facts(model).get("model_type", ""))


def facts(model: Model) -> dict[str, Any]:
    """The content of ``config.json``."""
    if isinstance(model, hub.HubModel):
        return model.json(CONFIG)
    return _read(model.folder / CONFIG)


def require_kind(model: Model, known: Mapping[str, str], what: str) -> None:
    """Hold the model to be of one of the ``known`` architectures, which together are ``what``.

    Raises:
        ModelError: it is of another.
    """
    if (found := kind(model)) not in known:
        named = f"of the kind {found}" if found else "of no kind that its config.json names (model_type)"
        raise ModelError(f"{model.place or model.folder}: a model {named}, which is no {what}; choose another model")


def known_types() -> frozenset[str]:
    """The architectures that transformers itself brings code for."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    return frozenset(CONFIG_MAPPING_NAMES)


def _own(path: Path) -> Path | None:
    """The folder of a model that artgen wrote: ``path`` itself, or the best one of a run."""
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file() and "backend" in _read(folder / CONFIG):
            return folder
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: damaged ({error}); restore the file") from None
    return found if isinstance(found, dict) else {}
