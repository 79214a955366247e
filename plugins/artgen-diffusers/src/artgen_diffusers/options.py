"""What the diffusers backends can be asked for."""

from __future__ import annotations

from typing import Annotated, Literal

from artgen.backend import TrainOptions
from artgen.errors import OptionError
from artgen.options import Meta, Options

SchedulerName = Literal[
    "ddim", "ddpm", "deis", "dpm++", "dpm++-karras", "dpm++-sde", "euler", "euler-a", "flow-dpm++", "flow-euler", "flow-heun",
    "flow-unipc", "heun", "kdpm2", "kdpm2-a", "lcm", "lms", "pndm", "tcd", "unipc",
]  # fmt: skip

Pixels = {"unit": "pixels"}


class Loading(Options, frozen=True, kw_only=True):
    """How a pipeline is loaded, and which ones are."""

    commercial_only: Annotated[bool, Meta(description="Refuse a model whose licence is not known to allow commercial use.")] = False
    dtype: Annotated[
        Literal["auto", "fp32", "fp16", "bf16"],
        Meta(description="Number format of the weights; auto is fp32 on the CPU and 16 bits on a GPU."),
    ] = "auto"
    offload: Annotated[
        Literal["none", "model", "sequential"],
        Meta(description="Keep weights in main memory: model moves one network at a time to the GPU, sequential one layer."),
    ] = "none"
    attention_slicing: Annotated[bool, Meta(description="Compute attention in parts: less memory, a little slower.")] = False
    vae_slicing: Annotated[bool, Meta(description="Decode one picture or frame at a time: less memory.")] = False
    vae_tiling: Annotated[bool, Meta(description="Decode large pictures in tiles: much less memory.")] = False


class Prompted(Loading, frozen=True, kw_only=True):
    """What every pipeline can be asked for, where it knows the word."""

    prompt: Annotated[str | None, Meta(description="What to make, in words.")] = None
    negative_prompt: Annotated[str | None, Meta(description="What not to make, in words.")] = None
    steps: Annotated[
        int | None, Meta(ge=1, le=1000, description="Steps of denoising; the pipeline's own number when not given.")
    ] = None
    guidance: Annotated[
        float | None, Meta(ge=0, le=100, description="How closely to follow the prompt; the pipeline's own number when not given.")
    ] = None
    scheduler: Annotated[SchedulerName | None, Meta(description="Method of the steps; the pipeline's own when not given.")] = None
    lora: Annotated[
        tuple[str, ...], Meta(description="LoRA file (.safetensors) to load on top; give it again for more.", extra={"file": True})
    ] = ()
    lora_scale: Annotated[tuple[float, ...], Meta(description="Strength of each --lora in turn; 1 when not given.")] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.lora_scale) > len(self.lora):
            raise OptionError(
                f"--lora-scale is given {len(self.lora_scale)} times and --lora {len(self.lora)} times; give one scale a file"
            )


