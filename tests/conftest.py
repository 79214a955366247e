"""What every test shares: no network, one thread a process, and a tiny folder of generated pictures."""

from __future__ import annotations

import os
from pathlib import Path

# Set before anything imports torch or huggingface_hub, which read them once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["ARTGEN_HISTORY"] = "off"  # works of tests are nobody's; the tests of the history switch it on

import pytest
from sample_pictures import picture

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 generated PNGs of 40x40 in two class folders; tests must not write into it."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for number in range(24):
        place = folder / ("round" if number % 2 else "soft") / f"{number:02}.png"
        place.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(number)).save(place)
    return folder
