"""Which network ``--model`` names: a run of artgen, a folder of transformers or torchvision, or a name on the Hub."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from artgen.errors import ModelError
from artgen.model import CONFIG, Foreign, Model, locate

BACKEND = "image.deepdream"
TAKEN = (BACKEND, "image.gan")
HUB_NAME = r"[\w.-]+/[\w.-]+"


def open_place(place: str) -> Model:
    """The model at ``place``.

    Raises:
        ModelError: there is none, or it is none that can be dreamed through.
    """
    path = Path(place)
    if not path.exists() and re.fullmatch(HUB_NAME, place):
        return _foreign(_fetched(place), place)
    folder = locate(place)
    facts = _facts(folder)
    if "model_type" in facts or "torchvision" in facts:
        return _foreign(folder, "")
    model = Model.open(folder)
    if model.backend not in TAKEN:
        raise ModelError(f"{place}: a model of {model.backend}; deepdream dreams through those of {' and '.join(TAKEN)}")
    return model


def _foreign(folder: Path, place: str) -> Model:
    facts = _facts(folder)
    if "torchvision" in facts:
        network = {"kind": "torchvision", "architecture": facts["torchvision"]}
    elif "model_type" in facts:
        network = {"kind": "transformers", "architecture": facts["model_type"]}
    else:
        raise ModelError(f"{place or folder}: its {CONFIG} names no network of transformers (model_type) or torchvision")
    return Foreign(folder, BACKEND, network=network, place=place)


def _facts(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: damaged ({error}); restore the file") from None
    return facts if isinstance(facts, dict) else {}


def _fetched(name: str) -> Path:
    """The folder of a model on the Hub, fetched where it is not there yet: safetensors and JSON alone, never code."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors"]))
    except LocalEntryNotFoundError:
        told = "no such folder, and the Hub cannot be reached; connect, or give a folder"
    except HFValidationError:
        told = "no such folder, and no name that the Hub could have"
    except HfHubHTTPError as error:
        told = f"no such folder, and the Hub says: {str(error).strip().splitlines()[-1]}"
    except OSError as error:
        told = f"no such folder, and the Hub cannot be reached ({error})"
    raise ModelError(f"{name}: {told}")
