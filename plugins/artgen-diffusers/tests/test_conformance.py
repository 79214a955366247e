"""The promises that every backend makes, by artgen's own kit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from artgen.testing import conformance
from artgen_diffusers.image import ImageDiffusers

TINY: dict[str, Any] = {"train": {"preset": "tiny"}, "generate": {"steps": 2}, "modify": {"steps": 4, "strength": 0.5}}

test_contract_of_pictures = conformance(ImageDiffusers, options=TINY)
