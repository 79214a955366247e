"""The plain 3D-GAN: transposed convolutions in three dimensions against strided ones, for clips and for solids.

The third dimension is time in a clip and depth in a solid, whose ``frames`` are then its resolution.

Sources: Wu et al. 2016, "Learning a Probabilistic Latent Space of Object Shapes via 3D Generative-Adversarial Modeling" (solids);
Vondrick et al. 2016, "Generating Videos with Scene Dynamics" (clips).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

# B batch, C channels, T frames (or depth), H height, W width, Z latent size


Norm = Literal["batch", "group", "none"]
"""What keeps the numbers between layers in range: as in the papers; of each item alone, so that the batch has no say; nothing."""


def doublings(resolution: int) -> int:
    """How often 4 pixels are doubled to ``resolution``."""
    return (resolution // 4).bit_length() - 1


class ClassicGenerator(nn.Module):
    """Noise through transposed convolutions: latents [B, Z] -> clips [B, C, T, H, W] in -1..1."""

    def __init__(
        self, frames: int = 16, resolution: int = 64, *, latent: int = 100, width: int = 64, channels: int = 3, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.latent = latent
        count = doublings(resolution)
        widths = [min(512, width * 2 ** (count - 1 - index)) for index in range(count)]
        lengths = halvings(frames, count)[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose3d(latent, widths[0], (lengths[0], 4, 4), 1, 0, bias=False)]
        for number, ((a, b), (before, after)) in enumerate(zip(pairwise([*widths, channels]), pairwise(lengths), strict=True)):
            grow = (4, 2) if after > before else (3, 1)
            layers += [*_norm(norm, a), nn.ReLU()]
            layers.append(nn.ConvTranspose3d(a, b, (grow[0], 4, 4), (grow[1], 2, 2), 1, bias=number == count - 1))
        self.layers = nn.Sequential(*layers, nn.Tanh())
        _init(self, norm)

    def forward(self, latents: Tensor) -> Tensor:
        """Clips of ``latents``."""
        clips: Tensor = self.layers(latents[:, :, None, None, None])
        return clips


class ClassicDiscriminator(nn.Module):
    """Clips [B, C, T, H, W] through strided convolutions to logits [B], float32."""

    def __init__(self, frames: int = 16, resolution: int = 64, *, width: int = 64, channels: int = 3, norm: Norm = "batch") -> None:
        super().__init__()
        count = doublings(resolution)
        widths = [min(512, width * 2**index) for index in range(count)]
        lengths = halvings(frames, count)
        layers: list[nn.Module] = []
        for (a, b), (before, after) in zip(pairwise([channels, *widths]), pairwise(lengths), strict=True):
            shrink = (4, 2) if after < before else (3, 1)
            layers.append(nn.Conv3d(a, b, (shrink[0], 4, 4), (shrink[1], 2, 2), 1, bias=not layers or norm == "none"))
            layers += _norm(norm, b) if len(layers) > 1 else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv3d(widths[-1], 1, (lengths[-1], 4, 4), 1, 0))
        _init(self, norm)

    def forward(self, clips: Tensor) -> Tensor:
        """How real each clip looks."""
        logits: Tensor = self.layers(clips)
        return logits.flatten().float()


def halvings(frames: int, count: int) -> list[int]:
    """The lengths of a clip that is halved up to ``count`` times, for as long as it is even."""
    lengths = [frames]
    for _ in range(count):
        lengths.append(lengths[-1] // 2 if lengths[-1] % 2 == 0 else lengths[-1])
    return lengths


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "none":
        return []
    return [nn.BatchNorm3d(channels) if norm == "batch" else nn.GroupNorm(math.gcd(8, channels), channels)]


def _init(network: nn.Module, norm: Norm) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            if norm == "none":  # nothing puts the numbers back in range: they must stay there by themselves
                nn.init.kaiming_normal_(module.weight, a=0.2)
            else:
                nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)
