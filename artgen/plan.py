"""What a training will do, settled before it starts: backend, data, every option, the run's folder.

A run keeps the same facts in ``config.toml``; its first lines name the backend and the dataset, the rest are options.
"""

from __future__ import annotations

import os
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artgen.api import file_inputs, listed, offering, processes
from artgen.backend import SILENT, Backend, Progress, TrainOptions
from artgen.dataset import MANIFEST, Dataset, is_dataset
from artgen.errors import Interrupted, OptionError, SourceError, UsageError
from artgen.files import similar, typed
from artgen.locks import alone
from artgen.options import Options, declared, nearest, resolve, toml_lines

if TYPE_CHECKING:
    from artgen.training import Run

RUN_CONFIG = "config.toml"
RUN_FACTS = ("backend", "dataset", "fingerprint")
"""What a run's configuration says beside the options."""


@dataclass(frozen=True)
class TrainPlan:
    """A training that is settled: ``dataset`` is where its data is (or will be, made from ``sources``)."""

    backend: type[Backend]
    options: TrainOptions
    prepare: Options | None
    sources: tuple[str, ...]
    dataset: Path
    output: Path
    resume: bool
    device: str

    def settled(self) -> dict[str, object]:
        """What the options leave open (a preset's batch size, a budget) and what it comes to; some hangs on a prepared dataset."""
        from artgen.training.budget import minutes_allowed

        dataset = None if self.prepare is not None else Dataset.open(self.dataset, self.backend.modality)
        found = {**self.backend().settled(self.options, dataset)}
        if self.options.minutes is None and (minutes := minutes_allowed(self.options)) is not None:
            found.setdefault("minutes", minutes)
        given = self.options.asdict()
        return {name: value for name, value in found.items() if value is not None and given.get(name) != value}

    def to_toml(self) -> str:
        """The resolved configuration; saved as a file it can be given with ``--config``."""
        facts = {"backend": f"{self.backend.modality}.{self.backend.name}"}
        lines = [f"# run: {self.output}", f"# dataset: {self.dataset}", *toml_lines({**facts, **self.options.asdict()})]
        if settled := self.settled():
            lines += ["", "# left open above, which comes to:", *(f"# {line}" for line in toml_lines(settled))]
        if self.prepare is not None:
            lines += ["", f"# how {', '.join(self.sources)} is prepared", "[prepare]", *toml_lines(self.prepare.asdict())]
        return "\n".join(lines) + "\n"


def plan_training(
    modality: str,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    output: str | os.PathLike[str] | None = None,
    *,
    backend: str | None = None,
    resume: bool = False,
    config: str | os.PathLike[str] | None = None,
    device: str = "auto",
    **options: Any,
) -> TrainPlan:
    """Settle what :func:`artgen.api.train` with the same arguments will do; nothing is read but settings, nothing is written.

    Raises:
        UsageError: an option is unknown or out of range, the source is missing, or the run exists and ``resume`` is not asked for.
    """
    given = {name: value for name, value in options.items() if value is not None}
    file = read_config(config, modality) if config is not None else {}
    if resume:
        return _resumed(modality, listed(source), output, backend, file, given, device)
    cls = offering(modality, backend or file.get("backend"), "train")
    sources = listed(source)
    if not sources:
        raise SourceError("nothing to train on; give a folder, an archive or a prepared dataset")
    train, prepare = _split(cls, file, given)
    ready = len(sources) == 1 and is_dataset(sources[0])
    if not ready and (prepared := next(filter(is_dataset, sources), None)):
        raise SourceError(
            f"{prepared}: a prepared dataset, of which one is trained on alone; prepare the folders behind it together"
        )
    if ready:
        _prepared_so(cls, prepare, train, Dataset.open(sources[0], modality))
    elif gone := [name for name in sources if not any(sign in name for sign in "*?[") and not Path(name).exists()]:
        raise SourceError(f"{gone[0]}: no such file or folder{similar(gone[0])}")
    folder = _new_run(output, sources[0])
    chosen = _options(cls, train)
    file_inputs(chosen)
    return TrainPlan(
        backend=cls,
        options=chosen,
        prepare=None if ready else _preparing(cls, chosen, prepare),
        sources=tuple(sources),
        dataset=Path(sources[0]) if ready else folder / "dataset",
        output=folder,
        resume=False,
        device=device,
    )


