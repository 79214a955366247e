"""Moving pictures in picture formats, with Pillow: GIF and animated WebP written; those and APNG read."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError, UsageError
from artgen.media import colour, marks
from artgen.media.image import opened, to_pil

if TYPE_CHECKING:
    from PIL import Image

_DEFAULT_MS = 100  # what browsers take for a frame that gives no time
_FASTEST_GIF = 50  # frames a second; browsers slow anything faster down to 10


def gif_bytes(frames: Sequence[NDArray[np.uint8]], fps: float, text: str, mark: str) -> bytes:
    """A GIF that loops for ever, with one palette for the whole clip; up to 256 colours are kept exactly.

    Times are whole hundredths of a second that follow ``fps`` without drifting.

    Raises:
        UsageError: more frames a second than a GIF can show.
    """
    if fps > _FASTEST_GIF:
        raise UsageError(f"a GIF shows at most {_FASTEST_GIF} frames a second, not {fps:g}; save as .mp4 or lower the rate")
    first, *others = _in_palette(frames)
    buffer = io.BytesIO()
    first.save(
        buffer, "GIF", save_all=True, append_images=others, duration=_durations(len(frames), fps, 10), loop=0, optimize=False
    )
    return marks.into_gif(buffer.getvalue(), text, mark)


def webp_bytes(frames: Sequence[NDArray[np.uint8]], fps: float, text: str, mark: str) -> bytes:
    """An animated WebP that loops for ever; times are whole milliseconds that follow ``fps`` without drifting."""
    first, *others = [to_pil(frame) for frame in frames]
    buffer = io.BytesIO()
    xmp = marks.packet(mark, text) if text or mark else b""
    times = _durations(len(frames), fps, 1)
    first.save(
        buffer, "WEBP", save_all=True, append_images=others, duration=times, loop=0, quality=90, method=4, allow_mixed=True, xmp=xmp
    )
    return buffer.getvalue()


def read(path: Path, max_frames: int, max_pixels: int) -> tuple[NDArray[np.uint8], float]:
    """The frames uint8 [T, H, W, 3] of a GIF, APNG or WebP on white, and its frames a second.

    Frames shown for different times are repeated, so that every frame of the result is shown for the same time.

    Raises:
        SourceError: not a picture, damaged, or larger than the limits.
    """
    frames: list[NDArray[np.uint8]] = []
    times: list[float] = []
    with opened(path, name=str(path), max_pixels=max_pixels) as picture:
        area = picture.width * picture.height
        for page in _pages(picture):
            if len(frames) == max_frames or (len(frames) + 1) * area > max_pixels:
                most = min(max_frames, max_pixels // max(1, area))
                size = f"{picture.width}x{picture.height}"
                raise SourceError(f"{path}: more than {most:,} frames of {size}; cut the clip shorter or make it smaller")
            frames.append(np.array(colour.to_rgb(page, (255, 255, 255))))
            times.append(float(page.info.get("duration") or _DEFAULT_MS))
    order, fps = _even_times(times, min(max_frames, max_pixels // max(1, area)))
    return np.stack([frames[number] for number in order]), fps


def pages(picture: Image.Image, background: tuple[int, int, int]) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """The frames of an opened picture on ``background``, uint8 [H, W, 3], one after the other, and the seconds each is shown."""
    for page in _pages(picture):
        yield np.array(colour.to_rgb(page, background)), float(page.info.get("duration") or _DEFAULT_MS) / 1000


def is_animated(source: Path | bytes) -> bool:
    """Whether a picture file has more than one frame; a file that cannot be read has none."""
    try:
        with opened(source, name="", max_pixels=2**62) as picture:
            return bool(getattr(picture, "is_animated", False))
    except SourceError:
        return False


def _pages(picture: Image.Image) -> Iterator[Image.Image]:
    number = 1 if picture.info.get("default_image") else 0  # an APNG's picture for programs that show no movement
    while True:
        try:
            picture.seek(number)
        except EOFError:
            return
        picture.load()  # WebP tells the time of a frame only now
        yield picture
        number += 1


def _even_times(times: Sequence[float], most: int) -> tuple[list[int], float]:
    """Which frame to show at each tick, and the ticks a second, for frames shown ``times`` milliseconds each."""
    total = sum(times)
    shortest = min(times)
    ticks = round(total / shortest)
    if max(times) - shortest <= 10 or ticks > most:  # 10 ms is how coarsely a GIF tells time: no difference is meant
        return list(range(len(times))), 1000 * len(times) / total
    ends = np.cumsum(times)
    middles = (np.arange(ticks) + 0.5) * total / ticks
    return [int(number) for number in np.searchsorted(ends, middles, side="right")], 1000 * ticks / total


def _durations(count: int, fps: float, step: int) -> list[int]:
    """Milliseconds for each frame in multiples of ``step``; their sum follows the exact time."""
    ends = [round(number * 1000 / fps / step) * step for number in range(count + 1)]
    return [after - now for now, after in pairwise(ends)]


def _in_palette(frames: Sequence[NDArray[np.uint8]]) -> list[Image.Image]:
    from PIL import Image

    colours = _few_colours(frames)
    if colours is not None:
        return [_exact(frame, colours) for frame in frames]
    # Every part of the clip counts alike: about 64,000 pixels, spread evenly over all frames.
    stride = round(sum(frame.shape[0] * frame.shape[1] for frame in frames) / 64_000) | 1  # odd: never one column alone
    sample = np.concatenate([frame.reshape(-1, 3)[number % stride :: stride] for number, frame in enumerate(frames)])
    # Maximum coverage: a small spot of a rare colour keeps its colour, which median cut gives to the ground.
    palette = Image.fromarray(sample[None]).quantize(255, method=Image.Quantize.MAXCOVERAGE)
    return [to_pil(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]


def _few_colours(frames: Sequence[NDArray[np.uint8]]) -> NDArray[Any] | None:
    """All colours of a clip, packed and sorted, when a palette holds them."""
    found = np.empty(0, np.uint32)
    for frame in frames:
        found = np.union1d(found, _packed(frame))
        if len(found) > 256:
            return None
    return found


def _packed(frame: NDArray[np.uint8]) -> NDArray[Any]:
    wide = frame.astype(np.uint32)
    return wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]


def _exact(frame: NDArray[np.uint8], colours: NDArray[Any]) -> Image.Image:
    from PIL import Image

    height, width = frame.shape[:2]
    indices = np.searchsorted(colours, _packed(frame)).astype(np.uint8)
    picture = Image.frombytes("P", (width, height), indices.tobytes())
    picture.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.uint8).tobytes())
    return picture
