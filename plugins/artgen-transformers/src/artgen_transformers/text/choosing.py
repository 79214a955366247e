"""Which token comes next: penalty, temperature, top-k, top-p, min-p, then one uniform number picks from what is left.

The order, the words and the stream of numbers of a seed are those of ``text.transformer``; the work is done where the logits are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artgen_transformers.text.options import Writing

if TYPE_CHECKING:
    from torch import Tensor


def choose(
    logits: Tensor, draws: Sequence[float], known: Sequence[Sequence[int]], options: Writing
) -> tuple[list[int], list[float]]:
    """One id for each row of ``logits`` [N, V], and its log-probability before temperature and filters.

    ``draws`` are numbers in [0, 1), one a row (unused at temperature 0); ``known`` the ids that stand in each text already.
    """
    import torch

    logits = logits.float()
    possible = logits
    if options.repetition_penalty > 1:
        possible = logits.clone()
        for row, ids in enumerate(known):
            _penalise(possible[row], ids, options.repetition_penalty)
    if options.temperature == 0:
        chosen = possible.argmax(1)
    else:
        heaps = weights(possible, options).cumsum(1)
        drawn = torch.tensor(draws, dtype=heaps.dtype).to(heaps.device)[:, None]
        # A draw next to 1 may be rounded up to the whole heap.
        chosen = (heaps <= drawn * heaps[:, -1:]).sum(1).clamp(max=heaps.shape[1] - 1)
    told = logits.gather(1, chosen.to(logits.device)[:, None])[:, 0] - logits.logsumexp(1)
    return chosen.tolist(), told.tolist()  # waits for the device, once a token


def weights(logits: Tensor, options: Writing) -> Tensor:
    """How likely each id is [N, V] after temperature (above 0) and filters, the likeliest 1; what may not come is 0."""
    import torch

    # float64: sums over a hundred thousand ids in float32 would lose the rare ones. Apple's GPU has none.
    scaled = (logits.cpu() if logits.device.type == "mps" else logits).double() / options.temperature
    if 0 < options.top_k < scaled.shape[1]:
        least = scaled.topk(options.top_k, dim=1).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    likely = (scaled - scaled.amax(1, keepdim=True)).exp()
    if options.top_p < 1:
        ranked, order = likely.sort(dim=1, descending=True, stable=True)
        before = ranked.cumsum(1) - ranked
        ranked = ranked.masked_fill(before >= options.top_p * ranked.sum(1, keepdim=True), 0)
        likely = torch.zeros_like(likely).scatter_(1, order, ranked)
    if options.min_p > 0:
        likely = likely.masked_fill(likely < options.min_p, 0)
    return likely


def _penalise(row: Tensor, ids: Sequence[int], penalty: float) -> None:
    """Make the ids in ``row`` [V] less likely, in place: divided where positive, else multiplied.

    Source: Keskar et al. 2019, "CTRL", section 4.1, with the sign respected as in every library since.
    """
    import torch

    places = torch.tensor(sorted(set(ids)), device=row.device)
    values = row[places]
    row[places] = torch.where(values > 0, values / penalty, values * penalty)
