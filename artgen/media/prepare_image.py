"""``artgen image prepare``: pictures of any kind and size to one array of equal squares.

Pictures are decoded and scaled in worker processes, and written in the order of the sources as they come, so
neither memory nor the number of workers limits or changes the dataset. A stopped prepare goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset, Manifest, fingerprint, is_dataset, write_manifest
from artgen.errors import OptionError, SourceError
from artgen.media import image
from artgen.media.archives import Reader, Source
from artgen.media.filling import Firsts, bar, stoppable
from artgen.media.partial import Partial, Record
from artgen.media.sources import PICTURES, Found, Labels, find
from artgen.media.workers import in_order
from artgen.media.written import deciding, key_of, left_out, nothing, present, refuse_prepared, tell_beside, write_beside
from artgen.options import Meta, Options

_METHOD = 1
"""Raised whenever the same sources would give other pixels, so that an old journal is not gone on with."""

_FEW_COLOURS = 256


class Prepare(Options, frozen=True, kw_only=True):
    """Options of ``artgen image prepare``, for every image backend."""

    resolution: Annotated[
        int, Meta(ge=8, le=1024, description="Edge of the square pictures; a multiple of 8.", extra={"unit": "pixels"})
    ] = 64
    fit: Annotated[
        Literal["crop", "pad", "stretch"],
        Meta(description="How a picture becomes square: cut to its middle, given bars of the background, or squeezed."),
    ] = "crop"
    background: Annotated[str, Meta(description="Colour under transparent parts and of the bars, a name or #rrggbb.")] = "white"
    min_size: Annotated[
        int | None,
        Meta(
            ge=1, le=65536, extra={"unit": "pixels"},
            description="Skip pictures whose shorter edge (with --fit pad: longer) is smaller; unset: half the resolution.",
        ),
    ] = None  # fmt: skip
    upscale: Annotated[
        Literal["auto", "nearest", "smooth"],
        Meta(description="How small pictures grow: auto keeps the hard edges of pixel art and smooths all others."),
    ] = "auto"
    labels: Annotated[
        Labels,
        Meta(
            description="Classes: auto takes folder names when all files lie in folders; folders takes them anyway; none has none."
        ),
    ] = "auto"
    duplicates: Annotated[
        Literal["skip", "keep"], Meta(description="What happens to pictures that are equal at the output size.")
    ] = "skip"
    workers: Annotated[
        int | None, Meta(ge=1, le=1024, description="Processes that decode; unset: one a core.", extra={"unit": "processes"})
    ] = None
    max_pixels: Annotated[
        int, Meta(ge=1, le=image.MOST_PIXELS, description="Refuse larger pictures before decoding them.", extra={"unit": "pixels"})
    ] = image.MAX_PIXELS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.resolution % 8:
            low = self.resolution // 8 * 8
            near = f"{low} or {low + 8}"
            raise OptionError(f"--resolution takes a multiple of 8 from 8 to 1024, not {self.resolution}; try {near}")
        from PIL import ImageColor

        try:
            ImageColor.getrgb(self.background)
        except ValueError:
            told = "a colour such as white, black or #ffeedd"
            raise OptionError(f"--background takes {told}, not {self.background!r}") from None

    @property
    def smallest(self) -> int:
        """The edge below which a picture is too small, in pixels."""
        return self.min_size if self.min_size is not None else self.resolution // 2


def prepare(sources: Sequence[str | Path], folder: str | Path, options: Prepare, progress: Progress = SILENT) -> Dataset:
    """Decode the pictures in ``sources`` into a dataset in ``folder``.

    Same sources and options give the same bytes, whatever the number of workers and however often it was stopped.

    Raises:
        SourceError: a source is missing or unreadable, or no picture is usable.
        OutputError: ``folder`` holds another dataset, or cannot be written.
        Interrupted: Ctrl-C; the same call goes on.
    """
    folder = Path(folder)
    refuse_prepared(sources, "images", "image")
    found = find(sources, PICTURES, labels=options.labels, exclude=folder)
    key = key_of(found, _METHOD, deciding(options))
    if is_dataset(folder):
        dataset = present(folder, "image", key)
        progress.say(f"{folder}: this dataset is there already, with {len(dataset)} pictures")
        return dataset
    for remark in found.remarks:
        progress.say(remark)
    shape = (options.resolution, options.resolution, 3)
    with Partial(folder, shape, key) as partial, stoppable(partial, len(found.items)):
        _fill(partial, found, options, progress)
        dataset = _finish(partial, found, options, key)
    tell_beside(dataset, "pictures", progress)
    return dataset


def fitted(pixels: NDArray[np.uint8], options: Prepare) -> tuple[NDArray[np.uint8], str]:
    """A picture uint8 [H, W, 3] as a square of ``options.resolution``, and whether it was ``reduced``, ``enlarged`` or ``kept``."""
    from PIL import Image

    edge = options.resolution
    picture, size = _framed(pixels, options)
    width, height = picture.size
    how = "kept"
    if size != (width, height):
        how = "enlarged" if size[0] >= width and size[1] >= height else "reduced"
        # reducing_gap: very large pictures are first averaged to three times the size, which looks the same and is faster.
        picture = picture.resize(size, _filter(picture, size, how, options.upscale), reducing_gap=3.0)
    if size != (edge, edge):
        sheet = Image.new("RGB", (edge, edge), options.background)
        sheet.paste(picture, ((edge - size[0]) // 2, (edge - size[1]) // 2))
        picture = sheet
    return np.asarray(picture), how


def growth(pixels: NDArray[np.uint8], options: Prepare) -> Literal["nearest", "smooth"]:
    """How ``--upscale auto`` would enlarge a picture uint8 [H, W, 3]; frames of a clip all do as the first one."""
    picture, size = _framed(pixels, options)
    return "nearest" if _is_pixel_art(picture, size) else "smooth"


def _framed(pixels: NDArray[np.uint8], options: Prepare) -> tuple[Any, tuple[int, int]]:  # Any: as in _filter
    """The part of the picture that is used, and the size it gets."""
    from PIL import Image

    edge = options.resolution
    height, width = pixels.shape[:2]
    left = top = 0
    size = (edge, edge)
    if options.fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        width = height = side
    elif options.fit == "pad":
        longest = max(width, height)
        size = (max(1, round(width * edge / longest)), max(1, round(height * edge / longest)))
    return Image.fromarray(np.ascontiguousarray(pixels[top : top + height, left : left + width])), size


def _filter(picture: Any, size: tuple[int, int], how: str, upscale: str) -> Any:  # Any: Pillow is imported inside functions
    from PIL import Image

    if how == "reduced":
        return Image.Resampling.LANCZOS
    if upscale == "nearest" or (upscale == "auto" and _is_pixel_art(picture, size)):
        return Image.Resampling.NEAREST
    return Image.Resampling.BICUBIC


def _is_pixel_art(picture: Any, size: tuple[int, int]) -> bool:
    whole = size[0] % picture.width == 0 and size[1] % picture.height == 0
    return whole and bool(picture.getcolors(_FEW_COLOURS))


# --- one picture, in a worker


def _work(sources: Sequence[Source], options: Prepare, reader: Reader) -> list[tuple[Record, bytes]]:
    return [_item(source, options, reader) for source in sources]


def _item(source: Source, options: Prepare, reader: Reader) -> tuple[Record, bytes]:
    try:
        pixels = image.decode(
            source.path or reader.read(source), name=source.name, background=options.background, max_pixels=options.max_pixels,
            # Twice the size leaves the fine work of scaling to Lanczos; a picture at the target was not reduced at all.
            target=max(2 * options.resolution, options.smallest),
        )  # fmt: skip
    except SourceError as error:
        reason = str(error).removeprefix(f"{source.name}: ").partition("; ")[0]
        reason += " (--max-pixels)" if isinstance(error, image.TooManyPixelsError) else ""
        return Record(False, "", reason), b""
    height, width = pixels.shape[:2]
    if (max if options.fit == "pad" else min)(height, width) < options.smallest:
        return Record(False, "", f"too small: {width}x{height}, needs {options.smallest} (--min-size)"), b""
    square, how = fitted(pixels, options)
    data = square.tobytes()
    return Record(True, hashlib.blake2b(data, digest_size=16).hexdigest(), how), data


# --- all of them


def _fill(partial: Partial, found: Found, options: Prepare, progress: Progress) -> None:
    sources = [item.source for item in found.items]
    firsts = Firsts(partial, sources, keep=options.duplicates == "keep")
    todo = sources[len(partial.records) :]
    chunk = max(1, min(32, 2**22 // (options.resolution**2 * 3)))
    with (
        bar(partial, "Preparing pictures", len(sources), progress),
        contextlib.closing(in_order(_work, todo, options, chunk=chunk, workers=options.workers)) as stream,
    ):
        for results in stream:
            here = sources[len(partial.records) :][: len(results)]
            records = [firsts.judged(source.name, record) for source, (record, _) in zip(here, results, strict=True)]
            partial.add(records, [data for record, (_, data) in zip(records, results, strict=True) if record.stored])
            progress.advance(len(records))


def _finish(partial: Partial, found: Found, options: Prepare, key: str) -> Dataset:
    items = [item for item, record in zip(found.items, partial.records, strict=True) if record.stored]
    refused = left_out(found.items, partial.records)
    if not items:
        partial.discard()
        raise nothing(found, refused, "picture")
    folder, shape = partial.folder, [len(items), *partial.shape]
    notes: dict[str, Any] = {"names": "names.jsonl", "key": key}
    notes["resized"] = dict(sorted(Counter(record.note for record in partial.records if record.stored).items()))
    notes |= found.notes
    beside = write_beside(folder, items, (item.source.name for item in items), options.labels)
    partial.finish()
    digests = "".join(record.digest for record in partial.records if record.stored).encode()
    manifest = Manifest(
        artgen=version("artgen"), kind="image", count=len(items), arrays={"images": "images.npy"} | beside.arrays,
        shapes={"images": shape} | beside.shapes, classes=beside.classes, captions=beside.captions,
        options={**deciding(options), "min_size": options.smallest}, sources=found.origins,
        skipped=[*found.skipped, *refused], notes=notes,
        fingerprint=fingerprint(str(shape).encode(), digests, beside.labels.tobytes(), "\n".join(beside.classes).encode()),
    )  # fmt: skip
    dataset = write_manifest(folder, manifest)
    partial.forget()
    return dataset
