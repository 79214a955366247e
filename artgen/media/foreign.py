"""Files that people have among their pictures and that are none artgen reads: what each is, and what to do with it."""

from __future__ import annotations

import contextlib
import re
from functools import cache
from pathlib import PurePath

from artgen.media import clip_kinds, sound_kinds

HEAD = 512
"""Bytes that tell."""

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
RAW = frozenset(
    {".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf",
     ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"}
)  # fmt: skip
"""Endings of what cameras write from their sensors; most are TIFF files whose first picture is a small preview."""

_EXPORT = "export it as PNG or JPEG"
_PHOTOSHOP = f"a Photoshop file of a kind that is not read ({_EXPORT})"
_GIMP = f"a GIMP file, which is not read ({_EXPORT})"
_PDF = f"a PDF document, not a picture ({_EXPORT}, page by page)"
_POSTSCRIPT = f"a drawing in PostScript, which is not read ({_EXPORT})"
_RAW_SIGNS = (b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FOVb")
_SIGNS = (
    (b"%PDF", _PDF),
    (b"8BPS", _PHOTOSHOP),
    (b"gimp xcf", _GIMP),
    (b"%!PS", _POSTSCRIPT),
    (b"\xff\x0a", f"a JPEG XL picture, which is not read ({_EXPORT})"),
    (b"\0\0\0\x0cJXL ", f"a JPEG XL picture, which is not read ({_EXPORT})"),
    (b"v/1\x01", f"an OpenEXR picture, which is not read ({_EXPORT})"),
    (b"#?RADIANCE", f"a Radiance HDR picture, which is not read ({_EXPORT})"),
    (b"PK\x03\x04", "a zip archive by its content (give its name the ending .zip, and give it as a source of its own)"),
)
_NAMES = {".psd": _PHOTOSHOP, ".psb": _PHOTOSHOP, ".xcf": _GIMP, ".pdf": _PDF, ".eps": _POSTSCRIPT}
_SVG = re.compile(rb"\s*(<\?xml.{0,400}?)?(<!--.*?-->\s*)*(<!DOCTYPE svg.{0,200}?>\s*)?<svg\b", re.DOTALL)
_PAGE = re.compile(rb"\s*<(!doctype html|html)\b", re.IGNORECASE)


def told(head: bytes, name: str) -> str:
    """What a file is that Pillow does not know, by its first bytes, else by its name, and what to do; nothing if nobody knows."""
    ending = PurePath(name).suffix.lower()
    if is_heic(head):
        return 'a HEIC photo, which is not read (export it as JPEG, or type: pip install "artgen[heic]")'
    if is_raw(head, name):
        return camera_raw()
    if _SVG.match(head) or ending == ".svgz":
        return "an SVG drawing, which has no pixels (export it as PNG)"
    if _PAGE.match(head):
        return "a web page, not a picture (download the picture itself)"
    for sign, sentence in _SIGNS:
        if head.startswith(sign):
            return sentence
    if clip_kinds.is_clip_format(head) and not head.startswith(b"OggS"):
        return "a clip, not a picture (artgen video prepare takes it)"
    if sound_kinds.is_wave(head) or head.startswith((b"fLaC", b"OggS")):
        return "a sound, not a picture (artgen audio prepare takes it)"
    return _NAMES.get(ending, "")


def is_heic(head: bytes) -> bool:
    """Whether a file begins like a photo of recent telephones."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


def is_raw(head: bytes, name: str) -> bool:
    """Whether a file is what a camera wrote from its sensor: by its content, or a TIFF by its content and raw by its name."""
    if head.startswith(_RAW_SIGNS) or head[8:10] == b"CR" or (head[4:8] == b"ftyp" and head[8:12] == b"crx "):
        return True
    return PurePath(name).suffix.lower() in RAW and head.startswith((b"II", b"MM"))


def camera_raw() -> str:
    """What to say of a camera's raw file."""
    return "a camera's raw file, which is not read (develop it to JPEG or TIFF in a photo editor)"


@cache
def learn_heic() -> None:
    """Teach Pillow to read HEIC where a package that can is installed."""
    for package in ("pi_heif", "pillow_heif"):
        with contextlib.suppress(ImportError):
            __import__(package).register_heif_opener()
            return
