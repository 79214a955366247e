from __future__ import annotations

import numpy as np
import pytest

from artgen.training.order import batch_indices, mix, permuted


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1000])
def test_every_epoch_holds_every_item_once(count: int) -> None:
    places = np.arange(count, dtype=np.uint64)
    for key in (0, 1, 2**62):
        assert sorted(permuted(places, count, key)) == list(range(count))


def test_epochs_and_seeds_differ() -> None:
    places = np.arange(100, dtype=np.uint64)
    orders = {tuple(permuted(places, 100, mix(seed, epoch))) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_batches_run_across_epochs_and_are_a_function_of_the_step() -> None:
    steps = [batch_indices(5, step, 8, 20) for step in range(5)]
    drawn = np.concatenate(steps)
    assert sorted(drawn[:20]) == sorted(drawn[20:]) == list(range(20))
    assert list(batch_indices(5, 3, 8, 20)) == list(steps[3])


def test_neighbouring_places_do_not_stay_neighbours() -> None:
    order = permuted(np.arange(1000, dtype=np.uint64), 1000, 7)
    assert np.abs(np.diff(order)).mean() > 200  # a random order has a third of the range: 333


def test_mix_tells_parts_and_their_order_apart() -> None:
    assert len({mix(1, 2), mix(2, 1), mix(1, 2, 0), mix(0, 1, 2), mix(2**40, 1)}) == 5
