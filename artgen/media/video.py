"""Moving pictures: frames to MP4, WebM, GIF and animated WebP that carry their recipe, and back."""

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError, UsageError
from artgen.files import write_atomically
from artgen.media import animation, clip_kinds, clips, image, marks
from artgen.media.clips import Sound

MAX_FRAMES = 10_000
MAX_PIXELS = 500_000_000  # over all frames: 1.5 GB once decoded


def encode(frames: NDArray[np.uint8], fps: float, path: str | Path, text: str, mark: str, *, audio: Sound | None = None) -> None:
    """Write frames uint8 [T, H, W, 3] as MP4, MOV, WebM, MKV, GIF or WebP by the ending of ``path``.

    The recipe ``text`` and the digital source type ``mark`` go in with them, and the same input gives the same bytes.
    ``audio`` is (samples float32 [N, C], rate in Hz).

    Raises:
        OutputError: the place cannot be written.
        UsageError: no frame, a rate that cannot be shown, or sound for a format without.
    """
    encode_stream(iter(frames), fps, path, text, mark, audio=audio)


def encode_stream(
    frames: Iterable[NDArray[np.uint8]], fps: float, path: str | Path, text: str, mark: str, *, audio: Sound | None = None
) -> None:
    """:func:`encode` for frames uint8 [H, W, 3] that are made one after the other.

    A long clip needs little memory; GIF and WebP alone hold all frames until the end, because their encoders do.

    Raises:
        OutputError: the place cannot be written.
        UsageError: no frame, a rate that cannot be shown, or sound for a format without.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if not (math.isfinite(fps) and 0.01 <= fps <= 1000):
        raise UsageError(f"{path}: a clip shows 0.01 to 1000 frames a second, not {fps:g}")
    if ending in clips.ENDINGS:
        clips.write(frames, fps, path, text, mark, audio=audio)
        return
    if audio is not None:
        raise UsageError(f"{path}: {ending} has no sound; save as .mp4 or .webm")
    kept = list(frames)
    if not kept:
        raise UsageError(f"{path}: a clip has at least one frame")
    make = animation.gif_bytes if ending == ".gif" else animation.webp_bytes
    write_atomically(path, make(kept, fps, text, mark))


def decode(path: str | Path, *, max_frames: int = MAX_FRAMES, max_pixels: int = MAX_PIXELS) -> tuple[NDArray[np.uint8], float]:
    """The frames uint8 [T, H, W, 3] of a clip, upright, and its frames a second.

    ``max_pixels`` counts the pixels of all frames together.

    Raises:
        SourceError: no such file, no clip, only sound, damaged or cut off, or larger than the limits.
    """
    path = Path(path)
    head = _head(path)
    if not head:
        raise SourceError(f"{path}: the file is empty; give a clip such as MP4, WebM or GIF")
    if clip_kinds.is_picture_format(head):
        return animation.read(path, max_frames, max_pixels)
    if not clip_kinds.is_clip_format(head):
        raise SourceError(f"{path}: not a clip of a known kind; give a clip such as MP4, WebM or GIF")
    return clips.read(path, max_frames, max_pixels)


def is_video(path: str | Path) -> bool:
    """Whether a file holds moving pictures, by its content: a GIF, PNG or WebP of one frame is a picture.

    Nothing or words in a file that is named as a clip are a damaged clip.
    """
    path = Path(path)
    try:
        head = _head(path)
    except SourceError:
        return False
    if clip_kinds.is_picture_format(head):
        return animation.is_animated(path)
    words = head.isascii() and b"\0" not in head
    return clip_kinds.is_clip_format(head) or (words and path.suffix.lower() in clips.ENDINGS)


def read_marks(path: str | Path) -> marks.Marks:
    """The recipe text and the digital source type of a clip.

    Raises:
        SourceError: there is no such file, or it is no clip.
    """
    path = Path(path)
    if clip_kinds.is_clip_format(_head(path)):
        return marks.from_clip(clips.read_comment(path))
    try:
        return image.read_marks(path)
    except SourceError:
        if path.suffix.lower() not in clips.ENDINGS:
            raise
        raise SourceError(f"{path}: not a clip of a known kind; give a clip such as MP4, WebM or GIF") from None


def read_text(path: str | Path) -> str | None:
    """The recipe text in a clip, or None where it carries none.

    Raises:
        SourceError: there is no such file, or it is no clip.
    """
    return read_marks(path).text


def read_mark(path: str | Path) -> str | None:
    """The IPTC digital source type in a clip, or None where it carries none.

    Raises:
        SourceError: there is no such file, or it is no clip.
    """
    return read_marks(path).mark


def html(frames: NDArray[np.uint8], fps: float) -> str:
    """A ``<video>`` tag with the clip inside, for notebooks."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        encode(frames, fps, path, "", "")
        data = base64.b64encode(path.read_bytes()).decode()
    height, width = frames.shape[1:3]
    source = f"data:video/mp4;base64,{data}"
    return f'<video controls autoplay loop muted playsinline width="{width}" height="{height}" src="{source}"></video>'


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(clip_kinds.HEAD)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file") from None
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None
