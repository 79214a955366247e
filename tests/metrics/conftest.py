"""What the tests of measures share."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
from figures import MakeDataset, figures, write_dataset

from artgen.dataset import Dataset
from artgen.metrics import swd


@pytest.fixture(scope="module")
def few_projections() -> Iterator[None]:
    """A rougher sliced Wasserstein distance in an eighth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(swd, "sliced_wasserstein", functools.partial(swd.sliced_wasserstein, projections=64))
        yield


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Writes a dataset of the first ``count`` figures: ``make_dataset(40, labelled=True, size=32)``."""

    def make(count: int, *, labelled: bool = False, size: int = 32) -> Dataset:
        images, labels = figures(count, size=size)
        return write_dataset(tmp_path / f"dataset-{count}-{size}-{labelled}", images, labels if labelled else None)

    return make
