"""Clips with FFmpeg (through PyAV): MP4, MOV, WebM and MKV written, whatever FFmpeg knows read."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import OutputError, SourceError, UsageError
from artgen.files import write_atomically
from artgen.media import marks, tonemap

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

Sound = tuple[NDArray[np.float32], int]
"""Samples float32 [N, C] from -1 to 1, and their rate in Hz."""

# One thread: the work is shared out among threads by timing, and with it the bytes would differ.
_THREADS = 1
_CODECS = {
    ".mp4": ("mp4", "libx264", "aac"),
    ".mov": ("mov", "libx264", "aac"),
    ".webm": ("webm", "libvpx-vp9", "libopus"),
    ".mkv": ("matroska", "libx264", "aac"),
}
_QUALITY = {
    # mbtree=0: x264's tree reads memory that nobody has set, and one clip in two then differs by some bytes.
    "libx264": {"crf": "17", "preset": "medium", "x264-params": "mbtree=0"},
    "libvpx-vp9": {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "4"},
}
ENDINGS = tuple(_CODECS)


def write(frames: Iterable[NDArray[np.uint8]], fps: float, path: Path, text: str, mark: str, *, audio: Sound | None = None) -> None:
    """Write frames uint8 [H, W, 3] as they come; a clip of any length needs the memory of a few frames.

    Sides are made even by repeating the last row or column, as 4:2:0 colour needs. Sound longer than the pictures is cut.

    Raises:
        OutputError: the place cannot be written, or the encoder refuses.
        UsageError: there is no frame.
    """
    import av

    def fill(temporary: Path) -> None:
        try:
            with _output(temporary, marks.clip_comment(text, mark)) as container:
                _encode(container, frames, Fraction(fps).limit_denominator(1001), path, audio)
        except OSError:
            raise  # no space, no permission: worded by the caller
        except av.error.FFmpegError as error:
            raise OutputError(f"{path}: the encoder refused ({error.strerror or error})") from None
        if mark and path.suffix.lower() in (".mp4", ".mov"):
            with temporary.open("ab") as file:
                file.write(marks.mp4_box(mark))

    write_atomically(path, fill)


def read(path: Path, max_frames: int, max_pixels: int) -> tuple[NDArray[np.uint8], float]:
    """The frames uint8 [T, H, W, 3] of a clip, turned as its rotation tag says, and its frames a second.

    Raises:
        SourceError: there is no picture in it, it is damaged, cut off, or larger than the limits.
    """
    name = str(path)
    with opened(path, name) as container:
        stream = pictures(container, name)
        size = stream.codec_context.width, stream.codec_context.height
        fps = rate(stream, name)
        frames: list[NDArray[np.uint8]] = []
        for frame in decoded(container, stream, name):
            if len(frames) == max_frames or (len(frames) + 1) * size[0] * size[1] > max_pixels:
                most = min(max_frames, max_pixels // max(1, size[0] * size[1]))
                shown = f"{size[0]}x{size[1]}"
                raise SourceError(f"{path}: more than {most:,} frames of {shown}; cut the clip shorter or make it smaller")
            frames.append(pixels(frame, size))
    if not frames:
        raise SourceError(f"{path}: the clip has no frame that can be read; replace the file")
    return np.stack(frames), fps


def read_comment(path: Path) -> str:
    """The standard ``comment`` tag of a clip, or nothing.

    Raises:
        SourceError: the file cannot be read as a clip.
    """
    with opened(path, str(path)) as container:
        tags = {name.lower(): value for name, value in container.metadata.items()}
        return tags.get("comment", "")


@contextlib.contextmanager
def _output(path: Path, comment: str) -> Iterator[OutputContainer]:
    import av

    container_format = _CODECS[path.suffix.lower()][0]
    options = {"fflags": "+bitexact"}  # no time of day, no random track numbers
    if container_format in ("mp4", "mov"):
        # MOV's own comment tag counts its bytes in 16 bits: a long recipe needs the newer kind of tags.
        options["movflags"] = "+faststart+use_metadata_tags" if container_format == "mov" else "+faststart"
    with av.open(str(path), "w", format=container_format, options=options) as container:
        if comment:
            container.metadata["comment"] = comment
        yield container


def _encode(
    container: OutputContainer, frames: Iterable[NDArray[np.uint8]], rate: Fraction, path: Path, audio: Sound | None
) -> None:
    from av.video.frame import VideoFrame
    from av.video.reformatter import ColorRange, Colorspace

    _, codec, sound_codec = _CODECS[path.suffix.lower()]
    stream: Any = None
    sound: Any = None
    for number, picture in enumerate(frames):
        even = _even(picture)
        if stream is None:
            stream = container.add_stream(codec, rate=rate, options=_QUALITY[codec])
            stream.height, stream.width = even.shape[:2]
            stream.pix_fmt = "yuv420p"
            context = stream.codec_context
            context.thread_count = _THREADS
            # Said in the file: unsaid, players guess between two sets of colours by the size of the picture.
            context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
            context.color_primaries = context.color_trc = 1
            sound = _sound_stream(container, sound_codec, audio) if audio else None
        frame = VideoFrame.from_ndarray(even, format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
        frame.pts, frame.time_base = number, 1 / rate
        container.mux(stream.encode(frame))
        if sound is not None and audio:
            _encode_sound(container, sound, audio, Fraction(number) / rate, Fraction(number + 1) / rate)
    if stream is None:
        raise UsageError(f"{path}: a clip has at least one frame")
    container.mux(stream.encode(None))
    if sound is not None:
        container.mux(sound.encode(None))


def _sound_stream(container: OutputContainer, codec: str, audio: Sound) -> Any:
    samples, rate = audio
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    stream = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate, layout=layout)
    stream.codec_context.thread_count = _THREADS
    return stream


def _encode_sound(container: OutputContainer, stream: Any, audio: Sound, start: Fraction, end: Fraction) -> None:
    """Encode the sound of one frame's time: side by side with the pictures, so that players need not seek."""
    from av.audio.frame import AudioFrame

    samples, rate = audio
    first = round(start * rate)
    piece = samples[first : round(end * rate), :2].T
    if piece.shape[1]:
        frame = AudioFrame.from_ndarray(np.ascontiguousarray(piece, np.float32), "fltp", "mono" if len(piece) == 1 else "stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, first, Fraction(1, rate)
        container.mux(stream.encode(frame))


def _even(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(picture)


# --- reading


@contextlib.contextmanager
def opened(source: Path | bytes, name: str) -> Iterator[InputContainer]:
    """A clip opened with FFmpeg; ``name`` stands in messages.

    Raises:
        SourceError: it is gone or damaged, now or while it is read inside the block.
    """
    import av

    try:
        # A file object and not the name: FFmpeg takes some names for addresses.
        with (
            io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file,
            av.open(file, "r", metadata_errors="replace") as container,
        ):
            yield container
    except av.error.FFmpegError as error:
        raise SourceError(f"{name}: the clip is damaged or incomplete ({error.strerror or error}); replace the file") from None
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}") from None


def pictures(container: InputContainer, name: str) -> Any:
    """The first stream of moving pictures; a cover picture of a piece of music is none.

    Raises:
        SourceError: there is none.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    if not container.streams.video and not container.streams.audio:
        raise SourceError(f"{name}: the clip is damaged or incomplete (neither pictures nor sound are found); replace the file")
    has = "only sound" if container.streams.audio else "no moving pictures"
    raise SourceError(f"{name}: the file has {has}; give a clip with pictures")


def rate(stream: Any, name: str) -> float:
    """Frames a second of a stream, on average.

    Raises:
        SourceError: it is none that a clip can have.
    """
    fps = float(stream.average_rate or stream.guessed_rate or 25)
    if not 0.01 <= fps <= 1000:
        raise SourceError(f"{name}: {fps:g} frames a second, 0.01 to 1000 are read; write the clip anew with another rate")
    return fps


def promised(container: InputContainer) -> Fraction:
    """The seconds that the header tells, from the time 0 of the file; 0 where it tells none."""
    return Fraction(container.duration or 0, 1_000_000) + Fraction(max(0, container.start_time or 0), 1_000_000)


def decoded(container: InputContainer, stream: Any, name: str, *, after: float = 0.0) -> Iterator[Any]:
    """Decode every frame, and say so when the file ends before what its header promises.

    ``after`` (seconds from the time 0 of the file) goes to the last picture before it from which decoding can begin.

    Raises:
        SourceError: the file is cut off.
    """
    import av

    packets, end, broken, whole = 0, Fraction(0), False, True
    if after > 0:
        with contextlib.suppress(av.error.FFmpegError):  # no index: read from the start, which is slow but right
            container.seek(int(after * 1_000_000), backward=True)
            whole = False
    decode = _decoder(stream)
    for packet in container.demux():
        if packet.size and packet.stream is stream:
            packets += 1
            broken = broken or packet.is_corrupt
        if packet.pts is not None and packet.time_base:
            end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if packet.stream is stream:
            yield from decode(packet)
    told = promised(container)
    missing = whole and packets < stream.frames and container.format.name != "avi"  # an AVI counts frames that it leaves out
    # The half second leaves room for headers that round or count the time of an unspoken last frame.
    if broken or missing or told - end > max(Fraction(1, 2), told / 100):
        raise SourceError(f"{name}: the clip is cut off after {float(end):.1f} seconds of {float(told):.1f}; replace the file")


def pixels(frame: Any, size: tuple[int, int], background: tuple[int, int, int] = (255, 255, 255)) -> NDArray[np.uint8]:
    """A decoded frame as pixels uint8 [H, W, 3] in sRGB: of the ``size`` (width, height) of the clip, then turned upright.

    Transparency is laid on ``background``, high dynamic range is brought to what a screen shows.
    """
    width, height = size
    if frame.color_trc in (tonemap.PQ, tonemap.HLG):
        shown = tonemap.to_sdr(frame.to_ndarray(width=width, height=height, format="rgb48le"), frame.color_trc)
    elif any(component.is_alpha for component in frame.format.components):
        clear = frame.to_ndarray(width=width, height=height, format="rgba").astype(np.float32)
        alpha, paper = clear[..., 3:] / 255, np.array(background, np.float32)
        shown = np.rint(clear[..., :3] * alpha + paper * (1 - alpha)).astype(np.uint8)
    else:
        shown = frame.to_ndarray(width=width, height=height, format="rgb24")
    return np.rot90(shown, round(frame.rotation / 90))


def _decoder(stream: Any) -> Callable[[Any], list[Any]]:
    """How packets become frames; FFmpeg's own decoders leave out the transparency of a WebM, those of libvpx know it."""
    from av.codec.context import CodecContext

    own = {"vp8": "libvpx", "vp9": "libvpx-vp9"}.get(stream.codec_context.name)
    if own is None or {name.lower(): value for name, value in stream.metadata.items()}.get("alpha_mode") != "1":
        return lambda packet: list(packet.decode())
    context: Any = CodecContext.create(own, "r")
    return lambda packet: list(context.decode(packet if packet.size else None))
