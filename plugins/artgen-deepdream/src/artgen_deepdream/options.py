"""What ``image.deepdream`` can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from artgen.backend import TrainOptions
from artgen.errors import OptionError
from artgen.options import Meta, Options

TARGETS = r"^[^,:+\s]+(:\d+(\+\d+)*)?(,[^,:+\s]+(:\d+(\+\d+)*)?)*$"
"""``LAYER``, ``LAYER:CHANNEL`` or ``LAYER:CHANNEL+CHANNEL``, several with commas."""

FPS = 12.0
ZOOM_SPEED = 1.3
ZOOM_STEPS = 4


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


class Dream(Options, frozen=True, kw_only=True):
    """What ``generate`` and ``modify`` share: what is dreamed of, and how."""

    layer: Annotated[
        str | None,
        Meta(
            pattern=TARGETS,
            description="What to make stronger: a layer, LAYER:CHANNEL or LAYER:CHANNEL+CHANNEL, several with commas; "
            "the network's own choice when not given, and generate --list-layers draws them all.",
        ),
    ] = None
    channel: Annotated[int | None, Meta(ge=0, description="Dream of this channel of --layer alone.")] = None
    strength: Annotated[float, Meta(ge=0, le=20, description="How far the dream goes: 0 changes nothing.")] = 1.0
    steps: Annotated[int, Meta(ge=1, le=1000, description="Steps of every octave.", extra={"unit": "steps"})] = 16
    octaves: Annotated[
        int, Meta(ge=1, le=20, description="Sizes to dream at, from small to full; fewer where the picture is small.")
    ] = 5
    octave_scale: Annotated[float, Meta(gt=1, le=4, description="How much larger each octave is than the one before.")] = 1.4
    jitter: Annotated[
        int,
        Meta(
            ge=0,
            le=512,
            description="Move the picture by up to so much before every step, against seams.",
            extra={"unit": "pixels"},
        ),
    ] = 24
    smoothing: Annotated[
        Literal["laplacian", "gaussian", "none"],
        Meta(description="laplacian makes all sizes of shapes equally strong, gaussian favours coarse ones, none does nothing."),
    ] = "laplacian"
    colour: Annotated[
        float,
        Meta(ge=0, le=1, description="Colours of the dream: 0 only lightens and darkens, 1 is as garish as the network likes."),
    ] = 0.5
    tile: Annotated[
        int,
        Meta(ge=64, le=8192, description="Larger pictures go through the network in parts of this size.", extra={"unit": "pixels"}),
    ] = 640

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.channel is not None and self.layer is None:
            raise OptionError(f"--channel {self.channel} is one of a layer; give --layer too")
        if self.channel is not None and self.layer is not None and not self.layer.isidentifier() and set(":,") & set(self.layer):
            raise OptionError(f"--channel {self.channel} beside --layer {self.layer}; write the channels into --layer alone")


class Generate(Dream, frozen=True, kw_only=True):
    """Options of ``generate``: dreams from noise."""

    steps: Annotated[int, Meta(ge=1, le=1000, description="Steps of every octave.", extra={"unit": "steps"})] = 30
    resolution: Annotated[int, Meta(ge=32, le=4096, description="Edge of the square picture.", extra={"unit": "pixels"})] = 256
    list_layers: Annotated[
        bool, Meta(description="Draw one sheet instead: what channels of each layer dream of, a row a layer.")
    ] = False
    columns: Annotated[
        int, Meta(ge=1, le=64, description="Channels a row of --list-layers, spread over the layer.", extra={"unit": "channels"})
    ] = 8


class Modify(Dream, frozen=True, kw_only=True):
    """Options of ``modify``: your picture, dreamed on."""

    guide: Annotated[str | None, Meta(description="Dream of what this second picture shows.", extra={"file": True})] = None
    zoom: Annotated[
        float | None,
        Meta(gt=0, le=3600, description="Make a film of this length that falls into the dream.", extra={"unit": "seconds"}),
    ] = None
    zoom_speed: Annotated[
        float | None,
        Meta(gt=1, le=10, description=f"How much larger one second of --zoom makes things; {ZOOM_SPEED} when not given."),
    ] = None
    zoom_steps: Annotated[
        int | None,
        Meta(ge=1, le=1000, description=f"Steps of every frame of --zoom; {ZOOM_STEPS} when not given.", extra={"unit": "steps"}),
    ] = None
    fps: Annotated[
        float | None,
        Meta(gt=0, le=120, description=f"Frames a second of --zoom; {FPS:g} when not given.", extra={"unit": "frames"}),
    ] = None

    def __post_init__(self) -> None:
        Dream.__post_init__(self)
        for name in ("zoom_speed", "zoom_steps", "fps"):
            if getattr(self, name) is not None and self.zoom is None:
                raise OptionError(f"--{name.replace('_', '-')} {getattr(self, name)} is about --zoom; give --zoom 10s too")
        if self.guide is not None and (self.channel is not None or ":" in (self.layer or "")):
            raise OptionError("--guide says what to dream of in all channels of a layer; leave the channels out")
