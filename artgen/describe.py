"""Show: what a file or folder of artgen's is, as plain values that print well and turn into JSON."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections import Counter, deque
from pathlib import Path
from typing import Any

import msgspec

from artgen import registry, signing
from artgen.artwork import OWN_MODALITIES, open_artwork, read_text
from artgen.backend import DEFAULT_MINUTES
from artgen.dataset import Dataset, is_dataset
from artgen.errors import ArtgenError, ModelError, SourceError
from artgen.files import similar, typed
from artgen.media import audio, film, video
from artgen.model import CONFIG, WEIGHTS, Model, starters
from artgen.options import nearest
from artgen.plan import RUN_CONFIG, RUN_FACTS

_METRICS = "metrics.jsonl"
_MOMENT = re.compile(r"(?:.+-)?\d{10,}(?=[-.])")  # of a preview's name: the stage, and the items seen by then
_COUNTED = 120.0  # seconds of a film whose frames are counted one by one
_TOLD = (
    "fps",
    "films",
    "seconds",
    "held_out_seconds",
    "loudness_before",
    "loudness_after",
    "clipped",
    "remarks",
    "spectrograms",
    "sheet",
)
"""What a dataset of sounds or clips notes of itself and people want to know."""


def show(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What ``path`` is: a work, a model (folder or starter), a dataset or a run; the key ``kind`` says which.

    Raises:
        SourceError: it is none of these.
    """
    place = Path(path)
    if place.is_file():
        return _show_work(place)
    if (place / RUN_CONFIG).is_file():
        return _show_run(place)
    if is_dataset(place):
        return _show_dataset(place)
    if (place / CONFIG).is_file() or str(path) in starters():
        return _show_model(os.fspath(path))
    if not place.exists():
        known = ", ".join(starters()) or "none"
        hint = similar(path) or nearest(str(path), starters()) or f"; give a work, a model, a dataset, a run or a starter ({known})"
        raise SourceError(f"{path}: no such file or folder{hint}")
    raise SourceError(f"{path}: neither a model ({CONFIG}), a dataset (dataset.json) nor a run ({RUN_CONFIG})")


def _show_work(path: Path) -> dict[str, Any]:
    if audio.is_sound(path):
        return _show_sound(path)
    if video.is_video(path):
        return _show_clip(path)
    work = open_artwork(path)
    shape = work.numpy().shape
    facts: dict[str, Any] = {"kind": work.modality, "path": str(path), "bytes": path.stat().st_size}
    if work.modality == "text" or work.modality not in OWN_MODALITIES:
        facts |= work.facts()
    else:
        facts |= {"width": shape[1], "height": shape[0]}
    return facts | _made(path)


def _show_clip(path: Path) -> dict[str, Any]:
    """Counted frame by frame, of which none but the first becomes pixels; of a long film the header is believed."""
    facts: dict[str, Any] = {"kind": "video", "path": str(path), "bytes": path.stat().st_size}
    with film.opened(path, str(path)) as shown:
        frames, seconds, shape = 0, 0.0, (shown.height, shown.width)
        for shot in shown.shots(0.0):
            shape = shape if frames else shot.pixels().shape[:2]
            frames, seconds = frames + 1, shot.end
            if shown.seconds and shown.seconds > _COUNTED:
                frames, seconds = shown.frames or round(shown.seconds * shown.fps), shown.seconds
                break
        facts |= {"format": shown.format, "width": shape[1], "height": shape[0], "frames": frames}
        facts |= {"fps": round(frames / seconds, 3) if seconds else None, "seconds": round(seconds, 3), "sound": shown.sound}
    return facts | _made(path)


def _show_sound(path: Path) -> dict[str, Any]:
    """A sound is measured block by block: a recording of hours is told of like a note."""
    facts: dict[str, Any] = {"kind": "audio", "path": str(path), "bytes": path.stat().st_size}
    with audio.opened(path) as sound:
        facts |= {"format": sound.format, **audio.measured(sound.blocks(lenient=True), sound.rate, sound.channels)}
    return facts | ({"remarks": sound.remarks} if sound.remarks else {}) | _made(path)


