"""What looking for a picture or a clip in a latent space needs: bands to compare by, and how fast to go."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor
from torch.nn import functional as F

# B batch, C channels, R resolution


def pyramid(pictures: Tensor) -> Iterator[Tensor]:
    """The Laplacian bands of ``pictures`` [B, C, R, R], finest first, each half as large; the last is the 4x4 picture itself."""
    while pictures.shape[-1] > 4:
        small = F.avg_pool2d(pictures, 2)
        yield pictures - F.interpolate(small, scale_factor=2, mode="nearest")
        pictures = small
    yield pictures


def ramp(fraction: float) -> float:
    """The learning rate's share at ``fraction`` of the search: up in the first twentieth, down as a cosine in the last quarter."""
    up = min(1.0, (fraction + 0.005) / 0.05)
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - fraction) / 0.25))
    return up * down
