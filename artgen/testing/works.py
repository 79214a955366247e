"""Checks of what a backend makes: seeds, files, recipes, changed works, scores."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from artgen.artwork import Artwork, open_artwork, read_text
from artgen.backend import Score
from artgen.dataset import Dataset
from artgen.model import Model
from artgen.options import resolve
from artgen.recipe import COMPOSITE, Recipe, read_json
from artgen.testing.subject import SEEDS, Subject, require_same, same
from artgen.testing.verdict import Failure, NotApplicable, told

_BY_SEED = "draw every random number of a work from a generator made from its own seed"


def runs(subject: Subject) -> None:
    """Every verb does its work and gives what the contract says."""
    life = subject.cold
    for verb, error in life.errors.items():
        if (blamed := life.to_blame(verb)) != "runs":
            raise NotApplicable(f"{verb} did not work; see the check {blamed}")
        raise Failure(f"that {verb} works on tiny data", told(error), f"try {verb} on it yourself, with --debug") from error
    for verb in subject.verbs:
        if verb in life.results:
            _right_kind(subject, verb, life.results[verb])
    if not life.results:
        raise NotApplicable("; ".join(life.reasons.values()))


def _right_kind(subject: Subject, verb: str, result: Any) -> None:
    cls = subject.cls
    if verb == "prepare":
        if not (isinstance(result, Dataset) and result.kind == cls.modality and len(result)):
            raise Failure(f"prepare to give a dataset of {cls.modality}", f"it gave {result!r}", "return what write_manifest gives")
    elif verb == "train":
        full = f"{cls.modality}.{cls.name}"
        if not (isinstance(result, Model) and result.backend == full):
            raise Failure(f"train to give a model of {full}", f"it gave {_described(result)}", "save it with run.backend")
    elif verb in ("generate", "modify"):
        count = len(SEEDS) if verb == "generate" else len(subject.own_works)
        alone = verb == "generate" and cls().together(resolve(cls.Generate, subject.options("generate")))
        count = 1 if alone else count
        if len(result) != count or not all(isinstance(work, Artwork) for work in result):
            seen = f"it gave {len(result)} of {', '.join(sorted({type(work).__name__ for work in result})) or 'nothing'}"
            advice = f"yield one Artwork for each {'seed' if verb == 'generate' else 'input'}"
            raise Failure(f"{verb} to give {count} works", seen, advice)


def _described(result: Any) -> str:
    return f"one of {result.backend}" if isinstance(result, Model) else f"{type(result).__name__}"


def same_seed(subject: Subject) -> None:
    """A work is the same alone, among others and in another order."""
    together = _together(subject)
    model = subject.model()
    whole = subject.generate(SEEDS, model=model)
    again = subject.generate(SEEDS)
    for first, second in zip(whole, again, strict=True):
        require_same(first, second, "the same works from the same seeds", "a second time they were others", _BY_SEED)
    if together:
        return
    for seed, work in zip(SEEDS, whole, strict=True):
        alone = subject.generate([seed])
        require_same(work, alone[0], f"seed {seed} to give one work alone and among {len(SEEDS)}", "it gave two", _BY_SEED)
    for work, other in zip(reversed(whole), subject.generate(SEEDS[::-1]), strict=True):
        require_same(work, other, "a work not to depend on the order of seeds", "it did", _BY_SEED)


def different_seeds(subject: Subject) -> None:
    """Seeds make a difference."""
    if _together(subject):
        raise NotApplicable("all seeds make one work")
    works = subject.generate(SEEDS)
    if all(same(works[0], other) for other in works[1:]):
        raise Failure("different works from different seeds", f"the seeds {SEEDS} gave the same one", _BY_SEED)


def recipe(subject: Subject) -> None:
    """Every kind of file that a work can be saved as gives its recipe back, and the mark at every level of detail."""
    work = subject.generate(SEEDS[:1])[0]
    assert work.recipe is not None
    folder = _fresh(subject, "recipe")
    for ending in work.endings:
        place = work.save(folder / f"work{ending}")
        kept = _kept_recipe(place)
        if kept != work.recipe:
            seen = "the file carries none" if kept is None else f"{_differences(work.recipe, kept)} came back otherwise"
            raise Failure(f"the recipe back from a {ending} file", seen, "write text and mark in Artwork.encode")
        opened = open_artwork(place, work.modality)
        if type(opened) is not type(work):
            expected = f"a {ending} file to open as {type(work).__name__}"
            raise Failure(expected, f"it opened as {type(opened).__name__}", "write that kind of file in encode")
        for detail in ("minimal", "none"):
            told_of = _recipe_text(work.save(folder / f"{detail}{ending}", recipe=detail))
            if json.loads(told_of or "{}").get("mark") != work.recipe.mark:
                raise Failure(f"the AI mark in a {ending} file with --recipe {detail}", "it is missing", "write it in encode")


def replay(subject: Subject) -> None:
    """A work is made again from its file, whatever its kind, and comes out identical."""
    from artgen.remake import replay as remake

    works = subject.generate(SEEDS)  # the last of three: a recipe that told the wrong seed would give another
    if not _together(subject) and not same(works[-1], subject.generate(SEEDS[-1:])[0]):
        raise NotApplicable("a work is another when it is made alone; see the check same-seed")
    folder = _fresh(subject, "replay")
    for ending in works[-1].endings:
        place = works[-1].save(folder / f"work{ending}")
        if _kept_recipe(place) is None:
            raise NotApplicable(f"a {ending} file carries no recipe; see the check recipe")
        found = remake(place, device="cpu")
        if found.state != "identical":
            raise Failure(f"the replay of a {ending} file to be identical", f"it is {found.state}: {found.reason}", _BY_SEED)


def modify_size(subject: Subject) -> None:
    """A changed work has the size of the user's own."""
    subject.need("modify")
    if subject.cls.modality not in ("image", "audio", "video"):
        raise NotApplicable(f"a changed work of {subject.cls.modality} may have another size")
    for place, work in zip(subject.own_works, subject.cold.result("modify"), strict=True):
        own, changed = _size(open_artwork(place)), _size(work)
        if own != changed:
            raise Failure(f"modify to keep the size {own}", f"it gave {changed}", "put the change back at the work's own size")


