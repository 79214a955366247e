"""The plain 3D-GAN: transposed space-time convolutions with batch norm against strided ones.

Sources: Wu et al. 2016, "Learning a Probabilistic Latent Space of Object Shapes via 3D Generative-Adversarial Modeling" (solids);
Vondrick et al. 2016, "Generating Videos with Scene Dynamics" (clips).
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

# B batch, C channels, T frames (or depth), H height, W width, Z latent size


def doublings(resolution: int) -> int:
    """How often 4 pixels are doubled to ``resolution``."""
    return (resolution // 4).bit_length() - 1


class ClassicGenerator(nn.Module):
    """Noise through transposed convolutions: latents [B, Z] -> clips [B, C, T, H, W] in -1..1."""

    def __init__(self, frames: int = 16, resolution: int = 64, *, latent: int = 100, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        self.latent = latent
        count = doublings(resolution)
        widths = [min(512, width * 2 ** (count - 1 - index)) for index in range(count)]
        lengths = halvings(frames, count)[::-1]
        layers: list[nn.Module] = [nn.ConvTranspose3d(latent, widths[0], (lengths[0], 4, 4), 1, 0, bias=False)]
        for number, ((a, b), (before, after)) in enumerate(zip(pairwise([*widths, channels]), pairwise(lengths), strict=True)):
            grow = (4, 2) if after > before else (3, 1)
            layers += [nn.BatchNorm3d(a), nn.ReLU()]
            layers.append(nn.ConvTranspose3d(a, b, (grow[0], 4, 4), (grow[1], 2, 2), 1, bias=number == count - 1))
        self.layers = nn.Sequential(*layers, nn.Tanh())
        _init(self)

    def forward(self, latents: Tensor) -> Tensor:
        """Clips of ``latents``."""
        clips: Tensor = self.layers(latents[:, :, None, None, None])
        return clips


class ClassicDiscriminator(nn.Module):
    """Clips [B, C, T, H, W] through strided convolutions to logits [B], float32."""

    def __init__(self, frames: int = 16, resolution: int = 64, *, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        count = doublings(resolution)
        widths = [min(512, width * 2**index) for index in range(count)]
        lengths = halvings(frames, count)
        layers: list[nn.Module] = []
        for (a, b), (before, after) in zip(pairwise([channels, *widths]), pairwise(lengths), strict=True):
            shrink = (4, 2) if after < before else (3, 1)
            layers.append(nn.Conv3d(a, b, (shrink[0], 4, 4), (shrink[1], 2, 2), 1, bias=not layers))
            layers += [nn.BatchNorm3d(b)] if len(layers) > 1 else []
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers, nn.Conv3d(widths[-1], 1, (lengths[-1], 4, 4), 1, 0))
        _init(self)

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


def _init(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d):
            nn.init.normal_(module.weight, std=0.02)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)
