"""Whether a sound file is all there, by what its own headers and pages say: a download that broke off still opens."""

from __future__ import annotations

import os
from typing import IO

from artgen.media.audio_files import chunks_of_wave

_PAGE = 65_307
"""Bytes of the largest page of Ogg."""

_LAST = 4  # flag of the page that ends a stream
_OPEN_END = 0xFFFFFFFF - 4096  # what programs write that did not know the length when they began


def missing_end(file: IO[bytes], head: bytes) -> str:
    """What to say of a file that ends before it should; nothing of one that is whole, or of which that cannot be told.

    ``head`` are its first bytes. The file then stands at its beginning.
    """
    if head[:4] in (b"RIFF", b"RIFX", b"FORM"):
        told = _short_chunk(file, b"SSND" if head[:4] == b"FORM" else b"data", "<" if head[:4] == b"RIFF" else ">")
    elif head[:4] == b"OggS":
        told = _open_stream(file)
    elif head[:4] == b".snd" and len(head) >= 12:
        told = _short(int.from_bytes(head[8:12], "big"), file.seek(0, os.SEEK_END) - int.from_bytes(head[4:8], "big"))
    else:
        told = ""
    file.seek(0)
    return told


def tells_frames(file: IO[bytes], head: bytes) -> bool:
    """Whether an MPEG sound has a header that tells its length; without one it is guessed from the size."""
    start = 0
    if head[:3] == b"ID3":
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        start = 10 + size
    file.seek(start)
    frame = file.read(4096)
    return any(sign in frame for sign in (b"Xing", b"Info", b"VBRI"))


def _short_chunk(file: IO[bytes], name: bytes, order: str) -> str:
    return next((_short(size, here) for kind, size, here in chunks_of_wave(file, order) if kind == name), "")


def _short(promised: int, here: int) -> str:
    if not 0 < here < promised < _OPEN_END:
        return ""
    return f"its header promises {promised:,} bytes of sound and {here:,} are there: it was cut off"


def _open_stream(file: IO[bytes]) -> str:
    """The last page of Ogg says that it is the last, and is whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * _PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS")
    page = tail[at:]
    whole = at >= 0 and len(page) > 26 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
    return "" if whole and page[5] & _LAST else "its last page of Ogg is missing: it was cut off"
