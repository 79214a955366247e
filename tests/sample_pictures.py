"""Pictures for tests, in a module of its own name: worker processes import it too."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def picture(number: int, height: int = 40, width: int = 40) -> NDArray[np.uint8]:
    """A soft blob on a coloured ground: different for every ``number``, uint8 [height, width, 3]."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width] / (min(height, width) - 1)
    centre, ground, colour = random.uniform(0.3, 0.7, 2), random.uniform(120, 255, 3), random.uniform(0, 160, 3)
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 0.05)[..., None]
    pixels: NDArray[np.uint8] = (ground + (colour - ground) * blob).round().astype(np.uint8)
    return pixels


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """``pixels`` as a file of the kind that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    from PIL import Image

    Image.fromarray(pixels).save(path)
    return path


def many(folder: Path, count: int, size: int = 12) -> Path:
    """``count`` different pictures in two class folders, with two bad files and a duplicate among them."""
    for number in range(count):
        save(folder / ("even" if number % 2 == 0 else "odd") / f"{number}.png", picture(number, size, size))
    (folder / "even" / "3bad.png").write_bytes(b"no picture")
    (folder / "odd" / "40bad.png").write_bytes(b"")
    shutil.copy(folder / "even" / "0.png", folder / "odd" / "50copy.png")
    return folder
