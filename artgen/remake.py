"""Replay: make a work again from the recipe in its file and say how close it came."""

from __future__ import annotations

import itertools
import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from artgen import registry
from artgen.api import iter_generate, iter_modify
from artgen.artwork import Artwork, Audio, Image, Text, Video, grid, moving_grid, open_artwork, read_text
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import ArtgenError, ModelError, SourceError
from artgen.files import similar
from artgen.media import audio
from artgen.media.text import likeness, utf8
from artgen.model import Model, brought
from artgen.options import declared
from artgen.recipe import Input, Recipe, environment, file_sha256, read_json

_NEAR = 8.0
"""The mean difference, in levels of 255, up to which a remake still counts as the same work."""

_BELOW = 20.0
"""Decibels that the difference must be below a sound for a remake to count as the same work."""

_ALIKE = 0.9
"""The share of a text that has to come again for it to count as the same work."""


@dataclass(frozen=True)
class Replay:
    """What :func:`replay` found.

    ``state`` is ``identical`` (the same content, bit for bit), ``close``, or ``impossible``; ``distance`` is the largest
    and the mean difference in levels of 255 (of a sound the mean square's root, of a text twice the share that differs),
    ``reason`` one sentence, ``artwork`` the remake where there is one.
    """

    state: Literal["identical", "close", "impossible"]
    reason: str
    distance: tuple[float, float] | None = None
    artwork: Artwork | None = None


def replay(
    path: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
    recipe: Recipe | None = None,
) -> Replay:
    """Make the work in ``path`` again from its recipe and compare.

    The model is looked for where the recipe says, then among the starters, by its hash; ``model`` says where it is now.
    ``path`` may also be the recipe's own ``.json`` file beside the work. ``recipe`` is that of a work whose file does not tell it.

    Raises:
        SourceError: there is no such file, or it is neither a work nor a recipe.
    """
    work, text = _read(Path(path))
    if recipe is not None:
        text = recipe.to_json()
    if not text:
        return Replay("impossible", f"{path}: carries no recipe")
    recipe = recipe or read_json(text)
    if recipe is None:
        return Replay("impossible", f"{path}: its recipe is not complete (it was saved with --recipe minimal or none)")
    try:
        made = make(recipe, beside=work.parent, model=model, device=device, progress=progress)
    except ArtgenError as error:
        return Replay("impossible", f"{path}: {error}{_other_versions(recipe)}")
    return _compare(work, made, recipe, text)


