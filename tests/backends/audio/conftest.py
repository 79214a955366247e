"""Small networks of ``audio.rnn`` for every test here, and one dataset of notes a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from audio_models import prepared, shrink

from artgen.dataset import Dataset


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The presets a few channels wide."""
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        yield


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Three sounds of notes."""
    return prepared(tmp_path_factory.mktemp("notes"))
