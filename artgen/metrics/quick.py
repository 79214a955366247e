"""Measures that are cheap enough to be taken during training, against statistics of the real data that are computed once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset
from artgen.errors import OptionError
from artgen.metrics import swd
from artgen.metrics.arrays import Features, Pixels, checked, choose, in_micro_batches
from artgen.metrics.extractor import VARIANCE, Extractor, extractor_for
from artgen.metrics.frechet import Gaussian, frechet_distance, gaussian

NAMES = ("fd_rnd", "fd", "swd")
RANDOM_NETS = 3
PATCHES = 16
PROJECTIONS = 128

# B batch, S side of the square the network sees.


class RandomNetwork(nn.Module):
    """A convolutional network with fixed random weights: [B, 3, S, S] -> [B, 128].

    Means over the quarters of the picture notice layout, deviations notice sharpness and noise.
    """

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        widths = (3, 24, 48, 48)
        strides = (2 if size > 32 else 1, 2, 2)
        self.weights = [
            torch.randn(after, before, 3, 3, generator=random) * math.sqrt(2 / (9 * before))
            for before, after in itertools.pairwise(widths)
        ]
        self.strides = strides
        self.mix = torch.randn(widths[-1] * 4 + widths[-1] + widths[1], 128, generator=random) / math.sqrt(widths[-1] * 4)

    def forward(self, x: Tensor) -> Tensor:
        """Random mixtures of what the layers hold, as [B, 128]."""
        spread = []
        for weight, stride in zip(self.weights, self.strides, strict=True):
            x = F.leaky_relu(F.conv2d(x, weight.to(memory_format=torch.channels_last), stride=stride, padding=1), 0.2)
            spread.append(x.std((2, 3)))
        quarters = F.adaptive_avg_pool2d(x, 2).flatten(1)  # [B, 192]
        return torch.cat([quarters, spread[-1], spread[0]], 1) @ self.mix


class Reference:
    """What samples are compared with: a fixed random choice of up to ``items`` real pictures, in the forms the measures need.

    With ``images`` [N, H, W, 3] it is these instead (frames of clips).
    Each form is made when its measure is first asked for. ``fd`` trains the dataset's extractor if it has none yet;
    ``fd_rnd`` (Fréchet distance in the features of three fixed random networks, their mean) needs no training.
    """

    def __init__(
        self, dataset: Dataset, *, items: int = 2000, seed: int = 0, extractor: Extractor | None = None,
        progress: Progress = SILENT, images: Pixels | None = None,
    ) -> None:  # fmt: skip
        if images is None:
            rows = choose(len(dataset), items, seed)  # not sorted: the first of them are a fair choice too, and SWD takes the first
            images = np.asarray(dataset.array("images")[rows])
        self.images: Pixels = checked(images)
        self.seed = seed
        self._dataset, self._progress = dataset, progress
        self._extractor = extractor
        self._gaussian: Gaussian | None = None
        self._random: list[tuple[RandomNetwork, float, Gaussian]] = []
        self._patches: dict[int, swd.Descriptors] = {}

    @property
    def extractor(self) -> Extractor:
        """The extractor that ``fd`` is measured with."""
        if self._extractor is None:
            self._extractor = extractor_for(self._dataset, self._progress)
        return self._extractor

    def measure(self, samples: Pixels, names: Iterable[str] = ("fd_rnd",)) -> dict[str, float]:
        """The measures ``names`` of ``samples`` uint8 [N, H, W, 3]; lower is better for each; NaN for fewer than two pictures.

        Raises:
            OptionError: there is no such measure.
        """
        measures = {"fd_rnd": self._fd_random, "fd": self._fd, "swd": self._swd}
        checked(samples)
        found = {}
        for name in names:
            if name not in measures:
                raise OptionError(f"no metric {name!r} during training; known: {', '.join(NAMES)}")
            found[name] = measures[name](samples)
        return found

    def _fd(self, samples: Pixels) -> float:
        if self._gaussian is None:
            self._gaussian = gaussian(self.extractor.features(self.images))
        return frechet_distance(self._gaussian, gaussian(self.extractor.features(samples)))

    def _fd_random(self, samples: Pixels) -> float:
        if not self._random:
            self._random = [self._random_statistics(number) for number in range(RANDOM_NETS)]
        size = self._size
        values = [frechet_distance(real, gaussian(scale * _features(net, samples, size))) for net, scale, real in self._random]
        return float(np.mean(values))

    def _random_statistics(self, number: int) -> tuple[RandomNetwork, float, Gaussian]:
        network = RandomNetwork(self._size, 0xF1D + number)
        found = _features(network, self.images, self._size)
        variance = float(found.var(0, dtype=np.float64).sum())
        scale = math.sqrt(VARIANCE / variance) if variance > 0 else 1.0
        return network, scale, gaussian(scale * found)

    @property
    def _size(self) -> int:
        return 32 if min(self.images.shape[1:3]) <= 32 else 64

    def _swd(self, samples: Pixels) -> float:
        count = min(len(samples), len(self.images))
        if count < 2:
            return float("nan")
        if count not in self._patches:
            self._patches = {count: swd.descriptors(self.images[:count], patches=PATCHES, seed=self.seed)}
        found = swd.descriptors(samples[:count], patches=PATCHES, seed=self.seed)
        levels = swd.distances(self._patches[count], found, projections=PROJECTIONS, seed=self.seed)
        return float(np.mean(list(levels.values())))


def _features(network: RandomNetwork, images: Pixels, size: int) -> Features:
    return in_micro_batches(network, images, size, lambda count: None)
