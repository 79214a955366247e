"""How large the network is and how it learns, from one dial, the budget and the size of the text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from artgen.errors import DatasetError, OptionError

if TYPE_CHECKING:
    from artgen.backends.text.transformer.backend import Transformer

Preset = Literal["sketch", "standard", "large"]

LEAST_CONTEXT = 16
EXACT_PAIRS = 8192
"""Up to so many pairs of tokens each has a row of its own; above, they share as many rows by a hash."""

DEEP = 6
"""Networks of so many layers add an embedding of the token to the values of attention; shallower ones gain nothing by it."""

FULL_TABLES = 2048
"""Up to this vocabulary the head and the value embeddings have tables of their own."""


PASSES = {"sketch": 3, "standard": 10, "large": 15}
"""How often a training without a budget reads the text at most: soon after, the held-out text gets less likely again."""

LEAST_STEPS = 100


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a training that the options left open.

    ``context`` is in tokens, ``batch`` in windows of it; training begins with windows cut to ``first_context``.
    ``learning_rate`` is that of the matrices while it is held. ``runs`` are the rows of the tables for runs of three tokens, of
    four, and so on: they learn what follows what at once, where the blocks need long, and by heart if they see a text often.
    ``pairs`` are the rows for pairs of tokens at most. ``noise`` is the share of tokens read that are swapped for others,
    ``average`` the share of the plan over which averaged weights forget half (0: no average).
    """

    layers: int
    heads: int
    width: int
    context: int
    first_context: int
    batch: int
    learning_rate: float
    dropout: float
    weight_decay: float
    runs: tuple[int, ...]
    pairs: int = EXACT_PAIRS
    noise: float = 0.0
    average: float = 0.0


BRIEF = Recipe(
    layers=2, heads=4, width=128, context=64, first_context=64, batch=8, learning_rate=4e-3, dropout=0.0, weight_decay=0.1,
    runs=(8192, 8192),
)  # fmt: skip
SKETCH = Recipe(
    layers=3, heads=2, width=128, context=256, first_context=64, batch=4, learning_rate=4e-3, dropout=0.0, weight_decay=0.1,
    runs=(8192, 32768),
)  # fmt: skip
STANDARD = Recipe(
    layers=6, heads=4, width=256, context=256, first_context=128, batch=16, learning_rate=1.5e-3, dropout=0.1, weight_decay=0.1,
    runs=(8192,),
)  # fmt: skip
LARGE = Recipe(
    layers=6, heads=5, width=320, context=512, first_context=512, batch=32, learning_rate=1e-3, dropout=0.3, weight_decay=1.0,
    runs=(), average=0.02,
)  # fmt: skip


def recipe(options: Transformer.Train, tokens: int, minutes: float | None) -> Recipe:
    """The recipe that ``options`` ask for, on ``tokens`` of text in ``minutes`` (None: a budget that is not of time).

    Raises:
        DatasetError: the text is shorter than one window of the context.
        OptionError: the width does not split into heads.
    """
    preset = chosen(options.preset, tokens, minutes)
    found = {"sketch": SKETCH, "standard": STANDARD, "large": LARGE}[preset]
    if preset == "sketch" and minutes is not None and minutes < 0.4:
        found = BRIEF
    context = options.context or found.context
    if tokens < (1 if options.context else 4) * (context + 2):
        if options.context or tokens < LEAST_CONTEXT + 2:
            least = f"give --context {fitting(tokens)} or less, or more text" if tokens > LEAST_CONTEXT + 1 else "give more text"
            raise DatasetError(f"{tokens} tokens to train on are too few for a context of {context}; {least}")
        context = fitting(tokens)
    changes: dict[str, Any] = {"context": context, "first_context": math.gcd(found.first_context, context)}
    if options.batch_size:
        changes["batch"] = options.batch_size
    if options.runs is not None:
        changes["runs"] = (options.runs, options.runs) if options.runs else ()
    if options.width is not None:
        if options.width % 16:
            raise OptionError(f"--width takes a multiple of 16, not {options.width}; {options.width // 16 * 16} is one")
        changes["heads"] = heads(options.width)
    for name in ("learning_rate", "dropout", "weight_decay", "pairs", "noise", "average", "layers", "width"):
        if (value := getattr(options, name)) is not None:
            changes[name] = value
    return msgspec.structs.replace(found, **changes)


def chosen(preset: Literal["auto", "sketch", "standard", "large"], tokens: int, minutes: float | None) -> Preset:
    """The preset for so many tokens and minutes where ``auto`` leaves it open: no larger than time or text can fill."""
    if preset != "auto":
        return preset
    if minutes is None or minutes < 8 or tokens < 300_000:
        return "sketch"
    return "standard"


def enough(preset: Preset, tokens: int, plan: Recipe) -> int:
    """The windows that :data:`PASSES` over ``tokens`` of text take, as many as :data:`LEAST_STEPS` have at least."""
    return max(LEAST_STEPS * plan.batch, PASSES[preset] * tokens // plan.context)


def heads(width: int) -> int:
    """As many heads as give each about 64 numbers, a multiple of 4."""
    return min((count for count in range(1, width // 4 + 1) if width % (4 * count) == 0), key=lambda count: abs(width / count - 64))


def fitting(tokens: int) -> int:
    """The longest context, a power of two and at least 16, of which a text of ``tokens`` has four windows."""
    return 1 << max(4, int(math.log2(max(1, tokens // 4 - 2))))


def network(plan: Recipe, vocabulary: int, fim: float) -> dict[str, Any]:
    """The ``network`` part of config.json; ``fim`` is the share of windows that taught it to fill gaps."""
    return {
        "vocabulary": vocabulary,
        "layers": plan.layers,
        "heads": plan.heads,
        "width": plan.width,
        "context": plan.context,
        "pairs": min(vocabulary**2, plan.pairs),
        "runs": list(plan.runs),
        "values": plan.layers >= DEEP and vocabulary <= FULL_TABLES,
        "tied": vocabulary > FULL_TABLES,
        "fim": fim,
    }
