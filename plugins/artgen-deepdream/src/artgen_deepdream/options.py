"""What ``image.deepdream`` can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from artgen.backend import TrainOptions
from artgen.options import Meta


class Train(TrainOptions, frozen=True, kw_only=True):
    """Options of ``train``: a classifier to dream through, from a dataset with classes."""

    preset: Annotated[
        Literal["small", "tiny"], Meta(description="Size of the network: small dreams well, tiny is for trying things out.")
    ] = "small"
    crop: Annotated[
        int, Meta(ge=16, le=512, description="Edge of the random cuts that are learned from.", extra={"unit": "pixels"})
    ] = 64
    augment: Annotated[float, Meta(ge=0, le=1, description="Strength of the augmentation.")] = 0.5
    mirror: Annotated[bool, Meta(description="Learn from mirrored pictures too; switch off for lettering.")] = True
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="Learning rate at the start.")] = 2e-3
    ema: Annotated[float, Meta(ge=0, le=1, description="Half-life of the averaged weights, as a share of the run.")] = 0.02
