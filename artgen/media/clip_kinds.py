"""What kind of moving picture a file is by its first bytes; names are not asked."""

from __future__ import annotations

HEAD = 512
"""Bytes that tell."""


def is_picture_format(head: bytes) -> bool:
    """Whether a file begins like one of the picture formats that can move: GIF, PNG, WebP."""
    return head.startswith((b"GIF8", b"\x89PNG\r\n\x1a\n")) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_clip_format(head: bytes) -> bool:
    """Whether a file begins like a container of FFmpeg; nothing else is given to it, so that no playlist is followed."""
    box = head[4:8]
    if box == b"ftyp":
        return head[8:12] not in (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")  # these are pictures
    return (
        box in (b"moov", b"mdat", b"wide", b"free", b"skip")
        or head.startswith((b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x00\x00\x01\xba", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"OggS"))
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or (head[:1] == b"\x47" and head[188:189] == b"\x47")
    )
