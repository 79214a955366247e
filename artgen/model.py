"""A trained model on disk: ``config.json``, ``model.safetensors`` and ``README.md`` (the model card).

Nothing in a model folder is ever executed: weights are safetensors, the rest is JSON and text.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from artgen.errors import ModelError, OutputError
from artgen.files import cache_folder, flush, sentences, similar, write_atomically
from artgen.options import nearest
from artgen.recipe import file_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

    from artgen.backend import Backend

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
CUT = ".old-"  # what the old folder is called between the two renames of a swap
_LARGE = 2**26  # bytes from which on the hash of a file is remembered
STARTERS = Path(__file__).parent / "starters"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What ``config.json`` says.

    ``backend`` is the full name (``image.gan``), ``network`` what :meth:`artgen.backend.Backend.build` takes,
    ``generate`` the model's own defaults for the options of ``generate``, ``train`` how it was trained,
    ``sha256`` the hash of the weights file, by which a damaged one is found out, ``files`` those of the other files by name.
    """

    artgen: str
    backend: str
    network: dict[str, Any]
    classes: list[str] = []
    generate: dict[str, Any] = {}
    train: dict[str, Any] = {}
    data: dict[str, Any] = {}
    licence: str = ""
    scores: dict[str, float] = {}
    sha256: str = ""
    files: dict[str, str] = {}


class Model:
    """An opened model; its weights are read when asked for.

    ``device`` is where a backend puts the network (``cpu``, ``cuda:0``); ``cache`` is the backend's, for what it keeps with
    an open model, such as the network. ``place`` is a name by which a backend finds it again where its folder is gone, and
    ``provenance`` what recipes tell of where it came from (repository, revision).
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self.place = ""
        self.provenance: dict[str, str] = {}
        self.device = "cpu"
        self.cache: dict[str, object] = {}
        self._sha256 = ""

    @classmethod
    def open(cls, place: str | os.PathLike[str]) -> Model:
        """Open a model folder, a run (its best model) or a starter by name.

        Raises:
            ModelError: there is none, or a file of it is missing or damaged.
        """
        folder = locate(place)
        path = folder / CONFIG
        if not path.is_file():
            raise ModelError(f"{folder}: no model there (no {CONFIG}); give a folder that artgen train wrote")
        try:
            config = msgspec.json.decode(path.read_bytes(), type=Config)
        except (OSError, msgspec.DecodeError) as error:
            raise ModelError(f"{path}: damaged ({error}); train the model again or restore the file") from None
        if not (folder / WEIGHTS).is_file():
            raise ModelError(f"{folder / WEIGHTS}: missing; restore the file or train the model again")
        if reason := _cut_short(folder / WEIGHTS):
            raise _damaged(folder / WEIGHTS, reason)
        for name, wanted in config.files.items():
            # One that is missing is told by what needs it, which knows what to do without.
            if (folder / name).is_file() and file_sha256(folder / name) != wanted:
                raise _damaged(folder / name, f"not the file that {CONFIG} was written with")
        return cls(folder, config)

    @property
    def backend(self) -> str:
        """The full name of the backend that made it: ``image.gan``."""
        return self.config.backend

    @property
    def modality(self) -> str:
        """The part of the backend's name before the dot."""
        return self.backend.partition(".")[0]

    @property
    def name(self) -> str:
        """The folder's name; for the model of a run, the run's."""
        own = self.folder.name.removeprefix(CUT)
        return self.folder.parent.name if own in ("model", "model-last") else own

    @property
    def sha256(self) -> str:
        """The hash of the weights file, which names this model in recipes."""
        if not self._sha256:
            self._sha256 = file_sha256(self.folder / WEIGHTS)
        return self._sha256

    def network(self, backend: Backend) -> nn.Module:
        """The network that ``backend`` builds from ``config.network``, with these weights in 32 bits, on ``device``; built once.

        Raises:
            ModelError: the weights are damaged, or do not fit the configuration.
        """
        import torch

        if "network" not in self.cache:
            # First weights are drawn when a network is built; that must not move the random numbers of the caller.
            with torch.random.fork_rng(devices=[]):
                built = backend.build(self.config.network)
            weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in self.tensors().items()}
            try:
                built.load_state_dict(weights)
            except RuntimeError as error:
                reason = str(error).splitlines()[-1].strip()
                raise ModelError(f"{self.folder}: {CONFIG} and weights do not belong together ({reason})") from None
            self.cache["network"] = built.eval().requires_grad_(False).to(self.device)
        return self.cache["network"]  # type: ignore[return-value]  # what was put there above

    def file(self, name: str) -> bytes:
        """The content of another file that belongs to the model, such as ``tokenizer.json``.

        Raises:
            ModelError: it is missing.
        """
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise ModelError(
                f"{self.folder / name}: {error.strerror or error}; restore the file or train the model again"
            ) from None

    def tensors(self) -> dict[str, Tensor]:
        """Every weight by name.

        Raises:
            ModelError: the file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found = load_file(self.folder / WEIGHTS)
        except (SafetensorError, OSError) as error:
            raise _damaged(self.folder / WEIGHTS, error) from None
        self.check()
        return found

    def check(self) -> None:
        """Read the weights file through, to see that it is the one that ``config.json`` was written with.

        Raises:
            ModelError: it is another.
        """
        if self.config.sha256 not in ("", self.sha256):
            raise _damaged(self.folder / WEIGHTS, f"not the weights that {CONFIG} was written with")


def _damaged(path: Path, reason: object) -> ModelError:
    return ModelError(f"{path}: damaged ({reason}); restore the file or train the model again")


def _cut_short(path: Path) -> str:
    """Why a safetensors file cannot be whole, from its header alone, however large it is; or nothing.

    It begins with the length of the header (8 bytes, little-endian), which names where the bytes of each tensor end.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            told = msgspec.json.decode(file.read(min(length, size)), type=dict[str, dict[str, Any]])
        ends = [entry["data_offsets"][1] for name, entry in told.items() if name != "__metadata__"]
    except (OSError, msgspec.DecodeError, LookupError, TypeError):
        return "its header cannot be read"
    whole = 8 + length + max(ends, default=0)
    return "" if size == whole else f"{size:,} bytes, of which its header names {whole:,}"


