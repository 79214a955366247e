"""The contract of a backend, version 1: what a plugin author implements, whole.

A backend is one method (a GAN, a recurrent network) for one modality (image, audio, text, video, or one that a plugin adds).
It declares its options as classes and implements the verbs it can; a verb that it does not implement
is not offered. Import torch inside methods only: listing and help must not pay for it.

A plugin is a package with an entry point in the group ``artgen.backends``, name ``<modality>.<backend>``, value
``module:Class``. It writes ``api_version = 1`` into its class: an artgen whose contract is another refuses it with a sentence.

What a plugin may build on, with the same promise of stability: this module; :mod:`artgen.options`, :mod:`artgen.errors`,
:mod:`artgen.artwork`, :mod:`artgen.dataset`, :mod:`artgen.model`, :mod:`artgen.recipe`, :mod:`artgen.files`, :mod:`artgen.hub`;
:mod:`artgen.training` (``fit``, ``seeded``, ``Task``, ``Phase``, ``Batch``, ``Position``, ``Layout``, ``Run``); :mod:`artgen.media`
(decode, encode, prepare); :mod:`artgen.nn` and :mod:`artgen.metrics`; :mod:`artgen.testing` for its tests. Names with a leading
underscore, the command line and the registry are artgen's own.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

from artgen.errors import UsageError
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from torch import nn

    from artgen.artwork import Artwork
    from artgen.codecs import Codec
    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training.run import Run
    from artgen.training.task import Task

API_VERSION = 1
VERBS = ("prepare", "train", "generate", "modify", "evaluate")

_EVERYWHERE = ("backend", "debug", "help", "json", "progress", "version")
_WORKS = (*_EVERYWHERE, "device", "format", "model", "open", "output", "recipe", "seed", "sign", "sign_key", "thumbnail")
RESERVED: dict[str, frozenset[str]] = {
    "prepare": frozenset((*_EVERYWHERE, "modality", "output", "sources")),
    "train": frozenset((*_EVERYWHERE, "config", "device", "dry_run", "modality", "output", "resume", "source")),
    "generate": frozenset((*_WORKS, "count", "grid", "modality", "n", "seeds", "share")),
    "modify": frozenset((*_WORKS, "compare", "inputs", "modality")),
    "evaluate": frozenset((*_EVERYWHERE, "dataset", "device", "modality", "model", "output")),
}
"""The names that artgen itself gives to each verb, as flags or in Python: an option of a backend takes none of them."""


@dataclass(frozen=True)
class Score:
    """One measured number of :meth:`Backend.evaluate`.

    ``floor`` is the same measure between two halves of the real data: what a perfect model would get.
    ``sheet`` is a picture, sound or text that explains the number, when there is one.
    """

    value: float
    floor: float | None = None
    better: Literal["lower", "higher", "near floor"] = "lower"
    description: str = ""
    protocol: str = ""
    sheet: Artwork | None = None


class Progress(Protocol):
    """How a backend tells the caller what it does; every call may be left out."""

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        """Begin one piece of work of ``total`` units."""

    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None:
        """The piece begun last is of ``total`` units after all, and takes ``seconds`` more where that is known.

        ``before`` units were done at another time: they count, but for no rate of today.
        """

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """``amount`` units more are done."""

    def partial(self, artwork: Artwork) -> None:
        """A work as it forms: text while it is written, a picture while it takes shape."""

    def say(self, sentence: str) -> None:
        """One sentence for the user, on stderr."""

    def finish(self) -> None:
        """The piece of work begun last is done."""


class Silent:
    """A :class:`Progress` that shows nothing."""

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        """Nothing."""

    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None:
        """Nothing."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Nothing."""

    def partial(self, artwork: Artwork) -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


SILENT = Silent()


DEFAULT_MINUTES = 30.0
"""The budget of a training that is given none."""


class TrainOptions(Options):
    """The options of the shared training loop; a backend adds its own below them."""

    steps: Annotated[int | None, Meta(ge=1, description="Stop after this many steps.", extra={"unit": "steps"})] = None
    items: Annotated[
        int | None, Meta(ge=1, description="Stop after this many training items were seen.", extra={"unit": "items"})
    ] = None
    minutes: Annotated[
        float | None,
        Meta(
            gt=0, description="Stop after this much time: 90s, 20m or 2h; 30m where no budget is given.", extra={"unit": "minutes"}
        ),
    ] = None
    until: Annotated[
        str | None, Meta(description='Stop once a metric is reached, for example "fd<=40"; combine with a budget.')
    ] = None
    patience: Annotated[
        int | None, Meta(ge=1, description="Stop after this many evaluations without improvement.", extra={"unit": "evaluations"})
    ] = None
    best_by: Annotated[
        str, Meta(description="Metric that decides which model is kept as the best; auto picks one, none keeps the last.")
    ] = "auto"
    batch_size: Annotated[int, Meta(ge=1, le=65536, description="Items per step, over all processes.", extra={"unit": "items"})] = (
        32
    )
    micro_batch: Annotated[
        int | None,
        Meta(ge=1, description="Items that go through the network at once; smaller needs less memory.", extra={"unit": "items"}),
    ] = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Fixes every random draw of the run.")] = 0
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], Meta(description="Number format; auto measures and picks the fastest.")
    ] = "auto"
    memory_format: Annotated[
        Literal["auto", "contiguous", "channels-last"], Meta(description="Layout of pictures in memory; auto measures.")
    ] = "auto"
    weights: Annotated[
        Literal["fp32", "fp16", "bf16"], Meta(description="Number format of the saved model; fp16 halves its size.")
    ] = "fp32"
    previews: Annotated[int, Meta(ge=0, le=1000, description="Previews (and evaluations) spread over the run.")] = 20
    save_every: Annotated[float, Meta(gt=0, description="Time between saved states.", extra={"unit": "minutes"})] = 2.0
    save_steps: Annotated[
        int | None, Meta(ge=1, description="Save a state every so many steps as well.", extra={"unit": "steps"})
    ] = None


