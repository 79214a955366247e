"""Composing in plain loops over memory, which Numba turns into machine code: frame after frame with one state.

A product adds rows of a matrix to a result, ``y += x[i] * w[i]`` with ``i`` rising; a multiplication may fuse with an addition, and
nothing is reordered, so the same machine gives the same codes every time. The code is kept beside this file (or in the user's
cache) and compiled once on a machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# D width, L layers, K codebooks, V codes, P numbers of an embedding, I numbers inside a frame.

TAPS = 4
_GROUP = 8  # rows that are added in one pass over y
_HALVINGS = 40  # until the least likely code that is kept is known


def compiled(function: Any) -> Any:
    """``function`` as machine code: no addition is reordered, and division by zero is no exception."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # there is no place that can be written to: compiled every time
        return njit(**options)(function)


@compiled
def product(x: Any, w: Any, y: Any) -> None:
    """``y += x @ w`` for x [N], w [N, M] and y [M]."""
    whole = len(x) - len(x) % _GROUP
    for i in range(0, whole, _GROUP):
        x0, x1, x2, x3, x4, x5, x6, x7 = x[i], x[i + 1], x[i + 2], x[i + 3], x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        w0, w1, w2, w3, w4, w5, w6, w7 = w[i], w[i + 1], w[i + 2], w[i + 3], w[i + 4], w[i + 5], w[i + 6], w[i + 7]
        for j in range(len(y)):
            y[j] = y[j] + x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j] + x4 * w4[j] + x5 * w5[j] + x6 * w6[j] + x7 * w7[j]
    for i in range(whole, len(x)):
        for j in range(len(y)):
            y[j] = y[j] + x[i] * w[i, j]


@compiled
def normalised(x: Any, weight: Any, bias: Any, y: Any) -> None:
    """``y`` is the layer norm of ``x`` [N]."""
    mean = np.float32(0)
    for i in range(len(x)):
        mean += x[i]
    mean /= np.float32(len(x))
    square = np.float32(0)
    for i in range(len(x)):
        square += (x[i] - mean) * (x[i] - mean)
    scale = np.float32(1) / np.sqrt(square / np.float32(len(x)) + np.float32(1e-5))
    for i in range(len(x)):
        y[i] = (x[i] - mean) * scale * weight[i] + bias[i]


@compiled
def heard(
    frame: Any, enter_w: Any, enter_b: Any, norms: Any, taps: Any, gates_w: Any, gates_b: Any, leave_w: Any, leave_b: Any,
    last: Any, aim_w: Any, aim_b: Any, recent: Any, memory: Any, x: Any, y: Any, wide: Any, known: Any,
) -> None:  # fmt: skip
    """Read one embedded ``frame`` [P]: the states move on by it, and ``known`` [I] is what is known then."""
    width = len(x)
    x[:] = enter_b
    product(frame, enter_w, x)
    for layer in range(len(taps)):
        normalised(x, norms[layer, 0], norms[layer, 1], y)
        window = recent[layer]
        for i in range(width):
            now = y[i]
            y[i] = (
                window[0, i] * taps[layer, 0, i] + window[1, i] * taps[layer, 1, i] + window[2, i] * taps[layer, 2, i]
                + now * taps[layer, 3, i]
            )  # fmt: skip
            window[0, i], window[1, i], window[2, i] = window[1, i], window[2, i], now
        wide[:] = gates_b[layer]
        product(y, gates_w[layer], wide)
        state = memory[layer]
        for i in range(width):
            update = np.float32(1) / (np.float32(1) + np.exp(-wide[i]))
            state[i] = (np.float32(1) - update) * state[i] + update * wide[width + i]
            out = wide[2 * width + i]
            y[i] = state[i] * out / (np.float32(1) + np.exp(-out))
        for i in range(width):
            x[i] = x[i] + leave_b[layer, i]
        product(y, leave_w[layer], x)
    normalised(x, last[0], last[1], y)
    known[:] = aim_b
    product(y, aim_w, known)


