"""Filling the middle: how a text with a gap is laid out so that a network that writes left to right can fill it; no torch.

The text before the gap, the text after it, then the middle; END says that the middle is whole.
Source: Bavarian et al. 2022, "Efficient Training of Language Models to Fill in the Middle".
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from artgen.media.tokenizer import END, MIDDLE, PREFIX, SUFFIX, CharTokenizer, Tokenizer

Ids = NDArray[np.int64]
Order = Literal["spm", "psm"]

MARKS = 4
"""Special ids that the layout adds: PREFIX, SUFFIX, MIDDLE and the END of the middle."""

CUT_TOKENS = 4
"""Room for the tokens that two cuts inside words add to a byte-pair text."""

SUFFIX_FIRST = 0.75
"""Share of training windows whose suffix comes first, the order that generation uses: middle follows prefix as text does."""


def prompt(prefix: Ids, suffix: Ids, order: Order = "spm") -> Ids:
    """What a network reads before it writes the middle.

    ``spm``: PREFIX SUFFIX suffix MIDDLE prefix; ``psm``: PREFIX prefix SUFFIX suffix MIDDLE.
    """
    parts = ([SUFFIX], suffix, [MIDDLE], prefix) if order == "spm" else (prefix, [SUFFIX], suffix, [MIDDLE])
    return np.concatenate([np.asarray(part, np.int64) for part in ([PREFIX], *parts)])


def laid_out(prefix: Ids, middle: Ids, suffix: Ids, order: Order = "spm") -> Ids:
    """A whole training example: :func:`prompt`, the middle, END."""
    return np.concatenate([prompt(prefix, suffix, order), middle, np.array([END], np.int64)])


def window(ids: Ids, tokenizer: Tokenizer, random: np.random.Generator) -> Ids:
    """``ids`` [T] with their first part laid out around a random middle, as many as before; the text itself ends earlier.

    Both cuts are between characters and uniform over the text. Pieces of a byte-pair text are encoded anew, because the
    text around a gap will be cut inside tokens too; where that makes them longer, the end of the suffix is left out.
    """
    order: Order = "spm" if random.random() < SUFFIX_FIRST else "psm"
    cuts = np.sort(random.random(2))
    room = len(ids) - MARKS
    if room <= CUT_TOKENS:
        return ids
    if isinstance(tokenizer, CharTokenizer):
        first, second = (_between_characters(ids[:room], round(cut * room)) for cut in cuts)
        prefix, middle, suffix = ids[:first], ids[first:second], ids[second:room]
    else:
        # Half a character at an end of the window belongs to no text.
        text = tokenizer.decode(ids[: room - CUT_TOKENS]).strip("\N{REPLACEMENT CHARACTER}")
        first, second = (round(cut * len(text)) for cut in cuts)
        prefix, middle, suffix = tokenizer.encode_all([text[:first], text[first:second], text[second:]])
        over = len(prefix) + len(middle) + len(suffix) - room
        if over > len(suffix):
            return ids
        suffix = suffix[: len(suffix) - max(0, over)]
    example = laid_out(prefix, middle, suffix, order)
    # Encoded anew, a text may also be shorter: the window goes on with text, so that all windows are of one length.
    return np.concatenate([example, ids[room:], ids])[: len(ids)]


def _between_characters(ids: Ids, place: int) -> int:
    """``place`` moved back to where a character begins: half bytes that spell one stay together."""
    while 0 < place < len(ids) and _spelling(ids[place]) and _spelling(ids[place - 1]):
        place -= 1
    return place


def _spelling(token: np.int64) -> bool:
    return bool(MARKS <= token < MARKS + 16)
