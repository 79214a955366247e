"""What a dream is of: layers, their channels, or what a guide shows, as a number that grows with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from artgen.errors import OptionError
from artgen_deepdream.options import Dream
from artgen_deepdream.readers import Reader

# B batch, C channels, H height, W width, G places of the guide

GUIDE_PLACES = 512
"""Places of a guide that are compared with; more cost memory and change little."""


@dataclass(frozen=True)
class Target:
    """A layer and the channels of it that are dreamed of; no channels are all of them."""

    layer: str
    channels: tuple[int, ...] = ()


def parse(reader: Reader, options: Dream) -> list[Target]:
    """The targets that ``--layer`` and ``--channel`` name.

    Raises:
        OptionError: the network has no such layer, or the layer no such channel.
    """
    found = []
    for part in (options.layer or reader.default).split(","):
        layer, _, listed = part.partition(":")
        # Some networks' own names have colons in none, but dots; a name that is known wins.
        channels = tuple(int(number) for number in listed.split("+")) if listed else ()
        count = reader.check(layer)
        if options.channel is not None:
            channels = (options.channel,)
        for channel in channels:
            if channel >= count:
                raise OptionError(f"channel {channel}: layer {layer} has the channels 0 to {count - 1}")
        found.append(Target(layer, channels))
    return found


class Part(NamedTuple):
    """Pictures [B, 3, H, W] cut from larger ones, and which rows and columns of them are no margin."""

    pictures: Tensor
    rows: slice = slice(None)
    columns: slice = slice(None)


class Objective:
    """How much a picture shows of the targets: what gradient ascent makes larger.

    ``guide`` is a picture [1, 3, H, W]; with it, every place of the dream grows like the place of the guide that it resembles
    most. Source: Mordvintsev et al. 2015, the published notebook ("Controlling dreams").
    """

    def __init__(self, reader: Reader, targets: list[Target], guide: Tensor | None = None) -> None:
        self.reader = reader
        self.targets = targets
        self.names = [target.layer for target in targets]
        self.guides: list[Tensor] = []
        self.usual: list[Usual] = []
        if guide is not None:
            with torch.no_grad():
                self.guides = [_places(answer) for answer in reader.answers(guide, self.names)]

    @torch.no_grad()
    def settle(self, parts: Iterable[Part]) -> None:
        """Learn what is usual in a picture, given in parts: every channel is measured by its own mean and spread there.

        Without it the loudest channel of a layer would draw the whole dream, and the loudest layer of several.
        """
        tallies = [Tally() for _ in self.targets]
        for part in parts:
            for tally, answer in zip(tallies, self.reader.answers(part.pictures, self.names), strict=True):
                tally.add(answer, part)
        self.usual = [tally.usual() for tally in tallies]

    def __call__(self, pictures: Tensor) -> Tensor:
        """One number: a sum over all places, so that the parts of a picture add up to the whole."""
        return torch.stack(self._values(pictures)).sum()

    def _values(self, pictures: Tensor) -> list[Tensor]:
        answers = self.reader.answers(pictures, self.names)
        usual = self.usual or [Tally().add(answer.detach(), Part(pictures)).usual() for answer in answers]
        raised = [(answer - known.mean) / known.spread for answer, known in zip(answers, usual, strict=True)]
        if self.guides:
            guides = [
                (guide - known.mean.flatten()) / known.spread.flatten() for guide, known in zip(self.guides, usual, strict=True)
            ]
            values = [_resemblance(answer, guide) for answer, guide in zip(raised, guides, strict=True)]
        else:
            values = [_strength(answer, target.channels) for answer, target in zip(raised, self.targets, strict=True)]
        return [value * known.area / known.mean.numel() for value, known in zip(values, usual, strict=True)]


class OneEach(Objective):
    """A batch of pictures of which each dreams of a channel of its own, all of one layer."""

    def __init__(self, reader: Reader, layer: str, channels: list[int]) -> None:
        super().__init__(reader, [Target(layer)])
        self.channels = channels

    def _values(self, pictures: Tensor) -> list[Tensor]:
        (answer,) = self.reader.answers(pictures, self.names)
        return [answer[list(range(len(self.channels))), self.channels].sum()]


class Usual(NamedTuple):
    """What is usual of an answer: mean and spread of every channel, each [1, C, 1, 1], and the pixels that a place stands for.

    A place of a deep layer stands for many pixels: by the pixel, every layer counts the same.
    """

    mean: Tensor
    spread: Tensor
    area: float


class Tally:
    """Counts what :class:`Usual` says, part by part."""

    def __init__(self) -> None:
        self.sums: tuple[Tensor, Tensor] | None = None
        self.places = 0
        self.pixels = 0

    def add(self, answer: Tensor, part: Part) -> Tally:
        """One more part and the answer to it, of which the margins are left out."""
        height, width = part.pictures.shape[-2:]
        answer = answer[..., _scaled(part.rows, height, answer.shape[-2]), _scaled(part.columns, width, answer.shape[-1])]
        # float64: the square of a mean is taken from a mean of squares.
        values = answer.double()
        own = values.sum((0, 2, 3), keepdim=True), values.square().sum((0, 2, 3), keepdim=True)
        self.sums = own if self.sums is None else (self.sums[0] + own[0], self.sums[1] + own[1])
        self.places += answer[:, 0].numel()
        self.pixels += part.pictures[:, 0, part.rows, part.columns].numel()
        return self

    def usual(self) -> Usual:
        """What is usual in all parts."""
        assert self.sums is not None
        mean, squares = (total / self.places for total in self.sums)
        variance = (squares - mean.square()).clamp_min(0)
        # A channel that is silent in this picture must not be blown up to the others' size.
        spread = (variance + 0.1 * variance.mean() + 1e-8).sqrt()
        return Usual(mean.float(), spread.float(), self.pixels / self.places)


def _scaled(part: slice, length: int, places: int) -> slice:
    """A part of an edge of ``length`` pixels, in the ``places`` of an answer; never empty."""
    start, stop, _ = part.indices(length)
    first = min(places - 1, round(start * places / length))
    return slice(first, max(first + 1, round(stop * places / length)))


def _strength(raised: Tensor, channels: tuple[int, ...]) -> Tensor:
    # Of a whole layer only what is more than usual counts, so that the dream follows the picture; of chosen channels
    # everything, which wakes the silent ones too.
    return raised[:, list(channels)].sum() if channels else raised.clamp_min(0).sum()


def _places(answer: Tensor) -> Tensor:
    flat = answer[0].flatten(1).T  # [G, C]
    step = -(-len(flat) // GUIDE_PLACES)
    return flat[::step].contiguous()


def _resemblance(answer: Tensor, guide: Tensor) -> Tensor:
    flat = answer.flatten(2).transpose(1, 2)  # [B, H * W, C]
    return (flat @ guide.T).amax(2).sum()
