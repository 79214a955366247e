"""One step of the Transformer in plain loops over memory, which Numba turns into machine code.

Every product adds rows of a weight matrix to a result, ``y += x[i] * w[i]`` with ``i`` rising, so that the additions of a
row are the same whatever other rows stand beside it: the batch cannot change the bits, and a prompt read in blocks gives
what it gives token by token. A multiplication may fuse with an addition; nothing is reordered. An ``x[i]`` of zero is
passed over, which with squared ReLU saves most of the last matrix of a block.

All arguments are addresses and whole numbers: no arrays, no exceptions, nothing that machine code would need Python or Numba
for. :mod:`.machine` compiles :func:`step` and keeps the code, so that Numba is imported once on a machine.
"""

# ruff: noqa: FURB136 - min and max would go through tuples, whose code needs Python

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from artgen.backends.text.transformer.weights import PAIR_HASH, RUN_HASH

# R rows (tokens to compute), D width, H heads, E entries of a head, C context, S sequences, V vocabulary, L layers.

OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
"""How it is compiled: division by zero is no exception, and no addition is reordered."""

_pointer: Any = types.CPointer
_I, _F, _B = _pointer(types.int64), _pointer(types.float32), _pointer(types.int32)
SIGNATURE = types.void(*[_I] * 6, *[_F] * 10, _B, _I, _F, _F)
"""The arguments of :func:`step`."""

_SIZES = 12  # where the rows of the tables begin in ``shape``
_BLOCK = 64  # rows of a matrix that stay in the fastest cache while they are applied to every x
_GROUP = 8  # rows that are added in one pass over y


def _instruction(function: Any) -> Any:
    """What Numba has no Python for: :func:`function` writes LLVM's code."""
    return intrinsic(function)


@_instruction
def _at(context: Any, pointer: Any, offset: Any) -> Any:
    """``pointer + offset`` in entries."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]], source_etype=context.get_value_type(signature.args[0].dtype))

    return pointer(pointer, types.int64), code


@_instruction
def _as_floats(context: Any, pointer: Any) -> Any:
    """The address of int32 entries as one of float32 entries."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return _F(pointer), code


def _part(function: Any) -> Any:
    """A part of :func:`step`: compiled into it."""
    return njit(**OPTIONS)(function)


@_part
def accumulate(x: Any, start: int, stop: int, w: Any, stride: int, y: Any, count: int, index: Any, value: Any) -> None:
    """``y[:count] += x[i] * w[i, :count]`` for ``i`` from ``start`` to ``stop``, in that order; rows of w are ``stride`` apart."""
    found = 0
    for i in range(start, stop):
        if x[i] != 0:
            index[found] = i * stride
            value[found] = x[i]
            found += 1
    for i in range(found, found + _GROUP - 1):  # a whole last group: nothing times some row
        index[i] = start * stride
        value[i] = np.float32(0)
    for g in range(0, found, _GROUP):
        w0, w1, w2, w3 = _at(w, index[g]), _at(w, index[g + 1]), _at(w, index[g + 2]), _at(w, index[g + 3])
        w4, w5, w6, w7 = _at(w, index[g + 4]), _at(w, index[g + 5]), _at(w, index[g + 6]), _at(w, index[g + 7])
        v0, v1, v2, v3 = value[g], value[g + 1], value[g + 2], value[g + 3]
        v4, v5, v6, v7 = value[g + 4], value[g + 5], value[g + 6], value[g + 7]
        for j in range(count):
            y[j] = (
                y[j] + v0 * w0[j] + v1 * w1[j] + v2 * w2[j] + v3 * w3[j]
                + v4 * w4[j] + v5 * w5[j] + v6 * w6[j] + v7 * w7[j]
            )  # fmt: skip


