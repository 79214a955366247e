"""``image.diffusers``: the picture pipelines of diffusers, from a folder or the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.artwork import Artwork, Image
from artgen.backend import SILENT, Backend, Progress, TrainOptions
from artgen.errors import UsageError
from artgen.media import prepare_image
from artgen.options import Options
from artgen_diffusers import options as declared
from artgen_diffusers.places import open_place

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.run import Run
    from artgen.training.task import Task


class ImageDiffusers(Backend):
    """Denoising diffusion with public models: pictures from words, pictures from pictures, and LoRAs of your own style."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "image"
    name: ClassVar[str] = "diffusers"
    summary: ClassVar[str] = "Stable Diffusion, FLUX, PixArt and the other picture pipelines of diffusers; LoRA and DDPM training."
    source: ClassVar[str] = "von Platen et al. 2022, 'Diffusers: State-of-the-art diffusion models'"
    metrics: ClassVar[tuple[str, ...]] = ("held_out_loss",)

    Prepare: ClassVar[type[Options]] = prepare_image.Prepare
    Train: ClassVar[type[TrainOptions]] = declared.Train
    Generate: ClassVar[type[Options]] = declared.Generate
    Modify: ClassVar[type[Options]] = declared.Modify

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """A pipeline in a folder or on the Hub, or what this backend trained."""
        return open_place(place, "image.diffusers", "stable-diffusion-v1-5/stable-diffusion-v1-5")

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Decode pictures into a dataset that every image backend can train on."""
        return prepare_image.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """The U-Net of a model trained from scratch."""
        from artgen_diffusers.scratch import built

        return built(config)

    def task(self, dataset: Dataset, options: Any) -> Task:
        """A LoRA for ``--model``, or a DDPM from scratch."""
        if options.model is not None:
            from artgen_diffusers.lora import LoraTask

            return LoraTask(dataset, options, getattr(self, "_base", None))
        from artgen_diffusers.ddpm import DdpmTask

        return DdpmTask(dataset, options)

    def train(self, dataset: Dataset, run: Run, options: Any, progress: Progress = SILENT) -> Model:
        """Train with the shared loop; a DDPM is also left as a plain pipeline of diffusers, in ``diffusers`` of the run."""
        if options.model is not None:
            from artgen_diffusers.lora import base_of

            self._base = base_of(options, run.device, progress)
            return super().train(dataset, run, options, progress)
        from artgen_diffusers.ddpm import export

        model = super().train(dataset, run, options, progress)
        export(model, run.folder / "diffusers")
        return model

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """A picture for each seed; with ``prompts`` for each prompt and seed."""
        from artgen_diffusers import pictures

        yield from pictures.generate(model, seeds, options, progress)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Each picture changed by words, filled where a mask is white, or upscaled."""
        from artgen_diffusers import pictures

        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Image):
                raise UsageError(f"{artwork.name or 'the input'}: image.diffusers modifies pictures, not {artwork.modality}")
            yield pictures.modify(model, artwork, seed, options, progress)
