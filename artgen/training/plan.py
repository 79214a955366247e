"""Where a run stands and how far its budget reaches; a plan of time follows the measured speed."""

from __future__ import annotations

from dataclasses import dataclass

from artgen.backend import TrainOptions
from artgen.training.budget import minutes_allowed, planned_items

WARM = 8
"""Steps whose time says nothing about the speed: kernels are loaded, caches are empty."""


@dataclass
class Clock:
    """Where a run stands; everything here goes into the state."""

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

    def items(self, options: TrainOptions | None = None) -> int:
        """The items of the budget that fall to this stage, in whole steps."""
        size = self.options.batch_size
        return max(1, round(planned_items(options or self.options, self.clock.pace) * self.share / self.whole / size)) * size

    @property
    def limit(self) -> float | None:
        """The second of the run at which this stage has to end, or None when time is no budget."""
        minutes = minutes_allowed(self.options)
        return None if minutes is None else minutes * 60 * self.until / self.whole

    @property
    def left(self) -> float | None:
        """The seconds until time ends this stage, or None where steps or items end it."""
        limit = self.limit
        if limit is None or (self._counted and self.clock.total >= self.items(self.options.replace(minutes=None))):
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
    def _counted(self) -> bool:
        """Whether steps or items are a budget."""
        return self.options.steps is not None or self.options.items is not None

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
        return min(total, self.items(self.options.replace(minutes=None))) if self._counted else total
