"""The state of a run on disk: everything a resume needs, in safetensors and JSON, whole or not at all.

A state is a folder ``state/<step>`` that is written under a temporary name, flushed and renamed; two generations are kept.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from artgen.errors import TrainingError
from artgen.files import flush, sentences

TENSORS = "tensors.safetensors"
VALUES = "state.json"
_KEPT = 2


def save_state(folder: Path, step: int, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Write the state of ``step`` below ``folder`` and drop all but the two newest.

    Raises:
        OutputError: the disk is full or not writable; the states before are as they were.
    """
    with sentences(folder):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".tmp-"))
        try:
            kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(_apart(kept), temporary / TENSORS)
            digest = hashlib.sha256((temporary / TENSORS).read_bytes()).hexdigest()
            (temporary / VALUES).write_bytes(msgspec.json.encode({**values, "sha256": digest}))
            flush(temporary / TENSORS)
            flush(temporary / VALUES)
            flush(temporary)
            place = folder / f"{step:010d}"
            if place.exists():
                shutil.rmtree(place)
            temporary.rename(place)
            flush(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for old in generations(folder)[:-_KEPT]:
            shutil.rmtree(old)
        for leftover in folder.glob(".tmp-*"):  # of a process that was killed while it saved
            shutil.rmtree(leftover, ignore_errors=True)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest whole state below ``folder``, or None where there is none.

    Raises:
        TrainingError: there are states, but all of them are damaged.
    """
    found = generations(folder)
    for place in reversed(found):
        try:
            data = (place / TENSORS).read_bytes()
            values = msgspec.json.decode((place / VALUES).read_bytes())
            if hashlib.sha256(data).hexdigest() == values["sha256"]:
                return load_file(place / TENSORS), values
        except (OSError, msgspec.DecodeError, SafetensorError, KeyError):
            continue
    if found:
        raise TrainingError(f"{folder}: every saved state is damaged; start a new run, or restore the folder from a copy")
    return None


def generations(folder: Path) -> list[Path]:
    """The saved states below ``folder``, oldest first."""
    return sorted(place for place in folder.glob("[0-9]*") if (place / VALUES).is_file())


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that share memory as copies: safetensors refuses to store the same bytes twice."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        place = tensor.data_ptr()
        result[name] = tensor.clone() if place in seen and tensor.numel() else tensor
        seen.add(place)
    return result


def capability(device: torch.device) -> dict[str, Any]:
    """What decides the last bits on this machine; a resume elsewhere says that it may differ."""
    return {
        "torch": str(torch.__version__),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
