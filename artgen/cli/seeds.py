"""Seeds as they are typed: ``7``, ``0,1,4-6``, ``6-4``."""

from __future__ import annotations

import re

from artgen.errors import OptionError

_MOST = 10_000_000


def parse_seeds(text: str) -> list[int]:
    """The numbers that ``text`` lists, each once, in the order given; a range may run backwards.

    Raises:
        OptionError: something in it is neither a whole number nor a range.
    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part)
        if not match:
            raise OptionError(f"--seeds takes numbers and ranges such as 0,1,4-6, not {part.strip() or 'nothing'!r} in {text!r}")
        first, last = int(match[1]), int(match[2] or match[1])
        if abs(last - first) >= _MOST or len(seeds) >= _MOST:
            raise OptionError(f"--seeds takes at most {_MOST} numbers, not {part.strip()}")
        seeds |= dict.fromkeys(range(first, last + 1) if first <= last else range(first, last - 1, -1))
    return list(seeds)
