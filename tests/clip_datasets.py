"""Small clips for tests: a coloured square that glides over a plain ground."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from artgen.backend import SILENT
from artgen.backends.video.gan3d import presets
from artgen.backends.video.gan3d.backend import Gan3d
from artgen.dataset import Dataset, Manifest, fingerprint, write_manifest
from artgen.model import Model
from artgen.training import Run


def clip(number: int, frames: int = 8, size: int = 32) -> NDArray[np.uint8]:
    """Clip ``number``, uint8 [T, H, W, 3]; where the square begins, its colour and its way follow from the number."""
    draw = np.random.default_rng(number)
    ground, colour = draw.integers(160, 255, 3), draw.integers(0, 120, 3)
    start, speed = draw.uniform(4, size - 12, 2), draw.uniform(-1, 1, 2)
    made = np.empty((frames, size, size, 3), np.uint8)
    made[:] = ground
    for moment in range(frames):
        y, x = (round(place) for place in np.clip(start + moment * speed, 0, size - 8))
        made[moment, y : y + 8, x : x + 8] = colour
    return made


def clips(folder: Path, *, count: int = 12, frames: int = 8, size: int = 32, classes: int = 0) -> Dataset:
    """A prepared dataset of ``count`` clips in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[np.generic]] = {"videos": np.stack([clip(number, frames, size) for number in range(count)])}
    if classes:
        arrays["labels"] = np.arange(count, dtype=np.uint16) % classes
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    manifest = Manifest(
        artgen="0.1.0", kind="video", count=count, arrays={name: f"{name}.npy" for name in arrays},
        shapes={name: list(array.shape) for name, array in arrays.items()}, classes=[f"way{number}" for number in range(classes)],
        notes={"fps": 10.0}, fingerprint=fingerprint(*(array.tobytes() for array in arrays.values())),
    )  # fmt: skip
    return write_manifest(folder, manifest)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make the preset sketch, and the classic networks, ones of the real kind that train in a second."""
    patch.setitem(presets.WIDTHS, "sketch", ((12, 8, 8, 6), (8, 8, 6), (8, 6, 6)))
    patch.setitem(presets.BACKGROUND, "sketch", (8, 8, 6, 6))
    patch.setattr(presets, "CLASSIC", 4)


def tiny_model(folder: Path, **changes: Any) -> Model:
    """A model of ``video.gan3d`` a few channels wide, trained for two steps on clips of 8 frames of 32 pixels, with two classes."""
    data = clips(folder / "data", classes=2)
    (folder / "run").mkdir()
    options = Gan3d.Train(
        **{"steps": 2, "batch_size": 4, "previews": 0, "precision": "fp32", "memory_format": "contiguous", **changes}
    )
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        return Gan3d().train(data, Run(folder / "run", "video.gan3d", options, "cpu", False), options, SILENT)
