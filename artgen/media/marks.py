"""Where the recipe and the mark of AI-made media stand in each kind of file, and how they are read back.

======  ==========================================  ================================================
kind    recipe                                      mark (IPTC digital source type)
======  ==========================================  ================================================
PNG     iTXt ``artgen:recipe``                      XMP packet in iTXt ``XML:com.adobe.xmp``
JPEG    XMP, extended where it exceeds 64 kB        XMP in APP1
WebP    XMP chunk                                   XMP chunk
TIFF    XMP in tag 700                              XMP in tag 700
GIF     comment extension                           XMP application extension
clips   standard ``comment`` tag                    key ``mark`` of that JSON; MP4 and MOV: XMP too
======  ==========================================  ================================================

The recipe is JSON, so a character that XML cannot hold is written as its JSON escape, the same in every kind.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from artgen.recipe import KEY

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

__all__ = ["Marks", "clip_comment", "from_clip", "from_gif", "from_jpeg", "from_png", "from_xmp", "into_gif", "into_jpeg", "packet"]

LIMIT = 16 * 1024 * 1024
"""Bytes of metadata that are looked at; more is nobody's recipe and is left alone."""

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_NOTE = "http://ns.adobe.com/xmp/note/"
_OURS = "urn:artgen:xmp:1.0/"
_FIELDS = {
    f"{{{_IPTC}}}DigitalSourceType": "mark",
    f"{{{_OURS}}}recipe": "text",
    f"{{{_NOTE}}}HasExtendedXMP": "extended",
}
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_PNG_XMP = "XML:com.adobe.xmp"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXTENDED = b"http://ns.adobe.com/xmp/extension/\0"
_JPEG_SEGMENT = 65_533
_GIF_XMP = b"XMP DataXMP"
# A reader that does not know XMP walks it as sub-blocks; wherever that walk ends, this ramp leads it to the closing zero.
_GIF_TRAILER = bytes([1, *range(255, -1, -1), 0])
_MP4_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


@dataclass(frozen=True)
class Marks:
    """What a file says about how it was made: the recipe text and the digital source type, None where it says nothing."""

    text: str | None = None
    mark: str | None = None


def legal(text: str) -> str:
    """``text`` (JSON) with the characters that XML and UTF-8 cannot hold as JSON escapes; its meaning stays."""
    return _ILLEGAL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def packet(mark: str, text: str = "", *, extended: str = "") -> bytes:
    """An XMP packet with the digital source type ``mark`` and the recipe ``text``; an empty one is left out.

    ``extended`` is the GUID of an extended packet in the same JPEG.
    """
    spaces = {"Iptc4xmpExt": _IPTC, "artgen": _OURS, "xmpNote": _NOTE}
    values = {"Iptc4xmpExt:DigitalSourceType": mark, "artgen:recipe": text, "xmpNote:HasExtendedXMP": extended}
    lines = [f"<{name}>{_escaped(legal(value))}</{name}>" for name, value in values.items() if value]
    declared = "".join(f' xmlns:{prefix}="{uri}"' for prefix, uri in spaces.items())
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{_RDF}"><rdf:Description rdf:about=""{declared}>'
        f"{''.join(lines)}</rdf:Description></rdf:RDF></x:xmpmeta>"
        '<?xpacket end="r"?>'
    ).encode()


def from_xmp(xmp: bytes | str) -> Marks:
    """What an XMP packet says; a packet that is too large, not well formed or has a DOCTYPE says nothing."""
    found = _fields(xmp)
    return _marks(found.get("text"), found.get("mark"))


