"""Text to numbers and back: one token a character, or byte pairs learned from the text; no torch.

Every tokenizer can say any text: what it has no token for is spelled in bytes. The first four ids mean no text at all.
"""

from __future__ import annotations

import codecs
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from artgen.errors import ModelError, OptionError, UsageError
from artgen.files import write_atomically
from artgen.media.bytepairs import engine, short, utf32, visible_bytes

END = 0
"""Between two documents: what was before says nothing about what comes."""

PREFIX = 1
SUFFIX = 2
MIDDLE = 3
"""Before the text that precedes a gap, the text that follows it, and what fills it (fill-in-the-middle)."""

SPECIALS = 4
FILE = "tokenizer.json"
LARGEST = 2**20
"""The most ids that any tokenizer may have."""

_FORMAT = 1
_HALVES = 16
_FIRST = SPECIALS + _HALVES
_WHOLE_ALPHABET = 1000
_MOST_CHARACTERS = 8000

Kind = Literal["char", "bpe"]


class Decoder(ABC):
    """Text from ids that come one by one; half a character is kept back until it is whole."""

    @abstractmethod
    def feed(self, token: int) -> str:
        """The text that is complete now that ``token`` has come; empty while a character is not."""

    @abstractmethod
    def flush(self) -> str:
        """What was kept back, U+FFFD for each broken part of it; the decoder can then be used again."""


