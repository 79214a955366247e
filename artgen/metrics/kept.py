"""Small trained networks that are kept beside the data they belong to: weights and facts, written whole, known by their hash."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from torch import nn

from artgen.dataset import fingerprint
from artgen.errors import OutputError
from artgen.files import flush, write_atomically

WEIGHTS = "model.safetensors"
FACTS = "extractor.json"


class _Facts(Protocol):
    @property
    def version(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def sha256(self) -> str: ...


Facts = TypeVar("Facts", bound=_Facts)
Module = TypeVar("Module", bound=nn.Module)


def digest(network: nn.Module) -> str:
    """A hash of all weights and buffers."""
    return fingerprint(*(tensor.contiguous().numpy().tobytes() for tensor in network.state_dict().values()))


def opened(
    folder: Path, kind: type[Facts], build: Callable[[Facts], Module], *, version: int, mark: str
) -> tuple[Module, Facts] | None:
    """The network in ``folder`` and what is told of it; None when it is of another version or other data, or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        facts = msgspec.json.decode((folder / FACTS).read_bytes(), type=kind)
        if facts.version != version or facts.fingerprint != mark:
            return None
        network = build(facts)
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, msgspec.DecodeError, SafetensorError, RuntimeError):
        return None
    return (network, facts) if digest(network) == facts.sha256 else None


def keep(folder: Path, network: nn.Module, facts: Any) -> None:  # Any: a struct of facts
    """Write ``folder`` whole: under a temporary name, then renamed.

    Raises:
        OutputError: the place cannot be written.
    """
    from safetensors.torch import save_file

    place = folder.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=place, prefix=".tmp-extractor-"))
    except OSError as error:
        raise OutputError(f"{place}: {error.strerror or error}") from None
    try:
        tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        write_atomically(temporary / WEIGHTS, lambda path: save_file(tensors, path))
        write_atomically(temporary / FACTS, msgspec.json.format(msgspec.json.encode(facts), indent=1))
        temporary.chmod(0o755)
        _swap(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _swap(temporary: Path, folder: Path) -> None:
    try:
        if folder.exists():  # damaged, or another process was faster: the same name means the same weights
            shutil.rmtree(folder)
        temporary.rename(folder)
        flush(folder.parent)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}") from None
