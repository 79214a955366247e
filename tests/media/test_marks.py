from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from artgen.artwork import read_recipe
from artgen.errors import SourceError
from artgen.media import image, marks, video
from artgen.recipe import COMPOSITE, GENERATED

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
CLIPS = (".mp4", ".mov", ".webm", ".mkv", ".gif", ".webp")
DST = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"


def told(**more: Any) -> str:
    return json.dumps({"artgen": "0.1.0", "mark": GENERATED, **more}, sort_keys=True, ensure_ascii=False)


SHORT = told(seed=7)
LONG = told(note="".join(chr(0x21 + number * 7 % 90) for number in range(100_000)))
UNICODE = told(note="Übergröße ‘жук’ 🪲 \u2028 ]]> <a href='x'>&amp;&lt;</a> \ue000 \U0010ffff", tab="\t\r\n\0\x1b")
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3)).astype(np.uint8)


def write(path: Path, text: str, mark: str, *, moving: bool) -> marks.Marks:
    if moving:
        video.encode(FRAMES, 10, path, text, mark)
        return video.read_marks(path)
    image.encode(FRAMES[0], path, text, mark)
    return image.read_marks(path)


@pytest.mark.parametrize("text", [SHORT, LONG, UNICODE], ids=["short", "long", "unicode"])
@pytest.mark.parametrize(("ending", "moving"), [(end, False) for end in PICTURES] + [(end, True) for end in CLIPS])
def test_recipe_and_mark_come_back_from_every_kind(tmp_path: Path, ending: str, moving: bool, text: str) -> None:
    found = write(tmp_path / f"a{ending}", text, GENERATED, moving=moving)
    assert found == marks.Marks(text, GENERATED)


@pytest.mark.parametrize(("ending", "moving"), [(end, False) for end in PICTURES] + [(end, True) for end in CLIPS])
def test_the_mark_stands_without_a_recipe(tmp_path: Path, ending: str, moving: bool) -> None:
    assert write(tmp_path / f"a{ending}", "", COMPOSITE, moving=moving).mark == COMPOSITE


@pytest.mark.parametrize(("ending", "moving"), [(end, False) for end in PICTURES] + [(end, True) for end in CLIPS])
def test_nothing_is_written_where_nothing_is_told(tmp_path: Path, ending: str, moving: bool) -> None:
    path = tmp_path / f"a{ending}"
    assert write(path, "", "", moving=moving) == marks.Marks()
    assert b"artgen" not in path.read_bytes()
    assert b"iptc" not in path.read_bytes()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif", ".gif", ".mp4", ".mov"])
def test_other_programs_find_a_well_formed_packet(tmp_path: Path, ending: str) -> None:
    """What exiftool does: cut out the bytes between the packet's wrappers and parse them as XML."""
    path = tmp_path / f"a{ending}"
    write(path, UNICODE, COMPOSITE, moving=ending in (".gif", ".mp4", ".mov"))
    data = path.read_bytes()
    raw = data[data.index(b"<?xpacket begin=") : data.index(b'<?xpacket end="r"?>')]
    found = ElementTree.fromstring(raw.decode("utf-8")).find(f".//{DST}")
    assert found is not None
    assert found.text == COMPOSITE


def test_pillow_alone_reads_the_recipe_of_a_png(tmp_path: Path) -> None:
    image.encode(FRAMES[0], tmp_path / "a.png", UNICODE, GENERATED)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["artgen:recipe"] == UNICODE
        assert GENERATED in picture.info["XML:com.adobe.xmp"]


@pytest.mark.parametrize("odd", ["\ufffe", "\uffff", "\ud800", "\x07"])
def test_what_xml_cannot_hold_becomes_its_json_escape(tmp_path: Path, odd: str) -> None:
    text = json.dumps({"note": odd}, ensure_ascii=False).replace("\\u0007", "\x07")
    for ending in (".png", ".jpg", ".tif"):
        found = write(tmp_path / f"a{ending}", text, GENERATED, moving=False).text
        assert found is not None
        assert json.loads(found) == {"note": odd}


