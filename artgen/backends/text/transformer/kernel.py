"""One step of the Transformer in plain loops, which Numba turns into machine code.

Every product adds rows of a weight matrix to a result, ``y += x[i] * w[i]`` with ``i`` rising, so that the additions of a
row are the same whatever other rows stand beside it: the batch cannot change the bits, and a prompt read in blocks gives
what it gives token by token. A multiplication may fuse with an addition; nothing is reordered. An ``x[i]`` of zero is
passed over, which with squared ReLU saves most of the last matrix of a block.

:mod:`.machine` compiles :func:`step` and keeps the machine code, so that Numba is imported once on a machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, njit, types

# R rows (tokens to compute), D width, H heads, E entries of a head, C context, S sequences, V vocabulary, L layers.

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
"""How it is compiled: division by zero is no exception, so that machine code needs nothing of Python."""

_BLOCK = 64  # rows of a matrix that stay in the fastest cache while they are applied to every x
_GROUP = 8  # rows that are added in one pass over y


def _part(function: Any) -> Any:
    """A part of :func:`step`: compiled into it, never loaded by itself."""
    return njit(**OPTIONS)(function)


@_part
def accumulate(x: Any, start: int, stop: int, w: Any, y: Any, count: int, index: Any, value: Any) -> None:
    """``y[:count] += x[i] * w[i, :count]`` for ``i`` from ``start`` to ``stop``, in that order."""
    found = 0
    for i in range(start, stop):
        if x[i] != 0:
            index[found] = i
            value[found] = x[i]
            found += 1
    for i in range(found, found + _GROUP - 1):  # a whole last group: nothing times some row
        index[i] = start
        value[i] = 0
    for g in range(0, found, _GROUP):
        w0, w1, w2, w3 = w[index[g]], w[index[g + 1]], w[index[g + 2]], w[index[g + 3]]
        w4, w5, w6, w7 = w[index[g + 4]], w[index[g + 5]], w[index[g + 6]], w[index[g + 7]]
        v0, v1, v2, v3 = value[g], value[g + 1], value[g + 2], value[g + 3]
        v4, v5, v6, v7 = value[g + 4], value[g + 5], value[g + 6], value[g + 7]
        for j in range(count):
            y[j] = (
                y[j] + v0 * w0[j] + v1 * w1[j] + v2 * w2[j] + v3 * w3[j]
                + v4 * w4[j] + v5 * w5[j] + v6 * w6[j] + v7 * w7[j]
            )  # fmt: skip


@_part
def product(x: Any, w: Any, y: Any, rows: int, add: bool, index: Any, value: Any) -> None:
    """``y = x @ w`` or ``y += x @ w`` for the first ``rows`` rows."""
    if not add:
        y[:rows] = 0
    for start in range(0, w.shape[0], _BLOCK):
        stop = min(start + _BLOCK, w.shape[0])
        for r in range(rows):
            accumulate(x[r], start, stop, w, y[r], w.shape[1], index, value)


@_part
def total(x: Any, count: int) -> Any:
    """The sum of the first ``count`` entries, in eight strands."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0)
    whole = count - count % 8
    for i in range(0, whole, 8):
        s0 += x[i]
        s1 += x[i + 1]
        s2 += x[i + 2]
        s3 += x[i + 3]
        s4 += x[i + 4]
        s5 += x[i + 5]
        s6 += x[i + 6]
        s7 += x[i + 7]
    for i in range(whole, count):
        s0 += x[i]
    return ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))


@_part
def normalise(x: Any, y: Any, scratch: Any) -> None:
    """``y`` is ``x`` with mean 0 and variance 1, as :func:`artgen.nn.transformer.norm`."""
    count = x.shape[0]
    share = np.float32(1) / np.float32(count)
    mean = total(x, count) * share
    for i in range(count):
        y[i] = x[i] - mean
        scratch[i] = y[i] * y[i]
    scale = np.float32(1) / np.sqrt(total(scratch, count) * share + np.float32(1e-5))
    for i in range(count):
        y[i] *= scale


