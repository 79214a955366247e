from __future__ import annotations

from pathlib import Path

import pytest

from artgen.backends.image.gan.backend import Gan
from artgen.dataset import Dataset
from artgen.media.prepare_image import Prepare, prepare


@pytest.fixture(scope="session")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The generated pictures at 32 pixels, in two classes."""
    return prepare([pictures], tmp_path_factory.mktemp("prepared") / "dataset", Prepare(resolution=32, workers=1))


@pytest.fixture(scope="session")
def gan_options() -> Gan.Train:
    """A GAN run of eight small steps with nothing left to measure."""
    return Gan.Train(
        steps=8, batch_size=4, precision="fp32", memory_format="channels-last", previews=0, save_steps=3, best_by="none"
    )
