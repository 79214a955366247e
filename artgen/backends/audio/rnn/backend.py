"""The audio backend ``rnn``: what can be asked of it, and which part answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.backend import SILENT, Backend, Progress
from artgen.media import prepare_audio
from artgen.options import Options

if TYPE_CHECKING:
    from artgen.dataset import Dataset


class Rnn(Backend):
    """A recurrent network over the codes of a small neural codec."""

    modality: ClassVar[str] = "audio"
    name: ClassVar[str] = "rnn"
    summary: ClassVar[str] = "Recurrent network over a neural codec: prepares your sounds for training."
    source: ClassVar[str] = "Feng et al. 2024, 'Were RNNs All We Needed?'; Siuzdak 2023 (Vocos)"

    Prepare: ClassVar[type[Options]] = prepare_audio.Prepare

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Decode sounds into a dataset that every audio backend can train on."""
        return prepare_audio.prepare(sources, folder, options, progress)
