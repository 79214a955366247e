"""Which token or code comes next: temperature, top-k, top-p, min-p, then one uniform number picks from what is left.

The order, the words and the stream of numbers of a seed are those of artgen's own backends; the work is done where the logits are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


_FEW = 256  # ids among which the likeliest are looked for first


class Filters(Protocol):
    """What may be chosen."""

    @property
    def temperature(self) -> float:
        """Daring; 0 takes the likeliest."""

    @property
    def top_k(self) -> int:
        """So many likeliest; 0 for all."""

    @property
    def top_p(self) -> float:
        """The likeliest that together have this probability."""


def pick(logits: Tensor, draws: Sequence[float], filters: Filters) -> Tensor:
    """One id for each row of ``logits`` [N, V], int64 [N]; ``draws`` are numbers in [0, 1), one a row."""
    import torch

    if filters.temperature == 0:
        # NumPy finds the same, the first of the greatest, in a tenth of torch's time on a CPU.
        return torch.from_numpy(logits.numpy().argmax(1)) if logits.device.type == "cpu" else logits.argmax(1)
    heaps = weights(logits, filters).cumsum(1)
    drawn = torch.tensor(draws, dtype=heaps.dtype).to(heaps.device)[:, None]
    # A draw next to 1 may be rounded up to the whole heap.
    return (heaps <= drawn * heaps[:, -1:]).sum(1).clamp(max=heaps.shape[1] - 1)


def weights(logits: Tensor, filters: Filters) -> Tensor:
    """How likely each id is [N, V] after temperature (above 0) and filters, the likeliest 1; what may not come is 0."""
    import torch

    # float64: sums over a hundred thousand ids in float32 would lose the rare ones. Apple's GPU has none.
    scaled = (logits.cpu() if logits.device.type == "mps" else logits).double() / filters.temperature
    if 0 < filters.top_k < scaled.shape[1]:
        least = scaled.topk(filters.top_k, dim=1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    likely = (scaled - scaled.amax(1, keepdim=True)).exp()
    if filters.top_p < 1:
        likely = _likeliest(likely, filters.top_p)
    least_share = getattr(filters, "min_p", 0.0)
    return likely.masked_fill(likely < least_share, 0) if least_share > 0 else likely


def _likeliest(likely: Tensor, share: float) -> Tensor:
    """``likely`` [N, V] with nothing but the likeliest ids that together have ``share`` of it; of equal ones the first."""
    import torch

    needed = share * likely.sum(1, keepdim=True)
    # Sorting a hundred thousand ids takes longer than many a network; mostly a few of them hold the share.
    ranked, order = likely.topk(min(_FEW, likely.shape[1]), dim=1)
    before = ranked.cumsum(1) - ranked
    last = torch.where(before < needed, ranked, torch.inf).amin(1, keepdim=True)
    kept = likely >= last
    more = likely.shape[1] > _FEW and bool((before[:, -1] < needed[:, 0]).any())
    if more or bool((kept.sum(1) != (before < needed).sum(1)).any()):  # or equal ones stand on both sides of the end
        ranked, order = likely.sort(dim=1, descending=True, stable=True)
        kept = torch.zeros_like(kept).scatter_(1, order, ranked.cumsum(1) - ranked < needed)
    return likely.masked_fill(~kept, 0)


def penalise(row: Tensor, ids: Sequence[int], penalty: float) -> None:
    """Make the ids in ``row`` [V] less likely, in place: divided where positive, else multiplied.

    Source: Keskar et al. 2019, "CTRL", section 4.1, with the sign respected as in every library since.
    """
    import torch

    places = torch.tensor(sorted(set(ids)), device=row.device)
    values = row[places]
    row[places] = torch.where(values > 0, values / penalty, values * penalty)
