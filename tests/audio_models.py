"""Sounds, datasets and tiny trained models of ``audio.rnn`` for its tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from sample_sounds import RATE, noise, notes, write

from artgen import api
from artgen.backends.audio.rnn import presets
from artgen.backends.audio.rnn.backend import Rnn
from artgen.backends.audio.rnn.settle import make_tasks, settled
from artgen.backends.audio.rnn.tape import Moments
from artgen.dataset import Dataset
from artgen.media.prepare_audio import Prepare, prepare
from artgen.model import Model
from artgen.training.task import Task

TINY_CODEC = {"width": 16, "encoder": 1, "decoder": 1, "expansion": 2, "latent": 8, "codebooks": 3, "size": 16}
TINY_COMPOSER = {"width": 16, "layers": 2, "narrow": 8, "inner": 12}
TRAIN: dict[str, Any] = {"batch_size": 4, "precision": "fp32", "previews": 0, "seed": 3, "best_by": "none"}


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make every preset one of the real kind that trains in seconds."""
    for name in ("SKETCH", "STANDARD", "LARGE"):
        plan = msgspec.structs.replace(getattr(presets, name), crop=8, span=12, codec=TINY_CODEC, composer=TINY_COMPOSER)
        patch.setattr(presets, name, plan)
    patch.setattr(presets, "PLAIN", msgspec.structs.replace(presets.PLAIN, span=24, composer={"width": 12}))


def prepared(folder: Path, *, channels: str = "mono", rate: int = RATE, seconds: float = 2.0, files: int = 3) -> Dataset:
    """A dataset of a few files of notes."""
    for number in range(files):
        sound = notes(seconds, rate, seed=number) + noise(seconds, rate, level=0.003, seed=number)
        write(folder / "sounds" / f"{number}.wav", sound, rate)
    return prepare([folder / "sounds"], folder / "dataset", Prepare(channels=channels, rate=rate, workers=1))  # type: ignore[arg-type]


def trained(dataset: Dataset, folder: Path, **options: Any) -> Model:
    """A model after a few steps; presets should be shrunk."""
    return api.train("audio", dataset.folder, folder, device="cpu", **{**TRAIN, "steps": 4, **options})


def options(**changes: Any) -> Rnn.Train:
    return Rnn.Train(**{**TRAIN, **changes})


def tasks(dataset: Dataset, **changes: Any) -> list[Task]:
    torch.manual_seed(0)
    chosen = options(**changes)
    return make_tasks(Moments(dataset), chosen, settled(chosen), "cpu")
