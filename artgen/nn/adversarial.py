"""The losses of adversarial training, shared by pictures and clips."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def relativistic(ahead: Tensor, behind: Tensor) -> Tensor:
    """The pairing loss: how far logits ``ahead`` [B] are from beating their partners ``behind`` [B].

    The discriminator asks for real ahead of fake, the generator for fake ahead of real.
    Source: Jolicoeur-Martineau 2019, "The relativistic discriminator"; Huang et al. 2024,
    "The GAN is dead; long live the GAN!", section 2.
    """
    return F.softplus(behind - ahead).mean()


def gradient_penalty(logits: Tensor, inputs: Tensor) -> Tensor:
    """The mean squared norm of d logits / d inputs, one value an input [B].

    On real inputs it is R1, on generated ones R2. ``inputs`` are the leaves before augmentation.
    Source: Mescheder et al. 2018, "Which training methods for GANs do actually converge?", section 4.1.
    """
    (slope,) = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    # float32: a bf16 sum over 12,288 squares loses the last two digits.
    return slope.float().square().flatten(1).sum(1)


def cross_entropy(logits: Tensor, real: bool) -> Tensor:
    """Sigmoid cross-entropy towards one label. Source: Radford et al. 2016, "DCGAN"."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))