def plan_dataset(plan: TrainPlan, progress: Progress = SILENT) -> Dataset:
    """The dataset of a plan; raw sources are prepared now, by the first of several processes."""
    if plan.prepare is not None:
        if processes()[0] == 0:
            try:
                with alone(plan.dataset, "preparing a dataset"):
                    return plan.backend().prepare(plan.sources, plan.dataset, plan.prepare, progress)
            except Interrupted as stopped:  # a run without --output got its name here: the same command would begin another
                told = f"the same command with --output {typed(plan.output)} goes on from there"
                raise Interrupted(f"{str(stopped).partition('; ')[0]}; {told}") from None
        while not is_dataset(plan.dataset):  # dataset.json is written last, so it says that the first process is done
            time.sleep(0.2)
    return Dataset.open(plan.dataset, plan.backend.modality)


def open_run(plan: TrainPlan, dataset: Dataset, device: str) -> Run:
    """The run of a plan, new or gone on with."""
    from artgen.training import Run

    return Run.create(
        plan.output,
        backend=f"{plan.backend.modality}.{plan.backend.name}",
        options=plan.options,
        dataset=dataset,
        resume=plan.resume,
        device=device,
    )


def read_config(path: str | os.PathLike[str], modality: str) -> dict[str, Any]:
    """The values in a TOML file of options: ``backend``, options of train, and a table ``[prepare]``.

    Raises:
        SourceError: the file is missing or not TOML.
        OptionError: it is for another modality, or holds a table that is none of ours.
    """
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: not a TOML file ({error})") from None
    for name, value in values.items():
        if isinstance(value, dict) and name != "prepare":
            raise OptionError(f"{path}: no table [{name}]; options stand at the top, those of prepare below [prepare]")
    if not isinstance(values.get("prepare", {}), dict):
        raise OptionError(f"{path}: prepare is a table; write [prepare] and its options below")
    backend = values.get("backend")
    if backend is not None and (not isinstance(backend, str) or ("." in backend and backend.partition(".")[0] != modality)):
        raise OptionError(f"{path}: its backend is {backend}, which is not one of {modality}")
    return values


def _resumed(
    modality: str,
    sources: list[str],
    output: str | os.PathLike[str] | None,
    backend: str | None,
    file: dict[str, Any],
    given: dict[str, Any],
    device: str,
) -> TrainPlan:
    if output is None:
        raise UsageError("--resume needs the run to go on with; give it with --output RUN")
    folder = Path(output)
    if not (folder / RUN_CONFIG).is_file():
        raise SourceError(f"{folder}: no run to go on with (no {RUN_CONFIG}); leave --resume out to start one")
    stored = read_config(folder / RUN_CONFIG, modality)
    name = str(stored.get("backend", ""))
    if backend and backend.rpartition(".")[2] != name.rpartition(".")[2]:
        raise UsageError(f"--backend {backend}, but {folder} is a run of {name}; leave --backend out")
    cls = offering(modality, name or None, "train")
    train, prepare = _split(cls, file, given)
    place = Path(sources[0]) if sources and is_dataset(sources[0]) else Path(str(stored.get("dataset", folder / "dataset")))
    if not is_dataset(place):
        raise SourceError(f"{place}: the dataset of {folder} is not there (no {MANIFEST}); give its new place before --resume")
    _prepared_so(cls, prepare, train, Dataset.open(place, modality))
    kept = {option.name: stored[option.name] for option in declared(cls.Train) if option.name in stored}
    return TrainPlan(cls, _options(cls, kept, train), None, tuple(sources), place, folder, True, device)


