"""Text files: which encoding they are in, how they are read piece by piece, and how a text artwork is written.

A file is read twice, once to find out what it is and once for its text, so that a file of any size needs little memory.
"""

from __future__ import annotations

import codecs
import difflib
import io
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np

from artgen.errors import SourceError
from artgen.files import free_name, sentences, write_atomically
from artgen.media.endings import DRAWINGS

ENDINGS = (".txt", ".md")
LIMIT = 2**28
"""Bytes of the largest text file that is opened as a work."""

Normal = Literal["NFC", "NFKC", "none"]

_SAMPLE = 2**17
_PIECE = 2**20
_BY_CHARACTER = 3000
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_KINDS = {
    b"%PDF": "PDF", b"PK\x03\x04": "zip or office document", b"\x89PNG": "PNG picture", b"GIF8": "GIF picture",
    b"\xff\xd8\xff": "JPEG picture", b"RIFF": "WAV, WebP or AVI", b"OggS": "Ogg", b"fLaC": "FLAC", b"ID3": "MP3",
    b"\x1f\x8b": "gzip", b"\x7fELF": "program", b"MZ\x90": "program", b"{\\rtf": "RTF document", b"SQLite": "database",
}  # fmt: skip
# What people's old files are in; more candidates only make more wrong guesses.
_CANDIDATES = ["cp1252", "cp1250", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256", "gb18030", "big5", "shift_jis",
               "euc_jp", "euc_kr"]  # fmt: skip
_LATIN = ("cp1250", "cp1254")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


@dataclass(frozen=True)
class Encoding:
    """How the bytes of a file become text.

    ``name`` is Python's name, ``errors`` ``strict`` or ``replace``, ``remark`` a sentence where the choice was a guess.
    """

    name: str
    errors: Literal["strict", "replace"] = "strict"
    remark: str = ""


def detect(open_: Callable[[], IO[bytes]], name: str, declared: str = "auto") -> Encoding:
    """The encoding of a file that ``open_`` opens: declared, by its byte-order mark, UTF-8 if it is, else the likeliest one.

    Raises:
        SourceError: it is empty, no text, or not in the declared encoding.
    """
    with open_() as file:
        head = file.read(_SAMPLE)
    if not head:
        raise SourceError(f"{name}: empty; give a file with text")
    for magic, kind in _KINDS.items():
        if head.startswith(magic) and (magic in (b"%PDF", b"{\\rtf") or not _clean(head)):
            raise SourceError(f"{name}: a binary file ({kind}), no text; save its text as a .txt file first")
    if declared != "auto":
        _verify(open_, name, declared)
        return Encoding(codecs.lookup(declared).name)
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            _verify(open_, name, encoding)
            return Encoding(encoding)
    if b"\0" in head:
        return _wide(head, name)
    found = _utf8(open_, name)
    if found:
        return found
    return _guess(open_, head, name)


def _utf8(open_: Callable[[], IO[bytes]], name: str) -> Encoding | None:
    """UTF-8, also where a few places of a text with many characters beyond ASCII are broken; None where it is not."""
    broken = good = controls = total = 0
    for piece in _decoded(open_, "utf-8", "replace"):
        total += len(piece)
        if not piece.isascii():
            broken += piece.count("�")
            good += int((np.frombuffer(piece.encode("utf-32-le"), np.uint32) > 0x7F).sum())
        controls += len(_CONTROL.findall(piece)) if total <= _SAMPLE * 8 else 0
    good -= broken
    if broken and good < 20 * broken:
        return None
    if controls > max(1, min(total, _SAMPLE * 8)) // 50:
        raise SourceError(f"{name}: a binary file ({controls} control characters), no text; give a text file")
    if broken:
        places = "1 place is" if broken == 1 else f"{broken} places are"
        return Encoding("utf-8", "replace", f"{name}: {places} not UTF-8 and became U+FFFD")
    return Encoding("utf-8")


