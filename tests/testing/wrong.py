"""Deliberately wrong backends: each breaks one promise, and the kit has to find that one and no other."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
from tints import Tints

from artgen.artwork import Artwork, Image
from artgen.backend import SILENT, Score
from artgen.errors import SourceError
from artgen.options import Meta, Options

RELEASE = threading.Event()
"""Ends the threads that the backend with a thread leaves running."""


class Unsigned(Tints):
    """Names no source of its method."""

    source = ""


class Misspelt(Tints):
    """Has a verb that artgen never calls."""

    def generat(self) -> None:
        """Not a verb."""


class Unsupported(Tints):
    """Has an option that no command line can take."""

    class Evaluate(Options):
        weights: Annotated[dict[str, float], Meta(description="Weights of the measures.")] = {}  # noqa: RUF012 - wrong on purpose


class Undocumented(Tints):
    """Has an option that says nothing."""

    class Evaluate(Options):
        limit: Annotated[int, Meta(ge=1)] = 4


class BadDefault(Tints):
    """Has a default outside its range."""

    class Evaluate(Options):
        limit: Annotated[int, Meta(ge=1, description="How many are looked at.")] = 0


class Lenient(Tints):
    """Takes values outside their ranges."""

    class Evaluate(Options):
        limit: Annotated[int, Meta(ge=1, description="How many are looked at.")] = 4

        def __post_init__(self) -> None:
            pass


class OwnFlag(Tints):
    """Takes a flag that is artgen's."""

    class Evaluate(Options):
        output: Annotated[str, Meta(description="Where to write.")] = ""


class Divided(Tints):
    """Is refused by the registry for a reason that no other check looks for: its short flag is artgen's."""

    class Evaluate(Options):
        limit: Annotated[int, Meta(ge=1, description="How many are looked at.", extra={"short": "-o"})] = 4


class Unable(Tints):
    """Fails in a verb."""

    def evaluate(self, *args: Any) -> dict[str, Score]:
        raise ZeroDivisionError("no data")


class Forgetful(Tints):
    """Keeps a part of what it learned in memory alone."""

    def train(self, *args: Any) -> Any:
        model = super().train(*args)
        model.cache["lift"] = 40.0
        return model

    def _colour(self, model: Any) -> Any:
        return super()._colour(model) - 20 + model.cache.get("lift", 0.0)


class Moody(Tints):
    """Learns something else each time."""

    def _save(self, run: Any, colour: Any) -> Any:
        return super()._save(run, colour + time.perf_counter() % 1)


class Restarting(Tints):
    """Loses what it had learned when it goes on."""

    def _state(self, run: Any) -> tuple[int, Any]:
        step, colour = super()._state(run)
        return step, colour * 0


class ByPosition(Tints):
    """A work depends on its place in the order."""

    def _grain(self, seed: int, index: int) -> Any:
        return super()._grain(seed + 1000 * index, index)


class Deaf(Tints):
    """Does not listen to the seed."""

    def _grain(self, seed: int, index: int) -> Any:
        return super()._grain(0, index)


class Nameless(Image):
    """A picture whose files do not tell how it was made."""

    def encode(self, path: Path, text: str, mark: str) -> None:
        super().encode(path, "", "")


class Silenced(Tints):
    """Makes pictures that do not tell how they were made."""

    def _work(self, pixels: Any) -> Artwork:
        return Nameless(pixels)


class Mistold(Tints):
    """Tells a wrong seed in the recipe."""

    def _work(self, pixels: Any) -> Artwork:
        return Image(pixels, seeds=(0,))


class Shrinking(Tints):
    """Gives a smaller picture back."""

    def _changed(self, artwork: Any, random: Any, strength: float, number: int) -> Artwork:
        work = super()._changed(artwork, random, strength, number)
        assert isinstance(work, Image)
        return Image(work.pixels[:-1])


class Overwriting(Tints):
    """Changes the user's own picture."""

    def _changed(self, artwork: Any, random: Any, strength: float, number: int) -> Artwork:
        work = super()._changed(artwork, random, strength, number)
        artwork.pixels[:] = work.numpy()
        return Image(artwork.pixels.copy())


class Unmarked(Tints):
    """Gives changed pictures without the mark."""

    def _changed(self, artwork: Any, random: Any, strength: float, number: int) -> Artwork:
        return Nameless(super()._changed(artwork, random, strength, number).numpy())


class Neighbourly(Tints):
    """A changed picture depends on those that came before it."""

    def _changed(self, artwork: Any, random: Any, strength: float, number: int) -> Artwork:
        random.standard_normal(number)
        return super()._changed(artwork, random, strength, number)


class Speechless(Tints):
    """Does not say what a score means."""

    def evaluate(self, *args: Any) -> dict[str, Score]:
        return {"colour": Score(1.0)}


class Calling(Tints):
    """Asks the network, and goes on without an answer."""

    def _colour(self, model: Any) -> Any:
        with contextlib.suppress(OSError):
            socket.create_connection(("192.0.2.1", 80), timeout=0.01).close()
        return super()._colour(model)


class Dependent(Tints):
    """Does not work without the network."""

    def _colour(self, model: Any) -> Any:
        socket.getaddrinfo("example.invalid", 80)
        return super()._colour(model)


