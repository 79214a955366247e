"""How large the networks are, from one dial; and what follows from the size of pictures and data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from artgen.training.schedule import penalty_of

# Channels of the stages that work at 4, 8, 16 … pixels: (generator, discriminator).
WIDTHS = {
    "brief": ((128, 96, 48, 32, 24, 16, 12), (128, 80, 48, 32, 24, 16, 12)),
    "sketch": ((192, 128, 64, 32, 24, 16, 12), (192, 96, 48, 32, 24, 16, 12)),
    "standard": ((256, 192, 128, 64, 32, 24, 16), (256, 192, 96, 48, 32, 24, 16)),
    # Few weights at small sizes, where most of them lie, and many channels at large ones, where the work lies.
    "compact": ((176, 160, 128, 96, 56, 32, 16), (144, 128, 128, 80, 48, 24, 12)),
    "large": ((512, 512, 384, 256, 128, 64, 32), (512, 512, 384, 256, 128, 64, 32)),
}
# Stages below this have a second, residual convolution; at higher ones it costs more than it gives on a CPU.
REFINED = {"brief": 2, "sketch": 3, "standard": 4, "compact": 5, "large": 7}
# Weight of the gradient penalty at 32 pixels: a training of minutes does not live to see what a light one allows (docs/log.md).
GAMMA = {"brief": 4.0, "sketch": 4.0, "standard": 0.5, "compact": 0.5, "large": 0.5}
CLASSIC_RATE = 2e-4
RESOLUTIONS = (32, 64, 128, 256)


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training that the options leave open."""

    learning_rate: float
    gamma: float
    strength: float


def network(preset: str, resolution: int, *, classes: list[int], progressive: bool) -> dict[str, Any]:
    """The ``network`` part of config.json; ``classes`` holds how many pictures each class has, empty without classes."""
    stages = int(math.log2(resolution)) - 1
    generator, discriminator = WIDTHS[preset]
    return {
        "architecture": "style",
        "resolution": resolution,
        "latent": 64,
        "style": 128,
        "widths": list(generator[:stages]),
        "discriminator_widths": list(discriminator[: stages - 1]),
        "refined": REFINED[preset],
        "class_counts": classes,
        "progressive": progressive,
    }


def batch(architecture: str, preset: str) -> int:
    """Pictures a step: in few minutes on a CPU many small steps learn more than few large ones (docs/log.md)."""
    return 32 if architecture == "dcgan" else {"brief": 16, "sketch": 16, "standard": 32, "compact": 64, "large": 64}[preset]


def recipe(preset: str, resolution: int, count: int) -> Recipe:
    """Learning rate, penalty and first augmentation strength for pictures of ``resolution`` and ``count`` of them.

    The penalty grows with the number of pixels, the augmentation as data gets scarce: 0.5 for 500 pictures and fewer, 0.1 for
    12,500.
    """
    return Recipe(
        learning_rate={"brief": 1e-3, "sketch": 1e-3, "standard": 1e-3, "compact": 1e-3, "large": 5e-4}[preset],
        gamma=GAMMA[preset] * penalty_of(resolution, 32),
        strength=min(0.5, max(0.05, math.sqrt(125 / max(1, count)))),
    )
