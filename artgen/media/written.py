"""What every ``prepare`` writes and says alike: the key of a dataset, its classes, its lists of texts, and that nothing is left."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from artgen.dataset import Dataset, Skipped
from artgen.errors import OutputError, SourceError
from artgen.media.partial import JOURNAL
from artgen.media.sources import Found, Labels
from artgen.media.trees import natural


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


def nothing(found: Found, refused: Sequence[Skipped], noun: str) -> SourceError:
    """What to raise where none of the files is usable: the most frequent reasons, and the first file."""
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
