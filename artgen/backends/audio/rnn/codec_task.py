"""The first stage: what one training step of the codec computes, and how well it rebuilds held-out sounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artgen.artwork import Artwork, Audio, Image
from artgen.backends.audio.rnn import augment, spectral
from artgen.backends.audio.rnn.codec import Codec
from artgen.backends.audio.rnn.presets import Recipe
from artgen.backends.audio.rnn.quantiser import SPARE, Follower
from artgen.backends.audio.rnn.tape import STEP, Moments
from artgen.media import spectrogram
from artgen.metrics import sounds
from artgen.training.adam import Adam
from artgen.training.schedule import cosine, warm_up
from artgen.training.task import Batch, Phase, Position, Task

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.backend import Rnn
    from artgen.dataset import Dataset

SETS = ((2048, 512, 128), (1024, 256))
"""Windows of the loss, one of the sets a step in turn: half the work, and every window is learned from."""

COMMITMENT = 0.25
LOGARITHMIC = 0.05
"""Weight of the log-spectral distance, which is in decibels."""

REVIVED = 0.7
"""The share of the plan up to which unused entries of codebooks are given new places."""

EXCERPTS = 6
EXCERPT_SECONDS = 4.0
_FIRST = 64  # crops that the codebooks begin with


class CodecTask(Task):
    """Rebuild crops of sound through the codebooks: distances of spectra at several resolutions, and commitment."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"mr-stft": "lower", "lsd": "lower"}

    def __init__(self, moments: Moments, options: Rnn.Train, plan: Recipe, network: dict[str, Any]) -> None:
        super().__init__()
        self.name, self.share = "codec", plan.share
        self.options, self.plan, self.moments = options, plan, moments
        self.network = {"codec": network}
        self.codec = Codec(**network)
        self.follower = Follower(self.codec.quantiser)
        self.averaged = {"codec": self.codec}
        self.count = plan.crop * self.codec.hop
        self.taken = int(np.ceil(self.count * augment.reach(options.pitch))) + 32
        parameters = list(self.codec.parameters())
        self.phases = (Phase("codec", parameters, adam, lambda at: schedule(at, plan.codec_rate, plan.batch)),)

    @torch.no_grad()
    def begin(self, dataset: Dataset, earlier: Sequence[Task]) -> None:
        """Start the codebooks where the untrained encoder puts real sounds."""
        generator = torch.Generator().manual_seed(self.options.seed)
        places = torch.randint(len(self.moments), (_FIRST,), generator=generator).tolist()
        device = next(self.parameters()).device
        latents = self.codec.latents(signal(self.load(dataset, places)["waves"].to(device))[..., : self.count])
        self.follower.begin(self.codec.quantiser, latents.flatten(0, 1), generator)

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Crops int16 [b, N, C] that begin at the moments ``indices``, and where sounds are mixed, ``others`` from far away."""
        places, tape = np.asarray(indices, np.int64) * STEP, self.moments.tape
        data = {"waves": torch.from_numpy(tape.crops(places, self.taken))}
        if self.options.mixing:
            data["others"] = torch.from_numpy(tape.crops(places * 7919 + tape.length // 3, self.count))
        return data

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The distances between crops, varied at random, and what the codec makes of them."""
        draws = batch.uniform(augment.DRAWS)
        waves, others = signal(batch["waves"]), batch.get("others")
        with torch.no_grad(), torch.autocast(batch.device.type, enabled=False):
            real = augment.varied(
                waves, waves if others is None else signal(others), self.count, draws, semitones=self.options.pitch,
                gain=self.options.gain, polarity=self.options.polarity, mixing=self.options.mixing,
            )  # fmt: skip
        latents = self.codec.latents(real)
        with torch.autocast(batch.device.type, enabled=False):
            found = self.codec.quantise(latents)
            if self.training:
                self.follower.note(found, draws_of(batch))
        made = self.codec.sound(found.latents)
        with torch.autocast(batch.device.type, enabled=False):
            distance, logs = spectral.distances(real.flatten(0, 1), made.flatten(0, 1), SETS[batch.seed % len(SETS)])
        loss = distance.mean() + LOGARITHMIC * logs.mean() + COMMITMENT * found.commitment
        return {"loss": loss, "stft": distance.mean().detach(), "commitment": found.commitment.detach()}

    def after(self, phase: str, numbers: dict[str, Tensor], position: Position, size: int) -> None:
        """Let the codebooks follow what they were used for in this step."""
        self.follower.follow(self.codec.quantiser, revive=position.fraction < REVIVED)

    def look_cost(self, size: int) -> float:
        """Excerpts are rebuilt and measured by numpy: about as slow as a step for as much sound."""
        seconds = EXCERPTS * EXCERPT_SECONDS
        return 2 * seconds * self.codec.frame_rate / (size * self.plan.crop)

    @torch.no_grad()
    def rebuilt(self, most: int = EXCERPTS) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Excerpts [N, C] of held-out sound (else of what is learned from), each with what the codec makes of it."""
        return list(rebuilt(self.codec, self.moments, most))

    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """How far rebuilt excerpts are from the originals."""
        return measured(self.rebuilt(), names)

    def preview(self, dataset: Dataset) -> Iterator[Artwork]:
        """Spectrograms of an excerpt and of what the codec makes of it, and that as a sound."""
        yield from comparison(self.rebuilt(1), self.codec.rate)


def signal(crops: Tensor) -> Tensor:
    """Crops int16 [b, N, C] as sounds [b, C, N] from -1 to 1."""
    return crops.transpose(1, 2).float() / 32768


def draws_of(batch: Batch) -> Tensor:
    """Uniform numbers [SPARE] that pick latents of a batch."""
    return torch.rand(SPARE, generator=torch.Generator().manual_seed(batch.seed)).to(batch.device)


@torch.no_grad()
def rebuilt(
    codec: Codec, moments: Moments, most: int = EXCERPTS
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:  # fmt: skip
    """Excerpts [N, C] of held-out sound, evenly spread, each with what the codec makes of it."""
    tape = moments.held or moments.tape
    frames = max(1, round(min(EXCERPT_SECONDS * codec.rate, tape.length) / codec.hop))
    device = next(codec.parameters()).device
    for number in range(most):
        start = int(number * tape.length / most)
        real = tape.read(start, frames * codec.hop)
        wave = torch.from_numpy(real.T.copy())[None].to(device)
        yield real, codec.decode(codec.encode(wave))[0].cpu().numpy().T.copy()


def measured(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], names: Sequence[str]) -> dict[str, float]:
    """The distances ``names`` of :mod:`artgen.metrics.sounds`, means over pairs of original and rebuilt."""
    ways = {"mr-stft": sounds.stft_distance, "lsd": sounds.log_spectral_distance}
    return {name: float(np.mean([ways[name](*pair) for pair in pairs])) for name in names if name in ways}


def comparison(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], rate: int) -> Iterator[Artwork]:
    """A sheet with spectrograms of originals and rebuilt sounds, and the rebuilt ones."""
    shown = [(name, side) for pair in pairs for name, side in zip(("original", "rebuilt"), pair, strict=True)]
    yield Image(spectrogram.contact_sheet(shown, rate, columns=2))
    for _, made in pairs:
        yield Audio(made.clip(-1, 1), rate)


def schedule(at: Position, rate: float, batch: int) -> float:
    """The learning rate: 50 steps of warm-up, then a cosine to a hundredth."""
    return cosine(at.fraction, rate, rate / 100) * warm_up(at.seen, min(50 * batch, max(1, at.total // 10)))


def adam(parameters: Sequence[torch.nn.Parameter]) -> Adam:
    """AdamW with little memory; matrices alone decay."""
    matrices = [parameter for parameter in parameters if parameter.ndim == 2]
    others = [parameter for parameter in parameters if parameter.ndim != 2]
    return Adam([{"params": matrices, "weight_decay": 0.01}, {"params": others}], betas=(0.8, 0.99))
