"""``video.diffusers``: the video pipelines of diffusers, from a folder or the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.artwork import Artwork, Video
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import UsageError
from artgen.options import Options
from artgen_diffusers import options as declared
from artgen_diffusers.places import open_place

if TYPE_CHECKING:
    from artgen.model import Model


class VideoDiffusers(Backend):
    """Denoising diffusion with public models: clips from words, from a first picture, and from other clips."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "video"
    name: ClassVar[str] = "diffusers"
    summary: ClassVar[str] = "Wan, LTX, CogVideoX, Stable Video Diffusion and the other video pipelines of diffusers."
    source: ClassVar[str] = "von Platen et al. 2022, 'Diffusers: State-of-the-art diffusion models'"

    Generate: ClassVar[type[Options]] = declared.GenerateVideo
    Modify: ClassVar[type[Options]] = declared.ModifyVideo

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """A pipeline in a folder or on the Hub."""
        return open_place(place, "video.diffusers", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers")

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """A clip for each seed; with ``prompts`` for each prompt and seed."""
        from artgen_diffusers import clips

        yield from clips.generate(model, seeds, options, progress)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Each clip made anew after the prompt."""
        from artgen_diffusers import clips

        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Video):
                raise UsageError(f"{artwork.name or 'the input'}: video.diffusers modifies clips, not {artwork.modality}")
            yield clips.modify(model, artwork, seed, options, progress)
