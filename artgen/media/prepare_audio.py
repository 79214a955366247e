"""``artgen audio prepare``: sounds of any kind to one array of samples, each file a piece of it.

Sounds are decoded, mixed, resampled and brought to one loudness in worker processes, block by block through scratch files, and
written in the order of the sources, so neither their length nor the number of workers limits or changes the dataset. A stopped
prepare goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset, Manifest, fingerprint, is_dataset, write_manifest
from artgen.errors import OptionError
from artgen.files import write_atomically
from artgen.media import endings, image, spectrogram
from artgen.media.audio import from_pcm
from artgen.media.filling import Firsts, bar, scratch, stoppable
from artgen.media.partial import Partial
from artgen.media.soundwork import Job, Told, work
from artgen.media.sources import Found, Labels, Media, find
from artgen.media.workers import in_order
from artgen.media.written import deciding, key_of, left_out, nothing, npy, present, refuse_prepared, tell_beside, write_beside
from artgen.options import Meta, Options

SOUNDS = Media("sound", "sounds", others=endings.PICTURES | endings.OTHERS)
RATES = (16_000, 22_050, 24_000, 32_000, 44_100)
SHEET = "spectrograms.png"

_METHOD = 2
"""Raised whenever the same sources would give other samples, so that an old journal is not gone on with."""

_COPY = 2**20
_SHEET_PIECES = 24
_SHEET_SECONDS = 10
_LISTED = 100


class Prepare(Options, frozen=True, kw_only=True):
    """Options of ``artgen audio prepare``, for every audio backend."""

    rate: Annotated[
        int, Meta(ge=16_000, le=44_100, description="Samples a second: 16000, 22050, 24000, 32000 or 44100.", extra={"unit": "Hz"})
    ] = 22_050
    channels: Annotated[Literal["mono", "stereo"], Meta(description="One channel, or two.")] = "mono"
    normalize: Annotated[
        Literal["loudness", "none"],
        Meta(description="loudness brings every file to one loudness, with no true peak over -1 dB; none leaves it as it is."),
    ] = "loudness"
    loudness: Annotated[
        float, Meta(ge=-60, le=-5, description="Loudness of every file, where it is normalised.", extra={"unit": "LUFS"})
    ] = -20.0
    trim: Annotated[
        float | None,
        Meta(
            ge=-100, le=-10, extra={"unit": "dB"},
            description="Cut off both ends of a file where they are so far below its loudest sample; unset: nothing is cut off.",
        ),
    ] = None  # fmt: skip
    min_seconds: Annotated[float, Meta(ge=0.01, le=3600, description="Skip shorter files.", extra={"unit": "seconds"})] = 0.1
    max_minutes: Annotated[float, Meta(gt=0, le=10_000, description="Refuse longer files.", extra={"unit": "minutes"})] = 720.0
    labels: Annotated[
        Labels,
        Meta(
            description="Classes: auto takes folder names when all files lie in folders; folders takes them anyway; none has none."
        ),
    ] = "auto"
    duplicates: Annotated[Literal["skip", "keep"], Meta(description="What happens to files with equal sound.")] = "skip"
    held_out: Annotated[
        float,
        Meta(
            ge=0,
            le=0.5,
            description="Share of the sound that is kept from training to measure with: whole files, else the end of one.",
        ),
    ] = 0.1
    workers: Annotated[
        int | None, Meta(ge=1, le=1024, description="Processes that decode; unset: one a core.", extra={"unit": "processes"})
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate not in RATES:
            near = min(RATES, key=lambda rate: abs(rate - self.rate))
            raise OptionError(f"--rate takes {', '.join(map(str, RATES[:-1]))} or {RATES[-1]}, not {self.rate}; try {near}")


def prepare(sources: Sequence[str | Path], folder: str | Path, options: Prepare, progress: Progress = SILENT) -> Dataset:
    """Decode the sounds in ``sources`` into a dataset in ``folder``.

    Arrays: ``samples`` int16 [N, C], ``pieces`` int64 [P, 2] with the first sample and the one after the last of each piece, in the
    order of the sources; where there are, ``held_out`` int64 with the numbers of the pieces that are kept from training and
    ``labels`` int64 [P]. A piece is a file, or one of the two parts of the file whose end is held out. Same sources and options
    give the same bytes, whatever the number of workers and however often it was stopped.

    Raises:
        SourceError: a source is missing or unreadable, or no sound is usable.
        OutputError: ``folder`` holds another dataset, or cannot be written.
        Interrupted: Ctrl-C; the same call goes on.
    """
    folder = Path(folder)
    refuse_prepared(sources, "samples", "audio")
    found = find(sources, SOUNDS, labels=options.labels, exclude=folder)
    key = key_of(found, _METHOD, deciding(options))
    if is_dataset(folder):
        dataset = present(folder, "audio", key)
        progress.say(f"{folder}: this dataset is there already, with {_minutes(dataset.manifest.notes['seconds'])}")
        return dataset
    for remark in found.remarks:
        progress.say(remark)
    shape = (1 if options.channels == "mono" else 2,)
    with (
        Partial(folder, shape, key, name="samples", numbers="<i2") as partial,
        stoppable(partial, len(found.items)),
    ):
        _fill(partial, found, options, progress)
        dataset = _finish(partial, found, options, key)
    _report(dataset, progress)
    return dataset


# --- the samples


def _fill(partial: Partial, found: Found, options: Prepare, progress: Progress) -> None:
    sources = [item.source for item in found.items]
    firsts = Firsts(partial, sources, keep=options.duplicates == "keep")
    todo = sources[len(partial.records) :]
    with bar(partial, "Preparing sounds", len(sources), progress), scratch(partial.folder) as folder:
        job = Job(
            str(folder), options.rate, 1 if options.channels == "mono" else 2,
            options.loudness if options.normalize == "loudness" else None, options.trim, options.min_seconds, options.max_minutes,
        )  # fmt: skip
        with contextlib.closing(in_order(work, todo, job, chunk=1, workers=options.workers)) as stream:
            for results in stream:
                for made, place in results:
                    record = firsts.judged(sources[len(partial.records)].name, made)
                    partial.add([record], _bytes(Path(place)) if record.stored else [])
                    if made.stored:
                        Path(place).unlink()
                    progress.advance()


def _bytes(place: Path) -> Iterator[bytes]:
    with place.open("rb") as file:
        while data := file.read(_COPY):
            yield data


# --- the dataset around them


def _finish(partial: Partial, found: Found, options: Prepare, key: str) -> Dataset:
    stored = [record.stored for record in partial.records]
    records = list(compress(partial.records, stored))
    refused = left_out(found.items, partial.records)
    if not records:
        partial.discard()
        raise nothing(found, refused, "sound")
    pieces, of, held = divided([record.rows for record in records], [record.digest for record in records], options.held_out)
    files = list(compress(found.items, stored))
    items = [files[index] for index in of]
    folder = partial.folder
    parts = {"pieces": pieces} | ({"held_out": held} if len(held) else {})
    shapes = {"samples": [partial.count, *partial.shape]}
    for name, array in parts.items():
        shapes[name] = list(array.shape)
        write_atomically(folder / f"{name}.npy", npy(array))
    names = [item.source.name for item in items]
    beside = write_beside(folder, items, names, options.labels)
    partial.finish()
    _write_sheet(folder, pieces, names, options.rate)
    told = [msgspec.json.decode(record.note, type=Told) for record in records]
    digests = "".join(record.digest for record in records).encode()
    content = [array.tobytes() for array in (*parts.values(), *([beside.labels] if beside.classes else []))]
    manifest = Manifest(
        artgen=version("artgen"), kind="audio", count=len(pieces),
        arrays={"samples": "samples.npy"} | {name: f"{name}.npy" for name in parts} | beside.arrays,
        shapes=shapes | beside.shapes, classes=beside.classes, captions=beside.captions,
        options=deciding(options), sources=found.origins, skipped=[*found.skipped, *refused],
        notes=_notes(told, files, pieces, held, options, found) | {"key": key},
        fingerprint=fingerprint(digests, *content, "\n".join(beside.classes).encode()),
    )  # fmt: skip
    dataset = write_manifest(folder, manifest)
    partial.forget()
    return dataset


def divided(rows: Sequence[int], digests: Sequence[str], share: float) -> tuple[NDArray[np.int64], list[int], NDArray[np.int64]]:
    """The pieces [P, 2] of files of so many ``rows``, the file of each piece, and the numbers of the held-out pieces.

    Whole files are held out, in the order of their ``digests`` so that names and places have no say, where some make up about
    ``share`` of all; else the end of the longest file.
    """
    ends = np.cumsum(rows, dtype=np.int64)
    pieces = np.stack([ends - np.array(rows, np.int64), ends], 1)
    of, budget = list(range(len(rows))), share * float(ends[-1])
    chosen: list[int] = []
    total = 0
    for index in sorted(of, key=lambda index: digests[index]):
        if total < budget and total + rows[index] <= 1.5 * budget and len(chosen) + 1 < len(rows):
            chosen.append(index)
            total += rows[index]
    if chosen and total >= budget / 2:
        return pieces, of, np.array(sorted(chosen), np.int64)
    longest = max(of, key=lambda index: rows[index])
    tail = min(round(budget), rows[longest] // 2)
    if not tail:
        return pieces, of, np.zeros(0, np.int64)
    cut = int(ends[longest]) - tail
    pieces = np.insert(pieces, longest + 1, [cut, int(ends[longest])], axis=0)
    pieces[longest, 1] = cut
    return pieces, [*of[: longest + 1], *of[longest:]], np.array([longest + 1], np.int64)


def _write_sheet(folder: Path, pieces: NDArray[np.int64], names: Sequence[str], rate: int) -> None:
    """Spectrograms of up to 24 pieces, evenly chosen, each up to its tenth second."""
    samples = np.load(folder / "samples.npy", mmap_mode="r", allow_pickle=False)
    chosen = sorted({round(index) for index in np.linspace(0, len(pieces) - 1, _SHEET_PIECES)})
    shown = []
    for index in chosen:
        start, stop = pieces[index]
        shown.append((names[index], from_pcm(samples[start : min(stop, start + _SHEET_SECONDS * rate)])))
    write_atomically(folder / SHEET, image.png_bytes(spectrogram.contact_sheet(shown, rate)))


def _notes(
    told: Sequence[Told], items: Sequence[Any], pieces: NDArray[np.int64], held: NDArray[np.int64], options: Prepare, found: Found
) -> dict[str, Any]:
    remarks = [[item.source.name, remark] for item, facts in zip(items, told, strict=True) for remark in facts.remarks]
    lengths = pieces[:, 1] - pieces[:, 0]
    notes: dict[str, Any] = {
        "names": "names.jsonl",
        "rate": options.rate,
        "channels": 1 if options.channels == "mono" else 2,
        "files": len(told),
        "seconds": round(float(lengths.sum()) / options.rate, 3),
        "held_out_seconds": round(float(lengths[held].sum()) / options.rate, 3),
        "loudness_before": _spread([facts.before for facts in told]),
        "loudness_after": _spread([facts.after for facts in told]),
        "clipped": sum(facts.clipped for facts in told),
        "remarks": remarks[:_LISTED],
        "spectrograms": SHEET,
    }
    return notes | found.notes


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    """Lowest, median and highest of those that were measured."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return None
    return {"lowest": min(known), "median": round(float(np.median(known)), 2), "highest": max(known)}


def _report(dataset: Dataset, progress: Progress) -> None:
    notes = dataset.manifest.notes
    files = "1 file" if notes["files"] == 1 else f"{notes['files']} files"
    progress.say(f"{_minutes(notes['seconds'])} of sound from {files}, {_minutes(notes['held_out_seconds'])} of it held out")
    before, after = notes["loudness_before"], notes["loudness_after"]
    if before and after:
        spread = f"from {before['lowest']:.1f} to {before['highest']:.1f} LUFS before"
        progress.say(f"loudness: {spread}, {after['median']:.1f} now")
    tell_beside(dataset, "pieces", progress)
    for name, remark in notes["remarks"][:5]:
        progress.say(f"{name}: {remark}")
    if len(notes["remarks"]) > 5:
        progress.say(f"and {len(notes['remarks']) - 5} more remarks in {dataset.folder}/dataset.json")
    progress.say(f"spectrograms: {dataset.folder / SHEET}")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes" if seconds >= 60 else f"{seconds:.1f} seconds"
