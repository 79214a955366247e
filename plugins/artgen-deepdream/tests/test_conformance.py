"""The promises that every backend makes, by artgen's own kit."""

from __future__ import annotations

from artgen.testing import conformance
from artgen_deepdream.backend import DeepDream

DREAM = {"octaves": 1, "steps": 1, "jitter": 4}

test_contract = conformance(
    DeepDream,
    options={
        "prepare": {"labels": "folders"},
        "train": {"preset": "tiny", "crop": 16},
        "generate": {**DREAM, "resolution": 32},
        "modify": DREAM,
    },
)