class NoModel(Model):
    """What a backend that needs no model is given: a name for files, no folder, no weights; ``sha256`` is empty."""

    def __init__(self, backend: str) -> None:
        from artgen import __version__ as version

        super().__init__(Path(backend.partition(".")[2]), Config(artgen=version, backend=backend, network={}))

    @property
    def sha256(self) -> str:
        """Empty: there are no weights to tell apart."""
        return ""

    def tensors(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}


class Foreign(Model):
    """A folder of safetensors and JSON that another program wrote, read by a backend that knows how.

    ``place`` is what the user typed (a name on the Hub, say); recipes keep it, so that replay can ask the backend for it again.
    The hash is over every safetensors and JSON file of the folder, names included.

    Raises:
        ModelError: the folder holds no safetensors file.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        backend: str,
        *,
        network: Mapping[str, Any] | None = None,
        licence: str = "",
        place: str = "",
    ) -> None:
        self._describe(Path(folder).resolve(), backend, network=network, licence=licence, place=place)
        if not any(self.folder.rglob("*.safetensors")):
            raise ModelError(
                f"{place or self.folder}: no safetensors file in it; give a model saved as safetensors (pickles are not read)"
            )

    def _describe(
        self, folder: Path, backend: str, *, network: Mapping[str, Any] | None = None, licence: str = "", place: str = ""
    ) -> None:
        from artgen import __version__ as version

        super().__init__(folder, Config(artgen=version, backend=backend, network=dict(network or {}), licence=licence))
        self.place = place

    @property
    def name(self) -> str:
        """The last part of the name on the Hub, else the folder's."""
        return self.place.rstrip("/").rpartition("/")[2] or self.folder.name

    @property
    def sha256(self) -> str:
        """One hash for the whole model."""
        if not self._sha256:
            digest = hashlib.sha256()
            for path in self._content():
                digest.update(f"{path.relative_to(self.folder).as_posix()}\0{_weights_sha256(path)}\n".encode())
            self._sha256 = digest.hexdigest()
        return self._sha256

    def tensors(self) -> dict[str, Tensor]:
        """Every weight by name, of all safetensors files together.

        Raises:
            ModelError: a file is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        found: dict[str, Tensor] = {}
        for path in (path for path in self._content() if path.suffix == ".safetensors"):
            try:
                found |= load_file(path)
            except (SafetensorError, OSError) as error:
                raise ModelError(f"{path}: damaged ({error}); fetch or restore the file") from None
        return found

    def _content(self) -> list[Path]:
        """The files that make the model what it is, in a fixed order."""
        return sorted(path for path in self.folder.rglob("*") if path.suffix in (".safetensors", ".json"))


def _weights_sha256(path: Path) -> str:
    """The sha256 of a file; that of a large one is remembered until size or time of the file change."""
    facts = path.stat()
    if facts.st_size < _LARGE:
        return file_sha256(path)
    key = f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}"
    kept = cache_folder() / "hashes" / hashlib.sha256(key.encode()).hexdigest()
    if kept.is_file() and len(known := kept.read_text()) == 64:
        return known
    found = file_sha256(path)
    with contextlib.suppress(OutputError):  # a cache that cannot be written costs time, nothing else
        write_atomically(kept, found.encode())
    return found


def find_model(backend: type[Backend], place: str | None) -> Model:
    """The model of ``backend`` at ``place``, else the one that comes along: see :meth:`artgen.backend.Backend.find_model`.

    Raises:
        ModelError: there is none, it is damaged, or it is of another backend.
    """
    full = f"{backend.modality}.{backend.name}"
    if not backend.needs_model:
        if place is not None:
            raise ModelError(f"--model {place}, but {full} needs no model; leave --model out")
        return NoModel(full)
    own = brought(backend)
    if place is None:
        return Model.open(own[0] if own else starter(backend.modality, backend.name))
    by_name = {folder.name: folder for folder in own}
    found = Model.open(by_name.get(place, place))
    if found.backend != full:
        raise ModelError(f"--backend {backend.name}, but {found.folder} is a model of {found.backend}; leave --backend out")
    return found


def brought(backend: type[Backend]) -> tuple[Path, ...]:
    """The folders of the models that come with ``backend``: artgen's starters, else those beside the module of the class."""
    full = f"{backend.modality}.{backend.name}"
    ours = [STARTERS / name for name in starters()]
    try:
        theirs = sorted(path.parent for path in (Path(inspect.getfile(backend)).parent / "starters").glob(f"*/{CONFIG}"))
    except (OSError, TypeError):  # a class without a file: typed into a shell
        theirs = []
    return tuple(folder for folder in dict.fromkeys([*ours, *theirs]) if _backend_of(folder) == full)


