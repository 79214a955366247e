"""Fine-tuning: from options and a model to a task, and what a run remembers of the model it began with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset
from artgen.errors import TrainingError
from artgen.files import write_atomically
from artgen.model import Model
from artgen.training.run import Run
from artgen_transformers import places
from artgen_transformers.text import corpus
from artgen_transformers.text.opening import BACKEND, open_language
from artgen_transformers.text.options import Train

if TYPE_CHECKING:
    from artgen_transformers.text.task import LanguageTask

_BASE = "base.json"
_TOKENS = "tokens"


def make_task(dataset: Dataset, options: Train, folder: Path | None = None, progress: Progress = SILENT) -> LanguageTask:
    """The task that ``options`` ask for; ``folder`` keeps the text in the model's tokens.

    Raises:
        ModelError: the model to begin with is missing or cannot be opened.
        DatasetError: the text is too short.
    """
    from artgen_transformers.text.task import LanguageTask

    base = places.find(options.from_, BACKEND)
    language = open_language(base, options.loading, progress)
    found = corpus.corpus(dataset, language.tokenizer, folder, progress)
    corpus.require_length(found, options.context, dataset.folder)
    return LanguageTask(language, found, options, _told(base), _files(language.network, language.tokenizer))


def task_of(run: Run, dataset: Dataset, options: Train, progress: Progress) -> LanguageTask:
    """The task of a run; one that goes on must find the model that it began with.

    Raises:
        TrainingError: it is another one now.
    """
    task = make_task(dataset, options, run.folder / _TOKENS, progress)
    path, now = run.folder / _BASE, task.network["base"]
    if run.resume and path.is_file():
        before: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        if before.get("sha256") != now["sha256"]:
            raise TrainingError(
                f"--from {options.from_}: not the model any more that the run began with; restore it, or start a new run"
            )
    write_atomically(path, msgspec.json.format(msgspec.json.encode(now), indent=1))
    return task


def _told(base: Model) -> dict[str, str]:
    """Where a model came from, for whoever opens what was learned from it."""
    place = base.place or str(base.folder)
    return {"name": base.name, "place": place, "sha256": base.sha256, "licence": base.config.licence, **base.provenance}


def _files(network: Any, tokenizer: Any) -> dict[str, bytes]:
    """What belongs to the model beside weights and configuration, as transformers stores it."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        if getattr(network, "generation_config", None) is not None:
            network.generation_config.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}