@_part
def accumulate_two(a: Any, b: Any, start: int, stop: int, w: Any, columns: int, y: Any, z: Any) -> None:
    """What :func:`accumulate` does for ``y`` by ``a`` and for ``z`` by ``b``, reading w once; whole groups of rows only."""
    for i in range(start, stop, _GROUP):
        w0, w1, w2, w3 = (_at(w, i * columns), _at(w, (i + 1) * columns), _at(w, (i + 2) * columns), _at(w, (i + 3) * columns))
        w4, w5, w6, w7 = (
            _at(w, (i + 4) * columns),
            _at(w, (i + 5) * columns),
            _at(w, (i + 6) * columns),
            _at(w, (i + 7) * columns),
        )
        a0, a1, a2, a3, a4, a5, a6, a7 = a[i], a[i + 1], a[i + 2], a[i + 3], a[i + 4], a[i + 5], a[i + 6], a[i + 7]
        b0, b1, b2, b3, b4, b5, b6, b7 = b[i], b[i + 1], b[i + 2], b[i + 3], b[i + 4], b[i + 5], b[i + 6], b[i + 7]
        for j in range(columns):
            c0, c1, c2, c3, c4, c5, c6, c7 = w0[j], w1[j], w2[j], w3[j], w4[j], w5[j], w6[j], w7[j]
            y[j] = y[j] + a0 * c0 + a1 * c1 + a2 * c2 + a3 * c3 + a4 * c4 + a5 * c5 + a6 * c6 + a7 * c7
            z[j] = z[j] + b0 * c0 + b1 * c1 + b2 * c2 + b3 * c3 + b4 * c4 + b5 * c5 + b6 * c6 + b7 * c7


@_part
def product(x: Any, depth: int, w: Any, columns: int, y: Any, rows: int, dense: bool, index: Any, value: Any) -> None:
    """``y += x @ w`` for x [rows, depth], w [depth, columns] and y [rows, columns]; ``dense`` says that few x are zero."""
    paired = rows - rows % 2 if dense and depth % _GROUP == 0 else 0
    start = 0
    while start < depth:
        stop = start + _BLOCK if start + _BLOCK < depth else depth
        for r in range(0, paired, 2):
            accumulate_two(_at(x, r * depth), _at(x, (r + 1) * depth), start, stop, w, columns, _at(y, r * columns),
                           _at(y, (r + 1) * columns))  # fmt: skip
        for r in range(paired, rows):
            accumulate(_at(x, r * depth), start, stop, w, columns, _at(y, r * columns), columns, index, value)
        start = stop


@_part
def clear(x: Any, count: int) -> None:
    """``x[:count] = 0``."""
    for i in range(count):
        x[i] = np.float32(0)


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
def normalise(x: Any, count: int, y: Any, scratch: Any) -> None:
    """``y`` is ``x`` with mean 0 and variance 1, as :func:`artgen.nn.transformer.norm`."""
    share = np.float32(1) / np.float32(count)
    mean = total(x, count) * share
    for i in range(count):
        y[i] = x[i] - mean
        scratch[i] = y[i] * y[i]
    scale = np.float32(1) / np.sqrt(total(scratch, count) * share + np.float32(1e-5))
    for i in range(count):
        y[i] = y[i] * scale


@_part
def exponential(x: Any, count: int, bits: Any) -> None:
    """``x = exp(x)`` in place, to about one unit of the last place between -87 and 87.

    ``2^n`` times a polynomial of the rest, in a form that vectorises. Source: Cephes, ``expf``.
    """
    power = _as_floats(bits)
    for i in range(count):
        v = x[i]
        v = v if v > np.float32(-87) else np.float32(-87)
        v = v if v < np.float32(87) else np.float32(87)
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
        x[i] = x[i] * power[i]


@_part
def rotate(x: Any, pairs: int, cosine: Any, sine: Any) -> None:
    """Turn the first half of a head, as :func:`artgen.nn.transformer.rotate`."""
    for i in range(pairs):
        first, second = x[2 * i], x[2 * i + 1]
        x[2 * i] = first * cosine[i] - second * sine[i]
        x[2 * i + 1] = first * sine[i] + second * cosine[i]


@_part
def blend(p: Any, seen: int, values: Any, entries: int, y: Any) -> None:
    """``y += p @ values`` for p [seen] and values [seen, entries], row after row."""
    whole = seen - seen % _GROUP
    for t in range(0, whole, _GROUP):
        v = _at(values, t * entries)
        v1, v2, v3, v4 = _at(v, entries), _at(v, 2 * entries), _at(v, 3 * entries), _at(v, 4 * entries)
        v5, v6, v7 = _at(v, 5 * entries), _at(v, 6 * entries), _at(v, 7 * entries)
        p0, p1, p2, p3, p4, p5, p6, p7 = p[t], p[t + 1], p[t + 2], p[t + 3], p[t + 4], p[t + 5], p[t + 6], p[t + 7]
        for e in range(entries):
            y[e] = y[e] + p0 * v[e] + p1 * v1[e] + p2 * v2[e] + p3 * v3[e] + p4 * v4[e] + p5 * v5[e] + p6 * v6[e] + p7 * v7[e]
    for t in range(whole, seen):
        v = _at(values, t * entries)
        for e in range(entries):
            y[e] = y[e] + p[t] * v[e]


