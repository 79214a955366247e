"""``artgen shape prepare``: voxels and meshes of any size to one array of equal cubes.

Like every prepare of artgen: worker processes, the order of the sources, little memory, a list of what is left out and why, and a
stopped one goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from itertools import compress
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset, Manifest, Skipped, fingerprint, is_dataset, write_manifest
from artgen.errors import Interrupted, OptionError, SourceError
from artgen.files import write_atomically
from artgen.media import image
from artgen.media.archives import Reader, Source
from artgen.media.partial import Partial, Record
from artgen.media.sources import Found, Labels, Media, find
from artgen.media.workers import in_order
from artgen.media.written import class_names, key_of, lines, nothing, npy, present
from artgen.options import Meta, Options
from artgen_voxel import grids, render, shape

SHAPES = Media("shape", "shapes")
RESOLUTIONS = (32, 64)
SHEET = "shapes.png"

_METHOD = 1
_SHOWN = 24


class Prepare(Options, frozen=True, kw_only=True):
    """Options of ``artgen shape prepare``."""

    resolution: Annotated[int, Meta(ge=32, le=64, description="Voxels a side: 32 or 64.", extra={"unit": "voxels"})] = 32
    fill: Annotated[bool, Meta(description="What a mesh encloses is inside; switch off for thin shells.")] = True
    min_voxels: Annotated[
        int, Meta(ge=1, le=100_000, description="Skip shapes of fewer voxels.", extra={"unit": "voxels"})
    ] = 20  # fmt: skip
    labels: Annotated[
        Labels,
        Meta(
            description="Classes: auto takes folder names when all files lie in folders; folders takes them anyway; none has none."
        ),
    ] = "auto"
    duplicates: Annotated[Literal["skip", "keep"], Meta(description="What happens to shapes with equal voxels.")] = "skip"
    workers: Annotated[
        int | None, Meta(ge=1, le=1024, description="Processes that read; unset: one a core.", extra={"unit": "processes"})
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resolution not in RESOLUTIONS:
            raise OptionError(f"--resolution takes 32 or 64, not {self.resolution}")


def prepare(sources: Sequence[str | Path], folder: str | Path, options: Prepare, progress: Progress = SILENT) -> Dataset:
    """Read the shapes in ``sources`` into a dataset in ``folder``: ``voxels`` uint8 [N, X, Y, Z] of 0 and 1, and ``labels``.

    Raises:
        SourceError: a source is missing or unreadable, or no shape is usable.
        OutputError: ``folder`` holds another dataset, or cannot be written.
        Interrupted: Ctrl-C; the same call goes on.
    """
    folder = Path(folder)
    for source in sources:
        if is_dataset(source):
            raise SourceError(f"{source}: a prepared dataset already; give it to artgen shape train as it is")
    found = find(sources, SHAPES, labels=options.labels, exclude=folder)
    key = key_of(found, _METHOD, _told(options))
    if is_dataset(folder):
        dataset = present(folder, "shape", key)
        progress.say(f"{folder}: this dataset is there already, with {len(dataset)} shapes")
        return dataset
    for remark in found.remarks:
        progress.say(remark)
    with Partial(folder, (options.resolution,) * 3, key, name="voxels") as partial:
        try:
            _fill(partial, found, options, progress)
            dataset = _finish(partial, found, options, key)
        except KeyboardInterrupt:
            done = f"stopped after {len(partial.records)} of {len(found.items)} files"
            raise Interrupted(f"{done}; the same command again goes on from there") from None
    progress.say(f"a sheet of shapes: {folder / SHEET}")
    return dataset


def work(sources: Sequence[Source], options: Prepare, reader: Reader) -> list[tuple[Record, bytes]]:
    """In a worker: the record of each source, and its voxels as bytes of 0 and 1."""
    return [_item(source, options, reader) for source in sources]


def _item(source: Source, options: Prepare, reader: Reader) -> tuple[Record, bytes]:
    ending = PurePosixPath(source.name).suffix.lower()
    try:
        density = shape.decoded(reader.read(source), ending, source.name, options.resolution, fill=options.fill)
    except SourceError as error:
        return Record(False, "", str(error).removeprefix(f"{source.name}: ").partition("; ")[0]), b""
    solid = grids.fitted(grids.to_solid(density), options.resolution)
    count = int(solid.sum())
    if count < options.min_voxels:
        return Record(
            False, "", f"{'empty' if not count else 'too small'}: {count} voxels, needs {options.min_voxels} (--min-voxels)"
        ), b""
    if solid.all():
        return Record(False, "", "full: no voxel is outside"), b""
    data = np.ascontiguousarray(solid).astype(np.uint8).tobytes()
    return Record(True, hashlib.blake2b(data, digest_size=16).hexdigest(), ""), data


def _fill(partial: Partial, found: Found, options: Prepare, progress: Progress) -> None:
    sources = [item.source for item in found.items]
    names: dict[str, str] = {}
    done = len(partial.records)
    for source, record in zip(sources, partial.records, strict=False):
        if record.stored:
            names.setdefault(record.digest, source.name)
    progress.start("Preparing shapes", len(sources), "files")
    if done:
        progress.say(f"going on after {done} of {len(sources)} files")
        progress.advance(done)
    try:
        with contextlib.closing(in_order(work, sources[done:], options, chunk=4, workers=options.workers)) as stream:
            for results in stream:
                for record, data in results:
                    name = sources[len(partial.records)].name
                    first = names.setdefault(record.digest, name) if record.stored else name
                    if first != name and options.duplicates == "skip":
                        partial.add([Record(False, record.digest, f"duplicate of {first}")], [])
                    else:
                        partial.add([record], [data] if record.stored else [])
                    progress.advance()
    finally:
        progress.finish()


def _finish(partial: Partial, found: Found, options: Prepare, key: str) -> Dataset:
    stored = [record.stored for record in partial.records]
    items = list(compress(found.items, stored))
    refused = [
        Skipped(item.source.name, record.note)
        for item, record in zip(found.items, partial.records, strict=True)
        if not record.stored
    ]
    if not items:
        partial.discard()
        raise nothing(found, refused, "shape")
    folder = partial.folder
    arrays, shapes = {"voxels": "voxels.npy"}, {"voxels": [len(items), *partial.shape]}
    classes = class_names([item.label for item in items], options.labels)
    labels = np.array([classes.index(item.label) for item in items if classes], np.int64)
    if classes:
        arrays["labels"], shapes["labels"] = "labels.npy", [len(items)]
        write_atomically(folder / "labels.npy", npy(labels))
    captions = "captions.jsonl" if any(item.caption for item in items) else ""
    if captions:
        write_atomically(folder / captions, lines(item.caption for item in items))
    write_atomically(folder / "names.jsonl", lines(item.source.name for item in items))
    partial.finish()
    voxels = np.load(folder / "voxels.npy", mmap_mode="r", allow_pickle=False)
    chosen = np.unique(np.linspace(0, len(voxels) - 1, min(_SHOWN, len(voxels))).round().astype(int))
    shown = [grids.to_density(voxels[number] > 0) for number in chosen]
    write_atomically(folder / SHEET, image.png_bytes(render.sheet(shown, size=64)))
    digests = "".join(record.digest for record in partial.records if record.stored).encode()
    manifest = Manifest(
        artgen=version("artgen"), kind="shape", count=len(items), arrays=arrays, shapes=shapes, classes=classes, captions=captions,
        options=_told(options), sources=found.origins, skipped=[*found.skipped, *refused],
        notes={"names": "names.jsonl", "key": key, "sheet": SHEET} | ({"licences": found.licences} if found.licences else {}),
        fingerprint=fingerprint(str(shapes).encode(), digests, labels.tobytes(), "\n".join(classes).encode()),
    )  # fmt: skip
    dataset = write_manifest(folder, manifest)
    partial.forget()
    return dataset


def _told(options: Prepare) -> dict[str, Any]:
    return {name: value for name, value in options.asdict().items() if name != "workers"}
