"""What changed between two texts, word by word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

WORD = re.compile(r"[^\W\d_⺀-鿿]+(?:['’][^\W\d_⺀-鿿]+)*|\d+|\s+|.", re.DOTALL)
"""Words, numbers, runs of blanks and single signs; Chinese and Japanese signs stand one by one."""

_LARGE = 2000 * 2000  # pieces compared with pieces, beyond which a change is told as a whole


@dataclass(frozen=True)
class Edit:
    """One change: ``before``, from character ``at`` of the old text, became ``after``; either may be empty."""

    at: int
    before: str
    after: str

    @property
    def kind(self) -> Literal["insert", "delete", "replace"]:
        """What was done."""
        return "insert" if not self.before else "delete" if not self.after else "replace"


def word_edits(before: str, after: str) -> list[Edit]:
    """The changes that make ``after`` of ``before``; all other words stand in both, in the same order.

    Changes with nothing but signs and blanks between them are one: a full stop that happens to stand in both says nothing.
    """
    start = _common(before, after)
    end = _common(before[start:][::-1], after[start:][::-1])
    # Cut at words, so that no change begins or ends inside one.
    old, new = WORD.findall(before), WORD.findall(after)
    first = _whole(old, new, start, from_end=False)
    last = _whole(old[first:], new[first:], end, from_end=True)
    old_part, new_part = old[first : len(old) - last], new[first : len(new) - last]
    at = sum(map(len, old[:first]))
    places = [at]
    for word in old_part:
        places.append(places[-1] + len(word))
    spans: list[list[int]] = []
    for i, j, k, m in _changes(old_part, new_part):
        if spans and not any(word[0].isalnum() for word in old_part[spans[-1][1] : i]):
            spans[-1][1], spans[-1][3] = j, m
        else:
            spans.append([i, j, k, m])
    return [Edit(places[i], "".join(old_part[i:j]), "".join(new_part[k:m])) for i, j, k, m in spans]


def _changes(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """The spans of ``old`` and ``new`` that differ.

    Words are compared with the blanks and signs behind them first, and piece by piece only where these differ: blanks match
    everywhere, and comparing all of them takes minutes of a chapter.
    """
    first, second = _units(old), _units(new)
    coarse = [["".join(part[a:b]) for a, b in pairwise(places)] for part, places in ((old, first), (new, second))]
    for i, j, k, m in _unequal(*coarse, frequent=False):
        one, other = first[i], second[k]
        if (first[j] - one) * (second[m] - other) > _LARGE:
            yield one, first[j], other, second[m]
            continue
        for a, b, c, d in _unequal(old[one : first[j]], new[other : second[m]], frequent=True):
            yield one + a, one + b, other + c, other + d


def _unequal(old: list[str], new: list[str], *, frequent: bool) -> list[tuple[int, int, int, int]]:
    """The spans that differ; without ``frequent``, what makes more than a hundredth of a long list begins no match."""
    opcodes = difflib.SequenceMatcher(None, old, new, autojunk=not frequent).get_opcodes()
    return [(i, j, k, m) for kind, i, j, k, m in opcodes if kind != "equal"]


def _units(pieces: list[str]) -> list[int]:
    """Where words begin, with what stands before the first, and the end of all."""
    return sorted({0, *(place for place, piece in enumerate(pieces) if piece[0].isalnum()), len(pieces)})


def _common(first: str, second: str) -> int:
    """How many characters both begin with."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return low


def _whole(old: list[str], new: list[str], characters: int, *, from_end: bool) -> int:
    """How many words within ``characters`` both lists have in common at one end."""
    count = total = 0
    pairs = zip(reversed(old), reversed(new), strict=False) if from_end else zip(old, new, strict=False)
    for one, other in pairs:
        total += len(one)
        if one != other or total > characters:
            break
        count += 1
    return count
