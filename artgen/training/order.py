"""Which items make up which batch, as a pure function of seed and step: nothing to save, nothing to skip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 6


def batch_indices(seed: int, step: int, size: int, count: int) -> NDArray[np.int64]:
    """The items of the batch of ``step``: every epoch is a permutation of its own of all ``count`` items.

    Shapes: -> [size]. Batches run across the ends of epochs, so none is short.
    """
    place = np.arange(step * size, (step + 1) * size, dtype=np.uint64)
    epoch, within = place // np.uint64(count), place % np.uint64(count)
    result = np.empty(size, np.int64)
    for number in np.unique(epoch):
        chosen = epoch == number
        result[chosen] = permuted(within[chosen], count, mix(seed, int(number)))
    return result


def permuted(places: NDArray[np.uint64], count: int, key: int) -> NDArray[np.int64]:
    """Where a pseudo-random permutation of ``count`` items, named by ``key``, sends ``places``.

    A Feistel network over the next power of four, walked until it lands inside: no table, constant time a place.
    Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains" (cycle walking).
    """
    half = max(1, (max(2, count) - 1).bit_length() + 1 >> 1)
    values = places.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        values[outside] = _feistel(values[outside], half, key)
        outside = values >= count
    return values.astype(np.int64)


def mix(*parts: int) -> int:
    """One 63-bit number from several, far apart for neighbours."""
    words = [word for part in parts for word in (part & 0xFFFFFFFF, part >> 32 & 0xFFFFFFFF)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _feistel(values: NDArray[np.uint64], half: int, key: int) -> NDArray[np.uint64]:
    mask = np.uint64((1 << half) - 1)
    left, right = values >> np.uint64(half), values & mask
    for number in range(_ROUNDS):
        left, right = right, left ^ (_scramble(right, key, number) & mask)
    return left << np.uint64(half) | right


def _scramble(values: NDArray[np.uint64], key: int, number: int) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is the point
        x = values + np.uint64((key + number * 0x9E3779B97F4A7C15) % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
