"""When a run ends: steps, items, minutes, a metric that is reached, patience."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from artgen.backend import DEFAULT_MINUTES, TrainOptions
from artgen.errors import OptionError
from artgen.options import nearest

# Measured values are never exactly the bound, so "<" says the same as "<=".
_COMPARISON = re.compile(r"\s*([A-Za-z_][\w/-]*)\s*([<>]=?)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class Goal:
    """``--until``: a metric, which side of the value is wanted, and the value."""

    metric: str
    at_most: bool
    value: float

    def reached(self, value: float) -> bool:
        """Whether ``value`` fulfils the goal."""
        return value <= self.value if self.at_most else value >= self.value


def parse_goal(text: str | None, metrics: Iterable[str]) -> Goal | None:
    """The goal that ``--until`` names, or None.

    Raises:
        OptionError: it is no comparison, or its metric is none of ``metrics``.
    """
    if text is None:
        return None
    known = list(metrics)
    match = _COMPARISON.fullmatch(text)
    if not match:
        raise OptionError(f'--until takes a comparison such as "{known[0] if known else "fd"}<=40", not {text!r}')
    if match[1] not in known:
        if not known:
            raise OptionError(f"--until {text} waits for a metric, but this backend measures nothing; leave --until out")
        raise OptionError(f"--until takes {', '.join(known)}, not {match[1]}{nearest(match[1], known)}")
    return Goal(match[1], match[2][0] == "<", float(match[3]))


def check_metrics(options: TrainOptions, metrics: Sequence[str]) -> None:
    """Find out before data is prepared what ``--until`` and ``--best-by`` name wrongly; without ``metrics`` nothing is known yet.

    Raises:
        OptionError: either names none of ``metrics``.
    """
    if metrics:
        parse_goal(options.until, metrics)
        check_best(options.best_by, metrics)


def check_best(wanted: str, metrics: Iterable[str]) -> None:
    """Find out whether ``--best-by`` may be ``wanted``.

    Raises:
        OptionError: it names a metric that is none of ``metrics``.
    """
    known = ["auto", "none", *metrics]
    if wanted not in known:
        raise OptionError(f"--best-by takes {', '.join(known)}, not {wanted}{nearest(wanted, known[2:])}")


def counted_items(options: TrainOptions) -> int | None:
    """How many items ``--steps`` and ``--items`` allow, the tighter where both are given; None where time alone is a budget."""
    limits = []
    if options.steps is not None:
        limits.append(options.steps * options.batch_size)
    if options.items is not None:
        # Whole steps only: the last one may pass the number by less than a batch.
        limits.append(-(-options.items // options.batch_size) * options.batch_size)
    return min(limits, default=None)


def minutes_allowed(options: TrainOptions) -> float | None:
    """The minutes of the budget: those asked for, or the default where no limit is given at all."""
    if options.minutes is None and options.steps is None and options.items is None:
        return DEFAULT_MINUTES
    return options.minutes


def duration(seconds: float) -> str:
    """A span of time in words: ``45 s``, ``12 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
