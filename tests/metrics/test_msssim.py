from __future__ import annotations

import math

import numpy as np
import pytest
from figures import figures

from artgen.metrics import msssim
from artgen.metrics.msssim import diversity, ms_ssim, scales


def slow(one: np.ndarray, two: np.ndarray) -> float:
    """MS-SSIM of two pictures [S, S, 3] by its definition, window by window."""
    side = 11
    axis = np.exp(-((np.arange(side) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2
    weights = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
    values = []
    for channel in range(3):
        x, y = one[..., channel].astype(float), two[..., channel].astype(float)
        value = 1.0
        for scale in range(2):
            full, contrast = [], []
            for top in range(len(x) - side + 1):
                for left in range(len(x) - side + 1):
                    a, b = x[top : top + side, left : left + side], y[top : top + side, left : left + side]
                    ma, mb = (window * a).sum(), (window * b).sum()
                    va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                    cov = (window * (a - ma) * (b - mb)).sum()
                    cs = (2 * cov + 58.5225) / (va + vb + 58.5225)
                    contrast.append(cs)
                    full.append(cs * (2 * ma * mb + 6.5025) / (ma**2 + mb**2 + 6.5025))
            value *= max(0.0, np.mean(full if scale == 1 else contrast)) ** weights[scale]
            x, y = (p.reshape(len(p) // 2, 2, len(p) // 2, 2).mean((1, 3)) for p in (x, y))
        values.append(value)
    return float(np.mean(values))


def test_equals_the_definition() -> None:
    images = figures(1, size=24)[0]
    other = np.clip(images + np.random.default_rng(0).normal(0, 25, images.shape), 0, 255).astype(np.uint8)
    assert scales(24, 24) == 2
    assert ms_ssim(images, other)[0] == pytest.approx(slow(images[0], other[0]), abs=1e-4)


def test_a_picture_is_wholly_like_itself() -> None:
    np.testing.assert_allclose(ms_ssim(figures(6)[0], figures(6)[0]), 1, atol=1e-6)


def test_it_is_symmetric_and_falls_with_noise() -> None:
    images = figures(4)[0]
    random = np.random.default_rng(0)
    mild, strong = (np.clip(images + random.normal(0, s, images.shape), 0, 255).astype(np.uint8) for s in (8, 60))
    np.testing.assert_allclose(ms_ssim(images, mild), ms_ssim(mild, images), atol=1e-6)
    assert (ms_ssim(images, strong) < ms_ssim(images, mild)).all()


def test_opposite_pictures_are_not_alike_at_all() -> None:
    images = figures(1)[0]
    assert ms_ssim(images, 255 - images)[0] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("side", "count"), [(8, 1), (21, 1), (22, 2), (64, 3), (128, 4), (175, 4), (176, 5), (512, 5)])
def test_small_pictures_have_fewer_scales(side: int, count: int) -> None:
    assert scales(side, side * 2) == count


@pytest.mark.parametrize("size", [1, 8, 11, 32, 176])
def test_every_size_can_be_measured(size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    np.testing.assert_allclose(ms_ssim(images, images), 1, atol=1e-6)


def test_diversity_sees_repeats() -> None:
    images = figures(60)[0]
    varied, repeated = diversity(images, pairs=300), diversity(images[np.arange(60) % 3], pairs=300)
    assert repeated > varied + 0.1
    assert diversity(images[[0] * 10]) == pytest.approx(1, abs=1e-6)
    assert diversity(images, pairs=300) == varied
    assert diversity(images, pairs=300, seed=1) != varied


def test_diversity_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    images = figures(12)[0]
    whole = diversity(images)
    monkeypatch.setattr(msssim, "CHUNK", 7)
    assert diversity(images) == pytest.approx(whole, abs=1e-6)


def test_one_picture_has_no_diversity() -> None:
    assert math.isnan(diversity(figures(1)[0]))
