"""What one training step of ``image.gan`` computes: losses and phases, previews and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from artgen.artwork import Image, grid
from artgen.backends.image.gan import presets
from artgen.backends.image.gan.build import build
from artgen.errors import DatasetError
from artgen.metrics.quick import Reference
from artgen.nn.adversarial import cross_entropy, relativistic
from artgen.nn.augment import DRAWS, Augmentation
from artgen.nn.pixels import to_pixels, to_signal
from artgen.training.adversarial import Places, adam, adapt, classic_adam, penalised, schedule
from artgen.training.schedule import cosine, growth
from artgen.training.task import Batch, Phase, Position, Task

if TYPE_CHECKING:
    from artgen.backends.image.gan.backend import Gan
    from artgen.dataset import Dataset

PREVIEW = (8, 3)
"""Columns and rows of generated pictures on a preview sheet, below one row of real ones."""

MEASURED = {"brief": 400, "sketch": 400}
"""Pictures that a metric is taken of, by preset: in a training of minutes a thousand took a third of the time."""

CHUNK = 50


class PictureTask(Task):
    """What both architectures share: pictures in, preview sheets and metrics out."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"fd_rnd": "lower", "fd": "lower", "swd": "lower"}

    def __init__(self, dataset: Dataset, network: dict[str, Any], preset: str) -> None:
        super().__init__()
        self.network = network
        modules = build(network)
        self.generator, self.discriminator = modules["generator"], modules["discriminator"]
        self.averaged = {"generator": self.generator}
        self.kept = {"discriminator": self.discriminator}  # type: ignore[misc]  # each task keeps its own
        self.measured = MEASURED.get(preset, 1000)
        self._reference: Reference | None = None

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Pictures as signals [b, C, H, W], and their labels [b] for a class-conditional network."""
        data = {"pictures": to_signal(torch.from_numpy(dataset.array("images")[np.asarray(indices)]))}
        if self.network.get("class_counts"):
            assert dataset.labels is not None
            data["labels"] = torch.from_numpy(dataset.labels[np.asarray(indices)])
        return data

    def look_cost(self, size: int) -> float:
        """Making the measured pictures and their features takes a quarter of what learning from as many takes."""
        return self.measured / size / 4

    def sample(self, count: int, seed: int) -> tuple[Tensor, Tensor | None]:
        """``count`` fixed latents and, for a class-conditional network, labels as frequent as in the data."""
        generator = torch.Generator().manual_seed(seed)
        device = next(self.parameters()).device
        latents = torch.randn(count, self.network["latent"], generator=generator).to(device)
        if not (counts := self.network.get("class_counts")):
            return latents, None
        weights = torch.tensor(counts, dtype=torch.float64)
        return latents, torch.multinomial(weights, count, replacement=True, generator=generator).to(device)

    @property
    def whole(self) -> bool:
        """Whether the network has grown to the full size."""
        return True

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
        """The metrics ``names`` of generated pictures against as many real ones; none while the network still grows.

        The stages that are to come make noise of whatever those in use have learnt.
        """
        if not self.whole:
            return {}
        if self._reference is None:
            self._reference = Reference(dataset, items=2 * self.measured)
        values = self._reference.measure(self.pictures(self.measured, 1), names)
        return {name: value for name, value in values.items() if math.isfinite(value)}


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
        super().__init__(dataset, network, options.preset)
        numbers = presets.recipe(options.preset, resolution, len(dataset))
        self.options = options
        self.last = len(network["widths"]) - 1
        self.gamma = numbers.gamma if options.gamma is None else options.gamma
        self.adaptive = options.augment is None
        self.register_buffer("strength", torch.tensor(numbers.strength if options.augment is None else options.augment))
        self.least = numbers.strength / 2
        rate = numbers.learning_rate if options.learning_rate is None else options.learning_rate
        self.generate_defaults = {"truncation": 0.7 if options.preset != "large" else 0.8}  # type: ignore[misc]
        # In turn, and each against pictures of the other as it is now: letting the discriminator learn from what the generator
        # made before its own update saves a tenth of the step and lost most of the variety (docs/log.md).
        self.phases = (
            Phase("discriminator", list(self.discriminator.parameters()), adam, lambda at: schedule(at, rate)),
            Phase("generator", list(self.generator.parameters()), adam, lambda at: schedule(at, rate)),
        )

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The relativistic loss of a phase; for the discriminator with the penalties on real and generated pictures."""
        real, labels = batch["pictures"], batch.get("labels")
        numbers = batch.uniform(2, DRAWS)
        level, fade = self._growth(position)
        real = F.avg_pool2d(real, 2 ** (self.last - level)) if level < self.last else real
        seen = self._augmentation(numbers.transpose(0, 1).flatten(0, 1), real.shape[-1])  # of the real ones, then of the others
        if phase == "generator":
            fake = self.generator(batch.normal(self.network["latent"]), labels, level, fade)
            places = self._places(batch)
            with torch.no_grad():
                ahead = self.discriminator(seen(real, places.real), labels, fade)
            return {"loss": relativistic(self.discriminator(seen(fake, places.fake), labels, fade), ahead)}
        with torch.no_grad():
            fake = self.generator(batch.normal(self.network["latent"]), labels, level, fade)
        logits, penalty = self._penalised(torch.cat([real, fake.to(real.dtype)]), labels, seen, batch, fade)
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

    def _penalised(
        self, both: Tensor, labels: Tensor | None, seen: Augmentation, batch: Batch, fade: float
    ) -> tuple[Tensor, Tensor]:
        """Logits [2B] of real and generated pictures, and R1 + R2, a mean over the batch."""
        twice = None if labels is None else torch.cat([labels, labels])

        def judge(pictures: Tensor, rows: Tensor) -> Tensor:
            logits: Tensor = self.discriminator(seen(pictures, rows), None if twice is None else twice[rows], fade)
            return logits

        return penalised(judge, both, self._places(batch), batch)

    def _places(self, batch: Batch) -> Places:
        return Places.of(batch, self.options.penalty_every)

    def _augmentation(self, numbers: Tensor, size: int) -> Augmentation:
        return Augmentation(numbers, self.strength, size, size, mirror=self.options.mirror)

    def make(self, latents: Tensor, labels: Tensor | None, grown: bool) -> Tensor:
        """Pictures [B, C, H, W] at the full resolution; while growing, and if ``grown``, smaller ones enlarged to it."""
        made: Tensor = self.generator(latents, labels, *(self._growth(self.position) if grown else ()))
        return F.interpolate(made, size=self.network["resolution"], mode="nearest")

    def after(self, phase: str, numbers: dict[str, Tensor], position: Position, size: int) -> None:
        """Adapt the strength of the augmentation."""
        if phase == "discriminator" and self.adaptive:
            adapt(self.strength, numbers["ahead"], self.options.augment_target, self.least, size, position)

    def half_life(self, position: Position) -> float:
        """A fiftieth of the plan, shorter at the beginning, so that the average does not remember the noise of the start."""
        return min(0.05 * position.seen, self.options.ema * position.total)

    @property
    def whole(self) -> bool:
        """Whether the last stage is in use."""
        return self._growth(self.position)[0] == self.last

    def _growth(self, position: Position) -> tuple[int, float]:
        """The stage in use and how far it has faded in."""
        return growth(position.fraction, 1 if self.network["progressive"] else self.last, self.last)


class ClassicTask(PictureTask):
    """The classic recipe: sigmoid cross-entropy, Adam with a first moment of 0.5, no averaging.

    Source: Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional GANs".
    """

    def __init__(self, dataset: Dataset, options: Gan.Train) -> None:
        network = {"architecture": "dcgan", "resolution": resolution_of(dataset), "latent": 100, "class_counts": []}
        super().__init__(dataset, network, options.preset)
        rate = presets.CLASSIC_RATE if options.learning_rate is None else options.learning_rate
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
    """
    return StyleTask(dataset, options) if options.architecture == "style" else ClassicTask(dataset, options)


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
