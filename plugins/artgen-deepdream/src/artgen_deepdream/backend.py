"""``image.deepdream``: a vision network draws into a picture what it sees in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.artwork import Artwork, Image
from artgen.backend import SILENT, Backend, Progress, TrainOptions
from artgen.errors import UsageError
from artgen.media import prepare_image
from artgen.options import Options
from artgen_deepdream import options as declared
from artgen_deepdream.places import open_place

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.task import Task


class DeepDream(Backend):
    """Gradient ascent on the picture: whatever a layer answers to is made stronger, size after size."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "image"
    name: ClassVar[str] = "deepdream"
    summary: ClassVar[str] = "DeepDream: a vision network draws into your picture what it sees in it."
    source: ClassVar[str] = "Mordvintsev et al. 2015, 'Inceptionism: Going deeper into neural networks'"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "held_out_loss")

    Prepare: ClassVar[type[Options]] = prepare_image.Prepare
    Train: ClassVar[type[TrainOptions]] = declared.Train
    Generate: ClassVar[type[Options]] = declared.Generate
    Modify: ClassVar[type[Options]] = declared.Modify

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """The network to dream through: the package's own, a run, a folder of transformers or torchvision, a name on the Hub."""
        own = Path(__file__).parent / "starters"
        if place is None or (place and "/" not in place and (own / place).is_dir()):
            return super().find_model(place)
        return open_place(place)

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Decode pictures into a dataset that every image backend can train on."""
        return prepare_image.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """The classifier, as ``eye``: the name its weights have in a model."""
        from torch import nn

        from artgen_deepdream.network import Eye

        return nn.ModuleDict({"eye": Eye(config["widths"], config["classes"])})

    def task(self, dataset: Dataset, options: Any) -> Task:
        """Telling the classes of the dataset apart."""
        from artgen_deepdream.task import ClassifierTask

        return ClassifierTask(dataset, options)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """A dream from noise for each seed; with ``list_layers`` one sheet of all layers."""
        from artgen_deepdream import works

        if options.list_layers:
            yield works.sheet(model, seeds[0], options, progress)
            return
        for seed in seeds:
            yield works.generate(model, seed, options, progress)

    def together(self, options: Any) -> bool:
        """A sheet of all layers is one work."""
        return bool(options.list_layers)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Each picture dreamed on, or with ``zoom`` a film that falls into it."""
        from artgen_deepdream import works

        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Image):
                raise UsageError(f"{artwork.name or 'the input'}: deepdream modifies pictures, not {artwork.modality}")
            yield works.modify(model, artwork, seed, options, progress)
