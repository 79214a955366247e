"""A model in Hugging Face layout, in a folder or on the Hub: found, judged before anything is loaded, and fetched."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from artgen.backend import SILENT, Progress
from artgen.errors import ModelError
from artgen.hub import access, licences
from artgen.model import Foreign

if TYPE_CHECKING:
    from torch import Tensor

CARD = "README.md"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib")
READ = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "README.md", "LICENSE*")
"""What is taken from a model beside safetensors: data, never code."""

_BASES = ("model", "diffusion_pytorch_model")  # what transformers and diffusers call the weights of a component
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_NO_WEIGHTS = re.compile(r"(^|/)(optimizer|scheduler|training_args|rng_state|scaler|trainer_state)[\w.-]*$")
_SNAPSHOT = re.compile(r"models--(?P<name>[^/]+)/snapshots/(?P<revision>[0-9a-f]{40})$")


class HubModel(Foreign):
    """A model in Hugging Face layout, known but perhaps not yet fetched.

    ``files`` are all its files with their bytes, by path from ``folder``; ``needed`` those that :meth:`choose` picked. For one
    on the Hub ``repository`` and ``revision`` (a commit) say which, and ``folder`` is where the Hub's cache keeps it.
    """

    def __init__(
        self, place: str, backend: str, folder: Path, files: Mapping[str, int], *, repository: str = "", revision: str = "",
        licence: str = "", remote: bool = False,
    ) -> None:  # fmt: skip
        self._describe(folder, backend, licence=licence, place=place)
        self.files = dict(files)
        self.repository, self.revision, self.remote = repository, revision, remote
        self.needed: tuple[str, ...] = ()
        self.variant = ""
        if repository:
            self.place = f"{repository}@{revision}"  # a replay asks for the very same revision
            self.provenance = {"repository": repository, "revision": revision}
            self._branch = place.partition("@")[2] or "main"
        self._accepted = False

    @property
    def name(self) -> str:
        """The last part of the name on the Hub, else the folder's."""
        return self.repository.rpartition("/")[2] or self.folder.name

    @property
    def sha256(self) -> str:
        """One hash over the needed files; they are fetched for it."""
        self.fetch()
        return super().sha256

    @property
    def bytes(self) -> int:
        """How large the needed safetensors files are together, in bytes."""
        return sum(self.files[name] for name in self.needed if name.endswith(".safetensors"))

    def tensors(self) -> dict[str, Tensor]:
        """Every weight of the needed safetensors files by name."""
        self.fetch()
        return super().tensors()

    def json(self, name: str) -> dict[str, Any]:
        """The content of a small JSON file of the model, fetched when it is not here; empty when the model has none.

        Raises:
            ModelError: it is damaged, or cannot be fetched.
        """
        if name not in self.files:
            return {}
        path = access.fetched(self.repository, self.revision, name) if self.remote else self.folder / name
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: damaged ({error}); fetch or restore the file") from None
        return found if isinstance(found, dict) else {}

    def choose(self, folders: Sequence[str] = ("",), *, also: Sequence[str] = (), variants: Sequence[str] = ("fp16",)) -> None:
        """Need the weights and data files directly in each of ``folders`` ("" is the model's own), and the files ``also``.

        Where every folder offers its weights in one of ``variants`` too (``model.fp16.safetensors``), those are taken: half the
        bytes, and no visible difference. ``variant`` then says which.

        Raises:
            ModelError: weights are there as pickles only, or not all of them.
        """
        weights = {folder: self._weights(folder) for folder in folders}
        offered = [set(found) for found in weights.values() if found]
        common = set.intersection(*offered) if offered else set()
        self.variant = next((name for name in variants if name in common), "")
        if offered and self.variant not in common and "" not in common:
            self.variant = min(common) if common else ""
        chosen = [name for name in (CARD, *also) if name in self.files]
        for folder, found in weights.items():
            names = found.get(self.variant) or next(iter(found.values()), [])
            self._complete(folder, names)
            chosen += names + [name for name in self._inside(folder) if _matches(name, READ)]
        if not offered:
            raise ModelError(f"{self._called}: no safetensors file in it; give a model saved as safetensors")
        self.needed = tuple(sorted(set(chosen)))
        self._sha256 = ""

    def refuse_code(self, config: Mapping[str, Any], known: Collection[str] | None = None) -> None:
        """Refuse a model whose ``config`` names code of its own, unless its ``model_type`` is among the ``known`` ones.

        Raises:
            ModelError: it would have to run code that comes with it.
        """
        if config.get("auto_map") and config.get("model_type") not in (known or ()):
            raise ModelError(f"{self._called}: needs code that comes with the model, and artgen runs none; choose another model")

    def accept(self, progress: Progress = SILENT, *, commercial_only: bool = False) -> None:
        """Show the licence, the first time only; with ``commercial_only`` hold it to allow commercial use.

        Raises:
            UsageError: it forbids commercial use, or is not known to allow it.
        """
        if commercial_only:
            licences.require_commercial(self._called, self.config.licence)
        if not self._accepted:
            self._accepted = True
            told = licences.sentence(self.config.licence)
            where = f" (https://huggingface.co/{self.repository})" if self.repository else ""
            progress.say(f"{self.repository or self.folder.name}: {told}{where}")

    def fetch(self, progress: Progress = SILENT) -> Path:
        """Download the needed files that are not on this disk; returns the folder. What is there of a file is gone on with.

        Raises:
            ModelError: the Hub cannot be reached or refuses.
            OutputError: the disk is full or cannot be written.
        """
        if self.remote:
            needed = {name: self.files[name] for name in self.needed}
            access.fetch(self.repository, self.revision, needed, progress, self._branch)
            self.remote = False
        return self.folder

    @property
    def _called(self) -> str:
        return self.repository or str(self.folder)

    def _content(self) -> list[Path]:
        return [self.folder / name for name in self.needed if name.endswith((".safetensors", ".json"))]

    def _inside(self, folder: str) -> list[str]:
        parent = folder or "."
        return [name for name in self.files if str(PurePosixPath(name).parent) == parent]

    def _weights(self, folder: str) -> dict[str, list[str]]:
        """The safetensors files of ``folder`` by variant, "" for the plain ones.

        Raises:
            ModelError: its weights are pickles.
        """
        inside = self._inside(folder)
        found: dict[str, list[str]] = {}
        for name in inside:
            base, dot, variant = _SHARD.sub("", PurePosixPath(name).name).removesuffix(".safetensors").partition(".")
            if name.endswith(".safetensors") and base in _BASES:
                found.setdefault(variant if dot else "", []).append(name)
        pickles = [name for name in inside if name.endswith(PICKLES) and not _NO_WEIGHTS.search(name)]
        if not found and pickles:
            raise ModelError(
                f"{self._called}: the weights in {pickles[0]} are a pickle, which can run any code when it is opened; "
                "choose a model saved as safetensors"
            )
        if not found and f"{folder}/config.json".lstrip("/") in inside:
            raise ModelError(f"{self._called}: no weights as safetensors in {folder or 'it'}; fetch or restore the files")
        return found

    def _complete(self, folder: str, names: Sequence[str]) -> None:
        """Hold the parts that an index names to be there: a download may have been stopped."""
        if self.remote or not any(_SHARD.search(name) for name in names):
            return
        have = {PurePosixPath(name).name for name in names}
        for index in (name for name in self._inside(folder) if name.endswith(".safetensors.index.json")):
            parts = set(self.json(index).get("weight_map", {}).values())
            if parts & have and parts - have:
                raise ModelError(
                    f"{self._called}: {min(parts - have)} is missing on this disk; connect once to fetch it, or restore it"
                )


