"""Pictures whose distribution is known: four kinds of figures, and a dataset on disk made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artgen.dataset import Dataset, Manifest, fingerprint, write_manifest

Pixels = NDArray[np.uint8]
MakeDataset = Callable[..., Dataset]
KINDS = ("bars", "checks", "disc", "ring")


def figure(number: int, size: int = 32) -> tuple[Pixels, int]:
    """A figure [size, size, 3] in random colours, place and fineness, and the number of its kind."""
    random = np.random.default_rng([7, number])
    kind = int(random.integers(4))
    y, x = np.mgrid[0:size, 0:size] / size
    radius = np.hypot(y - random.uniform(0.35, 0.65), x - random.uniform(0.35, 0.65))
    waves, phase = random.uniform(3, 6), random.uniform(0, 6)
    bars, checks = np.sin(6.283 * waves * x + phase), np.sin(6.283 * waves * x + phase) * np.sin(6.283 * waves * y + phase)
    shapes = (bars, checks, random.uniform(0.15, 0.35) - radius, 0.08 - np.abs(radius - random.uniform(0.2, 0.3)))
    ground, colour = (
        random.uniform(150, 255, 3),
        np.array([random.uniform(100, 200), random.uniform(0, 120), random.uniform(0, 60)]),
    )
    pixels = np.where((shapes[kind] > 0)[..., None], colour, ground) + random.normal(0, 4, (size, size, 3))
    return pixels.clip(0, 255).astype(np.uint8), kind


def figures(count: int, start: int = 0, size: int = 32) -> tuple[Pixels, NDArray[np.int64]]:
    """``count`` figures [N, size, size, 3] and their kinds [N]."""
    pairs = [figure(number, size) for number in range(start, start + count)]
    return np.stack([pixels for pixels, _ in pairs]), np.array([kind for _, kind in pairs])


def write_dataset(folder: Path, images: Pixels, labels: NDArray[np.int64] | None = None) -> Dataset:
    """A dataset on disk of ``images``."""
    folder.mkdir(parents=True)
    arrays, shapes = {"images": "images.npy"}, {"images": list(images.shape)}
    np.save(folder / "images.npy", images)
    if labels is not None:
        arrays["labels"], shapes["labels"] = "labels.npy", list(labels.shape)
        np.save(folder / "labels.npy", labels.astype(np.uint16))
    manifest = Manifest(
        artgen="0", kind="image", count=len(images), arrays=arrays, shapes=shapes,
        classes=[] if labels is None else list(KINDS), fingerprint=fingerprint(images.tobytes()),
    )  # fmt: skip
    return write_manifest(folder, manifest)
