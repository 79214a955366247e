"""``audio.diffusers``: the audio pipelines of diffusers, from a folder or the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.artwork import Artwork, Audio
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import UsageError
from artgen.options import Options
from artgen_diffusers import options as declared
from artgen_diffusers.places import open_place

if TYPE_CHECKING:
    from artgen.model import Model


class AudioDiffusers(Backend):
    """Denoising diffusion with public models: sounds and music from words, and from other sounds."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "audio"
    name: ClassVar[str] = "diffusers"
    summary: ClassVar[str] = "Stable Audio and the other sound pipelines of diffusers."
    source: ClassVar[str] = "von Platen et al. 2022, 'Diffusers: State-of-the-art diffusion models'"

    Generate: ClassVar[type[Options]] = declared.GenerateAudio
    Modify: ClassVar[type[Options]] = declared.ModifyAudio

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """A pipeline in a folder or on the Hub."""
        return open_place(place, "audio.diffusers", "stabilityai/stable-audio-open-1.0")

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """A sound for each seed; with ``prompts`` for each prompt and seed."""
        from artgen_diffusers import sounds

        yield from sounds.generate(model, seeds, options, progress)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Each sound made anew after the prompt."""
        from artgen_diffusers import sounds

        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Audio):
                raise UsageError(f"{artwork.name or 'the input'}: audio.diffusers modifies sounds, not {artwork.modality}")
            yield sounds.modify(model, artwork, seed, options, progress)