@compiled
def chosen(logits: Any, draw: float, temperature: float, top_k: int, top_p: float) -> int:
    """One code by ``draw`` (uniform, 0 to 1) from ``logits`` [V], which become weights; at temperature 0 the likeliest."""
    size = len(logits)
    best = 0
    for i in range(size):
        if logits[i] > logits[best]:
            best = i
    if temperature == 0:
        return best
    top = logits[best]
    total = 0.0
    for i in range(size):
        logits[i] = np.exp((logits[i] - top) / np.float32(temperature))
        total += logits[i]
    if top_k < size or top_p < 1:
        low, high = 0.0, 1.0  # of the likeliest: what is kept is at least ``low``
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            count, heap = 0, 0.0
            for i in range(size):
                if logits[i] >= middle:
                    count += 1
                    heap += logits[i]
            if count >= top_k or heap >= top_p * total:
                low = middle
            else:
                high = middle
        total = 0.0
        for i in range(size):
            if logits[i] < low:
                logits[i] = np.float32(0)
            total += logits[i]
    wanted, reached, last = draw * total, 0.0, best
    for i in range(size):
        if logits[i] > 0:
            reached += logits[i]
            last = i
            if reached > wanted:
                return i
    return last


@compiled
def composed(
    codes: Any, draws: Any, temperature: float, top_k: int, top_p: float, frame: Any, embedding: Any, said: Any,
    places: Any, heads: Any, biases: Any, enter_w: Any, enter_b: Any, norms: Any, taps: Any, gates_w: Any, gates_b: Any,
    leave_w: Any, leave_b: Any, last: Any, aim_w: Any, aim_b: Any, begin: Any, recent: Any, memory: Any, still: Any, rest: int,
) -> float:  # fmt: skip
    """Go on from ``frame`` [P] and the states: read ``codes`` [K, T], and draw those that are negative, by ``draws`` [T, K].

    Where ``rest`` frames more were the same as the one before, all that
    was heard is forgotten; ``still`` [1 + K] holds how many were, and the last frame. Returns how unlikely, in nats, all was.
    """
    books, count = codes.shape
    size = heads.shape[2]
    x, y, wide = np.empty(len(enter_b), np.float32), np.empty(len(enter_b), np.float32), np.empty(3 * len(enter_b), np.float32)
    told, hidden = np.empty(len(aim_b), np.float32), np.empty(len(aim_b), np.float32)
    logits, kept = np.empty(size, np.float32), np.empty(size, np.float32)
    nats = 0.0
    for t in range(count):
        heard(frame, enter_w, enter_b, norms, taps, gates_w, gates_b, leave_w, leave_b, last, aim_w, aim_b, recent, memory,
              x, y, wide, told)  # fmt: skip
        frame[:] = np.float32(0)
        drawn = False
        for book in range(books):
            for i in range(len(told)):
                told[i] = told[i] + places[book, i]
                hidden[i] = told[i] / (np.float32(1) + np.exp(-told[i]))
            logits[:] = biases[book]
            product(hidden, heads[book], logits)
            top, total = logits[0], 0.0
            for i in range(size):
                if logits[i] > top:
                    top = logits[i]
            for i in range(size):
                total += np.exp(logits[i] - top)
            nats += np.log(total) + top
            if codes[book, t] < 0:
                drawn = True
                kept[:] = logits
                codes[book, t] = chosen(logits, draws[t, book], temperature, top_k, top_p)
                logits[:] = kept
            code = codes[book, t]
            nats -= logits[code]
            for i in range(len(frame)):
                frame[i] = frame[i] + embedding[book, code, i]
            if book + 1 < books:
                for i in range(len(told)):
                    told[i] = told[i] + said[book, code, i]
        same = True
        for book in range(books):
            same = same and codes[book, t] == still[1 + book]
            still[1 + book] = codes[book, t]
        still[0] = still[0] + 1 if same else 0
        if 0 < rest <= still[0] and drawn:
            recent[:] = np.float32(0)
            memory[:] = np.float32(0)
            frame[:] = begin
            still[0] = 0
    return nats
