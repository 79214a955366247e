"""What adversarial training of pictures and of clips has in common: optimizers, schedules, penalties, adaptive augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from artgen.nn.adversarial import gradient_penalty
from artgen.training.adam import Adam
from artgen.training.schedule import cosine, warm_up
from artgen.training.task import Batch, Position

PASSES = 50
"""Passes through the data until augmentation has its whole strength (docs/log.md)."""
LEAST = 0.1
"""The part of the learning rate that is left at the end."""


def schedule(at: Position, rate: float, warming: int = 1000) -> float:
    """The learning rate: a short warm-up over ``warming`` items, then a cosine to :data:`LEAST` of it."""
    return cosine(at.fraction, rate, LEAST * rate) * warm_up(at.seen, warming)


def adam(parameters: Sequence[nn.Parameter]) -> Adam:
    """Adam without a first moment, which would push a moving opponent's gradient along after it has turned."""
    return Adam([{"params": parameters}], betas=(0.0, 0.99))


def classic_adam(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam as the classic recipe has it, with the framework's default implementation."""
    return torch.optim.Adam(parameters, betas=(0.5, 0.999))


@dataclass(frozen=True)
class Places:
    """Rows of a slice's real and generated items, 2 b in all: of each kind, and of those that the penalty is taken from.

    ``back`` puts what was worked out for ``chosen``, then ``others`` in order; ``number`` of the whole batch are chosen.
    """

    real: Tensor
    fake: Tensor
    chosen: Tensor
    others: Tensor
    back: Tensor
    number: int

    @classmethod
    def of(cls, batch: Batch, every: int) -> Places:
        """Each ``every``-th item of the whole batch is chosen."""
        return _places(batch.size, batch.start, batch.stop, min(every, batch.size), batch.device)


@lru_cache(1024)
def _places(size: int, start: int, stop: int, every: int, device: torch.device) -> Places:
    """The same for every step, so kept on the device."""
    kinds = torch.arange(2 * (stop - start)).chunk(2)
    turn = torch.arange(start, stop).repeat(2) % every
    split = (turn == 0).nonzero()[:, 0], (turn > 0).nonzero()[:, 0]
    real, fake, chosen, others, back = (rows.to(device) for rows in (*kinds, *split, torch.cat(split).argsort()))
    return Places(real, fake, chosen, others, back, -(-size // every))


def penalised(judge: Callable[[Tensor, Tensor], Tensor], both: Tensor, places: Places, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits [2B] of ``both`` the real and the generated items [2B, ...], and R1 + R2, a mean over the batch.

    ``judge`` gives the logits of some items and is told their rows in ``both``. The penalty needs a second derivative, three
    times the work of the rest: some items, the chosen of ``places``, stand for all of them. Which ones depends on the place in
    the whole batch, so that slices of it add up to the same.
    Source of doing it less often: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 3.1.
    """
    pieces, penalty = [], torch.zeros((), device=both.device)
    if len(places.chosen):
        leaves = both[places.chosen].requires_grad_(True)
        pieces.append(judge(leaves, places.chosen))
        # A slice adds its part of the mean over the chosen; the loop weighs it by its length.
        penalty = gradient_penalty(pieces[0], leaves).sum() / places.number * (batch.size / len(batch))
    if len(places.others):
        pieces.append(judge(both[places.others], places.others))
    return torch.cat(pieces)[places.back], penalty


def entered(position: Position, count: int) -> float:
    """How far in 0..1 the augmentation of ``count`` items has come in: slowly, over the first :data:`PASSES` through them.

    It is against learning the data by heart, which no judge does in a few passes: before, it only makes learning slower.
    """
    return warm_up(position.seen, PASSES * count)


def adapt(strength: Tensor, ahead: Tensor, target: float, least: float, size: float, position: Position) -> None:
    """Strengthen the augmentation while the discriminator is too sure of itself, weaken it while it is not.

    ``ahead`` is the share of pairs that it tells apart in a batch, of which ``size`` items count.
    Source: Karras et al. 2020 (ADA), section 3.1; here the sign is that of the relativistic pair.
    """
    strength.add_(torch.sign(ahead - target) * size / max(20_000, position.total / 4)).clamp_(least, 0.8)
