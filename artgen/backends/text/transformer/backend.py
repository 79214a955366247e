"""``text.transformer``: a decoder-only Transformer over characters or byte pairs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from artgen.artwork import Artwork
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.backends.text.transformer import evaluate as evaluation
from artgen.backends.text.transformer import modify as modification
from artgen.backends.text.transformer import sample
from artgen.media import prepare_text
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.run import Run
    from artgen.training.task import Task


class Transformer(Backend):
    """A causal Transformer with rotary positions, pair and value embeddings, that can also fill gaps."""

    modality: ClassVar[str] = "text"
    name: ClassVar[str] = "transformer"
    summary: ClassVar[str] = "Decoder-only Transformer: learns your texts in a minute on a laptop, in any script."
    source: ClassVar[str] = "Vaswani et al. 2017, 'Attention is all you need'; the modded-nanogpt records of 2024 to 2026"
    metrics: ClassVar[tuple[str, ...]] = ("val/loss", "bpc", "bpb")

    Prepare: ClassVar[type[Options]] = prepare_text.Prepare

    class Train(TrainOptions):
        """Options of ``train``."""

        batch_size: Annotated[
            int, Meta(ge=0, le=65536, description="Windows per step, over all processes; 0: by preset.", extra={"unit": "items"})
        ] = 0
        preset: Annotated[
            Literal["auto", "sketch", "standard", "large"],
            Meta(
                description="Size of the network: sketch for minutes on a CPU, standard for hours, large for a GPU; "
                "auto by the budget and the size of the text."
            ),
        ] = "auto"
        from_: Annotated[
            str | None, Meta(description="Go on from this model (a folder, a run or a starter) with its tokenizer: fine-tuning.")
        ] = None
        context: Annotated[
            int | None, Meta(ge=16, le=65536, description="Tokens the network sees; by preset.", extra={"unit": "tokens"})
        ] = None
        runs: Annotated[
            int | None,
            Meta(
                ge=0,
                le=2**22,
                description="Rows of each of two tables for the last three and four tokens, most of a small model's size; "
                "0 for none; by preset when not given.",
            ),
        ] = None
        pairs: Annotated[
            int | None,
            Meta(
                ge=0,
                le=2**22,
                description="Rows of the table for pairs of tokens, shared by a hash where there are more pairs; 0 for none; 8192 "
                "at most when not given.",
            ),
        ] = None
        fim: Annotated[
            float, Meta(ge=0, le=0.9, description="Share of windows laid out for filling gaps; 0 for a model that cannot infill.")
        ] = 0.1
        dropout: Annotated[
            float | None, Meta(ge=0, lt=1, description="Share of activations left out while learning; by preset when not given.")
        ] = None
        weight_decay: Annotated[
            float | None, Meta(ge=0, le=10, description="Pull of matrices towards zero; by preset when not given.")
        ] = None
        noise: Annotated[
            float | None,
            Meta(
                ge=0,
                lt=1,
                description="Share of the tokens read that are swapped for others while learning, against learning by heart; "
                "by preset when not given.",
            ),
        ] = None
        average: Annotated[
            float | None,
            Meta(
                ge=0,
                le=1,
                description="Share of the run over which averaged weights, which become the model, forget half; "
                "0: the weights as they are; by preset when not given.",
            ),
        ] = None
        learning_rate: Annotated[
            float | None, Meta(gt=0, le=1, description="Learning rate at its highest; by preset when not given.")
        ] = None
        layers: Annotated[int | None, Meta(ge=1, le=256, description="Blocks of the network; by preset when not given.")] = None
        width: Annotated[
            int | None,
            Meta(ge=16, le=16384, description="Numbers that stand for a token, a multiple of 16; by preset when not given."),
        ] = None

    Generate: ClassVar[type[Options]] = sample.Generate
    Modify: ClassVar[type[Options]] = modification.Modify
    Evaluate: ClassVar[type[Options]] = evaluation.Evaluate

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Encode texts into a dataset that every text backend can train on."""
        return prepare_text.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """The network, as :mod:`.build` makes it."""
        from artgen.backends.text.transformer.build import build

        return build(config)

    def task(self, dataset: Dataset, options: Any) -> Task:
        """Next-token prediction, by the recipe that options and text ask for."""
        from artgen.backends.text.transformer.settle import make_task, settled

        return make_task(dataset, options, settled(dataset, options))

    def settled(self, options: Any, dataset: Dataset | None = None) -> dict[str, Any]:
        """The whole recipe and the budget, which hang on the length of the text."""
        from artgen.backends.text.transformer.settle import told

        return {} if dataset is None else told(dataset, options)

    def train(self, dataset: Dataset, run: Run, options: Any, progress: Progress = SILENT) -> Model:
        """Settle the recipe (a run that goes on keeps its own), then train in the shared loop."""
        from artgen.backends.text.transformer.settle import budgeted, make_task, recall
        from artgen.training import fit, seeded

        plan = recall(run, dataset, options)
        options, budget = budgeted(options, plan, len(dataset))
        with seeded(options.seed):
            task = make_task(dataset, options, plan)
        progress.say(task.describe())
        if budget:
            progress.say(budget)
        return fit(task, dataset, dataclasses.replace(run, options=options), progress)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One text a seed."""
        return sample.generate(self, model, seeds, options, progress)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Continue each text, fill its gap, rewrite it, or lead from it to another."""
        return modification.modify(self, model, artworks, seeds, options, progress)

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """The loss of held-out text, and what the model writes against it."""
        return evaluation.evaluate(self, model, dataset, options, progress)
