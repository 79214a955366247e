"""The promises that every backend makes, by artgen's own kit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tiny_models import causal, musicgen

from artgen.testing import conformance
from artgen_transformers.music.backend import MusicGen
from artgen_transformers.text.backend import Transformers

HOME = tempfile.TemporaryDirectory(prefix="artgen-tiny-")
BASE = Path(HOME.name) / "tiny"
causal("llama", BASE, chat=True)

test_text = conformance(
    Transformers,
    options={
        "train": {"from_": str(BASE), "context": 16, "rank": 2},
        "generate": {"length": 12},
        "evaluate": {"items": 2, "length": 30},
    },
)

MELODY = musicgen(Path(HOME.name) / "melody", melody=True)

test_music = conformance(MusicGen, options={"generate": {"seconds": 0.2}}, model=MELODY)
