"""What one training step of the plain network computes: the loss of the next sample."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artgen.artwork import Artwork, Audio, Image
from artgen.backends.audio.rnn import plain
from artgen.backends.audio.rnn.composer_task import adam, schedule
from artgen.backends.audio.rnn.presets import Recipe
from artgen.backends.audio.rnn.tape import Moments, Tape
from artgen.errors import DatasetError
from artgen.media import audio, spectrogram
from artgen.training.task import Batch, Phase, Position, Task

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.backend import Rnn
    from artgen.dataset import Dataset

PREVIEW_SECONDS = 2.0
_HELD_WINDOWS = 64
_BLOCK = 2**18


class PlainTask(Task):
    """Predict every sample of a window from those before it, at 8 kHz and 8 bits."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"val/loss": "lower", "bits_per_second": "lower"}

    def __init__(self, moments: Moments, options: Rnn.Train, plan: Recipe, network: dict[str, Any]) -> None:
        super().__init__()
        self.network, self.plan, self.moments = network, plan, moments
        self.plain = plain.Plain(**network["plain"])
        self.averaged = {"plain": self.plain}
        rate = plan.composer_rate
        self.phases = (Phase("plain", list(self.plain.parameters()), adam, lambda at: schedule(at, rate, plan.batch)),)

    def begin(self, dataset: Dataset, earlier: Sequence[Task]) -> None:
        """The tape, and what is held out, as levels at 8 kHz.

        Raises:
            DatasetError: there is too little sound for one window.
        """
        self.levels = levels_of(self.moments.tape)
        self.held = levels_of(self.moments.held) if self.moments.held else self.levels
        self.span = min(self.plan.span, len(self.levels) - 1)
        if self.span < 2:
            raise DatasetError(f"{dataset.folder}: less than three samples of sound to learn from; give more sound")

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Windows of levels int64 [b, span + 1]."""
        starts = np.asarray(indices, np.int64) * (len(self.levels) - self.span) // max(1, len(self.moments))
        return {"levels": self._windows(self.levels, starts)}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean negative log-likelihood of a sample, in nats."""
        return {"loss": self.plain.loss(batch["levels"]).mean()}

    def look_cost(self, size: int) -> float:
        """Reading the held-out windows costs a third of learning from them."""
        return _HELD_WINDOWS / (3 * size) + 2

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """Nats a sample, and bits a second, of held-out sound."""
        starts = np.linspace(0, max(0, len(self.held) - self.span - 1), _HELD_WINDOWS).astype(np.int64)
        windows = self._windows(self.held, starts).to(next(self.parameters()).device)
        nats = float(self.plain.loss(windows).mean())
        found = {"val/loss": nats, "bits_per_second": nats / math.log(2) * plain.RATE}
        return {name: found[name] for name in names}

    def preview(self, dataset: Dataset) -> Iterator[Artwork]:
        """The spectrogram of a sound written from the same noise every time, and the sound."""
        from artgen.backends.audio.rnn.plain_sampler import Writer

        levels = Writer(plain.weights_of(self.plain), seed=0).write(round(PREVIEW_SECONDS * plain.RATE))
        samples = plain.expand(levels)[:, None]
        yield Image(spectrogram.picture(samples, plain.RATE, width=640, height=192))
        yield Audio(samples, plain.RATE)

    def _windows(self, levels: NDArray[np.uint8], starts: NDArray[np.int64]) -> Tensor:
        span = min(self.span, len(levels) - 1)
        return torch.from_numpy(levels[starts[:, None] + np.arange(span + 1)].astype(np.int64))


def levels_of(tape: Tape) -> NDArray[np.uint8]:
    """A tape as levels [N] at 8 kHz, one channel."""
    blocks = (
        tape.read(start, min(_BLOCK, tape.length - start)).mean(1, keepdims=True, dtype=np.float32)
        for start in range(0, tape.length, _BLOCK)
    )
    low = [plain.compress(block[:, 0]) for block in audio.resampled(blocks, tape.rate, plain.RATE, 1)]
    return np.concatenate([np.zeros(0, np.uint8), *low])