def find(place: str, backend: str) -> HubModel:
    """The model at ``place``, a folder, or a name on the Hub (``owner/name``, or ``owner/name@revision``) for ``backend``.

    On the Hub only the list of its files is asked for; where it cannot be reached (or ``HF_HUB_OFFLINE`` is set) what an earlier
    download left on this disk is taken. Nothing is loaded, and no large file fetched.

    Raises:
        ModelError: there is no such folder or name, the Hub cannot be reached, or it does not let you in.
    """
    path = Path(place)
    if path.exists():
        return _in_folder(path, place, backend)
    repository, _, revision = place.partition("@")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository) or repository.startswith("."):
        raise ModelError(f"{place}: no such folder, and no name that the Hub could have; give a folder or OWNER/NAME")
    listing = access.listing(repository, revision)
    return HubModel(
        place, backend, listing.folder, listing.files, repository=repository, revision=listing.revision,
        licence=listing.licence or (licences.of_card(listing.folder / CARD) if not listing.remote else ""), remote=listing.remote,
    )  # fmt: skip


def _in_folder(path: Path, place: str, backend: str) -> HubModel:
    if path.is_file():
        kind = "a pickle, which can run any code when it is opened" if path.suffix in PICKLES else "a single file"
        raise ModelError(f"{place}: {kind}; give the folder of a model in Hugging Face layout")
    folder = path.absolute()  # not resolved: the Hub's cache is made of links, and their own names matter
    inside = _SNAPSHOT.search(folder.as_posix())
    licence = licences.of_card(folder / CARD)
    if inside is None:
        return HubModel(place, backend, folder, access.listed(folder), licence=licence)
    repository = inside["name"].replace("--", "/")
    return HubModel(
        place, backend, folder, access.listed(folder), repository=repository, revision=inside["revision"], licence=licence
    )


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(PurePosixPath(name).name, pattern) for pattern in patterns)
