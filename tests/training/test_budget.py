from __future__ import annotations

import pytest

from artgen.backend import TrainOptions
from artgen.errors import OptionError
from artgen.training.budget import Goal, counted_items, duration, minutes_allowed, parse_goal


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("fd<=40", Goal("fd", True, 40)),
        (" fd >= 0.5", Goal("fd", False, 0.5)),
        ("swd<=1e-2", Goal("swd", True, 0.01)),
        ("fd<40", Goal("fd", True, 40)),
        ("swd>.5", Goal("swd", False, 0.5)),
    ],
)
def test_goals_are_read(text: str, goal: Goal) -> None:
    assert parse_goal(text, ["fd", "swd"]) == goal
    assert parse_goal(None, ["fd"]) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fd=40", "--until takes a comparison such as \"fd<=40\", not 'fd=40'"),
        ("fd<=4.0.1", "--until takes a comparison such as \"fd<=40\", not 'fd<=4.0.1'"),
        ("fdd<=40", "--until takes fd, swd, not fdd; did you mean fd?"),
        ("bpc<=2", "--until takes fd, swd, not bpc"),
    ],
)
def test_a_goal_that_cannot_be_is_a_sentence(text: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_goal(text, ["fd", "swd"])
    assert str(caught.value) == message
    with pytest.raises(OptionError, match="--until fd<=3 waits for a metric, but this backend measures nothing; leave --until out"):
        parse_goal("fd<=3", [])


def test_a_goal_knows_its_side() -> None:
    assert Goal("fd", True, 40).reached(40)
    assert not Goal("fd", True, 40).reached(40.1)
    assert Goal("recall", False, 0.5).reached(0.6)


@pytest.mark.parametrize(
    ("given", "items"),
    [({"steps": 10}, 80), ({"items": 81}, 88), ({"steps": 10, "items": 30, "minutes": 1.0}, 32), ({"minutes": 1.0}, None)],
)
def test_the_tighter_of_steps_and_items_counts(given: dict[str, float], items: int | None) -> None:
    assert counted_items(TrainOptions(batch_size=8, **given)) == items


def test_half_an_hour_is_the_budget_where_none_is_given() -> None:
    assert minutes_allowed(TrainOptions()) == 30
    assert minutes_allowed(TrainOptions(steps=1)) is None
    assert minutes_allowed(TrainOptions(steps=1, minutes=2.0)) == 2


def test_durations_are_words() -> None:
    assert [duration(s) for s in (45, 600, 7500)] == ["45 s", "10 min", "2 h 05 min"]
