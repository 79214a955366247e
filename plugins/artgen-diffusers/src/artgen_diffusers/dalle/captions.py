"""From captions to token ids: which words a picture has, what is left of them while learning, how a prompt is read; no torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError
from artgen.media.tokenizer import END, BpeTokenizer, Tokenizer

Ids = NDArray[np.int64]

WORDS = "words.json"
"""The file of a model that lists the words it has read, the most frequent first."""

DROPPED = 0.3
"""How likely a word is left out of a caption that is thinned."""

WHOLE = 0.3
"""How often a caption is learned as it stands; else its words are thinned and shuffled, so that short prompts work too."""


def normalised(text: str) -> str:
    """The words of ``text`` in small letters, one blank between them: signs and the numbers of variants say nothing."""
    return " ".join(word for word in re.findall(r"[^\W_]+", text.casefold()) if not word.isdigit())


def captions_of(dataset: Dataset) -> list[str]:
    """The normalised caption of every picture; where it has none, the name of its class, else of its file.

    Raises:
        DatasetError: not a single picture is called anything.
    """
    count = len(dataset)
    told, names = dataset.captions or [""] * count, dataset.names or [""] * count
    classes = [""] * count if dataset.labels is None else [dataset.classes[label] for label in dataset.labels]
    found = [
        normalised(caption) or normalised(label) or normalised(PurePosixPath(name).stem)
        for caption, label, name in zip(told, classes, names, strict=True)
    ]
    if not any(found):
        raise DatasetError(
            f"{dataset.folder}: no picture has a caption; give a metadata.jsonl with a text for each, folders of classes, "
            "or files with telling names, and prepare them again"
        )
    return found


def held_out(captions: Sequence[str], share: float) -> set[str]:
    """The captions kept from training: a ``share`` of the different ones, chosen by their hash, all of whose words stand elsewhere.

    A caption with a word of its own could not be drawn by anybody who has not seen it.
    """
    different = sorted(set(captions) - {""}, key=lambda caption: hashlib.sha256(caption.encode()).digest())
    wanted = int(share * len(different))
    counts = Counter(word for caption in different for word in set(caption.split()))
    chosen: set[str] = set()
    for caption in different:
        words = set(caption.split())
        if len(chosen) < wanted and all(counts[word] > 2 for word in words):
            chosen.add(caption)
            counts.subtract(words)
    return chosen


def train_tokenizer(captions: Sequence[str], size: int) -> BpeTokenizer:
    """Byte pairs of the captions: of a few thousand words most are one token."""
    return BpeTokenizer.train("\n".join(f" {caption}" for caption in captions), size)


def encode(tokenizer: Tokenizer, words: Sequence[str], length: int) -> Ids:
    """Ids [length] of ``words``; what is too long is cut, what is left over is END."""
    ids = np.full(length, END, np.int64)
    if words:
        found = tokenizer.encode("".join(f" {word}" for word in words))[:length]
        ids[: len(found)] = found
    return ids


def thinned(words: Sequence[str], random: np.random.Generator) -> list[str]:
    """``words`` as they stand, or some of them in another order; always one at least."""
    if len(words) < 2 or random.random() < WHOLE:
        return list(words)
    kept = [word for word in words if random.random() >= DROPPED] or [words[int(random.integers(len(words)))]]
    return [kept[place] for place in random.permutation(len(kept))]


def vocabulary(captions: Sequence[str]) -> bytes:
    """The content of :data:`WORDS`."""
    counts = Counter(word for caption in captions for word in caption.split())
    return json.dumps([word for word, _ in counts.most_common()], ensure_ascii=False).encode()


def read_vocabulary(data: bytes) -> list[str]:
    """The words of :func:`vocabulary`.

    Raises:
        ModelError: the file is damaged.
    """
    try:
        words = json.loads(data)
    except ValueError as error:
        raise ModelError(f"{WORDS}: damaged ({error}); restore the file or train the model again") from None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ModelError(f"{WORDS}: damaged (not a list of words); restore the file or train the model again")
    return words