class Backend(ABC):
    """One method for one modality. Subclasses set the class variables and implement the verbs they can.

    ``api_version`` is the version of this contract that the class is written for: a plugin writes the number down.
    ``summary`` is one line for help and lists, ``source`` the paper or project that the method comes from.
    ``needs_model`` is False for a pure algorithm: it then gets a :class:`artgen.model.NoModel`, and works without ``--model``.
    ``metrics`` are what its trainings may measure, for ``--until`` and ``--best-by``: with them a wrong name is told before data
    is prepared; without, once training begins.

    Construction takes no arguments and does nothing heavy; a new instance is made for every use.
    """

    api_version: ClassVar[int] = API_VERSION
    modality: ClassVar[str]
    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str] = ""
    needs_model: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ()

    # What each verb can be asked for; a backend redeclares those it needs, as nested classes or classes from elsewhere.
    Prepare: ClassVar[type[Options]] = Options
    Train: ClassVar[type[TrainOptions]] = TrainOptions
    Generate: ClassVar[type[Options]] = Options
    Modify: ClassVar[type[Options]] = Options
    Evaluate: ClassVar[type[Options]] = Options

    @classmethod
    def verbs(cls) -> tuple[str, ...]:
        """The verbs this backend implements; ``train`` counts when :meth:`task` or :meth:`train` is given."""
        own = {verb for verb in VERBS if getattr(cls, verb) is not getattr(Backend, verb)}
        if cls.task is not Backend.task:
            own.add("train")
        return tuple(verb for verb in VERBS if verb in own)

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """The model to work with: the one at ``place`` (a folder, a run, a starter's name), else the one that comes along.

        Without ``place`` that is artgen's starter for this backend, else the first model in a folder ``starters`` beside the
        module of the class. A backend that works with models of others (a folder in Hugging Face layout, a name on the Hub, the
        network of another backend) overrides this; :class:`artgen.model.Foreign` is a model that artgen did not write.

        Raises:
            ModelError: there is none, it is damaged, or it is of another backend.
        """
        from artgen.model import find_model

        return find_model(cls, place)

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Options, progress: Progress = SILENT) -> Dataset:
        """Decode ``sources`` once into a dataset in ``folder``."""
        raise self._missing("prepare")

    def build(self, config: dict[str, object]) -> nn.Module:
        """Construct the network that ``config`` (the ``network`` part of a model's config.json) describes."""
        raise self._missing("build")

    def task(self, dataset: Dataset, options: Options) -> Task | Sequence[Task]:
        """What one training step computes; several tasks are stages, run in order by the loop."""
        raise self._missing("train")

    def settled(self, options: Options, dataset: Dataset | None = None) -> dict[str, object]:
        """What ``options`` of a training come to where they leave something open, by name; ``--dry-run`` tells it.

        Without ``dataset`` only what does not depend on it. The default settles nothing.
        """
        return {}

    def demands(self, options: Options) -> dict[str, object]:
        """The options of ``prepare`` that the options of a training ask of raw sources (the rate of a codec), by name.

        They are taken where the user left them open; another value is refused before anything is prepared. What else is wrong
        with ``options`` can be raised here as well. The default asks for nothing.
        """
        return {}

    def train(self, dataset: Dataset, run: Run, options: Options, progress: Progress = SILENT) -> Model:
        """Train on ``dataset`` in ``run``; the default builds :meth:`task` from the run's seed and gives it to the shared loop."""
        from artgen.training import fit, seeded

        with seeded(run.options.seed):
            task = self.task(dataset, options)
        return fit(task, dataset, run, progress)

    def generate(self, model: Model, seeds: Sequence[int], options: Options, progress: Progress = SILENT) -> Iterator[Artwork]:
        """Make one work a seed, in order; a work depends on its own seed alone."""
        raise self._missing("generate")

    def together(self, options: Options) -> bool:
        """Whether :meth:`generate` puts all seeds into one work (a walk); several processes then do not share them."""
        return False

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Options, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Make a changed version of each of the user's own works."""
        raise self._missing("modify")

    def evaluate(self, model: Model, dataset: Dataset, options: Options, progress: Progress = SILENT) -> dict[str, Score]:
        """Measure ``model`` against the real ``dataset``, each score with its real-against-real floor."""
        raise self._missing("evaluate")

    def codec(self, model: Model, codebooks: int) -> Codec:
        """The codec that ``model`` is, with its first ``codebooks`` codebooks, for methods that compose over the codes of sounds.

        Only a backend that is a codec implements it (:class:`artgen.codecs.Codec` says what one offers); :meth:`build` makes the
        codec again from its ``network``.
        """
        raise self._missing("code sounds")

    def _missing(self, verb: str) -> UsageError:
        return UsageError(f"{self.modality}.{self.name} does not {verb}; it can: {', '.join(self.verbs()) or 'nothing'}")
