"""``image.deepdream``: a vision network draws into a picture what it sees in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.backend import SILENT, Backend, Progress
from artgen.media import prepare_image
from artgen.options import Options
from artgen_deepdream import options as declared

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.training.task import Task


class DeepDream(Backend):
    """Gradient ascent on the picture: whatever a layer answers to is made stronger, size after size."""

    modality: ClassVar[str] = "image"
    name: ClassVar[str] = "deepdream"
    summary: ClassVar[str] = "DeepDream: a vision network draws into your picture what it sees in it."
    source: ClassVar[str] = "Mordvintsev et al. 2015, 'Inceptionism: Going deeper into neural networks'"

    Prepare: ClassVar[type[Options]] = prepare_image.Prepare
    Train = declared.Train

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
