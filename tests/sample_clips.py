"""Clips for tests, in a module of its own name: worker processes import it too."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from artgen.dataset import Dataset, Manifest, fingerprint, write_manifest

Frames = NDArray[np.uint8]


def moving(number: int, count: int = 16, height: int = 24, width: int = 24) -> Frames:
    """A square that wanders over a coloured ground: another one for every ``number``, uint8 [count, height, width, 3]."""
    random = np.random.default_rng(number)
    ground, colour = random.integers(120, 250, 3), random.integers(0, 100, 3)
    frames = np.empty((count, height, width, 3), np.uint8)
    frames[:] = ground
    edge = max(1, min(height, width) // 3)
    for index in range(count):
        x = (index * 2 + number) % max(1, width - edge)
        y = (number * 5) % max(1, height - edge)
        frames[index, y : y + edge, x : x + edge] = colour
    return frames


def levels(values: Sequence[int], edge: int = 16) -> Frames:
    """Frames of one grey each, uint8 [T, edge, edge, 3]: what becomes of each is seen at a glance."""
    frames = np.empty((len(values), edge, edge, 3), np.uint8)
    frames[:] = np.array(values, np.uint8)[:, None, None, None]
    return frames


def lossless(path: Path, frames: Frames, seconds: Sequence[float]) -> Path:
    """A clip (FFV1 in MKV, AVI …) whose frames are exact and begin at ``seconds``; the last is shown as long as the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ends = [*seconds[1:], seconds[-1] + (seconds[1] - seconds[0] if len(seconds) > 1 else 0.1)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0"
        for pixels, time, end in zip(frames, seconds, ends, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            for packet in stream.encode(frame):
                packet.duration = round(end * 1000) - round(time * 1000)
                container.mux(packet)
    return path


def numbered(folder: Path, frames: Frames, numbers: Sequence[int] | None = None, name: str = "{:04}.png") -> Path:
    """A folder of numbered pictures."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, pixels in zip(numbers or range(1, len(frames) + 1), frames, strict=True):
        Image.fromarray(pixels).save(folder / name.format(number))
    return folder


def only_sound(path: Path, seconds: float = 1.0) -> Path:
    """An MP4 of sound alone."""
    wave = 0.5 * np.sin(np.arange(int(seconds * 16_000)) * 2 * np.pi * 440 / 16_000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a turn into the track header of an MP4, as a phone held upright does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = (value * 65_536).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
    return path


def lasting(path: Path, seconds: float) -> Path:
    """Write another length into the header of an MKV or WebM, as a broken recorder does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", seconds * 1000)
    path.write_bytes(bytes(data))
    return path


def hdr(path: Path, codes: Frames, transfer: int) -> Path:
    """A clip of 10 bits in BT.2020 with the codes uint8 [T, H, W, 3] (of 255) as PQ (16) or HLG (18)."""
    from av.video.reformatter import ColorRange, Colorspace

    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx265", rate=10, options={"x265-params": "log-level=none:lossless=1", "preset": "ultrafast"}
        )
        stream.height, stream.width = codes.shape[1:3]
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.thread_count = 1
        context.color_primaries, context.color_trc, context.color_range = 9, transfer, ColorRange.MPEG
        context.colorspace = 9
        for number, pixels in enumerate(codes):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.MPEG)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            frame.color_trc, frame.color_primaries, frame.colorspace = transfer, 9, 9
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def clips_of(count: int, first: int = 0, *, frames: int = 12, side: int = 32) -> Frames:
    """Clips of spots that wander smoothly over soft grounds at many speeds, uint8 [count, frames, side, side, 3]."""
    y, x = np.mgrid[0:side, 0:side] / side
    made = np.empty((count, frames, side, side, 3), np.uint8)
    for number in range(count):
        random = np.random.default_rng(first + number)
        ground, colour = random.uniform(120, 250, 3), random.uniform(0, 100, 3)
        phase, speed, radius = random.uniform(0, 2 * np.pi), random.uniform(0.1, 0.5), random.uniform(0.1, 0.3)
        for index in range(frames):
            angle = phase + speed * index
            distance = (x - 0.5 - radius * np.cos(angle)) ** 2 + (y - 0.5 - radius * np.sin(angle)) ** 2
            made[number, index] = np.rint(ground + (colour - ground) * np.exp(-distance / 0.02)[..., None])
    return made


def write_clips(folder: Path, videos: Frames, labels: NDArray[np.int64] | None = None, fps: float = 10.0) -> Dataset:
    """A prepared dataset of these clips."""
    folder.mkdir(parents=True)
    arrays = {"videos": videos} if labels is None else {"videos": videos, "labels": labels}
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    classes = [] if labels is None else [f"class {number}" for number in range(int(labels.max()) + 1)]
    manifest = Manifest(
        artgen="0", kind="video", count=len(videos), arrays={name: f"{name}.npy" for name in arrays}, classes=classes,
        shapes={name: list(array.shape) for name, array in arrays.items()}, notes={"fps": fps},
        fingerprint=fingerprint(videos.tobytes()),
    )  # fmt: skip
    return write_manifest(folder, manifest)
