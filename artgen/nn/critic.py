"""The discriminator of pictures, whole ones and frames of clips: logits, and the features that a projection compares by.

Source: Huang et al. 2024, "The GAN is dead; long live the GAN!" (no normalisation); Karras et al. 2018, "Progressive Growing of
GANs" (growing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.nn.convolution import bias

# B batch, C channels, H height, W width


class Discriminator(nn.Module):
    """Pictures to logits: real ahead of generated.

    ``widths`` are the channels of the stages, from 4x4 up, as for the generator: stage k works at 4 * 2^k.
    A class is compared with the features by projection (Miyato and Koyama 2018, "cGANs with projection discriminator").
    """

    def __init__(
        self, widths: Sequence[int], *, refined: int = 99, classes: int = 0, channels: int = 3, progressive: bool = False
    ) -> None:
        super().__init__()
        self.refined = refined
        top = len(widths)
        first = 1 if progressive else top
        # The input stage at level k halves a picture of 4 * 2^k pixels to the size that stage k - 1 works at.
        self.inputs = nn.ModuleDict(
            {str(level): nn.Conv2d(channels, widths[level - 1], 4, 2, 1) for level in range(first, top + 1)}
        )
        refine = [nn.Conv2d(width, width, 3, padding=1) for width in widths[:refined]]
        self.refine = nn.ModuleList(refine)
        self.shrink = nn.ModuleList(nn.Conv2d(b, a, 4, 2, 1) for a, b in pairwise(widths))
        self.features = nn.Linear(widths[0] * 16, widths[0])
        self.head = nn.Linear(widths[0], 1)
        self.embed = nn.Embedding(classes, widths[0]) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(bias(module))
        for conv in refine:
            nn.init.zeros_(conv.weight)
        if self.embed is not None:
            nn.init.zeros_(self.embed.weight)

    def forward(self, pictures: Tensor, labels: Tensor | None = None, fade: float = 1.0) -> Tensor:
        """Shapes: pictures [B, C, H, W], labels [B] -> logits [B], float32."""
        x = F.leaky_relu(self.features(self.trunk(pictures, fade)[-1].flatten(1)), 0.2)
        logits = self.head(x)[:, 0]
        if self.embed is not None:
            if labels is None:
                raise ValueError("a class-conditional discriminator needs labels")
            logits = logits + (x * self.embed(labels)).sum(1) / math.sqrt(x.shape[1])
        result: Tensor = logits.float()
        return result

    def trunk(self, pictures: Tensor, fade: float = 1.0) -> list[Tensor]:
        """The features after every stage, the largest first; :mod:`.project` compares pictures by them."""
        level = int(math.log2(pictures.shape[-1])) - 2
        x = self._refine(F.leaky_relu(self.inputs[str(level)](pictures), 0.2), level - 1)
        found = [x]
        for index in range(level - 2, -1, -1):
            x = F.leaky_relu(self.shrink[index](x), 0.2)
            if fade < 1 and index == level - 2 and str(level - 1) in self.inputs:
                small = F.leaky_relu(self.inputs[str(level - 1)](F.avg_pool2d(pictures, 2)), 0.2)
                x = torch.lerp(small, x, fade)
            x = self._refine(x, index)
            found.append(x)
        return found

    def _refine(self, x: Tensor, index: int) -> Tensor:
        return x + F.leaky_relu(self.refine[index](x), 0.2) if index < self.refined else x