@_part
def exponential(x: Any, count: int, bits: Any) -> None:
    """``x = exp(x)`` in place, within one unit of the last place for -87 to 87.

    ``2^n`` times a polynomial of the rest, in a form that vectorises. Source: Cephes, ``expf``.
    """
    power = bits.view(np.float32)
    for i in range(count):
        v = min(max(x[i], np.float32(-87)), np.float32(87))
        n = np.floor(v * np.float32(1.44269504) + np.float32(0.5))
        r = v - n * np.float32(0.693359375) + n * np.float32(2.12194440e-4)
        p = np.float32(1.9875691500e-4)
        p = p * r + np.float32(1.3981999507e-3)
        p = p * r + np.float32(8.3334519073e-3)
        p = p * r + np.float32(4.1665795894e-2)
        p = p * r + np.float32(1.6666665459e-1)
        p = p * r + np.float32(5.0000001201e-1)
        x[i] = p * r * r + r + np.float32(1)
        bits[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
    for i in range(count):
        x[i] *= power[i]


@_part
def rotate(x: Any, cosine: Any, sine: Any) -> None:
    """Rotate the first half of a head, as :func:`artgen.nn.transformer.rotate`."""
    for i in range(cosine.shape[0]):
        first, second = x[2 * i], x[2 * i + 1]
        x[2 * i] = first * cosine[i] - second * sine[i]
        x[2 * i + 1] = first * sine[i] + second * cosine[i]


@_part
def attend(
    query: Any, keys: Any, values: Any, seen: int, scale: float, y: Any, scores: Any, part: Any, bits: Any, index: Any, value: Any
) -> None:
    """Attention of one row over the ``seen`` first places of keys [H, E, C] and values [H, C, E]."""
    heads, entries = keys.shape[0], keys.shape[1]
    for h in range(heads):
        head = query[h * entries : (h + 1) * entries]
        scores[:seen] = 0
        for start in range(0, entries, _BLOCK):
            accumulate(head, start, min(start + _BLOCK, entries), keys[h], scores, seen, index, value)
        high = scores[0]
        for t in range(seen):
            high = max(high, scores[t])
        for t in range(seen):
            scores[t] = (scores[t] - high) * scale
        exponential(scores, seen, bits)
        share = np.float32(1) / total(scores, seen)
        part[:entries] = 0
        for start in range(0, seen, _BLOCK):
            accumulate(scores, start, min(start + _BLOCK, seen), values[h], part, entries, index, value)
        for e in range(entries):
            y[h * entries + e] = part[e] * share


_I, _F = types.CPointer(types.int64), types.CPointer(types.float32)
SIGNATURE = types.void(_I, _I, _I, _I, _I, _I, _F, _F, _F, _F, _F, _F, _F, _F, _F, _F, types.CPointer(types.int32), _I, _F, _F)
"""The arguments of :func:`step`."""


def step(
    shape_at: Any, rows_at: Any, pair_rows_at: Any, sequences_at: Any, positions_at: Any, wanted_at: Any,
    embedding_at: Any, pairs_at: Any, tables_at: Any, mix_at: Any, matrices_at: Any, cosine_at: Any, sine_at: Any,
    keys_at: Any, values_at: Any, scratch_at: Any, bits_at: Any, index_at: Any, logits_at: Any, totals_at: Any,
) -> None:  # fmt: skip
    """Compute R tokens and fill logits [W, V] and totals [W] (their log sum exp) for the W wanted rows.

    ``shape`` is R, W, D, V, L, H, C, S, the rows of ``pairs`` (0 for none), whether there are ``tables``, the rows of ``cosine``,
    and two numbers in millionths: the scale of attention and the cap of logits. ``matrices`` holds qkv [D, 3D], out [D, D],
    up [D, 4D], down [4D, D] of every layer and the head [D, V], one after the other; ``tables`` [L, V, D] add to values.
    Keys [L, S, H, E, C] and values [L, S, H, C, E] get the new entries; rows of one sequence stand in the order of their
    positions. ``scratch``, ``bits`` and ``index`` are room to work: see :func:`.machine.room`.
    """
    shape = carray(shape_at, 13)
    count, asked, width, size, layers, heads = shape[0], shape[1], shape[2], shape[3], shape[4], shape[5]
    context, sequences_open, entries = shape[6], shape[7], shape[2] // shape[5]
    scale, cap = np.float32(shape[11] * 1e-6), np.float32(shape[12] * 1e-6)
    rows, pair_rows = carray(rows_at, count), carray(pair_rows_at, count)
    sequences, positions = carray(sequences_at, count), carray(positions_at, count)
    wanted = carray(wanted_at, asked)
    embedding, pairs = carray(embedding_at, (size, width)), carray(pairs_at, (shape[8], width))
    tables, mix = carray(tables_at, (layers, size, width)), carray(mix_at, (layers, 2))
    square = width * width
    matrices = carray(matrices_at, layers * 12 * square + width * size)
    cosine, sine = carray(cosine_at, (shape[10], entries // 4)), carray(sine_at, (shape[10], entries // 4))
    keys = carray(keys_at, (layers, sequences_open, heads, entries, context))
    values = carray(values_at, (layers, sequences_open, heads, context, entries))
    logits, totals = carray(logits_at, (asked, size)), carray(totals_at, asked)
    longest = max(4 * width, context, size)
    work = carray(scratch_at, 10 * count * width + longest + context + entries + _BLOCK + _GROUP)
    x = work[: count * width].reshape(count, width)
    first = work[count * width : 2 * count * width].reshape(count, width)
    normed = work[2 * count * width : 3 * count * width].reshape(count, width)
    qkv = work[3 * count * width : 6 * count * width].reshape(count, 3 * width)
    wide = work[6 * count * width : 10 * count * width].reshape(count, 4 * width)
    at = 10 * count * width
    scratch = work[at : at + longest]
    scores = work[at + longest : at + longest + context]
    part = work[at + longest + context : at + longest + context + entries]
    value = work[at + longest + context + entries :]
    bits, index = carray(bits_at, longest), carray(index_at, _BLOCK + _GROUP)
    for r in range(count):
        for i in range(width):
            x[r, i] = embedding[rows[r], i]
            if shape[8] > 0:
                x[r, i] += pairs[pair_rows[r], i]
        normalise(x[r], first[r], scratch)
        for i in range(width):
            x[r, i] = first[r, i]
    at = 0
    for layer in range(layers):
        w_qkv = matrices[at : at + 3 * square].reshape(width, 3 * width)
        w_out = matrices[at + 3 * square : at + 4 * square].reshape(width, width)
        w_up = matrices[at + 4 * square : at + 8 * square].reshape(width, 4 * width)
        w_down = matrices[at + 8 * square : at + 12 * square].reshape(4 * width, width)
        at += 12 * square
        keep, blend = mix[layer, 0], mix[layer, 1]
        for r in range(count):
            for i in range(width):
                x[r, i] = keep * x[r, i] + blend * first[r, i]
            normalise(x[r], normed[r], scratch)
        product(normed, w_qkv, qkv, count, False, index, value)
        for r in range(count):
            slot, sequence, row = positions[r] % context, sequences[r], qkv[r]
            for h in range(2 * heads):  # queries and keys
                head = row[h * entries : (h + 1) * entries]
                normalise(head, head, scratch)
                rotate(head, cosine[positions[r]], sine[positions[r]])
            if shape[9]:
                for i in range(width):
                    row[2 * width + i] += tables[layer, rows[r], i]
            for h in range(heads):
                for e in range(entries):
                    keys[layer, sequence, h, e, slot] = row[width + h * entries + e]
                    values[layer, sequence, h, slot, e] = row[2 * width + h * entries + e]
        for r in range(count):
            seen = min(positions[r] + 1, context)
            old_keys, old_values = keys[layer, sequences[r]], values[layer, sequences[r]]
            attend(qkv[r], old_keys, old_values, seen, scale, normed[r], scores, part, bits, index, value)
        product(normed, w_out, x, count, True, index, value)
        for r in range(count):
            normalise(x[r], normed[r], scratch)
        product(normed, w_up, wide, count, False, index, value)
        for r in range(count):
            for i in range(4 * width):
                positive = max(wide[r, i], np.float32(0))
                wide[r, i] = positive * positive
        product(wide, w_down, x, count, True, index, value)
    for r in range(asked):
        normalise(x[wanted[r]], normed[r], scratch)
    product(normed, matrices[at:].reshape(width, size), logits, asked, False, index, value)
    for r in range(asked):
        for i in range(size):
            logits[r, i] *= np.float32(2) / cap
        exponential(logits[r], size, bits)
        for i in range(size):  # tanh(z) = 1 - 2 / (exp(2 z) + 1)
            logits[r, i] = cap - (cap + cap) / (logits[r, i] + np.float32(1))
            scratch[i] = logits[r, i]
        exponential(scratch, size, bits)
        totals[r] = np.log(total(scratch, size))
