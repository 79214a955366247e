"""Datasets and models of ``image.gan`` for its tests: the real networks with few channels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import artgen
from artgen.backends.image.gan import presets
from artgen.media.prepare_image import Prepare, prepare
from artgen.model import Model

TINY: dict[str, Any] = {
    "steps": 4, "batch_size": 4, "precision": "fp32", "memory_format": "channels-last", "previews": 0, "best_by": "none",
}  # fmt: skip
"""Options of ``train``: a training of a second."""


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make every preset one of the real kind that trains in a second."""
    narrow = ((16, 12, 8, 8, 8, 8, 8), (16, 12, 8, 8, 8, 8, 8))
    patch.setattr(presets, "WIDTHS", dict.fromkeys(presets.WIDTHS, narrow))


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """As :func:`shrink`, for a module of tests."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield


@pytest.fixture(scope="module")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated pictures at 32 pixels, in two classes."""
    folder = tmp_path_factory.mktemp("gan") / "dataset"
    prepare([pictures], folder, Prepare(resolution=32, workers=1))
    return folder


@pytest.fixture(scope="module")
def model(small: None, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Trained on it for four steps."""
    return artgen.train("image", dataset, tmp_path_factory.mktemp("gan") / "run", **TINY)
