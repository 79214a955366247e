"""Loops of :mod:`.styled` over rows of channels, which Numba turns into machine code; compiled once on a machine and kept.

A row holds the channels of one place: so pixels lie in channels-last memory. Sums run within a row or down a group of rows, in
float32 and in the same order whatever stands beside them: neither the batch nor the number of threads changes a bit. Numbers
of half the width (bfloat16) are the upper halves of float32. Both come as whole numbers of as many bits, int16 and int32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# G groups of rows that share a style, P rows of a group, C channels.


def compiled(function: Any) -> Any:
    """``function`` as machine code that runs beside Python; a sum may add its terms in another order, the same each time."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz", "reassoc"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # there is no place that can be written to: compiled every time
        return njit(**options)(function)


@compiled
def read(row: Any, bits: Any) -> None:
    """The numbers of ``row`` as float32, whose bits are ``bits``."""
    lift = 32 - 8 * row.itemsize  # known when this is compiled: 16 or 0
    for c in range(len(bits)):
        bits[c] = np.int32(row[c]) << lift


@compiled
def write(bits: Any, row: Any) -> None:
    """The float32 numbers whose bits are ``bits`` into ``row``, rounded to the nearest, of two to the even one."""
    lift = 32 - 8 * row.itemsize
    if lift:
        for c in range(len(bits)):
            row[c] = (bits[c] + np.int32(0x7FFF) + ((bits[c] >> lift) & 1)) >> lift
    else:
        for c in range(len(bits)):
            row[c] = bits[c]


@compiled
def forward(
    x: Any, gain: Any, shift: Any, y: Any, scale: Any, slope: Any, small: Any, start: int, stop: int
) -> None:  # fmt: skip
    """``y = leaky_relu(x * scale * gain + shift)`` of the groups from ``start`` to ``stop``.

    ``scale`` is what gives a row a mean square of one, but for ``small``.
    Shapes: x and y [G, P, C], gain and shift float32 [G, C], scale float32 [G, P].
    """
    channels = x.shape[2]
    bits, results = np.empty(channels, np.int32), np.empty(channels, np.int32)
    value, result = bits.view(np.float32), results.view(np.float32)
    for g in range(start, stop):
        own, offset = gain[g], shift[g]
        for p in range(x.shape[1]):
            read(x[g, p], bits)
            square = np.float32(0)
            for c in range(channels):
                square += value[c] * value[c]
            factor = np.float32(1) / np.sqrt(square / np.float32(channels) + small)
            scale[g, p] = factor
            for c in range(channels):
                raw = value[c] * factor * own[c] + offset[c]
                result[c] = raw if raw > 0 else raw * slope
            write(results, y[g, p])


@compiled
def backward(
    along: Any, x: Any, scale: Any, gain: Any, y: Any, down: Any, gains: Any, shifts: Any, slope: Any, start: int,
    stop: int,
) -> None:  # fmt: skip
    """The gradients of :func:`forward`: from ``along``, that of y, to ``down``, that of x, ``gains`` and ``shifts``.

    Shapes: along, x, y and down [G, P, C], gain, gains and shifts float32 [G, C], scale float32 [G, P].
    """
    channels = x.shape[2]
    first, second, third = np.empty(channels, np.int32), np.empty(channels, np.int32), np.empty(channels, np.int32)
    grad, normed, result = first.view(np.float32), second.view(np.float32), third.view(np.float32)
    for g in range(start, stop):
        own, to_gain, to_shift = gain[g], gains[g], shifts[g]
        for c in range(channels):
            to_gain[c] = 0
            to_shift[c] = 0
        for p in range(x.shape[1]):
            read(along[g, p], first)
            read(x[g, p], second)
            read(y[g, p], third)
            factor = scale[g, p]
            common = np.float32(0)
            for c in range(channels):
                grad[c] = grad[c] if result[c] > 0 else grad[c] * slope
                normed[c] = normed[c] * factor
                weighed = grad[c] * normed[c]
                to_gain[c] += weighed
                to_shift[c] += grad[c]
                common += weighed * own[c]
            common = common / np.float32(channels)
            for c in range(channels):
                result[c] = (grad[c] * own[c] - normed[c] * common) * factor
            write(third, down[g, p])


def ready() -> None:
    """Compile both loops for both number formats, or load what was compiled before."""
    style, scale = np.ones((1, 8), np.float32), np.ones((1, 1), np.float32)
    for whole in (np.int16, np.int32):
        rows = np.ones((1, 1, 8), whole)
        forward(rows, style, style, rows.copy(), scale, np.float32(0.2), np.float32(1e-6), 0, 1)
        backward(rows, rows, scale, style, rows, rows.copy(), style.copy(), style.copy(), np.float32(0.2), 0, 1)
