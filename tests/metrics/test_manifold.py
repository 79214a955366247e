from __future__ import annotations

import math

import numpy as np
import pytest

from artgen.metrics import manifold as module
from artgen.metrics.manifold import manifold, radii, squared_distances


def cloud(count: int, seed: int = 0, centre: float = 0.0, spread: float = 1.0) -> np.ndarray:
    return centre + spread * np.random.default_rng(seed).standard_normal((count, 2))


def slow(real: np.ndarray, samples: np.ndarray) -> tuple[float, float, float, float]:
    """The definitions of both papers, pair by pair."""

    def reach(x: np.ndarray, k: int) -> list[float]:
        return [sorted(float(np.linalg.norm(a - b)) for j, b in enumerate(x) if j != i)[k - 1] for i, a in enumerate(x)]

    def inside(points: np.ndarray, centres: np.ndarray, reaches: list[float]) -> np.ndarray:
        return np.array([[np.linalg.norm(p - c) <= r for c, r in zip(centres, reaches, strict=True)] for p in points])

    precision = inside(samples, real, reach(real, 3)).any(1).mean()
    recall = inside(real, samples, reach(samples, 3)).any(1).mean()
    hits = inside(samples, real, reach(real, 5))
    return precision, recall, hits.sum() / (5 * len(samples)), hits.any(0).mean()


def test_equals_the_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 7)  # several blocks, the last one short
    real, samples = cloud(40), cloud(30, 1, 0.5, 0.8)
    found = manifold(real, samples)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(slow(real, samples), abs=1e-12)


def test_two_draws_of_one_distribution() -> None:
    found = manifold(cloud(500), cloud(500, 1))
    assert found.precision > 0.9
    assert found.recall > 0.9
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage > 0.9


def test_a_set_against_itself_is_wholly_inside() -> None:
    found = manifold(cloud(100), cloud(100))
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_nothing_in_common() -> None:
    found = manifold(cloud(50), cloud(50, 1, centre=100))
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_one_mode_of_two_is_precise_but_misses_half() -> None:
    real = np.concatenate([cloud(200), cloud(200, 2, centre=50)])
    found = manifold(real, cloud(400, 3))
    assert found.precision > 0.9
    assert found.recall == pytest.approx(0.5, abs=0.05)
    assert found.coverage == pytest.approx(0.5, abs=0.05)


def test_samples_in_the_middle_are_dense_but_not_varied() -> None:
    random = np.random.default_rng(0)
    found = manifold(random.standard_normal((200, 16)), 0.3 * random.standard_normal((200, 16)))
    assert found.density > 2
    assert found.precision == 1
    assert found.recall < 0.1


def test_an_outlier_fools_recall_of_all_but_not_coverage() -> None:
    samples = np.concatenate([cloud(100, 1, centre=100), [[0.0, 0.0]]])
    assert manifold(cloud(100), samples).coverage < 0.3


@pytest.mark.parametrize(
    ("reals", "samples", "unknown"), [(3, 10, "precision"), (10, 3, "recall"), (5, 10, "density"), (10, 0, "coverage")]
)
def test_too_few_are_not_a_number(reals: int, samples: int, unknown: str) -> None:
    assert math.isnan(getattr(manifold(cloud(reals), cloud(samples)), unknown))


def test_radii_leave_out_the_point_itself() -> None:
    line = np.array([[0.0], [1.0], [3.0], [7.0]])
    np.testing.assert_allclose(radii(line, 1), [1, 1, 4, 16])
    np.testing.assert_allclose(radii(line, 2), [9, 4, 9, 36])


def test_distances_far_from_the_origin_keep_their_digits() -> None:
    x = 1e4 + cloud(20)
    block = np.concatenate([rows for _, rows in squared_distances(x, x)])
    np.testing.assert_allclose(block, ((x[:, None] - x[None]) ** 2).sum(-1), atol=1e-9)
