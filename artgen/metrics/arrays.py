"""What the measures share: checks of pictures, seeded choices, micro-batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from artgen.errors import UsageError

Pixels = NDArray[np.uint8]
"""Pictures uint8 [N, H, W, 3]."""

Features = NDArray[np.float32]
"""Features float32 [N, D]."""

MICRO_BATCH = 64


def checked(images: Pixels) -> Pixels:
    """``images`` as they are, when they are uint8 [N, H, W, 3].

    Raises:
        UsageError: another shape or kind of numbers.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise UsageError(f"pictures to measure are uint8 [N, H, W, 3], not {images.dtype} {list(images.shape)}")
    return images


def choose(count: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """``wanted`` different numbers below ``count`` (all, when there are fewer) in an order that ``seed`` fixes."""
    return np.random.default_rng([seed, 0xA27]).permutation(count)[:wanted].astype(np.int64)


def to_square(images: Pixels, size: int) -> Tensor:
    """Pictures as float32 [N, 3, size, size] in -1..1: averaged over areas where they shrink, bilinear where they grow."""
    # Copied: pictures of a dataset are mapped read-only, which torch warns about.
    x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1  # [N, 3, H, W]
    height, width = x.shape[-2:]
    if (height, width) == (size, size):
        return x.contiguous()
    if height >= size and width >= size:
        return F.interpolate(x, size=(size, size), mode="area")
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


@torch.inference_mode()
def in_micro_batches(network: Callable[[Tensor], Tensor], images: Pixels, size: int, advance: Callable[[int], object]) -> Features:
    """Features of all ``images``; ``network`` takes [64, 3, size, size] and gives [64, D].

    The last micro-batch is filled up: kernels are chosen by shape, so a picture's bits would otherwise depend on how many
    came along.
    """
    parts = []
    for start in range(0, len(images), MICRO_BATCH):
        x = to_square(images[start : start + MICRO_BATCH], size)
        count = len(x)
        full = x.new_zeros(MICRO_BATCH, *x.shape[1:]).to(memory_format=torch.channels_last)
        full[:count] = x
        parts.append(network(full)[:count].numpy().astype(np.float32))
        advance(count)
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
