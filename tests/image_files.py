"""Pictures in files of every kind, for the tests of reading and writing them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

RANDOM = np.random.default_rng(0)

NOISE = RANDOM.integers(0, 256, (24, 30, 3)).astype(np.uint8)

# Soft, as pictures are: lossy formats may be held to a small error.
SOFT = np.stack(np.broadcast_arrays(*(np.mgrid[0:24, 0:30] * 4), 128), axis=-1).astype(np.uint8)


def save(picture: Image.Image, path: Path, **settings: Any) -> Path:
    picture.save(path, **settings)
    return path


def first(pixels: NDArray[np.uint8]) -> list[int]:
    return [int(value) for value in pixels[0, 0]]
