"""What kind of sound a file is by its first bytes; names are not asked."""

from __future__ import annotations

import struct
from pathlib import Path

_VIDEO_IN_OGG = (b"theora", b"BBCD\0", b"\x01video")
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"


def is_sound(path: str | Path) -> bool:
    """Whether a file holds sound and no moving pictures, by its content."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    if is_wave(head) or head.startswith((b"fLaC\0", b".snd\0", b"caff\0", b"riff\x2e\x91")):
        return True
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    if head[:4] == b"OggS":
        return not any(sign in head for sign in _VIDEO_IN_OGG)
    if head[4:8] == b"ftyp" and head[8:11] in (b"M4A", b"M4B"):
        return True
    return _only_sound(path) if is_clip(head) else is_mpeg(head)


def is_wave(head: bytes) -> bool:
    """Whether a file begins like a WAV, of either byte order or of more than 4 GB."""
    return head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE"


def is_clip(head: bytes) -> bool:
    """Whether a file begins like a container that FFmpeg reads and libsndfile does not."""
    pictures = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")
    return (
        (head[4:8] == b"ftyp" and head[8:12] not in pictures)
        or head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip")
        or head.startswith((b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x00\x00\x01\xba", _ASF))
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or (head[:4] == b"OggS" and any(sign in head for sign in _VIDEO_IN_OGG))
        or (head[:1] == b"\x47" and head[188:189] == b"\x47")
    )


def is_mpeg(head: bytes) -> bool:
    """Whether a file begins with a frame of MPEG sound (layers 2 and 3, or AAC); the signs of UTF-16 look almost like one."""
    if head[:3] == b"ID3" and head[3:4] < b"\x10":  # else somebody writes about it
        return True
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    if head[1] & 0xF6 == 0xF0:
        return True
    (word,) = struct.unpack(">I", head[:4])
    version, layer, bits, rate = word >> 19 & 3, word >> 17 & 3, word >> 12 & 15, word >> 10 & 3
    return version != 1 and layer in (1, 2) and bits not in (0, 15) and rate != 3


def _only_sound(path: Path) -> bool:
    import av
    from av.stream import Disposition

    try:
        with path.open("rb") as file, av.open(file, "r", metadata_errors="replace") as container:
            moving = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
            return bool(container.streams.audio) and not moving
    except (av.error.FFmpegError, OSError):
        return False