def test_carriage_returns_survive_xml() -> None:
    assert marks.from_xmp(marks.packet("", '{\r\n"a": 1}')).text == '{\r\n"a": 1}'


# --- PNG


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(extra: bytes, *, after_pixels: bool = False) -> io.BytesIO:
    data = image.png_bytes(FRAMES[0])
    at = len(data) - 12 if after_pixels else 33
    return io.BytesIO(data[:at] + extra + data[at:])


@pytest.mark.parametrize("after_pixels", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_png_text_is_found_wherever_and_however_other_programs_put_it(after_pixels: bool, packed: bool) -> None:
    raw = UNICODE.encode()
    body = b"artgen:recipe\0" + (b"\1\0" if packed else b"\0\0") + b"en\0\0" + (zlib.compress(raw) if packed else raw)
    assert marks.from_png(png_with(chunk(b"iTXt", body), after_pixels=after_pixels)).text == UNICODE


def test_png_plain_text_chunks_are_read() -> None:
    text = '{"mark":"é"}'
    assert marks.from_png(png_with(chunk(b"tEXt", b"artgen:recipe\0" + text.encode("latin-1")))).text == text
    packed = b"artgen:recipe\0\0" + zlib.compress(text.encode("latin-1"))
    assert marks.from_png(png_with(chunk(b"zTXt", packed))).text == text


def test_png_text_that_unpacks_without_end_is_left_alone() -> None:
    bomb = b"artgen:recipe\0\1\0\0\0" + zlib.compress(b"{" * (marks.LIMIT + 1))
    assert marks.from_png(png_with(chunk(b"iTXt", bomb))) == marks.Marks()
    assert marks.from_png(png_with(chunk(b"iTXt", b"artgen:recipe\0\1\0\0\0not deflate"))) == marks.Marks()


def test_a_png_cut_off_in_its_pixels_still_tells_its_recipe(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image.encode(FRAMES[0], path, SHORT, GENERATED)
    path.write_bytes(path.read_bytes()[:-300])
    assert image.read_text(path) == SHORT


# --- XMP


def wrapped(inner: str, attributes: str = "") -> str:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<r:Description xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {attributes}>{inner}'
        "</r:Description></r:RDF></x:xmpmeta>"
    )


@pytest.mark.parametrize(
    "xmp",
    [
        wrapped(f"<i:DigitalSourceType>\n {GENERATED} </i:DigitalSourceType>"),
        wrapped("", f'i:DigitalSourceType="{GENERATED}"'),
        wrapped(f'<i:DigitalSourceType r:resource="{GENERATED}"/>'),
        wrapped(f"<i:DigitalSourceType>{GENERATED}</i:DigitalSourceType>") + " " * 2000 + '<?xpacket end="w"?>\0\0',
        '<?xml version="1.0" encoding="UTF-8"?>' + wrapped("", f'i:DigitalSourceType="{GENERATED}"'),
    ],
)
def test_the_mark_is_read_as_other_programs_write_it(xmp: str) -> None:
    assert marks.from_xmp(xmp).mark == GENERATED
    assert marks.from_xmp(xmp.encode()).mark == GENERATED


@pytest.mark.parametrize(
    "xmp",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]>' + wrapped("", f'i:DigitalSourceType="{GENERATED}"'),
        wrapped("<i:DigitalSourceType>")[:-20],
        wrapped(f"<i:DigitalSourceType>{GENERATED}</i:DigitalSourceType>" + " " * marks.LIMIT),
        "",
        "\0\1\2",
    ],
    ids=["doctype", "cut off", "too large", "empty", "noise"],
)
def test_a_packet_that_cannot_be_trusted_says_nothing(xmp: str) -> None:
    assert marks.from_xmp(xmp) == marks.Marks()


def test_a_recipe_may_speak_of_a_doctype() -> None:
    text = told(note="<!DOCTYPE html>")
    assert marks.from_xmp(marks.packet(GENERATED, text)) == marks.Marks(text, GENERATED)


# --- JPEG


