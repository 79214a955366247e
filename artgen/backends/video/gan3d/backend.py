"""``video.gan3d``: a generative adversarial network of short clips."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.backend import SILENT, Backend, Progress
from artgen.media import prepare_video
from artgen.options import Options

if TYPE_CHECKING:
    from artgen.dataset import Dataset


class Gan3d(Backend):
    """A style-modulated generator with space-time convolutions against a discriminator of clips and one of pictures."""

    modality: ClassVar[str] = "video"
    name: ClassVar[str] = "gan3d"
    summary: ClassVar[str] = "3D generative adversarial network: learns to make short clips from your clips, 32 to 128 pixels."
    source: ClassVar[str] = "Vondrick et al. 2016, 'Generating Videos with Scene Dynamics'; Huang et al. 2024, 'The GAN is dead'"

    Prepare: ClassVar[type[Options]] = prepare_video.Prepare

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Cut films into a dataset of clips that every video backend can train on."""
        return prepare_video.prepare(sources, folder, options, progress)