@_part
def attend(
    query: Any, keys: Any, values: Any, heads: int, entries: int, context: int, seen: int, scale: Any,
    y: Any, scores: Any, bits: Any, index: Any, value: Any,
) -> None:  # fmt: skip
    """Attention of one row over the ``seen`` first places of keys [H, E, C] and values [H, C, E]."""
    for h in range(heads):
        part = _at(y, h * entries)
        clear(scores, seen)
        product_row(_at(query, h * entries), entries, _at(keys, h * entries * context), context, scores, seen, index, value)
        # Queries and keys have a fixed length, so no score is large enough to need the largest taken off.
        for t in range(seen):
            scores[t] = scores[t] * scale
        exponential(scores, seen, bits)
        share = np.float32(1) / total(scores, seen)
        clear(part, entries)
        blend(scores, seen, _at(values, h * context * entries), entries, part)
        for e in range(entries):
            part[e] = part[e] * share


@_part
def product_row(x: Any, depth: int, w: Any, stride: int, y: Any, count: int, index: Any, value: Any) -> None:
    """``y[:count] += x @ w[:, :count]`` for one row x [depth]."""
    start = 0
    while start < depth:
        stop = start + _BLOCK if start + _BLOCK < depth else depth
        accumulate(x, start, stop, w, stride, y, count, index, value)
        start = stop


@_part
def table_row(shape: Any, number: int, token: int, before: Any) -> Any:
    """The row of table ``number`` (0 for pairs) for a token and those before it, as in :mod:`.model`; -1 where it has none."""
    size, row = shape[_SIZES + number], (token + 1) % RUN_HASH[1]
    if number == 0:
        if size == shape[3] * shape[3]:
            return before[0] * shape[3] + token
        return (before[0] * PAIR_HASH[0] + token * PAIR_HASH[1]) % size if size > 0 else -1
    for place in range(number + 1):
        row = (row * RUN_HASH[0] + before[place] + 1) % RUN_HASH[1]
    return row % size


@_part
def embed(
    shape: Any, rows: Any, before: Any, embedding: Any, pairs: Any, x: Any, first: Any, scratch: Any
) -> None:  # fmt: skip
    """The first embedding, normalised, into ``x`` and ``first`` [R, D]."""
    width, reach = shape[2], shape[8]
    for r in range(shape[0]):
        line, token = _at(x, r * width), _at(embedding, rows[r] * width)
        for i in range(width):
            line[i] = token[i]
        start = 0
        for number in range(reach):
            row = table_row(shape, number, rows[r], _at(before, r * reach))
            if row >= 0:
                pair = _at(pairs, (start + row) * width)
                for i in range(width):
                    line[i] = line[i] + pair[i]
            start += shape[_SIZES + number]
        normalise(line, width, line, scratch)
        for i in range(width):
            first[r * width + i] = line[i]


@_part
def remember(
    shape: Any, rows: Any, sequences: Any, positions: Any, qkv: Any, tables: Any, cosine: Any, sine: Any, keys: Any, values: Any,
    scratch: Any,
) -> None:  # fmt: skip
    """Normalise and turn queries and keys, add what the token itself says to values, and keep keys and values of one layer."""
    width, heads, context = shape[2], shape[5], shape[6]
    entries = width // heads
    pairs = entries // 4
    for r in range(shape[0]):
        row, slot = _at(qkv, r * 3 * width), positions[r]
        for h in range(2 * heads):
            head = _at(row, h * entries)
            normalise(head, entries, head, scratch)
            rotate(head, pairs, _at(cosine, slot * pairs), _at(sine, slot * pairs))
        if shape[9] > 0:
            table, value = _at(tables, rows[r] * width), _at(row, 2 * width)
            for i in range(width):
                value[i] = value[i] + table[i]
        key_at = _at(keys, sequences[r] * width * context + slot)
        value_at = _at(values, sequences[r] * width * context + slot * entries)
        for h in range(heads):
            for e in range(entries):
                key_at[(h * entries + e) * context] = row[width + h * entries + e]
                value_at[h * context * entries + e] = row[2 * width + h * entries + e]


