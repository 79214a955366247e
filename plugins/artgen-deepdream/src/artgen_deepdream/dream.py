"""Gradient ascent on pictures: octave after octave, each from the one before.

Source: Mordvintsev, Olah and Tyka 2015, "Inceptionism: Going deeper into neural networks".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise, product

import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.errors import SourceError
from artgen_deepdream import pyramid
from artgen_deepdream.options import Dream
from artgen_deepdream.readers import Reader
from artgen_deepdream.targets import Objective, Part

# B batch, C channels, H height, W width

RATE = 0.012
"""How far one of sixteen steps at strength 1 moves a picture in -1..1, as root mean square."""

USUAL_STEPS = 16

ALIGNED = 32
"""Cuts lie at multiples of this many pixels, so that strides and pools meet the same pixels as in the whole picture."""

MARGIN = 2 * ALIGNED
"""Pixels around a tile that go through the network with it, so that it knows its neighbours."""

Each = Callable[[], None]
After = Callable[[Tensor], None]


class Dreamer:
    """Dreams pictures [B, 3, H, W] in -1..1 on, all in the same way; random numbers come from a CPU generator."""

    def __init__(self, reader: Reader, objective: Objective, options: Dream) -> None:
        self.reader = reader
        self.objective = objective
        self.options = options
        smoothings: dict[str, Callable[[Tensor], Tensor]]
        smoothings = {"laplacian": pyramid.laplacian, "gaussian": pyramid.gaussian, "none": pyramid.unit}
        self.smoothed = smoothings[options.smoothing]

    def sizes(self, height: int, width: int, octaves: int | None = None) -> list[tuple[int, int]]:
        """The sizes that a picture is dreamed at.

        Raises:
            SourceError: the network cannot take so small a picture.
        """
        if min(height, width) < self.reader.smallest:
            least = self.reader.smallest
            raise SourceError(f"a picture of {width}x{height} is too small for this network; give one of at least {least}x{least}")
        scale, smallest = self.options.octave_scale, self.reader.smallest
        return pyramid.octave_sizes(height, width, octaves or self.options.octaves, scale, smallest)

    def dream(
        self,
        picture: Tensor,
        generator: torch.Generator,
        *,
        steps: int,
        octaves: int | None = None,
        each: Each = lambda: None,
        after: After = lambda dream: None,
    ) -> Tensor:
        """The picture dreamed on; ``each`` is called after every step, ``after`` with the dream of every octave.

        What an octave adds is carried to the next size and laid on the picture itself, which so stays sharp.
        """
        dream = base = picture
        added: Tensor | None = None
        for height, width in self.sizes(picture.shape[-2], picture.shape[-1], octaves):
            base = pyramid.resized(picture, height, width)
            dream = base.clone() if added is None else (base + pyramid.enlarged(added, height, width)).clamp_(-1, 1)
            self.objective.settle(self._parts(dream))
            for _ in range(steps):
                self.step(dream, generator, steps)
                each()
            added = dream - base
            after(dream)
        return dream

    def step(self, dream: Tensor, generator: torch.Generator, steps: int = USUAL_STEPS) -> None:
        """One step, in place."""
        if self.options.strength == 0:
            return
        gradient = pyramid.unit(self.smoothed(pyramid.unit(pyramid.without_grid(self.gradient(dream, generator)))))
        grey = gradient.mean(1, keepdim=True)
        gradient = pyramid.unit(grey + (gradient - grey) * self.options.colour)
        # More steps are smaller ones: --steps says how carefully, --strength how far.
        dream.add_(gradient, alpha=self.options.strength * RATE * (USUAL_STEPS / steps) ** 0.5).clamp_(-1, 1)

    def gradient(self, dream: Tensor, generator: torch.Generator) -> Tensor:
        """The gradient of the objective [B, 3, H, W], from a randomly moved picture, part by part."""
        height, width = dream.shape[-2:]
        jitter = min(self.options.jitter, (min(height, width) - 1) // 2)
        down, right = (int(torch.randint(0, jitter + 1, (), generator=generator)) for _ in range(2))
        moved = F.pad(dream, (right, jitter - right, down, jitter - down), mode="reflect")
        whole = torch.zeros_like(moved)
        for rows, above in self._spans(moved.shape[-2], generator):
            for columns, before in self._spans(moved.shape[-1], generator):
                part = moved[..., above, before].detach().requires_grad_(True)
                found = torch.autograd.grad(self.objective(part), part)[0]
                inner = found[..., rows.start - above.start :, columns.start - before.start :]
                whole[..., rows, columns] = inner[..., : rows.stop - rows.start, : columns.stop - columns.start]
        return whole[..., down : down + height, right : right + width]

    def _spans(self, length: int, generator: torch.Generator) -> list[tuple[slice, slice]]:
        """Parts of an edge, each with the wider part that is looked at; the cuts lie elsewhere every time."""
        tile = self.options.tile
        if length <= tile + 2 * MARGIN:
            return [(slice(0, length), slice(0, length))]
        pitch = tile // ALIGNED
        cuts = self._cut(length, pitch - int(torch.randint(0, pitch // 2 + 1, (), generator=generator)))
        return _wider(cuts, length)

    def _cut(self, length: int, first: int) -> list[int]:
        """Where an edge is cut: the first part has ``first`` times :data:`ALIGNED` pixels, the others a tile."""
        tile = self.options.tile
        # A little over a tile is cheaper whole than in two parts.
        if length <= tile + 2 * MARGIN:
            return [0, length]
        return [0, *range(first * ALIGNED, length - tile // 4, tile // ALIGNED * ALIGNED), length]

    def _parts(self, dream: Tensor) -> Iterator[Part]:
        """The picture in parts no larger than a tile and its margins, none left out."""
        pitch = self.options.tile // ALIGNED
        rows, columns = (_wider(self._cut(edge, pitch), edge) for edge in dream.shape[-2:])
        for (row, above), (column, before) in product(rows, columns):
            inner = (
                slice(row.start - above.start, row.stop - above.start),
                slice(column.start - before.start, column.stop - before.start),
            )
            yield Part(dream[..., above, before], *inner)


def _wider(cuts: list[int], length: int) -> list[tuple[slice, slice]]:
    """The parts between cuts of an edge, each with the wider part that is looked at."""
    return [(slice(a, b), slice(max(0, a - MARGIN), min(length, b + MARGIN))) for a, b in pairwise(cuts)]
