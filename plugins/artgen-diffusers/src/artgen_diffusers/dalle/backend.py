"""``image.dalle``: text to picture, trained from scratch on captioned pictures, the way of the first DALL·E."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.artwork import Artwork
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.media import prepare_image
from artgen.options import Options
from artgen_diffusers.dalle import options as declared

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.task import Task


class Dalle(Backend):
    """A discrete autoencoder and a Transformer that writes its codes after the words of a caption."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "image"
    name: ClassVar[str] = "dalle"
    summary: ClassVar[str] = "Words to small pictures, trained from scratch on your own captioned pictures, on a laptop or a GPU."
    source: ClassVar[str] = "Ramesh et al. 2021, 'Zero-shot text-to-image generation'"
    metrics: ClassVar[tuple[str, ...]] = ("val/loss",)

    Prepare: ClassVar[type[Options]] = prepare_image.Prepare
    Train: ClassVar[type[TrainOptions]] = declared.Train
    Generate: ClassVar[type[Options]] = declared.Generate
    Evaluate: ClassVar[type[Options]] = declared.Evaluate

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Decode pictures and their captions into a dataset that every image backend can train on."""
        return prepare_image.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """The autoencoder ``codec`` and the Transformer ``painter``."""
        from torch import nn

        from artgen_diffusers.dalle.codec import build_codec
        from artgen_diffusers.dalle.painter import build_painter

        return nn.ModuleDict({"codec": build_codec(config["codec"]), "painter": build_painter(config["painter"])})

    def task(self, dataset: Dataset, options: Any) -> Sequence[Task]:
        """Two stages: the autoencoder, then the Transformer over its codes."""
        from artgen_diffusers.dalle.tasks import CodecTask, PainterTask

        return [CodecTask(dataset, options), PainterTask(dataset, options)]

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One picture a seed of what the prompt says."""
        from artgen_diffusers.dalle.sample import Studio

        yield from Studio.of(model, self).pictures(seeds, options, progress)

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """How well the autoencoder gives pictures back, and how well the Transformer foresees their codes."""
        from artgen_diffusers.dalle.evaluate import evaluate

        return evaluate(self, model, dataset, options)
