"""``video.gan3d``: a generative adversarial network of short clips, from minutes on a laptop to hours on GPUs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from artgen.artwork import Artwork, Video
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.backends.video.gan3d import evaluate as evaluation
from artgen.backends.video.gan3d import modify as modification
from artgen.errors import OptionError, UsageError
from artgen.media import prepare_video
from artgen.options import Meta, Options, refuse

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.run import Run
    from artgen.training.task import Task


class Gan3d(Backend):
    """A style-modulated generator with space-time convolutions against a discriminator of clips and one of pictures."""

    modality: ClassVar[str] = "video"
    name: ClassVar[str] = "gan3d"
    summary: ClassVar[str] = "3D generative adversarial network: learns to make short clips from your clips, 32 to 128 pixels."
    source: ClassVar[str] = "Vondrick et al. 2016, 'Generating Videos with Scene Dynamics'; Huang et al. 2024, 'The GAN is dead'"
    metrics: ClassVar[tuple[str, ...]] = ("fd_clip", "fd_frame", "fd_change")

    Prepare: ClassVar[type[Options]] = prepare_video.Prepare
    Evaluate: ClassVar[type[Options]] = evaluation.Evaluate

    class Train(TrainOptions):
        """Options of ``train``."""

        batch_size: Annotated[
            int, Meta(ge=0, le=65536, description="Clips per step, over all processes; 0: by preset.", extra={"unit": "items"})
        ] = 0
        preset: Annotated[
            Literal["sketch", "standard", "large"],
            Meta(description="Size of the networks: sketch for an hour on a CPU, standard for more, large for GPUs."),
        ] = "sketch"
        architecture: Annotated[
            Literal["style", "vgan"], Meta(description="style is the modern network; vgan the plain 3D-GAN of 2016.")
        ] = "style"
        classes: Annotated[bool, Meta(description="Learn the classes of the data, so that generate can be asked for one.")] = True
        progressive: Annotated[bool, Meta(description="Begin with 16-pixel clips and grow the networks to full size.")] = False
        background: Annotated[
            bool, Meta(description="Learn a still background behind what moves, for clips of a camera that stands.")
        ] = False
        mirror: Annotated[bool, Meta(description="Learn from mirrored clips too; switch off for lettering.")] = True
        reverse: Annotated[
            bool, Meta(description="Learn from clips that run backwards too; switch off where that looks wrong.")
        ] = True
        augment: Annotated[float | None, Meta(ge=0, le=1, description="Strength of the augmentation; adaptive when not given.")] = (
            None
        )
        augment_target: Annotated[
            float, Meta(ge=0.5, le=1, description="Share of pairs told apart above which adaptive augmentation grows.")
        ] = 0.75
        learning_rate: Annotated[
            float | None,
            Meta(gt=0, le=1, description="Learning rate at the start, of growing discriminators at most 0.3 of it; by preset when "
                 "not given."),
        ] = None  # fmt: skip
        gamma: Annotated[
            float | None, Meta(ge=0, description="Weight of the gradient penalties at the start; by size when not given.")
        ] = None
        penalty_every: Annotated[
            int, Meta(ge=1, le=64, description="The gradient penalties are taken from every so many-th clip; 1 takes all.")
        ] = 4
        ema: Annotated[
            float, Meta(ge=0, le=1, description="Half-life of the averaged weights, as a share of the run; while growing less.")
        ] = 0.02

        def __post_init__(self) -> None:
            TrainOptions.__post_init__(self)
            if self.architecture != "style":
                refuse(self, ("progressive", "background", "augment", "gamma"), f"--architecture style, not of {self.architecture}")

    class Generate(Options):
        """Options of ``generate``."""

        truncation: Annotated[
            float, Meta(ge=0, le=2, description="Distance from the mean clip: 0 is the mean, 1 the full variety.")
        ] = 0.8
        class_: Annotated[str | None, Meta(description="Make clips of this class, by name or number.")] = None
        seconds: Annotated[
            float | None,
            Meta(gt=0, le=3600, description="Length of a clip; as long as those of the training when not given.",
                 extra={"unit": "seconds"}),
        ] = None  # fmt: skip
        fps: Annotated[
            float | None,
            Meta(gt=0, le=120, description="Frames a second: more of them make the same motion smoother; as in the training "
                 "when not given.", extra={"unit": "frames"}),
        ] = None  # fmt: skip
        loop: Annotated[bool, Meta(description="End where the clip began, so that it can be shown for ever.")] = False
        audio: Annotated[
            str | None,
            Meta(
                description="Sound that drives the motion and is heard in the clip; without --seconds the clip is as long as it.",
                extra={"file": True},
            ),
        ] = None
        reactivity: Annotated[
            float, Meta(ge=0, le=3, description="How strongly motion and truncation follow --audio; 0: not at all.")
        ] = 1.0

        def __post_init__(self) -> None:
            Options.__post_init__(self)
            if self.loop and self.audio is not None:
                raise OptionError("--loop ends where it began, --audio when the sound does; leave one of them out")

    Modify: ClassVar[type[Options]] = modification.Modify

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Cut films into a dataset of clips that every video backend can train on."""
        return prepare_video.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """Generator and discriminators, as :mod:`.build` makes them."""
        from artgen.backends.video.gan3d.build import build

        return build(config)

    def task(self, dataset: Dataset, options: Any) -> Task:
        """Adversarial training of the architecture that is asked for."""
        from artgen.backends.video.gan3d.task import make_task

        return make_task(dataset, options)

    def train(self, dataset: Dataset, run: Run, options: Any, progress: Progress = SILENT) -> Model:
        """In the shared loop, with the batch that the preset asks for."""
        options = options.replace(batch_size=self.settled(options)["batch_size"])
        return super().train(dataset, dataclasses.replace(run, options=options), options, progress)

    def settled(self, options: Any, dataset: Dataset | None = None) -> dict[str, Any]:
        """Batch and learning rate of the preset."""
        from artgen.backends.video.gan3d import presets

        classic = options.architecture == "vgan"
        rate = presets.CLASSIC_RATE if classic else presets.rate(options.preset, options.progressive)
        batch = options.batch_size or presets.batch(options.architecture, options.preset)
        return {"batch_size": batch, "learning_rate": options.learning_rate or rate}

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """Untruncated samples against the real clips."""
        return evaluation.evaluate(self, model, dataset, options, progress)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One clip a seed, of any length."""
        from artgen.backends.video.gan3d.sample import Sampler

        yield from Sampler.of(model, self).clips(seeds, options, progress)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Find each clip in the latent space and change it there."""
        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Video):
                raise UsageError(f"{artwork.name or 'the input'}: gan3d modifies clips, not {artwork.modality}")
            yield modification.modify(self, model, artwork, seed, options, progress)
