"""Measure the clips a model makes against real ones: ``artgen video evaluate``.

Pictures and motion are measured apart, for a model can be good at one and bad at the other: frames as pictures are
(``artgen-FD`` a frame), motion in features that know what time looks like (``artgen-FD-motion``), by the patches of what changes
(``artgen-SWD-motion``), and by how much moves (``artgen-energy``). Every number comes with its floor, the same measure between two
halves of the real data. None of them is FVD: that name belongs to the official weights.
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
from artgen.metrics.images import REAL_SEED, ROUGH, halves
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from artgen.metrics import extractor, motion
    from artgen.metrics.manifold import Manifold
    from artgen.metrics.neighbours import Neighbours

Clips = NDArray[np.uint8]
Features = NDArray[np.float32]
Generate = Callable[[Sequence[int]], Clips]
"""Makes one clip a seed: uint8 [n, T, H, W, 3]."""

CHUNK = 16
MOST_TRAINING = 10_000
FRAMES = 4
"""Frames of each clip that are looked at as pictures, evenly chosen: their neighbours say little more."""

DIFFERENCES = 2
"""Pairs of frames of each clip whose difference SWD-motion takes patches from."""

SHEET_ROWS = 8
SHEET_NEIGHBOURS = 2
_SHEET_FRAMES = 6
_GAP = 6


@dataclass(frozen=True)
class Measure:
    """One line of the table of measures: ``compute`` gives the value and its floor, ``eyes`` says which features it needs."""

    label: str
    better: Literal["lower", "higher", "near floor"]
    description: str
    compute: Callable[[Comparison], tuple[float, float]]
    eyes: Literal["pictures", "motion", "both", "none"]


class Comparison:
    """The sets that are compared, and what is computed from them once for several measures.

    ``real`` and ``held`` are disjoint halves of the real clips, ``samples`` as many clips of the model; ``made`` are all that it
    made. All have the length of the shorter ones.
    """

    def __init__(self, dataset: Dataset, items: int, made: Clips, progress: Progress) -> None:
        from artgen.metrics.arrays import choose

        videos = dataset.array("videos")
        self.length = min(videos.shape[1], made.shape[1])
        self.count = halves(len(videos), items)
        order = choose(len(videos), len(videos), REAL_SEED)
        rows = order[: self.count], order[self.count : 2 * self.count]
        self.real, self.held = (np.asarray(videos[chosen][:, : self.length]) for chosen in rows)
        self.training = (videos[np.sort(order[:MOST_TRAINING])] if len(videos) > MOST_TRAINING else videos)[:, : self.length]
        self.made = made[:, : self.length]
        self.samples = self.made[: self.count]
        self.progress, self._dataset = progress, dataset

    @cached_property
    def pictures(self) -> extractor.Extractor:
        """The dataset's eye for pictures."""
        from artgen.metrics.extractor import extractor_for

        return extractor_for(self._dataset, self.progress)

    @cached_property
    def motion(self) -> motion.Extractor:
        """The dataset's eye for motion."""
        from artgen.metrics.motion import extractor_for

        return extractor_for(self._dataset, self.progress)

    @cached_property
    def frame_features(self) -> tuple[Features, Features, Features]:
        """Features of some frames of ``real``, ``held`` and ``samples``, [N * F, D]."""
        return self._seen(self.real), self._seen(self.held), self._seen(self.samples)

    @cached_property
    def motion_features(self) -> tuple[Features, Features, Features]:
        """Features [N, D] of the motion of ``real``, ``held`` and ``samples``."""
        return self._moved(self.real), self._moved(self.held), self._moved(self.samples)

    @cached_property
    def whole(self) -> tuple[Features, Features, Features]:
        """What is seen and how it moves, as one vector a clip: the mean of its frames' features, beside those of its motion."""
        sets = zip(self.frame_features, self.motion_features, strict=True)
        first, second, third = (_joined(seen, moved) for seen, moved in sets)
        return first, second, third

    @cached_property
    def manifolds(self) -> tuple[Manifold, Manifold]:
        """Precision and recall of the samples, and of the other real half."""
        from artgen.metrics.manifold import manifold

        real, held, samples = self.whole
        return manifold(real, samples), manifold(real, held)

    @cached_property
    def copies(self) -> tuple[NDArray[np.float64], NDArray[np.float64], Neighbours]:
        """The copy ratios of all samples and of as many real clips, and the samples' nearest training clips."""
        from artgen.metrics.neighbours import copy_ratios, nearest

        training, made = (_joined(self._seen(clips), self._moved(clips)) for clips in (self.training, self.made))
        tried = np.arange(len(training))[:: max(1, len(training) // max(1, len(made)))]
        found = nearest(made, training, SHEET_NEIGHBOURS)
        return copy_ratios(made, training), copy_ratios(training[tried], training, tried), found

    def _seen(self, clips: Clips) -> Features:
        frames = np.unique(np.linspace(0, self.length - 1, FRAMES).round().astype(int))
        eye = self.pictures
        self.progress.start("looking at frames", len(clips) * len(frames), "frames")
        parts = [
            eye.features(np.ascontiguousarray(clips[start : start + CHUNK, frames]).reshape(-1, *clips.shape[2:]), self.progress)
            for start in range(0, len(clips), CHUNK)
        ]
        self.progress.finish()
        return np.concatenate(parts)

    def _moved(self, clips: Clips) -> Features:
        eye = self.motion
        self.progress.start("looking at motion", len(clips), "clips")
        found = eye.features(clips, self.progress)
        self.progress.finish()
        return found


def _joined(seen: Features, moved: Features) -> Features:
    return np.concatenate([seen.reshape(len(moved), -1, seen.shape[1]).mean(1), moved], 1)


def energies(clips: Clips) -> NDArray[np.float64]:
    """How much moves in each clip [N]: the root of the mean squared step from frame to frame, in steps of 255."""
    found = np.empty(len(clips))
    for number, clip in enumerate(clips):
        found[number] = np.sqrt(np.square(np.diff(clip.astype(np.float32), axis=0)).mean(dtype=np.float64))
    return found


def energy_distance(one: Clips, two: Clips) -> float:
    """How far the distributions of :func:`energies` of two sets are apart: the first Wasserstein distance, in steps of 255."""
    a, b = np.sort(energies(one)), np.sort(energies(two))
    if not len(a) or not len(b):
        return math.nan
    places = (np.arange(512) + 0.5) / 512
    return float(np.abs(np.quantile(a, places) - np.quantile(b, places)).mean())


def differences(clips: Clips, count: int = DIFFERENCES) -> NDArray[np.uint8]:
    """What changes between two frames, at ``count`` places of each clip, as pictures uint8 [N * count, H, W, 3] on grey."""
    places = np.unique(np.linspace(0, clips.shape[1] - 2, count).round().astype(int))
    pairs = [(clips[:, place + 1].astype(np.int16) - clips[:, place]) // 2 + 128 for place in places]
    return np.stack(pairs, 1).reshape(-1, *clips.shape[2:]).astype(np.uint8)


def _fd(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.frechet import frechet

    real, held, samples = c.frame_features
    return frechet(real, samples), frechet(real, held)


def _fd_motion(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.frechet import frechet

    real, held, samples = c.motion_features
    return frechet(real, samples), frechet(real, held)


def _kd_motion(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.frechet import kernel_distance

    real, held, samples = c.motion_features
    return kernel_distance(real, samples), kernel_distance(real, held)


def _swd_motion(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.swd import sliced_wasserstein

    real, held, samples = (differences(clips) for clips in (c.real, c.held, c.samples))
    return sliced_wasserstein(real, samples)[0], sliced_wasserstein(real, held)[0]


def _energy(c: Comparison) -> tuple[float, float]:
    return energy_distance(c.real, c.samples), energy_distance(c.real, c.held)


def _precision(c: Comparison) -> tuple[float, float]:
    return c.manifolds[0].precision, c.manifolds[1].precision


def _recall(c: Comparison) -> tuple[float, float]:
    return c.manifolds[0].recall, c.manifolds[1].recall


def _copies(c: Comparison) -> tuple[float, float]:
    from artgen.metrics.neighbours import closest_ratio

    made, real, _ = c.copies
    return closest_ratio(made), closest_ratio(real)


MEASURES = {
    "fd": Measure("FD", "lower", "Fréchet distance of single frames: how good the pictures are.", _fd, "pictures"),
    "fd_motion": Measure("FD-motion", "lower", "Fréchet distance of motion: the best number for movement.", _fd_motion, "motion"),
    "kd_motion": Measure("KD-motion", "lower", "Kernel distance of motion, times 1000; for few clips.", _kd_motion, "motion"),
    "swd_motion": Measure("SWD-motion", "lower", "Sliced Wasserstein distance of what changes, times 1000.", _swd_motion, "none"),
    "energy": Measure("energy", "lower", "Distance of how much moves, in steps of 255: too still or too wild.", _energy, "none"),
    "precision": Measure(
        "precision", "near floor", "Share of samples that look and move like real clips; read recall too.", _precision, "both"
    ),
    "recall": Measure("recall", "higher", "Share of the real clips that the model could have made: variety.", _recall, "both"),
    "copies": Measure(
        "copies", "near floor", "Distance of the closest samples to a training clip; near 0: copies.", _copies, "both"
    ),
}
"""Every measure by the name that ``--metrics`` takes."""

Name = Literal["fd", "fd_motion", "kd_motion", "swd_motion", "energy", "precision", "recall", "copies"]


class Evaluate(Options, frozen=True, kw_only=True):
    """The options of ``artgen video evaluate``."""

    items: Annotated[
        int,
        Meta(ge=1, le=100_000, description="Samples to make and real clips to compare them with.", extra={"unit": "items"}),
    ] = 1000
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Seed of the first sample; the others follow it.")] = 0
    metrics: Annotated[tuple[Name, ...], Meta(description="Measure only these; all when not given.")] = ()


def evaluate_clips(generate: Generate, dataset: Dataset, options: Evaluate, progress: Progress = SILENT) -> dict[str, Score]:
    """Measure the clips that ``generate`` makes against ``dataset``.

    Value and floor are taken against the same half of the real data, with as many clips, so they may be divided. With too few clips
    for a measure its value is NaN and its protocol says why.

    Raises:
        UsageError: the clips have another size than the dataset's.
    """
    videos = dataset.array("videos")
    wanted = max(halves(len(videos), options.items), min(options.items, CHUNK))
    made = _made(generate, options.seed, wanted, videos.shape[2:], progress)
    comparison = Comparison(dataset, options.items, made, progress)
    remark = _remark(comparison, options.items, len(videos))
    scores = {}
    for name, measure in MEASURES.items():
        if not options.metrics or name in options.metrics:
            value, floor = measure.compute(comparison)
            scores[name] = Score(value, floor, measure.better, measure.description, _protocol(measure, comparison) + remark)
    if "copies" in scores:
        scores["copies"] = _with_sheet(scores["copies"], comparison)
    return scores


def _made(generate: Generate, seed: int, count: int, shape: tuple[int, ...], progress: Progress) -> Clips:
    progress.start("making samples", count, "clips")
    parts = []
    for start in range(0, count, CHUNK):
        part = generate(range(seed + start, seed + min(start + CHUNK, count)))
        if part.shape[2:] != shape:
            made, real = (f"{size[1]}x{size[0]}" for size in (part.shape[2:], shape))
            fitting = f"prepare it with --resolution {part.shape[2]}"
            raise UsageError(f"the model makes clips of {made}, the dataset holds clips of {real}; {fitting}")
        if part.shape[1] < 2:
            raise UsageError("the model makes clips of a single frame; there is no motion to measure")
        parts.append(part)
        progress.advance(len(part))
    progress.finish()
    return np.concatenate(parts)


def _remark(comparison: Comparison, items: int, total: int) -> str:
    remarks = []
    if comparison.count < items:
        remarks.append(f"{items} asked for, but the dataset of {total} has halves of {comparison.count}")
    if comparison.count < ROUGH:
        remarks.append("too few clips for a steady number")
    return f" ({'; '.join(remarks)})" if remarks else ""


def _protocol(measure: Measure, comparison: Comparison) -> str:
    """The name under which a number may be compared with another: ``artgen-FD-motion@mot-1a2b3c4d@T=16@N=300``."""
    eyes = []
    if measure.eyes in ("pictures", "both"):
        eyes.append(comparison.pictures.name)
    if measure.eyes in ("motion", "both"):
        eyes.append(comparison.motion.name)
    by = f"@{'+'.join(eyes)}" if eyes else ""
    if measure.label == "copies":
        of = f"@N={len(comparison.made)} against {len(comparison.training)} training clips"
        return f"artgen-copies{by}@T={comparison.length}{of}"
    return f"artgen-{measure.label}{by}@T={comparison.length}@N={comparison.count}"


def _with_sheet(score: Score, comparison: Comparison) -> Score:
    """The score with the most suspicious samples above their nearest training clips, and with how many are near-copies."""
    from artgen.artwork import Image
    from artgen.metrics.neighbours import NEAR_COPY

    ratios, _, found = comparison.copies
    rows = np.argsort(ratios, kind="stable")[:SHEET_ROWS]
    pixels = sheet(comparison.made[rows], comparison.training, found.indices[rows])
    near = int((ratios < NEAR_COPY).sum())
    counted = "" if math.isnan(score.value) else f" {near} of {len(ratios)} samples are near-copies."
    return Score(
        score.value, score.floor, score.better, score.description + counted, score.protocol,
        Image(pixels, name="nearest training clips"),
    )  # fmt: skip


def sheet(samples: Clips, training: Clips, nearest: NDArray[np.int64]) -> NDArray[np.uint8]:
    """A picture [H, W, 3]: in each row frames of a sample, a gap, and those of its nearest training clips ``nearest`` [N, k]."""
    from artgen.media.filmstrip import strip

    rows = []
    for sample, indices in zip(samples, nearest, strict=True):
        strips = [strip(clip, _SHEET_FRAMES) for clip in (sample, *(training[index] for index in indices))]
        gap = np.full((len(strips[0]), _GAP, 3), 255, np.uint8)
        row = [part for shown in strips for part in (shown, gap)][:-1]
        rows.append(np.pad(np.concatenate(row, 1), ((0, _GAP), (0, 0), (0, 0)), constant_values=255))
    return np.concatenate(rows)[:-_GAP]
