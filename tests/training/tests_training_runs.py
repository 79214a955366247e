"""Runs of the tiny task, and what is read of their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from listening import Listen
from safetensors.torch import load_file
from tests_training_tiny import TinyTask

from artgen.backend import Silent, TrainOptions
from artgen.dataset import Dataset
from artgen.media.prepare_image import Prepare, prepare
from artgen.model import Model
from artgen.training import Run, fit


def prepared(pictures: Path, folder: Path) -> Dataset:
    """The generated pictures at 32 pixels, in two classes."""
    return prepare([pictures], folder, Prepare(resolution=32, workers=1))


FIXED: dict[str, Any] = {"precision": "fp32", "memory_format": "contiguous", "batch_size": 6}


def run(
    folder: Path, dataset: Dataset, task: Any = None, *, resume: bool = False, heard: Listen | None = None, **options: Any
) -> Model:
    chosen = TrainOptions(**{**FIXED, **options})
    started = Run.create(folder, backend="image.tiny", options=chosen, dataset=dataset, resume=resume)
    return fit(TinyTask() if task is None else task, dataset, started, heard or Silent())


def weights(folder: Path, name: str = "model-last") -> dict[str, torch.Tensor]:
    return load_file(folder / name / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), f"{name}: {(a[name] - b[name]).abs().max()}"


def records(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
