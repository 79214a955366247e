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

    def expect(self, total: float, before: float = 0.0) -> None:
        """Another total for the newest piece; what was done ``before`` counts, but for no rate."""
        if self._pieces:
            self._pieces[-1].expect(total, before)

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Count; a line is printed when the last one is old enough."""
        if not self._pieces:
            return
        piece, now = self._pieces[-1], self._clock()
        piece.done += amount
        piece.pace.add(now, piece.done)
        piece.note = note or piece.note
        if now - piece.printed >= _SECONDS_BETWEEN_LINES:
            piece.printed = now
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
        self._marks = deque([(now, 0.0)])

    def add(self, now: float, done: float) -> None:
        """``done`` is done at ``now``."""
        if len(self._marks) < 2 or now - self._marks[-2][0] >= _RECENT / 30:
            self._marks.append((now, done))
        else:
            self._marks[-1] = (now, done)  # many small steps are kept as one
        while len(self._marks) > 2 and now - self._marks[1][0] >= _RECENT:
            self._marks.popleft()

    def shift(self, before: float) -> None:
        """``before`` more was done, but not now."""
        self._marks = deque((now, done + before) for now, done in self._marks)

    def wait(self, seconds: float) -> None:
        """Another piece of work took these seconds."""
        self._marks = deque((now + seconds, done) for now, done in self._marks)

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
    note: str = ""

    def expect(self, total: float, before: float) -> None:
        self.total = total
        self.done += before
        self.pace.shift(before)

    def line(self, now: float) -> str:
        of = f" of {digits(self.total)}" if self.total else ""
        parts = [f"{self.description}: {digits(self.done)}{of}{' ' + self.unit if self.unit else ''}"]
        self.pace.add(now, self.done)
        rate = self.pace.rate
        if rate > 0:
            parts.append(f"{digits(rate)} a second")
            if self.total and self.total > self.done:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        return ", ".join([*parts, *([self.note] if self.note else [])])


class Bars:
    """A :class:`artgen.backend.Progress` of bars with rate and remaining time, for a terminal."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bars: Any = None  # rich is imported with the first bar: many commands need none
        self._tasks: list[Any] = []
        self._paces: list[_Pace] = []
        self._hidden = False

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        """Show a bar; one begun before another is finished stands above it."""
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[unit]}"),
                TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True), transient=True,
            )  # fmt: skip
            self._bars.start()
        self._tasks.append(self._bars.add_task(escape(description), total=total, unit=escape(unit), note="", rate=""))
        self._paces.append(_Pace(self._clock()))

    def expect(self, total: float, before: float = 0.0) -> None:
        """Another total for the newest bar; what was done ``before`` counts, but for no rate."""
        if self._tasks:
            newest = self._tasks[-1]
            if before:  # a bar that starts again remembers no speed
                done = self._bars.tasks[self._bars.task_ids.index(newest)].completed
                self._bars.reset(newest, completed=done + before)
            self._bars.update(newest, total=total)
            self._paces[-1].shift(before)

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Move the newest bar."""
        if self._hidden:
            self._bars.start()
            self._hidden = False
        if self._tasks:
            from rich.markup import escape

            more = {"note": escape(note)} if note else {}
            self._bars.update(self._tasks[-1], advance=amount, **more)
            task = self._bars.tasks[self._bars.task_ids.index(self._tasks[-1])]
            pace = self._paces[-1]
            pace.add(self._clock(), task.completed)
            if pace.passed > 0.5:  # before that it says more about the start than about the work
                self._bars.update(self._tasks[-1], rate=f"{digits(pace.rate)} a second,")

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
        if self._tasks:
            self._bars.remove_task(self._tasks.pop())
            took = self._clock() - self._paces.pop().started
            if self._paces:
                self._paces[-1].wait(took)
        if not self._tasks:
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
        self._bars, self._tasks, self._paces, self._hidden = None, [], [], False


def digits(number: float) -> str:
    """``0.383``, ``12``, ``59.4``, ``2,053,582,368``: three digits that tell, but all of those before the point."""
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:.3g}"


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 5 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
