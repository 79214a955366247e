"""Changing the user's own texts: go on, fill a gap, rewrite what reads least likely, lead from one text to another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from artgen.artwork import Artwork, Text
from artgen.backend import Backend, Progress
from artgen.backends.text.transformer import fim
from artgen.backends.text.transformer.engine import Engine, open_engine
from artgen.backends.text.transformer.likelihood import likelihood
from artgen.backends.text.transformer.sample import Writing, ending, opening, tokenizer_of, write
from artgen.backends.text.transformer.sampling import Sampling, uniforms
from artgen.errors import OptionError, SourceError, UsageError
from artgen.media.difference import WORD
from artgen.media.text import decode as read_file
from artgen.media.tokenizer import Tokenizer
from artgen.model import Model
from artgen.options import Meta

_AROUND = 64  # tokens after a filling whose likelihood says how well it leads on
_WAYS = ("continue_", "infill", "rewrite", "between")


class Modify(Sampling, frozen=True):
    """Options of ``modify``: one of ``continue``, ``infill``, ``rewrite`` and ``between`` says what is done."""

    continue_: Annotated[
        int | None, Meta(ge=1, le=10_000_000, description="Go on with the text for this long.", extra={"unit": "tokens"})
    ] = None
    infill: Annotated[bool, Meta(description="Fill each gap that is marked in the text.")] = False
    rewrite: Annotated[bool, Meta(description="Write the least likely words anew, keep the rest word for word.")] = False
    between: Annotated[
        str | None,
        Meta(description="Write what leads from the text in this file to the one given: --between A B.", extra={"file": True}),
    ] = None
    gap: Annotated[str, Meta(description="How a gap is marked.")] = "[...]"
    strength: Annotated[float, Meta(ge=0, le=1, description="Share of the words to rewrite.")] = 0.3
    length: Annotated[
        int, Meta(ge=1, le=100_000, description="Longest filling of a gap or passage between.", extra={"unit": "tokens"})
    ] = 200
    candidates: Annotated[int, Meta(ge=1, le=256, description="Fillings to write for each place; the likeliest is kept.")] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gap:
            raise OptionError("--gap takes text of one character or more, not nothing")

    @property
    def way(self) -> str:
        """What is done: ``continue``, ``infill``, ``rewrite`` or ``between``.

        Raises:
            UsageError: none of them is asked for, or several.
        """
        asked = [name.rstrip("_") for name in _WAYS if getattr(self, name) not in (None, False)]
        flags = "--continue N, --infill, --rewrite or --between FILE"
        if not asked:
            raise UsageError(f"say what to do with the text: {flags}")
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(f'--{name}' for name in asked)} contradict each other; give one of {flags}")
        return asked[0]


def modify(
    backend: Backend, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Modify, progress: Progress
) -> Iterator[Text]:
    """A changed version of each text; ``tokens`` and ``log_probabilities`` are those of the last passage written.

    Raises:
        UsageError: not exactly one way is asked for, a text has no gap, or the model cannot fill gaps.
        SourceError: a work is no text, or is empty.
    """
    way = options.way
    tokenizer = tokenizer_of(model)
    if way != "continue" and not model.config.network.get("fim", 0):
        raise UsageError(f"{model.name} was trained without filling gaps (--fim 0), which --{way} needs; --continue works with it")
    engine = open_engine(model, options.engine, progress.say)
    for artwork, seed in zip(artworks, seeds, strict=True):
        if not isinstance(artwork, Text):
            raise SourceError(f"{artwork.name or 'the input'}: transformer modifies texts, not {artwork.modality}")
        if not artwork.characters:
            raise SourceError(f"{artwork.name or 'the input'}: empty; use artgen text generate to write without a text")
        desk = _Desk(model, engine, tokenizer, options, seed, progress)
        text = getattr(desk, way.rstrip("_") if way != "continue" else "go_on")(artwork)
        text.seeds = (seed,)
        yield text


@dataclass
class _Filling:
    text: str
    tokens: tuple[int, ...]
    log_probabilities: tuple[float, ...]
    whole: bool  # it ended by itself


class _Desk:
    """One text being changed: the model, the options and the streams of random numbers of its seed."""

    def __init__(self, model: Model, engine: Engine, tokenizer: Tokenizer, options: Modify, seed: int, progress: Progress) -> None:
        self.model, self.engine, self.tokenizer = model, engine, tokenizer
        self.options, self.seed, self.progress = options, seed, progress
        self._streams = 0

    def go_on(self, work: Text) -> Text:
        """The text and what follows it."""
        ids = self.tokenizer.encode(work.characters).tolist()
        assert self.options.continue_ is not None
        writing = Writing(work.characters, self.tokenizer, uniforms(self.seed), self.options, self.options.continue_)
        for _ in write(self.engine, [writing], [ids], self.options, end=ending(self.model)):
            self.progress.partial(Text(writing.shown(), seeds=(self.seed,)))
        return Text(writing.text, tuple(writing.tokens), tuple(writing.log_probabilities))

    def infill(self, work: Text) -> Text:
        """The text with each gap filled, from the first to the last."""
        parts = work.characters.split(self.options.gap)
        if len(parts) == 1:
            where = work.name or "the text"
            raise UsageError(f"{where}: has no gap {self.options.gap}; mark one, or say with --gap how yours is marked")
        text, filling = parts[0], None
        self.progress.start("filling gaps", len(parts) - 1, "gaps")
        for number, part in enumerate(parts[1:], 1):
            rest = part + "".join(parts[number + 1 :])
            filling = self.fill(text, rest)
            text += filling.text + part
            self.progress.partial(Text(text, seeds=(self.seed,)))
            self.progress.advance()
        self.progress.finish()
        assert filling is not None
        return Text(text, filling.tokens, filling.log_probabilities)

    def between(self, work: Text) -> Text:
        """The text of ``--between``, a passage, and the text given."""
        assert self.options.between is not None
        start = read_file(Path(self.options.between))
        if not start:
            raise SourceError(f"{self.options.between}: empty; --between takes a file with the text to begin with")
        filling = self.fill(start, work.characters)
        return Text(start + filling.text + work.characters, filling.tokens, filling.log_probabilities)

    def rewrite(self, work: Text) -> Text:
        """The text with the least likely words written anew."""
        spans = self.weak_spans(work.characters)[::-1]  # a stack, the first on top
        text, shift, last = work.characters, 0, None
        self.progress.start("rewriting", sum(stop - start for start, stop in spans), "characters")
        while spans:
            start, stop = spans.pop()
            old = work.characters[start:stop]
            prefix, suffix = text[: start + shift], text[stop + shift :]
            filling = self.fill(prefix, suffix, instead_of=old)
            if filling.text:
                text, last = prefix + filling.text + suffix, filling
                shift += len(filling.text) - len(old)
            elif parts := _halves(old):  # nothing fits so long a place: each half of its words for itself
                spans.extend((start + begin, start + end) for begin, end in reversed(parts))
                continue
            self.progress.partial(Text(text, seeds=(self.seed,)))
            self.progress.advance(stop - start)
        self.progress.finish()
        return Text(text, last.tokens if last else (), last.log_probabilities if last else ())

    def weak_spans(self, text: str) -> list[tuple[int, int]]:
        """Where the least likely words are, as many as ``strength`` asks for; neighbours are one span."""
        words = [match.span() for match in WORD.finditer(text) if match.group()[0].isalnum()]
        count = round(self.options.strength * len(words))
        if not count:
            return []
        ids = self.tokenizer.encode(text)
        surprise = -likelihood(self.engine, [ids.tolist()], opening(self.model, self.tokenizer))[0]
        owners = _owners(ids.tolist(), self.tokenizer)
        at_character = np.bincount(owners, surprise, minlength=len(text) + 1)
        before = np.concatenate([[0.0], np.cumsum(at_character)])
        means = [(before[stop] - before[start]) / (stop - start) for start, stop in words]
        chosen = sorted(sorted(range(len(words)), key=lambda number: -means[number])[:count])
        spans: list[tuple[int, int]] = []
        for number in chosen:
            start, stop = words[number]
            if spans and not any(spans[-1][1] <= other < start for other, _ in words) and text[spans[-1][1] : start].isspace():
                spans[-1] = (spans[-1][0], stop)
            else:
                spans.append((start, stop))
        return spans

    def fill(self, prefix: str, suffix: str, instead_of: str | None = None) -> _Filling:
        """The likeliest of several middles between two texts; of a rewriting the likeliest that says something else."""
        options = self.options
        longest = min(options.length, max(1, self.engine.context // 2 - fim.MARKS))
        if instead_of is not None:
            longest = min(longest, 2 * len(self.tokenizer.encode(instead_of)) + 8)
        room = self.engine.context - fim.MARKS - longest
        before, after = self.tokenizer.encode(prefix), self.tokenizer.encode(suffix)
        keep_after = min(len(after), max(room // 2, room - len(before)))
        before, after = before[max(0, len(before) - (room - keep_after)) :], after[:keep_after]
        begin = fim.prompt(before, after).tolist()
        writings = []
        for _ in range(options.candidates):
            writings.append(Writing("", self.tokenizer, uniforms(self.seed, self._streams), options, longest))
            self._streams += 1
        for _ in write(self.engine, writings, [begin] * len(writings), options, end="once" if instead_of is None else "written"):
            pass
        found = [_filling(writing, longest) for writing in writings]
        if instead_of is not None:
            found = [_as_words(filling, instead_of) for filling in found]
            found = [filling for filling in found if _fits(filling.text, instead_of)]
            if not found:
                return _Filling("", (), (), False)
        elif any(filling.whole for filling in found):
            found = [filling for filling in found if filling.whole]
        else:
            found = [_cut_back(filling, suffix) for filling in found]
        return found[self._best(before.tolist(), found, after.tolist())]

    def _best(self, before: list[int], found: Sequence[_Filling], after: list[int]) -> int:
        """The filling with which the joined text is likeliest, per token of the filling and what follows it."""
        middles = [self.tokenizer.encode(filling.text).tolist() for filling in found]
        joined = [[*before, *middle, *after[:_AROUND]] for middle in middles]
        told = likelihood(self.engine, joined, opening(self.model, self.tokenizer))
        scores = [float(part[len(before) :].mean()) if len(part) > len(before) else 0.0 for part in told]
        return max(range(len(found)), key=lambda number: (scores[number], -number))


def _filling(writing: Writing, longest: int) -> _Filling:
    return _Filling(
        writing.text, tuple(writing.tokens), tuple(writing.log_probabilities), len(writing.tokens) < longest
    )  # fmt: skip


def _cut_back(filling: _Filling, suffix: str) -> _Filling:
    """A filling that was broken off before ``suffix``, up to its last whole line, else sentence, else word."""
    for pattern in (r".*\n", r".*[.!?;:。！？；]\s*", r".*\s"):
        if whole := re.match(pattern, filling.text, re.DOTALL):
            text = whole.group()
            return replace(filling, text=text.rstrip() if suffix[:1].isspace() else text)
    return filling


def _as_words(filling: _Filling, old: str) -> _Filling:
    """The filling without blanks around it; one that was broken off, or goes beyond the line, as many words as ``old`` has."""
    text = filling.text.strip()
    if not filling.whole or "\n" in text:
        ends = [match.end() for match in WORD.finditer(text) if match.group()[0].isalnum()]
        count = sum(word[0].isalnum() for word in WORD.findall(old))
        # The last word may be broken off itself.
        ends = ends if filling.whole else ends[:-1]
        text = text[: ends[count - 1]] if len(ends) >= count else ""
    return _Filling(text, filling.tokens, filling.log_probabilities, filling.whole)


def _halves(span: str) -> list[tuple[int, int]]:
    """Where the first and the last half of the words of ``span`` stand; nothing where it is one word."""
    words = [match.span() for match in WORD.finditer(span) if match.group()[0].isalnum()]
    middle = len(words) // 2
    return [(words[0][0], words[middle - 1][1]), (words[middle][0], words[-1][1])] if middle else []


def _fits(text: str, old: str) -> bool:
    """Whether a rewriting is something else than before, whole words, and broken off nowhere."""
    return bool(text) and text != old and text[0].isalnum() and text[-1].isalnum() and "\n" not in text and "�" not in text


def _owners(ids: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    """The character of the text at which each token stands: the one that it completes, or the first that it brings."""
    decoder, place, owners = tokenizer.stream(), 0, []
    for token in ids:
        owners.append(place)
        place += len(decoder.feed(token))
    return owners
