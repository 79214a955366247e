"""Which token comes next: what may be chosen, how likely each is, and the draw.

The order is that of most tools: repetition penalty, temperature, top-k, top-p, min-p; then one uniform number picks from what
is left. Every work has its own stream of numbers, keyed by its seed, and rows never mix, so a work is the same in any company.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from artgen.backends.text.transformer.engine import Kind
from artgen.backends.text.transformer.weights import Floats
from artgen.errors import OptionError
from artgen.media.tokenizer import END, MIDDLE, PREFIX, SUFFIX
from artgen.options import Meta, Options

Doubles = NDArray[np.float64]

_DRAWN = 256  # uniform numbers drawn at once


class Sampling(Options, frozen=True):
    """Options of everything that writes text."""

    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring: 0 always takes the likeliest, 1 writes as the model learned.")
    ] = 0.8
    top_k: Annotated[int, Meta(ge=0, description="Choose among this many likeliest tokens only; 0 for all.")] = 0
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Choose among the likeliest tokens that together have this probability.")
    ] = 1.0
    min_p: Annotated[
        float, Meta(ge=0, le=1, description="Drop tokens that are less likely than this share of the likeliest one.")
    ] = 0.0
    repetition_penalty: Annotated[
        float, Meta(ge=1, le=10, description="Make tokens that stand in the text already less likely; 1 leaves them.")
    ] = 1.0
    stop: Annotated[
        tuple[str, ...], Meta(description="End before this text; may be given several times. The text itself is left out.")
    ] = ()
    engine: Annotated[
        Kind, Meta(description="How tokens are computed; auto takes compiled code on a CPU and torch for large models on a GPU.")
    ] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if "" in self.stop:
            raise OptionError("--stop takes text of one character or more, not nothing")


def uniforms(seed: int, stream: int = 0) -> Iterator[float]:
    """The numbers in [0, 1) that a work of ``seed`` draws, one a token; each ``stream`` of a seed is another."""
    generator = np.random.Generator(np.random.Philox(key=[seed, stream]))
    while True:
        yield from generator.random(_DRAWN).tolist()


def allowed(vocabulary: int, *, end: bool) -> NDArray[np.bool_]:
    """Which ids [V] may be written: all but the special ones, of which ``end`` may be."""
    mask = np.ones(vocabulary, np.bool_)
    mask[[PREFIX, SUFFIX, MIDDLE]] = False
    mask[END] = end
    return mask


def penalised(logits: Floats, written: Sequence[NDArray[np.int64]], penalty: float) -> Floats:
    """Logits [N, V] with those of the ids ``written`` in each row made smaller: divided where positive, else multiplied.

    Source: Keskar et al. 2019, "CTRL", section 4.1, with the sign respected as in every library since.
    """
    result = logits.copy()
    for row, ids in zip(result, written, strict=True):
        row[ids] = np.where(row[ids] > 0, row[ids] / penalty, row[ids] * penalty)
    return result


def weights(logits: Floats, options: Sampling) -> Doubles:
    """How likely each id is [N, V] after temperature (above 0) and filters, the likeliest 1; what may not come is 0."""
    scaled = logits.astype(np.float64) / options.temperature
    if 0 < options.top_k < scaled.shape[1]:
        least = np.partition(scaled, -options.top_k, axis=1)[:, -options.top_k, None]
        scaled[scaled < least] = -np.inf
    likely: Doubles = np.exp(scaled - scaled.max(1, keepdims=True))
    if options.top_p < 1:
        order = np.argsort(-likely, axis=1, kind="stable")
        ranked = np.take_along_axis(likely, order, 1)
        before = np.cumsum(ranked, 1) - ranked
        ranked[before >= options.top_p * ranked.sum(1, keepdims=True)] = 0
        np.put_along_axis(likely, order, ranked, 1)
    if options.min_p > 0:
        likely[likely < options.min_p] = 0
    return likely


def choose(logits: Floats, draws: Sequence[float], options: Sampling) -> list[int]:
    """One id for each row of ``logits`` [N, V], in which what may not be written is -inf; at temperature 0 the likeliest."""
    if options.temperature == 0:
        return [int(number) for number in logits.argmax(1)]
    heaps = np.cumsum(weights(logits, options), 1)
    places = heaps <= (np.asarray(draws) * heaps[:, -1])[:, None]
    return [int(number) for number in places.sum(1)]
