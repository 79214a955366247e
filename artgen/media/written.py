"""What every ``prepare`` writes and says alike: the key of a dataset, what stands beside its array, and what was left out."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from artgen.backend import Progress
from artgen.dataset import Dataset, Skipped, is_dataset
from artgen.errors import OutputError, SourceError
from artgen.files import write_atomically
from artgen.media.partial import JOURNAL, Record
from artgen.media.sources import Found, Item, Labels
from artgen.media.trees import natural
from artgen.options import Options


def refuse_prepared(sources: Sequence[str | Path], array: str, modality: str) -> None:
    """Stop where a source is what ``prepare`` makes, a dataset with such an ``array``.

    Raises:
        SourceError: it is, with what to type instead.
    """
    for source in sources:
        if is_dataset(source) and (Path(source) / f"{array}.npy").exists():
            raise SourceError(f"{source}: a prepared dataset already; give it to artgen {modality} train as it is")


def deciding(options: Options) -> dict[str, Any]:
    """The options that decide what a dataset holds: all but the number of workers."""
    return {name: value for name, value in options.asdict().items() if name != "workers"}


def key_of(found: Found, method: int, told: Mapping[str, Any]) -> str:
    """A hash over all that decides a dataset: how it is made, its options ``told``, sources, labels and captions."""
    digest = hashlib.sha256(msgspec.json.encode([method, told, found.origins, found.licences]))
    for item in found.items:
        source = item.source
        digest.update(msgspec.json.encode([source.name, source.size, source.stamp, item.label, item.caption]))
    return digest.hexdigest()


def present(folder: Path, kind: str, key: str) -> Dataset:
    """The dataset that is in ``folder`` already.

    Raises:
        DatasetError: it is damaged, or of another modality.
        OutputError: it is of other sources or options.
    """
    dataset = Dataset.open(folder, kind)
    if dataset.manifest.notes.get("key") != key:
        raise OutputError(f"{folder}: holds a dataset of other sources or options; choose another --output")
    with contextlib.suppress(OSError):  # left when power went between the last two writes
        (folder / JOURNAL).unlink(missing_ok=True)
    return dataset


def class_names(labels: Sequence[str], wish: Labels) -> list[str]:
    """The classes in natural order; a single class says nothing, unless folders were insisted on."""
    names = sorted(set(labels) - {""}, key=natural)
    return names if len(names) > 1 or wish == "folders" else []


@dataclass(frozen=True)
class Beside:
    """What stands beside the array of a dataset: classes, ``labels`` int64 [N] where there are any, and a file of captions."""

    classes: list[str]
    labels: NDArray[np.int64]
    captions: str

    @property
    def arrays(self) -> dict[str, str]:
        """For the manifest: the labels, where there are classes."""
        return {"labels": "labels.npy"} if self.classes else {}

    @property
    def shapes(self) -> dict[str, list[int]]:
        """For the manifest: how many labels there are."""
        return {"labels": [len(self.labels)]} if self.classes else {}


def write_beside(folder: Path, items: Sequence[Item], names: Iterable[str], wish: Labels) -> Beside:
    """Write the labels, captions and ``names`` of the ``items`` of a dataset, one each, into ``folder``."""
    classes = class_names([item.label for item in items], wish)
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[item.label] for item in items if classes], np.int64)
    if classes:
        write_atomically(folder / "labels.npy", npy(labels))
    captions = "captions.jsonl" if any(item.caption for item in items) else ""
    if captions:
        write_atomically(folder / captions, lines(item.caption for item in items))
    write_atomically(folder / "names.jsonl", lines(names))
    return Beside(classes, labels, captions)


def tell_beside(dataset: Dataset, noun: str, progress: Progress) -> None:
    """Say how many classes and captions there are."""
    if dataset.classes:
        progress.say(f"{len(dataset.classes)} classes")
    if dataset.captions:
        progress.say(f"{sum(map(bool, dataset.captions))} of {len(dataset)} {noun} have a caption")


def left_out(items: Sequence[Item], records: Sequence[Record]) -> list[Skipped]:
    """The files that are not in the array, and why."""
    pairs = zip(items, records, strict=True)
    return [Skipped(item.source.name, record.note) for item, record in pairs if not record.stored]


def nothing(found: Found, refused: Sequence[Skipped], noun: str) -> SourceError:
    """What to raise where none of the files is usable: the most frequent reasons, and the first file."""
    if len(refused) == len(found.items) == 1:
        return SourceError(f"{refused[0].file}: not a usable {noun}: {refused[0].reason}")
    reasons = Counter(re.split(r"[:(]", skip.reason)[0].strip() for skip in refused)
    listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
    names = ", ".join(str(origin["name"]) for origin in found.origins[:3])
    first = f"; the first: {refused[0].file}: {refused[0].reason}"
    return SourceError(f"{names}: none of {len(found.items)} files is a usable {noun} ({listed}){first}")


def npy(array: NDArray[Any]) -> bytes:
    """An array as the bytes of an ``.npy`` file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def lines(texts: Iterable[str]) -> bytes:
    """Texts as lines of JSON strings."""
    return b"".join(msgspec.json.encode(text) + b"\n" for text in texts)
