"""Codes from a composer, frame by frame on the CPU: the state of a work, what it draws, and what it has heard.

A work has its own state and its own stream of random numbers, keyed by its seed, so it is the same in any company.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgen.backends.audio.rnn.composer import TAPS, Composer

Floats = NDArray[np.float32]
Codes = NDArray[np.int16]
"""Codes int16 [K, T]."""

_DRAWN = 1024  # frames whose numbers are drawn at once


@dataclass(frozen=True)
class Weights:
    """The weights of a composer as the kernel takes them, matrices as [in, out]; in the order of its arguments."""

    embedding: Floats
    said: Floats
    places: Floats
    heads: Floats
    biases: Floats
    enter_w: Floats
    enter_b: Floats
    norms: Floats
    taps: Floats
    gates_w: Floats
    gates_b: Floats
    leave_w: Floats
    leave_b: Floats
    last: Floats
    aim_w: Floats
    aim_b: Floats
    begin: Floats

    def arguments(self) -> tuple[Floats, ...]:
        """All of them, in order."""
        return tuple(vars(self).values())


def weights_of(composer: Composer) -> Weights:
    """A copy of the weights of a composer, in 32 bits."""

    def one(tensor: Any) -> Floats:
        return np.ascontiguousarray(tensor.detach().float().cpu().numpy())

    def every(*tensors: Any) -> Floats:
        return np.stack([one(tensor) for tensor in tensors])

    cells: list[Any] = list(composer.cells)
    return Weights(
        embedding=one(composer.embedding), said=one(composer.said), places=one(composer.places), heads=one(composer.heads),
        biases=one(composer.biases), enter_w=one(composer.enter.weight.T), enter_b=one(composer.enter.bias),
        norms=np.stack([every(cell.norm.weight, cell.norm.bias) for cell in cells]),
        taps=every(*(cell.taps for cell in cells)),
        gates_w=every(*(cell.enter.weight.T for cell in cells)), gates_b=every(*(cell.enter.bias for cell in cells)),
        leave_w=every(*(cell.leave.weight.T for cell in cells)), leave_b=every(*(cell.leave.bias for cell in cells)),
        last=every(composer.last.weight, composer.last.bias), aim_w=one(composer.aim.weight.T), aim_b=one(composer.aim.bias),
        begin=one(composer.begin),
    )  # fmt: skip


class Listener:
    """What a composer has heard so far, and how it goes on: :meth:`read` codes that are there, :meth:`write` new ones.

    ``nats`` is how unlikely the model found all of them. ``seed`` and ``stream`` key the random numbers.
    """

    def __init__(self, weights: Weights, seed: int, stream: int = 0) -> None:
        self._weights = weights
        layers, _, width = weights.taps.shape
        self._frame = weights.begin.copy()
        self._recent, self._memory = np.zeros((layers, TAPS - 1, width), np.float32), np.zeros((layers, width), np.float32)
        self._random = np.random.Generator(np.random.Philox(key=[seed, stream]))
        self._draws = np.zeros((0, len(weights.places)))
        self._still = np.full(1 + len(weights.places), -1, np.int64)
        self._still[0] = 0
        self.nats = 0.0

    def copy(self) -> Listener:
        """Another one that has heard the same, and draws the same numbers from here on."""
        import copy

        return copy.deepcopy(self, {id(self._weights): self._weights})

    def read(self, codes: Codes) -> float:
        """Hear codes [K, T]; returns how unlikely, in nats, the model found them."""
        return self._run(np.array(codes, np.int16, order="C"), 0, 1.0, 0, 1.0, 0)

    def write(self, count: int, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, rest: int = 0) -> Codes:
        """``count`` frames more, int16 [K, count]; ``top_k`` of 0 is all.

        Where a frame came ``rest`` times more without a change, the sound stands still and would do so on: all that was heard is
        forgotten, and something new begins. 0 lets it stand.
        """
        codes = np.full((len(self._weights.places), count), -1, np.int16)
        self._run(codes, count, temperature, top_k, top_p, rest)
        return codes

    def fill(self, codes: Codes, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Codes:
        """Hear codes [K, T], and write those that are negative, each after all before it."""
        filled = np.array(codes, np.int16, order="C")
        self._run(filled, codes.shape[1], temperature, top_k, top_p, 0)
        return filled

    def _run(self, codes: Codes, count: int, temperature: float, top_k: int, top_p: float, rest: int) -> float:
        from artgen.backends.audio.rnn.kernel import composed

        # In blocks of a fixed size, so that how much is written at a time has no say.
        while len(self._draws) < count:
            self._draws = np.concatenate([self._draws, self._random.random((_DRAWN, len(codes)))])
        draws, self._draws = self._draws[:count], self._draws[count:]
        size = self._weights.heads.shape[2]
        nats = float(
            composed(codes, draws, float(temperature), top_k or size, float(top_p), self._frame,
                     *self._weights.arguments(), self._recent, self._memory, self._still, rest)
        )  # fmt: skip
        self.nats += nats
        return nats


def compose(weights: Weights, count: int, *, seed: int, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> Codes:
    """``count`` frames of codes int16 [K, count] out of nothing."""
    return Listener(weights, seed).write(count, temperature=temperature, top_k=top_k, top_p=top_p)
