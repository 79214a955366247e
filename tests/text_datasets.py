"""Texts and the datasets prepared of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from listening import Listen

from artgen.dataset import Dataset
from artgen.media.prepare_text import Prepare, prepare, tokenizer_of
from artgen.media.tokenizer import END

WORDS = "the quick brown fox jumps over the lazy dog and runs away from the bear. "

LONG = WORDS * 20


def made(folder: Path, content: str | bytes, name: str = "a.txt", **options: Any) -> tuple[Dataset, Listen]:
    """The dataset of one file with this content."""
    folder.mkdir(exist_ok=True)
    source = folder / name
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    progress = Listen()
    return prepare([source], folder / "out", Prepare(**options), progress), progress


def texts(dataset: Dataset, name: str) -> list[str]:
    """The documents in one array."""
    ids = dataset.array(name)
    tokenizer = tokenizer_of(dataset)
    return [tokenizer.decode(part) for part in np.split(ids, np.flatnonzero(ids == END) + 1)]
