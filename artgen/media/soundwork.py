"""What one worker of ``artgen audio prepare`` does with one file: decode, judge, mix, resample, trim, bring to a loudness.

Everything goes block by block through scratch files: a recording of hours needs no more memory than a note.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from artgen.errors import SourceError
from artgen.files import sentences
from artgen.media import audio
from artgen.media.archives import Reader, Source
from artgen.media.audio import Reading, Samples
from artgen.media.loudness import CEILING, Meter, from_db, gain_for, limited, to_db
from artgen.media.partial import Record

SILENCE = -80.0
"""dBFS: a file whose loudest sample is below it is silent. Three steps of 16 bits."""

_BLOCK = 2**16
_HOP = 0.01  # seconds over which an end is found loud or not
_FLAT = 4  # equal samples in a row at full scale: nothing but clipping does that
_FULL = 0.985
_CANCELS = 1e-3  # of the power: channels that are each other's opposite leave next to nothing
_MORE_RUNS = 5


@dataclass(frozen=True)
class Job:
    """What a worker must know: where scratch files go, and the options that decide the samples.

    ``loudness`` is None where it stays as it is, ``trim`` where nothing is cut off.
    """

    scratch: str
    rate: int
    channels: int
    loudness: float | None
    trim: float | None
    min_seconds: float
    max_minutes: float


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal keeps of a stored file: loudness ``before`` and ``after`` in LUFS (None where too quiet to tell)."""

    before: float | None
    after: float | None
    clipped: bool = False
    remarks: list[str] = []


class _Refused(Exception):  # noqa: N818 - a verdict on the file, not a failure
    """A file that is read but not used; the message says why."""


def work(sources: Sequence[Source], options: Job, reader: Reader) -> list[tuple[Record, str]]:
    """The record of each source, and where its samples int16 [N, C] are; nowhere for one that is not used."""
    return [_item(source, options, reader) for source in sources]


def _item(source: Source, job: Job, reader: Reader) -> tuple[Record, str]:
    try:
        given: Path | bytes = source.path or reader.read(source)
        with sentences(job.scratch), tempfile.TemporaryFile(dir=job.scratch) as file:
            heard = Heard()
            _convert(given, source.name, job, heard, file.fileno())
            if heard.cancels:
                heard = Heard(pick=int(np.argmax(heard.powers)))
                os.ftruncate(file.fileno(), 0)
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                _convert(given, source.name, job, heard, file.fileno())
                heard.remarks.append(f"its channels cancel each other out, so channel {(heard.pick or 0) + 1} alone is used")
            return _finished(heard, job, file.fileno())
    except SourceError as error:
        return Record(False, "", str(error).removeprefix(f"{source.name}: ").partition("; ")[0]), ""
    except _Refused as refused:
        return Record(False, "", str(refused)), ""


@dataclass
class Heard:
    """What is found out while a file is read: of the file ``peak``, ``runs`` of clipped samples and the ``powers`` of its channels.

    ``frames`` and ``hops`` (the largest amplitude of every hundredth of a second) are of the samples at the wanted rate. ``pick``
    is the one channel that is used instead of the mix.
    """

    pick: int | None = None
    peak: float = 0.0
    runs: int = 0
    powers: list[float] = field(default_factory=list)
    mixed: float = 0.0
    frames: int = 0
    hops: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def cancels(self) -> bool:
        """Whether mixing to one channel lost the sound."""
        return self.pick is None and len(self.powers) > 1 and self.mixed < _CANCELS * max(self.powers)

    def hear(self, block: Samples) -> None:
        """Judge a block of the file."""
        self.peak = max(self.peak, float(np.abs(block).max()))
        self.runs += _flat_runs(block)
        powers = np.square(block, dtype=np.float64).sum(0)
        self.powers = [float(power) for power in powers + (self.powers or 0)]

    def keep(self, block: Samples, hop: int) -> None:
        """Note the amplitudes of a block at the wanted rate."""
        largest = np.abs(block).max(1)
        at = self.frames % hop
        if at:
            self.hops[-1] = max(self.hops[-1], float(largest[: hop - at].max()))
            largest = largest[hop - at :]
        if len(largest):
            self.hops.extend(np.maximum.reduceat(largest, np.arange(0, len(largest), hop)).tolist())
        self.frames += len(block)


def _convert(given: Path | bytes, name: str, job: Job, heard: Heard, handle: int) -> None:
    """Write the file's samples float32 [N, C], mixed and resampled, to the open file ``handle``."""
    hop = max(1, round(_HOP * job.rate))
    with audio.opened(given, name=name) as reading:
        _refuse_long(reading.frames or 0, reading, job)
        listened = Reading(
            name, reading.rate, 1 if job.channels == 1 else reading.channels, None, reading.format,
            lambda: _listened(reading, heard, job),
        )  # fmt: skip
        for block in audio.convert(listened, job.rate, job.channels):
            heard.keep(block, hop)
            _write(handle, np.ascontiguousarray(block, np.float32).tobytes())
        heard.remarks.extend(reading.remarks)


