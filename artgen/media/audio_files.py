"""Sound files written and marked: WAV and FLAC of 16 bits and Ogg Vorbis that carry their recipe and the mark of AI-made media.

=====  =======================================  ===========================================
kind   recipe                                   mark (IPTC digital source type)
=====  =======================================  ===========================================
WAV    ``ICMT`` in ``LIST INFO``                XMP in chunk ``_PMX``, and in that JSON
FLAC   Vorbis comment ``comment``               key ``mark`` of that JSON
Ogg    Vorbis comment ``comment``               key ``mark`` of that JSON
=====  =======================================  ===========================================

No dither: a number is rounded to the nearest of the 65,536, so that a file that is opened and saved again is the same.
"""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from artgen.errors import OutputError, SourceError, UsageError
from artgen.files import sentences, similar, write_atomically
from artgen.media import marks
from artgen.media.loudness import Limiter

KINDS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}
"""Format and coding by the ending of a file."""

_WAVE_LIMIT = 2**32 - 2**24
_PIECE = 2**14  # libsndfile overruns its stack when Vorbis is given much at once
_XMP = b"_PMX"
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def to_pcm(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Samples -1 to 1 as int16, rounded to the nearest; the exact inverse of :func:`from_pcm`."""
    numbers: NDArray[np.int16] = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    return numbers


def from_pcm(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """int16 as float32 samples from -1 to just below 1."""
    return samples.astype(np.float32) * np.float32(1 / 32768)


class AudioWriter:
    """Writes a sound of any length block by block; a context manager.

    The file appears under its name when all is written, or not at all. What exceeds full scale is turned down around the peak, not
    clipped; all else is written as it is. Same samples, same bytes, however they are cut into blocks.

    Raises:
        UsageError: the ending is none of ``KINDS``, or the rate or number of channels is not one its format can have.
        OutputError: the place cannot be written.
    """

    def __init__(self, path: str | Path, rate: int, channels: int, text: str = "", mark: str = "") -> None:
        self.path = Path(path)
        self.frames = 0
        ending = self.path.suffix.lower()
        if ending not in KINDS:
            raise UsageError(f"{self.path}: a sound is saved as {', '.join(KINDS)}, not {ending or 'no ending'}")
        if channels < 1 or channels > 8 or not 1_000 <= rate <= 655_350 or (ending == ".ogg" and rate > 200_000):
            most = "200,000" if ending == ".ogg" else "655,350"
            told = f"{channels} channel{'s' if channels != 1 else ''} at {rate:,} Hz"
            advice = "save as .flac or .wav" if 1 <= channels <= 8 and 1_000 <= rate <= 655_350 else "convert it first"
            raise UsageError(f"{self.path}: {ending} holds 1 to 8 channels at 1,000 to {most} Hz, not {told}; {advice}")
        self._kind, self._rate, self._channels = KINDS[ending], rate, channels
        self._comment, self._mark = marks.clip_comment(text, mark), mark
        self._limiter = Limiter(rate, channels, 0.0, true=False)
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        import soundfile

        with sentences(self.path), contextlib.ExitStack() as stack:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".tmp-", suffix=self.path.suffix)
            os.close(handle)
            self._temporary = Path(name)
            stack.callback(self._temporary.unlink, missing_ok=True)
            kind, coding = self._kind
            with self._refusals():
                self._file = stack.enter_context(soundfile.SoundFile(name, "w", self._rate, self._channels, coding, format=kind))
                # libsndfile loses the comment of a WAV that is longer than some 50 kB.
                if self._comment and kind != "WAV":
                    self._file.comment = self._comment
            self._stack = stack.pop_all()
        return self

    def write(self, block: NDArray[np.float32]) -> None:
        """Write the next samples [N, C].

        Raises:
            OutputError: the disk is full, or the file would be larger than WAV can be.
        """
        self._put(self._limiter.process(block))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        with self._stack:
            if kind is not None:
                return
            self._put(self._limiter.finish())
            if not self.frames:
                raise UsageError(f"{self.path}: a sound has at least one sample")
            with self._refusals():
                self._file.close()
            with sentences(self.path):
                if self._kind[0] == "OGG":
                    _renumber(self._temporary, zlib.crc32(self._comment.encode()))
                elif self._kind[0] == "WAV":
                    _mark_wave(self._temporary, self._comment, self._mark)
            write_atomically(self.path, self._temporary.replace)

    def _put(self, block: NDArray[np.float32]) -> None:
        self.frames += len(block)
        if self._kind[0] == "WAV" and self.frames * self._channels * 2 > _WAVE_LIMIT:
            raise OutputError(f"{self.path}: more than the 4 GB that WAV can hold; save as .flac")
        numbers = to_pcm(block) if self._kind[1] == "PCM_16" else block
        with self._refusals():
            for start in range(0, len(numbers), _PIECE):
                self._file.write(numbers[start : start + _PIECE])

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        """Turn what libsndfile raises into a sentence: it does not say that a disk is full, it writes less than it was given."""
        import soundfile

        try:
            yield
        except (soundfile.SoundFileError, AssertionError) as error:
            why = getattr(error, "error_string", "") or "not all of it was written"
            raise OutputError(
                f"{self.path}: cannot be written ({why}); see that the disk has space, or choose another --output"
            ) from None


def encode(
    blocks: Iterable[NDArray[np.float32]], rate: int, channels: int, path: str | Path, text: str, mark: str
) -> None:  # fmt: skip
    """Write the blocks [N, C] of a sound by the ending of ``path``, with the recipe ``text`` and the digital source type ``mark``.

    Raises:
        OutputError: the place cannot be written.
        UsageError: there is no sample, or the format cannot hold this rate or number of channels.
    """
    with AudioWriter(path, rate, channels, text, mark) as writer:
        for block in blocks:
            writer.write(block)


def read_marks(path: str | Path) -> marks.Marks:
    """The recipe text and the digital source type of a sound file.

    Raises:
        SourceError: there is no such file, or it is no sound.
    """
    path = Path(path)
    with open_file(path, str(path)) as file:
        if file.read(4) in (b"RIFF", b"RF64"):
            return _from_wave(file)
    return marks.from_clip(_comment(path))


def read_text(path: str | Path) -> str | None:
    """The recipe text in a sound file, or None where it carries none.

    Raises:
        SourceError: there is no such file, or it is no sound.
    """
    return read_marks(path).text


def read_mark(path: str | Path) -> str | None:
    """The IPTC digital source type in a sound file, or None where it carries none.

    Raises:
        SourceError: there is no such file, or it is no sound.
    """
    return read_marks(path).mark


def open_file(path: Path, name: str) -> IO[bytes]:
    """Open a file to read it; ``name`` stands in messages.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise SourceError(f"{name}: no such file{similar(path)}") from None
    except IsADirectoryError:
        raise SourceError(f"{name}: a folder, not a sound; give a file") from None
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}") from None