def picture(path: str | os.PathLike[str], output: str | os.PathLike[str]) -> Path:
    """Draw the sound at ``path`` (waveform above mel spectrogram) as a picture; returns where it is, an existing file is kept.

    Raises:
        SourceError: it is no sound.
        UsageError: ``output`` is not named as a picture.
    """
    from artgen.artwork import Image
    from artgen.media import spectrogram

    place = Path(path)
    if not audio.is_sound(place) and place.is_file():
        raise SourceError(f"{path}: not a sound; --picture draws the waveform and spectrogram of one")
    with audio.opened(place) as sound:
        return Image(spectrogram.portrait(sound.blocks(lenient=True), sound.rate)).save(output)


def _made(path: Path) -> dict[str, Any]:
    """The mark and the recipe of a work."""
    told = _object(read_text(path) or "")
    mark = told.get("mark") or _mark(path)
    signature = signing.read(path)
    told_by = {"signature": signature} if signature else {}
    return told_by | {"mark": mark, "recipe": {name: value for name, value in told.items() if name != "mark"} or None}


def _mark(path: Path) -> str | None:
    from artgen.media.image import read_mark

    try:
        return audio.read_mark(path) if audio.is_sound(path) else read_mark(path)
    except SourceError:
        return None


def _show_model(place: str) -> dict[str, Any]:
    model = Model.open(place)
    model.check()
    config = model.config
    known = {name: value for name, value in config.network.items() if isinstance(value, int | float | str | bool)}
    return {
        "kind": "model",
        "path": str(model.folder),
        "name": model.name,
        "backend": config.backend,
        "network": known,
        "classes": list(config.classes),
        "data": config.data,
        "licence": config.licence,
        "generate": config.generate,
        "scores": config.scores,
        "bytes": (model.folder / WEIGHTS).stat().st_size,
        "sha256": model.sha256,
        "next": f"artgen {model.modality} generate --model {typed(place)}",
    }


def _show_dataset(path: Path) -> dict[str, Any]:
    dataset = Dataset.open(path)
    manifest = dataset.manifest
    labels = dataset.labels
    counts = Counter(int(label) for label in labels) if labels is not None else Counter()
    return {
        "kind": "dataset",
        "path": str(path),
        "of": dataset.kind,
        "count": manifest.count,
        "shapes": manifest.shapes,
        "classes": {name: counts.get(number, 0) for number, name in enumerate(manifest.classes)},
        "captions": bool(manifest.captions),
        **{name: manifest.notes[name] for name in _TOLD if name in manifest.notes},
        "options": manifest.options,
        "sources": manifest.sources,
        "skipped": [msgspec.to_builtins(skipped) for skipped in manifest.skipped],
        "fingerprint": manifest.fingerprint,
        "next": f"artgen {dataset.kind} train {typed(path)}",
    }