def png_info(text: str, mark: str) -> PngInfo:
    """The text chunks that Pillow writes into a PNG."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if text:
        info.add_itxt(KEY, legal(text))
    if mark:
        info.add_itxt(_PNG_XMP, packet(mark).decode())
    return info


def from_png(file: BinaryIO) -> Marks:
    """Read the text chunks of a PNG wherever they stand; pixels are skipped, so a damaged picture still tells its recipe."""
    found: dict[str, str] = {}
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"iTXt", b"tEXt", b"zTXt") and length <= LIMIT:
            key, _, rest = file.read(length).partition(b"\0")
            name = key.decode("latin-1")
            if name in (KEY, _PNG_XMP) and name not in found and (text := _png_text(kind, rest)) is not None:
                found[name] = text
            file.seek(4, 1)
        else:
            file.seek(length + 4, 1)
    xmp = from_xmp(found[_PNG_XMP]) if _PNG_XMP in found else Marks()
    return _marks(found.get(KEY) or xmp.text, xmp.mark)


def into_jpeg(data: bytes, text: str, mark: str) -> bytes:
    """A JPEG with recipe and mark as XMP; a recipe too long for one segment goes into extended XMP, which readers join."""
    if not text and not mark:
        return data
    whole = packet(mark, text)
    extra = b""
    if len(_JPEG_XMP) + len(whole) > _JPEG_SEGMENT:
        long = packet("", text)
        guid = _guid(long)
        whole = packet(mark, extended=guid)
        size = 65_400  # the largest piece that the XMP specification, part 3, allows
        for start in range(0, len(long), size):
            place = guid.encode() + struct.pack(">II", len(long), start)
            extra += _segment(_JPEG_EXTENDED + place + long[start : start + size])
    jfif = 4 + int.from_bytes(data[4:6], "big") if data[2:4] == b"\xff\xe0" else 2
    return data[:jfif] + _segment(_JPEG_XMP + whole) + extra + data[jfif:]


def from_jpeg(segments: Iterable[tuple[str, bytes]]) -> Marks:
    """Read the XMP of a JPEG, extended or not, from its (name, content) segments."""
    pieces: dict[int, bytes] = {}
    found: dict[str, str] = {}
    kept = [content for name, content in segments if name == "APP1"]
    for content in kept:
        if content.startswith(_JPEG_XMP):
            found = _fields(content[len(_JPEG_XMP) :]) | found
    start = len(_JPEG_EXTENDED)
    for content in kept:
        if content.startswith(_JPEG_EXTENDED) and content[start : start + 32].decode("latin-1") == found.get("extended"):
            pieces[int.from_bytes(content[start + 36 : start + 40], "big")] = content[start + 40 :]
    long = b"".join(pieces[place] for place in sorted(pieces))
    if long and _guid(long) == found["extended"]:
        found = _fields(long) | found
    return _marks(found.get("text"), found.get("mark"))


def into_gif(data: bytes, text: str, mark: str) -> bytes:
    """A GIF with the recipe as a comment and the mark as XMP, both before the first picture."""
    extra = b""
    if mark:
        extra += b"\x21\xff\x0b" + _GIF_XMP + packet(mark) + _GIF_TRAILER
    if text:
        raw = legal(text).encode()
        blocks = (raw[start : start + 255] for start in range(0, len(raw), 255))
        extra += b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\0"
    head = _gif_head(data)
    return data[:head] + extra + data[head:]


def from_gif(data: bytes) -> Marks:
    """Read the comments and the XMP of a GIF; the recipe is the first comment that is a JSON object."""
    text, mark = None, None
    for label, name, content in _gif_extensions(data):
        if label == 0xFE and text is None and content.startswith(b"{"):
            text = content.decode("utf-8", "replace")
        elif label == 0xFF and name == _GIF_XMP:
            mark = mark or from_xmp(content[: -len(_GIF_TRAILER)]).mark
    return _marks(text, mark)


def clip_comment(text: str, mark: str) -> str:
    """The JSON for a clip's ``comment`` tag: the recipe, with the key ``mark`` added where it is missing."""
    told = _object(text or "{}")
    if not mark or (told and "mark" in told):
        return legal(text)
    if told is None:
        raise ValueError("the recipe of a clip is a JSON object")
    return legal(json.dumps({**told, "mark": mark}, sort_keys=True, ensure_ascii=False, separators=(",", ":")))


