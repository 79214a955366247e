"""A prepared text dataset in the tokens of a model: decoded exactly, encoded anew, kept beside the run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset
from artgen.errors import DatasetError
from artgen.files import sentences, write_atomically
from artgen.media.prepare_text import tokenizer_of
from artgen.media.tokenizer import END, Tokenizer

Tokens = NDArray[Any]  # uint16 or uint32

LOOKED = 60_000
"""Characters of the held-out text that are read whenever a training measures itself."""

_PIECE = 2_000_000  # characters that are encoded at once; only a longer document is cut, before a word that begins a line
_AT_ONCE = 65_536  # ids that are decoded at once
_FACTS = "tokens.json"


@dataclass(frozen=True)
class Corpus:
    """Tokens [N] to ``train`` on and some ``held`` out, which stand for ``held_characters`` and ``held_bytes`` of text."""

    train: Tokens
    held: Tokens
    held_characters: int
    held_bytes: int


class _Facts(msgspec.Struct, frozen=True):
    key: str
    held_characters: int
    held_bytes: int


def corpus(dataset: Dataset, tokenizer: Any, folder: Path | None = None, progress: Progress = SILENT) -> Corpus:
    """The text of ``dataset`` in the tokens of ``tokenizer``, one of transformers; kept in ``folder`` for the next time.

    Raises:
        DatasetError: the tokenizer beside the dataset is missing or damaged, or the text is too short.
    """
    key = _key(dataset, tokenizer)
    if folder is not None and (kept := _kept(folder, key)):
        return kept
    made = _encoded(dataset, tokenizer, progress)
    if folder is not None:
        with sentences(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, array in (("train", made.train), ("held", made.held)):
                write_atomically(folder / f"{name}.npy", lambda path, array=array: _save(path, array))  # type: ignore[misc]
        facts = _Facts(key, made.held_characters, made.held_bytes)
        write_atomically(folder / _FACTS, msgspec.json.encode(facts))  # the last: it says that the others are whole
    return made


def held_out(dataset: Dataset, tokenizer: Any, characters: int | None = None) -> tuple[NDArray[np.int64], int, int]:
    """The held-out text (or its first ``characters``) in tokens [N] of ``tokenizer``, with its characters and bytes."""
    parts: list[list[int]] = []
    count = size = 0
    for number, document in enumerate(documents(dataset, "held_out")):
        text = document if characters is None else document[: max(0, characters - count)]
        if not text:
            break
        parts += ([[tokenizer.eos_token_id]] if number and tokenizer.eos_token_id is not None else []) + list(_ids(text, tokenizer))
        count, size = count + len(text), size + len(text.encode())
    return np.array([token for part in parts for token in part], np.int64), count, size


def documents(dataset: Dataset, array: str) -> Iterator[str]:
    """The texts of ``train`` or ``held_out``, exactly as they were prepared, one after the other."""
    own = tokenizer_of(dataset)
    ids = dataset.array(array)
    begin = 0
    for end in (*np.flatnonzero(ids == END).tolist(), len(ids)):
        if text := _decoded(own, ids[begin:end]):
            yield text
        begin = end + 1


def _encoded(dataset: Dataset, tokenizer: Any, progress: Progress) -> Corpus:
    kind = np.dtype(np.uint16 if len(tokenizer) <= 2**16 else np.uint32)
    pieces: list[Tokens] = []
    progress.start("reading the text in the model's tokens", len(dataset.array("train")), "tokens")
    try:
        for number, document in enumerate(documents(dataset, "train")):
            if number and tokenizer.eos_token_id is not None:
                pieces.append(np.array([tokenizer.eos_token_id], kind))
            pieces += [np.array(ids, kind) for ids in _ids(document, tokenizer)]
            progress.advance(len(document))
    finally:
        progress.finish()
    train = np.concatenate(pieces) if pieces else np.zeros(0, kind)
    held, characters, size = held_out(dataset, tokenizer, LOOKED)
    return Corpus(train, held.astype(kind), characters, size)


def _ids(text: str, tokenizer: Any) -> Iterator[list[int]]:
    """The ids of a text; signs in it that look like special tokens are spelled, as the signs that they are."""
    for piece in _cut(text):
        yield tokenizer(piece, add_special_tokens=False, split_special_tokens=True, verbose=False)["input_ids"]


def _cut(text: str) -> Iterator[str]:
    at = 0
    while len(text) - at > _PIECE:
        cut = text.rfind("\n", at + _PIECE // 2, at + _PIECE) + 1 or at + _PIECE
        yield text[at:cut]
        at = cut
    yield text[at:]


def _decoded(tokenizer: Tokenizer, ids: Tokens) -> str:
    """The text of ids, a bounded number of them at once: a stream keeps characters whole that lie across a cut."""
    if len(ids) <= _AT_ONCE:
        return tokenizer.decode(ids)
    decoder = tokenizer.stream()
    parts = [decoder.feed(token) for start in range(0, len(ids), _AT_ONCE) for token in ids[start : start + _AT_ONCE].tolist()]
    return "".join([*parts, decoder.flush()])


def _kept(folder: Path, key: str) -> Corpus | None:
    try:
        facts = msgspec.json.decode((folder / _FACTS).read_bytes(), type=_Facts)
        arrays = [np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ("train", "held")]
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    return Corpus(arrays[0], arrays[1], facts.held_characters, facts.held_bytes) if facts.key == key else None


def _key(dataset: Dataset, tokenizer: Any) -> str:
    """What the tokens depend on: the text and all that the tokenizer knows."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    told = fast.to_str() if fast is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(f"{dataset.fingerprint}\0{tokenizer.eos_token_id}\0{told}".encode()).hexdigest()


def _save(path: Path, array: Tokens) -> None:
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def require_length(found: Corpus, context: int, folder: Path) -> int:
    """The windows' length: ``context``, or what the text has.

    Raises:
        DatasetError: the text is shorter than the shortest window.
    """
    if len(found.train) < 9:
        raise DatasetError(f"{folder}: {len(found.train)} tokens to train on are too few; give more text")
    return min(context, len(found.train) - 1)
