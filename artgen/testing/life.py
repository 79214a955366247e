"""A life of a backend: every verb it has, one after the other, watched."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artgen import api
from artgen.artwork import Artwork
from artgen.backend import SILENT, Progress
from artgen.model import Model
from artgen.testing import samples
from artgen.testing.state import Snapshot, threads_left
from artgen.testing.verdict import NotApplicable
from artgen.testing.watch import Watch, watching

if TYPE_CHECKING:
    from artgen.testing.subject import Subject


FIRST = "cold"


class Recording:
    """A progress display that keeps what it was told.

    ``open`` is how many pieces of work were begun and not ended, ``advances`` how often something was done; ``faults`` says what no
    display could show.
    """

    def __init__(self) -> None:
        self.open = 0
        self.advances = 0
        self.started: list[str] = []
        self.faults: list[str] = []

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        """One more piece of work."""
        self.open += 1
        self.started.append(description)
        if not description.strip():
            self.faults.append("start() was called without a description")
        if total is not None and not total >= 0:
            self.faults.append(f"start({description!r}) was called with a total of {total}")

    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None:
        """Only within a piece of work."""
        if not self.open:
            self.faults.append("expect() was called outside start() and finish()")
        if not (total >= 0 and before >= 0):
            self.faults.append(f"expect() was called with a total of {total}, {before} of them done before")

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Only within a piece of work."""
        self.advances += amount > 0
        if not self.open:
            self.faults.append("advance() was called outside start() and finish()")

    def partial(self, artwork: Artwork) -> None:
        """A work as it forms."""
        if not isinstance(artwork, Artwork):
            self.faults.append(f"partial() was given {type(artwork).__name__}, not an Artwork")

    def say(self, sentence: str) -> None:
        """One sentence."""
        if not sentence.strip():
            self.faults.append("say() was called without a sentence")

    def finish(self) -> None:
        """One piece of work less."""
        if not self.open:
            self.faults.append("finish() was called more often than start()")
        self.open = max(0, self.open - 1)


@dataclass
class Life:
    """What happened: the result or the error of every verb, what was seen meanwhile, and what was left behind."""

    name: str
    folder: Path
    results: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    watch: Watch = field(default_factory=Watch)
    before: Snapshot = field(default_factory=Snapshot.now)
    after: Snapshot = field(default_factory=Snapshot.now)
    threads: list[str] = field(default_factory=list)
    temporary: list[str] = field(default_factory=list)
    changed_inputs: list[str] = field(default_factory=list)
    progress: Recording | None = None
    training_advances: int = 0

    def result(self, verb: str) -> Any:
        """What ``verb`` gave.

        Raises:
            NotApplicable: it failed or was not run; another check says more.
        """
        if verb in self.results:
            return self.results[verb]
        if verb in self.errors:
            raise NotApplicable(f"{verb} did not work; see the check {self.to_blame(verb)}")
        raise NotApplicable(self.reasons.get(verb, f"it does not {verb}"))

    def to_blame(self, verb: str) -> str:
        """The name of the check that tells why ``verb`` failed."""
        if self.watch.addresses and _caused(self.errors[verb], ConnectionRefusedError):
            return "offline"
        return "cpu" if self.watch.cuda and _caused(self.errors[verb], RuntimeError) else "runs"

    def do(self, verb: str, work: Callable[[], Any]) -> None:
        """Do the work of ``verb`` and keep what comes of it."""
        try:
            self.results[verb] = work()
        except NotApplicable as reason:
            self.reasons[verb] = str(reason)
        except (Exception, SystemExit) as error:
            self.errors[verb] = error


