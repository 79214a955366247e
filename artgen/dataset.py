"""A prepared dataset on disk: ``dataset.json`` and arrays that are memory-mapped.

Decoding happens once, in ``prepare``; training reads bytes. Every backend of a modality shares the format:
images uint8 [N, H, W, C], audio int16 [samples, channels] with an index, text tokens uint16 or uint32,
video uint8 [N, T, H, W, C].
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from artgen.errors import DatasetError
from artgen.files import similar, write_atomically

FORMAT = 1
MANIFEST = "dataset.json"


class Skipped(msgspec.Struct, frozen=True):
    """A source file that is not in the dataset, and why."""

    file: str
    reason: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What ``dataset.json`` says.

    ``arrays`` maps a name (``images``, ``labels``) to its ``.npy`` file, ``count`` is the number of usable items,
    ``fingerprint`` a hash of the content that a run remembers.
    """

    format: int = FORMAT
    artgen: str
    kind: str
    count: int
    arrays: dict[str, str]
    shapes: dict[str, list[int]]
    classes: list[str] = []
    captions: str = ""
    options: dict[str, Any] = {}
    sources: list[dict[str, Any]] = []
    skipped: list[Skipped] = []
    notes: dict[str, Any] = {}
    fingerprint: str = ""


class _Version(msgspec.Struct, frozen=True):
    format: int
    artgen: str = "unknown"


class Dataset:
    """An opened dataset; arrays are mapped, not read."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._arrays: dict[str, NDArray[Any]] = {}

    @classmethod
    def open(cls, folder: str | Path, kind: str | None = None) -> Dataset:
        """Open the dataset in ``folder``; with ``kind``, one of that modality.

        Raises:
            DatasetError: there is none, it is damaged, of a newer format, or of another modality.
        """
        folder = Path(folder)
        path = folder / MANIFEST
        if not path.is_file():
            hint = "" if Path(folder).exists() else similar(folder)
            raise DatasetError(f"{folder}: no dataset there (no {MANIFEST}){hint}; make one with artgen {kind or 'image'} prepare")
        manifest = _read_manifest(path)
        if kind and manifest.kind != kind:
            raise DatasetError(
                f"{folder}: a dataset of {manifest.kind}, not of {kind}; use artgen {manifest.kind} … or give one of {kind}"
            )
        dataset = cls(folder, manifest)
        for name in manifest.arrays:
            dataset.array(name)
        return dataset

    @property
    def kind(self) -> str:
        """The modality."""
        return self.manifest.kind

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the numbers in ``labels``; empty when the data has no classes."""
        return self.manifest.classes

    @property
    def fingerprint(self) -> str:
        """A hash of the content."""
        return self.manifest.fingerprint

    def __len__(self) -> int:
        return self.manifest.count

    def array(self, name: str) -> NDArray[Any]:
        """The memory-mapped array ``name``, read-only.

        Raises:
            DatasetError: the dataset has none of that name, or its file is missing, cut short or of another shape.
        """
        if name not in self._arrays:
            self._arrays[name] = self._map(name)
        return self._arrays[name]

    @cached_property
    def labels(self) -> NDArray[np.int64] | None:
        """The class number of every item [N], or None when the data has no classes."""
        return self.array("labels").astype(np.int64) if "labels" in self.manifest.arrays else None

    @cached_property
    def captions(self) -> list[str] | None:
        """A caption an item, or None when the data came without."""
        return self._texts(self.manifest.captions)

    @cached_property
    def names(self) -> list[str] | None:
        """The name of the source file of every item, or None when it is not known."""
        return self._texts(self.manifest.notes.get("names"))

    def _texts(self, file: str | None) -> list[str] | None:
        """The lines of JSON strings in ``file``, one an item."""
        if not file:
            return None
        path = self.folder / file
        try:
            # Not splitlines: JSON leaves U+2028 and other line ends of Unicode as they are.
            lines = path.read_bytes().split(b"\n")[:-1]
            texts = [msgspec.json.decode(line, type=str) for line in lines]
        except FileNotFoundError:
            raise DatasetError(f"{path}: missing; prepare the dataset again") from None
        except (OSError, msgspec.DecodeError) as error:
            raise DatasetError(f"{path}: damaged ({error}); prepare the dataset again") from None
        if len(texts) != len(self):
            raise DatasetError(f"{path}: has {len(texts)} lines for {len(self)} items; prepare the dataset again")
        return texts

    def _map(self, name: str) -> NDArray[Any]:
        file = self.manifest.arrays.get(name)
        if file is None:
            have = ", ".join(self.manifest.arrays)
            raise DatasetError(f"{self.folder}: has no array {name!r}; it has {have}")
        path = self.folder / file
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise DatasetError(f"{path}: missing; prepare the dataset again") from None
        except (OSError, ValueError, EOFError) as error:
            raise DatasetError(f"{path}: damaged ({error}); prepare the dataset again") from None
        said = self.manifest.shapes.get(name)
        if list(array.shape) != said:
            raise DatasetError(f"{path}: holds {list(array.shape)}, {MANIFEST} says {said}; prepare the dataset again")
        return array  # type: ignore[no-any-return]  # np.load is untyped


def _read_manifest(path: Path) -> Manifest:
    try:
        data = path.read_bytes()
        # The format is read alone first: a newer one may lack what this version requires.
        version = msgspec.json.decode(data, type=_Version)
        if version.format > FORMAT:
            raise DatasetError(f"{path.parent}: made by a newer artgen ({version.artgen}); update artgen or prepare it again")
        return msgspec.json.decode(data, type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise DatasetError(f"{path}: damaged ({error}); prepare it again") from None


def is_dataset(path: str | Path) -> bool:
    """Whether ``path`` is a folder with a ``dataset.json``; that of another program, such as StyleGAN's list of labels, is none."""
    try:
        found = msgspec.json.decode((Path(path) / MANIFEST).read_bytes())
    except OSError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True
    return isinstance(found, dict) and not ("labels" in found and "format" not in found)


def write_manifest(folder: Path, manifest: Manifest) -> Dataset:
    """Write ``dataset.json``, the last step of a prepare: a folder without it is no dataset yet."""
    write_atomically(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
    return Dataset.open(folder)


def fingerprint(*parts: bytes) -> str:
    """A sha256 over ``parts``, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
