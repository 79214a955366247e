"""The promises that every backend makes, by artgen's own kit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tiny_models import causal, codec, musicgen

from artgen.testing import conformance
from artgen_transformers.codec.backend import Encodec
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

CODEC = codec("encodec", Path(HOME.name) / "codec", sampling_rate=22_050, upsampling_ratios=[15, 14])

test_codec = conformance(Encodec, model=CODEC)
