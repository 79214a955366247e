"""Where the styles of a mapping network lie: a Gaussian, in whose coordinates styles are looked for and directions are measured."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.nn.mapping import Mapping

SLOPE = 0.2
"""Of the last rectifier of the mapping network."""

SAMPLES = 4096
NARROWEST = 1e-4
"""Variances below this share of the largest count as this much, so that every style has coordinates."""


@dataclass(frozen=True, eq=False)
class Manifold:
    """The styles of one class (or of a model without classes), measured on fixed samples.

    Before the last rectifier they are close to a Gaussian: there a style's coordinates are its whitened principal
    components, each of unit variance, and the mean square of the coordinates says how unusual a style is.
    Source: Zhu et al. 2020, "Improved StyleGAN Embedding: Where are the Good Latents?", section 3.
    """

    styles: Tensor  # [N, S], the samples
    centre: Tensor  # [S], of the samples before the rectifier
    axes: Tensor  # [S, S], orthonormal columns
    widths: Tensor  # [S], the standard deviation along each axis

    @classmethod
    def of(cls, mapping: Mapping, label: int | None) -> Manifold:
        """Measure the styles of the class ``label``; the same for the same weights."""
        styles = sample(mapping, SAMPLES, label, seed=0)
        before = F.leaky_relu(styles, 1 / SLOPE)
        # float64 on the CPU: the same axes whatever the device, and narrow ones that are not noise.
        exact = before.double().cpu()
        widths, axes = torch.linalg.eigh(torch.cov(exact.T))
        widths = widths.clamp(min=NARROWEST * float(widths[-1])).sqrt()
        place = {"device": styles.device, "dtype": styles.dtype}
        return cls(styles, before.mean(0), axes.to(**place), widths.to(**place))

    def coordinates(self, styles: Tensor) -> Tensor:
        """Styles [..., S] as coordinates [..., S]."""
        return (F.leaky_relu(styles, 1 / SLOPE) - self.centre) @ self.axes / self.widths

    def at(self, coordinates: Tensor) -> Tensor:
        """The styles at ``coordinates``: the inverse of :meth:`coordinates`."""
        return F.leaky_relu(self.centre + (coordinates * self.widths) @ self.axes.T, SLOPE)


@torch.no_grad()
def sample(mapping: Mapping, count: int, label: int | None, seed: int) -> Tensor:
    """``count`` styles [N, S] from latents fixed by ``seed``: of one class, or of all classes in turn."""
    random = torch.Generator().manual_seed(seed)
    device = next(mapping.parameters()).device
    latents = torch.randn(count, mapping.latent, generator=random).to(device)
    if not mapping.classes:
        return mapping(latents)  # type: ignore[no-any-return]
    numbers = torch.arange(count, device=device) % mapping.classes
    return mapping(latents, numbers if label is None else torch.full_like(numbers, label))  # type: ignore[no-any-return]