def chunks_of_wave(file: IO[bytes], order: str = "<") -> Iterator[tuple[bytes, int, int]]:
    """Each chunk of a WAV as (name, bytes by its header, bytes that are there); the file then stands at the chunk's content.

    ``order`` is that of the bytes in numbers, as ``struct`` writes it; with ``>`` it reads an AIFF.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(12)
    while len(head := file.read(8)) == 8:
        kind, size = struct.unpack(f"{order}4sI", head)
        start = file.tell()
        yield kind, size, max(0, min(size, end - start))
        if size > end - start:
            return
        file.seek(start + size + size % 2)


# --- inside the files


def _from_wave(file: IO[bytes]) -> marks.Marks:
    text, xmp = "", marks.Marks()
    for kind, _, here in chunks_of_wave(file):
        if kind == b"LIST" and here <= marks.LIMIT:
            text = text or _info_comment(file.read(here))
        elif kind == _XMP and here <= marks.LIMIT:
            xmp = marks.from_xmp(file.read(here))
    said = marks.from_clip(text)
    return marks.Marks(said.text or xmp.text, xmp.mark or said.mark)


def _info_comment(content: bytes) -> str:
    """The comment in a ``LIST`` chunk of kind ``INFO``, or nothing."""
    at = 4
    while content[:4] == b"INFO" and at + 8 <= len(content):
        kind, size = struct.unpack("<4sI", content[at : at + 8])
        if kind == b"ICMT":
            return content[at + 8 : at + 8 + size].split(b"\0")[0].decode("utf-8", "replace")
        at += 8 + size + size % 2
    return ""


def _comment(path: Path) -> str:
    """The comment tag of a sound that is no WAV."""
    import av
    import soundfile

    with contextlib.suppress(soundfile.SoundFileError, OSError), soundfile.SoundFile(str(path)) as sound:
        return str(sound.comment)
    try:
        with path.open("rb") as file, av.open(file, "r", metadata_errors="replace") as container:
            tags = {name.lower(): value for name, value in container.metadata.items()}
            return tags.get("comment", "")
    except (av.error.FFmpegError, OSError):
        raise SourceError(f"{path}: not a sound of a known kind; give a sound such as WAV, FLAC or Ogg") from None


def _mark_wave(path: Path, comment: str, mark: str) -> None:
    """Add the comment and the mark after the last chunk of a WAV."""
    extra = b""
    if comment:
        extra += _chunk(b"LIST", b"INFO" + _chunk(b"ICMT", comment.encode() + b"\0"))
    if mark:
        extra += _chunk(_XMP, marks.packet(mark))
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.write(b"\0" * (end % 2) + extra)
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(content)) + content + b"\0" * (len(content) % 2)


def _renumber(path: Path, serial: int) -> None:
    """Give every page of an Ogg stream the same ``serial``: libsndfile draws one at random, and with it the bytes would differ."""
    with path.open("r+b") as file:
        while len(head := file.read(27)) == 27:
            start = file.tell() - 27
            table = file.read(head[26])
            body = file.read(sum(table))
            plain = head[:14] + struct.pack("<I", serial) + head[18:22] + bytes(4) + head[26:]
            file.seek(start + 14)
            file.write(plain[14:22] + struct.pack("<I", _ogg_checksum(plain + table + body)))
            file.seek(start + 27 + len(table) + len(body))


def _ogg_checksum(page: bytes) -> int:
    """The checksum of an Ogg page: the CRC-32 of zlib on mirrored bits, and without its inversions."""
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
