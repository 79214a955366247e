"""How large the networks are, from one dial; and what follows from the size of clips and data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from artgen.backends.video.gan3d import motion
from artgen.training.schedule import penalty_of

# Channels of the stages that work at 4, 8, 16 … pixels: (generator, discriminator of clips, discriminator of pictures).
WIDTHS = {
    "sketch": ((96, 80, 48, 24, 12), (96, 64, 32, 16), (64, 48, 24, 12)),
    "standard": ((120, 104, 72, 48, 24), (96, 72, 48, 28), (64, 48, 32, 16)),
    "large": ((384, 256, 160, 96, 48), (320, 224, 128, 64), (256, 192, 96, 48)),
}
STYLES = {"sketch": (96, 48), "standard": (96, 48), "large": (192, 96)}
"""Sizes of the styles of content and of motion."""

BACKGROUND = {"sketch": (64, 48, 24, 16, 8), "standard": (96, 64, 48, 24, 16), "large": (192, 128, 96, 48, 24)}
# Stages below this have a second, residual convolution; at higher ones it costs more than it gives.
REFINED = {"sketch": 2, "standard": 3, "large": 5}
CLASSIC = 64
"""Channels of the classic networks at their largest pictures."""

RATE, GROWING_RATE = 5e-4, 1e-3
"""At 1e-3 the judge of clips bursts when the warm-up ends, and nothing moves afterwards; while growing it has a cap of its own."""

WARMING = 25
"""Steps over which the rate rises: of two minutes on a slow processor, 1,000 clips are more than there are."""

JUDGES = 0.3
"""The highest rate of growing discriminators, of the generator's: without norms, they burst at the full one (docs/log.md)."""
CLASSIC_RATE = 2e-4
RESOLUTIONS = (32, 64, 128)
FRAMES = (8, 64)


@dataclass(frozen=True)
class Recipe:
    """The numbers of a training that the options leave open; ``gammas`` weigh the penalties on clips and on pictures."""

    learning_rate: float
    gammas: tuple[float, float]
    strength: float


def network(
    preset: str, resolution: int, frames: int, *, channels: int = 3, classes: list[int], background: bool, progressive: bool = False
) -> dict[str, Any]:
    """The ``network`` part of config.json; ``classes`` holds how many clips each class has, empty without classes."""
    stages = int(math.log2(resolution)) - 1
    generator, clips, pictures = (_stretched(widths, stages) for widths in WIDTHS[preset])
    return {
        "architecture": "style",
        "resolution": resolution,
        "frames": frames,
        "channels": channels,
        "latent": 64,
        "motion": motion.SIZE,
        "style": STYLES[preset][0],
        "motion_style": STYLES[preset][1],
        "widths": generator,
        "clip_widths": clips[: stages - 1],
        "picture_widths": pictures[: stages - 1],
        "background": _stretched(BACKGROUND[preset], stages) if background else [],
        "refined": REFINED[preset],
        "progressive": progressive,
        "class_counts": classes,
    }


def _stretched(widths: tuple[int, ...], stages: int) -> list[int]:
    """``widths`` for ``stages`` stages: cut off, or halved further down to 8."""
    found = list(widths)
    while len(found) < stages:
        found.append(max(8, found[-1] // 2))
    return found[:stages]


def batch(architecture: str, preset: str) -> int:
    """Clips a step."""
    return 32 if architecture == "vgan" else {"sketch": 8, "standard": 32, "large": 64}[preset]


def rate(preset: str, progressive: bool) -> float:
    """The learning rate at the start."""
    return GROWING_RATE if progressive and preset != "large" else RATE


def recipe(preset: str, resolution: int, frames: int, count: int, *, progressive: bool = False) -> Recipe:
    """Learning rate, penalties and first augmentation strength for clips of ``resolution``, ``frames``, and ``count`` of them.

    The penalty grows with the number of pixels, the augmentation as data gets scarce.
    """
    picture = 0.5 * penalty_of(resolution, 32)
    return Recipe(
        learning_rate=rate(preset, progressive),
        gammas=(picture * math.sqrt(frames) / 2, picture),
        strength=min(0.5, max(0.05, math.sqrt(125 / max(1, count)))),
    )
