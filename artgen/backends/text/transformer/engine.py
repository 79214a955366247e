"""What computes the next token: one interface, three ways to compute it, the same greedy tokens from each.

``compiled`` is machine code for CPUs, ``numpy`` needs nothing but NumPy, ``torch`` is for GPUs. In each a sequence gives the
same bits whatever other sequences are computed with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from artgen.backends.text.transformer.weights import LOGIT_CAP, Floats, Ids, Weights, read_weights
from artgen.model import Model

Kind = Literal["auto", "compiled", "numpy", "torch"]

TORCH_FROM = 2_000_000
"""Weights from which a GPU is faster than machine code on the CPU, by ``benchmarks/text_generation.py``."""

ROWS = 16
"""Tokens that are computed at once; they share what is read of the weights."""

_EPSILON = np.float32(1e-5)


@dataclass(frozen=True)
class Rows:
    """Tokens to compute, int64 [R]: the token, its sequence and its place in the context; ``before`` [R, N], the newest first.

    ``wanted`` are the rows whose logits are asked for. Rows of one sequence stand in the order of their positions.
    """

    tokens: Ids
    before: Ids
    sequences: Ids
    positions: Ids
    wanted: Ids

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, start: int, stop: int) -> Rows:
        """The rows from ``start`` to ``stop``."""
        inside = self.wanted[(self.wanted >= start) & (self.wanted < stop)] - start
        return Rows(
            self.tokens[start:stop], self.before[start:stop], self.sequences[start:stop], self.positions[start:stop], inside
        )


class Engine(ABC):
    """Computes tokens of sequences that it keeps the keys and values of; of each it needs ``reach`` tokens before it."""

    name: ClassVar[str]

    def __init__(self, context: int, vocabulary: int, reach: int) -> None:
        self.context = context
        self.vocabulary = vocabulary
        self.reach = reach

    @abstractmethod
    def open(self, sequences: int) -> Any:
        """Room for the keys and values of so many sequences."""

    @abstractmethod
    def compute(self, cache: Any, rows: Rows) -> tuple[Floats, Floats]:
        """Logits [W, V] of the wanted rows and the logarithm [W] of the sum of their exponentials."""


class NumpyEngine(Engine):
    """Plain NumPy, a row at a time: slower for many sequences, the same bits for any."""

    name = "numpy"

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights.context, weights.vocabulary, weights.reach)
        self.weights = weights
        self.matrices = [weights.layer(number) for number in range(weights.layers)]

    def open(self, sequences: int) -> tuple[Floats, Floats]:
        """Keys and values [L, S, H, C, E]."""
        w = self.weights
        shape = (w.layers, sequences, w.heads, w.context, w.width // w.heads)
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def compute(self, cache: tuple[Floats, Floats], rows: Rows) -> tuple[Floats, Floats]:
        """Row by row."""
        pair_rows = self.weights.pair_rows(rows.before, rows.tokens)
        logits = np.empty((len(rows.wanted), self.vocabulary), np.float32)
        places = {int(row): place for place, row in enumerate(rows.wanted)}
        for row in range(len(rows)):
            x = self._row(
                cache, int(rows.tokens[row]), pair_rows[row], int(rows.sequences[row]), int(rows.positions[row])
            )  # fmt: skip
            if row in places:
                z = _norm(x) @ self.weights.head
                logits[places[row]] = LOGIT_CAP * np.tanh(z / np.float32(LOGIT_CAP))
        return logits, _totals(logits)

    def _row(self, cache: tuple[Floats, Floats], token: int, pairs: Ids, sequence: int, position: int) -> Floats:
        w = self.weights
        x = w.embedding[token]
        for pair in pairs:
            x = x + w.pairs[pair]
        x = first = _norm(x)
        for layer, (qkv, out, up, down) in enumerate(self.matrices):
            x = w.mix[layer, 0] * x + w.mix[layer, 1] * first
            query, key, value = (_norm(x) @ qkv).reshape(3, w.heads, -1)  # each [H, E]
            if len(w.tables):
                value = value + w.tables[layer, token].reshape(w.heads, -1)
            keys, values = cache[0][layer, sequence], cache[1][layer, sequence]  # [H, C, E]
            cosine, sine = w.cosine[position], w.sine[position]
            keys[:, position], values[:, position] = _rotate(_norm(key), cosine, sine), value
            seen = position + 1
            scores = (keys[:, :seen] @ _rotate(_norm(query), cosine, sine)[:, :, None])[..., 0] * np.float32(w.scale)
            scores = np.exp(scores - scores.max(-1, keepdims=True))  # [H, T]
            mixed = (scores[:, None] @ values[:, :seen])[:, 0] / scores.sum(-1, keepdims=True)
            x = x + mixed.reshape(-1) @ out
            x = x + np.square(np.maximum(_norm(x) @ up, 0)) @ down
        return x  # type: ignore[no-any-return]  # NumPy's operators give Any


class CompiledEngine(Engine):
    """Machine code of :mod:`.kernel`, up to :data:`ROWS` rows a call."""

    name = "compiled"

    def __init__(self, weights: Weights, say: Callable[[str], None]) -> None:
        from artgen.backends.text.transformer import machine

        super().__init__(weights.context, weights.vocabulary, weights.reach)
        self.weights = weights
        self.step = machine.load(say)
        sizes = machine.room(ROWS, weights.width, weights.context, weights.vocabulary)
        self.room = [np.empty(size, kind) for size, kind in zip(sizes, (np.float32, np.int32, np.int64), strict=True)]
        self.shape = np.array(
            [0, 0, weights.width, weights.vocabulary, weights.layers, weights.heads, weights.context, 0, weights.reach,
             len(weights.tables), round(weights.scale * 1e6), round(LOGIT_CAP * 1e6), *weights.sizes], np.int64
        )  # fmt: skip
        fixed = (weights.embedding, weights.pairs, weights.tables, weights.mix, weights.matrices, weights.cosine, weights.sine)
        self.fixed = [array.ctypes.data for array in fixed]
        self.room_at = [array.ctypes.data for array in self.room]

    def open(self, sequences: int) -> tuple[Floats, Floats]:
        """Keys [L, S, H, E, C] and values [L, S, H, C, E]."""
        w = self.weights
        entries = w.width // w.heads
        keys = np.zeros((w.layers, sequences, w.heads, entries, w.context), np.float32)
        return keys, np.zeros((w.layers, sequences, w.heads, w.context, entries), np.float32)

    def compute(self, cache: tuple[Floats, Floats], rows: Rows) -> tuple[Floats, Floats]:
        """In blocks of :data:`ROWS`."""
        logits = np.empty((len(rows.wanted), self.vocabulary), np.float32)
        totals = np.empty(len(rows.wanted), np.float32)
        if len(rows) <= ROWS:
            self._block(cache, rows, logits, totals)
            return logits, totals
        done = 0
        for start in range(0, len(rows), ROWS):
            part = rows.part(start, min(start + ROWS, len(rows)))
            self._block(cache, part, logits[done : done + len(part.wanted)], totals[done : done + len(part.wanted)])
            done += len(part.wanted)
        return logits, totals

    def _block(self, cache: tuple[Floats, Floats], rows: Rows, logits: Floats, totals: Floats) -> None:
        shape = self.shape
        shape[0], shape[1], shape[7] = len(rows), len(rows.wanted), cache[0].shape[1]
        moving = (shape, rows.tokens, rows.before, rows.sequences, rows.positions, rows.wanted)
        self.step(
            *[array.ctypes.data for array in moving], *self.fixed, cache[0].ctypes.data, cache[1].ctypes.data,
            *self.room_at, logits.ctypes.data, totals.ctypes.data,
        )  # fmt: skip


def choose(kind: Kind, device: str, weights: int) -> str:
    """The engine for a model of so many ``weights`` (entries, not bytes) on ``device``: a pure function, so that replay agrees."""
    if kind != "auto":
        return kind
    return "torch" if device != "cpu" and weights >= TORCH_FROM else "compiled"


def open_engine(model: Model, kind: Kind, say: Callable[[str], None]) -> Engine:
    """The engine of an open model, made at its first use and kept with it.

    Where machine code cannot be made, ``auto`` takes NumPy instead and says so.

    Raises:
        ModelError: the weights are damaged.
        UsageError: ``compiled`` is asked for where it cannot be made.
    """
    from artgen.errors import UsageError

    if "weights" not in model.cache:
        model.cache["weights"] = read_weights(model)
    weights = model.cache["weights"]
    assert isinstance(weights, Weights)
    name = choose(kind, model.device, weights.matrices.size)
    if (kept := model.cache.get(f"engine {name}")) is not None:
        assert isinstance(kept, Engine)
        return kept
    engine: Engine
    if name == "torch":
        from artgen.backends.text.transformer.engine_torch import TorchEngine

        engine = TorchEngine(model)
    elif name == "numpy":
        engine = NumpyEngine(weights)
    else:
        try:
            engine = CompiledEngine(weights, say)
        except (ImportError, OSError) as error:
            if kind == "compiled":
                raise UsageError(f"--engine compiled cannot be used here ({error}); give --engine numpy or torch") from None
            say(f"the text engine cannot be compiled here ({error}); NumPy is used, which is slower")
            engine = NumpyEngine(weights)
    model.cache[f"engine {name}"] = engine
    return engine


class Session:
    """Sequences as they grow: what was read of each, and where it stands in the context.

    Once a sequence has filled the context, its last half is read again from the first position, and it goes on from there: so
    no position is beyond those of the training.
    """

    def __init__(self, engine: Engine, sequences: int) -> None:
        self.engine = engine
        self.tokens: list[list[int]] = [[] for _ in range(sequences)]
        self._positions = [0] * sequences
        self._cache = engine.open(sequences)

    def begin(self, pieces: Sequence[Sequence[int]]) -> tuple[Floats, Floats]:
        """Read the first piece of every sequence, equal ones once; logits [S, V] after the last token of each, and totals [S]."""
        origin: dict[tuple[int, ...], int] = {}
        owners = [origin.setdefault(tuple(piece), number) for number, piece in enumerate(pieces)]
        readers = list(dict.fromkeys(owners))
        logits, totals = self.read(readers, [pieces[number] for number in readers])
        for number, owner in enumerate(owners):
            if number != owner:
                self.tokens[number] = list(self.tokens[owner])
                self._positions[number] = self._positions[owner]
                for part in self._cache:
                    part[:, number] = part[:, owner]
        rows = [readers.index(owner) for owner in owners]
        return logits[rows], totals[rows]

    def write(self, sequences: Sequence[int], tokens: Sequence[int]) -> tuple[Floats, Floats]:
        """Add one token to each of ``sequences``; the logits [N, V] of what may follow, and their totals [N]."""
        return self.read(sequences, [[token] for token in tokens])

    def read(self, sequences: Sequence[int], pieces: Sequence[Sequence[int]], every: bool = False) -> tuple[Floats, Floats]:
        """Add a piece of at least one token to each of ``sequences``; logits after the last token of each, or after ``every``.

        The pieces of ``every`` must fit into what is left of the context. Of a longer piece otherwise the end is kept.
        """
        reach = self.engine.reach
        tokens: list[int] = []
        before: list[list[int]] = []
        owners: list[int] = []
        positions: list[int] = []
        wanted: list[int] = []
        for sequence, piece in zip(sequences, pieces, strict=True):
            known = self.tokens[sequence]
            known.extend(piece)
            at, count = self._positions[sequence], len(piece)
            if at + count > self.engine.context:
                assert not every
                at, count = 0, self.engine.context // 2 if count < self.engine.context // 2 else self.engine.context - 1
            start = len(known) - count
            tokens += known[start:]
            padded = [*[0] * reach, *known[max(0, start - reach) :]]
            before += [padded[place - reach : place][::-1] for place in range(len(padded) - count, len(padded))]
            owners += [sequence] * count
            positions += range(at, at + count)
            wanted += range(len(tokens) - count, len(tokens)) if every else [len(tokens) - 1]
            self._positions[sequence] = at + count
        arrays = [np.array(part, np.int64) for part in (tokens, owners, positions, wanted)]
        history = np.array(before, np.int64).reshape(len(tokens), reach)
        return self.engine.compute(self._cache, Rows(arrays[0], history, *arrays[1:]))


def _norm(x: NDArray[Any]) -> Floats:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + _EPSILON)  # type: ignore[no-any-return]


def _rotate(x: Floats, cosine: Floats, sine: Floats) -> Floats:
    turned = x.copy()
    first, second = x[:, 0 : 2 * len(cosine) : 2], x[:, 1 : 2 * len(cosine) : 2]
    turned[:, 0 : 2 * len(cosine) : 2] = first * cosine - second * sine
    turned[:, 1 : 2 * len(cosine) : 2] = first * sine + second * cosine
    return turned


def _totals(logits: Floats) -> Floats:
    totals: Floats = np.log(np.exp(logits).sum(-1))  # logits are capped: nothing overflows
    return totals
