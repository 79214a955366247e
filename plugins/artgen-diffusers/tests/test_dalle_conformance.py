"""The promises that every backend makes, by artgen's own kit."""

from __future__ import annotations

from artgen.testing import conformance
from artgen_diffusers.dalle.backend import Dalle

test_contract = conformance(
    Dalle,
    options={
        "prepare": {"resolution": 16, "min_size": 8},
        "train": {"length": 4, "codec_share": 0.5},
        "generate": {"candidates": 2},
    },
)