def _listened(reading: Reading, heard: Heard, job: Job) -> Iterator[Samples]:
    """The blocks of a file; the digital silence it begins with is only counted until sound comes.

    So hours of silence cost neither time nor disk. Where ends are trimmed, a second of it is enough.
    """
    silent, began = 0, False
    for block in reading.blocks(lenient=True):
        _refuse_long(reading.count, reading, job)
        if not began and not block.any():
            silent += len(block)
            continue
        if not began:
            began = True
            silent = min(silent, reading.rate) if job.trim is not None else silent
            while silent:
                count = min(silent, _BLOCK)
                silent -= count
                yield np.zeros((count, 1 if job.channels == 1 else reading.channels), np.float32)
        heard.hear(block)
        taken = block if heard.pick is None else block[:, heard.pick : heard.pick + 1]
        mixed = audio.mix(taken, 1) if job.channels == 1 else taken
        heard.mixed += float(np.square(mixed, dtype=np.float64).sum())
        yield mixed
    if not began:
        raise _Refused(f"silent: {_length(reading.count / reading.rate)} of digital silence")


def _refuse_long(frames: int, reading: Reading, job: Job) -> None:
    minutes = frames / reading.rate / 60
    if minutes > job.max_minutes:
        raise _Refused(f"too long: more than {job.max_minutes:g} minutes (--max-minutes)")


def _finished(heard: Heard, job: Job, handle: int) -> tuple[Record, str]:
    """Judge the converted samples in ``handle``, and write those that stay as int16 to a scratch file."""
    if to_db(heard.peak) < SILENCE or to_db(max(heard.hops, default=0.0)) < SILENCE:
        raise _Refused(f"silent: nowhere above {SILENCE:g} dB")
    start, stop = _ends(heard, job)
    seconds = (stop - start) / job.rate
    if seconds < job.min_seconds:
        raise _Refused(f"too short: {seconds:.3g} seconds, needs {job.min_seconds:g} (--min-seconds)")
    before = Meter(job.rate, job.channels)
    for block in _read(handle, start, stop, job.channels):
        before.add(block)
    gain, ceiling = (gain_for(before.loudness, job.loudness), CEILING) if job.loudness is not None else (1.0, 0.0)
    if job.loudness is None and before.peak > 1:
        gain = 1 / before.peak
        heard.remarks.append(f"{to_db(before.peak):.1f} dB over full scale, so it was turned down")
    scaled = (block * np.float32(gain) for block in _read(handle, start, stop, job.channels))
    after, digest = Meter(job.rate, job.channels), hashlib.blake2b(digest_size=16)
    with tempfile.NamedTemporaryFile(dir=job.scratch, delete=False) as file:
        for block in limited(scaled, job.rate, job.channels, ceiling, true=job.loudness is not None):
            after.add(block)
            data = audio.to_pcm(block).astype("<i2").tobytes()
            digest.update(data)
            file.write(data)
    clipped = heard.runs >= _MORE_RUNS
    if clipped:
        heard.remarks.append(f"clipped in {heard.runs} places; it is used all the same")
    told = Told(before=_known(before.loudness), after=_known(after.loudness), clipped=clipped, remarks=heard.remarks)
    return Record(True, digest.hexdigest(), msgspec.json.encode(told).decode(), stop - start), file.name


def _ends(heard: Heard, job: Job) -> tuple[int, int]:
    """The first sample that stays, and the one after the last."""
    if job.trim is None:
        return 0, heard.frames
    hops = np.array(heard.hops)
    loud = np.flatnonzero(hops >= hops.max() * from_db(job.trim))
    hop = max(1, round(_HOP * job.rate))
    # One hundredth of a second more on both sides: no onset is cut into.
    return max(0, int(loud[0]) - 1) * hop, min(heard.frames, (int(loud[-1]) + 2) * hop)


def _read(handle: int, start: int, stop: int, channels: int) -> Iterator[Samples]:
    """The samples float32 [N, C] in an open file from ``start`` to ``stop``, in blocks."""
    os.lseek(handle, start * channels * 4, os.SEEK_SET)
    left = (stop - start) * channels * 4
    while left:
        data = b""
        wanted = min(left, _BLOCK * channels * 4)
        while len(data) < wanted and (part := os.read(handle, wanted - len(data))):
            data += part
        if not data:
            raise SourceError("its scratch file was cut off; prepare again")
        left -= len(data)
        yield np.frombuffer(data, np.float32).reshape(-1, channels)


def _write(handle: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def _flat_runs(block: Samples) -> int:
    """How many times at least four equal samples at full scale follow one another in some channel."""
    full = np.abs(block) >= _FULL
    if np.count_nonzero(full) < _FLAT:
        return 0
    same = full[1:] & (block[1:] == block[:-1])
    if len(same) < _FLAT - 1:
        return 0
    long = same[2:] & same[1:-1] & same[:-2]
    begins = long[:1].sum() + (long[1:] & ~long[:-1]).sum()
    return int(begins)


def _known(loudness: float) -> float | None:
    return round(loudness, 2) if math.isfinite(loudness) else None


def _length(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.1f} seconds"
