"""From options, text and budget to a recipe, which a run keeps in ``recipe.json``: a resume may have another budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from artgen.backend import DEFAULT_MINUTES
from artgen.backends.text.transformer import presets
from artgen.backends.text.transformer.presets import Recipe
from artgen.errors import ModelError, TrainingError
from artgen.files import write_atomically
from artgen.model import Model
from artgen.training.budget import minutes_allowed
from artgen.training.run import STATE, Run
from artgen.training.state import generations

if TYPE_CHECKING:
    from artgen.backends.text.transformer.backend import Transformer
    from artgen.backends.text.transformer.task import WriterTask
    from artgen.dataset import Dataset

RECIPE = "recipe.json"


def settled(dataset: Dataset, options: Transformer.Train) -> Recipe:
    """The recipe for ``options``; with ``--from`` the network is that of the model.

    Raises:
        DatasetError: the text is shorter than one window of the context.
        ModelError: the model to go on from is missing or of another backend.
    """
    start = starting(options)
    if start is None:
        return presets.recipe(options, len(dataset), minutes_allowed(options))
    network = start.config.network
    shape = {name: network[name] for name in ("layers", "heads", "width", "context")}
    found = presets.recipe(options.replace(context=shape["context"]), len(dataset), minutes_allowed(options))
    return msgspec.structs.replace(found, **shape, first_context=shape["context"])


def told(dataset: Dataset, options: Transformer.Train) -> dict[str, object]:
    """What ``options`` come to on this text, by their names."""
    plan = settled(dataset, options)
    budget, _ = budgeted(options, plan, len(dataset))
    names = ("layers", "width", "context", "learning_rate", "dropout", "weight_decay")
    found: dict[str, object] = {"batch_size": plan.batch, "minutes": budget.minutes, "items": budget.items}
    if options.preset == "auto":
        found["preset"] = presets.chosen(options.preset, len(dataset), minutes_allowed(options))
    return found | {name: getattr(plan, name) for name in names}


def budgeted(options: Transformer.Train, plan: Recipe, tokens: int) -> tuple[Transformer.Train, str]:
    """``options`` with the batch of ``plan`` and, without budget or goal, a budget that fits the text; and a sentence on it."""
    options = options.replace(batch_size=plan.batch)
    if any(getattr(options, name) is not None for name in ("minutes", "steps", "items", "until")):
        return options, ""
    preset = presets.chosen(options.preset, tokens, DEFAULT_MINUTES)
    items = presets.enough(preset, tokens, plan)
    times = items * plan.context / tokens
    told = f"no budget given: {DEFAULT_MINUTES:g} minutes, and at most {times:.3g} readings of the text; more learn it by heart"
    return options.replace(minutes=DEFAULT_MINUTES, items=items), told


def recall(run: Run, dataset: Dataset, options: Transformer.Train) -> Recipe:
    """The recipe of ``run``: the one it began with, or one that is settled and written now.

    Raises:
        TrainingError: the run goes on, but its recipe is missing or damaged.
    """
    path = run.folder / RECIPE
    if run.resume and generations(run.folder / STATE):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Recipe)
        except (OSError, msgspec.DecodeError) as error:
            raise TrainingError(f"{path}: missing or damaged ({error}); start a new run") from None
    plan = settled(dataset, options)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(plan), indent=1))
    return plan


def make_task(dataset: Dataset, options: Transformer.Train, plan: Recipe) -> WriterTask:
    """The task for a recipe, from new weights or those of ``--from``."""
    from artgen.backends.text.transformer.task import AveragedTask, WriterTask

    return (AveragedTask if plan.average else WriterTask)(dataset, options, plan, starting(options))


def starting(options: Transformer.Train) -> Model | None:
    """The model that ``--from`` names.

    Raises:
        ModelError: it is missing, or of another backend; or an option asks for a network of another shape.
    """
    if options.from_ is None:
        return None
    found = Model.open(options.from_)
    if found.backend != "text.transformer":
        raise ModelError(f"--from {options.from_}: a model of {found.backend}, not of text.transformer; give one of that")
    for name in ("context", "layers", "width"):
        own = found.config.network[name]
        if getattr(options, name) not in (None, own):
            raise ModelError(f"--from {options.from_}: its {name} is {own}; leave --{name} out")
    return found
