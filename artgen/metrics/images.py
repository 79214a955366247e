"""Measure a model that makes pictures against the real ones: every score with the floor that real pictures get themselves.

Nothing here imports torch until something is measured, so that backends can declare their options from :class:`Evaluate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from artgen.backend import SILENT, Progress, Score
from artgen.dataset import Dataset
from artgen.errors import UsageError
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from artgen.metrics.extractor import Extractor
    from artgen.metrics.manifold import Manifold
    from artgen.metrics.neighbours import Neighbours

Pixels = NDArray[np.uint8]
Generate = Callable[[Sequence[int]], Pixels]
"""Makes one picture a seed: uint8 [n, H, W, 3]."""

REAL_SEED = 0
"""Chooses the real halves: the same ones whatever the seed of the samples, so that two models meet the same real pictures."""

CHUNK = 64
MOST_TRAINING = 50_000
SHEET_ROWS = 12
SHEET_NEIGHBOURS = 5
ROUGH = 256


@dataclass(frozen=True)
class Measure:
    """One line of the table of measures: ``compute`` gives the value and its floor."""

    label: str
    better: Literal["lower", "higher", "near floor"]
    description: str
    compute: Callable[[Comparison], tuple[float, float]]
    features: bool = True


class Comparison:
    """The sets that are compared, and what is computed from them once for several measures.

    ``real`` and ``held`` are disjoint halves of the real data, ``samples`` as many pictures of the model; ``made`` are all
    that it made.
    """

    def __init__(self, dataset: Dataset, items: int, made: Pixels, progress: Progress) -> None:
        from artgen.metrics.arrays import choose

        images = dataset.array("images")
        self.count = halves(len(images), items)
        order = choose(len(images), len(images), REAL_SEED)
        self.real, self.held = (np.asarray(images[rows]) for rows in (order[: self.count], order[self.count : 2 * self.count]))
        self.training = images[np.sort(order[:MOST_TRAINING])] if len(images) > MOST_TRAINING else images
        self.made, self.samples = made, made[: self.count]
        self.progress, self._dataset = progress, dataset

    @cached_property
    def extractor(self) -> Extractor:
        """The dataset's own."""
        from artgen.metrics.extractor import extractor_for

        return extractor_for(self._dataset, self.progress)

    @cached_property
    def features(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Features of ``real``, ``held`` and ``samples``."""
        sets = (self.real, self.held, self.samples)
        return self._watched(*sets)

    @cached_property
    def manifolds(self) -> tuple[Manifold, Manifold]:
        """Precision and its sisters of the samples, and of the other real half."""
        from artgen.metrics.manifold import manifold

        real, held, samples = self.features
        return manifold(real, samples), manifold(real, held)

    @cached_property
    def copies(self) -> tuple[NDArray[np.float64], NDArray[np.float64], Neighbours]:
        """The copy ratios of all samples and of as many real pictures, and the samples' nearest training pictures."""
        from artgen.metrics.neighbours import copy_ratios, nearest

        training, made, _ = self._watched(self.training, self.made, self.made[:0])
        tried = np.arange(len(training))[:: max(1, len(training) // max(1, len(made)))]
        found = nearest(made, training, SHEET_NEIGHBOURS)
        return copy_ratios(made, training), copy_ratios(training[tried], training, tried), found

    def _watched(self, *sets: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        extractor = self.extractor
        self.progress.start("looking at the pictures", sum(len(images) for images in sets), "pictures")
        first, second, third = (extractor.features(images, self.progress) for images in sets)
        self.progress.finish()
        return first, second, third


def _fd(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.frechet import frechet

    real, held, samples = c.features
    return frechet(real, samples), frechet(real, held)


def _kd(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.frechet import kernel_distance

    real, held, samples = c.features
    return kernel_distance(real, samples), kernel_distance(real, held)


def _swd(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.swd import sliced_wasserstein

    return sliced_wasserstein(c.real, c.samples)[0], sliced_wasserstein(c.real, c.held)[0]


def _ms_ssim(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.msssim import diversity

    return diversity(c.samples), diversity(c.real)


def _copies(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.neighbours import closest_ratio

    made, real, _ = c.copies
    return closest_ratio(made), closest_ratio(real)


def _precision(c: Comparison) -> tuple[float, float]:
    return c.manifolds[0].precision, c.manifolds[1].precision


def _recall(c: Comparison) -> tuple[float, float]:
    return c.manifolds[0].recall, c.manifolds[1].recall


def _density(c: Comparison) -> tuple[float, float]:
    return c.manifolds[0].density, c.manifolds[1].density


def _coverage(c: Comparison) -> tuple[float, float]:
    return c.manifolds[0].coverage, c.manifolds[1].coverage


MEASURES = {
    "fd": Measure("FD", "lower", "Fréchet distance of features: the best single number.", _fd),
    "kd": Measure("KD", "lower", "Kernel distance of features, times 1000; unbiased, for few pictures.", _kd),
    "swd": Measure("SWD", "lower", "Sliced Wasserstein distance of patches, times 1000: sharpness and texture.", _swd, False),
    "precision": Measure(
        "precision", "near floor", "Share of samples that look real; blur raises it: read recall too.", _precision
    ),
    "recall": Measure("recall", "higher", "Share of the real pictures that the model could have made: variety.", _recall),
    "density": Measure("density", "near floor", "How densely samples lie where real pictures are.", _density),
    "coverage": Measure("coverage", "higher", "Share of the real pictures that have a sample nearby.", _coverage),
    "ms_ssim": Measure(
        "MS-SSIM", "near floor", "Likeness of random pairs of samples; above the floor: less varied.", _ms_ssim, False
    ),
    "copies": Measure("copies", "near floor", "Distance of the closest samples to a training picture; near 0: copies.", _copies),
}
"""Every measure by the name that ``--metrics`` takes."""

Name = Literal["fd", "kd", "swd", "precision", "recall", "density", "coverage", "ms_ssim", "copies"]


class Evaluate(Options, frozen=True, kw_only=True):
    """The options of ``artgen image evaluate``."""

    items: Annotated[
        int,
        Meta(ge=1, le=1_000_000, description="Samples to make and real pictures to compare them with.", extra={"unit": "items"}),
    ] = 2000
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Seed of the first sample; the others follow it.")] = 0
    metrics: Annotated[tuple[Name, ...], Meta(description="Measure only these; all when not given.")] = ()
    inception: Annotated[
        str | None,
        Meta(description="The official Inception file (…-6726825d.pth): gives FID, KID and IS too.", extra={"file": True}),
    ] = None


def halves(count: int, items: int) -> int:
    """How many pictures each of the compared sets holds: ``items``, or half of a dataset of ``count`` too small for that."""
    return min(items, count // 2)


def evaluate_images(generate: Generate, dataset: Dataset, options: Evaluate, progress: Progress = SILENT) -> dict[str, Score]:
    """Measure the pictures that ``generate`` makes against ``dataset``.

    Value and floor are taken against the same half of the real data, with as many pictures, so they may be divided. With too
    few pictures for a measure its value is NaN and its protocol says why.

    Raises:
        UsageError: the pictures have another size than the dataset's, or ``inception`` is not the file it should be.
    """
    if options.inception:
        from artgen.metrics.official import check_inception

        check_inception(options.inception)
    total = len(dataset.array("images"))
    # Some samples are made even for a dataset of three pictures: the copy check and its sheet still say something.
    wanted = max(halves(total, options.items), min(options.items, CHUNK))
    made = _made(generate, options.seed, wanted, dataset.array("images").shape[1:], progress)
    comparison = Comparison(dataset, options.items, made, progress)
    remark = _remark(comparison.count, options.items, total)
    scores = {}
    for name, measure in MEASURES.items():
        if options.metrics and name not in options.metrics:
            continue
        value, floor = measure.compute(comparison)
        scores[name] = Score(value, floor, measure.better, measure.description, _protocol(measure, comparison) + remark)
    if "copies" in scores:
        scores["copies"] = _with_sheet(scores["copies"], comparison)
    if options.inception:
        scores.update(_official(comparison, options.inception, remark))
    return scores


def _made(generate: Generate, seed: int, count: int, shape: tuple[int, ...], progress: Progress) -> Pixels:
    progress.start("making samples", count, "pictures")
    parts = []
    for start in range(0, count, CHUNK):
        seeds = range(seed + start, seed + min(start + CHUNK, count))
        part = generate(seeds)
        if part.shape[1:] != shape:
            made, real = (f"{size[1]}x{size[0]}" for size in (part.shape[1:], shape))
            fitting = f"prepare it with --resolution {part.shape[1]}"
            raise UsageError(f"the model makes pictures of {made}, the dataset holds pictures of {real}; {fitting}")
        parts.append(part)
        progress.advance(len(part))
    progress.finish()
    return np.concatenate(parts)


def _remark(count: int, items: int, total: int) -> str:
    remarks = []
    if count < items:
        remarks.append(f"{items} asked for, but the dataset of {total} has halves of {count}")
    if count < ROUGH:
        remarks.append("too few pictures for a steady number")
    return f" ({'; '.join(remarks)})" if remarks else ""


def _protocol(measure: Measure, comparison: Comparison) -> str:
    if measure.label == "copies":
        return (
            comparison.extractor.protocol("copies", len(comparison.made)) + f" against {len(comparison.training)} training pictures"
        )
    if measure.features:
        return comparison.extractor.protocol(measure.label, comparison.count)
    return f"artgen-{measure.label}@N={comparison.count}"


def _with_sheet(score: Score, comparison: Comparison) -> Score:
    """The score with the most suspicious samples and their nearest training pictures, and with how many are near-copies."""
    from artgen.artwork import Image
    from artgen.metrics.neighbours import NEAR_COPY, Neighbours, sheet

    ratios, _, found = comparison.copies
    rows = np.argsort(ratios, kind="stable")[:SHEET_ROWS]
    shown = Neighbours(found.indices[rows], found.distances[rows])
    pixels = sheet(comparison.made[rows], comparison.training, shown)
    near = int((ratios < NEAR_COPY).sum())
    counted = "" if math.isnan(score.value) else f" {near} of {len(ratios)} samples are near-copies."
    return Score(
        score.value, score.floor, score.better, score.description + counted, score.protocol,
        Image(pixels, name="nearest training pictures"),
    )  # fmt: skip


def _official(comparison: Comparison, inception: str, remark: str) -> dict[str, Score]:
    from artgen.metrics.official import official

    comparison.progress.start("measuring with Inception")
    values, floors = (official(images, comparison.real, inception) for images in (comparison.samples, comparison.held))
    comparison.progress.finish()
    told: dict[str, tuple[Literal["lower", "higher"], str]] = {
        "FID": ("lower", "Fréchet Inception distance, official weights."),
        "KID": ("lower", "Kernel Inception distance, times 1000, official weights."),
        "IS": ("higher", "Inception score, official weights."),
    }
    return {
        name: Score(values[name], floors[name], better, description, f"{name}@torch-fidelity@N={comparison.count}{remark}")
        for name, (better, description) in told.items()
    }
