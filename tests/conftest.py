"""What every test shares: no network, one thread a process, and a tiny folder of generated pictures."""

from __future__ import annotations

import os
from pathlib import Path

# Set before anything imports torch or huggingface_hub, which read them once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent


def picture(number: int, height: int = 40, width: int = 40) -> NDArray[np.uint8]:
    """A soft blob on a coloured ground: different for every ``number``, uint8 [height, width, 3]."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width] / (min(height, width) - 1)
    centre, ground, colour = random.uniform(0.3, 0.7, 2), random.uniform(120, 255, 3), random.uniform(0, 160, 3)
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 0.05)[..., None]
    pixels: NDArray[np.uint8] = (ground + (colour - ground) * blob).round().astype(np.uint8)
    return pixels


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 generated PNGs of 40x40 in two class folders; tests must not write into it."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for number in range(24):
        place = folder / ("round" if number % 2 else "soft") / f"{number:02}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(number)).save(place)
    return folder
