"""``audio.rnn``: a recurrent network over the codes of a small neural codec."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from artgen.artwork import Artwork
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.backends.audio.rnn import evaluate as evaluation
from artgen.backends.audio.rnn import modify as modification
from artgen.backends.audio.rnn import sample
from artgen.media import prepare_audio
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.run import Run
    from artgen.training.task import Task


class Rnn(Backend):
    """A recurrent network over the codes of a small neural codec."""

    modality: ClassVar[str] = "audio"
    name: ClassVar[str] = "rnn"
    summary: ClassVar[str] = "Recurrent network over a neural codec: composes sound like yours, far faster than it plays."
    source: ClassVar[str] = "Feng et al. 2024, 'Were RNNs All We Needed?'; Siuzdak 2023 (Vocos)"
    metrics: ClassVar[tuple[str, ...]] = ("val/loss", "bits_per_second", "mr-stft", "lsd")

    Prepare: ClassVar[type[Options]] = prepare_audio.Prepare

    class Train(TrainOptions):
        """Options of ``train``."""

        batch_size: Annotated[
            int, Meta(ge=0, le=65536, description="Windows per step, over all processes; 0: by preset.", extra={"unit": "items"})
        ] = 0
        preset: Annotated[
            Literal["auto", "sketch", "standard", "large"],
            Meta(
                description="Size of both networks: sketch for minutes on a CPU, standard for more, large for a GPU; auto by "
                "the budget."
            ),
        ] = "auto"
        representation: Annotated[
            Literal["codec", "mulaw"],
            Meta(
                description="What the network composes in: the codes of a neural codec, or 8-bit samples at 8 kHz one by one, "
                "the plainest way, to compare."
            ),
        ] = "codec"
        codec: Annotated[
            str | None,
            Meta(description="Use the codec of this model (a folder, a run, a starter, one of another backend) and train none."),
        ] = None
        codec_minutes: Annotated[
            float | None, Meta(gt=0, description="The codec's part of --minutes; half when not given.", extra={"unit": "minutes"})
        ] = None  # fmt: skip
        codes: Annotated[
            int | None, Meta(ge=1, le=8, description="Codes a frame: more sound better and are harder to compose; by preset.")
        ] = None
        pitch: Annotated[
            float, Meta(ge=0, le=12, description="How far sounds are moved up or down while learning.", extra={"unit": "semitones"})
        ] = 1.0
        stretch: Annotated[
            float, Meta(ge=0, le=0.5, description="How much longer or shorter sounds are made while learning, as a share.")
        ] = 0.05
        gain: Annotated[
            float, Meta(ge=0, le=40, description="How far the volume changes while the codec learns.", extra={"unit": "dB"})
        ] = 6.0
        polarity: Annotated[bool, Meta(description="Turn sounds upside down at random while the codec learns.")] = True
        mixing: Annotated[
            float, Meta(ge=0, le=1, description="Share of sounds that get another one behind them while the codec learns.")
        ] = 0.1
        dropout: Annotated[
            float | None, Meta(ge=0, lt=1, description="Share of activations the composer leaves out while learning; by preset.")
        ] = None
        learning_rate: Annotated[
            float | None, Meta(gt=0, le=1, description="Learning rate at its highest, of both networks; by preset.")
        ] = None

    Generate: ClassVar[type[Options]] = sample.Generate
    Modify: ClassVar[type[Options]] = modification.Modify
    Evaluate: ClassVar[type[Options]] = evaluation.Evaluate

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Decode sounds into a dataset that every audio backend can train on."""
        return prepare_audio.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """Both networks, as :mod:`.build` makes them."""
        from artgen.backends.audio.rnn.build import build

        return build(config)

    def task(self, dataset: Dataset, options: Any) -> list[Task]:
        """The stages: the codec, then the composer of its codes; or the plain network alone."""
        from artgen.backends.audio.rnn.settle import make_tasks, settled
        from artgen.backends.audio.rnn.tape import Moments

        return make_tasks(Moments(dataset), options, settled(options), "cpu")

    def settled(self, options: Any, dataset: Dataset | None = None) -> dict[str, Any]:
        """The recipe, which hangs on the budget alone."""
        from artgen.backends.audio.rnn.settle import told

        return told(options)

    def demands(self, options: Any) -> dict[str, Any]:
        """Sounds like those of the codec that is brought."""
        from artgen.backends.audio.rnn.settle import demanded

        return demanded(options)

    def train(self, dataset: Dataset, run: Run, options: Any, progress: Progress = SILENT) -> Model:
        """Settle the recipe (a run that goes on keeps its own), then train both stages in the shared loop."""
        from artgen.backends.audio.rnn.settle import make_tasks, recall
        from artgen.backends.audio.rnn.tape import Moments
        from artgen.training import fit, seeded

        plan = recall(run, options)
        options = options.replace(batch_size=plan.batch)
        moments = Moments(dataset)
        with seeded(options.seed):
            tasks = make_tasks(moments, options, plan, run.device, progress)
        return fit(tasks, moments, dataclasses.replace(run, options=options), progress)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One sound a seed."""
        return sample.generate(self, model, seeds, options, progress)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Go on with each sound, replace a span of it, restyle, mix, stretch or transpose it."""
        return modification.modify(self, model, artworks, seeds, options, progress)

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """How well sound is rebuilt, how likely it is, and how alike composed sound is to it."""
        return evaluation.evaluate(self, model, dataset, options, progress)
