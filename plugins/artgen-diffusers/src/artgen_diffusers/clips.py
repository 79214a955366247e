"""Clips from pipelines: from words, from a first picture, and from the user's own clips."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from artgen.artwork import Video
from artgen.backend import Progress
from artgen.errors import OptionError, UsageError
from artgen.media import image as image_media
from artgen.model import Model
from artgen_diffusers import calls
from artgen_diffusers.loading import loaded, parameters
from artgen_diffusers.options import GenerateVideo, ModifyVideo

FPS = {"Wan": 16.0, "CogVideoX": 8.0, "LTX": 24.0, "StableVideoDiffusion": 7.0, "Hunyuan": 24.0, "Mochi": 30.0, "AnimateDiff": 8.0}
"""Frames a second that families of pipelines were trained at, by the beginning of their names."""

FROM_IMAGE = {
    "LTXPipeline": "LTXImageToVideoPipeline", "CogVideoXPipeline": "CogVideoXImageToVideoPipeline",
    "WanPipeline": "WanImageToVideoPipeline",
}  # fmt: skip
FROM_VIDEO = {
    "WanPipeline": "WanVideoToVideoPipeline", "CogVideoXPipeline": "CogVideoXVideoToVideoPipeline",
    "AnimateDiffPipeline": "AnimateDiffVideoToVideoPipeline",
}  # fmt: skip
"""Pipelines that share all parts with another one."""

Frames = NDArray[np.uint8]


def generate(model: Model, seeds: Sequence[int], options: GenerateVideo, progress: Progress) -> Iterator[Video]:
    """A clip for every prompt and seed; each depends on its own seed alone, since it is made alone.

    Raises:
        OptionError: the pipeline does not know an option.
    """
    purpose, convert = ("image", _from_image) if options.image else ("generate", _from_words)
    pipeline = loaded(model, options, progress, purpose, convert)
    known = parameters(pipeline)
    rate = "frame_rate" if "frame_rate" in known else "fps"
    more: dict[str, tuple[str, Any]] = {
        "num_frames": ("--frames", options.frames), "width": ("--width", options.width), "height": ("--height", options.height),
    }  # fmt: skip
    if options.image:
        more["image"] = ("--image", image_media.to_pil(image_media.decode(options.image)))
    if rate in known and options.fps:
        more[rate] = ("--fps", round(options.fps))
    for prompt in calls.prompts(options.prompt, options.prompts):
        values = calls.arguments(pipeline, options, prompt, **more)
        for seed in seeds:
            frames = _made(pipeline, model, seed, progress, values)
            work = Video(frames, fps=options.fps or fps_of(pipeline), seeds=(seed,))
            if options.prompts:
                work.options = {"prompt": prompt, "prompts": None}
            yield work


def modify(model: Model, artwork: Video, seed: int, options: ModifyVideo, progress: Progress) -> Video:
    """The user's clip changed, in its own size, length and rate.

    Raises:
        OptionError: the pipeline does not know an option.
    """
    pipeline = loaded(model, options, progress, "change", _from_video)
    count, height, width = artwork.frames.shape[:3]
    size = _working_size(pipeline, (width, height), options.resolution)
    stride = int(getattr(pipeline, "vae_scale_factor_temporal", 4))
    # These decoders make one frame and then groups: the last frame stands still until a group is full.
    whole = (count - 1 + stride - 1) // stride * stride + 1
    pictures = [_scaled(frame, size) for frame in artwork.frames] + [_scaled(artwork.frames[-1], size)] * (whole - count)
    values = calls.arguments(
        pipeline, options, options.prompt, video=("the clip", pictures), strength=("--strength", options.strength),
        width=("the width", size[0]), height=("the height", size[1]),
    )  # fmt: skip
    frames = _made(pipeline, model, seed, progress, values)[:count]
    back = np.stack([np.asarray(_scaled(frame, (width, height))) for frame in frames])
    return Video(back, fps=artwork.fps, seeds=(seed,))


def fps_of(pipeline: Any) -> float:
    """Frames a second that the pipeline was trained at."""
    kind = type(pipeline).__name__
    for name, default in inspect.signature(type(pipeline).__call__).parameters.items():
        if name in ("frame_rate", "fps") and isinstance(default.default, int | float):
            return float(default.default)
    return next((fps for name, fps in FPS.items() if kind.startswith(name)), 16.0)


def _made(pipeline: Any, model: Model, seed: int, progress: Progress, values: dict[str, Any]) -> Frames:
    result = calls.called(pipeline, model.name, seed, progress, {**values, "output_type": "np"})
    frames = calls.finite(np.asarray(result.frames), model.name)
    # [1, T, H, W, 3], rounded as diffusers rounds pictures for Pillow.
    rounded: Frames = (frames.reshape(-1, *frames.shape[-3:]) * 255).round().clip(0, 255).astype(np.uint8)
    return rounded


def _from_words(pipeline: Any) -> Any:
    known = _require_clips(pipeline)
    if known.get("image") is not None and known["image"].default is inspect.Parameter.empty:
        raise OptionError(f"--image must be given: {type(pipeline).__name__} begins with a picture")
    if "video" in known and known["video"].default is inspect.Parameter.empty:
        raise UsageError(f"{type(pipeline).__name__} changes clips and makes none from words; use artgen video modify")
    return pipeline


def _from_image(pipeline: Any) -> Any:
    if "image" in _require_clips(pipeline):
        return pipeline
    return _sister(pipeline, FROM_IMAGE, "--image", "begin with a picture; leave --image out")


def _from_video(pipeline: Any) -> Any:
    if "video" in _require_clips(pipeline):
        return pipeline
    return _sister(pipeline, FROM_VIDEO, "modify", "change a clip; use artgen video generate")


def _sister(pipeline: Any, table: dict[str, str], asked: str, cannot: str) -> Any:
    """The pipeline of ``table`` with the same parts.

    Raises:
        UsageError: there is none.
    """
    import diffusers

    kind = type(pipeline).__name__
    if kind not in table:
        raise UsageError(f"{asked}: {kind} has no way to {cannot}")
    if kind == "WanPipeline" and table is FROM_IMAGE and not pipeline.config.get("expand_timesteps"):
        raise UsageError(f"{asked}: this {kind} was not trained to {cannot}")
    # Not from_pipe, which would turn all parts into 32 bits.
    sister = getattr(diffusers, table[kind])
    has = {**pipeline.config, **pipeline.components}
    return sister(**{name: has[name] for name in inspect.signature(sister.__init__).parameters if name in has})


def _require_clips(pipeline: Any) -> dict[str, inspect.Parameter]:
    known = parameters(pipeline)
    if not {"num_frames", "video"} & known.keys():
        raise UsageError(f"{type(pipeline).__name__} makes no clips; use artgen image or audio generate --backend diffusers")
    return known


def _working_size(pipeline: Any, size: tuple[int, int], edge: int | None) -> tuple[int, int]:
    known = parameters(pipeline)
    own = [known[name].default for name in ("width", "height") if isinstance(getattr(known.get(name), "default", None), int)]
    edge = edge or (round(math.sqrt(own[0] * own[1])) if len(own) == 2 else 512)
    step = max(16, int(getattr(pipeline, "vae_scale_factor_spatial", getattr(pipeline, "vae_scale_factor", 8))) * 2)
    scale = edge / math.sqrt(size[0] * size[1])
    width, height = (max(step, round(side * scale / step) * step) for side in size)
    return width, height


def _scaled(frame: Frames, size: tuple[int, int]) -> Pillow.Image:
    return Pillow.fromarray(frame).resize(size, Pillow.Resampling.LANCZOS)
