"""Where a run stands and how far its budget reaches; a plan of time follows the measured speed."""

from __future__ import annotations

from dataclasses import dataclass

from artgen.backend import TrainOptions
from artgen.training.budget import counted_items, minutes_allowed

WARM = 8
"""Steps whose time says nothing about the speed: kernels are loaded, caches are empty."""

LEAST = 0.5
"""The part of its share of the time that a stage trains in any case, however long it takes to get ready."""


@dataclass
class Clock:
    """Where a run stands; everything here goes into the state.

    ``seconds`` are those of training, previews, saving and of what a stage does before its first step, but for measuring
    formats; ``began`` is the second at which the stage was ready.
    """

    stage: int = 0
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    began: float = 0.0
    warm: float = 0.0
    pace: float = 0.0
    shown: int = -1
    best: float | None = None
    stale: int = 0


@dataclass
class Plan:
    """The budget of one stage: ``share`` of ``whole`` falls to it, ``until`` is used up when it ends."""

    options: TrainOptions
    clock: Clock
    share: float = 1.0
    until: float = 1.0
    whole: float = 1.0
    replanned: int = 0

    def items(self) -> int:
        """The items of the budget that fall to this stage, in whole steps; the tightest of several limits counts."""
        size, limit, counted = self.options.batch_size, self.limit, self._counted()
        limits = [] if counted is None else [counted / size]
        if limit is not None:
            limits.append((limit - self.clock.began) / self.clock.pace)
        return max(1, round(min(limits))) * size

    @property
    def limit(self) -> float | None:
        """The second of the run at which this stage has to end, or None when time is no budget."""
        due = self._due
        return None if due is None else max(due, self.clock.began + LEAST * self._seconds(self.share))

    @property
    def beyond(self) -> float:
        """The seconds by which the stage ends later than its part of the time, because it took long to get ready."""
        limit, due = self.limit, self._due
        return 0.0 if limit is None or due is None else limit - due

    @property
    def left(self) -> float | None:
        """The seconds until time ends this stage, or None where steps or items end it."""
        limit = self.limit
        counted = self._counted()
        if limit is None or (counted is not None and self.clock.total >= counted):
            return None
        return max(0.0, limit - self.clock.seconds)

    @property
    def late(self) -> bool:
        """Whether the time of this stage is over."""
        limit = self.limit
        return limit is not None and self.clock.seconds >= limit

    def begin(self) -> None:
        """Go on from where the clock stands."""
        self.replanned = self._twentieth()

    def follow(self) -> None:
        """Plan anew by the measured speed, so that schedules end when the time does: often while little is known of it."""
        clock = self.clock
        doubled = clock.step & (clock.step - 1) == 0
        if self.limit is not None and clock.step > 1 and (doubled or self._twentieth() > self.replanned):
            self.replanned = self._twentieth()
            clock.total = self._total_in(self.limit)
        if clock.step in (1, WARM):
            clock.warm = clock.seconds

    @property
    def _due(self) -> float | None:
        """The second of the run at which the part of this stage and of those before it is over."""
        return None if minutes_allowed(self.options) is None else self._seconds(self.until)

    def _seconds(self, share: float) -> float:
        return (minutes_allowed(self.options) or 0.0) * 60 * share / self.whole

    def _counted(self) -> int | None:
        """The items that ``--steps`` and ``--items`` allow this stage, or None where neither is a budget."""
        counted, size = counted_items(self.options), self.options.batch_size
        return None if counted is None else max(1, round(counted * self.share / self.whole / size)) * size

    def _twentieth(self) -> int:
        """How many twentieths of the stage's time are over."""
        limit, clock = self.limit, self.clock
        return 0 if limit is None else int((clock.seconds - clock.began) / (limit - clock.began) * 20)

    def _total_in(self, limit: float) -> int:
        """The items that can be seen until second ``limit`` at the speed so far, within the other limits of the budget."""
        clock = self.clock
        measured = clock.seconds - (clock.warm or clock.began)
        clock.pace = max(1e-6, measured / (clock.step - (WARM if clock.step > WARM else 1)))
        total = (clock.step + round(max(0.0, limit - clock.seconds) / clock.pace)) * self.options.batch_size
        counted = self._counted()
        return total if counted is None else min(total, counted)
