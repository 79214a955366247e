"""A small network trained on the real pictures, whose features artgen-FD and the other measures are taken in.

Where the data has classes it learns to tell them apart; else to find the second view of a picture among those of others, how it
was turned, and what was done to it (noise, blur, hue, grain, mixed-up quarters). It is trained once, on real pictures alone,
and kept with the dataset: every model is measured by the same eye.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset, fingerprint
from artgen.errors import DatasetError, OutputError
from artgen.files import cache_folder
from artgen.metrics import kept
from artgen.metrics.arrays import Features, Pixels, checked, choose, in_micro_batches, to_square

Module = TypeVar("Module", bound=nn.Module)

# B batch, C channels, S side of the square the network sees, D features, K classes.

VERSION = 2
LEARNED = 128
TEXTURE = 9
TEXTURE_SHARE = 1 / 64  # with 1/8 a blur of 0.6 px scored worse (93) than fifty pictures repeated twelve times (32)
VARIANCE = 256.0
"""The total variance of the real features: a model that makes one picture over and over scores an FD of about this or more."""

MOST_PICTURES = 20_000
BATCH = 64
DAMAGES = 6
DAMAGE_WEIGHT = 0.2
TEMPERATURE = 0.2


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What ``extractor.json`` says: how the network was made, and of which data."""

    version: int
    kind: Literal["cls", "ssl"]
    size: int
    sha256: str
    fingerprint: str
    steps: int
    pictures: int


class Network(nn.Module):
    """Learned features beside measured texture: [B, 3, S, S] -> [B, 137].

    The learned ones (four convolutions and a mean over places) see what is in a picture and hardly whether it is sharp; the
    texture (logarithms of the deviations of neighbouring pixels' differences) sees that alone.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        stem = nn.Conv2d(3, 32, 4, 2, 1, bias=False) if size > 32 else nn.Conv2d(3, 32, 3, 1, 1, bias=False)
        self.layers = nn.Sequential(
            *_normed(stem),  # [B, 32, 32, 32]
            *_normed(nn.Conv2d(32, 64, 4, 2, 1, bias=False)),  # [B, 64, 16, 16]
            *_normed(nn.Conv2d(64, 128, 4, 2, 1, bias=False)),  # [B, 128, 8, 8]
            *_normed(nn.Conv2d(128, LEARNED, 3, 2, 1, bias=False)),  # [B, 128, 4, 4]
        )
        self.register_buffer("centre", torch.zeros(LEARNED + TEXTURE))
        self.register_buffer("scale", torch.ones(LEARNED + TEXTURE))

    def forward(self, x: Tensor) -> Tensor:
        """Features, moved and scaled so that those of the real data have mean 0 and the total variance :data:`VARIANCE`."""
        found: Tensor = (torch.cat([self.learned(x), _texture(x)], 1) - self.centre) * self.scale
        return found

    def learned(self, x: Tensor) -> Tensor:
        """What the losses train: [B, 128]."""
        found: Tensor = self.layers(x).mean((2, 3))
        return found


def _texture(x: Tensor) -> Tensor:
    """[B, 3, S, S] -> [B, 9]: across, down, and both, for each colour."""
    across, down = x.diff(dim=3), x.diff(dim=2)
    deviations = torch.cat([part.std((2, 3)) for part in (across, down, across.diff(dim=2))], 1)
    return (deviations + 0.02).log()  # 0.02 is 2.5 of 255 levels: below it a plain ground is plain


def _normed(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels), nn.LeakyReLU(0.1, inplace=True)


class Extractor:
    """A trained network with the name of what it is: ``cls-1a2b3c4d``, or ``ssl-…`` for data without classes."""

    def __init__(self, network: Network, facts: Facts) -> None:
        self.network = _channels_last(network.eval().requires_grad_(False))
        self.facts = facts

    @property
    def name(self) -> str:
        """How it was trained and the first eight letters of the hash of its weights."""
        return f"{self.facts.kind}-{self.facts.sha256[:8]}"

    def protocol(self, measure: str, items: int) -> str:
        """The name under which a number may be compared with another: ``artgen-FD@cls-1a2b3c4d@N=2000``."""
        return f"artgen-{measure}@{self.name}@N={items}"

    def features(self, images: Pixels, progress: Progress = SILENT) -> Features:
        """Features [N, 137] of pictures of any size; a picture's features do not depend on the others."""
        return in_micro_batches(self.network, checked(images), self.facts.size, progress.advance)


