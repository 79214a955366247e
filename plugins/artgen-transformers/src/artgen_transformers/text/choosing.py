"""Which token of a text comes next, and how likely the model found it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from artgen_transformers.choosing import penalise, pick
from artgen_transformers.text.options import Writing

if TYPE_CHECKING:
    from torch import Tensor


def choose(
    logits: Tensor, draws: Sequence[float], known: Sequence[Sequence[int]], options: Writing
) -> tuple[list[int], list[float]]:
    """One id for each row of ``logits`` [N, V], and its log-probability before temperature and filters.

    ``draws`` are numbers in [0, 1), one a row (unused at temperature 0); ``known`` the ids that stand in each text already.
    """
    from torch.nn import functional

    logits = logits.float()
    possible = logits
    if options.repetition_penalty > 1:
        possible = logits.clone()
        for row, ids in enumerate(known):
            penalise(possible[row], ids, options.repetition_penalty)
    chosen = pick(possible, draws, options).to(logits.device)
    # In one pass over the vocabulary; gather less logsumexp takes four.
    told = -functional.cross_entropy(logits, chosen, reduction="none")
    return chosen.tolist(), told.tolist()  # waits for the device, once a token
