"""The backend under test with what the checks share: its tiny data, and its two watched lives."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from artgen import api
from artgen.artwork import Artwork
from artgen.backend import SILENT, VERBS, Backend, Progress
from artgen.errors import OptionError, UsageError
from artgen.model import Model
from artgen.options import Options, declared, resolve
from artgen.testing import samples
from artgen.testing.life import FIRST, Life, live
from artgen.testing.verdict import Failure, NotApplicable

TINY: dict[str, dict[str, Any]] = {
    "prepare": {"resolution": 32, "workers": 1},
    # auto would measure the formats, and two measurements may choose differently.
    "train": {
        "steps": 2, "batch_size": 2, "previews": 0, "save_steps": 1, "best_by": "none", "precision": "fp32",
        "memory_format": "contiguous",
    },
    "generate": {},
    "modify": {"iterations": 2, "continue_": 8},
    "evaluate": {"items": 4},
}  # fmt: skip
"""The options that the kit gives, where a backend declares them and allows the value; the caller's win."""

SEEDS = (11, 12, 13)


class Subject:
    """One backend class, held to the contract with ``options`` (by verb), ``sources`` and ``model`` of its author's choice.

    Raises:
        UsageError: ``options`` names no verb.
        OptionError: ``options`` gives a value that the class does not allow.
    """

    def __init__(
        self,
        cls: type[Backend],
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        sources: Sequence[str | Path] | None = None,
        model: str | Path | None = None,
    ) -> None:
        self.cls = cls
        self.given = {verb: dict(values) for verb, values in (options or {}).items()}
        self._sources, self._model = sources, model
        self._own: list[Path] = []
        for verb in self.given:
            if verb not in VERBS:
                raise UsageError(f"options for {verb!r}: there is no such verb; give options for {', '.join(VERBS)}")
        for verb in set(self.given) & set(cls.verbs()):
            with contextlib.suppress(NotApplicable):
                self.options(verb)  # a wrong option is the caller's mistake, not a finding
        self.folder = Path(tempfile.mkdtemp(prefix="artgen-conformance-")).resolve()
        self.close = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        atexit.register(self.close)

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs that the class implements."""
        return self.cls.verbs()

    def declaration(self, verb: str) -> type[Options]:
        """The class that declares the options of ``verb``."""
        kind: type[Options] = getattr(self.cls, verb.capitalize())
        return kind

    def options(self, verb: str) -> dict[str, Any]:
        """The options for ``verb``: the tiny ones that it declares and allows, then the author's.

        Raises:
            NotApplicable: the declaration itself is at fault, for which there is another check.
        """
        kind = self.declaration(verb)
        given = self.given.get(verb, {})
        try:
            names = {option.name for option in declared(kind)}
        except TypeError:
            raise NotApplicable(f"the options of {verb} cannot be read; see the check options-supported") from None
        tiny = {name: value for name, value in TINY[verb].items() if name in names and name not in given}
        chosen = {name: value for name, value in tiny.items() if _allowed(kind, {name: value}, given)} | given
        try:
            resolve(kind, chosen)
        except OptionError:
            if given and not _faulty_defaults(kind):
                raise
            raise NotApplicable(f"{verb} does not take its own defaults; see the check options-defaults") from None
        return chosen

    @cached_property
    def sources(self) -> list[Path]:
        """What is prepared and trained on.

        Raises:
            NotApplicable: a modality that the kit has no data for, and nobody gives any.
        """
        if self._sources is not None:
            return [Path(source).resolve() for source in self._sources]
        folder = self.folder / "sources"
        if (own := getattr(self.cls, "sample_sources", None)) is not None:
            folder.mkdir()
            return [Path(source).resolve() for source in own(folder)]
        if (made := samples.sources(self.cls.modality, folder)) is None:
            advice = "give sources=, or a classmethod sample_sources(folder) that writes some"
            raise NotApplicable(f"the kit has no data of {self.cls.modality}: {advice}")
        return made

    @property
    def own_works(self) -> list[Path]:
        """Files of the user to modify: the kit's, else those that :meth:`adopt` was given.

        Raises:
            NotApplicable: there are none.
        """
        if not self._own:
            self._own = samples.own_works(self.cls.modality, self.folder / "own") or []
        if not self._own:
            raise NotApplicable(f"the kit has no works of {self.cls.modality} to modify, and the backend generates none")
        return self._own

    def adopt(self, works: Sequence[Artwork]) -> None:
        """Take works of the backend itself for those of a user, in a modality that the kit has none of."""
        folder = self.folder / "own"
        if self.cls.modality not in samples.MODALITIES and not self._own:
            folder.mkdir()
            self._own = [work.save(folder / f"{number}{work.endings[0]}") for number, work in enumerate(works[:2])]

    @cached_property
    def cold(self) -> Life:
        """Every verb once, in order, without a progress display; the first use of everything."""
        return live(self, FIRST, recorded=False)

    @cached_property
    def warm(self) -> Life:
        """Every verb again, with a progress display that records."""
        self.cold  # noqa: B018 - what is imported or cached at first use is that by now
        return live(self, "warm", recorded=True)

    def model(self) -> Model | None:
        """The model that works are made with, opened afresh; None where the backend finds its own.

        Raises:
            NotApplicable: there is none.
        """
        if "train" in self.verbs:
            trained: Model = self.cold.result("train")
            return Model.open(trained.folder)
        return self.own_model()

    def own_model(self) -> Model | None:
        """The model of a backend that is not trained here."""
        if self._model is not None:
            find = getattr(self.cls, "find_model", None)
            found: Model = find(str(self._model)) if find else Model.open(self._model)
            return found
        try:
            api.choose(self.cls.modality, self._making(), model=None, backend=self.cls.name)
        except UsageError as error:
            raise NotApplicable(f"it has no model to work with ({error}); give model= to the kit") from None
        return None

    def generate(
        self, seeds: Sequence[int], *, model: Model | None = None, progress: Progress = SILENT, **options: Any
    ) -> list[Artwork]:
        """Works for ``seeds``, made through the API as a user makes them.

        Raises:
            NotApplicable: the backend does not generate, or what it needs did not come about.
        """
        self.need("generate")
        self.cold.result("generate")
        chosen = {**self.options("generate"), **options}
        return api.generate(
            self.cls.modality, backend=self.cls.name, model=model or self.model(), seeds=seeds, device="cpu", progress=progress,
            **chosen,
        )  # fmt: skip

    def modify(self, inputs: Sequence[Path | Artwork], *, seed: int = SEEDS[0], progress: Progress = SILENT) -> list[Artwork]:
        """Changed versions of ``inputs``, made through the API as a user makes them."""
        self.need("modify")
        self.cold.result("modify")
        return api.modify(
            self.cls.modality, inputs, backend=self.cls.name, model=self.model(), seed=seed, device="cpu", progress=progress,
            **self.options("modify"),
        )  # fmt: skip

    def need(self, *verbs: str) -> None:
        """Go on only where the backend implements all ``verbs``."""
        for verb in verbs:
            if verb not in self.verbs:
                raise NotApplicable(f"it does not {verb}")

    def dataset_of_neighbour(self, place: Path) -> Path:
        """A dataset made by the modality's default backend, for a backend that trains but does not prepare."""
        try:
            return api.prepare(self.cls.modality, self.sources, place, **_tiny_prepare(self.cls.modality)).folder
        except UsageError as error:
            raise NotApplicable(f"it does not prepare, and no other backend of {self.cls.modality} does ({error})") from None

    def _making(self) -> str:
        for verb in ("generate", "modify", "evaluate"):
            if verb in self.verbs:
                return verb
        raise NotApplicable("it makes nothing")


