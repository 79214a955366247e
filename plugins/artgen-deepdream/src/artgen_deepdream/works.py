"""From the user's pictures and seeds to dreams: pictures, films and contact sheets."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from artgen.artwork import Image, Video
from artgen.backend import Progress
from artgen.errors import SourceError
from artgen.media import image as image_media
from artgen.media.video import MAX_PIXELS
from artgen.model import Model
from artgen.nn.pixels import to_pixels, to_signal
from artgen_deepdream import pyramid
from artgen_deepdream.dream import Dreamer
from artgen_deepdream.options import FPS, ZOOM_SPEED, ZOOM_STEPS, Generate, Modify
from artgen_deepdream.readers import Reader, reader_of
from artgen_deepdream.targets import Objective, OneEach, parse

GUIDE_EDGE = 384
ZOOM_OCTAVES = 3

Pixels = NDArray[np.uint8]


def modify(model: Model, artwork: Image, seed: int, options: Modify, progress: Progress) -> Image | Video:
    """The user's picture dreamed on, in its own size: grey stays grey, transparency stays; with ``zoom`` a film.

    Raises:
        OptionError: the network has no such layer or channel.
        SourceError: the guide cannot be read, or a picture is too small for the network.
    """
    reader = reader_of(model)
    guide = _guide(options.guide, reader) if options.guide else None
    grey = artwork.pixels.shape[2] == 1
    # Grey has three equal channels: a dream without colour keeps them so.
    chosen = options.replace(colour=0.0) if grey else options
    dreamer = Dreamer(reader, Objective(reader, parse(reader, options), guide), chosen)
    colours, alpha = artwork.pixels[..., :3], artwork.pixels[..., 3:]
    if options.zoom is not None:
        return _zoom(dreamer, _signal(_opaque(artwork.pixels), reader), seed, options, progress)
    picture = _signal(np.repeat(colours, 3, 2) if grey else colours, reader)

    def finished(dream: Tensor) -> Image:
        pixels = to_pixels(dream)[0][..., :1] if grey else to_pixels(dream)[0]
        if alpha.shape[2] and pixels.shape[:2] == alpha.shape[:2]:
            pixels = np.concatenate([pixels, alpha], 2)
        return Image(pixels, seeds=(seed,), name=artwork.name)

    return _dreamed(dreamer, picture, seed, progress, finished)


def generate(model: Model, seed: int, options: Generate, progress: Progress) -> Image:
    """A dream from the noise of ``seed``.

    Raises:
        OptionError: the network has no such layer or channel.
        SourceError: the resolution is too small for the network.
    """
    reader = reader_of(model)
    dreamer = Dreamer(reader, Objective(reader, parse(reader, options)), options)
    picture = noise(options.resolution, seed).to(reader.device)

    def finished(dream: Tensor) -> Image:
        return Image(to_pixels(dream)[0], seeds=(seed,))

    return _dreamed(dreamer, picture, seed, progress, finished)


def noise(edge: int, seed: int) -> Tensor:
    """Soft grey clouds [1, 3, edge, edge] in about -0.5..0.5: something of every size for a dream to begin with."""
    generator = torch.Generator().manual_seed(seed)
    clouds = torch.zeros(1, 3, edge, edge)
    size = 4
    while size < 2 * edge:
        octave = torch.randn(1, 3, min(size, edge), min(size, edge), generator=generator)
        clouds += F.interpolate(octave, (edge, edge), mode="bicubic", align_corners=False)
        size *= 2
    grey = clouds.mean(1, keepdim=True)
    return pyramid.unit(grey + 0.3 * (clouds - grey)).mul_(0.15).clamp_(-1, 1)


def sheet(model: Model, seed: int, options: Generate, progress: Progress) -> Image:
    """A row a layer: its name, then what channels spread over it dream of, each from the same noise."""
    from artgen_deepdream.sheet import drawn

    reader = reader_of(model)
    rows: list[tuple[str, list[int], list[Pixels]]] = []
    progress.start("drawing the layers", len(reader.layers), "layers")
    for layer, count in reader.layers.items():
        channels = sorted({int(place) for place in np.linspace(0, count - 1, min(options.columns, count))})
        dreams = _swatches(reader, layer, channels, seed, options)
        rows.append((f"{layer}  0-{count - 1}", channels, dreams))
        progress.advance()
        progress.partial(drawn(rows, options.columns))
    progress.finish()
    progress.say("layers: " + ", ".join(f"{layer} ({count} channels)" for layer, count in reader.layers.items()))
    work = drawn(rows, options.columns)
    work.seeds = (seed,)
    return work


def _swatches(reader: Reader, layer: str, channels: list[int], seed: int, options: Generate) -> list[Pixels]:
    """What channels of a layer dream of, all in one batch."""
    from artgen_deepdream.sheet import SWATCH

    dreamer = Dreamer(reader, OneEach(reader, layer, channels), options.replace(octaves=2))
    start = noise(max(SWATCH, reader.smallest), seed).to(reader.device).repeat(len(channels), 1, 1, 1)
    dream = dreamer.dream(start, torch.Generator().manual_seed(seed), steps=options.steps)
    return list(to_pixels(pyramid.resized(dream, SWATCH, SWATCH)))


def _dreamed(dreamer: Dreamer, picture: Tensor, seed: int, progress: Progress, finished: Callable[[Tensor], Image]) -> Image:
    """The picture dreamed on as ``finished`` makes an artwork of it, told to ``progress`` step by step."""
    steps = dreamer.options.steps
    count = len(dreamer.sizes(picture.shape[-2], picture.shape[-1]))
    generator = torch.Generator().manual_seed(seed)
    progress.start("dreaming", count * steps, "steps")
    dream = dreamer.dream(
        picture, generator, steps=steps, each=progress.advance, after=lambda dream: progress.partial(finished(dream))
    )
    progress.finish()
    return finished(dream)


def _zoom(dreamer: Dreamer, picture: Tensor, seed: int, options: Modify, progress: Progress) -> Video:
    """A film: every frame falls a little into the one before and dreams on."""
    assert options.zoom is not None
    fps = options.fps or FPS
    count = max(2, round(options.zoom * fps))
    height, width = picture.shape[-2:]
    if count * height * width > MAX_PIXELS:
        raise SourceError(
            f"--zoom: {count} frames of {width}x{height} are more than a film may hold ({MAX_PIXELS:,} pixels); "
            "give a smaller picture, or less --zoom or --fps"
        )
    factor = (options.zoom_speed or ZOOM_SPEED) ** (1 / fps)
    steps = options.zoom_steps or ZOOM_STEPS
    octaves = min(ZOOM_OCTAVES, options.octaves)
    generator = torch.Generator().manual_seed(seed)
    dreamer.sizes(height, width)  # a picture that is too small is told before the bar appears
    progress.start("falling into the dream", count, "frames")
    frames = [to_pixels(picture)[0]]
    progress.advance()
    dream = picture
    for _ in range(count - 1):
        dream = dreamer.dream(_nearer(dream, factor), generator, steps=steps, octaves=octaves)
        frames.append(to_pixels(dream)[0])
        progress.advance()
        progress.partial(Image(frames[-1], seeds=(seed,)))
    progress.finish()
    return Video(np.stack(frames), fps=fps, seeds=(seed,))


def _nearer(picture: Tensor, factor: float) -> Tensor:
    """The middle of a picture, ``factor`` times larger."""
    height, width = picture.shape[-2:]
    rows, columns = ((torch.arange(edge) + 0.5) / edge * 2 - 1 for edge in (height, width))
    places = torch.stack(torch.meshgrid(columns / factor, rows / factor, indexing="xy"), -1)[None]
    grid = places.to(picture.device)
    return F.grid_sample(picture, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp_(-1, 1)


def _guide(path: str, reader: Reader) -> Tensor:
    guide = _signal(image_media.decode(path), reader)
    height, width = guide.shape[-2:]
    scale = min(1.0, GUIDE_EDGE / max(height, width))
    height, width = (max(1, round(edge * scale)) for edge in (height, width))
    if min(height, width) < reader.smallest:
        least = reader.smallest
        raise SourceError(f"--guide {path}: {width}x{height} is too small for this network; give at least {least}x{least}")
    return pyramid.resized(guide, height, width)


def _signal(pixels: Pixels, reader: Reader) -> Tensor:
    return to_signal(torch.from_numpy(np.array(pixels))[None]).contiguous().to(reader.device)


def _opaque(pixels: Pixels) -> Pixels:
    """Pixels [H, W, C] as a film has them: RGB, transparency laid on white."""
    from artgen.media import colour

    return np.array(colour.to_rgb(image_media.to_pil(pixels), (255, 255, 255)))
