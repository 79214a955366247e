"""How likely a model finds a text, token by token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from artgen.backends.text.transformer.engine import ROWS, Engine, Session
from artgen.backends.text.transformer.weights import Floats

_AT_ONCE = 8  # windows read together


def likelihood(engine: Engine, texts: Sequence[Sequence[int]], opening: int) -> list[Floats]:
    """The log-probability [N] of every token of each text, of the first as if it followed ``opening``.

    Of a text longer than the context each token is predicted from half a context or more, in windows that overlap by half.
    """
    half = engine.context // 2
    results = [np.empty(len(text), np.float32) for text in texts]
    windows: list[tuple[int, int, int, list[int]]] = []  # text, first token told, tokens told, what is read
    for number, text in enumerate(texts):
        whole = [opening, *text]
        first = min(len(text), engine.context)
        windows.append((number, 0, first, whole[:first]))
        for start in range(first, len(text), half):
            told = min(half, len(text) - start)
            windows.append((number, start, told, whole[start + told - min(engine.context, start + told) : start + told]))
    for at in range(0, len(windows), _AT_ONCE):
        part = [window for window in windows[at : at + _AT_ONCE] if window[2]]
        session = Session(engine, len(part))
        for row, (number, start, told, read) in enumerate(part):
            found = _told(session, row, read, [*texts[number][start : start + told]])
            results[number][start : start + told] = found
    return results


def _told(session: Session, row: int, read: Sequence[int], targets: Sequence[int]) -> Floats:
    """Log-probabilities of ``targets``, the last of which follows the last token ``read``."""
    parts = []
    for start in range(0, len(read), ROWS):
        piece = read[start : start + ROWS]
        logits, totals = session.read([row], [piece], every=True)
        # The place of the target that follows the first token of the piece; it is negative where nothing is told yet.
        place = start - (len(read) - len(targets))
        skip = max(0, -place)
        wanted = np.asarray(targets[max(0, place) : max(0, place + len(piece))], np.int64)
        parts.append(logits[np.arange(skip, skip + len(wanted)), wanted] - totals[skip : skip + len(wanted)])
    return np.concatenate(parts)
