"""A run on disk: ``config.toml``, ``metrics.jsonl``, ``previews/``, ``state/``, ``model/`` (best) and ``model-last/``."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artgen.backend import TrainOptions
from artgen.dataset import Dataset
from artgen.errors import FullDiskError, OutputError, TrainingError
from artgen.files import sentences, typed, write_atomically
from artgen.options import Option, declared, toml_lines
from artgen.training.state import generations, load_state

CONFIG = "config.toml"
STATE = "state"
STAGE = 10**9
"""What the number of a stage counts in the name of a state, before the steps."""

# What may differ when a run goes on: how long it lasts and what it writes, never what it computes.
CHANGEABLE = ("steps", "items", "minutes", "until", "patience", "save_every", "save_steps", "micro_batch", "weights")


@dataclass(frozen=True)
class Run:
    """Where a training keeps its files, and what it was started with."""

    folder: Path
    backend: str
    options: TrainOptions
    device: str
    resume: bool

    @classmethod
    def create(
        cls, folder: str | Path, *, backend: str, options: TrainOptions, dataset: Dataset, resume: bool = False, device: str = "cpu"
    ) -> Run:
        """Start a run in a new folder, or go on with the one there.

        Raises:
            OutputError: the folder already holds a run and ``resume`` is not asked for, or it cannot be written.
            TrainingError: the run to go on with was made from other data or with other options.
        """
        folder = Path(folder)
        path = folder / CONFIG
        if path.exists() and not resume and generations(folder / STATE):
            raise OutputError(f"{folder}: there is a run already; go on with --resume, or choose another --output")
        run = cls(folder, backend, options, device, resume and path.exists())
        if run.resume:
            run._check(dataset)
        facts = {"backend": backend, "dataset": str(dataset.folder.resolve()), "fingerprint": dataset.fingerprint}
        with sentences(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, ("\n".join(toml_lines({**facts, **options.asdict()})) + "\n").encode())
        return run

    def forget(self) -> None:
        """Remove a run that ended at a mistake in its options before anything was trained; a prepared dataset in it stays."""
        if self.resume or any((self.folder / name).exists() for name in (STATE, "model")):
            return
        with contextlib.suppress(OSError):
            (self.folder / CONFIG).unlink()
            self.folder.rmdir()  # refused where something else is in it

    def state(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The newest saved state of a run that goes on; None for a new one or one that was stopped before it saved any."""
        return load_state(self.folder / STATE) if self.resume else None

    @contextlib.contextmanager
    def told_when_full(self) -> Iterator[None]:
        """A full disk after the first saved state costs no more than the steps since the last: say how to go on.

        Raises:
            FullDiskError: the disk is full.
        """
        try:
            yield
        except FullDiskError as error:
            if not (saved := generations(self.folder / STATE)):
                raise
            again = f"artgen {self.backend.partition('.')[0]} train --output {typed(self.folder)} --resume"
            step = int(saved[-1].name) % STAGE
            advice = f"what was trained up to step {step} is safe: free some space, then go on with {again}"
            raise FullDiskError(error.path, advice) from None

    def _check(self, dataset: Dataset) -> None:
        stored = tomllib.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        if stored.get("fingerprint", dataset.fingerprint) != dataset.fingerprint:
            raise TrainingError(
                f"{self.folder}: the run was started with other data than {dataset.folder}; "
                "give the same dataset or start a new run"
            )
        for option in declared(type(self.options)):
            now = getattr(self.options, option.name)
            # TOML has no word for "not given": such an option is missing in the file, as one is that there was not yet.
            before = stored.get(option.name, None if option.optional else option.default)
            before = tuple(before) if isinstance(before, list) else before
            if option.name not in CHANGEABLE and before != now:
                raise TrainingError(
                    f"{self.folder}: the run was started with {_apart(option, before, now)}; "
                    "leave it out to go on, or start a new run"
                )


def _apart(option: Option, before: object, now: object) -> str:
    """``--seed 0, not 5`` or ``--no-mirror, not --mirror``, as it would be typed."""
    if option.kind is bool:
        before, now = (option.flag if value else f"--no-{option.flag.removeprefix('--')}" for value in (before, now))
        return f"{before}, not {now}"
    before, now = ("left out" if value is None else value for value in (before, now))
    return f"{option.flag} {before}, not {now}"
