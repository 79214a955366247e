"""The promises that every backend makes, by artgen's own kit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artgen.testing import conformance
from artgen_diffusers.audio import AudioDiffusers
from artgen_diffusers.image import ImageDiffusers
from artgen_diffusers.video import VideoDiffusers

PLACE = Path(tempfile.mkdtemp(prefix="artgen-diffusers-"))  # the kit is told where models are before there are any


@pytest.fixture(scope="module", autouse=True)
def models(pipelines: Callable[[str], Path]) -> None:
    """Tiny pipelines at the places that the kit was told."""
    for name in ("sd", "wan", "stable_audio"):
        if not (PLACE / name).exists():
            (PLACE / name).symlink_to(pipelines(name))


SCRATCH: dict[str, Any] = {"train": {"preset": "tiny"}, "generate": {"steps": 2}, "modify": {"steps": 4, "strength": 0.5}}
LORA: dict[str, Any] = {
    "train": {"model": str(PLACE / "sd"), "caption": "a blob", "rank": 2},
    "generate": {"prompt": "a red cat", "steps": 2, "width": 32, "height": 32},
    "modify": {"prompt": "a red cat", "steps": 4, "strength": 0.5},
}

test_contract_of_pictures_from_scratch = conformance(ImageDiffusers, options=SCRATCH)
test_contract_of_pictures_from_words = conformance(ImageDiffusers, options=LORA)

CLIPS: dict[str, Any] = {
    "generate": {"prompt": "a red cat", "steps": 2, "width": 32, "height": 32, "frames": 5},
    "modify": {"prompt": "a red cat", "steps": 4, "strength": 0.5, "resolution": 32},
}
test_contract_of_clips = conformance(VideoDiffusers, options=CLIPS, model=PLACE / "wan")

SOUNDS: dict[str, Any] = {
    "generate": {"prompt": "a red cat", "steps": 2, "seconds": 0.1},
    "modify": {"prompt": "a red cat", "steps": 2},
}
test_contract_of_sounds = conformance(AudioDiffusers, options=SOUNDS, model=PLACE / "stable_audio")
