"""Which pipeline ``--model`` names, judged by its files before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from artgen.errors import ModelError
from artgen.hub import HubModel, find
from artgen.model import CONFIG, Model

INDEX = "model_index.json"
LIBRARIES = ("onnxruntime", "flax", "openvino")  # other builds of the same pipelines, which do not run here


def open_place(place: str | None, backend: str, example: str) -> Model:
    """The pipeline at ``place`` (a folder, or a name on the Hub), or what artgen trained there, for ``backend``.

    Raises:
        ModelError: there is none, or it is of another kind, a pickle, or needs code of its own.
    """
    if place is None:
        raise ModelError(f"--model must be given: a folder with a pipeline of diffusers, or a name on the Hub such as {example}")
    if trained(place):
        model = Model.open(place)
        if model.backend != backend:
            raise ModelError(
                f"--backend {backend.partition('.')[2]}, but {place} is a model of {model.backend}; leave --backend out"
            )
        return model
    return pipeline_at(place, backend)


def pipeline_at(place: str, backend: str) -> HubModel:
    """The pipeline of diffusers at ``place``, with the files that it needs chosen.

    Raises:
        ModelError: see :func:`open_place`.
    """
    model = find(place, backend)
    index = model.json(INDEX)
    if not index:
        raise ModelError(f"{place}: no pipeline of diffusers (no {INDEX}); give a model whose page says diffusers")
    parts = components(index)
    _refuse_code(model, index, parts)
    model.choose(tuple(parts), also=(INDEX,))
    model.config.network.update({"kind": "pipeline", "class": _class_name(index)})
    model.provenance["pipeline"] = _class_name(index)
    return model


def components(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The parts of a pipeline that lie in folders of their own, by name, with library and class."""
    found = {}
    for name, value in index.items():
        if not name.startswith("_") and isinstance(value, list) and len(value) == 2 and all(value):
            found[name] = (str(value[0]), str(value[1]))
    return found


def trained(place: str) -> bool:
    """Whether ``place`` is a model or a run that artgen wrote."""
    for folder in (Path(place), Path(place) / "model"):
        path = folder / CONFIG
        if path.is_file():
            try:
                return "artgen" in json.loads(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                return False
    return False


def _class_name(index: dict[str, Any]) -> str:
    name = index.get("_class_name")
    return str(name[-1]) if isinstance(name, list) else str(name)


def _refuse_code(model: HubModel, index: dict[str, Any], parts: dict[str, tuple[str, str]]) -> None:
    """Refuse a pipeline whose class, or a part of which, is code that comes with it.

    Raises:
        ModelError: it would have to be run.
    """
    own = isinstance(index.get("_class_name"), list)
    for name, (library, _) in parts.items():
        own = own or f"{name}/{library}.py" in model.files or f"{library}.py" in model.files
        if library in LIBRARIES:
            raise ModelError(f"{model.repository or model.folder}: made for {library}; give the one for PyTorch")
        if library == "diffusers":  # transformers knows most kinds whose files still name code of their own
            own = own or "auto_map" in model.json(f"{name}/{CONFIG}")
    if own:
        model.refuse_code({"auto_map": True})