class Accelerated(Tints):
    """Asks for CUDA whatever the device."""

    def _colour(self, model: Any) -> Any:
        import torch

        return torch.zeros(3, device="cuda").numpy() + super()._colour(model)


class Littering(Tints):
    """Writes a log where artgen was called from."""

    def _colour(self, model: Any) -> Any:
        Path("tints.log").write_text("made one\n")
        Path("tints.log").unlink()  # gone at the end, but a read-only folder has refused it
        return super()._colour(model)


class Leaving(Tints):
    """Leaves a temporary file."""

    def _colour(self, model: Any) -> Any:
        handle, _ = tempfile.mkstemp()
        os.close(handle)
        return super()._colour(model)


class Lingering(Tints):
    """Leaves a thread running."""

    def _colour(self, model: Any) -> Any:
        threading.Thread(target=RELEASE.wait, args=(60,), name="lingering", daemon=True).start()
        return super()._colour(model)


class Seeding(Tints):
    """Seeds the global generator."""

    def _colour(self, model: Any) -> Any:
        random.seed(0)
        return super()._colour(model)


class Pickling(Tints):
    """Keeps a pickle beside the run."""

    def _save(self, run: Any, colour: Any) -> Any:
        (run.folder / "colour.bin").write_bytes(b"\x80\x04K\x01.")
        return super()._save(run, colour)


class Watched(Tints):
    """Makes other works when someone looks."""

    def generate(self, model: Any, seeds: Any, options: Any, progress: Any = SILENT) -> Iterator[Artwork]:
        if progress is not SILENT:
            options = options.replace(grain=options.grain + 9)
        yield from super().generate(model, seeds, options, progress)


class Unfinished(Tints):
    """Begins and never ends."""

    def generate(self, model: Any, seeds: Any, options: Any, progress: Any = SILENT) -> Iterator[Artwork]:
        progress.start("making pictures")
        yield from super().generate(model, seeds, options, progress)


class Credulous(Tints):
    """Falls over an empty folder."""

    def prepare(self, sources: Any, *args: Any) -> Any:
        try:
            return super().prepare(sources, *args)
        except SourceError:
            raise KeyError(str(sources[0])) from None


class Trusting(Tints):
    """Reads the weights itself, whatever they are."""

    def _colour(self, model: Any) -> Any:
        from safetensors.numpy import load_file

        return load_file(model.folder / "model.safetensors")["colour"]


class Expecting(Tints):
    """Takes it that every picture has three channels."""

    def _changed(self, artwork: Any, random: Any, strength: float, number: int) -> Artwork:
        work = super()._changed(artwork, random, strength, number)
        return Image((work.numpy() * np.array([1, 1, 1])).astype(np.uint8))


class Undeclared(Tints):
    """Measures in training what it does not declare."""

    metrics = ("colour",)

    def task(self, dataset: Any, options: Any) -> Any:
        return [SimpleNamespace(metrics={"colour": "lower", "tone": "lower"})]


CASES: dict[str, tuple[type[Tints], str]] = {
    "described": (Unsigned, "source to name the paper"),
    "verbs": (Misspelt, "generat is not one of them; did you mean generate?"),
    "options-supported": (Unsupported, "an option is bool"),
    "options-documented": (Undocumented, "--limit of evaluate says nothing"),
    "options-defaults": (BadDefault, "--limit takes 1 or more, not 0"),
    "options-refuse": (Lenient, "it takes the value"),
    "options-own-flags": (OwnFlag, "--output is one of artgen's"),
    "usable": (Divided, "-o, which is one of artgen's own flags"),
    "runs": (Unable, "ZeroDivisionError: no data"),
    "save-load": (Forgetful, "opened again, but they are others"),
    "same-training": (Moody, "colour came out otherwise"),
    "resume": (Restarting, "a run that was never stopped, but colour came out otherwise"),
    "metrics": (Undeclared, "only colour, but the task measures tone too; add to Undeclared.metrics"),
    "same-seed": (ByPosition, "it gave two"),
    "different-seeds": (Deaf, "gave the same one"),
    "recipe": (Silenced, "the file carries none"),
    "replay": (Mistold, "replay of a .png file"),
    "modify-size": (Shrinking, "keep the size 37x53, but it gave 37x52"),
    "modify-inputs": (Overwriting, "changed it in place"),
    "modify-marked": (Unmarked, "the file carries no recipe"),
    "modify-repeats": (Neighbourly, "wide.png came out otherwise"),
    "scores": (Speechless, "a description of colour"),
    "offline": (Calling, "192.0.2.1"),
    "cpu": (Accelerated, "it started CUDA"),
    "working-folder": (Littering, "tints.log"),
    "no-leftovers": (Leaving, "no temporary files"),
    "no-threads": (Lingering, "lingering"),
    "global-state": (Seeding, "the state of random"),
    "no-pickle": (Pickling, "colour.bin"),
    "progress-optional": (Watched, "with a progress display"),
    "progress-balanced": (Unfinished, "of 2 were not"),
    "errors-sources": (Credulous, "KeyError"),
    "errors-model": (Trusting, "it went on as if nothing were wrong"),
    "errors-inputs": (Expecting, "modify of transparent.png to work, or to end in one sentence"),
}
"""Check -> the backend that fails it and no other, and what the reason says. The one for light-import has a module of its own."""
