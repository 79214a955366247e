"""``artgen video prepare``: moving pictures of any kind and length to one array of clips of equal size, rate and length.

Films are decoded, resampled in time, made square and cut up in worker processes, the long ones in parts side by side, and written
in the order of the sources, so neither their length nor the number of workers limits or changes the dataset. A stopped prepare
goes on where it stopped.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset, Manifest, Skipped, fingerprint, is_dataset, write_manifest
from artgen.files import write_atomically
from artgen.media import endings, filmstrip, image, prepare_image
from artgen.media.clipwork import Job, Take, Told, work
from artgen.media.cutting import Cut, Short
from artgen.media.filling import bar, scratch, stoppable
from artgen.media.film import MAX_PIXELS
from artgen.media.partial import Partial, Record
from artgen.media.planning import rate_for, survey, takes_of
from artgen.media.sources import Found, Item, Labels, Media, find
from artgen.media.workers import cores, in_order
from artgen.media.written import deciding, key_of, nothing, present, refuse_prepared, tell_beside, write_beside
from artgen.options import Meta, Options

CLIPS = Media("clip", "clips", sequences=True, others=endings.SOUNDS | endings.OTHERS)
SHEET = "clips.png"

_METHOD = 1
"""Raised whenever the same sources would give other clips, so that an old journal is not gone on with."""


class Prepare(Options, frozen=True, kw_only=True):
    """Options of ``artgen video prepare``, for every video backend."""

    resolution: Annotated[
        int, Meta(ge=8, le=1024, description="Edge of the square frames; a multiple of 8.", extra={"unit": "pixels"})
    ] = 64
    frames: Annotated[int, Meta(ge=2, le=1024, description="Length of every clip.", extra={"unit": "frames"})] = 16
    fps: Annotated[
        float | None,
        Meta(
            ge=0.1, le=240, extra={"unit": "frames"},
            description="Frames a second of the clips; unset: an even part of the films' own rate, so that a clip lasts up to 2 "
            "seconds.",
        ),
    ] = None  # fmt: skip
    source_fps: Annotated[
        float, Meta(ge=0.1, le=240, description="Frames a second of folders of numbered pictures.", extra={"unit": "frames"})
    ] = 25.0
    cut: Annotated[
        Cut, Meta(description="Where long films are cut: at changes of scene and then by --stride, or by --stride alone.")
    ] = "scenes"
    stride: Annotated[
        int | None,
        Meta(
            ge=1, le=100_000, extra={"unit": "frames"},
            description="From the start of one clip of a film to that of the next; unset: the length of a clip, so none overlap.",
        ),
    ] = None  # fmt: skip
    short: Annotated[
        Short, Meta(description="Films shorter than a clip: begun again, played to and fro, or skipped.")
    ] = "loop"  # fmt: skip
    still: Annotated[Literal["skip", "keep"], Meta(description="What happens to clips in which nothing moves.")] = "skip"
    fit: Annotated[
        Literal["crop", "pad", "stretch"],
        Meta(description="How a frame becomes square: cut to its middle, given bars of the background, or squeezed."),
    ] = "crop"
    background: Annotated[str, Meta(description="Colour under transparent parts and of the bars, a name or #rrggbb.")] = "white"
    min_size: Annotated[
        int | None,
        Meta(
            ge=1, le=65536, extra={"unit": "pixels"},
            description="Skip films whose shorter edge (with --fit pad: longer) is smaller; unset: a quarter of the resolution.",
        ),
    ] = None  # fmt: skip
    upscale: Annotated[
        Literal["auto", "nearest", "smooth"],
        Meta(description="How small frames grow: auto keeps the hard edges of pixel art and smooths all others."),
    ] = "auto"
    labels: Annotated[
        Labels,
        Meta(
            description="Classes: auto takes folder names when all files lie in folders; folders takes them anyway; none has none."
        ),
    ] = "auto"
    duplicates: Annotated[
        Literal["skip", "keep"], Meta(description="What happens to clips that are equal at the output size.")
    ] = "skip"  # fmt: skip
    workers: Annotated[
        int | None, Meta(ge=1, le=1024, description="Processes that decode; unset: one a core.", extra={"unit": "processes"})
    ] = None
    max_pixels: Annotated[
        int, Meta(ge=1, le=image.MOST_PIXELS, description="Refuse larger frames before decoding them.", extra={"unit": "pixels"})
    ] = MAX_PIXELS
    max_minutes: Annotated[float, Meta(gt=0, le=100_000, description="Refuse longer films.", extra={"unit": "minutes"})] = 720.0
    max_gigabytes: Annotated[float, Meta(gt=0, le=100_000, description="Refuse larger files.", extra={"unit": "gigabytes"})] = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.picture  # noqa: B018 - its own rules on resolution and background hold here too

    @property
    def picture(self) -> prepare_image.Prepare:
        """The same options for a single frame.

        Raises:
            OptionError: the resolution is no multiple of 8, or there is no such background.
        """
        least = self.min_size if self.min_size is not None else max(1, self.resolution // 4)
        return prepare_image.Prepare(
            resolution=self.resolution, fit=self.fit, background=self.background, min_size=least, upscale=self.upscale,
            max_pixels=self.max_pixels,
        )  # fmt: skip


def prepare(sources: Sequence[str | Path], folder: str | Path, options: Prepare, progress: Progress = SILENT) -> Dataset:
    """Cut the films in ``sources`` into a dataset in ``folder``.

    Arrays: ``videos`` uint8 [N, T, H, W, 3] and, where there are classes, ``labels`` int64 [N]; ``notes["fps"]`` is their rate.
    Same sources and options give the same bytes, whatever the number of workers and however often it was stopped.

    Raises:
        SourceError: a source is missing or unreadable, or no clip is usable.
        OutputError: ``folder`` holds another dataset, or cannot be written.
        Interrupted: Ctrl-C; the same call goes on.
    """
    folder = Path(folder)
    refuse_prepared(sources, "videos", "video")
    found = find(sources, CLIPS, labels=options.labels, exclude=folder)
    key = key_of(found, _METHOD, deciding(options))
    if is_dataset(folder):
        dataset = present(folder, "video", key)
        progress.say(f"{folder}: this dataset is there already, with {len(dataset)} clips")
        return dataset
    for remark in found.remarks:
        progress.say(remark)
    fps = _rate(found, options, progress)
    takes = takes_of(found.items, fps)
    unit = "files" if len(takes) == len(found.items) else "parts"
    shape = (options.frames, options.resolution, options.resolution, 3)
    with Partial(folder, shape, key, name="videos") as partial, stoppable(partial, len(takes), unit):
        _fill(partial, [take for _, take in takes], _job(options, fps, len(takes)), options, unit, progress)
        dataset = _finish(partial, found, [found.items[number] for number, _ in takes], options, key, fps)
    _report(dataset, progress)
    return dataset


def _rate(found: Found, options: Prepare, progress: Progress) -> float:
    if options.fps is not None:
        return options.fps
    rates, lengths = survey(found.items, options.source_fps, options.max_pixels)
    fps = rate_for(rates, lengths, options.frames)
    of = f" (the films have {float(np.median(rates)):.4g})" if rates else ""
    seconds = f"{options.frames / fps:.3g}"
    lasts = f"a clip of {options.frames} lasts {seconds} second{'' if seconds == '1' else 's'}"
    progress.say(f"{fps:.4g} frames a second{of}: {lasts}; --fps sets another rate")
    return fps


def _job(options: Prepare, fps: float, takes: int) -> Job:
    return Job(
        "", options.picture, options.frames, fps, options.source_fps, options.cut, options.stride or options.frames, options.short,
        options.still == "keep", options.max_minutes, options.max_gigabytes * 2**30, max(1, (options.workers or cores()) // takes),
    )  # fmt: skip


# --- the clips


def _fill(partial: Partial, takes: Sequence[Take], job: Job, options: Prepare, unit: str, progress: Progress) -> None:
    names: dict[str, str] = {}
    for take, record in zip(takes, partial.records, strict=False):
        for seconds, digest, reason in _pieces(record):
            if not reason:
                names.setdefault(digest, named(take.source.name, seconds))
    todo = takes[len(partial.records) :]
    with bar(partial, "Preparing clips", len(takes), progress, unit), scratch(partial.folder) as folder:
        job = replace(job, scratch=str(folder))
        with contextlib.closing(in_order(work, todo, job, chunk=1, workers=options.workers)) as stream:
            for results in stream:
                for record, place in results:
                    _add(partial, record, place, takes[len(partial.records)].source.name, names, options)
                    progress.advance()


def _add(partial: Partial, record: Record, place: str, name: str, names: dict[str, str], options: Prepare) -> None:
    """Write the clips of one take, without those that were there before."""
    told = msgspec.json.decode(record.note, type=Told)
    pieces, rows = [], []
    for seconds, digest, reason in told.pieces:
        here = named(name, seconds)
        first = here if reason else names.setdefault(digest, here)
        again = first != here and options.duplicates == "skip"
        pieces.append((seconds, digest, f"duplicate of {first}" if again else reason))
        if not reason:
            rows.append(not again)
    note = msgspec.json.encode(msgspec.structs.replace(told, pieces=pieces)).decode()
    clip_bytes = int(np.prod(partial.shape))
    partial.add([Record(any(rows), record.digest, note, sum(rows))], _wanted(place, rows, clip_bytes) if any(rows) else [])
    if place:
        Path(place).unlink()


def _wanted(place: str, rows: Sequence[bool], clip_bytes: int) -> Iterator[bytes]:
    with Path(place).open("rb") as file:
        for wanted in rows:
            data = file.read(clip_bytes)
            if wanted:
                yield data


# --- the dataset around them


def named(name: str, seconds: float) -> str:
    """What a clip of the film ``name`` is called."""
    return f"{name} at {seconds:.4g} s" if seconds else name


def _pieces(record: Record) -> list[tuple[float, str, str]]:
    return msgspec.json.decode(record.note, type=Told).pieces


def _finish(partial: Partial, found: Found, items: Sequence[Item], options: Prepare, key: str, fps: float) -> Dataset:
    """``items`` are those of the takes, one each."""
    clips = [
        (item, seconds, digest)
        for item, record in zip(items, partial.records, strict=True)
        for seconds, digest, reason in _pieces(record)
        if not reason
    ]
    refused = list(_refused(items, partial.records))
    if not clips:
        partial.discard()
        raise nothing(found, refused, "clip")
    folder, shape = partial.folder, [len(clips), *partial.shape]
    names = (named(item.source.name, seconds) for item, seconds, _ in clips)
    beside = write_beside(folder, [item for item, _, _ in clips], names, options.labels)
    partial.finish()
    write_atomically(
        folder / SHEET, image.png_bytes(filmstrip.sheet(np.load(folder / "videos.npy", mmap_mode="r", allow_pickle=False)))
    )
    digests = "".join(digest for _, _, digest in clips).encode()
    manifest = Manifest(
        artgen=version("artgen"), kind="video", count=len(clips), arrays={"videos": "videos.npy"} | beside.arrays,
        shapes={"videos": shape} | beside.shapes, classes=beside.classes, captions=beside.captions,
        options={**deciding(options), "min_size": options.picture.smallest}, sources=found.origins,
        skipped=[*found.skipped, *refused], notes=_notes(clips, partial.records, found, fps, options) | {"key": key},
        fingerprint=fingerprint(str((shape, fps)).encode(), digests, beside.labels.tobytes(), "\n".join(beside.classes).encode()),
    )  # fmt: skip
    dataset = write_manifest(folder, manifest)
    partial.forget()
    return dataset


def _refused(items: Sequence[Item], records: Sequence[Record]) -> Iterator[Skipped]:
    """Every file and every clip that is not used, and why; a film that is broken in several of its parts is told of once."""
    told_of: set[tuple[str, str]] = set()
    for item, record in zip(items, records, strict=True):
        told = msgspec.json.decode(record.note, type=Told)
        name = item.source.name
        if told.reason and (name, told.reason) not in told_of:
            told_of.add((name, told.reason))
            yield Skipped(name, told.reason)
        for seconds, _, reason in told.pieces:
            if reason:
                yield Skipped(named(name, seconds), reason)


def _notes(
    clips: Sequence[tuple[Item, float, str]], records: Iterable[Record], found: Found, fps: float, options: Prepare
) -> dict[str, Any]:
    told = [msgspec.json.decode(record.note, type=Told) for record in records if record.stored]
    notes: dict[str, Any] = {
        "names": "names.jsonl",
        "fps": fps,
        "films": len({item.source.name for item, _, _ in clips}),
        "seconds": round(len(clips) * options.frames / fps, 3),
        "resized": dict(sorted(Counter(facts.how for facts in told).items())),
        "sheet": SHEET,
    }
    return notes | found.notes


def _report(dataset: Dataset, progress: Progress) -> None:
    notes = dataset.manifest.notes
    films = "1 film" if notes["films"] == 1 else f"{notes['films']} films"
    count, length = dataset.array("videos").shape[:2]
    clips = "1 clip" if count == 1 else f"{count} clips"
    progress.say(f"{clips} of {length} frames from {films}, {notes['fps']:.4g} frames a second")
    tell_beside(dataset, "clips", progress)
    progress.say(f"a sheet of clips: {dataset.folder / SHEET}")
