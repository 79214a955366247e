"""Finding a picture of the user in a model's latent space, by the model's own means: no network is downloaded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from artgen.backend import SILENT, Progress
from artgen.backends.image.gan.model import Generator
from artgen.backends.image.gan.sample import Sampler
from artgen.nn.adversarial import relativistic
from artgen.nn.batches import padded
from artgen.nn.critic import Discriminator
from artgen.nn.manifold import Manifold, sample
from artgen.nn.projection import pyramid, ramp

CANDIDATES = 512
"""Random styles among which the search begins."""

BATCH = 32
RATE = 0.1
"""Of Adam, in coordinates of unit variance."""

FEATURES = 1.0
NEAR = 0.01
TOGETHER = 0.02
REALISM = 0.05
"""Weights beside the pyramid's: the critic's features, nearness to the mean style, nearness of the stages' styles, realism.

On a model of fruit the two nearnesses keep the mean square of the coordinates at 1.7, where that of the model's own
styles is 1; without them it is 10.
"""

# B batch, C channels, R resolution, L stages, S style size


@dataclass(frozen=True, eq=False)
class Found:
    """A picture's place in the latent space: styles [1, L, S], its class, and the manifold they were looked for on."""

    styles: Tensor
    label: int | None
    manifold: Manifold


class Likeness:
    """How unlike pictures are a target [1, C, R, R]; with ``known`` [1, 1, R, R] in 0..1 only as far as it is known.

    L1 over the bands of a Laplacian pyramid, plus L1 between middle features of the critic in units of their own scale,
    which ``others`` [B, C, R, R] give.
    Source: the pyramid loss of Bojanowski et al. 2018, "Optimizing the Latent Space of Generative Networks", section 3.
    """

    def __init__(self, critic: Discriminator, target: Tensor, known: Tensor | None, others: Tensor) -> None:
        self.critic = critic
        self.target = target
        self.known = known
        self.share = 1.0 if known is None else max(float(known.mean()), 1 / known.numel())
        with torch.no_grad():
            self.features = self._middle(target)
            self.scales = [found.float().square().mean((0, 2, 3), keepdim=True).sqrt() + 1e-3 for found in self._middle(others)]

    def __call__(self, pictures: Tensor) -> Tensor:
        """The distance of each of ``pictures`` [B, C, R, R] from the target, [B]."""
        difference = pictures.float() - self.target
        if self.known is not None:
            difference = difference * self.known
        total = torch.stack([band.abs().mean((1, 2, 3)) for band in pyramid(difference)]).sum(0)
        # What is not known is the target's own in both pictures that the critic compares.
        pairs = zip(self._middle(self.target + difference), self.features, self.scales, strict=True)
        apart = torch.stack([((one - other) / scale).abs().mean((1, 2, 3)) for one, other, scale in pairs]).mean(0)
        return (total + FEATURES * apart) / self.share

    def filled(self, pictures: Tensor) -> Tensor:
        """``pictures`` with the target wherever it is known."""
        return pictures if self.known is None else torch.lerp(pictures, self.target, self.known)

    def _middle(self, pictures: Tensor) -> list[Tensor]:
        found = self.critic.trunk(pictures)
        return found[1:-1] or found[-1:]


def project(
    sampler: Sampler, target: Tensor, *, seed: int, label: int | None, iterations: int, known: Tensor | None = None,
    hole: bool = False, progress: Progress = SILENT, title: str = "finding your picture",
) -> Found:  # fmt: skip
    """The styles whose picture is most like ``target`` [1, C, R, R], as far as it is ``known`` [1, 1, R, R].

    They stay near the model's own styles, so that they can be edited. With ``hole`` the whole picture, what is known
    filled in, is to please the critic too. A class that is not given is found out. ``seed`` fixes where the search begins.
    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 5 (rate), and
    Tov et al. 2021, "Designing an Encoder for StyleGAN Image Manipulation", section 4 (styles kept together).
    """
    generator, critic = sampler.generator, sampler.critic()
    assert isinstance(generator, Generator)
    with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        start, label, likeness = _begin(sampler, target, known, seed, label)
        manifold = Manifold.of(generator.mapping, label)
        labels = None if label is None else torch.tensor([label], device=target.device)
        ahead = critic(target, labels)
        point = manifold.coordinates(start).expand(1, generator.levels, -1).clone().requires_grad_()
        optimizer = torch.optim.Adam([point], lr=RATE)
        best, lowest = point.detach().clone(), math.inf
        progress.start(title, iterations, "steps")
        for step in range(iterations + 1):
            with torch.enable_grad():
                picture = generator.synthesise(manifold.at(point))
                loss = likeness(picture).sum() + NEAR * point.square().mean()
                loss = loss + TOGETHER * (point - point.mean(1, keepdim=True)).square().mean()
                if hole:
                    loss = loss + REALISM * relativistic(critic(likeness.filled(picture), labels), ahead)
            if float(loss.detach()) < lowest:
                best, lowest = point.detach().clone(), float(loss.detach())
            if step == iterations:  # the last turn only looks at what the last step reached
                break
            (point.grad,) = torch.autograd.grad(loss, point)
            optimizer.param_groups[0]["lr"] = RATE * ramp(step / iterations)
            optimizer.step()
            progress.advance()
        progress.finish()
    return Found(manifold.at(best), label, manifold)


@torch.no_grad()
def render(sampler: Sampler, styles: Tensor) -> Tensor:
    """The picture [1, C, R, R] of ``styles`` [1, L, S], in -1..1, with the very bits that generate gives."""
    assert isinstance(sampler.generator, Generator)
    return sampler.generator.synthesise(padded(styles))[:1].float().clamp(-1, 1)


@torch.no_grad()
def _begin(
    sampler: Sampler, target: Tensor, known: Tensor | None, seed: int, label: int | None
) -> tuple[Tensor, int | None, Likeness]:
    """The most alike among random styles and the mean style [1, S], its class, and the measure of likeness."""
    generator = sampler.generator
    assert isinstance(generator, Generator)
    styles = torch.cat([sampler.mean(label)[None], sample(generator.mapping, CANDIDATES - 1, label, seed)])
    pictures = torch.cat([generator.synthesise(part) for part in torch.split(styles, BATCH)])
    likeness = Likeness(sampler.critic(), target, known, pictures[:BATCH])
    distances = torch.cat([likeness(part) for part in torch.split(pictures, BATCH)])
    if label is None and sampler.counts:
        # The mean style of all classes belongs to none; the others took the classes in turn.
        best = int(distances[1:].argmin())
        return styles[best + 1][None], best % len(sampler.counts), likeness
    return styles[int(distances.argmin())][None], label, likeness
