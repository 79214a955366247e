"""Sounds: any file that libsndfile or FFmpeg reads to samples, in blocks or whole; samples to files are in :mod:`.audio_files`.

Samples are float32 [N, C], full scale from -1 to 1. Files are read in blocks, so that a recording of hours needs little memory.
"""

from __future__ import annotations

import base64
import contextlib
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError
from artgen.media.audio_files import (
    AudioWriter,
    encode,
    from_pcm,
    open_file,
    read_mark,
    read_marks,
    read_text,
    to_pcm,
)
from artgen.media.endings import SOUNDS
from artgen.media.loudness import Meter, to_db
from artgen.media.sound_ends import missing_end, tells_frames
from artgen.media.sound_kinds import is_clip, is_mpeg, is_sound

__all__ = [
    "ENDINGS", "AudioWriter", "Reading", "Samples", "convert", "decode", "encode", "from_pcm", "html", "is_sound", "measured",
    "mix", "opened", "read_mark", "read_marks", "read_text", "resample", "resampled", "to_pcm",
]  # fmt: skip

Samples = NDArray[np.float32]
"""Samples float32 [N, C], full scale from -1 to 1."""

ENDINGS = SOUNDS
"""Endings by which a file says that it is a sound; what it is, its content tells."""

MOST_VALUES = 2**28
"""Samples times channels of the longest sound that is opened as one work: 1 GB, or 100 minutes of 44.1 kHz mono."""

RATES = (1_000, 768_000)
"""Samples a second that are read."""

MOST_CHANNELS = 32
_BLOCK = 2**16
_ENDLESS = 2**60  # frames: what libsndfile says of a FLAC whose header does not know its length, and then cannot read it
_TELLING = frozenset({"MOV", "MATROSKA", "AVI", "ASF"})  # containers whose length is told and not guessed from their size
_MISSING = 0.25  # seconds by which a whole file may be shorter than it says: encoders count what they add at its ends
_OVER = 0.5  # dB over full scale from which it is told: lossy files are over it by less, and nobody did that on purpose
_HTML_LIMIT = 8 * 2**20
_GIVE = "give a sound such as WAV, FLAC, Ogg, MP3 or AIFF"
# What libsndfile knows only in part, and FFmpeg may read whole: other codecs inside WAV, Ogg and AIFF, and plain AAC.
_SECOND_CHANCE = (b"RIFF", b"OggS", b"FORM", b"\xff\xf1", b"\xff\xf9", b"caff\0")


class _BrokenError(SourceError):
    """A file is damaged from here on; the message says why, no more."""


@dataclass
class Reading:
    """An opened sound: ``rate`` in Hz, ``channels``, and ``frames`` where the file says how many (it may be wrong).

    ``format`` names the kind of file. ``remarks`` fill while :meth:`blocks` are read: what was odd and what was made of it.
    ``promised`` is whether ``frames`` is no guess, so that a file with fewer was cut off.
    """

    name: str
    rate: int
    channels: int
    frames: int | None
    format: str
    source: Callable[[], Iterator[Samples]]
    remarks: list[str] = field(default_factory=list)
    count: int = 0
    promised: bool = False

    def blocks(self, *, lenient: bool = False) -> Iterator[Samples]:
        """The samples [N, C] one block after the other; numbers that are not finite become silence.

        With ``lenient`` a file that is damaged somewhere is used up to there, with a remark.

        Raises:
            SourceError: the file holds no sound, or is damaged.
        """
        broken = 0
        for block in self._whole(lenient):
            if not len(block):
                continue
            self.count += len(block)
            # Their sum is finite only if all are; as cheap as it gets, since nearly every block is sound.
            if not np.isfinite(block.sum(dtype=np.float64)):
                wrong = ~np.isfinite(block)
                broken += int(wrong.sum())
                block = np.where(wrong, np.float32(0), block)  # noqa: PLW2901 - the block of the file may be read-only
            yield block
        if not self.count:
            raise SourceError(f"{self.name}: holds no sound, only a header; replace the file or leave it out")
        if broken:
            told = "1 sample that is not a finite number" if broken == 1 else f"{broken} samples that are not finite numbers"
            self.remarks.append(f"{told} became silence")

    def _whole(self, lenient: bool) -> Iterator[Samples]:
        try:
            yield from self.source()
        except _BrokenError as error:
            if not lenient or not self.count:
                raise SourceError(f"{self.name}: damaged ({error}); replace the file or leave it out") from None
            of = f" of {self.frames / self.rate:.1f}" if self.promised and self.frames else ""
            self.remarks.append(f"it breaks off after {self.count / self.rate:.1f}{of} seconds ({error}); it is used up to there")
            return
        if self.promised and self.frames and self.frames - self.count > _MISSING * self.rate and self.count:
            told = f"{self.frames / self.rate:.1f} seconds and {self.count / self.rate:.1f} are there"
            self.remarks.append(f"its header promises {told}: it was cut off")


