"""MS-SSIM: how alike two pictures look; over random pairs of one set it says how varied the set is."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.metrics.arrays import Pixels, checked

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
SIGMA = 1.5
CHUNK = 128


def scales(height: int, width: int) -> int:
    """How many of the five scales fit: the 11x11 window must lie inside the smallest one."""
    count, side = 1, min(height, width)
    while count < len(WEIGHTS) and side // 2 >= WINDOW:
        count, side = count + 1, side // 2
    return count


@torch.inference_mode()
def ms_ssim(one: Pixels, two: Pixels) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """MS-SSIM of each picture of ``one`` with its partner in ``two``, [N], 1 for equal pictures.

    Pictures under 176 px have fewer than five scales; the weights of those they have are made to sum to one. Windows shrink
    below 11 px, to the largest odd size. Contrast terms below zero (opposite structure) count as zero.

    Source: Wang, Simoncelli & Bovik 2003.
    """
    parts = [_chunk(one[i : i + CHUNK], two[i : i + CHUNK]) for i in range(0, len(checked(one)), CHUNK)]
    return torch.cat(parts).double().numpy() if parts else np.zeros(0)


def diversity(images: Pixels, *, pairs: int = 2000, seed: int = 0) -> float:
    """The mean MS-SSIM of random pairs: near the real data's own value the set is as varied as it is, above it less varied.

    NaN for fewer than two pictures.
    """
    count = len(images)
    if count < 2:
        return float("nan")
    rng = np.random.default_rng([seed, 0x551])
    pairs = min(pairs, count * (count - 1) // 2)
    first = rng.integers(0, count, pairs)
    second = (first + rng.integers(1, count, pairs)) % count  # never itself
    chunks = [slice(i, i + CHUNK) for i in range(0, pairs, CHUNK)]  # the pairs are many times the pictures: never all at once
    return float(np.concatenate([ms_ssim(images[first[chunk]], images[second[chunk]]) for chunk in chunks]).mean())


def _chunk(one: Pixels, two: Pixels) -> Tensor:
    x, y = (torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() for images in (one, two))
    count = scales(*x.shape[-2:])
    weights = torch.tensor(WEIGHTS[:count], dtype=torch.float32)
    weights = weights / weights.sum()
    window = _window(min(x.shape[-2:]))
    total = torch.ones(x.shape[:2], dtype=torch.float32)
    for scale in range(count):
        similarity, contrast = _terms(x, y, window)  # each [N, C]
        term = similarity if scale == count - 1 else contrast
        total = total * term.clamp_min(0) ** weights[scale]
        if scale < count - 1:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return total.mean(1)


def _terms(x: Tensor, y: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM (luminance times contrast and structure) and contrast and structure alone, as means over the places."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = _filter(x, window), _filter(y, window)
    var_x = _filter(x * x, window) - mean_x**2
    var_y = _filter(y * y, window) - mean_y**2
    cov = _filter(x * y, window) - mean_x * mean_y
    contrast = (2 * cov + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def _filter(x: Tensor, window: Tensor) -> Tensor:
    channels, side = x.shape[1], len(window)
    x = F.conv2d(x, window.view(1, 1, 1, side).expand(channels, 1, 1, side), groups=channels)
    return F.conv2d(x, window.view(1, 1, side, 1).expand(channels, 1, side, 1), groups=channels)


def _window(side: int) -> Tensor:
    side = min(WINDOW, side if side % 2 else side - 1)
    places = torch.arange(side, dtype=torch.float32) - side // 2
    values = torch.exp(-(places**2) / (2 * SIGMA**2))
    return values / values.sum()
