"""Finding a clip or a picture of the user in a model's latent space, by the model's own means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from artgen.backend import SILENT, Progress
from artgen.backends.video.gan3d.model import ClipDiscriminator
from artgen.backends.video.gan3d.sample import Plan, Sampler
from artgen.nn.critic import Discriminator
from artgen.nn.manifold import Manifold, sample
from artgen.nn.projection import pyramid, ramp

CANDIDATES = 64
"""Random contents, each with a random motion, among which the search begins."""

BATCH = 8
RATE = 0.1
"""Of Adam, in coordinates of unit variance."""

FEATURES = 1.0
NEAR = 0.01
TOGETHER = 0.02
SMOOTH = 0.02
"""Weights beside the pyramid's: the critic's features, nearness of content and motion to the usual, nearness of the stages' styles,
smoothness of the motion."""

# B batch, C channels, T frames, R resolution, K steps, L stages, S style size, Zm motion size


@dataclass(frozen=True, eq=False)
class Found:
    """The place of a clip in the latent space: styles [1, L, S], motion latents [1, K, Zm] from step ``start`` on, its class."""

    styles: Tensor
    moving: Tensor
    start: int
    label: int | None

    def motion(self, moments: Sequence[float]) -> Tensor:
        """The motion latents at ``moments``, [1, len, Zm]; before the first and behind the last step as there."""
        last = self.moving.shape[1] - 1
        place = (torch.tensor(moments, dtype=torch.float32, device=self.moving.device) - self.start).clamp(0, last)
        below = place.floor().long().clamp(max=max(0, last - 1))
        return torch.lerp(self.moving[:, below], self.moving[:, (below + 1).clamp(max=last)], (place - below)[None, :, None])


class Likeness:
    """How unlike clips are a target, both [B, C, T, R, R]: bands of a Laplacian pyramid, and middle features of a discriminator.

    ``others`` give the scale of the features. For a still picture the target has one frame, and the one of the middle is compared.
    Source: the pyramid loss of Bojanowski et al. 2018, "Optimizing the Latent Space of Generative Networks", section 3.
    """

    def __init__(self, critic: ClipDiscriminator | Discriminator, target: Tensor, window: int, others: Tensor) -> None:
        self.critic, self.target, self.window = critic, target, window
        with torch.no_grad():
            self.features = self._middle(target)
            self.scales = []
            for found in self._middle(self._seen(others)):
                places = (0, *range(2, found.ndim))
                self.scales.append(found.float().square().mean(places, keepdim=True).sqrt() + 1e-3)

    def __call__(self, clips: Tensor) -> Tensor:
        """The distance of each clip, [B]."""
        seen = self._seen(clips.float())
        apart = (seen - self.target).transpose(1, 2).flatten(0, 1)
        bands = torch.stack([band.abs().mean((1, 2, 3)) for band in pyramid(apart)]).sum(0)
        count, pairs = len(clips), zip(self._middle(seen), self._wide(len(clips)), self.scales, strict=True)
        features = [((one - other) / scale).abs().reshape(count, -1).mean(1) for one, other, scale in pairs]
        distance: Tensor = bands.reshape(count, -1).mean(1) + FEATURES * torch.stack(features).mean(0)
        return distance

    def _wide(self, count: int) -> list[Tensor]:
        return [found.repeat(count, *[1] * (found.ndim - 1)) for found in self.features]

    def _seen(self, clips: Tensor) -> Tensor:
        """What is compared: the whole clip, or its middle frame with a picture."""
        if self.target.shape[2] > 1:
            return clips
        middle = clips.shape[2] // 2
        return clips[:, :, middle : middle + 1]

    def _middle(self, clips: Tensor) -> list[Tensor]:
        if isinstance(self.critic, Discriminator):
            found = self.critic.trunk(clips[:, :, 0])
        else:
            found = self.critic.trunk(torch.cat(self._windows(clips), 1).reshape(-1, clips.shape[1], self.window, *clips.shape[3:]))
        return found[1:-1] or found[-1:]

    def _windows(self, clips: Tensor) -> list[Tensor]:
        """The parts of a clip as long as those the discriminator knows; the last one ends where the clip ends."""
        length = clips.shape[2]
        starts = [*range(0, length - self.window, self.window), length - self.window]
        return [clips[:, :, start : start + self.window].flatten(1) for start in starts]


def project(
    sampler: Sampler, target: Tensor, *, seed: int, label: int | None, iterations: int, progress: Progress = SILENT,
    title: str = "finding your clip",
) -> Found:  # fmt: skip
    """The content and the motion whose clip is most like ``target`` [1, C, T, R, R], or in its middle like a picture (T = 1).

    Both stay near what is usual for the model, so that they can be changed. A class that is not given is found out.
    Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN", section 5 (rate), and Tov et al. 2021,
    "Designing an Encoder for StyleGAN Image Manipulation", section 4 (styles kept together).
    """
    generator = sampler.styled
    frames = max(target.shape[2], sampler.window)
    steps = generator.steps(frames)
    plan = Plan(frames, sampler.fps, tuple(float(step) for step in range(steps.start, steps.stop)), steps.start)
    with torch.backends.cudnn.flags(deterministic=True, benchmark=False):
        start, moving, label, likeness = _begin(sampler, target, plan, seed, label)
        manifold = Manifold.of(generator.mapping, label)
        point = manifold.coordinates(start).expand(1, generator.levels, -1).clone().requires_grad_()
        moving = moving.clone().requires_grad_()

        def loss() -> Tensor:
            clip = generator.synthesise(manifold.at(point), moving, frames)
            usual = NEAR * (point.square().mean() + moving.square().mean())
            together = TOGETHER * (point - point.mean(1, keepdim=True)).square().mean()
            return likeness(clip).sum() + usual + together + SMOOTH * moving.diff(dim=1).square().mean()

        best = _descend(loss, [point, moving], iterations, progress, title)
    return Found(manifold.at(best[0]), best[1], plan.start, label)


def _descend(loss: Callable[[], Tensor], points: list[Tensor], iterations: int, progress: Progress, title: str) -> list[Tensor]:
    """``points`` where ``loss`` was least on the way down."""
    optimizer = torch.optim.Adam(points, lr=RATE)
    best, lowest = [point.detach().clone() for point in points], math.inf
    progress.start(title, iterations, "steps")
    for step in range(iterations + 1):
        with torch.enable_grad():
            value = loss()
        if float(value.detach()) < lowest:
            best, lowest = [point.detach().clone() for point in points], float(value.detach())
        if step == iterations:  # the last turn only looks at what the last step reached
            break
        for point, slope in zip(points, torch.autograd.grad(value, points), strict=True):
            point.grad = slope
        optimizer.param_groups[0]["lr"] = RATE * ramp(step / iterations)
        optimizer.step()
        progress.advance()
    progress.finish()
    return best


@torch.no_grad()
def _begin(
    sampler: Sampler, target: Tensor, plan: Plan, seed: int, label: int | None
) -> tuple[Tensor, Tensor, int | None, Likeness]:
    """The most alike among random contents [1, S] with random motions [1, K, Zm], its class, and the measure of likeness."""
    generator = sampler.styled
    styles = torch.cat([sampler.mean(label)[None], sample(generator.mapping, CANDIDATES - 1, label, seed)])
    draws = torch.Generator().manual_seed(seed)
    moving = torch.cat([sampler.moving(plan, draws) for _ in range(BATCH)])
    frames = max(target.shape[2], sampler.window)
    distances: list[Tensor] = []
    likeness: Likeness | None = None
    for part in torch.split(styles, BATCH):
        clips = generator.synthesise(part, moving[: len(part)], frames)
        if likeness is None:
            likeness = Likeness(sampler.critic(still=target.shape[2] == 1), target, sampler.window, clips)
        distances.append(likeness(clips))
    assert likeness is not None
    found = torch.cat(distances)
    if label is None and sampler.counts:
        # The mean style of all classes belongs to none; the others took the classes in turn.
        best = int(found[1:].argmin()) + 1
        label = (best - 1) % len(sampler.counts)
    else:
        best = int(found.argmin())
    row = best % BATCH
    return styles[best][None], moving[row : row + 1], label, likeness


def continued(found: Found, fresh: Tensor, moments: Sequence[float], end: float) -> Tensor:
    """The motion of ``found`` up to the moment ``end``, then on into ``fresh`` [1, len, Zm], which is given at ``moments``.

    What is between the two at the end fades within about four steps.
    """
    place = torch.tensor(moments, dtype=torch.float32, device=fresh.device)[None, :, None]
    known = found.motion([min(moment, end) for moment in moments])
    share = torch.exp(-0.5 * ((place - end).clamp(min=0) / 2) ** 2)
    mixed = share * known + (1 - share) * fresh
    # Two unrelated motions cancel in part: the sum gets back the variance of one.
    return torch.where(place <= end, known, mixed / (share.square() + (1 - share).square()).sqrt())


def turned(one: Tensor, two: Tensor, share: Tensor) -> Tensor:
    """From motion ``one`` to ``two`` [1, K, Zm] as ``share`` [K] goes from 0 to 1, with the variance of each on the way."""
    share = share[None, :, None]
    return ((1 - share) * one + share * two) / (share.square() + (1 - share).square()).sqrt()