def _show_run(path: Path) -> dict[str, Any]:
    try:
        config = tomllib.loads((path / RUN_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SourceError(f"{path / RUN_CONFIG}: damaged ({error})") from None
    backend = str(config.get("backend", ""))
    modality = backend.partition(".")[0] or "image"
    last = _last_metrics(path / _METRICS) | _counted(path / _METRICS)
    found = {name: _fault(path / name) for name in ("model", "model-last") if (path / name / CONFIG).is_file()}
    models = [name for name, fault in found.items() if not fault]
    return {
        "kind": "run",
        "path": str(path),
        "backend": backend,
        "dataset": config.get("dataset"),
        "steps": last.get("step"),
        "items": last.get("items"),
        "seconds": last.get("seconds"),
        "metrics": {name: value for name, value in last.items() if name not in ("step", "items", "seconds")},
        "models": models,
        "damaged": [fault for fault in found.values() if fault],
        "options": {name: value for name, value in config.items() if name not in RUN_FACTS},
        "next": [
            *([f"artgen {modality} generate --model {typed(path)}"] if models else []),
            _going_on(path, modality, config, last),
        ],
    }


def _fault(model: Path) -> str:
    """Why a model cannot be used, or nothing."""
    try:
        Model.open(model).check()
    except ModelError as error:
        return str(error)
    return ""


def _going_on(path: Path, modality: str, config: dict[str, Any], last: dict[str, Any]) -> str:
    """The command that goes on with a run; where its budget is used up, with twice of it, since else there is nothing to do."""
    command = f"artgen {modality} train --resume --output {typed(path)}"
    budgets = {name: config[name] for name in ("steps", "items", "minutes") if isinstance(config.get(name), int | float)}
    done = {
        "steps": last.get("step"),
        "items": last.get("items"),
        "minutes": last.get("seconds", 0) / 60 * 1.02,
    }  # of the last line
    for name, budget in (budgets or {"minutes": DEFAULT_MINUTES}).items():
        if (done[name] or 0) >= budget:
            return f"{command} --{name} {2 * budget if isinstance(budget, int) else f'{2 * budget:.6g}'}"
    return command


def summary(run: str | os.PathLike[str]) -> dict[str, Any]:
    """What a finished training came to: what improved from where to where, the best step, the previews, what to type next.

    ``improved`` are the metric that chose the best model, or the losses where nothing was measured.

    Raises:
        SourceError: there is no run.
    """
    place = Path(run)
    facts = _show_run(place)
    records = [_object(line) for line in _lines(place / _METRICS)]
    scores = _best_scores(place)
    names = list(scores) or [name for name in facts["metrics"] if "loss" in name][:3]
    improved = [each for name in names if (each := _improved(name, scores.get(name), records)) is not None]
    moments = {found[0] for path in (place / "previews").glob("*") if (found := _MOMENT.match(path.name))}
    modality = facts["backend"].partition(".")[0]
    steps = facts["next"]
    if facts["dataset"] and _measures(facts["backend"]):
        steps = [steps[0], f"artgen {modality} evaluate {typed(place)} {typed(facts['dataset'])}", *steps[1:]]
    lapse = place / "timelapse.gif"
    return {
        "improved": improved, "steps": facts["steps"], "items": facts["items"], "seconds": facts["seconds"],
        "previews": str(place / "previews") if moments else "", "count": len(moments),
        "timelapse": str(lapse) if lapse.is_file() else "", "next": steps,
    }  # fmt: skip


def _measures(backend: str) -> bool:
    """Whether models of ``backend`` can be evaluated; of one that is not installed it is supposed."""
    modality, _, name = backend.partition(".")
    try:
        return "evaluate" in registry.get(modality, name).verbs()
    except ArtgenError:
        return True


def _improved(name: str, best: float | None, records: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = [(record.get("step", 0), record[name]) for record in records if isinstance(record.get(name), int | float)]
    if not found:
        return None
    (first_step, first), (_, last) = found[0], found[-1]
    told = {"name": name, "first": first, "first_step": first_step, "last": last}
    if best is None:
        return told
    step = min(found, key=lambda each: abs(each[1] - best))[0]  # the score in the card is the number in the log
    return {**told, "best": best, "best_step": step}


def _best_scores(run: Path) -> dict[str, float]:
    try:
        return Model.open(run).config.scores
    except ModelError:
        return {}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _last_metrics(path: Path) -> dict[str, Any]:
    """The newest value of every name; records differ in what they hold, and the last line may be half written."""
    if not path.is_file():
        return {}
    newest: dict[str, Any] = {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in deque(lines, maxlen=1000):
            newest |= _object(line)
    return newest


def _counted(path: Path) -> dict[str, int]:
    """The steps and items of a run, over all its stages: each counts from nothing, and a budget is of all of them."""
    ends: dict[str, str] = {}
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.rstrip().endswith("}"):
                ends[line.partition(",")[0] if line.startswith('{"stage"') else ""] = line  # of the last stage no line names it
    records = [_object(line) for line in ends.values()]
    found = {name: [record[name] for record in records if isinstance(record.get(name), int)] for name in ("step", "items")}
    return {name: sum(counts) for name, counts in found.items() if counts}


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
