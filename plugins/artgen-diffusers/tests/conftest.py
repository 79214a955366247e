"""What every test shares: no network, one thread, and tiny real pipelines on disk, made when they are asked for."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Set before anything imports torch or huggingface_hub, which read them once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries, at their first import
    import tiny
    import tiny_moving

import numpy as np
import pytest

from artgen import api
from artgen.artwork import Image
from artgen_diffusers.borrowed import borrowed

Pipelines = Callable[[str], Path]
SIZE = {"width": 32, "height": 32}


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> Pipelines:
    """The folder of a tiny pipeline by its name; tests must not write into it."""
    place = tmp_path_factory.mktemp("pipelines")

    def folder(name: str) -> Path:
        if not (place / name).exists():
            with borrowed():
                tiny.saved({**tiny.PICTURES, **tiny_moving.MOVING}[name](), place / name)
        return place / name

    return folder


def blob(number: int, height: int = 40, width: int = 48, channels: int = 3) -> np.ndarray:
    """A soft blob on a coloured ground, another one for every number."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width] / min(height, width)
    centre, ground, colour = random.uniform(0.3, 0.7, 2), random.uniform(120, 220, channels), random.uniform(30, 160, channels)
    shape = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 0.05)[..., None]
    return (ground + (colour - ground) * shape).round().astype(np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of the user's own, 48x40."""
    return Image(blob(1)).save(tmp_path / "own.png")


def made(folder: Path, seed: int = 7, **options: Any) -> np.ndarray:
    """The pixels of one picture of the pipeline in ``folder``, after two steps."""
    works = api.generate("image", model=folder, backend="diffusers", seed=seed, device="cpu", **{"steps": 2, **options})
    assert len(works) == 1
    return works[0].numpy()
