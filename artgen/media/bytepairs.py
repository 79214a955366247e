"""The parts of byte-pair tokenizers: how text is cut before pairs are joined, and the signs that stand for bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from artgen.errors import UsageError

_PIECE = 2**16
# Words, numbers of up to three digits, signs and spaces; bounded, because a megabyte of one letter would be one word.
_WORDS = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}[\p{L}\p{M}]{0,63}| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]{1,32}|\s{1,64}(?!\S)|\s{1,64}"
)  # fmt: skip


def utf32(text: str) -> bytes:
    """The code points of ``text``, four bytes each, the low byte first.

    Raises:
        UsageError: it holds half of a character.
    """
    try:
        return text.encode("utf-32-le")
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the text holds half of a character (lone surrogate U+{ord(text[error.start]):04X} at character {error.start + 1}), "
            "which no file can hold; delete it"
        ) from None


def short(pieces: Iterable[str]) -> Iterator[str]:
    """The text in pieces of bounded length, cut before a word where there is one: a word is then never cut by chance."""
    for piece in pieces:
        _check(piece)
        at = 0
        while len(piece) - at > _PIECE:
            cut = max(piece.rfind("\n", at, at + _PIECE), piece.rfind(" ", at + _PIECE // 2, at + _PIECE))
            cut = cut if cut > at else at + _PIECE
            yield piece[at:cut]
            at = cut
        if at < len(piece):
            yield piece[at:]


def _check(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        utf32(text)


def engine(model: Any) -> Any:
    """The library's tokenizer around ``model``: bytes in visible signs, cut into words, no signs with a meaning."""
    from tokenizers import Regex, Tokenizer, pre_tokenizers

    cutter = Tokenizer(model)
    cutter.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return cutter


def visible_bytes() -> dict[str, int]:
    """The sign that stands for each byte in GPT-2's vocabulary: the byte's own where it is visible, else one from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + number): byte for number, byte in enumerate(hidden)}