def extractor_for(dataset: Dataset, progress: Progress = SILENT, steps: int | None = None) -> Extractor:
    """The extractor of ``dataset``: the one kept with it, or one trained now (half a minute to a minute) and kept.

    The number of ``steps`` follows that of the pictures when it is not given. A dataset in a place that cannot be written has
    its extractor in the user's cache folder (``$ARTGEN_HOME``, else ``~/.cache/artgen``).

    Raises:
        DatasetError: the dataset holds no pictures.
    """
    images, labels = pictures_of(dataset)
    if not len(images):
        raise DatasetError(f"{dataset.folder}: holds no pictures to measure against; prepare it again")
    mark = dataset.fingerprint or fingerprint(str(images.shape).encode(), np.ascontiguousarray(images[:64]).tobytes())
    places = (dataset.folder, cache_folder() / "extractors" / mark[:16])
    for place in places:
        for folder in sorted(place.glob("extractor-*")):
            if there := _open(folder, mark):
                return there
    network, facts = train(images, labels, progress, mark, steps)
    for place in places:
        try:
            kept.keep(place / f"extractor-{facts.sha256[:8]}", network, facts)
            return Extractor(network, facts)
        except OutputError:
            continue  # read-only or full: the next place will do
    progress.say(
        "The feature extractor could not be kept and will be trained anew next time; set ARTGEN_HOME to a folder with space."
    )
    return Extractor(network, facts)


def pictures_of(dataset: Dataset) -> tuple[Pixels, NDArray[np.int64] | None]:
    """The pictures of a dataset with their classes: all frames, where it holds clips."""
    if "videos" not in dataset.manifest.arrays:
        return dataset.array("images"), dataset.labels
    videos = dataset.array("videos")
    labels = None if dataset.labels is None else dataset.labels.repeat(videos.shape[1])
    return videos.reshape(-1, *videos.shape[2:]), labels  # still mapped, not read


def train(
    images: Pixels, labels: NDArray[np.int64] | None, progress: Progress = SILENT, mark: str = "", steps: int | None = None
) -> tuple[Network, Facts]:
    """Train a network on ``images``; the same pictures, labels and number of threads give the same weights."""
    size = 32 if min(images.shape[1:3]) <= 32 else 64
    rows = np.sort(choose(len(images), MOST_PICTURES, 0))
    small = _shrunk(images, rows, size)
    classes = labels[rows] if labels is not None and len(np.unique(labels[rows][labels[rows] >= 0])) >= 2 else None
    steps = steps or round(min(400 if classes is not None else 150, max(60, len(rows) / 4)))
    random = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # initial weights are drawn from the global generator
        task = _channels_last(_Task(size, 0 if classes is None else int(classes.max()) + 1))
    optimizer = torch.optim.AdamW(task.parameters(), lr=1.0, weight_decay=0.02)
    progress.start("training the feature extractor on the real pictures", steps, "steps")
    for step, batch in enumerate(_batches(len(rows), steps)):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 20) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        chosen = None if classes is None else torch.from_numpy(classes[batch])
        loss = task(small[torch.from_numpy(batch)], chosen, random)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        progress.advance()
    progress.finish()
    network = task.network.eval().requires_grad_(False)
    _set_scale(network, small)
    facts = Facts(
        version=VERSION, kind="ssl" if classes is None else "cls", size=size, sha256=kept.digest(network),
        fingerprint=mark, steps=steps, pictures=len(rows),
    )  # fmt: skip
    return network, facts


class _Task(nn.Module):
    """The losses that train the network: heads that are thrown away afterwards."""

    def __init__(self, size: int, classes: int) -> None:
        super().__init__()
        self.network = Network(size)
        self.damage = nn.Linear(LEARNED, DAMAGES)
        self.classes = nn.Linear(LEARNED, classes) if classes else None
        self.rotation = None if classes else nn.Linear(LEARNED, 4)
        self.projection = None if classes else nn.Sequential(nn.Linear(LEARNED, LEARNED), nn.ReLU(), nn.Linear(LEARNED, 64))

    def forward(self, images: Tensor, labels: Tensor | None, random: torch.Generator) -> Tensor:
        """images uint8 [B, 3, S, S], labels [B] (-1 unknown) or None for data without classes; the loss."""
        x = images.float() / 127.5 - 1
        if self.classes is not None and labels is not None:
            found = self.network.learned(_cropped(x, random).contiguous(memory_format=torch.channels_last))
            known = int((labels >= 0).sum())
            return F.cross_entropy(self.classes(found), labels, ignore_index=-1, reduction="sum") / max(1, known)
        turns = torch.randint(4, (len(x),), generator=random)
        x = torch.stack([torch.rot90(picture, int(turn), (1, 2)) for picture, turn in zip(x, turns, strict=True)])
        two_views = torch.cat([_cropped(x, random), _cropped(x, random)])
        damaged, kinds = _damaged(two_views, random, first_clean=len(x))
        found = self.network.learned(damaged.contiguous(memory_format=torch.channels_last))
        assert self.projection is not None
        assert self.rotation is not None
        contrast = _contrast(self.projection(found))
        turned = F.cross_entropy(self.rotation(found), turns.repeat(2))
        return contrast + 0.5 * turned + DAMAGE_WEIGHT * F.cross_entropy(self.damage(found), kinds)


