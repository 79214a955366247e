"""The plan of a stage: what its budget allows, and what is left of its time."""

from __future__ import annotations

import pytest

from artgen.backend import TrainOptions
from artgen.training.plan import WARM, Clock, Plan


def plan(**options: float) -> Plan:
    chosen = TrainOptions(batch_size=4, **options)  # type: ignore[arg-type]  # numbers of either kind
    made = Plan(chosen, Clock(pace=0.5))
    made.clock.total = made.items()
    made.begin()
    return made


@pytest.mark.parametrize(
    ("options", "items", "left"),
    [({"steps": 10}, 40, None), ({"items": 41}, 44, None), ({"minutes": 1}, 480, 60.0), ({"minutes": 1, "steps": 10}, 40, None),
     ({"minutes": 1, "steps": 500}, 480, 60.0)],
)  # fmt: skip
def test_the_tightest_budget_counts_and_only_time_is_left(options: dict[str, float], items: int, left: float | None) -> None:
    made = plan(**options)
    assert (made.items(), made.left, made.late) == (items, left, False)


def test_stages_share_the_budget() -> None:
    options = TrainOptions(batch_size=4, minutes=2)
    first, second = (
        Plan(options, Clock(pace=0.5, began=began, seconds=began), 1, until, 4) for until, began in ((1, 0.0), (4, 30.0))
    )
    second.share = 3
    assert (first.limit, first.left, first.items()) == (30.0, 30.0, 240)
    assert (second.limit, second.left, second.items()) == (120.0, 90.0, 720)


def test_a_stage_has_the_time_that_getting_ready_left_it_and_half_its_share_at_least() -> None:
    options = TrainOptions(batch_size=4, minutes=2)
    soon, late = (Plan(options, Clock(stage=1, pace=0.5, began=began, seconds=began), 2, 4, 4) for began in (75.0, 110.0))
    assert (soon.limit, soon.left, soon.items(), soon.beyond) == (120.0, 45.0, 360, 0.0)
    assert (late.limit, late.left, late.items(), late.beyond) == (140.0, 30.0, 240, 20.0)
    counted = Plan(options.replace(minutes=None, steps=100), late.clock, 2, 4, 4)
    assert (counted.limit, counted.left, counted.items(), counted.beyond) == (None, None, 200, 0.0)


def test_the_plan_follows_the_measured_speed() -> None:
    made = plan(minutes=1)  # 120 steps of half a second
    for made.clock.step in range(1, 33):
        made.clock.seconds = 5 + 0.25 * made.clock.step  # the first took long, and each takes half of what was thought
        made.follow()
    assert made.clock.warm == 5 + 0.25 * WARM
    assert made.clock.total == 4 * (32 + (60 - 13) * 4)
    assert made.left == 47.0
    made.clock.seconds = 60.0
    assert made.late


def test_a_plan_of_steps_does_not_follow() -> None:
    made = plan(steps=100)
    for made.clock.step in range(1, 20):
        made.clock.seconds = 3.0 * made.clock.step
        made.follow()
    assert (made.clock.total, made.late) == (400, False)
