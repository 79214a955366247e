"""``artgen shape prepare``: voxels and meshes of any size to one array of equal cubes.

Like every prepare of artgen: worker processes, the order of the sources, little memory, a list of what is left out and why, and a
stopped one goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import numpy as np

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset, Manifest, fingerprint, is_dataset, write_manifest
from artgen.errors import OptionError, SourceError
from artgen.files import write_atomically
from artgen.media import image
from artgen.media.archives import Reader, Source
from artgen.media.filling import Firsts, bar, stoppable
from artgen.media.partial import Partial, Record
from artgen.media.sources import Found, Labels, Media, find
from artgen.media.workers import in_order
from artgen.media.written import deciding, key_of, left_out, nothing, present, write_beside
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
    key = key_of(found, _METHOD, deciding(options))
    if is_dataset(folder):
        dataset = present(folder, "shape", key)
        progress.say(f"{folder}: this dataset is there already, with {len(dataset)} shapes")
        return dataset
    for remark in found.remarks:
        progress.say(remark)
    with Partial(folder, (options.resolution,) * 3, key, name="voxels") as partial, stoppable(partial, len(found.items)):
        _fill(partial, found, options, progress)
        dataset = _finish(partial, found, options, key)
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
    firsts = Firsts(partial, sources, keep=options.duplicates == "keep")
    todo = sources[len(partial.records) :]
    with (
        bar(partial, "Preparing shapes", len(sources), progress),
        contextlib.closing(in_order(work, todo, options, chunk=4, workers=options.workers)) as stream,
    ):
        for results in stream:
            for made, data in results:
                record = firsts.judged(sources[len(partial.records)].name, made)
                partial.add([record], [data] if record.stored else [])
                progress.advance()


def _finish(partial: Partial, found: Found, options: Prepare, key: str) -> Dataset:
    items = [item for item, record in zip(found.items, partial.records, strict=True) if record.stored]
    refused = left_out(found.items, partial.records)
    if not items:
        partial.discard()
        raise nothing(found, refused, "shape")
    folder = partial.folder
    beside = write_beside(folder, items, (item.source.name for item in items), options.labels)
    shapes = {"voxels": [len(items), *partial.shape]} | beside.shapes
    partial.finish()
    voxels = np.load(folder / "voxels.npy", mmap_mode="r", allow_pickle=False)
    chosen = np.unique(np.linspace(0, len(voxels) - 1, min(_SHOWN, len(voxels))).round().astype(int))
    shown = [grids.to_density(voxels[number] > 0) for number in chosen]
    write_atomically(folder / SHEET, image.png_bytes(render.sheet(shown, size=64)))
    digests = "".join(record.digest for record in partial.records if record.stored).encode()
    manifest = Manifest(
        artgen=version("artgen"), kind="shape", count=len(items), arrays={"voxels": "voxels.npy"} | beside.arrays, shapes=shapes,
        classes=beside.classes, captions=beside.captions,
        options=deciding(options), sources=found.origins, skipped=[*found.skipped, *refused],
        notes={"names": "names.jsonl", "key": key, "sheet": SHEET} | found.notes,
        fingerprint=fingerprint(str(shapes).encode(), digests, beside.labels.tobytes(), "\n".join(beside.classes).encode()),
    )  # fmt: skip
    dataset = write_manifest(folder, manifest)
    partial.forget()
    return dataset