class Tokenizer(ABC):
    """Base of :class:`CharTokenizer` and :class:`BpeTokenizer`: ids 0 to ``size - 1``, the first four of them special."""

    kind: ClassVar[Kind]

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of ids."""

    @abstractmethod
    def encode(self, text: str) -> NDArray[np.int64]:
        """The ids [N] of ``text``; special ids never come from text.

        Raises:
            UsageError: the text holds half of a character (a lone surrogate), which no file can hold.
        """

    def encode_all(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """The ids of each of ``texts``."""
        return [self.encode(text) for text in texts]

    @abstractmethod
    def decode(self, ids: Iterable[int] | NDArray[np.integer[Any]]) -> str:
        """The text of ids: special ids vanish, malformed bytes become U+FFFD.

        Raises:
            UsageError: an id is none of this tokenizer's.
        """

    @abstractmethod
    def stream(self) -> Decoder:
        """A decoder for ids that come one by one; all it gives together is what :meth:`decode` gives."""

    @abstractmethod
    def lengths(self) -> NDArray[np.int64]:
        """UTF-8 bytes of every id, int64 [size], 0 for special ids.

        Half a byte (two ids spell one byte of a character that has no token) counts 0; :meth:`units` counts exactly.
        """

    @abstractmethod
    def units(self, ids: NDArray[np.integer[Any]]) -> tuple[int, int]:
        """The characters and the UTF-8 bytes that well-formed ``ids`` stand for, for losses per character and per byte."""

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The tokenizer as JSON: the content of ``tokenizer.json``."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write :meth:`to_bytes` to ``path``, atomically.

        Raises:
            OutputError: the place cannot be written.
        """
        write_atomically(path, self.to_bytes())

    def _checked(self, ids: Iterable[int] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        array = np.asarray(ids if isinstance(ids, np.ndarray) else list(ids), np.int64).reshape(-1)
        wrong = array[(array < 0) | (array >= self.size)]
        if wrong.size:
            raise _foreign(int(wrong[0]), self.size)
        return array


class CharTokenizer(Tokenizer):
    """One id a character; a character that is not among ``characters`` is spelled in half bytes, so that any can be said.

    Ids 4 to 19 are half bytes (four bits, the high half first), ids from 20 the ``characters`` in their order.
    """

    kind: ClassVar[Kind] = "char"

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._codes = np.frombuffer(utf32(characters), np.uint32)
        if len(set(characters)) != len(characters):
            raise UsageError("a character occurs twice in the vocabulary; give each once")

    @classmethod
    def train(cls, text: str, size: int | None = None) -> Self:
        """The tokenizer of the characters of ``text``; ``size`` as in :meth:`from_counts`.

        Raises:
            OptionError: ``size`` leaves no room for characters.
        """
        codes, counts = np.unique(np.frombuffer(utf32(text), np.uint32), return_counts=True)
        return cls.from_counts(dict(zip(codes.tolist(), counts.tolist(), strict=True)), size)

    @classmethod
    def from_counts(cls, counts: Mapping[int, int], size: int | None = None) -> Self:
        """The tokenizer of the characters with these code points and counts, the most frequent first.

        With ``size`` ids in all, the rarest characters are left to half bytes. Without, an alphabet of up to 1,000
        characters is kept whole; of a larger one (Chinese), those seen twice at least, at most 8,000: a character seen once
        has nothing to learn from.

        Raises:
            OptionError: ``size`` leaves no room for characters.
        """
        order = sorted(counts, key=lambda code: (-counts[code], code))
        if size is not None:
            if size <= _FIRST:
                raise OptionError(f"--vocabulary takes {_FIRST + 1} or more for the tokenizer char, not {size}")
            order = order[: size - _FIRST]
        elif len(order) > _WHOLE_ALPHABET:
            order = [code for code in order if counts[code] > 1][:_MOST_CHARACTERS]
        return cls("".join(map(chr, order)))

    @property
    def size(self) -> int:
        """Four special ids, sixteen half bytes and the characters."""
        return _FIRST + len(self.characters)

    @cached_property
    def _table(self) -> NDArray[np.int32]:
        # Zeros cost no memory until they are touched; 0 (END) is no character's, so it says "not among them".
        table = np.zeros(0x110000, np.int32)
        table[self._codes] = np.arange(_FIRST, self.size, dtype=np.int32)
        return table

    def encode(self, text: str) -> NDArray[np.int64]:
        """One id a character, two for each byte of a character without an id."""
        codes = np.frombuffer(utf32(text), np.uint32)
        ids = self._table[codes].astype(np.int64)
        unknown = ids == 0
        if not unknown.any():
            return ids
        strange = codes[unknown]
        width = 1 + (strange > 0x7F).astype(np.int64) + (strange > 0x7FF) + (strange > 0xFFFF)
        counts = np.ones(len(ids), np.int64)
        counts[unknown] = 2 * width
        spelled = np.frombuffer(strange.tobytes().decode("utf-32-le").encode(), np.uint8)
        halves = np.stack([spelled >> 4, spelled & 15], axis=1).reshape(-1).astype(np.int64) + SPECIALS
        result = np.repeat(ids, counts)
        result[np.repeat(unknown, counts)] = halves
        return result

    def decode(self, ids: Iterable[int] | NDArray[np.integer[Any]]) -> str:
        """The characters, half bytes joined; a half without its other half is U+FFFD."""
        array = self._checked(ids)
        array = array[array >= SPECIALS]
        half = array < _FIRST
        if not half.any():
            return self._characters(array)
        edges = np.flatnonzero(np.diff(half)) + 1
        runs = np.split(array, edges)
        return "".join(_joined(run - SPECIALS) if run[0] < _FIRST else self._characters(run) for run in runs)

    def _characters(self, ids: NDArray[np.int64]) -> str:
        return self._codes[ids - _FIRST].tobytes().decode("utf-32-le")

    def stream(self) -> Decoder:
        """A decoder that gives each character at once, and a spelled one with its last half byte."""
        return _CharDecoder(self)

    def lengths(self) -> NDArray[np.int64]:
        """1 to 4 for a character."""
        widths = 1 + (self._codes > 0x7F).astype(np.int64) + (self._codes > 0x7FF) + (self._codes > 0xFFFF)
        return np.concatenate([np.zeros(_FIRST, np.int64), widths])

    def units(self, ids: NDArray[np.integer[Any]]) -> tuple[int, int]:
        """One character an id, and those that are spelled."""
        array = self._checked(ids)
        array = array[array >= SPECIALS]
        half = array < _FIRST
        spelled = array[half] - SPECIALS
        # Text spells whole bytes, so the halves pair up even with the characters between them taken out.
        high = spelled[: len(spelled) // 2 * 2 : 2]
        starts = int(((high < 8) | (high > 11)).sum())
        return int((~half).sum()) + starts, int(self.lengths()[array].sum()) + len(high)

    def to_bytes(self) -> bytes:
        """The characters in the order of their ids."""
        return msgspec.json.encode({"format": _FORMAT, "kind": self.kind, "characters": self.characters})


class BpeTokenizer(Tokenizer):
    """Byte pairs: ids from 4 stand for runs of bytes that were frequent in the text it was trained on.

    ``tokens`` are their spellings in the usual visible alphabet for bytes, ``merges`` the pairs in the order learned.
    Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units"; bytes as in GPT-2.
    """

    kind: ClassVar[Kind] = "bpe"

    def __init__(self, tokens: list[str], merges: list[tuple[str, str]]) -> None:
        alphabet = visible_bytes()
        self.tokens = tokens
        self.merges = merges
        try:
            self._bytes = [bytes(alphabet[sign] for sign in token) for token in tokens]
        except KeyError as error:
            raise UsageError(f"{error.args[0]!r} is no sign of the alphabet for bytes") from None
        known = set(tokens)
        lost = [pair for pair in merges if not {*pair, "".join(pair)} <= known]
        if len(known) != len(tokens) or not set(alphabet) <= known or lost:
            raise UsageError("the tokens are not unique, lack a byte, or are not what the merges need")

    @classmethod
    def train(cls, text: str | Iterable[str], size: int | None = None) -> Self:
        """Learn ``size`` ids (fewer where the text has no more pairs) from ``text``, or from pieces of it.

        Without ``size`` it is that of :func:`vocabulary_for` the bytes of the text.

        Raises:
            OptionError: ``size`` has no room for the 256 bytes.
            UsageError: the text holds a lone surrogate.
        """
        pieces = [text] if isinstance(text, str) else text
        if size is None:
            pieces = list(pieces)
            size = vocabulary_for(sum(len(piece.encode("utf-8", "replace")) for piece in pieces))
        if size < SPECIALS + 256:
            raise OptionError(f"--vocabulary takes {SPECIALS + 256} or more for the tokenizer bpe, not {size}")
        from tokenizers import models, pre_tokenizers, trainers

        learner = engine(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=size - SPECIALS, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=[]
        )
        learner.train_from_iterator(short(pieces), trainer)
        told = msgspec.json.decode(learner.to_str())["model"]
        tokens = sorted(told["vocab"], key=told["vocab"].__getitem__)
        return cls(tokens, [(first, second) for first, second in told["merges"]])

    @property
    def size(self) -> int:
        """Four special ids and the tokens."""
        return SPECIALS + len(self.tokens)

    @cached_property
    def _engine(self) -> Any:  # Any: the library is imported inside functions
        from tokenizers import models

        vocabulary = {token: number for number, token in enumerate(self.tokens)}
        return engine(models.BPE(vocab=vocabulary, merges=self.merges))

    def encode(self, text: str) -> NDArray[np.int64]:
        """The byte pairs of ``text``, whatever signs are in it; long text is encoded in pieces of about 65,000 characters."""
        pieces = list(short([text]))
        if not pieces:
            return np.zeros(0, np.int64)
        coded = self._engine.encode_batch_fast(pieces, add_special_tokens=False)
        return np.concatenate([np.asarray(piece.ids, np.int64) for piece in coded]) + SPECIALS

    def decode(self, ids: Iterable[int] | NDArray[np.integer[Any]]) -> str:
        """The bytes of the ids, read as UTF-8."""
        array = self._checked(ids)
        return b"".join(self._bytes[token - SPECIALS] for token in array[array >= SPECIALS].tolist()).decode("utf-8", "replace")

    def stream(self) -> Decoder:
        """A decoder that keeps back the bytes of a character that is not whole."""
        return _ByteDecoder([b""] * SPECIALS + self._bytes)

    def lengths(self) -> NDArray[np.int64]:
        """The bytes of every token."""
        return np.array([0] * SPECIALS + [len(piece) for piece in self._bytes], np.int64)

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """How many characters begin in each id."""
        return np.array([0] * SPECIALS + [sum(byte & 0xC0 != 0x80 for byte in piece) for piece in self._bytes], np.int64)

    def units(self, ids: NDArray[np.integer[Any]]) -> tuple[int, int]:
        """A character is counted where its first byte is."""
        array = self._checked(ids)
        return int(self._starts[array].sum()), int(self.lengths()[array].sum())

    def to_bytes(self) -> bytes:
        """Tokens and merges."""
        return msgspec.json.encode({"format": _FORMAT, "kind": self.kind, "tokens": self.tokens, "merges": self.merges})


def vocabulary_for(count: int) -> int:
    """The number of byte-pair ids for ``count`` bytes of text: the power of two nearest to its square root, 512 to 32,768.

    With the square root every id is met, on average, about as often as there are ids: enough to learn each, and no more
    than needed to make the text short.
    """
    return int(np.clip(2 ** round(np.log2(max(count, 1)) / 2), 512, 32768))


def open_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """Open ``tokenizer.json``, or the one in the folder ``path``.

    Raises:
        ModelError: there is none, or it is damaged or of a newer format.
    """
    path = Path(path)
    path = path / FILE if path.is_dir() else path
    try:
        told = msgspec.json.decode(path.read_bytes(), type=_Told)
        if told.format > _FORMAT:
            raise ModelError(f"{path}: made by a newer artgen; update artgen")
        return CharTokenizer(told.characters) if told.kind == "char" else BpeTokenizer(told.tokens, told.merges)
    except FileNotFoundError:
        raise ModelError(f"{path}: missing; restore the file, or prepare the dataset and train the model again") from None
    except (OSError, msgspec.DecodeError, UsageError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path}: damaged ({error}); restore the file, or prepare the dataset and train the model again") from None


class _Told(msgspec.Struct, frozen=True):
    format: int
    kind: Kind
    characters: str = ""
    tokens: list[str] = []
    merges: list[tuple[str, str]] = []


class _CharDecoder(Decoder):
    def __init__(self, tokenizer: CharTokenizer) -> None:
        self._tokenizer = tokenizer
        self._text = tokenizer.characters
        self._half = -1
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        if token >= _FIRST and token < self._tokenizer.size:
            kept = self.flush()
            return kept + self._text[token - _FIRST]
        if not 0 <= token < self._tokenizer.size:
            raise _foreign(token, self._tokenizer.size)
        if token < SPECIALS:
            return ""
        if self._half < 0:
            self._half = token - SPECIALS
            return ""
        byte = self._half << 4 | (token - SPECIALS)
        self._half = -1
        return self._utf8.decode(bytes([byte]))

    def flush(self) -> str:
        broken = "�" if self._half >= 0 else ""
        self._half = -1
        kept = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return kept + broken


class _ByteDecoder(Decoder):
    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, token: int) -> str:
        if not 0 <= token < len(self._pieces):
            raise _foreign(token, len(self._pieces))
        return self._utf8.decode(self._pieces[token])

    def flush(self) -> str:
        kept = self._utf8.decode(b"", final=True)
        self._utf8.reset()
        return kept


def _foreign(token: int, size: int) -> UsageError:
    return UsageError(f"token {token} is none of this tokenizer's, which go from 0 to {size - 1}; use the model's own")


def _joined(halves: NDArray[np.int64]) -> str:
    whole = len(halves) // 2 * 2
    text = (halves[:whole:2] << 4 | halves[1:whole:2]).astype(np.uint8).tobytes().decode("utf-8", "replace")
    return text if whole == len(halves) else text + "�"
