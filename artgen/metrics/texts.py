"""Measures of written text: variety within and between texts, and how much is copied from the text a model learned from.

All count on the texts alone, in plain Python and numpy. Every measure depends on how much text there is, so compare only equal
numbers of texts of equal length.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]

GRAM = 20
"""Characters of the pieces whose copies are counted."""

_ORDERS = 4
_BLOCK = 2**17
_BASE = 0x9E3779B97F4A7C15 | 1
# Scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han.
_SPACELESS = "฀-๿຀-໿က-႟ក-៿぀-ヿ㐀-鿿豈-﫿\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SPACELESS}]|(?:(?![{_SPACELESS}])\w)+(?:['’](?:(?![{_SPACELESS}])\w)+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """The words and signs of ``text`` in small letters; in scripts without spaces every character counts as a word."""
    return _WORD.findall(text.lower())


def distinct(texts: Sequence[str], n: int) -> float:
    """The share of different ones among all ``n``-word sequences of all texts; NaN when there is none.

    Source: Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    grams = [gram for text in texts for gram in _grams(words(text), n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def self_bleu(texts: Sequence[str]) -> float:
    """The mean BLEU (0 to 1) of each text against all others: 0 where no two share a word, 1 where all are equal.

    Orders 1 to 4 in equal parts; 1 is added to the counts of orders 2 to 4 (Lin and Och 2004), brevity counts against the
    reference of the nearest length, the shorter of two. NaN with fewer than two texts that have words.
    Source: Zhu et al. 2018, "Texygen"; Papineni et al. 2002, "BLEU".
    """
    split = [found for text in texts if (found := words(text))]
    if len(split) < 2:
        return math.nan
    logs = np.zeros(len(split))
    for order in range(1, _ORDERS + 1):
        counts = [Counter(_grams(text, order)) for text in split]
        most = _two_largest(counts)
        for number, own in enumerate(counts):
            matched = sum(min(count, most[gram][number == most[gram][2]]) for gram, count in own.items())
            more = order > 1
            precision = (matched + more) / (own.total() + more)
            logs[number] += (math.log(precision) if precision else -math.inf) / _ORDERS
    brevity = _brevities([len(text) for text in split])
    return float(np.mean(np.exp(logs + brevity)))


def _two_largest(counts: Sequence[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], tuple[int, int, int]]:
    """For each sequence the largest count, the largest in any other text, and the text that has the largest."""
    most: dict[tuple[str, ...], tuple[int, int, int]] = {}
    for number, own in enumerate(counts):
        for gram, count in own.items():
            first, second, holder = most.get(gram, (0, 0, -1))
            most[gram] = (count, first, number) if count > first else (first, max(second, count), holder)
    return most


def _brevities(lengths: Sequence[int]) -> NDArray[np.float64]:
    """The logarithm of the brevity penalty of each text against the nearest length of another."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    penalties = np.zeros(len(lengths))
    for place, index in enumerate(order):
        near = [lengths[order[other]] for other in (place - 1, place + 1) if 0 <= other < len(order)]
        reference = min(near, key=lambda length: (abs(length - lengths[index]), length))
        penalties[index] = min(0.0, 1 - reference / lengths[index])
    return penalties


def _grams(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(tokens[start:] for start in range(n)), strict=False)


# --- copies


@dataclass(frozen=True)
class Span:
    """The longest piece of a text that stands in a corpus word for word: its ``characters``, and where it stands in both."""

    characters: str
    text: int
    start: int
    place: int

    def __len__(self) -> int:
        return len(self.characters)


class Copies:
    """Looks for pieces of texts in ``corpus``, which is read in blocks.

    Pieces are compared by 64-bit hashes of their characters; the span that is returned is compared character by character.
    """

    def __init__(self, corpus: str) -> None:
        self._corpus = codes(corpus)

    def share(self, texts: Sequence[str], n: int = GRAM) -> float:
        """The share of all ``n``-character pieces of the texts that occur in the corpus; NaN when there is none."""
        asked = [hashes(codes(text), n) for text in texts]
        total = sum(len(each) for each in asked)
        if not total:
            return math.nan
        unique = np.unique(np.concatenate(asked))
        _, seen = self._present(unique, n, None)
        there = unique[seen]
        return sum(int(np.isin(each, there).sum()) for each in asked) / total

    def longest(self, texts: Sequence[str]) -> Span:
        """The longest span of any of the texts that occurs in the corpus; empty when no character does."""
        coded = [codes(text) for text in texts]
        low, high = 0, min(max((len(text) for text in coded), default=0), len(self._corpus))
        among: Places | None = None
        # A copied span begins with copied spans of every smaller length: halve the length, and look where those were.
        guess = GRAM
        while low < high:
            length = min(max(guess, low + 1), high) if guess else (low + high + 1) // 2
            found, _ = self._present(_asked(coded, length), length, among)
            if len(found):
                low, among, guess = length, found, 2 * guess
            else:
                high, guess = length - 1, 0
        return self._span(coded, low, among)

    def marked(self, span: Span, around: int) -> str:
        """The corpus where ``span`` stands, in double brackets, with ``around`` characters before and after it."""
        ends = (max(0, span.place - around), span.place, span.place + len(span), span.place + len(span) + around)
        before, own, after = (self._corpus[start:stop].tobytes().decode("utf-32-le") for start, stop in pairwise(ends))
        return f"…{before}[[{own}]]{after}…"

    def _present(self, asked: Hashes, length: int, among: Places | None) -> tuple[Places, NDArray[np.bool_]]:
        """Where in the corpus (or ``among`` some places) pieces have hashes of the sorted ``asked``, and which of these."""
        seen = np.zeros(len(asked), bool)
        found = [np.zeros(0, np.int64)]
        # The first bits tell of most pieces that they are not asked for, without a search.
        likely = np.zeros(2**20, bool)
        likely[asked >> np.uint64(44)] = True
        for places, block in self._hashed(length, among):
            maybe = np.flatnonzero(likely[block >> np.uint64(44)])
            if len(maybe):
                at = np.minimum(np.searchsorted(asked, block[maybe]), len(asked) - 1)
                hit = asked[at] == block[maybe]
                seen[at[hit]] = True
                found.append(places[maybe[hit]])
        return np.concatenate(found), seen

    def _hashed(self, length: int, among: Places | None) -> Iterator[tuple[Places, Hashes]]:
        """The pieces of the corpus in blocks, as places and hashes; only those ``among`` some places where these are few."""
        count = len(self._corpus) - length + 1
        if among is None or len(among) * length > len(self._corpus):
            for start in range(0, count, _BLOCK):
                block = hashes(self._corpus[start : start + _BLOCK + length - 1], length)
                yield np.arange(start, start + len(block)), block
            return
        for place in among[among < count].tolist():
            yield np.array([place]), hashes(self._corpus[place : place + length], length)

    def _span(self, texts: Sequence[Codes], length: int, among: Places | None) -> Span:
        for place in among.tolist() if among is not None else []:
            piece = self._corpus[place : place + length].tobytes()
            for number, text in enumerate(texts):
                start = _find(text, piece)
                if start >= 0:
                    return Span(piece.decode("utf-32-le"), number, start, place)
        return Span("", 0, 0, 0)


def _asked(texts: Sequence[Codes], length: int) -> Hashes:
    return np.unique(np.concatenate([hashes(text, length) for text in texts]))


def _find(text: Codes, piece: bytes) -> int:
    """Where the characters of ``piece`` stand in ``text``, or -1: a find in bytes may begin inside a character."""
    whole, at = text.tobytes(), -1
    while (at := whole.find(piece, at + 1)) >= 0:
        if at % 4 == 0:
            return at // 4
    return -1


def codes(text: str) -> Codes:
    """The code points of ``text``, uint32 [N]; half characters become U+FFFD."""
    return np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)


def hashes(text: Codes, length: int) -> Hashes:
    """A hash of every piece of ``length`` characters, uint64 [N - length + 1]: equal pieces have equal ones.

    The sum of scrambled codes times powers of an odd number, modulo 2**64, from a running sum.
    """
    if len(text) < length or length < 1:
        return np.zeros(0, np.uint64)
    room = 2 ** max(12, (len(text) - 1).bit_length())  # few different tables to keep
    with np.errstate(over="ignore"):
        scrambled = text.astype(np.uint64) + np.uint64(1)
        # Each code becomes 64 mixed bits, else small codes times powers would meet by chance.
        scrambled = (scrambled ^ (scrambled << np.uint64(21))) * np.uint64(0xBF58476D1CE4E5B9)
        scrambled ^= scrambled >> np.uint64(29)
        powers = _powers(_BASE, room)[: len(text)]
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(scrambled * powers, dtype=np.uint64)])
        back = _powers(pow(_BASE, -1, 2**64), room)[: len(text) - length + 1]
        found: Hashes = (sums[length:] - sums[:-length]) * back
    return found


@cache
def _powers(base: int, count: int) -> Hashes:
    with np.errstate(over="ignore"):
        factors = np.full(count, base, np.uint64)
        factors[:1] = 1
        return np.cumprod(factors, dtype=np.uint64)