@_part
def speak(shape: Any, cap: Any, x: Any, wanted: Any, head: Any, normed: Any, logits: Any, totals: Any, scratch: Any, bits: Any,
          index: Any, value: Any) -> None:  # fmt: skip
    """Capped logits [W, V] of the wanted rows and the logarithm of the sum of their exponentials [W]."""
    asked, width, size = shape[1], shape[2], shape[3]
    for r in range(asked):
        normalise(_at(x, wanted[r] * width), width, _at(normed, r * width), scratch)
    clear(logits, asked * size)
    product(normed, width, head, size, logits, asked, True, index, value)
    for r in range(asked):
        row = _at(logits, r * size)
        for i in range(size):
            row[i] = row[i] * (np.float32(2) / cap)
        exponential(row, size, bits)
        for i in range(size):  # tanh(z) = 1 - 2 / (exp(2 z) + 1)
            row[i] = cap - (cap + cap) / (row[i] + np.float32(1))
            scratch[i] = row[i]
        exponential(scratch, size, bits)
        totals[r] = np.log(total(scratch, size))


def step(
    shape: Any, rows: Any, before: Any, sequences: Any, positions: Any, wanted: Any,
    embedding: Any, pairs: Any, tables: Any, mix: Any, matrices: Any, cosine: Any, sine: Any,
    keys: Any, values: Any, scratch: Any, bits: Any, index: Any, logits: Any, totals: Any,
) -> None:  # fmt: skip
    """Compute R tokens and fill logits [W, V] and totals [W] (their log sum exp) for the W wanted rows.

    ``shape`` is R, W, D, V, L, H, C, S, how many tokens ``before`` each are told (the newest first), the layers of ``tables`` (0
    for none), two numbers in millionths (the scale of attention and the cap of logits), and the rows of every table in
    ``pairs``. ``matrices`` holds qkv [D, 3D], out [D, D],
    up [D, 4D], down [4D, D] of every layer and the head [D, V], one after the other; ``tables`` [L, V, D] add to values.
    Keys [L, S, H, E, C] and values [L, S, H, C, E] get the new entries; rows of one sequence stand in the order of their
    positions, which are below C. ``scratch``, ``bits`` and ``index`` are room to work: see :func:`.machine.room`.
    """
    count, width, size, layers, heads, context = shape[0], shape[2], shape[3], shape[4], shape[5], shape[6]
    entries, cached, square = width // heads, shape[7] * width * context, width * width
    scale, cap = np.float32(shape[10] * 1e-6), np.float32(shape[11] * 1e-6)
    x, first, normed = scratch, _at(scratch, count * width), _at(scratch, 2 * count * width)
    qkv, wide = _at(scratch, 3 * count * width), _at(scratch, 6 * count * width)
    scores = _at(scratch, 10 * count * width)
    value = _at(scores, context)
    rest = _at(value, _BLOCK + _GROUP)
    embed(shape, rows, before, embedding, pairs, x, first, rest)
    for layer in range(layers):
        weights = _at(matrices, layer * 12 * square)
        layer_keys, layer_values = _at(keys, layer * cached), _at(values, layer * cached)
        keep, blend = mix[2 * layer], mix[2 * layer + 1]
        for r in range(count):
            line = _at(x, r * width)
            for i in range(width):
                line[i] = keep * line[i] + blend * first[r * width + i]
            normalise(line, width, _at(normed, r * width), rest)
        clear(qkv, count * 3 * width)
        product(normed, width, weights, 3 * width, qkv, count, True, index, value)
        table = _at(tables, layer * size * width if shape[9] > 0 else 0)
        remember(shape, rows, sequences, positions, qkv, table, cosine, sine, layer_keys, layer_values, rest)
        for r in range(count):
            place = sequences[r] * width * context
            attend(_at(qkv, r * 3 * width), _at(layer_keys, place), _at(layer_values, place), heads, entries, context,
                   positions[r] + 1, scale, _at(normed, r * width), scores, bits, index, value)  # fmt: skip
        product(normed, width, _at(weights, 3 * square), width, x, count, True, index, value)
        for r in range(count):
            normalise(_at(x, r * width), width, _at(normed, r * width), rest)
        clear(wide, count * 4 * width)
        product(normed, width, _at(weights, 4 * square), 4 * width, wide, count, True, index, value)
        for i in range(count * 4 * width):
            positive = wide[i] if wide[i] > 0 else np.float32(0)
            wide[i] = positive * positive
        product(wide, 4 * width, _at(weights, 8 * square), width, x, count, False, index, value)
    speak(shape, cap, x, wanted, _at(matrices, layers * 12 * square), normed, logits, totals, rest, bits, index, value)
