"""The second stage: the network over the codes learns which frame follows, from the codes of the whole tape."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artgen.artwork import Artwork, Audio, Image
from artgen.backend import SILENT, Progress
from artgen.backends.audio.rnn import augment
from artgen.backends.audio.rnn.composer import Composer
from artgen.backends.audio.rnn.presets import Recipe
from artgen.backends.audio.rnn.tape import Moments, Tape
from artgen.errors import DatasetError
from artgen.media import spectrogram
from artgen.training.adam import Adam
from artgen.training.budget import minutes_allowed
from artgen.training.schedule import cosine, warm_up
from artgen.training.task import Batch, Phase, Position, Task

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.backend import Rnn
    from artgen.backends.audio.rnn.codec import Codec
    from artgen.dataset import Dataset

VERSIONS = 4
"""Changed copies of the tape that are learned from besides the tape itself, where it is short."""

MOST_SECONDS = 3600.0
"""Sound that is encoded at most for changed copies."""

ENCODED = 10.0
"""Seconds of sound encoded for changed copies a second of the stage's time, at most: a core encodes about forty a second."""

PIECE_SECONDS = 20.0
PREVIEW_SECONDS = 4.0
_AT_ONCE = 16


class ComposerTask(Task):
    """Predict every code of a window from the frames before it and the codebooks before it."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"val/loss": "lower", "bits_per_second": "lower"}

    def __init__(
        self, moments: Moments, options: Rnn.Train, plan: Recipe, network: dict[str, Any], *, codec: Codec | None, device: str,
        progress: Progress = SILENT,
    ) -> None:  # fmt: skip
        super().__init__()
        self.name, self.share = "composer", 1.0 - plan.share
        self.options, self.plan, self.moments = options, plan, moments
        self.device = device
        # In a function: the loop measures on copies of a task, and a bar cannot be copied.
        self._progress: Callable[[], Progress] = lambda: progress
        self.network = network
        self.composer = Composer(**network["composer"])
        self.averaged = {"composer": self.composer}
        # Not a submodule unless it comes from another model: an earlier stage's is part of that stage.
        kept: dict[str, nn.Module] = {}
        if codec is not None:
            self.codec = codec.requires_grad_(False)
            kept = {"codec": self.codec}
        self.kept = kept  # type: ignore[misc]  # each task has its own
        self.tapes: list[NDArray[np.int16]] = []
        self.held: NDArray[np.int16] | None = None
        self.__dict__["_codec"] = codec  # past nn.Module, which would take it for one more part
        named = list(self.composer.named_parameters())
        self.phases = (Phase("composer", [p for _, p in named], adam, lambda at: schedule(at, plan.composer_rate, plan.batch)),)

    @torch.no_grad()
    def begin(self, dataset: Dataset, earlier: Sequence[Task]) -> None:
        """Encode the tape, changed copies of it, and what is held out."""
        if earlier:
            found = earlier[-1].codec
            assert isinstance(found, nn.Module)
            self.__dict__["_codec"] = found
        codec: Any = self._codec
        codec.to(self.device).eval()
        random = np.random.default_rng(self.options.seed)
        seconds = self.moments.tape.length / self.moments.tape.rate
        changed = self.options.pitch or self.options.stretch
        copies = copies_of(seconds, self._budget) if changed else 0
        progress = self._progress()
        progress.start("encoding", (1 + copies) * seconds, "seconds")
        self.tapes = [self._encoded(codec, self.moments.tape, 0.0, 1.0)]
        for _ in range(copies):
            semitones = float(random.uniform(-1, 1)) * self.options.pitch
            factor = 1 + float(random.uniform(-1, 1)) * self.options.stretch
            self.tapes.append(self._encoded(codec, self.moments.tape, semitones, factor))
        progress.finish()
        if self.moments.held:
            self.held = self._encoded(codec, self.moments.held, 0.0, 1.0)
        shortest = min(tape.shape[1] for tape in self.tapes)
        if shortest < 2:
            raise DatasetError(f"{dataset.folder}: less than two frames of sound to learn from; give more sound")
        self.span = min(self.plan.span, shortest)

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Windows of codes int64 [b, K, span] of the tape and its changed copies."""
        made = np.empty((len(indices), self.composer.codebooks, self.span), np.int64)
        for row, index in enumerate(indices):
            tape = self.tapes[index % len(self.tapes)]
            start = index * (tape.shape[1] - self.span) // max(1, len(self.moments))
            made[row] = tape[:, start : start + self.span]
        return {"codes": torch.from_numpy(made)}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean negative log-likelihood of a code, in nats."""
        with dropped(batch, self.plan.dropout) as share:
            return {"loss": self.composer.loss(batch["codes"], dropout=share).mean()}

    def look_cost(self, size: int) -> float:
        """Reading costs a third of learning; composing a preview and rebuilding excerpts take longer."""
        held = 0 if self.held is None else min(self.held.shape[1], _AT_ONCE * self.span)
        return float(held / (3 * size * self.span) + 8)

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """Nats a code, and bits a second, of held-out sound (else of what is learned from)."""
        nats = self._held_loss()
        codec: Any = self._codec
        bits = nats / math.log(2) * self.composer.codebooks * codec.frame_rate
        found = {"val/loss": nats, "bits_per_second": float(bits)}
        return {name: found[name] for name in names}

    def _held_loss(self) -> float:
        tape = self.tapes[0] if self.held is None else self.held
        span = min(self.span, tape.shape[1])
        count = max(1, min(tape.shape[1] // span, 4 * _AT_ONCE))
        starts = np.linspace(0, tape.shape[1] - span, count).astype(int)
        windows = torch.from_numpy(np.stack([tape[:, start : start + span] for start in starts]).astype(np.int64))
        device = next(self.composer.parameters()).device
        total = 0.0
        for part in torch.split(windows, _AT_ONCE):
            total += float(self.composer.loss(part.to(device)).sum())
        return total / math.prod(windows.shape)

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Artwork]:
        """The spectrogram of a sound composed from the same noise every time, and the sound."""
        from artgen.backends.audio.rnn.sampler import compose, weights_of

        codec: Any = self._codec
        frames = round(PREVIEW_SECONDS * codec.frame_rate)
        codes = compose(weights_of(self.composer), frames, seed=0)
        wave = codec.decode(torch.from_numpy(codes.astype(np.int64))[None].to(next(codec.parameters()).device))
        made = wave[0].cpu().numpy().T.clip(-1, 1).copy()
        yield Image(spectrogram.picture(made, codec.rate, width=640, height=192))
        yield Audio(made, codec.rate)

    @property
    def _budget(self) -> float | None:
        """The seconds that the budget gives this stage, the only one where a codec is brought; None where it is not of time."""
        minutes = minutes_allowed(self.options)
        return None if minutes is None else 60 * minutes * (1.0 if self.kept else self.share)

    def _encoded(self, codec: Codec, tape: Tape, semitones: float, factor: float) -> NDArray[np.int16]:
        """The codes int16 [K, T] of a tape, moved by ``semitones`` and made ``factor`` times as long."""
        from artgen.backends.audio.rnn.streams import encoded

        size = round(PIECE_SECONDS * tape.rate)

        def blocks() -> Iterator[NDArray[np.float32]]:
            for start in range(0, tape.length, size):
                block = tape.read(start, min(size, tape.length - start))
                if tape is self.moments.tape:
                    self._progress().advance(len(block) / tape.rate)
                if semitones or factor != 1:
                    wave = torch.from_numpy(block.T.copy()).to(self.device)
                    block = augment.transposed(wave, semitones, factor).cpu().numpy().T
                yield block

        return encoded(codec, blocks())


def copies_of(seconds: float, budget: float | None) -> int:
    """How many changed copies of a tape of ``seconds`` are learned from in ``budget`` seconds (None: a budget that is not time).

    Getting ready counts as time, so a short training of long sounds learns from the sounds as they are.
    """
    most = MOST_SECONDS if budget is None else min(MOST_SECONDS, ENCODED * budget)
    return min(VERSIONS, int(most / seconds))


class dropped:  # noqa: N801 - used as a function
    """The share of activations to leave out, with torch's own numbers drawn from the batch's seed meanwhile."""

    def __init__(self, batch: Batch, share: float) -> None:
        self.seed, self.share, self.device = batch.seed + batch.start, share, batch.device

    def __enter__(self) -> float:
        devices = [self.device] if self.device.type == "cuda" else []
        self._fork = torch.random.fork_rng(devices=devices)
        self._fork.__enter__()
        torch.manual_seed(self.seed)
        return self.share

    def __exit__(self, *error: object) -> None:
        self._fork.__exit__(None, None, None)


def schedule(at: Position, rate: float, batch: int) -> float:
    """The learning rate: 50 steps of warm-up, then a cosine to a fiftieth."""
    return cosine(at.fraction, rate, rate / 50) * warm_up(at.seen, min(50 * batch, max(1, at.total // 10)))


def adam(parameters: Sequence[nn.Parameter]) -> Adam:
    """AdamW; matrices alone decay."""
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    return Adam([{"params": matrices, "weight_decay": 0.05}, {"params": others}], betas=(0.9, 0.98))