def _contrast(projected: Tensor) -> Tensor:
    """Each of [2B, P] has to find its other view among all: the normalised temperature-scaled loss of Chen et al. 2020."""
    count = len(projected) // 2
    if count < 2:
        return projected.sum() * 0
    x = F.normalize(projected, dim=1)
    likeness = (x @ x.T / TEMPERATURE).masked_fill(torch.eye(2 * count, dtype=torch.bool), -1e9)
    partner = torch.arange(2 * count).roll(count)
    return F.cross_entropy(likeness, partner)


def _cropped(x: Tensor, random: torch.Generator) -> Tensor:
    """Each picture mirrored or not, and moved by up to an eighth of its side."""
    side = x.shape[-1]
    pad = side // 8
    mirrored = torch.rand(len(x), generator=random) < 0.5
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    x = F.pad(x, (pad, pad, pad, pad), mode="reflect")
    moves = torch.randint(2 * pad + 1, (len(x), 2), generator=random).tolist()
    return torch.stack([picture[:, top : top + side, left : left + side] for picture, (top, left) in zip(x, moves, strict=True)])


def _damaged(x: Tensor, random: torch.Generator, first_clean: int) -> tuple[Tensor, Tensor]:
    """The first pictures stay as they are, each of the others gets one damage; with the number of the damage [B]."""
    kinds = torch.randint(DAMAGES, (len(x),), generator=random)
    kinds[:first_clean] = 0
    strength = torch.rand(len(x), generator=random)[:, None, None, None]
    hurt = (
        x,
        _noisy(x, strength, random),
        _blurred(x, strength),
        _rehued(x, strength),
        _grainy(x, strength),
        _quartered(x, random),
    )
    return torch.stack(hurt)[kinds, torch.arange(len(x))], kinds


def _noisy(x: Tensor, strength: Tensor, random: torch.Generator) -> Tensor:
    return x + (0.04 + 0.3 * strength) * torch.randn(x.shape, generator=random)


def _blurred(x: Tensor, strength: Tensor) -> Tensor:
    soft = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), 3, 1)
    return x + (0.3 + 0.7 * strength) * (soft - x)


def _rehued(x: Tensor, strength: Tensor) -> Tensor:
    return x + (0.1 + 0.7 * strength) * (x.roll(1, 1) - x)


def _grainy(x: Tensor, strength: Tensor) -> Tensor:
    coarse = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="nearest")
    return x + (0.4 + 0.6 * strength) * (coarse - x)


def _quartered(x: Tensor, random: torch.Generator) -> Tensor:
    half = x.shape[-1] // 2
    quarters = [x[..., :half, :half], x[..., :half, half:], x[..., half:, :half], x[..., half:, half:]]
    a, b, c, d = (quarters[i] for i in (torch.arange(4).roll(1 + int(torch.randint(3, (), generator=random)))).tolist())
    return torch.cat([torch.cat([a, b], -1), torch.cat([c, d], -1)], -2)


def _channels_last(module: Module) -> Module:
    # The only overload with memory_format takes a tensor's dtype too, and is wrong about it.
    return module.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _batches(count: int, steps: int) -> Iterator[NDArray[np.int64]]:
    """``steps`` batches that go through all items in a new order each time round; items of a batch differ."""
    batch, rng = min(BATCH, count), np.random.default_rng(0)
    order = rng.permutation(count)
    place = 0
    for _ in range(steps):
        if place + batch > count:
            order, place = rng.permutation(count), 0
        yield order[place : place + batch]
        place += batch


def _shrunk(images: Pixels, rows: NDArray[np.int64], size: int) -> Tensor:
    """The pictures at ``rows`` as uint8 [N, 3, S, S]; float32 would need four times the memory."""
    small = torch.empty(len(rows), 3, size, size, dtype=torch.uint8)
    for start in range(0, len(rows), 256):
        chunk = to_square(images[rows[start : start + 256]], size)
        small[start : start + 256] = ((chunk + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return small


def _set_scale(network: Network, small: Tensor) -> None:
    some = torch.from_numpy(choose(len(small), 1024, 1))  # not the first ones: a dataset may be sorted by class
    sample = small[some].permute(0, 2, 3, 1).contiguous().numpy()
    found = in_micro_batches(network, sample, small.shape[-1], lambda count: None)
    network.centre.copy_(torch.from_numpy(found.mean(0)))
    variances = found.var(0, dtype=np.float64)
    for part, share in ((slice(0, LEARNED), 1 - TEXTURE_SHARE), (slice(LEARNED, None), TEXTURE_SHARE)):
        total = float(variances[part].sum())
        if total > 0:
            network.scale[part] = math.sqrt(share * VARIANCE / total)


def _open(folder: Path, mark: str) -> Extractor | None:
    """The extractor in ``folder``; None when it is another dataset's or version's, or damaged."""
    with torch.random.fork_rng(devices=[]):  # the first weights, which the file replaces, are drawn from the global generator
        found = kept.opened(folder, Facts, lambda facts: Network(facts.size), version=VERSION, mark=mark)
    return Extractor(*found) if found else None
