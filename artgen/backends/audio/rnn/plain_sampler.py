"""Samples from the plain network, one after the other on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from artgen.backends.audio.rnn import plain

Levels = NDArray[np.uint8]

_DRAWN = 8192  # samples whose numbers are drawn at once


class Writer:
    """What a plain network has heard so far, and how it goes on; as :class:`.sampler.Listener` is for codes."""

    def __init__(self, weights: Mapping[str, NDArray[np.float32]], seed: int, stream: int = 0) -> None:
        self._weights = weights
        self._state = np.zeros(weights["gates_w"].shape[0], np.float32)
        self._still = np.array([0, plain.silence()], np.int64)
        self._random = np.random.Generator(np.random.Philox(key=[seed, stream]))
        self._draws = np.zeros(0)
        self.nats = 0.0

    def read(self, levels: Levels) -> float:
        """Hear ``levels`` [N]; returns how unlikely, in nats, the model found them."""
        return self._run(np.array(levels, np.uint8), len(levels), 1.0, 0, 1.0, 0)

    def write(self, count: int, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, rest: int = 0) -> Levels:
        """``count`` samples more; ``top_k`` of 0 is all, and ``rest`` as of :class:`.sampler.Listener`, in samples."""
        levels = np.zeros(count, np.uint8)
        self._run(levels, 0, temperature, top_k, top_p, rest)
        return levels

    def _run(self, levels: Levels, start: int, temperature: float, top_k: int, top_p: float, rest: int) -> float:
        from artgen.backends.audio.rnn.plain_kernel import written

        count = len(levels) - start
        # In blocks of a fixed size, so that how much is written at a time has no say.
        while len(self._draws) < count:
            self._draws = np.concatenate([self._draws, self._random.random(_DRAWN)])
        draws, self._draws = self._draws[:count], self._draws[count:]
        nats = float(
            written(levels, start, draws, float(temperature), top_k or plain.LEVELS, float(top_p),
                    **self._weights, state=self._state, still=self._still, rest=rest, silence=plain.silence())
        )  # fmt: skip
        self.nats += nats
        return nats
