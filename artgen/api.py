"""The verbs as functions: what the command line and Python both call.

Options of the backend are given by their names as keywords; a value of None counts as not given. Later layers win:
the declared default, the model's own default, the configuration file, the keyword.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import artgen
from artgen.artwork import Artwork, open_artwork
from artgen.backend import SILENT, Backend, Progress, Score
from artgen.choice import choose as choose
from artgen.choice import list_backends as list_backends
from artgen.choice import offering as offering
from artgen.dataset import Dataset
from artgen.errors import ArtgenError, OptionError, SourceError, UsageError
from artgen.locks import alone
from artgen.model import Model, NoModel
from artgen.options import Options, declared, resolve
from artgen.recipe import COMPOSITE, GENERATED, Input, Recipe, environment, file_sha256

if TYPE_CHECKING:
    from artgen.plan import TrainPlan

LARGEST_SEED = 2**63 - 1
_DRAWN_BELOW = 2**31


def prepare(
    modality: str,
    sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    backend: str | None = None,
    progress: Progress = SILENT,
    **options: Any,
) -> Dataset:
    """Decode ``sources`` (folders, archives, files, globs) once into a dataset in ``output``.

    Raises:
        SourceError: a source is missing or holds nothing usable.
        OutputError: ``output`` cannot be written, or another process is writing there.
    """
    cls = offering(modality, backend, "prepare")
    chosen = resolve(cls.Prepare, options, label=f"{cls.modality} prepare")
    with alone(output, "preparing a dataset"):
        return cls().prepare(listed(sources), Path(output), chosen, progress)


def train(
    modality: str,
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    output: str | os.PathLike[str] | None = None,
    *,
    backend: str | None = None,
    resume: bool = False,
    config: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
    **options: Any,
) -> Model:
    """Train on a dataset, or on raw sources that are prepared into ``<output>/dataset`` first; returns the best model.

    Without ``output`` the run is a new folder below ``runs``. With ``resume`` the run in ``output`` goes on; its dataset
    and options are those it was started with. :func:`artgen.plan.plan_training` tells what would be done.

    Raises:
        TrainingError: the training cannot go on.
        Interrupted: Ctrl-C or SIGTERM, after the state was saved.
    """
    from artgen.plan import plan_training

    plan = plan_training(modality, source, output, backend=backend, resume=resume, config=config, device=device, **options)
    return run_training(plan, progress=progress)


def run_training(plan: TrainPlan, *, progress: Progress = SILENT) -> Model:
    """Carry out a plan of :func:`artgen.plan.plan_training`.

    Raises:
        OutputError: another process trains in the same run.
    """
    # Of several processes of one training the first writes, and so it alone holds the run.
    with alone(plan.output, "training") if processes()[0] == 0 else nullcontext():
        return _train(plan, progress)


def _train(plan: TrainPlan, progress: Progress) -> Model:
    from artgen.plan import open_run, plan_dataset

    dataset = plan_dataset(plan, progress)
    run = open_run(plan, dataset, resolve_device(plan.device))
    try:
        return plan.backend().train(dataset, run, plan.options, progress)
    except UsageError:  # found out only with the data and the networks at hand
        if processes()[0] == 0:
            run.forget()
            if plan.prepare is not None:
                progress.say(f"the data is prepared all the same: give {plan.dataset} in place of {', '.join(plan.sources)}")
        raise


def generate(
    modality: str,
    *,
    model: str | os.PathLike[str] | Model | None = None,
    backend: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    seeds: Iterable[int] | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
    **options: Any,
) -> list[Artwork]:
    """Make ``n`` works with the seeds ``seed``, ``seed + 1`` …, or one for each of ``seeds``; without either, a seed is drawn.

    ``model`` is a folder or the name of a starter; without it the starter of the modality is used.

    Raises:
        ModelError: the model is missing, damaged or of another modality.
        OptionError: an option is unknown or outside its range.
    """
    works = iter_generate(
        modality, model=model, backend=backend, n=n, seed=seed, seeds=seeds, device=device, progress=progress, **options
    )  # fmt: skip
    return list(works)


def iter_generate(
    modality: str,
    *,
    model: str | os.PathLike[str] | Model | None = None,
    backend: str | None = None,
    n: int | None = None,
    seed: int | None = None,
    seeds: Iterable[int] | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
    share: bool = True,
    **options: Any,
) -> Iterator[Artwork]:
    """Like :func:`generate`, but each work is handed over as soon as it is made, so that any number fits in memory.

    Mistakes in the arguments are raised at once. Under several processes each makes its own share of the seeds, unless
    ``share`` is False.
    """
    cls, opened = choose(modality, "generate", model=model, backend=backend)
    chosen = resolve(cls.Generate, opened.config.generate, options, label=f"{cls.modality} generate")
    wanted = _seeds(n, seed, seeds, progress)
    inputs = file_inputs(chosen)
    opened.device = resolve_device(device)
    mine = _share(wanted, whole=cls().together(chosen)) if share else wanted

    def works() -> Iterator[Artwork]:
        for index, work in enumerate(cls().generate(opened, mine, chosen, progress)):
            work.seeds = work.seeds or (mine[index],)
            work.recipe = _recipe(cls, "generate", opened, work, chosen, inputs)
            yield work

    return works() if mine else iter(())


def modify(
    modality: str,
    inputs: str | os.PathLike[str] | Artwork | Sequence[str | os.PathLike[str] | Artwork],
    *,
    model: str | os.PathLike[str] | Model | None = None,
    backend: str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
    **options: Any,
) -> list[Artwork]:
    """Make a changed version of each of the user's own works; each depends on the work, the options and ``seed`` alone.

    Raises:
        SourceError: an input is missing or of another modality.
    """
    works = iter_modify(
        modality, inputs, model=model, backend=backend, seed=seed, device=device, progress=progress, **options
    )  # fmt: skip
    return list(works)


def iter_modify(
    modality: str,
    inputs: str | os.PathLike[str] | Artwork | Sequence[str | os.PathLike[str] | Artwork],
    *,
    model: str | os.PathLike[str] | Model | None = None,
    backend: str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
    **options: Any,
) -> Iterator[Artwork]:
    """Like :func:`modify`, but each work is handed over as soon as it is made."""
    given = [inputs] if isinstance(inputs, str | os.PathLike | Artwork) else list(inputs)
    if not given:
        raise SourceError("nothing to modify; give at least one file")
    cls, opened = choose(modality, "modify", model=model, backend=backend)
    chosen = resolve(cls.Modify, options, label=f"{cls.modality} modify")
    _check_seed(seed)
    files = file_inputs(chosen)
    artworks = [own_work(modality, item) for item in given]
    for artwork in artworks:
        for remark in artwork.remarks:
            progress.say(f"{artwork.name}: {remark}")
    sources = [_input("input", item, artwork) for item, artwork in zip(given, artworks, strict=True)]
    opened.device = resolve_device(device)

    def works() -> Iterator[Artwork]:
        made = cls().modify(opened, artworks, [seed] * len(artworks), chosen, progress)
        for source, work in zip(sources, made, strict=True):
            work.seeds = work.seeds or (seed,)
            work.recipe = _recipe(cls, "modify", opened, work, chosen, (source, *files), mark=COMPOSITE)
            yield work

    return works()


def evaluate(
    modality: str,
    model: str | os.PathLike[str] | Model,
    dataset: str | os.PathLike[str] | Dataset,
    *,
    backend: str | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
    **options: Any,
) -> dict[str, Score]:
    """Measure a model against real data; each score comes with what a perfect model would get.

    Raises:
        DatasetError: the dataset is missing, damaged or of another modality.
    """
    cls, opened = choose(modality, "evaluate", model=model, backend=backend)
    chosen = resolve(cls.Evaluate, options, label=f"{cls.modality} evaluate")
    data = dataset if isinstance(dataset, Dataset) else Dataset.open(os.fspath(dataset), modality)
    if data.kind != modality:
        Dataset.open(data.folder, modality)  # raises the sentence
    file_inputs(chosen)
    opened.device = resolve_device(device)
    return cls().evaluate(opened, data, chosen, progress)


def unfinished(work: Artwork, model: Model) -> Artwork:
    """``work``, broken off, with a recipe that tells what made it; how is left out, since it could not be made again so."""
    work.recipe = Recipe(artgen=artgen.__version__, verb="generate", backend=model.backend)
    return work


def resolve_device(name: str) -> str:
    """The device that ``name`` asks for: ``auto`` is a GPU where there is one, else the CPU.

    Raises:
        OptionError: no such kind of device.
        UsageError: this machine has none of that kind or number.
    """
    if name == "cpu":
        return name
    if not re.fullmatch(r"auto|mps|cuda(:\d+)?", name):
        raise OptionError(f"--device takes auto, cpu, cuda, cuda:NUMBER or mps, not {name}")
    if name == "auto" and "torch" not in sys.modules and not _may_have_gpu():
        return "cpu"  # text is written without torch, whose import would take longer than a page
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return f"cuda:{_local_rank() % count}" if count else "mps" if mps else "cpu"
    if name == "mps" and not mps:
        raise UsageError("--device mps: this machine has no Apple GPU that torch can use; give --device auto or cpu")
    if name.startswith("cuda"):
        number = int(name.partition(":")[2] or _local_rank())
        if number >= count:
            have = f"only {count} (numbered from 0)" if count else "no CUDA device that torch can use"
            raise UsageError(f"--device {name}: this machine has {have}; give --device auto or cpu")
        return f"cuda:{number}"
    return name


def _may_have_gpu() -> bool:
    """Whether torch could find a GPU here; a system of which that is not known for sure may have one."""
    if sys.platform != "linux":
        return True
    return any(Path(place).exists() for place in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd"))


def processes() -> tuple[int, int]:
    """The number of this process and how many there are, as torchrun and accelerate launch tell it: (0, 1) alone."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def listed(sources: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """One source or several, as a list of text."""
    return [os.fspath(source) for source in ([sources] if isinstance(sources, str | os.PathLike) else sources)]


def file_inputs(options: Options) -> tuple[Input, ...]:
    """The files that options name, with their hashes; the role of each is the option's name.

    Raises:
        SourceError: one of them cannot be read.
    """
    found = []
    for option in declared(type(options)):
        value = getattr(options, option.name)
        if option.file and value:
            found += [_input(option.name, path) for path in ([value] if isinstance(value, str) else value)]
    return tuple(found)


def _input(role: str, item: str | os.PathLike[str] | Artwork, artwork: Artwork | None = None) -> Input:
    if isinstance(item, Artwork):
        import hashlib

        return Input(role=role, name=item.name, sha256=hashlib.sha256(item.numpy().tobytes()).hexdigest())
    path = Path(item)
    return Input(role=role, name=artwork.name if artwork else path.name, sha256=file_sha256(path), path=str(path.resolve()))


def own_work(modality: str, item: str | os.PathLike[str] | Artwork) -> Artwork:
    """A work of the user, opened where it is a file.

    Raises:
        SourceError: there is no such file, or it is of another modality.
    """
    artwork = item if isinstance(item, Artwork) else open_artwork(item, modality)
    if artwork.modality != modality:
        place = artwork.name if isinstance(item, Artwork) else os.fspath(item)
        raise SourceError(f"{place}: {artwork.modality}, not {modality}; use artgen {artwork.modality} modify")
    return artwork


def _seeds(n: int | None, seed: int | None, seeds: Iterable[int] | None, progress: Progress) -> list[int]:
    if n is not None and n < 1:
        raise OptionError(f"--count takes 1 or more, not {n}")
    if seeds is not None:
        if n is not None or seed is not None:
            raise UsageError("--seeds says which works to make; leave --seed and --count out")
        wanted = list(seeds)
        if not wanted:
            raise UsageError("--seeds is empty; give numbers, for example 0,1,4-6")
    else:
        if seed is None:
            if processes()[1] > 1:
                raise UsageError("several processes need one common seed; give --seed or --seeds")
            seed = secrets.randbelow(_DRAWN_BELOW)
            progress.say(f"seed {seed}, drawn at random; give --seed {seed} to make the same again")
        wanted = list(range(seed, seed + (n or 1)))
    for number in (min(wanted), max(wanted)):
        _check_seed(number)
    return wanted


def _check_seed(seed: int) -> None:
    if not 0 <= seed <= LARGEST_SEED:
        raise OptionError(f"--seed takes 0 to {LARGEST_SEED}, not {seed}")


def _share(seeds: list[int], *, whole: bool) -> list[int]:
    rank, world = processes()
    if whole:
        return seeds if rank == 0 else []
    return seeds[rank::world]


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


@cache
def _environment() -> dict[str, str]:
    return environment()


def _recipe(
    cls: type[Backend],
    verb: str,
    model: Model,
    work: Artwork,
    options: Options,
    inputs: Sequence[Input],
    mark: str = GENERATED,
) -> Recipe:
    # A file's option is told by its input, which has the hash too; so the recipe does not hang on how the path was typed.
    told = {option.name: getattr(options, option.name) for option in declared(type(options)) if not option.file}
    told |= {name: value for name, value in work.options.items() if value is not None}
    return Recipe(
        artgen=artgen.__version__,
        verb=verb,
        backend=f"{cls.modality}.{cls.name}",  # not the model's: a backend may work with a model of another
        seeds=work.seeds,
        model=_told(model),
        options=msgspec.json.decode(msgspec.json.encode(told)),
        inputs=tuple(item for item in inputs if item.role not in work.options),
        licence=model.config.licence,
        environment=_environment(),
        mark=mark,
    )


def _told(model: Model) -> dict[str, str]:
    if isinstance(model, NoModel):
        return {}
    place = {"place": model.place} if model.place else {}
    return {"name": model.name, "path": str(model.folder), "sha256": model.sha256, **place, **model.provenance}


def explain(error: BaseException) -> str:
    """One sentence for any exception, for callers that show it to a user."""
    if isinstance(error, ArtgenError):
        return str(error)
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
