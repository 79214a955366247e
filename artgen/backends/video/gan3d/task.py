"""What one training step of ``video.gan3d`` computes: losses and phases, previews and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.artwork import Video
from artgen.backends.video.gan3d import motion as motions
from artgen.backends.video.gan3d import presets
from artgen.backends.video.gan3d.build import build
from artgen.backends.video.gan3d.model import FIRST, Generator
from artgen.errors import DatasetError
from artgen.metrics.quick import Reference
from artgen.nn.adversarial import cross_entropy, relativistic
from artgen.nn.augment import CLIP_DRAWS, DRAWS, Augmentation, ClipAugmentation
from artgen.nn.pixels import clip_pixels, clip_signal
from artgen.training.adversarial import LEAST, Places, adam, adapt, classic_adam, entered, penalised, schedule
from artgen.training.schedule import cosine, growth, penalty_of
from artgen.training.task import Batch, Phase, Position, Task

if TYPE_CHECKING:
    from artgen.backends.video.gan3d.backend import Gan3d
    from artgen.dataset import Dataset

PREVIEW = (6, 3)
"""Columns and rows of generated clips on a preview, below one row of real ones."""

MEASURED = 256
CHUNK = 16
PICTURES = 0.5
"""Weight of the discriminator of pictures beside that of clips."""


class ClipTask(Task):
    """What both architectures share: clips in, moving previews and metrics out."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"fd_clip": "lower", "fd_frame": "lower", "fd_change": "lower"}

    def __init__(self, dataset: Dataset, network: dict[str, Any]) -> None:
        super().__init__()
        self.network = network
        modules = build(network)
        self.generator, self.clip_discriminator = modules["generator"], modules["clip_discriminator"]
        self.averaged = {"generator": self.generator}
        self.kept = {name: module for name, module in modules.items() if name != "generator"}  # type: ignore[misc]  # its own
        self.fps = float(dataset.manifest.notes.get("fps", 12))
        self._references: tuple[Reference, Reference] | None = None

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Clips as bytes [b, C, T, H, W], which cross to the device so, and labels [b] for a class-conditional network."""
        clips = torch.from_numpy(dataset.array("videos")[np.asarray(indices)])
        data = {"clips": clips.permute(0, 4, 1, 2, 3)}
        if self.network.get("class_counts"):
            assert dataset.labels is not None
            data["labels"] = torch.from_numpy(dataset.labels[np.asarray(indices)])
        return data

    def look_cost(self, size: int) -> float:
        """Making the measured clips and the preview takes a third of what learning from as many takes."""
        return MEASURED / size / 3

    @property
    def whole(self) -> bool:
        """Whether the networks have grown to the full size."""
        return True

    @torch.no_grad()
    def clips(self, count: int, seed: int, grown: bool = False) -> NDArray[np.uint8]:
        """``count`` clips uint8 [N, T, H, W, C] from fixed latents, with the weights that are in place.

        With ``grown`` they are made at the size the networks have grown to, and enlarged.
        """
        draws = torch.Generator().manual_seed(seed)
        made = [self.make(min(CHUNK, count - start), draws, grown) for start in range(0, count, CHUNK)]
        return np.concatenate([clip_pixels(clips) for clips in made])

    def make(self, count: int, draws: torch.Generator, grown: bool) -> Tensor:
        """``count`` clips [B, C, T, H, W] in -1..1 at the full size; with ``grown`` as far as the networks have grown."""
        raise NotImplementedError

    def preview(self, dataset: Dataset) -> Iterator[Video]:
        """One moving sheet: a row of real clips, then rows of generated ones, as far as the networks have grown."""
        columns, rows = PREVIEW
        shown = np.linspace(0, len(dataset) - 1, columns).astype(int)
        both = np.concatenate([dataset.array("videos")[shown], self.clips(columns * rows, 0, grown=True)])
        yield Video(sheet(both, columns), fps=self.fps)

    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """The metrics ``names`` of generated clips against as many real ones.

        ``fd_frame`` compares single frames, ``fd_change`` how much pixels change in four frames, both in the features of fixed
        random networks; ``fd_clip`` is their mean. Networks that are still growing are not measured: what is to come makes noise.
        """
        if not self.whole:
            return {}
        if self._references is None:
            chosen = np.random.default_rng(0).permutation(len(dataset))[: 4 * MEASURED]
            real = dataset.array("videos")[np.sort(chosen)]
            self._references = (Reference(dataset, images=frames_of(real)), Reference(dataset, images=changes_of(real)))
        made = self.clips(MEASURED, 1)
        frame = self._references[0].measure(frames_of(made))["fd_rnd"]
        change = self._references[1].measure(changes_of(made))["fd_rnd"]
        values = {"fd_clip": (frame + change) / 2, "fd_frame": frame, "fd_change": change}
        return {name: values[name] for name in names if np.isfinite(values[name])}


def frames_of(clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two frames a clip, [2N, H, W, 3], from a quarter and three quarters of it."""
    frames = clips.shape[1]
    return _rgb(np.concatenate([clips[:, frames // 4], clips[:, 3 * frames // 4]]))


def changes_of(clips: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How much pixels change in four frames, as pictures about mid-grey, [2N, H, W, 3]."""
    frames, step = clips.shape[1], 4
    starts = (0, frames - 1 - step)
    found = [(clips[:, at + step].astype(np.int16) - clips[:, at] + 256) // 2 for at in starts]
    return _rgb(np.concatenate(found).astype(np.uint8).clip(0, 255))


def _rgb(pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(pictures, 3, axis=3) if pictures.shape[3] == 1 else pictures[..., :3]


def sheet(clips: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Clips [N, T, H, W, C] side by side, row by row, as one [T, ...]; places left over stay white."""
    count, frames, height, width, channels = clips.shape
    rows = -(-count // columns)
    laid = np.full((rows * columns, frames, height, width, channels), 255, np.uint8)
    laid[:count] = clips
    laid = laid.reshape(rows, columns, frames, height, width, channels).transpose(2, 0, 3, 1, 4, 5)
    return _rgb(laid.reshape(frames, rows * height, columns * width, channels))


class StyleTask(ClipTask):
    """Relativistic adversarial training with R1 and R2, against a discriminator of clips and one of single frames.

    Source: Huang et al. 2024, "The GAN is dead; long live the GAN!", sections 2 and 3; two discriminators: Tulyakov et al. 2018,
    "MoCoGAN", section 3.
    """

    strength: Tensor

    def __init__(self, dataset: Dataset, options: Gan3d.Train) -> None:
        counts: list[int] = []
        if dataset.labels is not None and options.classes:
            counts = [int(number) for number in np.bincount(dataset.labels, minlength=len(dataset.classes))]
        frames, resolution, channels = shape_of(dataset)
        network = presets.network(
            options.preset, resolution, frames, channels=channels, classes=counts if len(counts) > 1 else [],
            background=options.background, progressive=options.progressive,
        )  # fmt: skip
        super().__init__(dataset, network)
        self.picture_discriminator = self.kept["picture_discriminator"]
        numbers = presets.recipe(options.preset, resolution, frames, len(dataset), progressive=options.progressive)
        self.options = options
        self.frames = frames
        assert isinstance(self.generator, Generator)
        self.last = self.generator.levels - 1
        steps = self.generator.steps(frames)
        self.moments = tuple(float(step) for step in range(steps.start, steps.stop))
        self.noises = motions.Span.around(self.moments[0], self.moments[-1])
        scale = 1.0 if options.gamma is None else options.gamma / numbers.gammas[0]
        self.gammas = (numbers.gammas[0] * scale, numbers.gammas[1] * scale)
        self.adaptive = options.augment is None
        self.count = len(dataset)
        self.register_buffer("strength", torch.tensor(numbers.strength if options.augment is None else options.augment))
        self.least = numbers.strength / 2
        rate = numbers.learning_rate if options.learning_rate is None else options.learning_rate
        self.generate_defaults = {"truncation": 0.8, "fps": self.fps}  # type: ignore[misc]
        both = [*self.clip_discriminator.parameters(), *self.picture_discriminator.parameters()]
        most = presets.JUDGES * rate if options.progressive else rate
        warming = presets.WARMING * (options.batch_size or presets.batch(options.architecture, options.preset))
        # In turn, each against the other as it is now: updates at once made the picture GAN collapse (docs/log.md).
        self.phases = (
            Phase("discriminator", both, adam, lambda at: min(schedule(at, rate, warming), most)),
            Phase("generator", list(self.generator.parameters()), adam, lambda at: schedule(at, rate, warming)),
        )

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The relativistic losses of a phase; for the discriminators with the penalties on real and generated items."""
        grown = self._grown(position)
        real, labels = self._pooled(clip_signal(batch["clips"]), grown[0]), batch.get("labels")
        places = Places.of(batch, self.options.penalty_every)
        moment = batch.uniform()
        on_clips = self._side(batch.uniform(2, CLIP_DRAWS), self.clip_discriminator, labels, position, clips=True)
        on_pictures = self._side(batch.uniform(2, DRAWS), self.picture_discriminator, labels, position, clips=False)
        if phase == "generator":
            fake = self._generate(batch, labels, grown)
            loss = on_clips.beaten(real, fake, places)
            pictures = on_pictures.beaten(frame(real, moment), frame(fake, moment), places)
            return {"loss": loss + PICTURES * pictures}
        with torch.no_grad():
            fake = self._generate(batch, labels, grown).to(real.dtype)
        loss, penalty, ahead = on_clips.apart(real, fake, places, batch)
        loss_pictures, penalty_pictures, ahead_pictures = on_pictures.apart(frame(real, moment), frame(fake, moment), places, batch)
        # A growing judge of small clips would be flattened by the penalty of large ones: it told nothing apart (docs/log.md).
        fading = cosine(position.fraction / 0.5, 1.0, 0.1) / 2 * penalty_of(real.shape[-1], self.network["resolution"])
        weighed = self.gammas[0] * penalty + PICTURES * self.gammas[1] * penalty_pictures
        return {
            "loss": loss + PICTURES * loss_pictures + fading * weighed,
            "adversarial": loss.detach(),
            "adversarial_pictures": loss_pictures.detach(),
            "penalty": penalty.detach() / 2,
            "ahead": ahead,
            "ahead_pictures": ahead_pictures,
            "augment": self._strength(position).clone(),
        }

    @property
    def whole(self) -> bool:
        """Whether the last stage is in use."""
        return self._grown(self.position)[0] == self.last

    def _grown(self, position: Position) -> tuple[int, float]:
        """The stage in use and how far it has faded in."""
        return growth(position.fraction, FIRST if self.options.progressive else self.last, self.last)

    def _pooled(self, clips: Tensor, level: int) -> Tensor:
        """Clips [b, C, T, H, W] as small as those of stage ``level``."""
        times = 2 ** (self.last - level)
        return F.avg_pool3d(clips, (1, times, times)) if times > 1 else clips

    def _generate(self, batch: Batch, labels: Tensor | None, grown: tuple[int, float]) -> Tensor:
        """Clips [b, C, T, H, W] from random latents, as large as the networks are grown."""
        latents = batch.normal(self.network["latent"])
        noise = batch.normal(len(self.noises), motions.NOISES)
        motion = motions.motion(noise, batch.uniform(motions.OSCILLATORS, 2), self.moments, self.noises.start)
        clips: Tensor = self.generator(latents, motion, labels, self.frames, *grown)
        return clips

    def _side(self, numbers: Tensor, judge: nn.Module, labels: Tensor | None, position: Position, *, clips: bool) -> Side:
        """What ``judge`` sees of both kinds through the augmentations that ``numbers`` [b, 2, …] draw."""
        both = numbers.transpose(0, 1).flatten(0, 1)  # of the real ones, then of the others
        (level, fade), strength = self._grown(position), self._strength(position)
        size, mirror = 4 * 2**level, self.options.mirror
        if clips:
            seen: Augmentation = ClipAugmentation(
                both, strength, self.frames, size, size, mirror=mirror, reverse=self.options.reverse, recolour=False
            )
        else:
            seen = Augmentation(both, strength, size, size, mirror=mirror, recolour=False)
        return Side(judge, seen, None if labels is None else torch.cat([labels, labels]), fade)

    def make(self, count: int, draws: torch.Generator, grown: bool) -> Tensor:
        """``count`` clips [B, C, T, H, W]; of a class-conditional network with labels as frequent as in the data."""
        device = next(self.parameters()).device
        latents = torch.randn(count, self.network["latent"], generator=draws).to(device)
        noise = torch.randn(count, len(self.noises), motions.NOISES, generator=draws)
        turns = torch.rand(count, motions.OSCILLATORS, 2, generator=draws)
        motion = motions.motion(noise, turns, self.moments, self.noises.start).to(device)
        labels = None
        if counts := self.network["class_counts"]:
            weights = torch.tensor(counts, dtype=torch.float64)
            labels = torch.multinomial(weights, count, replacement=True, generator=draws).to(device)
        clips: Tensor = self.generator(latents, motion, labels, self.frames, *(self._grown(self.position) if grown else ()))
        size = self.network["resolution"]
        return F.interpolate(clips, (self.frames, size, size), mode="nearest")

    def _strength(self, position: Position) -> Tensor:
        """The strength of the augmentation now; one that was asked for is there from the beginning."""
        return self.strength * entered(position, self.count) if self.adaptive else self.strength

    def after(self, phase: str, numbers: dict[str, Tensor], position: Position, size: int) -> None:
        """Adapt the strength of the augmentation."""
        if phase == "discriminator" and self.adaptive:
            counting = size * entered(position, self.count)
            adapt(self.strength, numbers["ahead"], self.options.augment_target, self.least, counting, position)

    def half_life(self, position: Position) -> float:
        """A share of the plan, shorter at the beginning, so that the average does not remember the noise of the start.

        The fast networks that grow wander so far in that time that their average is none of them and draws grey clips
        (docs/log.md): there the share is reached at the end alone, as the rate has come down.
        """
        settled = LEAST / cosine(position.fraction, 1.0, LEAST) if self.options.progressive else 1.0
        return min(0.05 * position.seen, self.options.ema * position.total * settled)


@dataclass(frozen=True)
class Side:
    """A discriminator with the augmentation it looks through, for the real and the generated items of a slice, 2 b in all."""

    judge: nn.Module
    seen: Augmentation
    labels: Tensor | None
    fade: float

    def logits(self, items: Tensor, rows: Tensor) -> Tensor:
        """The logits of the items in ``rows``."""
        found: Tensor = self.judge(self.seen(items, rows), None if self.labels is None else self.labels[rows], self.fade)
        return found

    def beaten(self, real: Tensor, fake: Tensor, places: Places) -> Tensor:
        """The loss of the generator."""
        with torch.no_grad():
            ahead = self.logits(real, places.real)
        return relativistic(self.logits(fake, places.fake), ahead)

    def apart(self, real: Tensor, fake: Tensor, places: Places, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """The loss of the discriminator, its penalty, and the share of pairs that it tells apart."""
        logits, penalty = penalised(self.logits, torch.cat([real, fake]), places, batch)
        on_real, on_fake = logits.chunk(2)
        return relativistic(on_real, on_fake), penalty, (on_real > on_fake).float().mean()


def frame(clips: Tensor, moment: Tensor) -> Tensor:
    """The frame [B, C, H, W] of each clip that ``moment`` [B] in 0..1 chooses."""
    chosen = F.one_hot((moment * clips.shape[2]).long(), clips.shape[2]).to(clips.dtype)
    # A product: the derivative of an index would have to be sorted to be the same every time on a GPU.
    return torch.einsum("bt,bcthw->bchw", chosen, clips)


class ClassicTask(ClipTask):
    """The classic recipe: sigmoid cross-entropy, Adam with a first moment of 0.5, no averaging.

    Source: Vondrick et al. 2016, "Generating Videos with Scene Dynamics", section 3.
    """

    def __init__(self, dataset: Dataset, options: Gan3d.Train) -> None:
        frames, resolution, channels = shape_of(dataset)
        network = {
            "architecture": "vgan", "resolution": resolution, "frames": frames, "channels": channels, "latent": 100,
            "width": presets.CLASSIC, "class_counts": [],
        }  # fmt: skip
        super().__init__(dataset, network)
        self.generate_defaults = {"fps": self.fps}  # type: ignore[misc]
        rate = presets.CLASSIC_RATE if options.learning_rate is None else options.learning_rate
        self.phases = (
            Phase("discriminator", list(self.clip_discriminator.parameters()), classic_adam, lambda at: rate),
            Phase("generator", list(self.generator.parameters()), classic_adam, lambda at: rate),
        )

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """Cross-entropy towards the right label, or for the generator towards the wrong one."""
        latents, judge = batch.normal(self.network["latent"]), self.clip_discriminator
        if phase == "generator":
            return {"loss": cross_entropy(judge(self.generator(latents)), True)}
        with torch.no_grad():
            fake = self.generator(latents)
        return {"loss": cross_entropy(judge(clip_signal(batch["clips"])), True) + cross_entropy(judge(fake), False)}

    def make(self, count: int, draws: torch.Generator, grown: bool) -> Tensor:
        """``count`` clips [B, C, T, H, W]."""
        latents = torch.randn(count, self.network["latent"], generator=draws)
        clips: Tensor = self.generator(latents.to(next(self.parameters()).device))
        return clips


def make_task(dataset: Dataset, options: Gan3d.Train) -> ClipTask:
    """The task for the architecture that is asked for.

    Raises:
        DatasetError: the clips are not of a shape that the networks can be built for.
    """
    return StyleTask(dataset, options) if options.architecture == "style" else ClassicTask(dataset, options)


def shape_of(dataset: Dataset) -> tuple[int, int, int]:
    """Frames, side and channels of the dataset's clips.

    Raises:
        DatasetError: as :func:`make_task`.
    """
    frames, height, width, channels = dataset.array("videos").shape[1:]
    if height != width or height not in presets.RESOLUTIONS:
        allowed = ", ".join(map(str, presets.RESOLUTIONS))
        raise DatasetError(
            f"{dataset.folder}: clips of {width}x{height}; gan3d learns {allowed} pixels: prepare them with --resolution 64"
        )
    least, most = presets.FRAMES
    if frames % 4 or not least <= frames <= most:
        raise DatasetError(
            f"{dataset.folder}: clips of {frames} frames; gan3d learns multiples of 4 from {least} to {most}: "
            "prepare them with --frames 16"
        )
    return int(frames), int(height), int(channels)
