"""``image.stripes``: two-coloured stripes, the smallest backend there is: no model, no training, no torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from artgen.artwork import Artwork, Image
from artgen.backend import SILENT, Backend, Progress
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from artgen.model import Model


class Stripes(Backend):
    """Two-coloured stripes; the seed chooses the colours."""

    api_version = 1
    modality = "image"
    name = "stripes"
    summary = "Stripes in two colours that the seed chooses."
    source = "Drawn by hand"
    needs_model = False

    class Generate(Options):
        """Options of ``generate``."""

        width: Annotated[int, Meta(ge=1, le=64, description="Width of a stripe.", extra={"unit": "pixels"})] = 8

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One picture a seed; a picture depends on its own seed alone."""
        import numpy as np

        for seed in seeds:
            colours = np.random.default_rng(seed).integers(0, 256, (2, 3), dtype=np.uint8)
            columns = np.arange(128) // options.width % 2
            yield Image(np.repeat(colours[columns][None], len(columns), axis=0))