def make(
    recipe: Recipe,
    *,
    beside: str | os.PathLike[str] = ".",
    model: str | os.PathLike[str] | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Artwork:
    """The work that a recipe tells of; what went into it is looked for at its place and in the folder ``beside``.

    Raises:
        SourceError: a model or a file that went into it is gone or has changed.
    """
    return _make(recipe, _find_model(recipe, model), Path(beside), device, progress)


def _read(path: Path) -> tuple[Path, str | None]:
    if not path.is_file():
        raise SourceError(f"{path}: no such file{similar(path)}")
    if path.suffix == ".json":
        return _work_beside(path), path.read_text(encoding="utf-8", errors="replace")
    text = read_text(path)
    if not text:
        for sidecar in (path.with_name(path.name + ".json"), path.with_suffix(".json")):
            if sidecar.is_file():
                return path, sidecar.read_text(encoding="utf-8", errors="replace")
    return path, text


def _work_beside(sidecar: Path) -> Path:
    named = sidecar.with_suffix("")
    if named.is_file():
        return named
    for other in sorted(sidecar.parent.glob(f"{sidecar.stem}.*")):
        if other != sidecar and other.is_file():
            return other
    raise SourceError(f"{sidecar}: the work that it tells of is not beside it")


def _find_model(recipe: Recipe, model: str | os.PathLike[str] | None) -> Model:
    cls = registry.get(recipe.modality, recipe.backend.partition(".")[2])
    wanted = recipe.model.get("sha256", "")
    if model is not None:
        given = cls.find_model(os.fspath(model))
        if given.sha256 != wanted:
            raise SourceError(f"--model {model} has other weights than the model that made it ({recipe.model.get('name', '')})")
        return given
    if not cls.needs_model:
        return cls.find_model(None)
    places = [recipe.model.get("path", ""), *map(str, brought(cls)), recipe.model.get("place", "")]
    changed = ""
    for place in filter(None, places):
        try:
            found = cls.find_model(place)
        except ModelError:
            continue
        if found.sha256 == wanted:
            return found
        changed = changed or (" (what is there now has other weights)" if place == places[0] else "")
    name, place = recipe.model.get("name", "?"), places[0] or "?"
    raise SourceError(f"its model {name} is not at {place}{changed}; say with --model where it is now")


def _make(recipe: Recipe, model: Model, beside: Path, device: str, progress: Progress) -> Artwork:
    cls = registry.get(recipe.modality, recipe.backend.partition(".")[2])
    options = {**recipe.options, **_files(cls, recipe, beside)}
    common: dict[str, Any] = {"model": model, "backend": cls.name, "device": device, "progress": progress}
    if recipe.verb == "modify":
        role = [item for item in recipe.inputs if item.role == "input"]
        inputs = [_unchanged(item, beside) for item in role]
        made = list(iter_modify(recipe.modality, inputs, seed=recipe.seeds[0], **common, **options))
    elif recipe.verb == "generate":
        made = list(iter_generate(recipe.modality, seeds=recipe.seeds, share=False, **common, **options))
    else:
        raise SourceError(f"it was made with {recipe.verb}, which this artgen cannot make again")
    return _lay_out(recipe, made, beside)


def _lay_out(recipe: Recipe, made: list[Artwork], beside: Path) -> Artwork:
    kind, _, size = recipe.layout.partition(" ")
    pictures = [work for work in made if isinstance(work, Image)]
    if kind == "grid":
        columns, rows = (int(number) for number in size.split("x"))
        clips = [work for work in made if isinstance(work, Video)]
        return moving_grid(clips, columns, rows) if clips else grid(pictures, columns, rows)
    if kind == "compare" and pictures:
        before = open_artwork(_unchanged(next(item for item in recipe.inputs if item.role == "input"), beside))
        return side_by_side(before, pictures[0])
    if recipe.layout:
        raise SourceError(f"its layout {recipe.layout!r} is not one that this artgen knows; a newer artgen may")
    return made[0]


def side_by_side(before: Artwork, after: Image) -> Image:
    """One picture with ``before`` on the left, scaled to the height of ``after``, which is on the right.

    Raises:
        SourceError: ``before`` is no picture.
    """
    if not isinstance(before, Image):
        raise SourceError(f"{before.name}: only pictures can stand side by side")
    height = after.pixels.shape[0]
    left = before.to_pil().convert("RGB")
    left = left.resize((max(1, round(left.width * height / left.height)), height))
    both = np.concatenate([np.asarray(left), np.asarray(after.to_pil().convert("RGB"))], axis=1)
    return Image(both, seeds=after.seeds)


def _files(cls: type[Backend], recipe: Recipe, beside: Path) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option in declared(getattr(cls, recipe.verb.capitalize(), cls.Generate)):
        found = [_unchanged(item, beside) for item in recipe.inputs if item.role == option.name]
        if found:
            options[option.name] = found if option.kind is list else found[0]
    return options


def _unchanged(item: Input, beside: Path) -> str:
    """Where an input is now: at its place or beside the work; its hash must be the one in the recipe."""
    if not item.path:
        raise SourceError(f"its {item.role} was not a file, so it cannot be read again")
    there = [place for place in (Path(item.path), beside / item.name) if place.is_file()]
    for place in there:
        if file_sha256(place) == item.sha256:
            return str(place)
    fault = f"has changed since (it is not the {item.name} that was used)" if there else "is gone"
    raise SourceError(f"its {item.role} {item.path} {fault}")


def _compare(path: Path, made: Artwork, recipe: Recipe, text: str) -> Replay:
    if isinstance(made, Text):
        return _compare_texts(path, made, recipe)
    if isinstance(made, Audio):
        return _compare_sounds(path, made, recipe, text)
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / f"again{path.suffix}"
        made.encode(again, text, recipe.mark)
        same_bytes = again.read_bytes() == path.read_bytes()
        # Both went through the same encoder, so that a lossy format is compared like with like.
        first, second = (open_artwork(file, recipe.modality).numpy() for file in (path, again))
    if same_bytes:
        return Replay("identical", f"{path}: identical, every byte", (0.0, 0.0), made)
    if first.shape != second.shape:
        shapes = f"{list(first.shape)} in the file, {list(second.shape)} now"
        return Replay("impossible", f"{path}: made again, but of another shape ({shapes}){_other_versions(recipe)}", None, made)
    # Numbers of a plugin's own kind have any range: they are told as if it were that of a picture.
    levels = 1.0 if first.dtype == np.uint8 else 255.0 / (float(np.ptp(first)) or 1.0)
    difference = levels * np.abs(first.astype(np.float64) - second.astype(np.float64))
    largest, mean = float(difference.max(initial=0.0)), float(difference.mean()) if difference.size else 0.0
    if largest == 0:
        return Replay("identical", f"{path}: identical content; the file around it was written differently", (0.0, 0.0), made)
    distance = f"largest difference {largest:g} of 255, mean {mean:.3g}"
    if mean <= _NEAR:
        return Replay("close", f"{path}: close, {distance}{_other_versions(recipe)}", (largest, mean), made)
    return Replay("impossible", f"{path}: made again, but far from it, {distance}{_other_versions(recipe)}", (largest, mean), made)


def _compare_sounds(path: Path, made: Audio, recipe: Recipe, text: str) -> Replay:
    """Compare block by block: a sound of any length needs little memory."""
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / f"again{path.suffix}"
        made.encode(again, text, recipe.mark)
        same_bytes = again.stat().st_size == path.stat().st_size and file_sha256(again) == file_sha256(path)
        shapes, largest, total, loud, count = _differences(path, again)
    if same_bytes:
        return Replay("identical", f"{path}: identical, every byte", (0.0, 0.0), made)
    if shapes[0] != shapes[1]:
        told = f"{list(shapes[0])} in the file, {list(shapes[1])} now"
        return Replay("impossible", f"{path}: made again, but of another shape ({told}){_other_versions(recipe)}", None, made)
    if largest == 0:
        return Replay("identical", f"{path}: identical content; the file around it was written differently", (0.0, 0.0), made)
    below = 10 * math.log10(loud / total) if loud else -math.inf
    distance = (127.5 * largest, 127.5 * math.sqrt(total / count))
    told = f"the difference is {abs(below):.0f} dB {'below' if below >= 0 else 'above'} the sound{_other_versions(recipe)}"
    if below >= _BELOW:
        return Replay("close", f"{path}: close, {told}", distance, made)
    return Replay("impossible", f"{path}: made again, but far from it, {told}", distance, made)


def _differences(first: Path, second: Path) -> tuple[tuple[tuple[int, int], tuple[int, int]], float, float, float, int]:
    """Of two sounds: their shapes, the largest difference, the sums of squares of difference and of the first, and the samples."""
    largest, total, loud, count = 0.0, 0.0, 0.0, 0
    with audio.opened(first) as one, audio.opened(second) as two:
        if one.channels == two.channels:
            nothing = np.zeros((0, one.channels), np.float32)
            for left, right in itertools.zip_longest(one.blocks(), two.blocks(), fillvalue=nothing):
                length = min(len(left), len(right))
                apart = (left[:length] - right[:length]).astype(np.float64)
                largest = max(largest, float(np.abs(apart).max(initial=0.0)))
                total, loud = total + float((apart**2).sum()), loud + float((left.astype(np.float64) ** 2).sum())
                count += apart.size
        return ((one.count, one.channels), (two.count, two.channels)), largest, total, loud, count


def _compare_texts(path: Path, made: Text, recipe: Recipe) -> Replay:
    data = utf8(made.characters)
    if data == path.read_bytes():
        return Replay("identical", f"{path}: identical, every byte", (0.0, 0.0), made)
    work = open_artwork(path)
    if not isinstance(work, Text):
        raise SourceError(f"{path}: its recipe tells of a text, but it is {work.modality}")
    first, second = utf8(work.characters).decode(), data.decode()
    same = likeness(first, second)
    if same == 1:
        return Replay("identical", f"{path}: identical content; the file around it was written differently", (0.0, 0.0), made)
    told = f"{same:.1%} of the text is the same{_other_versions(recipe)}"
    distance = (1 - same, 1 - same)
    if same >= _ALIKE:
        return Replay("close", f"{path}: close, {told}", distance, made)
    return Replay("impossible", f"{path}: made again, but far from it, {told}", distance, made)


def _other_versions(recipe: Recipe) -> str:
    import artgen

    there = {"artgen": recipe.artgen, **recipe.environment}
    here = {"artgen": artgen.__version__, **environment()}
    other = [f"{name} {value} there and {here[name]} here" for name, value in there.items() if here.get(name, value) != value]
    return f"; {', '.join(other)}" if other else ""
