"""A plugin that adds a modality, palettes of colours, with a backend that needs no model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Artwork, write_sidecar
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import SourceError
from artgen.files import write_atomically
from artgen.model import Model, NoModel
from artgen.options import Meta, Options


@dataclass(eq=False)
class Palette(Artwork):
    """Colours, uint8 [N, 3], one ``#rrggbb`` a line."""

    colours: NDArray[np.uint8]
    modality: ClassVar[str] = "palette"
    endings: ClassVar[tuple[str, ...]] = (".palette", ".hex")

    def numpy(self) -> NDArray[np.uint8]:
        return self.colours

    def encode(self, path: Path, text: str, mark: str) -> None:
        lines = "".join("#{:02x}{:02x}{:02x}\n".format(*colour) for colour in self.colours)
        write_atomically(path, lines.encode())
        write_sidecar(path, text, mark)

    @classmethod
    def decode(cls, path: Path) -> Self:
        lines = path.read_text(encoding="ascii", errors="replace").split()
        if not lines or not all(re.fullmatch("#[0-9a-f]{6}", line) for line in lines):
            raise SourceError(f"{path}: no palette; a line is #rrggbb")
        return cls(np.array([list(bytes.fromhex(line[1:])) for line in lines], np.uint8))

    def facts(self) -> dict[str, Any]:
        return {"colours": len(self.colours)}


class Ramp(Backend):
    """Random colours; an algorithm, so no model."""

    api_version = 1
    modality = "palette"
    name = "ramp"
    summary = "Colours that the seed draws."
    needs_model = False

    class Generate(Options):
        colours: Annotated[int, Meta(ge=1, le=64, description="How many colours.")] = 5

    class Modify(Options):
        shift: Annotated[int, Meta(ge=0, le=255, description="Added to each channel.")] = 10

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        assert isinstance(model, NoModel)
        for seed in seeds:
            yield Palette(np.random.default_rng(seed).integers(0, 256, (options.colours, 3), dtype=np.uint8))

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        for artwork in artworks:
            yield Palette(artwork.numpy() + np.uint8(options.shift))
