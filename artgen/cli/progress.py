"""Progress for people: a bar on a terminal, a line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from artgen.artwork import Artwork

_SECONDS_BETWEEN_LINES = 5.0
_RECENT = 60.0  # seconds that a rate is of


class Lines:
    """A :class:`artgen.backend.Progress` of plain lines, at most one in five seconds and one at the end of each piece."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._pieces: list[_Piece] = []

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        """Begin one piece of work; the one around it goes on when this one is finished."""
        now = self._clock()
        self._pieces.append(_Piece(description, total, unit, now, now, _Pace(now)))

    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None:
        """Another total for the newest piece; what was done ``before`` counts, but for no rate."""
        if self._pieces:
            self._pieces[-1].expect(total, before, seconds, self._clock())

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Count; a line is printed when the last one is old enough."""
        if not self._pieces:
            return
        piece, now = self._pieces[-1], self._clock()
        piece.advance(amount, note, now)
        if now - piece.printed >= _SECONDS_BETWEEN_LINES:
            piece.printed = now
            if not piece.complete:  # the last line is said once, by finish
                self.say(piece.line(now))

    def partial(self, artwork: Artwork) -> None:
        """Nothing: a stream of lines has no place for half-made works."""

    def say(self, sentence: str) -> None:
        """Print one sentence."""
        print(sentence, file=self._stream, flush=True)

    def finish(self) -> None:
        """Print a last line, if the piece was long enough to have had one."""
        if self._pieces:
            piece, now = self._pieces.pop(), self._clock()
            if piece.printed > piece.started:
                self.say(piece.line(now))
            if self._pieces:
                self._pieces[-1].pace.wait(now - piece.started)


class _Pace:
    """How much gets done in a second, of late: the mean of all promises too much where work becomes slower on its way."""

    def __init__(self, now: float) -> None:
        self.started = now
        self._waited = 0.0
        self._marks = deque([(now, 0.0)])

    def add(self, now: float, done: float) -> None:
        """``done`` is done at ``now``."""
        now -= self._waited
        if len(self._marks) < 2 or now - self._marks[-2][0] >= _RECENT / 30:
            self._marks.append((now, done))
        else:
            self._marks[-1] = (now, done)  # many small steps are kept as one
        while len(self._marks) > 2 and now - self._marks[1][0] >= _RECENT:
            self._marks.popleft()

    def wait(self, seconds: float) -> None:
        """Another piece of work took these seconds."""
        self._waited += seconds

    @property
    def passed(self) -> float:
        """The seconds that the rate is of."""
        return self._marks[-1][0] - self._marks[0][0]

    @property
    def rate(self) -> float:
        """What is done in a second; 0 where nothing can be said."""
        return (self._marks[-1][1] - self._marks[0][1]) / self.passed if self.passed > 0 else 0.0


@dataclass
class _Piece:
    """One piece of work and what was last told of it."""

    description: str
    total: float | None
    unit: str
    started: float
    printed: float
    pace: _Pace
    done: float = 0.0
    before: float = 0.0
    note: str = ""
    ends: float | None = None

    def expect(self, total: float, before: float, seconds: float | None, now: float) -> None:
        self.total = total
        self.done += before
        self.before += before
        self.ends = None if seconds is None else now + seconds

    def advance(self, amount: float, note: str, now: float) -> None:
        self.done += amount
        self.note = note or self.note
        self.pace.add(now, self.done - self.before)

    @property
    def complete(self) -> bool:
        """Whether all is done, but for what rounding leaves."""
        return self.total is not None and self.done >= self.total * (1 - 1e-9)

    def times(self, now: float) -> list[str]:
        """What gets done in a second and how long the rest will take, as far as they are known.

        Parts without a unit are unlike one another: a rate of them says nothing.
        """
        if not self.unit and self.ends is None:
            return []
        rate = self.pace.rate
        left = None if self.ends is None else max(0.0, self.ends - now)
        if left is None and rate > 0 and self.total and self.total > self.done:
            left = (self.total - self.done) / rate
        told = [f"{digits(rate)} a second"] if rate > 0 else []
        return told if left is None else [*told, f"{duration(left)} left"]

    def line(self, now: float) -> str:
        of = f" of {digits(self.total)}" if self.total else ""
        counted = f"{self.description}: {digits(self.done)}{of}{' ' + self.unit if self.unit else ''}"
        self.pace.add(now, self.done - self.before)
        return ", ".join([counted, *self.times(now), *([self.note] if self.note else [])])


class Bars:
    """A :class:`artgen.backend.Progress` of bars with rate and remaining time, for a terminal."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bars: Any = None  # rich is imported with the first bar: many commands need none
        self._shown: list[tuple[Any, _Piece]] = []
        self._hidden = False

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        """Show a bar; one begun before another is finished stands above it."""
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
                TimeElapsedColumn(), TextColumn("{task.fields[times]}"), TextColumn("{task.fields[note]}"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bars.start()
        now = self._clock()
        bar = self._bars.add_task(escape(description), total=total, unit=escape(unit), note="", times="")
        self._shown.append((bar, _Piece(description, total, unit, now, now, _Pace(now))))

    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None:
        """Another total for the newest bar; what was done ``before`` counts, but for no rate."""
        if self._shown:
            bar, piece = self._shown[-1]
            piece.expect(total, before, seconds, self._clock())
            self._bars.update(bar, total=total, completed=piece.done)

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Move the newest bar."""
        if self._hidden:
            self._bars.start()
            self._hidden = False
        if self._shown:
            from rich.markup import escape

            (bar, piece), now = self._shown[-1], self._clock()
            piece.advance(amount, note, now)
            # A rate of the first moments says more about the start than about the work.
            times = ", ".join(piece.times(now)) if piece.pace.passed > 0.5 else ""
            self._bars.update(bar, completed=piece.done, note=escape(piece.note), times=times)

    def partial(self, artwork: Artwork) -> None:
        """Nothing: a terminal shows no pictures."""

    def say(self, sentence: str) -> None:
        """Print one sentence above the bars."""
        if self._bars is not None:
            self._bars.console.print(sentence, markup=False, highlight=False)
        else:
            print(sentence, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Take the newest bar away, and give the terminal back with the last."""
        if self._shown:
            bar, piece = self._shown.pop()
            self._bars.remove_task(bar)
            if self._shown:
                self._shown[-1][1].pace.wait(self._clock() - piece.started)
        if not self._shown:
            self.close()

    def hide(self) -> None:
        """Clear the bars for a line on standard output; they come back with the next step."""
        if self._bars is not None:
            self._bars.stop()
            self._hidden = True

    def close(self) -> None:
        """Give the terminal back, also after an error in the middle of a piece."""
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._shown, self._hidden = None, [], False


def digits(number: float) -> str:
    """``0.383``, ``12``, ``59.4``, ``2,053,582,368``: three digits that tell, but all of those before the point."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
