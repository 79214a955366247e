"""``image.gan``: a generative adversarial network, from minutes on a laptop to hours on GPUs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from artgen.artwork import Artwork, Image
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.backends.image.gan import evaluate as evaluation
from artgen.backends.image.gan import modify as modification
from artgen.errors import OptionError, UsageError
from artgen.media import prepare_image
from artgen.options import Meta, Options, refuse

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.run import Run
    from artgen.training.task import Task

FPS = 25.0


class Gan(Backend):
    """A style-modulated generator against a convolutional discriminator."""

    modality: ClassVar[str] = "image"
    name: ClassVar[str] = "gan"
    summary: ClassVar[str] = "Generative adversarial network: trains on your pictures in minutes, 32 to 256 pixels."
    source: ClassVar[str] = "Huang et al. 2024, 'The GAN is dead; long live the GAN!'; Karras et al. 2019 (StyleGAN)"
    metrics: ClassVar[tuple[str, ...]] = ("fd_rnd", "fd", "swd")

    Prepare: ClassVar[type[Options]] = prepare_image.Prepare

    class Train(TrainOptions):
        """Options of ``train``."""

        batch_size: Annotated[
            int, Meta(ge=0, le=65536, description="Pictures per step, over all processes; 0: by preset.", extra={"unit": "items"})
        ] = 0
        preset: Annotated[
            Literal["brief", "sketch", "standard", "compact", "large"],
            Meta(
                description="Size of the networks: brief for ten minutes on a CPU, sketch for an hour, "
                "standard for more, compact for a small file from a GPU, large for GPUs."
            ),
        ] = "sketch"
        architecture: Annotated[
            Literal["style", "dcgan"], Meta(description="style is the modern network; dcgan the classic one of 2016.")
        ] = "style"
        classes: Annotated[bool, Meta(description="Learn the classes of the data, so that generate can be asked for one.")] = True
        progressive: Annotated[bool, Meta(description="Begin with 8-pixel pictures and grow the networks to full size.")] = False
        mirror: Annotated[bool, Meta(description="Learn from mirrored pictures too; switch off for lettering.")] = True
        augment: Annotated[float | None, Meta(ge=0, le=1, description="Strength of the augmentation; adaptive when not given.")] = (
            None
        )
        augment_target: Annotated[
            float, Meta(ge=0.5, le=1, description="Share of pairs told apart above which adaptive augmentation grows.")
        ] = 0.75
        learning_rate: Annotated[
            float | None, Meta(gt=0, le=1, description="Learning rate at the start; by preset when not given.")
        ] = None
        gamma: Annotated[
            float | None,
            Meta(ge=0, description="Weight of the gradient penalties at the start; by preset and resolution when not given."),
        ] = None
        penalty_every: Annotated[
            int, Meta(ge=1, le=64, description="The gradient penalties are taken from every so many-th picture; 1 takes all.")
        ] = 4
        ema: Annotated[float, Meta(ge=0, le=1, description="Half-life of the averaged weights, as a share of the run.")] = 0.02

        def __post_init__(self) -> None:
            TrainOptions.__post_init__(self)
            if self.architecture != "style":
                refuse(self, ("progressive", "augment", "gamma"), f"--architecture style, not of {self.architecture}")

    class Generate(Options):
        """Options of ``generate``."""

        truncation: Annotated[
            float, Meta(ge=0, le=2, description="Distance from the mean picture: 0 is the mean, 1 the full variety.")
        ] = 0.7
        class_: Annotated[str | None, Meta(description="Make pictures of this class, by name or number.")] = None
        walk: Annotated[
            float | None,
            Meta(gt=0, le=3600, description="Make one film that passes the pictures of all seeds.", extra={"unit": "seconds"}),
        ] = None
        fps: Annotated[float, Meta(gt=0, le=120, description="Frames a second of a walk.", extra={"unit": "frames"})] = FPS
        audio: Annotated[
            str | None,
            Meta(
                description="Sound that drives the walk and is heard in the film; without --walk the film is as long as it.",
                extra={"file": True},
            ),
        ] = None
        reactivity: Annotated[
            float, Meta(ge=0, le=3, description="How strongly speed and truncation of a walk follow --audio; 0: not at all.")
        ] = 1.0

        def __post_init__(self) -> None:
            Options.__post_init__(self)
            if self.fps != FPS and self.walk is None and self.audio is None:
                raise OptionError(f"--fps {self.fps:g} is about a film; give --walk 10s too")
            if self.reactivity != 1 and self.audio is None:
                raise OptionError(f"--reactivity {self.reactivity:g} is about --audio; give --audio with a sound too")

    Modify: ClassVar[type[Options]] = modification.Modify
    Evaluate: ClassVar[type[Options]] = evaluation.Evaluate

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Decode pictures into a dataset that every image backend can train on."""
        return prepare_image.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """Generator and discriminator, as :mod:`.build` makes them."""
        from artgen.backends.image.gan.build import build

        return build(config)

    def task(self, dataset: Dataset, options: Any) -> Task:
        """Adversarial training of the architecture that is asked for."""
        from artgen.backends.image.gan.task import make_task

        return make_task(dataset, options)

    def train(self, dataset: Dataset, run: Run, options: Any, progress: Progress = SILENT) -> Model:
        """In the shared loop, with the batch that the preset asks for."""
        options = options.replace(batch_size=self.settled(options)["batch_size"])
        return super().train(dataset, dataclasses.replace(run, options=options), options, progress)

    def settled(self, options: Any, dataset: Dataset | None = None) -> dict[str, Any]:
        """Batch and learning rate of the preset; with the dataset the weight of the penalty too."""
        from artgen.backends.image.gan import presets

        found: dict[str, Any] = {"batch_size": options.batch_size or presets.batch(options.architecture, options.preset)}
        if options.architecture == "dcgan":
            return {**found, "learning_rate": options.learning_rate or presets.CLASSIC_RATE}
        resolution = int(dataset.array("images").shape[1]) if dataset is not None else presets.RESOLUTIONS[0]
        numbers = presets.recipe(options.preset, resolution, 1 if dataset is None else len(dataset))
        found["learning_rate"] = options.learning_rate or numbers.learning_rate
        if dataset is not None:
            found["gamma"] = numbers.gamma if options.gamma is None else options.gamma
        return found

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One picture a seed; with ``walk`` or ``audio`` one film for all seeds."""
        from artgen.backends.image.gan.sample import Sampler

        sampler = Sampler.of(model, self)
        if self.together(options):
            yield sampler.walk(seeds, options, progress)
            return
        yield from sampler.pictures(seeds, options)

    def together(self, options: Any) -> bool:
        """A walk is one film."""
        return options.walk is not None or options.audio is not None

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Find each picture in the latent space and change it there."""
        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Image):
                raise UsageError(f"{artwork.name or 'the input'}: gan modifies pictures, not {artwork.modality}")
            yield modification.modify(self, model, artwork, seed, options, progress)

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """Untruncated samples against the real pictures."""
        return evaluation.evaluate(self, model, dataset, options, progress)
