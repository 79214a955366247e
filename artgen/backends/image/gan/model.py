"""The networks of ``image.gan``: parameters and mathematics on tensors.

The generator is a stack of 3x3 convolutions whose channels are scaled and shifted by a style; the discriminator
a stack of strided 4x4 convolutions. Plain convolutions were chosen by measurement: on a CPU with matrix units they
train ten times faster than grouped ones (docs/log.md).
Sources: Karras et al. 2019 (styles), Huang et al. 2024 "The GAN is dead; long live the GAN!" (no normalisation in the
discriminator, loss), Karras et al. 2018 "Progressive Growing of GANs" (growing, pixel norm).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.nn.convolution import StyledConv, bias
from artgen.nn.mapping import Mapping

# B batch, C channels, H height, W width, Z latent size, S style size, L stages


class Stage(nn.Module):
    """Double the size (but for the first stage), then, where ``refine``, convolve once more as a residual."""

    def __init__(self, inputs: int, outputs: int, style: int, grow: bool, refine: bool) -> None:
        super().__init__()
        self.enter = StyledConv(inputs, outputs, style, grow)
        self.refine = StyledConv(outputs, outputs, style) if refine else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Shapes: x [B, C_in, H, W], style [B, S] -> [B, C_out, 2H, 2W] (or H, W)."""
        x = self.enter(x, style)
        return x if self.refine is None else (x + self.refine(x, style)) * math.sqrt(0.5)


class Generator(nn.Module):
    """Latents to pictures in -1..1.

    ``widths`` are the channels of the stages from 4x4 up; the resolution is 4 * 2^(len(widths) - 1). The first ``refined``
    stages have a second convolution. With ``progressive`` every stage from 8x8 up has its own output, so that training may
    begin small.
    """

    def __init__(
        self, widths: Sequence[int], *, refined: int = 99, latent: int = 64, style: int = 128, classes: int = 0, channels: int = 3,
        progressive: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mapping = Mapping(latent, style, classes=classes)
        self.root = nn.Linear(style, widths[0] * 16)
        pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
        self.stages = nn.ModuleList(Stage(a, b, style, index > 0, index < refined) for index, (a, b) in enumerate(pairs))
        first = 1 if progressive else len(widths) - 1
        outputs = {str(level): nn.Conv2d(widths[level], channels, 3, padding=1) for level in range(first, len(widths))}
        self.outputs = nn.ModuleDict(outputs)
        for output in outputs.values():
            nn.init.normal_(output.weight, std=0.5 / math.sqrt(output.weight[0].numel()))
            nn.init.constant_(bias(output), 0.0)

    @property
    def levels(self) -> int:
        """The number of stages L; each takes a style of its own."""
        return len(self.stages)

    @property
    def resolution(self) -> int:
        """Height and width of the pictures."""
        return int(4 * 2 ** (self.levels - 1))

    def forward(self, latents: Tensor, labels: Tensor | None = None, level: int | None = None, fade: float = 1.0) -> Tensor:
        """Shapes: latents [B, Z], labels [B] -> pictures [B, C, H, W]; ``level`` and ``fade`` as in :meth:`synthesise`."""
        return self.synthesise(self.mapping(latents, labels), level, fade)

    def synthesise(self, styles: Tensor, level: int | None = None, fade: float = 1.0) -> Tensor:
        """Pictures [B, C, H, W] from styles [B, S] (one for all stages) or [B, L, S] (one a stage).

        While growing, ``level`` is the last stage in use and ``fade`` in 0..1 how far it has replaced the one before.
        """
        level = self.levels - 1 if level is None else level
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, self.levels, -1)
        x = self.root(styles[:, 0]).unflatten(1, (-1, 4, 4))
        if next(self.outputs.parameters()).is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous(memory_format=torch.channels_last)
        before = x
        for index in range(level + 1):
            before, x = x, self.stages[index](x, styles[:, index])
        picture: Tensor = self.outputs[str(level)](x)
        if fade < 1 and str(level - 1) in self.outputs:
            small = self.outputs[str(level - 1)](before)
            picture = torch.lerp(F.interpolate(small, scale_factor=2, mode="nearest"), picture, fade)
        return picture


class ClassicGenerator(nn.Module):
    """The classic convolutional generator: noise through transposed convolutions with batch norm.

    Source: Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs" (DCGAN).
    """

    def __init__(self, resolution: int = 32, *, latent: int = 100, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.latent = latent
        self.resolution = resolution
        doublings = int(math.log2(resolution)) - 2
        widths = [min(512, width * 2 ** (doublings - 1 - index)) for index in range(doublings)]
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, widths[0], 4, 1, 0, bias=False)]
        for a, b in pairwise(widths):
            layers += [nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(), nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        _classic_init(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Shapes: latents [B, Z] -> pictures [B, C, H, W] in -1..1."""
        pictures: Tensor = self.layers(latents[:, :, None, None])
        return pictures


class ClassicDiscriminator(nn.Module):
    """The classic strided discriminator with batch norm. Source: Radford et al. 2016 (DCGAN)."""

    def __init__(self, resolution: int = 32, *, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        doublings = int(math.log2(resolution)) - 2
        widths = [min(512, width * 2**index) for index in range(doublings)]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(0.2)]
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 0))
        _classic_init(self)

    def forward(self, pictures: Tensor) -> Tensor:
        """Shapes: pictures [B, C, H, W] -> logits [B], float32."""
        logits: Tensor = self.layers(pictures)
        return logits.flatten().float()


def _classic_init(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
