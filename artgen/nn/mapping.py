"""The mapping network: noise (and a class) to a style vector.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", section 2.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# B batch, Z latent size, S style size


class Mapping(nn.Module):
    """Map latents to styles with a small perceptron; a class moves the latent before it is mapped.

    Shapes: latents [B, Z], labels [B] -> styles [B, S].
    """

    def __init__(self, latent: int, style: int, layers: int = 2, classes: int = 0) -> None:
        super().__init__()
        self.latent = latent
        self.classes = classes
        self.embed = nn.Embedding(classes, latent) if classes else None
        sizes = [latent * (2 if classes else 1)] + [style] * layers
        linears = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        self.layers = nn.ModuleList(linears)
        for layer in linears:
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Styles of unit mean square for ``latents``."""
        x = unit(latents)
        if self.embed is not None:
            if labels is None:
                raise ValueError("a class-conditional mapping needs labels")
            x = torch.cat([x, unit(self.embed(labels))], 1)  # [B, 2 Z]
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
        return unit(x)

    @torch.no_grad()
    def mean(self, label: int | None = None, count: int = 4096) -> Tensor:
        """The mean style [S] over ``count`` fixed latents, of one class or of all classes in turn."""
        generator = torch.Generator().manual_seed(0)
        device = next(self.parameters()).device
        latents = torch.randn(count, self.latent, generator=generator).to(device)
        labels = None
        if self.classes:
            labels = torch.arange(count, device=device) % self.classes
            if label is not None:
                labels = torch.full_like(labels, label)
        mean: Tensor = self(latents, labels).mean(0)
        return mean


def unit(x: Tensor) -> Tensor:
    """Scale vectors [B, D] to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)
