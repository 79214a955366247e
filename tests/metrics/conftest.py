"""What the tests of measures share."""

from __future__ import annotations

from pathlib import Path

import pytest
from figures import MakeDataset, figures, write_dataset

from artgen.dataset import Dataset


@pytest.fixture
def make_dataset(tmp_path: Path) -> MakeDataset:
    """Writes a dataset of the first ``count`` figures: ``make_dataset(40, labelled=True, size=32)``."""

    def make(count: int, *, labelled: bool = False, size: int = 32) -> Dataset:
        images, labels = figures(count, size=size)
        return write_dataset(tmp_path / f"dataset-{count}-{size}-{labelled}", images, labels if labelled else None)

    return make