def modify_inputs(subject: Subject) -> None:
    """Modifying does not touch the user's own work, neither the file nor the one in memory."""
    subject.need("modify")
    works = [open_artwork(place) for place in subject.own_works[:1]]
    before = [hashlib.sha256(np.ascontiguousarray(work.numpy()).tobytes()).digest() for work in works]
    subject.modify(works)
    after = [hashlib.sha256(np.ascontiguousarray(work.numpy()).tobytes()).digest() for work in works]
    if before != after:
        raise Failure("modify to leave the work that it is given", "it changed it in place", "work on a copy")


def modify_marked(subject: Subject) -> None:
    """The file of a changed work says so: mark, seed, and the name and hash of the work it was made from."""
    subject.need("modify")
    folder = _fresh(subject, "marked")
    for number, (place, work) in enumerate(zip(subject.own_works, subject.cold.result("modify"), strict=True)):
        for ending in work.endings[:1]:
            kept = _kept_recipe(work.save(folder / f"{number}{ending}"))
            if kept is None or kept.mark != COMPOSITE:
                seen = "the file carries no recipe" if kept is None else f"its mark is {kept.mark or 'missing'}"
                raise Failure("a changed work to be marked as a human work changed by a model", seen, "write the mark in encode")
            if [item.name for item in kept.inputs[:1]] != [place.name]:
                raise Failure(f"the recipe to name {place.name}", "it does not", "leave recipe and name to artgen")


def modify_repeats(subject: Subject) -> None:
    """The same work, options and seed give the same result, whatever other works come with it."""
    subject.need("modify")
    for place, work in zip(subject.own_works, subject.cold.result("modify"), strict=True):
        seen = f"{place.name} came out otherwise alone"
        require_same(work, subject.modify([place])[0], "modify to give the same again", seen, _BY_SEED)


def scores(subject: Subject) -> None:
    """Evaluate gives scores by name, each with a number and a description."""
    subject.need("evaluate")
    found = subject.cold.result("evaluate")
    if not isinstance(found, dict) or not found:
        raise Failure("evaluate to give at least one Score by name", f"it gave {found!r}", "return {'name': Score(value, …)}")
    for name, score in found.items():
        if not isinstance(score, Score) or not isinstance(score.value, int | float):
            raise Failure(f"{name} to be a Score with a number", f"it is {score!r}", "return Score(float(value), …)")
        if not score.description.strip():
            raise Failure(f"a description of {name}", "it has none", "say in a sentence what the number means")


def _together(subject: Subject) -> bool:
    subject.need("generate")
    cls = subject.cls
    return bool(cls().together(resolve(cls.Generate, subject.options("generate"))))


def _fresh(subject: Subject, name: str) -> Path:
    folder = subject.folder / name
    number = 1
    while folder.exists():
        number += 1
        folder = subject.folder / f"{name}-{number}"
    folder.mkdir()
    return folder


def _recipe_text(place: Path) -> str | None:
    """The recipe text in a file, or in the sidecar beside it for kinds of file that can hold none."""
    text = read_text(place)
    sidecar = place.with_name(place.name + ".json")
    return text or (sidecar.read_text(encoding="utf-8") if sidecar.is_file() else None)


def _kept_recipe(place: Path) -> Recipe | None:
    text = _recipe_text(place)
    return read_json(text) if text else None


def _differences(first: Recipe, second: Recipe) -> str:
    return ", ".join(name for name in first.__struct_fields__ if getattr(first, name) != getattr(second, name))


def _size(work: Artwork) -> str:
    shape = work.numpy().shape
    if work.modality == "image":
        return f"{shape[1]}x{shape[0]}"
    return f"{shape[2]}x{shape[1]} in {shape[0]} frames" if work.modality == "video" else f"{shape[0]} samples"
