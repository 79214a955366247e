"""Pictures from pipelines: from words or nothing, and from the user's own pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from artgen.artwork import Image
from artgen.backend import Progress
from artgen.errors import OptionError, SourceError, UsageError
from artgen.media import image as image_media
from artgen.model import Model
from artgen_diffusers import calls
from artgen_diffusers.loading import loaded, parameters
from artgen_diffusers.options import Generate, Modify

MOST_PIXELS = 4096 * 4096
_OTHERS = {"num_frames": "video", "audio_length_in_s": "audio", "audio_end_in_s": "audio", "audio_duration": "audio"}

Pixels = NDArray[np.uint8]


def generate(model: Model, seeds: Sequence[int], options: Generate, progress: Progress) -> Iterator[Image]:
    """A picture for every prompt and seed; each depends on its own seed alone, since it is made alone.

    Raises:
        OptionError: the pipeline does not know an option.
    """
    pipeline = loaded(model, options, progress, "generate", _for_words)
    edges = {"width": ("--width", options.width), "height": ("--height", options.height)}
    _require_multiple(pipeline, {flag: value for flag, value in edges.values() if value})
    for prompt in calls.prompts(options.prompt, options.prompts):
        values = calls.arguments(pipeline, options, prompt, **edges, clip_skip=("--clip-skip", options.clip_skip))
        values |= _without_bins(pipeline)
        for seed in seeds:
            work = _made(pipeline, model, seed, progress, values)
            if options.prompts:
                work.options = {"prompt": prompt, "prompts": None}
            yield work


def modify(model: Model, artwork: Image, seed: int, options: Modify, progress: Progress) -> Image:
    """The user's picture changed, in its own size but for an upscaler; grey stays grey, transparency stays.

    Raises:
        OptionError: the pipeline does not know an option.
        SourceError: the mask cannot be read.
    """
    purpose = "inpaint" if options.mask else "change"
    pipeline = loaded(model, options, progress, purpose, _with_mask if options.mask else _for_pictures)
    given = _opaque(artwork)
    upscales = "Upscale" in type(pipeline).__name__ or "SuperResolution" in type(pipeline).__name__
    size = _near(given.size, _multiple(pipeline)) if upscales else _working_size(pipeline, given.size, options.resolution)
    values = calls.arguments(
        pipeline, options, options.prompt, strength=("--strength", options.strength),
        image_guidance_scale=("--image-guidance", options.image_guidance),
        image=("the picture", given.resize(size, Pillow.Resampling.LANCZOS)),
    )  # fmt: skip
    mask = _mask(options.mask, given.size) if options.mask else None
    if mask is not None:
        values["mask_image"] = mask.resize(size, Pillow.Resampling.BILINEAR)
    known = parameters(pipeline)
    if {"width", "height"} <= known.keys() and not upscales:
        values |= {"width": size[0], "height": size[1]}
    values |= _without_bins(pipeline)
    made = _made(pipeline, model, seed, progress, values)
    if upscales:
        return made
    changed = Pillow.fromarray(made.pixels).resize(given.size, Pillow.Resampling.LANCZOS)
    if mask is not None:  # what the mask protects stays as it was, to the last bit
        changed = Pillow.composite(changed, given, mask)
    return Image(_like(changed, artwork.pixels), seeds=(seed,))


def _made(pipeline: Any, model: Model, seed: int, progress: Progress, values: dict[str, Any]) -> Image:
    result = calls.called(pipeline, model.name, seed, progress, {**values, "output_type": "np"})
    if any(getattr(result, "nsfw_content_detected", None) or ()):
        progress.say(f"seed {seed}: the model's own filter found something not fit for all and made the picture black")
    pictures = calls.finite(np.asarray(result.images), model.name)
    # As diffusers rounds it for Pillow, so that the pixels are the very same.
    pixels = (pictures.reshape(-1, *pictures.shape[-3:])[0] * 255).round().clip(0, 255).astype(np.uint8)
    return Image(pixels, seeds=(seed,))


def _for_words(pipeline: Any) -> Any:
    """The sister of a pipeline that makes pictures from words or nothing.

    Raises:
        UsageError: it has none.
    """
    from diffusers import AutoPipelineForText2Image

    _require_pictures(pipeline)
    kind, known = type(pipeline).__name__, parameters(pipeline)
    needed = [name for name, value in known.items() if "image" in name and value.default is value.empty]
    image = known.get("image")
    if not needed and (image is None or "prompt" not in known or _draws_alone(kind)):
        return pipeline
    try:
        return AutoPipelineForText2Image.from_pipe(pipeline)
    except ValueError:
        raise UsageError(f"{kind} changes pictures and makes none from words alone; use artgen image modify") from None


def _draws_alone(kind: str) -> bool:
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    return kind in {cls.__name__ for cls in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values()}


def _for_pictures(pipeline: Any) -> Any:
    """The sister of a pipeline that changes a picture; an editing or upscaling one is it itself.

    Raises:
        UsageError: it has none.
    """
    from diffusers import AutoPipelineForImage2Image

    _require_pictures(pipeline)
    if "image" in parameters(pipeline) and "mask_image" not in parameters(pipeline):
        return pipeline
    if type(pipeline).__name__ in ("DDPMPipeline", "DDIMPipeline", "Painting"):
        from artgen_diffusers.scratch import Repainting

        return Repainting(unet=pipeline.unet, scheduler=pipeline.scheduler)
    try:
        return AutoPipelineForImage2Image.from_pipe(pipeline)
    except ValueError:
        raise UsageError(f"{type(pipeline).__name__} makes pictures and cannot change one; use artgen image generate") from None


def _with_mask(pipeline: Any) -> Any:
    """The sister of a pipeline that fills what a mask leaves open.

    Raises:
        UsageError: it has none.
    """
    from diffusers import AutoPipelineForInpainting

    _require_pictures(pipeline)
    if "mask_image" in parameters(pipeline):
        return pipeline
    try:
        return AutoPipelineForInpainting.from_pipe(pipeline)
    except ValueError:
        raise UsageError(f"--mask: {type(pipeline).__name__} has no way to fill a mask; leave --mask out") from None


def _require_pictures(pipeline: Any) -> None:
    for name, modality in _OTHERS.items():
        if name in parameters(pipeline):
            raise UsageError(f"{type(pipeline).__name__} makes {modality}; use artgen {modality} generate --backend diffusers")


def _multiple(pipeline: Any) -> int:
    """What width and height have to be multiples of, in pixels."""
    processor = getattr(pipeline, "image_processor", None)
    factor = int(getattr(getattr(processor, "config", None), "vae_scale_factor", 0) or getattr(pipeline, "vae_scale_factor", 8))
    return math.lcm(8, factor)


def _require_multiple(pipeline: Any, edges: dict[str, int]) -> None:
    step = _multiple(pipeline)
    for flag, value in edges.items():
        if value % step:
            low = value // step * step
            near = f"{low} or {low + step}" if low else f"{step}"
            raise OptionError(f"{flag} takes a multiple of {step} for {type(pipeline).__name__}, not {value}; try {near}")
    if math.prod(edges.values()) > MOST_PIXELS:
        raise OptionError(f"{' and '.join(edges)}: at most {MOST_PIXELS:,} pixels in all; make it smaller and upscale it")


def _without_bins(pipeline: Any) -> dict[str, Any]:
    """Pipelines that round sizes to a table need not where a network has no table of its size."""
    sample = getattr(getattr(getattr(pipeline, "transformer", None), "config", None), "sample_size", None)
    return (
        {"use_resolution_binning": False}
        if "use_resolution_binning" in parameters(pipeline) and sample not in (32, 64, 128)
        else {}
    )


def _native_edge(pipeline: Any) -> int:
    """The edge of the square pictures that the pipeline was trained on, in pixels."""
    factor = getattr(pipeline, "vae_scale_factor", 1)
    if (edge := getattr(pipeline, "default_sample_size", None)) is not None:
        return int(edge * factor)
    for part in ("unet", "transformer"):
        sample = getattr(getattr(getattr(pipeline, part, None), "config", None), "sample_size", None)
        if isinstance(sample, int):
            return sample * factor
    return 512


def _working_size(pipeline: Any, size: tuple[int, int], edge: int | None) -> tuple[int, int]:
    """Width and height to work at: about ``edge`` squared pixels, in the proportions of ``size``.

    Raises:
        SourceError: the picture is too long and narrow.
    """
    step = _multiple(pipeline)
    edge = edge or max(step, _native_edge(pipeline))
    scale = edge / math.sqrt(size[0] * size[1])
    width, height = _near((round(size[0] * scale), round(size[1] * scale)), step)
    if max(width, height) > 16 * min(width, height):
        raise SourceError(f"the picture, {size[0]}x{size[1]}, is too long and narrow for this model; cut a part out of it")
    return width, height


def _near(size: tuple[int, int], step: int) -> tuple[int, int]:
    width, height = (max(step, round(edge / step) * step) for edge in size)
    return width, height


def _mask(path: str, size: tuple[int, int]) -> Pillow.Image:
    """The mask, grey, white where the picture may change.

    Raises:
        SourceError: it cannot be read, or has other proportions than the picture.
    """
    mask = image_media.to_pil(image_media.decode(path, background="black")).convert("L")
    if abs(mask.width * size[1] - mask.height * size[0]) > 0.02 * mask.height * size[0]:
        have, want = f"{mask.width}x{mask.height}", f"{size[0]}x{size[1]}"
        raise SourceError(f"--mask {path}: {have} has other proportions than the picture, {want}; give one to fit")
    return mask.resize(size, Pillow.Resampling.BILINEAR)


def _opaque(artwork: Image) -> Pillow.Image:
    """The picture as pipelines take it: RGB, transparency laid on white."""
    from artgen.media import colour

    return colour.to_rgb(artwork.to_pil(), (255, 255, 255))


def _like(changed: Pillow.Image, pixels: Pixels) -> Pixels:
    """The pixels of ``changed`` with as many channels as ``pixels``, transparency taken from there."""
    channels = pixels.shape[2]
    if channels == 1:
        return np.asarray(changed.convert("L"))[..., None].copy()
    found = np.asarray(changed.convert("RGB")).copy()
    return np.dstack([found, pixels[..., 3]]) if channels == 4 else found
