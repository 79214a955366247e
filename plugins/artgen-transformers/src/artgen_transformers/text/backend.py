"""``text.transformers``: the language models of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from artgen.artwork import Artwork
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.media import prepare_text
from artgen.options import Options
from artgen_transformers.text import options as declared

if TYPE_CHECKING:
    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.run import Run
    from artgen.training.task import Task


class Transformers(Backend):
    """Any causal language model in Hugging Face layout: write, chat, change texts, measure, fine-tune."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "text"
    name: ClassVar[str] = "transformers"
    summary: ClassVar[str] = "Language models of transformers (Qwen, Llama, Mistral, GPT-2 …): write, chat, change, fine-tune."
    source: ClassVar[str] = "Wolf et al. 2020, 'Transformers: State-of-the-art natural language processing'; Hu et al. 2021, 'LoRA'"
    metrics: ClassVar[tuple[str, ...]] = ("val/loss", "bpb")

    Prepare: ClassVar[type[Options]] = prepare_text.Prepare
    Train: ClassVar[type[TrainOptions]] = declared.Train
    Generate: ClassVar[type[Options]] = declared.Generate
    Modify: ClassVar[type[Options]] = declared.Modify
    Evaluate: ClassVar[type[Options]] = declared.Evaluate

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """A run of this backend, a folder in Hugging Face layout, or a name on the Hub."""
        from artgen_transformers import places
        from artgen_transformers.text.opening import BACKEND, EXAMPLE

        if place is None:
            raise places.none_given(BACKEND, EXAMPLE)
        return places.find(place, BACKEND)

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Encode texts into a dataset that every text backend can train on."""
        return prepare_text.prepare(sources, folder, options, progress)

    def task(self, dataset: Dataset, options: Any) -> Task:
        """Next-token prediction by the model of ``--from``."""
        from artgen_transformers.text.training import make_task

        return make_task(dataset, options)

    def train(self, dataset: Dataset, run: Run, options: Any, progress: Progress = SILENT) -> Model:
        """Fine-tune in the shared loop; the text in the model's tokens is kept in the run."""
        from artgen.training import fit, seeded
        from artgen_transformers.text.training import task_of

        with seeded(options.seed):
            task = task_of(run, dataset, options, progress)
        progress.say(task.describe())
        return fit(task, dataset, run, progress)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One text a seed, or with ``prompts`` one a seed and prompt."""
        from artgen_transformers.text import prompts
        from artgen_transformers.text.opening import open_language
        from artgen_transformers.text.writing import texts

        shots, asked = prompts.shots_of(options.shots), prompts.prompts_of(options)
        language = open_language(model, options, progress)
        for prompt in asked:
            start = prompts.start(language, options, prompt, shots)
            if language.context is not None and len(start.ids) > language.context:
                told = f"the prompt has {len(start.ids)} tokens and the model sees {language.context}: its end alone counts"
                progress.say(told)
            for work in texts(language, start, seeds, options, options.length, options.batch_size, progress):
                if options.prompts is not None:
                    work.options = {"prompt": prompt, "prompts": None}
                yield work

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Each text changed as ``instruction`` says, or gone on with."""
        from artgen_transformers.text.changing import modify

        return modify(model, artworks, seeds, options, progress)

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """Bits per byte of held-out text, and what the model writes against it."""
        from artgen_transformers.text.measuring import evaluate

        return evaluate(self, model, dataset, options, progress)
