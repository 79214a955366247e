"""Soft pictures like yours, learned in a minute."""

from __future__ import annotations

from artgen_haze.backend import Haze
from artgen_haze.stripes import Stripes

__all__ = ["Haze", "Stripes"]