def live(subject: Subject, name: str, *, recorded: bool) -> Life:
    """Prepare, train, generate, modify and evaluate, as far as ``subject`` can, in folders of this life's own."""
    from artgen.testing.subject import SEEDS

    life = Life(name, subject.folder / name, progress=Recording() if recorded else None)
    progress: Progress = life.progress or SILENT
    modality, backend, verbs = subject.cls.modality, subject.cls.name, subject.verbs
    inputs = _collect_inputs(subject, life)
    with _surroundings(life.folder):
        threads, before = set(threading.enumerate()), Snapshot.now()
        with watching() as watch:
            life.watch = watch
            common: dict[str, Any] = {"backend": backend, "progress": progress}
            if "prepare" in verbs:
                place = life.folder / "dataset"
                life.do("prepare", lambda: api.prepare(modality, subject.sources, place, **common, **subject.options("prepare")))
            if "train" in verbs:
                begun = life.progress.advances if life.progress else 0
                life.do("train", lambda: _train(subject, life, common))
                life.training_advances = life.progress.advances - begun if life.progress else 0
            making = {**common, "device": "cpu"}
            if "generate" in verbs:
                life.do("generate", lambda: api.generate(
                    modality, seeds=SEEDS, model=_model(subject, life), **making, **subject.options("generate")
                ))  # fmt: skip
            subject.adopt(life.results.get("generate", ()))
            if "modify" in verbs:
                life.do("modify", lambda: api.modify(
                    modality, subject.own_works, seed=SEEDS[0], model=_model(subject, life), **making, **subject.options("modify")
                ))  # fmt: skip
            if "evaluate" in verbs:
                life.do("evaluate", lambda: _evaluate(subject, life, making))
        life.before, life.after = before, Snapshot.now()
        life.threads = threads_left(threads)
        before.restore()
    left = [place.relative_to(life.folder / "tmp") for place in (life.folder / "tmp").rglob("*")]
    # torch makes a folder for compiled code as soon as its compiler is imported, and keeps it for the next process.
    life.temporary = sorted(str(place) for place in left if not place.parts[0].startswith("torchinductor"))
    life.changed_inputs = [name for name, digest in inputs.items() if _digest(Path(name)) != digest]
    return life


def _train(subject: Subject, life: Life, common: dict[str, Any]) -> Model:
    dataset = _dataset(subject, life)
    return api.train(subject.cls.modality, dataset, life.folder / "run", device="cpu", **common, **subject.options("train"))


def _evaluate(subject: Subject, life: Life, making: dict[str, Any]) -> Any:
    dataset = _dataset(subject, life)
    model = _model(subject, life)
    if model is None:
        _, model = api.choose(subject.cls.modality, "evaluate", model=None, backend=subject.cls.name)
    return api.evaluate(subject.cls.modality, model, dataset, **making, **subject.options("evaluate"))


def _dataset(subject: Subject, life: Life) -> Path:
    """The dataset of the first life: what an evaluation keeps with it serves the second too."""
    if life.name != FIRST:
        return _dataset(subject, subject.cold)
    if "prepare" in subject.verbs:
        prepared: Path = life.result("prepare").folder
        return prepared
    place = life.folder / "dataset"
    return place if place.exists() else subject.dataset_of_neighbour(place)


def _model(subject: Subject, life: Life) -> Model | None:
    return Model.open(life.result("train").folder) if "train" in subject.verbs else subject.own_model()


def _collect_inputs(subject: Subject, life: Life) -> dict[str, str]:
    """The user's files that the verbs read, with their hashes."""
    files: list[Path] = []
    for wanted, verb in (("sources", "prepare"), ("own_works", "modify")):
        if verb not in subject.verbs or (wanted == "own_works" and subject.cls.modality not in samples.MODALITIES):
            continue
        try:
            places: list[Path] = getattr(subject, wanted)
        except NotApplicable as reason:
            life.reasons[verb] = str(reason)
            continue
        for place in places:
            files += [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    return {str(path): _digest(path) for path in files}


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "gone"


@contextmanager
def _surroundings(folder: Path) -> Iterator[None]:
    """A working folder, a folder for temporary files and a cache of this life's own."""
    places = {name: folder / name for name in ("cwd", "tmp", "cache")}
    for place in places.values():
        place.mkdir(parents=True)
    variables = {"TMPDIR": str(places["tmp"]), "ARTGEN_HOME": str(places["cache"])}
    kept = {name: os.environ.get(name) for name in variables}
    old, before = tempfile.tempdir, os.getcwd()  # noqa: PTH109 - text is what chdir takes
    try:
        os.environ.update(variables)
        tempfile.tempdir = str(places["tmp"])
        os.chdir(places["cwd"])
        yield
    finally:
        os.chdir(before)
        tempfile.tempdir = old
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _caused(error: BaseException | None, kind: type[BaseException]) -> bool:
    """Whether ``kind`` is among what led to ``error``."""
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False
