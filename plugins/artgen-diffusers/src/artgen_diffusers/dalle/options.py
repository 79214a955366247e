"""What ``image.dalle`` can be asked for; no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from artgen.backend import TrainOptions
from artgen.errors import DatasetError, OptionError
from artgen.options import Meta, Options


class Train(TrainOptions):
    """Options of ``train``."""

    batch_size: Annotated[
        int, Meta(ge=1, le=65536, description="Pictures per step, over all processes.", extra={"unit": "items"})
    ] = 64
    preset: Annotated[
        Literal["sketch", "standard", "large"],
        Meta(description="Size of both networks: sketch for an hour on a CPU, standard for more, large for a GPU."),
    ] = "sketch"
    grid: Annotated[
        int | None,
        Meta(
            ge=2, le=64, extra={"unit": "codes"},
            description="Edge of the grid of codes that stands for a picture; a quarter of the resolution when not given.",
        ),
    ] = None  # fmt: skip
    codec_share: Annotated[
        float, Meta(gt=0, lt=1, description="Share of the budget for the autoencoder; the rest is for the Transformer.")
    ] = 0.35
    held_out: Annotated[
        float,
        Meta(ge=0, le=0.5, description="Share of the different captions kept from training, with their pictures, to measure with."),
    ] = 0.04
    vocabulary: Annotated[
        int, Meta(ge=300, le=65536, description="Number of different tokens of captions.", extra={"unit": "tokens"})
    ] = 1024
    length: Annotated[
        int, Meta(ge=4, le=256, description="Tokens of a caption that are read; the rest is cut.", extra={"unit": "tokens"})
    ] = 20
    mirror: Annotated[bool, Meta(description="Learn pictures from both sides, left and right exchanged.")] = True
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Share of activations left out while the Transformer learns.")] = 0.2
    noise: Annotated[float, Meta(ge=0, lt=1, description="Share of the codes read that are swapped for others while learning.")] = (
        0.1
    )
    without: Annotated[
        float, Meta(ge=0, lt=1, description="Share of pictures learned without their caption, which --guidance builds on.")
    ] = 0.1
    weight_decay: Annotated[float, Meta(ge=0, le=10, description="Pull of the Transformer's matrices towards zero.")] = 0.2
    learning_rate: Annotated[
        float | None, Meta(gt=0, le=1, description="Learning rate of the Transformer at its highest; by preset when not given.")
    ] = None


class Drawing(Options, frozen=True):
    """Options of everything that draws."""

    prompt: Annotated[
        str | None, Meta(description="What the picture shows, in words of the captions; unset: anything.", extra={"short": "-p"})
    ] = None
    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring: 0 always takes the likeliest code, 1 draws as the model learned.")
    ] = 1.0
    top_k: Annotated[int, Meta(ge=0, description="Choose among this many likeliest codes only; 0 for all.")] = 0
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Choose among the likeliest codes that together have this probability.")
    ] = 0.98
    guidance: Annotated[
        float, Meta(ge=0, le=30, description="How much more than by chance the prompt counts: 1 as learned, 0 not at all.")
    ] = 3.0
    candidates: Annotated[
        int, Meta(ge=1, le=64, description="Pictures drawn for each seed; the one that fits the prompt best is kept.")
    ] = 4


class Generate(Drawing, frozen=True):
    """Options of ``generate``."""


class Evaluate(Options, frozen=True):
    """Options of ``evaluate``."""

    items: Annotated[int, Meta(ge=1, description="Pictures to measure with, at most.", extra={"unit": "items"})] = 1024


@dataclass(frozen=True)
class Size:
    """The sizes of a preset: of the autoencoder (width, levels of its scalars) and of the Transformer, and its learning rate."""

    codec: int
    levels: tuple[int, ...]
    layers: int
    heads: int
    width: int
    rate: float


SIZES = {
    "sketch": Size(codec=32, levels=(8, 8, 8), layers=4, heads=4, width=192, rate=1.5e-3),
    "standard": Size(codec=64, levels=(8, 5, 5, 5), layers=6, heads=4, width=256, rate=1e-3),
    "large": Size(codec=96, levels=(8, 5, 5, 5), layers=8, heads=6, width=384, rate=6e-4),
}


def edge_of(options: Train, resolution: int) -> int:
    """The edge of the grid of codes for pictures of ``resolution``.

    Raises:
        OptionError: the resolution is not the grid times 2, 4, 8 or 16.
        DatasetError: the pictures are too large for one code after the other.
    """
    edge = options.grid or max(2, resolution // 4)
    if resolution % edge or (step := resolution // edge) & (step - 1) or not 2 <= step <= 16:
        fitting = [str(resolution // step) for step in (2, 4, 8, 16) if resolution % step == 0 and resolution // step >= 2]
        raise OptionError(f"--grid takes one of {', '.join(fitting)} for pictures of {resolution} pixels, not {edge}")
    if edge > 32:
        raise DatasetError(f"pictures of {resolution} pixels are {edge * edge} codes; prepare them with --resolution 64 or less")
    return edge


def downs_of(edge: int, resolution: int) -> int:
    """How often the autoencoder halves a picture."""
    return int(math.log2(resolution // edge))
