"""Datasets of verses and tiny trainings of ``text.transformer`` on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import artgen
from artgen.backend import Silent
from artgen.backends.text.transformer import presets
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.settle import make_task, settled
from artgen.backends.text.transformer.task import WriterTask
from artgen.dataset import Dataset
from artgen.media.prepare_text import Prepare, prepare
from artgen.model import Model

WORDS = ["the river", "a stone", "the wind", "my lady", "the moon", "a crow", "old time", "the sea"]

DEEDS = ["sings of", "will bear", "forgets", "has seen", "loves", "carries", "turns to", "breaks"]

TINY: dict[str, Any] = {"context": 16, "batch_size": 4, "precision": "fp32", "previews": 0, "seed": 3}


def verses(lines: int, seed: int = 0) -> str:
    random = np.random.default_rng(seed)
    return "".join(f"{WORDS[a]} {DEEDS[b]} {WORDS[c]}.\n" for a, b, c in random.integers(0, 8, (lines, 3)))


def prepared(folder: Path, text: str, **options: Any) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return prepare([folder / "text.txt"], folder / "dataset", Prepare(**options), Silent())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("verses"), verses(200), tokenizer="char")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets of the real kinds at sizes that train in seconds."""
    for name in ("BRIEF", "SKETCH", "STANDARD", "LARGE"):
        plan = getattr(presets, name)
        layers = {"BRIEF": 1, "SKETCH": 2, "STANDARD": 3, "LARGE": 4}[name]
        changed = msgspec.structs.replace(plan, layers=layers, heads=2, width=16, learning_rate=0.005)
        monkeypatch.setattr(presets, name, changed)


def train(dataset: Dataset, output: Path, **options: Any) -> Model:
    return artgen.train("text", dataset.folder, output, device="cpu", **{**TINY, **options})


def task_of(dataset: Dataset, **options: Any) -> WriterTask:
    chosen = Transformer.Train(**{**TINY, **options})
    return make_task(dataset, chosen, settled(dataset, chosen))