class Generate(Prompted, frozen=True, kw_only=True):
    """Options of ``artgen image generate``."""

    prompts: Annotated[
        str | None, Meta(description="File of prompts, one a line: works for each of them.", extra={"file": True})
    ] = None
    width: Annotated[int | None, Meta(ge=8, le=8192, description="Width; the pipeline's own when not given.", extra=Pixels)] = None
    height: Annotated[int | None, Meta(ge=8, le=8192, description="Height; the pipeline's own when not given.", extra=Pixels)] = (
        None
    )
    clip_skip: Annotated[
        int | None,
        Meta(ge=1, le=12, description="Leave out so many last layers of the CLIP text encoder.", extra={"unit": "layers"}),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompts is not None:
            raise OptionError("--prompt and --prompts both say what to make; give one of them")


class Modify(Prompted, frozen=True, kw_only=True):
    """Options of ``artgen image modify``."""

    strength: Annotated[
        float | None, Meta(gt=0, le=1, description="How much may change: 1 keeps nothing; the pipeline's own when not given.")
    ] = None
    mask: Annotated[
        str | None,
        Meta(description="Picture that is white where the work may change, black elsewhere: inpainting.", extra={"file": True}),
    ] = None
    image_guidance: Annotated[
        float | None, Meta(ge=0, le=100, description="How closely an editing pipeline follows the picture.")
    ] = None
    resolution: Annotated[
        int | None,
        Meta(
            ge=32, le=8192, extra=Pixels,
            description="Work at about as many pixels as a square of this edge; unset: what the pipeline was trained at.",
        ),
    ] = None  # fmt: skip


class GenerateVideo(Prompted, frozen=True, kw_only=True):
    """Options of ``artgen video generate``."""

    prompts: Annotated[
        str | None, Meta(description="File of prompts, one a line: works for each of them.", extra={"file": True})
    ] = None
    image: Annotated[str | None, Meta(description="Picture that the clip begins with.", extra={"file": True})] = None
    frames: Annotated[
        int | None, Meta(ge=1, le=4096, description="Length; the pipeline's own when not given.", extra={"unit": "frames"})
    ] = None
    fps: Annotated[
        float | None,
        Meta(
            gt=0, le=120, description="Frames a second; what the pipeline was trained at when not given.", extra={"unit": "frames"}
        ),
    ] = None
    width: Annotated[int | None, Meta(ge=8, le=8192, description="Width; the pipeline's own when not given.", extra=Pixels)] = None
    height: Annotated[int | None, Meta(ge=8, le=8192, description="Height; the pipeline's own when not given.", extra=Pixels)] = (
        None
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompts is not None:
            raise OptionError("--prompt and --prompts both say what to make; give one of them")


class ModifyVideo(Prompted, frozen=True, kw_only=True):
    """Options of ``artgen video modify``."""

    strength: Annotated[
        float | None, Meta(gt=0, le=1, description="How much may change: 1 keeps nothing; the pipeline's own when not given.")
    ] = None
    resolution: Annotated[
        int | None,
        Meta(
            ge=32, le=8192, extra=Pixels,
            description="Work at about as many pixels as a square of this edge; unset: what the pipeline was trained at.",
        ),
    ] = None  # fmt: skip


class GenerateAudio(Prompted, frozen=True, kw_only=True):
    """Options of ``artgen audio generate``."""

    prompts: Annotated[
        str | None, Meta(description="File of prompts, one a line: works for each of them.", extra={"file": True})
    ] = None
    seconds: Annotated[
        float | None, Meta(gt=0, le=3600, description="Length; the pipeline's own when not given.", extra={"unit": "seconds"})
    ] = None
    lyrics: Annotated[str | None, Meta(description="Words to sing, for pipelines that sing.")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompts is not None:
            raise OptionError("--prompt and --prompts both say what to make; give one of them")


class ModifyAudio(Prompted, frozen=True, kw_only=True):
    """Options of ``artgen audio modify``."""


class Train(TrainOptions, frozen=True, kw_only=True):
    """Options of ``artgen image train``: a LoRA for --model, or without it a small DDPM from scratch."""

    model: Annotated[
        str | None,
        Meta(description="Pipeline to train a LoRA for: a folder, or a name on the Hub; none trains a DDPM from scratch."),
    ] = None
    caption: Annotated[str | None, Meta(description="Caption of every picture that has none of its own.")] = None
    rank: Annotated[int, Meta(ge=1, le=512, description="Rank of the LoRA: higher learns more and makes a larger file.")] = 8
    preset: Annotated[
        Literal["small", "tiny"], Meta(description="Size of a DDPM from scratch: small paints well, tiny is for trying things out.")
    ] = "small"
    commercial_only: Annotated[bool, Meta(description="Refuse a --model whose licence is not known to allow commercial use.")] = (
        False
    )
    mirror: Annotated[bool, Meta(description="Learn from mirrored pictures too; switch off for lettering.")] = False
    learning_rate: Annotated[
        float | None, Meta(gt=0, le=1, description="Learning rate; 1e-4 for a LoRA and 2e-4 for a DDPM when not given.")
    ] = None
    ema: Annotated[float, Meta(ge=0, le=1, description="Half-life of the averaged weights of a DDPM, as a share of the run.")] = (
        0.02
    )