def _wide(head: bytes, name: str) -> Encoding:
    """UTF-16 without a mark: the zero bytes, of spaces and line ends at least, are all on one side."""
    zeros = np.flatnonzero(np.frombuffer(head, np.uint8) == 0)
    odd = int((zeros % 2).sum())
    for encoding, share in (("utf-16-le", odd), ("utf-16-be", len(zeros) - odd)):
        if share < 0.98 * len(zeros):
            continue
        try:
            text = head[: len(head) // 2 * 2 - 2].decode(encoding) if len(head) == _SAMPLE else head.decode(encoding)
        except UnicodeDecodeError:
            continue
        strange = sum(1 for letter in text if unicodedata.category(letter) in ("Cn", "Co") or _CONTROL.match(letter))
        if strange <= len(text) // 100:
            return Encoding(encoding, "replace", f"{name}: read as {encoding.upper()} (it has no byte-order mark)")
    raise SourceError(f"{name}: a binary file ({len(zeros)} zero bytes at its start), no text; give a text file or say --encoding")


def _guess(open_: Callable[[], IO[bytes]], head: bytes, name: str) -> Encoding:
    from charset_normalizer import from_bytes

    # Cut after a line, so that no character of the sample is halved.
    sample = head[: head.rfind(b"\n") + 1] or head
    guesses = {guess.encoding: guess.coherence for guess in from_bytes(sample, cp_isolation=_CANDIDATES)}
    order = list(guesses)
    # Its Latin neighbours read the same bytes almost as well; cp1252 is by far the most common.
    if order and order[0] in _LATIN and guesses.get("cp1252", -1.0) >= guesses[order[0]] - 0.02:
        order.insert(0, "cp1252")
    for encoding in [*order[:1], "cp1252", "latin-1"]:
        try:
            _verify(open_, name, encoding)
        except SourceError:
            continue
        controls = len(_CONTROL.findall(sample.decode(encoding, "replace")))
        if controls > len(sample) // 50:
            raise SourceError(f"{name}: a binary file (not UTF-8, {controls} control characters), no text; give a text file")
        return Encoding(encoding, "strict", f"{name}: not UTF-8; read as {encoding}, which is a guess: --encoding says another")
    raise SourceError(f"{name}: its encoding is not known; say it with --encoding, for example cp1252 or gb18030")


def _verify(open_: Callable[[], IO[bytes]], name: str, encoding: str) -> None:
    try:
        for _ in _decoded(open_, encoding, "strict"):
            pass
    except UnicodeError as error:
        reason = error.reason if isinstance(error, UnicodeDecodeError) else str(error)
        told = encoding.removesuffix("-sig")
        raise SourceError(f"{name}: not in the encoding {told} ({reason}); choose another --encoding, or auto") from None


def _decoded(open_: Callable[[], IO[bytes]], encoding: str, errors: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    with open_() as file:
        while data := file.read(_PIECE):
            yield decoder.decode(data)
    yield decoder.decode(b"", final=True)


def lines_of(file: IO[bytes], encoding: Encoding) -> io.TextIOWrapper:
    """The open ``file`` as text, line ends as they are; closing it closes the file."""
    return io.TextIOWrapper(file, encoding.name, encoding.errors, newline="")


def pieces(file: IO[bytes], encoding: Encoding, normal: Normal, *, lowercase: bool = False) -> Iterator[str]:
    """The text of ``file`` in pieces of about a million characters, normalised as a whole would be.

    ``NFC`` and ``NFKC`` also make every line end a line feed; ``none`` leaves all as it is.
    """
    kept = ""
    with lines_of(file, encoding) as stream:
        while piece := stream.read(_PIECE):
            text = kept + piece
            cut = _safe_cut(text) if normal != "none" else len(text)
            kept = text[cut:]
            yield normalised(text[:cut], normal, lowercase=lowercase)
    if kept:
        yield normalised(kept, normal, lowercase=lowercase)


def normalised(text: str, normal: Normal, *, lowercase: bool = False) -> str:
    """``text`` in a normal form of Unicode with lines that end in a line feed; with ``none`` only the case can change."""
    if lowercase:
        text = text.lower()
    if normal == "none":
        return text
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.isascii() else unicodedata.normalize(normal, text)


def _safe_cut(text: str) -> int:
    """The last place in ``text`` over which nothing composes: before a character that joins none before it."""
    for at in range(len(text) - 1, max(len(text) - 4096, 0), -1):
        letter = text[at]
        if letter == "\n" and text[at - 1] == "\r":
            continue
        if letter.isascii() or not _joins(letter):
            return at
    return 0 if len(text) < 2 * _PIECE else len(text)


def _joins(letter: str) -> bool:
    """Whether a character may compose with one before it: marks, the later jamo of a syllable, half-width forms."""
    return unicodedata.category(letter)[0] == "M" or "ᅠ" <= letter <= "ᇿ" or "ﾞ" <= letter <= "ￜ"


# --- works


def decode(path: Path) -> str:
    """The text of a file, in whatever encoding it is found to be; line ends as they are, a byte-order mark left out.

    Raises:
        SourceError: it is binary, too large, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > LIMIT:
            raise SourceError(f"{path}: too large for one work: {size / 2**20:.0f} MB, at most {LIMIT // 2**20} are opened")
        if size == 0:
            return ""
        try:
            found = detect(lambda: path.open("rb"), str(path))
        except SourceError as error:  # --encoding is an option of prepare alone
            raise SourceError(f"{str(error).partition('; ')[0]}; give a text in UTF-8") from None
        with path.open("rb") as file, lines_of(file, found) as stream:
            return stream.read()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from None


def is_text(path: Path) -> bool:
    """Whether a file is text by its beginning, or is named as text and does not begin as a picture or clip does.

    Drawings and pages that are written in words (SVG, PDF) are none.
    """
    if path.suffix.lower() in DRAWINGS:
        return False
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    if _clean(head):
        return True
    return path.suffix.lower() in ENDINGS and not head.startswith(tuple(_KINDS)) and head[4:8] != b"ftyp"


def _clean(head: bytes) -> bool:
    """Whether a beginning is UTF-8 (but for a last character cut in two) without control characters."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and not _CONTROL.search(text)


def sidecar(path: str | os.PathLike[str]) -> Path:
    """Where the recipe of the text in ``path`` is: ``poem.txt`` has ``poem.txt.json``."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")


def free_pair(path: str | os.PathLike[str]) -> Path:
    """``path`` where neither it nor its sidecar has that name yet, else ``name-2``, ``name-3`` …"""
    path = free_name(path)
    number = 2
    first = path
    while os.path.lexists(path) or os.path.lexists(sidecar(path)):
        path = first.with_name(f"{first.stem}-{number}{first.suffix}")
        number += 1
    return path


def encode(characters: str, path: Path, recipe: str) -> None:
    """Write UTF-8 with line feeds to ``path``, and the ``recipe`` (JSON; none where empty) beside it.

    Raises:
        OutputError: the place cannot be written.
        SourceError: the text holds half of a character, which no file can hold.
    """
    data = utf8(characters)
    if recipe:
        write_atomically(sidecar(path), recipe.encode() + b"\n")
    else:
        with sentences(sidecar(path)):
            sidecar(path).unlink(missing_ok=True)  # of a text that is overwritten: it would tell of another
    write_atomically(path, data)


def utf8(characters: str) -> bytes:
    """The characters in UTF-8, every line end a line feed.

    Raises:
        SourceError: they hold half of a character.
    """
    try:
        return characters.replace("\r\n", "\n").replace("\r", "\n").encode()
    except UnicodeEncodeError as error:
        fault = f"half of a character (lone surrogate at character {error.start + 1})"
        raise SourceError(f"the text holds {fault}, which no file can hold; delete it") from None


def read_text(path: Path) -> str | None:
    """The recipe beside a text file, or None where there is none."""
    place = sidecar(path)
    try:
        return place.read_text(encoding="utf-8", errors="replace").strip() or None if place.is_file() else None
    except OSError as error:
        raise SourceError(f"{place}: {error.strerror or error}") from None


def likeness(first: str, second: str) -> float:
    """How much of two texts is the same in the same order, 0 to 1: by characters when short, else by words and blanks."""
    if first == second:
        return 1.0
    long = max(len(first), len(second)) > _BY_CHARACTER
    left, right = ((re.findall(r"\s+|\S{1,24}", side) if long else list(side)) for side in (first, second))
    blocks = difflib.SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    same = sum(len(part) for block in blocks for part in left[block.a : block.a + block.size])
    return 2 * same / (len(first) + len(second))
