"""The network that the package brings: a small convolutional classifier, made to be dreamed through.

What makes it dream well: no normalisation that looks at the whole picture (so a tile dreams like the picture it is cut
from), smooth activations (a silent channel still has a gradient), average pooling with overlap instead of strides (no
checkerboards), and blocks that see several sizes at once.
Sources: Brock et al. 2021, "Characterizing signal propagation to close the performance gap in unnormalized ResNets" (scaled
weight standardisation); Szegedy et al. 2015, "Going deeper with convolutions" (blocks of several kernel sizes).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# B batch, C channels, H height, W width, K classes

SILU_GAIN = 1.7881
"""Keeps the variance of a normal signal through SiLU."""


class StandardConv(nn.Conv2d):
    """A convolution whose kernels are kept at mean 0 and unit gain, so that signals need no other normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.gain = nn.Parameter(torch.ones(outputs))
        self.folded = False
        nn.init.normal_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def standard(self) -> Tensor:
        """The kernels [C_out, C_in, k, k] that are applied."""
        # float32: a mean over thousands of weights loses its last digits in half precision.
        weight = self.weight.float()
        mean = weight.mean((1, 2, 3), keepdim=True)
        scale = torch.rsqrt(weight.var((1, 2, 3), keepdim=True, unbiased=False) * weight[0].numel() + 1e-6)
        return (weight - mean) * scale * self.gain.float()[:, None, None, None]

    @torch.no_grad()
    def fold(self) -> None:
        """Standardise once and for all: for a network that is trained."""
        if not self.folded:
            self.weight.copy_(self.standard())
            self.folded = True

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: x [B, C_in, H, W] -> [B, C_out, H, W]."""
        return F.conv2d(x, self.weight if self.folded else self.standard(), self.bias, padding=self.padding)


class Plain(nn.Module):
    """One convolution and its activation."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = StandardConv(inputs, outputs, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: x [B, C_in, H, W] -> [B, C_out, H, W]."""
        return activated(self.conv(x))


class Mixed(nn.Module):
    """A quarter of the channels sees single pixels, half of them 3x3, a quarter 5x5."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        quarter = outputs // 4
        self.one = StandardConv(inputs, quarter, 1)
        self.narrow = StandardConv(inputs, quarter, 1)
        self.three = StandardConv(quarter, outputs - 2 * quarter, 3)
        self.slim = StandardConv(inputs, quarter // 2, 1)
        self.five = StandardConv(quarter // 2, quarter, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: x [B, C_in, H, W] -> [B, C_out, H, W]."""
        three = self.three(activated(self.narrow(x)))
        five = self.five(activated(self.slim(x)))
        return activated(torch.cat([self.one(x), three, five], 1))


class Eye(nn.Module):
    """Pictures in -1..1 to class logits, by named layers.

    ``widths`` gives the channels of the layers of every size, the full size first; each later size is half the one before.
    Layer ``mixed3b`` is the second layer of the third size.
    """

    def __init__(self, widths: Sequence[Sequence[int]], classes: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        self.names: list[str] = []
        inputs = 3
        for size, row in enumerate(widths):
            stage = nn.ModuleList()
            for place, outputs in enumerate(row):
                mixed = size >= 2
                stage.append(Mixed(inputs, outputs) if mixed else Plain(inputs, outputs, 5 if inputs == 3 else 3))
                self.names.append(f"{'mixed' if mixed else 'conv'}{size + 1}{chr(ord('a') + place)}")
                inputs = outputs
            self.stages.append(stage)
        self.head = nn.Linear(inputs, classes)
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(inputs))
        nn.init.zeros_(self.head.bias)

    def forward(self, pictures: Tensor) -> Tensor:
        """Shapes: pictures [B, 3, H, W] -> logits [B, K], float32."""
        logits: Tensor = self.head(self.features(pictures)[-1].mean((2, 3)))
        return logits.float()

    def features(self, pictures: Tensor, last: str | None = None) -> list[Tensor]:
        """What every layer answers, each [B, C, H', W'], up to the layer ``last``."""
        x = pictures
        found: list[Tensor] = []
        for size, stage in enumerate(self.stages):
            # Padded places are left out of the mean: a rim of zeros would be seen as an edge.
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False) if size else x
            assert isinstance(stage, nn.ModuleList)
            for layer in stage:
                x = layer(x)
                found.append(x)
                if self.names[len(found) - 1] == last:
                    return found
        return found

    def fold(self) -> None:
        """Standardise all kernels once and for all: for a network that is trained."""
        for module in self.modules():
            if isinstance(module, StandardConv):
                module.fold()


def activated(x: Tensor) -> Tensor:
    """SiLU that keeps the variance of a normal signal."""
    return F.silu(x) * SILU_GAIN