def _backend_of(folder: Path) -> str:
    try:
        return msgspec.json.decode((folder / CONFIG).read_bytes(), type=Config).backend
    except (OSError, msgspec.DecodeError):
        return ""


def locate(place: str | os.PathLike[str]) -> Path:
    """The model folder that ``place`` names: itself, a run's ``model``, or a starter."""
    path = Path(place)
    for folder in (path, path / "model", *_cut(path), *_cut(path / "model")):
        if (folder / CONFIG).is_file():
            return folder.resolve()
    starter = STARTERS / str(place)
    if "/" not in str(place) and (starter / CONFIG).is_file():
        return starter
    if not path.exists():
        known = ", ".join(starters()) or "none"
        hint = nearest(str(place), starters()) or similar(path)
        raise ModelError(f"{place}: no such model{hint}; give a folder that artgen train wrote, or a starter ({known})")
    return path.resolve()


def starters() -> tuple[str, ...]:
    """The names of the models that come with artgen."""
    return tuple(sorted(folder.parent.name for folder in STARTERS.glob(f"*/{CONFIG}")))


def starter(modality: str, backend: str | None = None) -> Path:
    """The starter model of a modality (and, where it is named, of a backend).

    Raises:
        ModelError: artgen brings none for it.
    """
    wanted = f"{modality}.{backend}" if backend else f"{modality}."
    for name in starters():
        config = msgspec.json.decode((STARTERS / name / CONFIG).read_bytes(), type=Config)
        if config.backend.startswith(wanted):
            return STARTERS / name
    raise ModelError(f"no starter model for {wanted.rstrip('.')}; train one and give it with --model")


def save_model(
    folder: str | Path, config: Config, tensors: Mapping[str, Tensor], card: str, files: Mapping[str, bytes] | None = None,
    beside: Mapping[str, Any] | None = None,
) -> Model:  # fmt: skip
    """Write a model folder whole: under a temporary name first, then renamed into the place of the old one.

    ``files`` are what else belongs to the model, by name, such as ``tokenizer.json``; ``beside`` is what ``config.json`` says to
    other programs, beside artgen's own entries.

    Raises:
        OutputError: the disk is full or the place cannot be written; the old model is then as it was.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    with sentences(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".tmp-{folder.name}-"))
        try:
            kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
            write_atomically(temporary / WEIGHTS, lambda path: save_file(kept, path, metadata={"format": "pt"}))
            hashes = {name: hashlib.sha256(content).hexdigest() for name, content in (files or {}).items()}
            told = {**(beside or {}), **msgspec.to_builtins(config), "sha256": file_sha256(temporary / WEIGHTS), "files": hashes}
            write_atomically(temporary / CONFIG, msgspec.json.format(msgspec.json.encode(told, order="sorted"), indent=1))
            write_atomically(temporary / CARD, card.encode())
            for name, content in (files or {}).items():
                write_atomically(temporary / name, content)
            temporary.chmod(0o755)
            _swap(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return Model.open(folder)


def _cut(folder: Path) -> tuple[Path, ...]:
    """The old model that a swap cut short by a crash left beside ``folder``, where ``folder`` itself is gone."""
    return (folder.with_name(CUT + folder.name),) if folder.name and not folder.exists() else ()


def _swap(new: Path, folder: Path) -> None:
    """Put ``new`` where ``folder`` is; after a crash between the two renames :func:`locate` finds the old one."""
    old = folder.with_name(CUT + folder.name)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    flush(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
