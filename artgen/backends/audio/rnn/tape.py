"""The training sounds as one tape: the pieces that are not held out, one after the other, cut anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgen.dataset import Dataset
from artgen.errors import DatasetError
from artgen.media.audio import from_pcm, to_pcm

STEP = 256
"""Samples between the places where items of a training begin."""

_JOIN = 0.002  # seconds over which a piece begins and ends: no click where two meet


class Tape:
    """Samples of ``pieces`` [P, 2] of a dataset one after the other, from the front again after the last."""

    def __init__(self, dataset: Dataset, pieces: NDArray[np.int64]) -> None:
        self.samples = dataset.array("samples")
        self.rate, self.channels = rate_of(dataset), int(self.samples.shape[1])
        self.pieces = pieces
        self.ends = np.cumsum(pieces[:, 1] - pieces[:, 0])
        self.length = int(self.ends[-1])
        self._fade = max(1, round(_JOIN * self.rate))

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """``count`` samples float32 [count, C] from ``start`` on."""
        made = np.empty((count, self.channels), np.float32)
        at, place = 0, start % self.length
        while at < count:
            piece = int(np.searchsorted(self.ends, place, "right"))
            first, last = self.pieces[piece]
            inside = place - (int(self.ends[piece]) - int(last - first))
            taken = min(count - at, int(last - first) - inside)
            part = made[at : at + taken]
            part[:] = from_pcm(self.samples[first + inside : first + inside + taken])
            self._smooth(part, inside, int(last - first))
            at, place = at + taken, (place + taken) % self.length
        return made

    def crops(self, places: NDArray[np.int64], count: int) -> NDArray[np.int16]:
        """``count`` samples int16 [b, count, C] from each of ``places`` on."""
        made = np.empty((len(places), count, self.channels), np.int16)
        for row, place in enumerate((places % self.length).tolist()):
            piece = int(self.ends.searchsorted(place, "right"))
            first, last = self.pieces[piece].tolist()
            inside = place - int(self.ends[piece]) + last - first
            if inside >= self._fade and inside + count <= last - first - self._fade:
                made[row] = self.samples[first + inside : first + inside + count]  # one copy, as most crops are
            else:
                made[row] = to_pcm(self.read(place, count))
        return made

    def _smooth(self, part: NDArray[np.float32], inside: int, length: int) -> None:
        fade = min(self._fade, length // 2)
        if fade and inside < fade:
            count = min(fade - inside, len(part))
            part[:count] *= ((np.arange(inside, inside + count) + 0.5) / fade)[:, None].astype(np.float32)
        left = length - inside - len(part)
        if fade and left < fade:
            count = min(fade - left, len(part))
            part[-count:] *= ((np.arange(left, left + count) + 0.5) / fade)[::-1, None].astype(np.float32)


class Moments(Dataset):
    """A dataset of sounds whose items are the moments of its tape, so that an epoch hears every moment once."""

    def __init__(self, dataset: Dataset) -> None:
        super().__init__(dataset.folder, dataset.manifest)
        self._arrays = {name: dataset.array(name) for name in dataset.manifest.arrays}
        learned, held = pieces_of(dataset)
        self.tape = Tape(self, learned)
        self.held = Tape(self, held) if len(held) else None

    def __deepcopy__(self, memo: dict[int, Any]) -> Moments:
        return self  # nothing here changes, and a copy would read the whole file into memory

    def __len__(self) -> int:
        return max(1, self.tape.length // STEP)


def pieces_of(dataset: Dataset) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pieces [P, 2] to learn from, and those that are held out.

    Raises:
        DatasetError: none is left to learn from.
    """
    pieces = np.asarray(dataset.array("pieces"), np.int64)
    held = np.zeros(len(pieces), bool)
    if "held_out" in dataset.manifest.arrays:
        held[dataset.array("held_out")] = True
    if held.all():
        raise DatasetError(f"{dataset.folder}: nothing is left to learn from; prepare it again with --held-out 0")
    return pieces[~held], pieces[held]


def rate_of(dataset: Dataset) -> int:
    """Samples a second of a dataset of sounds.

    Raises:
        DatasetError: the dataset does not say.
    """
    rate: Any = dataset.manifest.notes.get("rate")
    if not isinstance(rate, int) or not 1000 <= rate <= 768_000:
        raise DatasetError(f"{Path(dataset.folder)}: its rate is {rate}; prepare it again")
    return rate
