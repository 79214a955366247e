"""What a run leaves: models with their cards, and finished stages for the stages after them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from artgen.backend import TrainOptions
from artgen.dataset import Dataset
from artgen.errors import OptionError, TrainingError
from artgen.model import Config, Model, save_model
from artgen.training.budget import Goal, check_best
from artgen.training.ema import Average, flat
from artgen.training.precision import DTYPES
from artgen.training.run import STATE, Run
from artgen.training.state import load_state, save_state
from artgen.training.step import Stepper
from artgen.training.task import Task


def best_metric(options: TrainOptions, task: Task, goal: Goal | None) -> str:
    """The metric that decides which model is the best; empty where none is measured.

    Raises:
        OptionError: ``--best-by`` names a metric that the task does not measure, or another one than ``--until``.
    """
    wanted = options.best_by
    check_best(wanted, task.metrics)
    if goal:
        if wanted not in ("auto", "none", goal.metric):
            raise OptionError(f"--best-by {wanted} and --until {options.until} name different metrics; leave --best-by out")
        return goal.metric
    if options.patience and (wanted == "none" or not task.metrics):
        told = "--best-by none keeps the last model" if task.metrics else "this backend measures nothing"
        raise OptionError(f"--patience waits for a metric to get better, but {told}; leave --patience out")
    if wanted == "none" or (wanted == "auto" and options.previews == 0 and not options.patience):
        return ""
    return next(iter(task.metrics), "") if wanted == "auto" else wanted


def save_trained(
    run: Run, tasks: Sequence[Task], average: Average, dataset: Dataset, folder: str, items: int, scores: dict[str, float]
) -> Model:
    """Write the model of a run as it stands into ``folder`` of the run; the last of ``tasks`` is in training."""
    tensors: dict[str, Tensor] = {}
    network: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for task in tasks:
        tensors |= flat({**task.averaged, **task.kept})
        network |= task.network
        defaults |= task.generate_defaults
        files |= task.files
    tensors |= average.tensors()
    dtype = DTYPES[run.options.weights]
    stored = {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    laid = tasks[-1].layout(stored)
    config = Config(
        artgen=version("artgen"),
        backend=run.backend,
        network=network,
        classes=dataset.classes,
        generate=defaults,
        train={name: value for name, value in run.options.asdict().items() if value is not None} | {"items_seen": items},
        data=_data(dataset),
        licence=tasks[-1].licence,
        scores=scores,
    )
    return save_model(run.folder / folder, config, laid.tensors, card(config), files | laid.files, laid.config)


def card(config: Config) -> str:
    """The model card: a YAML header that model hubs read, then what a person asks first."""
    data, train = config.data, config.train
    modality = config.backend.partition(".")[0]
    sources = ", ".join(data.get("sources", [])) or "a dataset"
    header = ["library_name: artgen", f"tags: [artgen, {config.backend}]"]
    if config.licence:
        header.append(f"license: {config.licence}")
    seen = f"{train['items_seen']:,} items seen in training"
    made = f"Made by artgen {config.artgen} from {data.get('count', '?')} items ({sources}), {seen}."
    lines = ["---", *header, "---", "", f"# A model of `{config.backend}`", "", made, ""]
    lines += [f"    artgen {modality} generate --model FOLDER --seed 7", ""]
    if data.get("licences"):
        lines += ["## Data and licence", "", *(f"- {licence}" for licence in data["licences"]), ""]
    if config.scores:
        lines += ["## Scores", "", *(f"- {name}: {value:.4g}" for name, value in config.scores.items()), ""]
    lines += ["## Training", "", *(f"- {name}: {value}" for name, value in train.items()), ""]
    lines += ["Works of this model are machine-made; artgen marks them so in the file (IPTC digital source type).", ""]
    return "\n".join(lines)


def finish_stage(run: Run, task: Task, stepper: Stepper, number: int, first: bool) -> None:
    """Leave the averaged weights in a finished task, and keep them for a resume of a later stage."""
    _take_average(task, stepper.average.tensors())
    if first:
        save_state(run.folder / STATE / f"stage-{number}", number, {f"task.{k}": v for k, v in task.state_dict().items()}, {})


def adopt(run: Run, task: Task, number: int) -> None:
    """Give a task of an earlier stage the weights it finished with.

    Raises:
        TrainingError: they are not there.
    """
    found = load_state(run.folder / STATE / f"stage-{number}")
    if found is None:
        raise TrainingError(f"{run.folder}: the weights of its stage {task.name} are missing; start a new run")
    task.load_state_dict({name.removeprefix("task."): tensor for name, tensor in found[0].items()})


@torch.no_grad()
def _take_average(task: Task, tensors: dict[str, Tensor]) -> None:
    for name, own in flat(task.averaged).items():
        own.copy_(tensors[name])


def _data(dataset: Dataset) -> dict[str, Any]:
    manifest = dataset.manifest
    sources = [str(source.get("name", "")) for source in manifest.sources]
    shapes = {name: shape[1:] for name, shape in manifest.shapes.items()}
    licences = manifest.notes.get("licences", [])
    told = {"count": len(dataset), "fingerprint": dataset.fingerprint, "sources": sources, "shapes": shapes, "licences": licences}
    documents = manifest.notes.get("documents")  # of a text: whether the model has seen one end
    return told | ({"documents": documents} if documents else {})
