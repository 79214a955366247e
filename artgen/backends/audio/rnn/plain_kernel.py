"""The plain network sample after sample, as machine code: see :mod:`.kernel` for how."""

from __future__ import annotations

from typing import Any

import numpy as np

from artgen.backends.audio.rnn.kernel import chosen, compiled, product


@compiled
def written(
    levels: Any, start: int, draws: Any, temperature: float, top_k: int, top_p: float, told: Any, gates_w: Any,
    gates_b: Any, head_w: Any, head_b: Any, state: Any, still: Any, rest: int, silence: int,
) -> float:  # fmt: skip
    """Go on from ``state`` [D] and the last level: fill ``levels`` [N] from ``start`` on, by ``draws``.

    Before ``start`` the levels are there and are only read. Where ``rest`` samples more were the same as the one before them, all
    that was heard is forgotten; ``still`` [2] holds how many were, and the last level. Returns how unlikely, in nats, all was.
    """
    width, size = len(state), len(head_b)
    gates = np.empty(3 * width, np.float32)
    logits, kept = np.empty(size, np.float32), np.empty(size, np.float32)
    one = np.float32(1)
    nats = 0.0
    last = still[1]
    for n in range(len(levels)):
        gates[:] = gates_b
        product(state, gates_w, gates)
        for i in range(width):
            reset = one / (one + np.exp(-(told[last, i] + gates[i])))
            stay = one / (one + np.exp(-(told[last, width + i] + gates[width + i])))
            new = np.tanh(told[last, 2 * width + i] + reset * gates[2 * width + i])
            state[i] = (one - stay) * new + stay * state[i]
        logits[:] = head_b
        product(state, head_w, logits)
        top, total = logits[0], 0.0
        for i in range(size):
            if logits[i] > top:
                top = logits[i]
        for i in range(size):
            total += np.exp(logits[i] - top)
        nats += np.log(total) + top
        if n >= start:
            kept[:] = logits
            levels[n] = chosen(logits, draws[n - start], temperature, top_k, top_p)
            logits[:] = kept
        nats -= logits[levels[n]]
        still[0] = still[0] + 1 if levels[n] == last else 0
        last = levels[n]
        if 0 < rest <= still[0] and n >= start:
            state[:] = np.float32(0)
            last = silence
            still[0] = 0
    still[1] = last
    return nats
