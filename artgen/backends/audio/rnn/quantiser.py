"""Residual vector quantisation: a latent vector becomes a few small numbers, each the nearest entry to what the ones before left.

Codebooks follow the latents by a moving average, begin at k-means of real ones, and an entry that nobody uses is given a new place.
Source: van den Oord et al. 2017 (VQ-VAE, appendix A); Zeghidour et al. 2021 (SoundStream, section III-C).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

# B sounds, T frames, K codebooks, V entries of each, L numbers of a latent vector.

DECAY = 0.95
"""What the moving averages keep in a step."""

UNUSED = 0.1
"""An entry used less than this share of an equal use is given a new place."""

SPARE = 64
"""Latents of a step that are kept as new places."""


class Quantised(NamedTuple):
    """``latents`` [B, T, L] as they are decoded, ``codes`` int64 [B, K, T], and the ``commitment`` loss, a mean.

    ``rests`` [B * T, L] are what each codebook was given to say.
    """

    latents: Tensor
    codes: Tensor
    commitment: Tensor
    rests: list[Tensor]


class Quantiser(nn.Module):
    """K codebooks of V entries of L numbers, each for what the ones before it leave."""

    entries: Tensor

    def __init__(self, codebooks: int, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("entries", torch.randn(codebooks, size, width) * 0.1)

    def forward(self, latents: Tensor) -> Quantised:
        """Quantise latents [B, T, L]; gradients pass as if nothing had happened."""
        rest, codes, rests = latents.detach().flatten(0, 1), [], []  # [B * T, L]
        loss, total = latents.new_zeros(()), torch.zeros_like(latents)
        for entries in self.entries:
            rests.append(rest)
            chosen = nearest(rest, entries)
            found = entries[chosen]
            loss = loss + (latents - total - found.view_as(latents)).square().mean()
            total = total + found.view_as(latents)
            rest = rest - found
            codes.append(chosen.view(latents.shape[:2]))
        passed = latents + (total - latents).detach()
        return Quantised(passed, torch.stack(codes, 1), loss / len(self.entries), rests)

    def decode(self, codes: Tensor) -> Tensor:
        """The latents [B, T, L] of codes [B, K, T]; fewer codebooks than there are give a coarser latent."""
        return sum(self.entries[book][codes[:, book]] for book in range(codes.shape[1]))  # type: ignore[return-value]


class Follower(nn.Module):
    """Lets codebooks follow the latents while they are learned; it is part of a training, not of a model."""

    uses: Tensor
    sums: Tensor
    new_uses: Tensor
    new_sums: Tensor
    spare: Tensor

    def __init__(self, quantiser: Quantiser) -> None:
        super().__init__()
        codebooks, size, width = quantiser.entries.shape
        for name, shape in (
            ("uses", (codebooks, size)), ("sums", (codebooks, size, width)), ("new_uses", (codebooks, size)),
            ("new_sums", (codebooks, size, width)), ("spare", (codebooks, SPARE, width)),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))

    @torch.no_grad()
    def begin(self, quantiser: Quantiser, latents: Tensor, generator: torch.Generator, rounds: int = 8) -> None:
        """Start every codebook at k-means of what the ones before leave of latents [N, L]."""
        rest = latents
        for book, entries in enumerate(quantiser.entries):
            picks = torch.randint(len(rest), (len(entries),), generator=generator).to(rest.device)
            apart = torch.randn(entries.shape, generator=generator).to(rest)
            entries.copy_(rest[picks] + 1e-3 * rest.std() * apart)
            for _ in range(rounds):
                uses, sums = gathered(rest, nearest(rest, entries), len(entries))
                used = uses > 0
                entries[used] = sums[used] / uses[used, None]
            # As if the past had used every entry alike: the first steps then move none of them far.
            self.uses[book] = 1.0
            self.sums[book] = entries
            rest = rest - entries[nearest(rest, entries)]

    @torch.no_grad()
    def note(self, found: Quantised, draws: Tensor) -> None:
        """Note what entries were used for; ``draws`` [SPARE] (uniform numbers) pick latents that may become new places."""
        for book, rest in enumerate(found.rests):
            uses, sums = gathered(rest, found.codes[:, book].flatten(), self.uses.shape[1])
            self.new_uses[book] += uses
            self.new_sums[book] += sums
            self.spare[book] = rest[(draws * len(rest)).long().clamp_max(len(rest) - 1)]

    @torch.no_grad()
    def follow(self, quantiser: Quantiser, revive: bool) -> None:
        """Move every entry towards the mean of what it was noted for since the last call."""
        everyone(self.new_uses, self.new_sums)
        first(self.spare)
        # Counted in equal shares of a step, so that the size of batches does not matter.
        share = self.new_uses.sum(1, keepdim=True).clamp_min(1) / self.new_uses.shape[1]
        self.uses.lerp_(self.new_uses / share, 1 - DECAY)
        self.sums.lerp_(self.new_sums / share[..., None], 1 - DECAY)
        if revive:
            dead = self.uses < UNUSED
            # The n-th dead entry of a codebook takes the n-th spare latent, while there are any.
            rank = (dead.cumsum(1) - 1).clamp(0, SPARE - 1)
            dead &= dead.cumsum(1) <= SPARE
            places = self.spare.gather(1, rank[..., None].expand(-1, -1, self.spare.shape[2]))
            self.uses.masked_fill_(dead, 1.0)
            self.sums.copy_(torch.where(dead[..., None], places, self.sums))
        quantiser.entries.copy_(self.sums / self.uses.clamp_min(1e-3)[..., None])
        self.new_uses.zero_()
        self.new_sums.zero_()


def nearest(rest: Tensor, entries: Tensor) -> Tensor:
    """The number of the entry [V, L] nearest to each of [N, L]."""
    return torch.addmm(entries.square().sum(1), rest, entries.T, alpha=-2).argmin(1)  # less what all entries share


def gathered(rest: Tensor, chosen: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """How often each of ``size`` entries was chosen [V], and the sums [V, L] of what it was chosen for."""
    if rest.device.type == "cpu":
        uses = torch.bincount(chosen, minlength=size).to(rest.dtype)
        return uses, torch.zeros(size, rest.shape[1], dtype=rest.dtype).index_add_(0, chosen, rest)
    # Adding by index is not in a fixed order on a GPU; a product is.
    which = torch.nn.functional.one_hot(chosen, size).to(rest.dtype)
    return which.sum(0), which.T @ rest


def everyone(*numbers: Tensor) -> None:
    """Add up over all processes of a training, in place: each saw only its part of a batch."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        for one in numbers:
            torch.distributed.all_reduce(one)


def first(numbers: Tensor) -> None:
    """Take over the first process's numbers."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.broadcast(numbers, 0)