def test_a_long_recipe_in_a_jpeg_follows_the_extended_xmp_layout(tmp_path: Path) -> None:
    """Read by the words of the specification, not by our own reader: GUID, full length, offset, content."""
    path = tmp_path / "a.jpg"
    image.encode(FRAMES[0], path, LONG, GENERATED)
    with Image.open(path) as picture:
        picture.load()
        segments = [body for name, body in getattr(picture, "applist", []) if name == "APP1"]
    assert all(len(body) <= 65_533 for body in segments)
    head = b"http://ns.adobe.com/xmp/extension/\0"
    parts = [body[len(head) :] for body in segments if body.startswith(head)]
    assert len(parts) > 1
    (guid,) = {part[:32] for part in parts}
    (length,) = {int.from_bytes(part[32:36], "big") for part in parts}
    whole = b"".join(part[40:] for part in sorted(parts, key=lambda part: part[36:40]))
    assert len(whole) == length
    assert guid in segments[0]
    assert GENERATED.encode() in segments[0]
    ElementTree.fromstring(whole.decode())


def test_a_damaged_piece_of_extended_xmp_costs_the_recipe_not_the_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    image.encode(FRAMES[0], path, LONG, GENERATED)
    data = bytearray(path.read_bytes())
    data[data.rindex(b"http://ns.adobe.com/xmp/extension/\0") + 100] ^= 1
    path.write_bytes(bytes(data))
    assert image.read_marks(path) == marks.Marks(None, GENERATED)


def test_jpeg_keeps_its_header_first(tmp_path: Path) -> None:
    image.encode(FRAMES[0], tmp_path / "a.jpg", SHORT, GENERATED)
    assert (tmp_path / "a.jpg").read_bytes()[:4] == b"\xff\xd8\xff\xe0"


# --- GIF


def test_a_gif_reader_that_knows_no_xmp_walks_past_it(tmp_path: Path) -> None:
    """Blocks as the GIF standard chains them: after the XMP come the comment and the pictures."""
    path = tmp_path / "a.gif"
    video.encode(FRAMES, 10, path, UNICODE, GENERATED)
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == 3
        assert picture.info["comment"] == UNICODE.encode()


def test_somebody_elses_comment_is_no_recipe(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.gif", comment=b"made with love")
    assert image.read_marks(tmp_path / "a.gif") == marks.Marks()


@pytest.mark.parametrize("size", [0, 6, 10, 13, 20, 40, 100])
def test_a_gif_cut_off_anywhere_ends_the_search(size: int, tmp_path: Path) -> None:
    video.encode(FRAMES, 10, tmp_path / "a.gif", SHORT, GENERATED)
    assert marks.from_gif((tmp_path / "a.gif").read_bytes()[:size]) == marks.Marks()


# --- clips


def test_the_comment_of_a_clip_always_has_the_mark() -> None:
    assert json.loads(marks.clip_comment('{"a":"ü"}', GENERATED)) == {"a": "ü", "mark": GENERATED}
    assert json.loads(marks.clip_comment("", GENERATED)) == {"mark": GENERATED}
    assert json.loads(marks.clip_comment("{}", GENERATED)) == {"mark": GENERATED}
    assert marks.clip_comment(SHORT, GENERATED) == SHORT
    assert marks.clip_comment("", "") == ""
    with pytest.raises(ValueError, match="a JSON object"):
        marks.clip_comment("words", GENERATED)


@pytest.mark.parametrize("comment", ["", "filmed by Ada", "[1]", "{", "[" * 100_000])
def test_other_comments_of_a_clip_are_no_recipe(comment: str) -> None:
    assert marks.from_clip(comment) == marks.Marks()


def test_text_chunks_are_in_the_order_that_pillow_writes() -> None:
    info = marks.png_info(SHORT, GENERATED)
    assert isinstance(info, PngImagePlugin.PngInfo)
    assert [body.split(b"\0")[0] for _, body, *_ in info.chunks] == [b"artgen:recipe", b"XML:com.adobe.xmp"]


def test_what_is_named_as_a_clip_and_is_none_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("Dear diary, " * 20)
    with pytest.raises(SourceError, match=r"a\.mp4: not a clip of a known kind; give a clip such as MP4, WebM or GIF"):
        read_recipe(tmp_path / "a.mp4")
