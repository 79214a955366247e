"""What one training step of ``image.gan`` computes: losses and phases, previews and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.artwork import Image, grid
from artgen.backends.image.gan import presets
from artgen.backends.image.gan.build import build
from artgen.errors import DatasetError, OptionError
from artgen.metrics.quick import Reference
from artgen.nn.adversarial import cross_entropy, gradient_penalty, relativistic
from artgen.nn.augment import DRAWS, Augmentation
from artgen.nn.pixels import to_pixels, to_signal
from artgen.training.adam import Adam
from artgen.training.schedule import cosine, warm_up
from artgen.training.task import Batch, Phase, Position, Task

if TYPE_CHECKING:
    from artgen.backends.image.gan.backend import Gan
    from artgen.dataset import Dataset

PREVIEW = (8, 3)
"""Columns and rows of generated pictures on a preview sheet, below one row of real ones."""

MEASURED = 1000
CHUNK = 50


class PictureTask(Task):
    """What both architectures share: pictures in, preview sheets and metrics out."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"fd_rnd": "lower", "fd": "lower", "swd": "lower"}

    def __init__(self, dataset: Dataset, network: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        modules = build(network)
        self.generator, self.discriminator = modules["generator"], modules["discriminator"]
        self.averaged = {"generator": self.generator}
        self.kept = {"discriminator": self.discriminator}  # type: ignore[misc]  # each task keeps its own
        self._reference: Reference | None = None

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Pictures as signals [b, C, H, W], and their labels [b] for a class-conditional network."""
        data = {"pictures": to_signal(torch.from_numpy(dataset.array("images")[np.asarray(indices)]))}
        if self.network.get("class_counts"):
            assert dataset.labels is not None
            data["labels"] = torch.from_numpy(dataset.labels[np.asarray(indices)])
        return data

    def sample(self, count: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """``count`` fixed latents and, for a class-conditional network, labels as frequent as in the data."""
        generator = torch.Generator().manual_seed(seed)
        device = next(self.parameters()).device
        latents = torch.randn(count, self.network["latent"], generator=generator).to(device)
        if not (counts := self.network.get("class_counts")):
            return latents, None
        weights = torch.tensor(counts, dtype=torch.float64)
        return latents, torch.multinomial(weights, count, replacement=True, generator=generator).to(device)

    @torch.no_grad()
    def pictures(self, count: int, seed: int, grown: bool = False) -> NDArray[np.uint8]:
        """``count`` pictures uint8 [N, H, W, C] from fixed latents, with the weights that are in place.

        With ``grown`` they are made at the size the network has grown to, and enlarged.
        """
        latents, labels = self.sample(count, seed)
        made = []
        for start in range(0, count, CHUNK):
            rows = slice(start, start + CHUNK)
            made.append(to_pixels(self.make(latents[rows], None if labels is None else labels[rows], grown)))
        return np.concatenate(made)

    def make(self, latents: Tensor, labels: Tensor | None, grown: bool) -> Tensor:
        """Pictures [B, C, H, W] at the full resolution."""
        return self.generator(latents)  # type: ignore[no-any-return]

    def preview(self, dataset: Dataset) -> Iterator[Image]:
        """One sheet: a row of real pictures, then rows of generated ones, as far as the network has grown."""
        columns, rows = PREVIEW
        shown = np.linspace(0, len(dataset) - 1, columns).astype(int)
        made = self.pictures(columns * rows, 0, grown=True)
        yield grid([Image(np.asarray(pixels)) for pixels in (*dataset.array("images")[shown], *made)], columns, rows + 1)

    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """The metrics ``names`` of generated pictures against as many real ones."""
        if self._reference is None:
            self._reference = Reference(dataset, items=max(2 * MEASURED, 2))
        values = self._reference.measure(self.pictures(MEASURED, 1), names)
        return {name: value for name, value in values.items() if math.isfinite(value)}


@dataclass(frozen=True)
class Places:
    """Rows of a slice's real and generated pictures, 2 b in all: of each kind, and of those that the penalty is taken from.

    ``back`` puts what was worked out for ``chosen``, then ``others`` in order; ``number`` of the whole batch are chosen.
    """

    real: Tensor
    fake: Tensor
    chosen: Tensor
    others: Tensor
    back: Tensor
    number: int

    @classmethod
    def of(cls, batch: Batch, every: int) -> Places:
        """Every ``every``-th picture of the whole batch is chosen."""
        kinds = torch.arange(2 * len(batch)).chunk(2)
        turn = torch.arange(batch.start, batch.stop).repeat(2) % every
        split = (turn == 0).nonzero()[:, 0], (turn > 0).nonzero()[:, 0]
        real, fake, chosen, others, back = (rows.to(batch.device) for rows in (*kinds, *split, torch.cat(split).argsort()))
        return cls(real, fake, chosen, others, back, -(-batch.size // every))


class StyleTask(PictureTask):
    """Relativistic adversarial training with R1 and R2 of a style-modulated generator.

    Source: Huang et al. 2024, "The GAN is dead; long live the GAN! A modern GAN baseline", sections 2 and 3.
    """

    strength: Tensor

    def __init__(self, dataset: Dataset, options: Gan.Train) -> None:
        counts: list[int] = []
        if dataset.labels is not None and options.classes:
            counts = [int(number) for number in np.bincount(dataset.labels, minlength=len(dataset.classes))]
        resolution = resolution_of(dataset)
        network = presets.network(
            options.preset, resolution, classes=counts if len(counts) > 1 else [], progressive=options.progressive
        )
        super().__init__(dataset, network)
        numbers = presets.recipe(options.preset, resolution, len(dataset))
        self.options = options
        self.growth: tuple[int | None, float] = (1, 1.0) if options.progressive else (None, 1.0)
        self.last = len(network["widths"]) - 1
        self.gamma = numbers.gamma if options.gamma is None else options.gamma
        self.adaptive = options.augment is None
        self.register_buffer("strength", torch.tensor(numbers.strength if options.augment is None else options.augment))
        self.least = numbers.strength / 2
        rate = numbers.learning_rate if options.learning_rate is None else options.learning_rate
        self.generate_defaults = {"truncation": 0.7 if options.preset != "large" else 0.8}  # type: ignore[misc]
        # The generator first: the discriminator learns from the pictures it made on that occasion.
        self.phases = (
            Phase("generator", list(self.generator.parameters()), adam, lambda at: schedule(at, rate)),
            Phase("discriminator", list(self.discriminator.parameters()), adam, lambda at: schedule(at, rate)),
        )
        self._made: dict[tuple[int, int], Tensor] = {}
        self._known_places: dict[tuple[int, int, int, str], Places] = {}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The relativistic loss of a phase; for the discriminator with the penalties on real and generated pictures."""
        real, labels = batch["pictures"], batch.get("labels")
        numbers = batch.uniform(2, DRAWS)
        level, fade = self.growth = self._growth(position)
        if level is not None:
            real = F.avg_pool2d(real, 2 ** (self.last - level)) if level < self.last else real
        seen = self._augmentation(numbers.transpose(0, 1).flatten(0, 1), real.shape[-1])  # of the real ones, then of the others
        if phase == "generator":
            fake = self.generator(batch.normal(self.network["latent"]), labels, level, fade)
            self._made[batch.start, batch.stop] = fake.detach()
            places = self._places(batch)
            with torch.no_grad():
                ahead = self.discriminator(seen(real, places.real), labels, fade)
            return {"loss": relativistic(self.discriminator(seen(fake, places.fake), labels, fade), ahead)}
        logits, penalty = self._penalised(torch.cat([real, self._fake(batch, labels, real.dtype)]), labels, seen, batch, fade)
        on_real, on_fake = logits.chunk(2)
        loss = relativistic(on_real, on_fake)
        weight = cosine(position.fraction / 0.5, self.gamma, self.gamma / 10)
        return {
            "loss": loss + weight / 2 * penalty,
            "adversarial": loss.detach(),
            "penalty": penalty.detach() / 2,
            "ahead": (on_real > on_fake).float().mean(),
            "augment": self.strength.clone(),
        }

    def _fake(self, batch: Batch, labels: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The pictures that the generator made in its own phase of this step: making others would cost a tenth of the step."""
        fake = self._made.pop((batch.start, batch.stop), None)
        if fake is None:
            with torch.no_grad():
                fake = self.generator(batch.normal(self.network["latent"]), labels, *self.growth)
        return fake.to(dtype)

    def _penalised(
        self, both: Tensor, labels: Tensor | None, seen: Augmentation, batch: Batch, fade: float
    ) -> tuple[Tensor, Tensor]:
        """Logits [2B] of real and generated pictures, and R1 + R2, a mean over the batch.

        The penalty needs a second derivative, three times the work of the rest: every ``penalty_every``-th picture of a batch
        stands for all of them. Which ones depends on the place in the whole batch, so that slices of it add up to the same.
        Source of doing it less often: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", section 3.1.
        """
        places = self._places(batch)
        twice = None if labels is None else torch.cat([labels, labels])

        def judged(pictures: Tensor, rows: Tensor) -> Tensor:
            logits: Tensor = self.discriminator(seen(pictures, rows), None if twice is None else twice[rows], fade)
            return logits

        pieces, penalty = [], torch.zeros((), device=both.device)
        if len(places.chosen):
            leaves = both[places.chosen].requires_grad_(True)
            pieces.append(judged(leaves, places.chosen))
            # A slice adds its part of the mean over the chosen; the loop weighs it by its length.
            penalty = gradient_penalty(pieces[0], leaves).sum() / places.number * (batch.size / len(batch))
        if len(places.others):
            pieces.append(judged(both[places.others], places.others))
        return torch.cat(pieces)[places.back], penalty

    def _places(self, batch: Batch) -> Places:
        """Where the pictures of a slice stand among those of both kinds; the same for every step, so on the device already."""
        key = batch.size, batch.start, batch.stop, str(batch.device)
        if key not in self._known_places:
            self._known_places[key] = Places.of(batch, min(self.options.penalty_every, batch.size))
        return self._known_places[key]

    def _augmentation(self, numbers: Tensor, size: int) -> Augmentation:
        return Augmentation(numbers, self.strength, size, size, mirror=self.options.mirror)

    def make(self, latents: Tensor, labels: Tensor | None, grown: bool) -> Tensor:
        """Pictures [B, C, H, W] at the full resolution; while growing, and if ``grown``, smaller ones enlarged to it."""
        made: Tensor = self.generator(latents, labels, *(self.growth if grown else (None, 1.0)))
        return F.interpolate(made, size=self.network["resolution"], mode="nearest")

    def after(self, phase: str, numbers: dict[str, Tensor], position: Position, size: int) -> None:
        """Strengthen the augmentation while the discriminator is too sure of itself, weaken it while it is not.

        Source: Karras et al. 2020 (ADA), section 3.1; here the sign is that of the relativistic pair.
        """
        if phase == "discriminator" and self.adaptive:
            sure = torch.sign(numbers["ahead"] - self.options.augment_target)
            self.strength.add_(sure * size / max(20_000, position.total / 4)).clamp_(self.least, 0.8)

    def half_life(self, position: Position) -> float:
        """A fiftieth of the plan, shorter at the beginning, so that the average does not remember the noise of the start."""
        return min(0.05 * position.seen, self.options.ema * position.total)

    def _growth(self, position: Position) -> tuple[int | None, float]:
        """The stage in use and how far it has faded in; each resolution gets an equal part of the first 60 percent."""
        if not self.network["progressive"]:
            return None, 1.0
        last = self.last
        place = position.fraction / 0.6 * (last - 1)
        level = min(last, 1 + int(place))
        inside = place - int(place) if level < last else min(1.0, (place - (last - 1)) * 2)
        return level, 1.0 if level == 1 else min(1.0, max(0.05, inside * 2))


class ClassicTask(PictureTask):
    """The classic recipe: sigmoid cross-entropy, Adam with a first moment of 0.5, no averaging.

    Source: Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs".
    """

    def __init__(self, dataset: Dataset, options: Gan.Train) -> None:
        network = {"architecture": "dcgan", "resolution": resolution_of(dataset), "latent": 100, "class_counts": []}
        super().__init__(dataset, network)
        rate = 2e-4 if options.learning_rate is None else options.learning_rate
        self.phases = (
            Phase("discriminator", list(self.discriminator.parameters()), classic_adam, lambda at: rate),
            Phase("generator", list(self.generator.parameters()), classic_adam, lambda at: rate),
        )

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """Cross-entropy towards the right label, or for the generator towards the wrong one."""
        latents = batch.normal(self.network["latent"])
        if phase == "generator":
            return {"loss": cross_entropy(self.discriminator(self.generator(latents)), True)}
        with torch.no_grad():
            fake = self.generator(latents)
        return {"loss": cross_entropy(self.discriminator(batch["pictures"]), True) + cross_entropy(self.discriminator(fake), False)}


def make_task(dataset: Dataset, options: Gan.Train) -> PictureTask:
    """The task for the architecture that is asked for.

    Raises:
        DatasetError: the pictures are not square, or not of a size the networks can be built for.
        OptionError: an option that this architecture does not have.
    """
    if options.architecture == "style":
        return StyleTask(dataset, options)
    if options.progressive:
        raise OptionError("--progressive is an option of --architecture style, not of dcgan; leave one of them out")
    return ClassicTask(dataset, options)


def resolution_of(dataset: Dataset) -> int:
    """The side of the dataset's square pictures.

    Raises:
        DatasetError: as :func:`make_task`.
    """
    height, width = dataset.array("images").shape[1:3]
    if height != width or height not in presets.RESOLUTIONS:
        allowed = ", ".join(map(str, presets.RESOLUTIONS))
        raise DatasetError(
            f"{dataset.folder}: pictures of {width}x{height}; gan learns {allowed}: prepare them with --resolution 64"
        )
    return int(height)


def schedule(at: Position, rate: float) -> float:
    """The learning rate: a short warm-up, then a cosine to a tenth."""
    return cosine(at.fraction, rate, rate / 10) * warm_up(at.seen, 1000)


def adam(parameters: Sequence[nn.Parameter]) -> Adam:
    """Adam without a first moment, which would push a moving opponent's gradient along after it has turned."""
    return Adam([{"params": parameters}], betas=(0.0, 0.99))


def classic_adam(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    """Adam as the classic recipe has it, with the framework's default implementation."""
    return torch.optim.Adam(parameters, betas=(0.5, 0.999))