def from_clip(comment: str) -> Marks:
    """What the ``comment`` tag of a clip says; a comment that is no JSON object is somebody's words and no recipe."""
    return _marks(comment, None) if _object(comment) is not None else Marks()


def mp4_box(mark: str) -> bytes:
    """A top-level ``uuid`` box with the mark as XMP: where MP4 and MOV keep it for readers of IPTC metadata."""
    xmp = packet(mark)
    return struct.pack(">I4s", 24 + len(xmp), b"uuid") + _MP4_XMP + xmp


def _marks(text: str | None, mark: str | None) -> Marks:
    inner = (_object(text or "") or {}).get("mark")
    return Marks(text or None, mark or (inner if isinstance(inner, str) else None))


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object that ``text`` is, or None."""
    try:
        told = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _escaped(text: str) -> str:
    """``text`` as the content of an XML element; a bare carriage return would be read back as a newline."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _fields(xmp: bytes | str) -> dict[str, str]:
    """The fields of a packet that we know, written as elements or (as other programs rewrite them) as attributes."""
    from xml.etree import ElementTree

    if len(xmp) > LIMIT:
        return {}
    document = (xmp.decode("utf-8", "replace") if isinstance(xmp, bytes) else xmp).strip("\0 \ufeff\r\n\t")
    if "<!DOCTYPE" in document:  # the door of entity expansion; XMP never has one
        return {}
    try:
        root = ElementTree.fromstring(document)
    except (ElementTree.ParseError, ValueError):
        return {}
    found: dict[str, str] = {}
    for node in root.iter():
        inner = (node.text or "").strip() or node.get(f"{{{_RDF}}}resource", "")
        for name, value in [*node.attrib.items(), (node.tag, inner)]:
            if name in _FIELDS and value:
                found.setdefault(_FIELDS[name], value)
    return found


def _png_text(kind: bytes, rest: bytes) -> str | None:
    """The text of a chunk after its keyword; None where it is damaged or unpacks to more than ``LIMIT``."""
    if kind == b"tEXt":
        return rest.decode("latin-1")
    packed, raw = (True, rest[1:]) if kind == b"zTXt" else (rest[:1] == b"\1", rest[2:].partition(b"\0")[2].partition(b"\0")[2])
    if packed:
        unpack = zlib.decompressobj()
        try:
            raw = unpack.decompress(raw, LIMIT)
        except zlib.error:
            return None
        if unpack.unconsumed_tail:
            return None
    return raw.decode("latin-1" if kind == b"zTXt" else "utf-8", "replace")


def _segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content


def _guid(long: bytes) -> str:
    return hashlib.md5(long, usedforsecurity=False).hexdigest().upper()


def _gif_head(data: bytes) -> int:
    """Where the blocks of a GIF begin: after the header, the screen descriptor and the global palette."""
    return 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)


def _gif_extensions(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Each extension of a GIF as (label, name, content); a damaged file ends the walk.

    XMP is no chain of sub-blocks, so for it the content is the raw bytes, trailer included.
    """
    try:
        at = _gif_head(data)
        while data[at] in (0x21, 0x2C):
            if data[at] == 0x2C:
                flags = data[at + 9]
                at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)  # descriptor, palette, LZW code size
                at, _ = _gif_blocks(data, at)
                continue
            label, start = data[at + 1], at + 2
            named = label == 0xFF
            name = data[start + 1 : start + 1 + data[start]] if named else b""
            start += 1 + data[start] if named else 0
            at, content = _gif_blocks(data, start)
            yield label, name, data[start:at] if name == _GIF_XMP else content
    except IndexError:
        return


def _gif_blocks(data: bytes, at: int) -> tuple[int, bytes]:
    """Where the chain of sub-blocks that begins at ``at`` ends, and what is in it."""
    blocks = []
    while size := data[at]:
        blocks.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return at + 1, b"".join(blocks)