def _preparing(cls: type[Backend], train: TrainOptions, given: Mapping[str, Any]) -> Options:
    """How raw sources are prepared: as the user says, else as the options of the training demand."""
    demanded = cls().demands(train)
    declares = offering(cls.modality, cls.name, "prepare").Prepare
    chosen = resolve(declares, demanded, given, label=f"{cls.modality} prepare")
    for name, value in demanded.items():
        if (wish := getattr(chosen, name)) != value:
            flag = "--" + name.rstrip("_").replace("_", "-")
            raise OptionError(f"{flag} takes {value} with the other options of this training, not {wish}; leave {flag} out")
    return chosen


def _options(cls: type[Backend], *layers: Mapping[str, Any]) -> TrainOptions:
    options = resolve(cls.Train, *layers, label=f"{cls.modality} train")
    if not isinstance(options, TrainOptions):
        raise UsageError(f"{cls.modality}.{cls.name}: its Train does not extend TrainOptions; report this to its author")
    if options.until is not None or options.best_by not in ("auto", "none"):
        from artgen.training.budget import check_metrics

        check_metrics(options, cls.metrics)
    return options


def _split(cls: type[Backend], file: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sort values into those of train and those of prepare; a name that both declare goes to both, if it means the same kind of
    thing, else to train: the table ``prepare`` of a file can still name it."""
    trains = {option.name: option.kind for option in declared(cls.Train)}
    train_names = set(trains)
    prepare_names = {option.name for option in declared(cls.Prepare)}
    shared = {option.name for option in declared(cls.Prepare) if trains.get(option.name, option.kind) is option.kind}
    train: dict[str, Any] = {}
    prepare: dict[str, Any] = {}

    def sort(values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            key = _canonical(name, train_names | prepare_names)
            if key in train_names:
                train[key] = value
            if key in shared:
                prepare[key] = value

    sort({name: value for name, value in file.items() if name not in (*RUN_FACTS, "prepare")})
    table = file.get("prepare", {})
    prepare.update({_canonical(name, prepare_names): value for name, value in table.items()})
    sort(given)
    return train, prepare


def _canonical(name: str, known: set[str]) -> str:
    plain = name.replace("-", "_")
    for key in (plain, plain + "_"):
        if key in known:
            return key
    raise OptionError(f"no option {name!r} of train or prepare{nearest(plain, known)}")


def _prepared_so(cls: type[Backend], prepare: Mapping[str, Any], train: Mapping[str, Any], dataset: Dataset) -> None:
    """Options of prepare beside a prepared dataset, in a file for both commands most often, have to be those it was made with."""
    only = {name: value for name, value in prepare.items() if name not in train}
    wished = resolve(cls.Prepare, only, label=f"{cls.modality} prepare").asdict() if only else {}
    for name in only:
        flag = "--" + name.rstrip("_").replace("_", "-")
        if name not in dataset.manifest.options:
            raise UsageError(f"{flag} says how to prepare raw files, but {dataset.folder} is prepared already; leave {flag} out")
        asked, made = _as_typed(wished[name]), _as_typed(dataset.manifest.options[name])
        if asked != made:
            raise UsageError(
                f"{flag} {asked}, but {dataset.folder} was prepared with {made}; leave {flag} out, "
                f"or prepare its sources anew with artgen {cls.modality} prepare"
            )


def _as_typed(value: object) -> object:
    """A value as a shell takes it: a line break in a file of options and a typed \\n are the same."""
    return value.replace("\n", "\\n").replace("\t", "\\t") if isinstance(value, str) else value


def _new_run(output: str | os.PathLike[str] | None, source: str) -> Path:
    rank, world = processes()
    if output is not None:
        folder = Path(output)
        # Only the first process can tell: a moment later the folder is there because of itself.
        # A run that stopped before its first state, at a mistake in its options, has nothing to lose.
        if rank == 0 and (folder / RUN_CONFIG).exists() and any((folder / name).exists() for name in ("state", "model")):
            raise UsageError(f"{folder}: a run is there already; add --resume to go on with it, or give another --output")
        return folder
    if world > 1:
        raise UsageError("several processes need one common run; name it with --output")
    name = Path(source).name.partition(".")[0].strip("*?[]") or "run"
    number = 1
    while (Path("runs") / f"{name}-{number}").exists():
        number += 1
    return Path("runs") / f"{name}-{number}"
