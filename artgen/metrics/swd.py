"""Sliced Wasserstein distance between patches of two sets of pictures, a level of detail at a time.

Source: Karras et al. 2018, "Progressive Growing of GANs", section 5: Laplacian pyramid down to 16 px, 7x7 patches,
128 a picture, normalised per channel, 512 random projections, times 1000. It needs no trained network, so it is the one
measure that can be compared with published numbers offline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from artgen.metrics.arrays import Pixels, checked

PATCH = 7
SMALLEST = 16
CHUNK = 128

_KERNEL = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


@dataclass(frozen=True, eq=False)
class Descriptors:
    """Normalised patches of one set: for each level, finest first, float32 [N * patches, D]; ``sizes`` are the levels' heights."""

    levels: tuple[NDArray[np.float32], ...]
    sizes: tuple[int, ...]


def level_sizes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """The sizes of the pyramid: halved as long as both sides stay 16 px or more."""
    sizes = [(height, width)]
    while min((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2) >= SMALLEST:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return tuple(sizes)


def descriptors(images: Pixels, *, patches: int = 128, seed: int = 0) -> Descriptors:
    """Random patches of every level of every picture, normalised per channel over the set.

    The same seed takes the same places from the n-th picture of any set.
    """
    sizes = level_sizes(*checked(images).shape[1:3])
    found: list[list[NDArray[np.float32]]] = [[] for _ in sizes]
    generators = [np.random.default_rng([seed, level]) for level in range(len(sizes))]
    for start in range(0, len(images), CHUNK):
        chunk = torch.from_numpy(np.array(images[start : start + CHUNK])).permute(0, 3, 1, 2).float()
        for level, band in enumerate(_laplacian(chunk, len(sizes))):
            found[level].append(_patches(band.numpy(), patches, generators[level]))
    return Descriptors(tuple(_normalised(np.concatenate(parts)) for parts in found), tuple(height for height, _ in sizes))


def distances(one: Descriptors, two: Descriptors, *, projections: int = 512, seed: int = 0) -> dict[int, float]:
    """The distance of each level, times 1000, by its size in pixels.

    Raises:
        ValueError: the two sets differ in number of patches or in size; our own mistake, not the user's.
    """
    if one.sizes != two.sizes or any(a.shape != b.shape for a, b in zip(one.levels, two.levels, strict=True)):
        raise ValueError("sliced Wasserstein distance compares as many pictures of the same size")
    found = {}
    for level, (size, a, b) in enumerate(zip(one.sizes, one.levels, two.levels, strict=True)):
        directions = np.random.default_rng([seed, 0x51D, level]).standard_normal((a.shape[1], projections), np.float32)
        directions /= np.linalg.norm(directions, axis=0)
        found[size] = 1000 * _sliced(a, b, directions)
    return found


def sliced_wasserstein(
    one: Pixels, two: Pixels, *, patches: int = 128, projections: int = 512, seed: int = 0
) -> tuple[float, dict[int, float]]:
    """The mean over levels and the distance of each level; the first of both sets where one has more pictures."""
    count = min(len(one), len(two))
    if count == 0:
        return float("nan"), {}
    first = descriptors(one[:count], patches=patches, seed=seed)
    levels = distances(first, descriptors(two[:count], patches=patches, seed=seed), projections=projections, seed=seed)
    return float(np.mean(list(levels.values()))), levels


def _sliced(a: NDArray[np.float32], b: NDArray[np.float32], directions: NDArray[np.float32]) -> float:
    total = 0.0
    for start in range(0, directions.shape[1], 32):  # a few directions at a time: each is a column of a million numbers
        part = directions[:, start : start + 32]
        # NumPy sorts float32 along the last axis with vector instructions; torch.sort is many times slower.
        x = np.sort(np.ascontiguousarray((a @ part).T), axis=1)
        y = np.sort(np.ascontiguousarray((b @ part).T), axis=1)
        total += float(np.abs(x - y).mean(axis=1, dtype=np.float64).sum())
    return total / len(directions.T)


def _laplacian(x: Tensor, levels: int) -> Iterator[Tensor]:
    """Bands of detail, finest first; the last is what remains. x [N, C, H, W]."""
    for _ in range(levels - 1):
        smaller = _blur(x)[..., ::2, ::2]
        yield x - _grown(smaller, x.shape[-2:])
        x = smaller
    yield x


def _grown(x: Tensor, size: torch.Size) -> Tensor:
    spread = x.new_zeros(*x.shape[:2], *size)
    spread[..., ::2, ::2] = x
    return 4 * _blur(spread)  # three of four places are empty


def _blur(x: Tensor) -> Tensor:
    """Convolve with the 5x5 binomial kernel, mirrored at the borders."""
    channels = x.shape[1]
    x = F.pad(x, (2, 2, 2, 2), mode="reflect")
    x = F.conv2d(x, _KERNEL.view(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)
    return F.conv2d(x, _KERNEL.view(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)


def _patches(band: NDArray[np.float32], patches: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """[N, C, H, W] -> [N * patches, C * P * P] from random places."""
    count, channels, height, width = band.shape
    side = min(PATCH, height, width)
    top = rng.integers(0, height - side + 1, (count, patches))
    left = rng.integers(0, width - side + 1, (count, patches))
    windows = np.lib.stride_tricks.sliding_window_view(band, (side, side), axis=(2, 3))  # [N, C, H', W', P, P]
    found = windows[np.arange(count)[:, None], :, top, left]  # [N, patches, C, P, P]
    return np.ascontiguousarray(found.reshape(count * patches, channels * side * side))


def _normalised(found: NDArray[np.float32], channels: int = 3) -> NDArray[np.float32]:
    """Mean 0 and deviation 1 of each channel over the whole set: the distance is about structure, not about tint."""
    split = found.reshape(len(found), channels, -1)
    mean = split.mean(axis=(0, 2), keepdims=True, dtype=np.float64)
    deviation = split.std(axis=(0, 2), keepdims=True, dtype=np.float64)
    split -= mean.astype(np.float32)
    split /= np.maximum(deviation, 1e-6).astype(np.float32)  # a band may be empty: pictures of one colour
    return found
