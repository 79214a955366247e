"""What every test shares: no network, one thread, a tiny trained network and pictures to dream on."""

from __future__ import annotations

import os
from pathlib import Path

# Set before anything imports torch or huggingface_hub, which read them once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest

from artgen import api
from artgen.artwork import Image
from artgen.model import Model


def blob(number: int, height: int = 40, width: int = 40, channels: int = 3) -> np.ndarray:
    """A soft blob on a coloured ground, another one for every number."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width] / max(1, min(height, width) - 1)
    centre, ground, colour = random.uniform(0.3, 0.7, 2), random.uniform(120, 220, channels), random.uniform(30, 160, channels)
    shape = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 0.05)[..., None]
    return (ground + (colour - ground) * shape).round().astype(np.uint8)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four pictures in two class folders."""
    place = tmp_path_factory.mktemp("pictures")
    for number in range(24):
        (place / ("round" if number % 2 else "soft")).mkdir(exist_ok=True)
        Image(blob(number)).save(place / ("round" if number % 2 else "soft") / f"{number:02}.png")
    return place


@pytest.fixture(scope="session")
def dataset(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures, prepared at 32 pixels."""
    place = tmp_path_factory.mktemp("data") / "set"
    api.prepare("image", folders, place, backend="deepdream", resolution=32, workers=1)
    return place


TINY = {
    "preset": "tiny",
    "steps": 3,
    "batch_size": 4,
    "crop": 16,
    "precision": "fp32",
    "memory_format": "contiguous",
    "previews": 1,
}


@pytest.fixture(scope="session")
def run(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny classifier."""
    place = tmp_path_factory.mktemp("runs") / "tiny"
    api.train("image", dataset, place, backend="deepdream", device="cpu", **TINY)
    return place


@pytest.fixture
def tiny(run: Path) -> Model:
    """The tiny classifier, freshly opened."""
    return Model.open(run)
