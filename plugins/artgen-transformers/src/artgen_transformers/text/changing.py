"""Changing the user's own texts: as an instruction says, or by going on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from artgen.artwork import Artwork, Text
from artgen.backend import Progress
from artgen.errors import SourceError
from artgen.model import Model
from artgen_transformers.text import prompts
from artgen_transformers.text.opening import Language, open_language
from artgen_transformers.text.options import Modify
from artgen_transformers.text.prompts import Shot, Start
from artgen_transformers.text.writing import texts

_PART = "You change texts as you are told. Answer with the whole changed text and nothing else."
_MORE = 64  # tokens that a changed text may have more than twice the text
_THOUGHTS = re.compile(r"^.*</think>\s*", re.DOTALL)


def modify(model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Modify, progress: Progress) -> Iterator[Text]:
    """A changed version of each text.

    Raises:
        UsageError: not exactly one way is asked for.
        SourceError: a work is no text, or is empty.
    """
    way = options.way
    shots = prompts.shots_of(options.shots)
    language = open_language(model, options, progress)
    for artwork, seed in zip(artworks, seeds, strict=True):
        if not isinstance(artwork, Text):
            raise SourceError(f"{artwork.name or 'the input'}: transformers modifies texts, not {artwork.modality}")
        if not artwork.characters:
            raise SourceError(f"{artwork.name or 'the input'}: empty; use artgen text generate to write without a text")
        if way == "continue":
            assert options.continue_ is not None
            start, length = Start(artwork.characters, language.encode(artwork.characters)), options.continue_
        else:
            start, length = _instructed(language, options, artwork.characters, shots)
        (work,) = texts(language, start, [seed], options, length, 1, progress)
        if way == "instruction":
            work.characters = _answer(work.characters, artwork.characters)
        yield work


def _instructed(language: Language, options: Modify, text: str, shots: Sequence[Shot]) -> tuple[Start, int]:
    """What the model reads to change ``text``, and how much it may write."""
    assert options.instruction is not None
    length = options.length or 2 * len(language.encode(text, special=False)) + _MORE
    told = f"{options.instruction}\n\n{text.strip()}"
    if prompts.has_chat(language):
        return prompts.chat(language, options, told, shots, _PART), length
    # A model that never learned to chat still goes on in the form that it sees.
    return prompts.asked(language, told, shots), length


def _answer(written: str, before: str) -> str:
    """The changed text as the model wrote it, without its thoughts, ending as the text did."""
    text = _THOUGHTS.sub("", written).strip()
    ending = before[len(before.rstrip()) :]
    return text + ending
