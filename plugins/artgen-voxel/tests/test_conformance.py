"""The promises that every backend makes, by artgen's own kit: with the tiny solids that the plugin makes itself."""

from __future__ import annotations

from artgen.testing import conformance
from artgen_voxel.backend import Gan3d

TINY = {"train": {"batch_size": 4}, "modify": {"iterations": 2}}

test_modern = conformance(Gan3d, options=TINY)