@contextlib.contextmanager
def opened(source: str | Path | bytes, *, name: str = "") -> Iterator[Reading]:
    """Open a sound, or the first sound of a clip, to read it block by block; ``name`` stands in messages.

    Raises:
        SourceError: no such file, no sound, damaged, or with a rate or number of channels that is not read.
    """
    label = name or ("the sound" if isinstance(source, bytes) else str(source))
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(io.BytesIO(source) if isinstance(source, bytes) else open_file(Path(source), label))
        head = file.read(4096)
        file.seek(0)
        if not head:
            raise SourceError(f"{label}: the file is empty; {_GIVE}")
        told = missing_end(file, head)
        if is_clip(head):
            reading = stack.enter_context(_with_ffmpeg(file, label))
        else:
            reading = _with_sndfile(stack, source, file, head, label)
        reading.remarks += [told] if told else []
        low, high = RATES
        if not low <= reading.rate <= high:
            raise SourceError(f"{label}: {reading.rate} samples a second, {low} to {high} are read; write the file anew")
        if not 1 <= reading.channels <= MOST_CHANNELS:
            raise SourceError(f"{label}: {reading.channels} channels, 1 to {MOST_CHANNELS} are read; mix it down first")
        yield reading


def decode(
    path: str | Path | bytes, *, rate: int | None = None, channels: int | None = None, name: str = "", most: int = MOST_VALUES,
    remarks: list[str] | None = None,
) -> tuple[Samples, int]:  # fmt: skip
    """All samples [N, C] of a sound and their rate in Hz; ``rate`` and ``channels`` say what to make of it.

    A sound over full scale (float files may be, and lossy ones a little) is turned down as a whole, so that it is not clipped.
    ``remarks`` gets what was odd about the file and what was made of it, for the user to read.

    Raises:
        SourceError: the file is missing, no sound, damaged, or longer than ``most`` samples over all channels.
    """
    with opened(path, name=name) as reading:
        rate, channels = rate or reading.rate, channels or reading.channels
        expected = round((reading.frames or 0) * rate / reading.rate)
        limit = most // channels
        if expected > limit:
            raise _too_long(reading.name, expected / rate, limit / rate)
        made = np.empty((max(expected, 1), channels), np.float32)
        count = 0
        for block in convert(reading, rate, channels):
            if count + len(block) > limit:
                raise _too_long(reading.name, None, limit / rate)
            if count + len(block) > len(made):
                # Half as much again each time: copied seldom, and the header rarely lies.
                made = np.concatenate([made[:count], np.empty((max(len(block), count // 2), channels), np.float32)])
            made[count : count + len(block)] = block
            count += len(block)
    made, told = made[:count], list(reading.remarks)
    largest = max(float(made.max(initial=0.0)), -float(made.min(initial=0.0)))
    if not largest:
        told.append("it is silent from end to end")
    elif largest > 1:
        made /= np.float32(largest)
        if to_db(largest) >= _OVER:
            told.append(f"{to_db(largest):.1f} dB over full scale, so it was turned down")
    if remarks is not None:
        remarks += told
    return made, rate


def convert(reading: Reading, rate: int, channels: int) -> Iterator[Samples]:
    """The blocks of ``reading`` mixed to ``channels`` and resampled to ``rate`` Hz."""
    mixed = (mix(block, channels) for block in reading.blocks())
    return resampled(mixed, reading.rate, rate, channels)


def mix(samples: Samples, channels: int) -> Samples:
    """Samples [N, C] with ``channels`` channels.

    To one: the mean of all; to two: mono goes to both sides; 5.1 and 7.1 as ITU-R BS.775 says (centre and surrounds at -3 dB,
    the low-frequency channel left out, scaled so that nothing clips); of any other number, those in odd places go left and those
    in even places right. To one from 5.1 and 7.1: by way of two. To more than two: those there are, then the last repeated.
    """
    have = samples.shape[1]
    if have == channels:
        return samples
    if have == 1:
        return np.repeat(samples, channels, 1)
    if channels > 2:
        return samples[:, [min(index, have - 1) for index in range(channels)]]
    if have not in (6, 8):
        sides = [samples] if channels == 1 else [samples[:, 0::2], samples[:, 1::2]]
        return np.stack([side.mean(1, dtype=np.float32) for side in sides], 1)
    half = np.float32(0.5**0.5)
    around = [samples[:, 4:have:2].sum(1), samples[:, 5:have:2].sum(1)]
    whole = 1 + half * (1 + (have - 4) // 2)
    sides = [(samples[:, side] + half * (samples[:, 2] + around[side])) / whole for side in range(2)]
    both = np.stack(sides, 1).astype(np.float32)
    return both if channels == 2 else both.mean(1, keepdims=True, dtype=np.float32)


def resample(samples: Samples, rate: int, wanted: int) -> Samples:
    """Samples [N, C] at ``rate`` Hz as they would be at ``wanted`` Hz."""
    if rate == wanted or not len(samples):
        return samples
    blocks = (samples[start : start + _BLOCK] for start in range(0, len(samples), _BLOCK))
    return np.concatenate([samples[:0], *resampled(blocks, rate, wanted, samples.shape[1])])


def measured(blocks: Iterable[Samples], rate: int, channels: int) -> dict[str, Any]:
    """What ``artgen show`` tells of a sound: seconds, rate, channels, peak in dBFS and loudness in LUFS (None for silence)."""
    meter = Meter(rate, channels)
    for block in blocks:
        meter.add(block)
    peak, loud = to_db(meter.peak), meter.loudness
    return {
        "seconds": round(meter.seconds, 3),
        "rate": rate,
        "channels": channels,
        "peak": round(peak, 2) if math.isfinite(peak) else None,
        "loudness": round(loud, 2) if math.isfinite(loud) else None,
    }


def html(samples: Samples, rate: int) -> str:
    """An ``<audio>`` tag with the sound inside as FLAC, for notebooks; of a very long sound its beginning."""
    most = _HTML_LIMIT // (2 * samples.shape[1])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.flac"
        encode(iter([samples[:most]]), rate, samples.shape[1], path, "", "")
        data = base64.b64encode(path.read_bytes()).decode()
    note = f"<br>the first {most / rate:.0f} of {len(samples) / rate:.0f} seconds" if len(samples) > most else ""
    return f'<audio controls src="data:audio/flac;base64,{data}"></audio>{note}'


def resampled(blocks: Iterable[Samples], rate: int, wanted: int, channels: int) -> Iterator[Samples]:
    """The blocks [n, C] of a sound at ``rate`` Hz as blocks at ``wanted`` Hz; how they were cut does not matter."""
    if rate == wanted:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, wanted, channels, dtype="float32", quality="HQ")
    for block in blocks:
        # Of one size: the filter of a very long block is no better, only larger.
        for start in range(0, len(block), _BLOCK):
            done = stream.resample_chunk(np.ascontiguousarray(block[start : start + _BLOCK]))
            if len(done):
                yield done.reshape(-1, channels)
    rest = stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
    if len(rest):
        yield rest.reshape(-1, channels)


# --- libsndfile


def _with_sndfile(
    stack: contextlib.ExitStack, source: str | Path | bytes, file: IO[bytes], head: bytes, name: str
) -> Reading:  # fmt: skip
    import soundfile

    guessed = is_mpeg(head) and not tells_frames(file, head)
    file.seek(0)
    try:
        # By its name where it has one: reading through Python would be called for every few bytes.
        sound = stack.enter_context(soundfile.SoundFile(file if isinstance(source, bytes) else str(source)))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        if head.startswith(_SECOND_CHANCE):
            file.seek(0)
            return stack.enter_context(_with_ffmpeg(file, name))
        if is_mpeg(head) or head[:4] == b"fLaC":
            raise SourceError(f"{name}: damaged ({_why(error)}); replace the file or leave it out") from None
        raise SourceError(f"{name}: not a sound of a known kind; {_GIVE}") from None
    if sound.frames > _ENDLESS:
        sound.close()
        file.seek(0)
        return stack.enter_context(_with_ffmpeg(file, name))
    reading = Reading(name, sound.samplerate, sound.channels, sound.frames, sound.format, lambda: _sndfile_blocks(sound))
    reading.promised = not guessed
    return reading


def _sndfile_blocks(sound: Any) -> Iterator[Samples]:  # Any: soundfile has no types
    import soundfile

    while True:
        room = np.full((_BLOCK, sound.channels), np.nan, np.float32)
        try:
            block = sound.read(out=room)
        except (soundfile.SoundFileError, OSError) as error:
            # The samples before the damage are there, only their number was not returned.
            unread = np.append(np.isnan(room[:, 0]), True)
            yield room[: int(unread.argmax())]
            why = _why(error)
            raise _BrokenError("what follows cannot be read" if "psf_fseek" in why else why) from None
        if not len(block):
            return
        yield block


# --- FFmpeg


@contextlib.contextmanager
def _with_ffmpeg(file: IO[bytes], name: str) -> Iterator[Reading]:
    import av

    try:
        # The open file and not its name: FFmpeg takes some names for addresses.
        with av.open(file, "r", metadata_errors="replace") as container:
            if not container.streams.audio:
                raise SourceError(f"{name}: has no sound; {_GIVE}")
            stream = container.streams.audio[0]
            context = stream.codec_context
            kind = container.format.name.split(",")[0].upper()
            seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
            if seconds is None and container.duration and len(container.streams) == 1:
                seconds = container.duration / av.time_base
            frames = round(seconds * context.sample_rate) if seconds else None
            reading = Reading(name, context.sample_rate, context.channels, frames, kind, lambda: _ffmpeg_blocks(container, stream))
            reading.promised = kind in _TELLING
            yield reading
    except av.error.FFmpegError as error:
        raise SourceError(f"{name}: damaged or incomplete ({error.strerror or error}); replace the file or leave it out") from None


def _ffmpeg_blocks(container: Any, stream: Any) -> Iterator[Samples]:
    import av

    # No rate and layout: only the numbers change, to floats with a row a channel.
    planes = av.AudioResampler(format="fltp")
    try:
        for frame in container.decode(stream):
            for part in planes.resample(frame):
                yield np.ascontiguousarray(part.to_ndarray().T)
        for part in planes.resample(None):
            yield np.ascontiguousarray(part.to_ndarray().T)
    except (av.error.FFmpegError, ValueError) as error:
        raise _BrokenError(_why(error)) from None


def _why(error: Exception) -> str:
    told = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    return str(told).strip().removeprefix("Error : ").rstrip(".") or type(error).__name__


def _too_long(name: str, seconds: float | None, most: float) -> SourceError:
    told = f"{seconds / 60:.0f} minutes" if seconds else f"more than {most / 60:.0f} minutes"
    return SourceError(f"{name}: too long to be opened as one work: {told}, at most {most / 60:.0f} are; cut it into parts")