def same(first: Artwork, second: Artwork) -> bool:
    """Whether two works have the same content, bit for bit."""
    one, other = first.numpy(), second.numpy()
    alike = type(first) is type(second) and one.dtype == other.dtype and one.shape == other.shape
    return alike and one.tobytes() == other.tobytes()


def require_same(first: Artwork, second: Artwork, expected: str, seen: str, advice: str) -> None:
    """Raise a :class:`Failure` that also says how far two works are apart, unless they are the same."""
    if same(first, second):
        return
    one, other = first.numpy(), second.numpy()
    if one.shape != other.shape:
        raise Failure(expected, f"{seen} (shapes {list(one.shape)} and {list(other.shape)})", advice)
    largest = abs(one.astype(float) - other.astype(float)).max(initial=0.0)
    raise Failure(expected, f"{seen} (largest difference {largest:g})", advice)


def _allowed(kind: type[Options], values: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    try:
        resolve(kind, given, values)
    except OptionError:
        return False
    return True


def _faulty_defaults(kind: type[Options]) -> bool:
    required = any(option.required for option in declared(kind))
    return not required and not _allowed(kind, {}, {})


def _tiny_prepare(modality: str) -> dict[str, Any]:
    kind = api.offering(modality, None, "prepare").Prepare
    names = {option.name for option in declared(kind)}
    return {name: value for name, value in TINY["prepare"].items() if name in names}
