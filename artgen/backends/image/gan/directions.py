"""Directions in which a model's pictures vary most, found without labels."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from artgen.backends.image.gan.model import Generator
from artgen.nn.convolution import StyledConv
from artgen.nn.manifold import Manifold

Method = Literal["sefa", "pca"]


@torch.no_grad()
def direction(generator: Generator, manifold: Manifold, number: int, method: Method) -> Tensor:
    """Direction ``number`` (1 is the strongest), a style [S] as long as the standard deviation of the styles along it."""
    found = directions(generator, manifold, method)[number - 1]
    spread = (manifold.styles.double().cpu() - manifold.styles.double().cpu().mean(0)) @ found
    scaled = found * spread.square().mean().sqrt()
    return scaled.to(manifold.styles)


@torch.no_grad()
def directions(generator: Generator, manifold: Manifold, method: Method) -> Tensor:
    """All directions, the strongest first: orthonormal rows, float64 [S, S], on the CPU.

    ``sefa`` takes those that move the weights which read the styles most, ``pca`` those in which sampled styles vary most.
    Source: Shen and Zhou 2021, "Closed-Form Factorization of Latent Semantics in GANs"; Härkönen et al. 2020, "GANSpace".
    """
    if method == "pca":
        matrix = torch.cov(manifold.styles.double().cpu().T)
    else:
        readers = [generator.root, *(module.affine for module in generator.modules() if isinstance(module, StyledConv))]
        weights = torch.cat([reader.weight.double().cpu() for reader in readers])
        weights = weights / weights.norm(dim=1, keepdim=True).clamp(min=1e-12)
        matrix = weights.T @ weights
    found = torch.linalg.eigh(matrix)[1].flip(1).T
    # An eigenvector has no sign of its own: its largest entry is made positive.
    largest = found.gather(1, found.abs().argmax(1, keepdim=True))
    signed: Tensor = found * largest.sign()
    return signed
