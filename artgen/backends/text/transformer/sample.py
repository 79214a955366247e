"""Texts from a trained model, streamed as they are written: a work depends on its seed alone, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np

from artgen.artwork import Text
from artgen.backend import Backend, Progress
from artgen.backends.text.transformer.engine import Engine, Session, open_engine
from artgen.backends.text.transformer.sampling import Sampling, allowed, choose, penalised, uniforms
from artgen.errors import ModelError, UsageError
from artgen.media.text import decode as read_file
from artgen.media.tokenizer import END, FILE, Tokenizer, open_tokenizer
from artgen.model import Model
from artgen.options import Meta

TOGETHER = 16
"""Works that are written at once."""

Ending = Literal["never", "written", "once"]

_SHOWN = 2000  # partial results of one text at most, so that showing a long one costs no more than writing it


class Generate(Sampling, frozen=True):
    """Options of ``generate``."""

    prompt: Annotated[str | None, Meta(description="What the text begins with.", extra={"short": "-p"})] = None
    prompt_file: Annotated[
        str | None,
        Meta(description="File with the prompt (without its last line break); - is standard input.", extra={"file": True}),
    ] = None
    length: Annotated[
        int, Meta(ge=1, le=10_000_000, description="How much to write after the prompt, at most.", extra={"unit": "tokens"})
    ] = 400

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompt_file is not None:
            raise UsageError("--prompt and --prompt-file both say how the text begins; leave one out")


class Writing:
    """One text as it grows: the prompt, the tokens written after it, and where it stops."""

    def __init__(self, prompt: str, tokenizer: Tokenizer, draws: Iterator[float], options: Sampling, length: int) -> None:
        self.text = prompt
        self.tokens: list[int] = []
        self.log_probabilities: list[float] = []
        self.finished = False
        self._ends: list[int] = []  # characters of the text after each token
        self._decoder = tokenizer.stream()
        self._start = len(prompt)
        self._draws = draws
        self._stop = options.stop
        self._length = length

    def draw(self) -> float:
        """The next number of this text's stream."""
        return next(self._draws)

    def add(self, token: int, log_probability: float) -> None:
        """One token more; END or a stop text finishes the work, and so does its length: half a character is then left out."""
        if token == END:
            self.finished = True
            return
        self.tokens.append(token)
        self.log_probabilities.append(log_probability)
        self.text += self._decoder.feed(token)
        self._ends.append(len(self.text))
        self.finished = self._stopped() or len(self.tokens) >= self._length

    def shown(self) -> str:
        """The text that will not be taken back: without an end that may become a stop text."""
        held = 0
        for stop in () if self.finished else self._stop:
            for count in range(min(len(stop) - 1, len(self.text) - self._start), held, -1):
                if self.text.endswith(stop[:count]):
                    held = count
                    break
        return self.text[: len(self.text) - held]

    def _stopped(self) -> bool:
        found = [place for stop in self._stop if (place := self.text.find(stop, self._from(stop))) >= 0]
        if not found:
            return False
        cut = min(found)
        self.text = self.text[:cut]
        kept = sum(end <= cut for end in self._ends)
        del self.tokens[kept:], self.log_probabilities[kept:], self._ends[kept:]
        return True

    def _from(self, stop: str) -> int:
        """Where to look for ``stop``: in what is new, never in the prompt."""
        old = self._ends[-2] if len(self._ends) > 1 else self._start
        return max(self._start, old - len(stop) + 1)


def generate(backend: Backend, model: Model, seeds: Sequence[int], options: Generate, progress: Progress) -> Iterator[Text]:
    """One text a seed, in order: the prompt and what the model writes after it.

    ``tokens`` and ``log_probabilities`` of a text are those after the prompt; a probability is the model's own, before
    temperature and filters.

    Raises:
        UsageError: the engine asked for cannot be used, or the prompt cannot be said in UTF-8.
        ModelError: weights or tokenizer are damaged.
    """
    tokenizer = tokenizer_of(model)
    prompt = prompt_of(options)
    ids = tokenizer.encode(prompt)
    engine = open_engine(model, options.engine, progress.say)
    if len(ids) > engine.context - 1:
        progress.say(
            f"the prompt has {len(ids)} tokens and the model sees {engine.context}: it is kept whole, its end alone counts"
        )
    begin = ids.tolist() or [opening(model, tokenizer)]
    for start in range(0, len(seeds), TOGETHER):
        part = seeds[start : start + TOGETHER]
        writings = [Writing(prompt, tokenizer, uniforms(seed), options, options.length) for seed in part]
        steps = write(engine, writings, [begin] * len(part), options, end=ending(model))
        yield from _in_order(steps, writings, part, progress)


def _in_order(steps: Iterator[None], writings: list[Writing], seeds: Sequence[int], progress: Progress) -> Iterator[Text]:
    """Show the first unfinished text as it grows, and hand over every text as soon as it and those before it are finished."""
    done = shown = 0
    for _ in steps:
        while done < len(writings) and writings[done].finished:
            yield finished(writings[done], seeds[done])
            done, shown = done + 1, 0
        if done < len(writings):
            text = writings[done].shown()
            if len(text) - shown > len(text) // _SHOWN:
                shown = len(text)
                progress.partial(Text(text, seeds=(seeds[done],)))


def finished(writing: Writing, seed: int) -> Text:
    """The work that a finished writing is."""
    return Text(writing.text, tuple(writing.tokens), tuple(writing.log_probabilities), seeds=(seed,))


def write(
    engine: Engine, writings: Sequence[Writing], begins: Sequence[Sequence[int]], options: Sampling, *, end: Ending
) -> Iterator[None]:
    """Write all texts to their ends, token by token, together; yields after every token of all.

    ``begins`` are the tokens [1 or more] that each is to follow; equal ones are read once. ``end`` says whether a text may end
    by itself: ``never``, after something is ``written``, or at ``once``.
    """
    session = Session(engine, len(writings))
    later, first = allowed(engine.vocabulary, end=end != "never"), allowed(engine.vocabulary, end=end == "once")
    logits, totals = session.begin(begins)
    active = list(range(len(writings)))
    mask = first
    while active:
        possible = logits
        if options.repetition_penalty > 1:
            known = [np.unique(np.array(session.tokens[number], np.int64)) for number in active]
            possible = penalised(possible, known, options.repetition_penalty)
        possible = np.where(mask, possible, np.float32(-np.inf))
        draws = [] if options.temperature == 0 else [writings[number].draw() for number in active]
        chosen = choose(possible, draws, options)
        told = logits[range(len(active)), chosen] - totals
        for number, token, log_probability in zip(active, chosen, told.tolist(), strict=True):
            writings[number].add(token, log_probability)
        yield
        mask = later
        going = [(number, token) for number, token in zip(active, chosen, strict=True) if not writings[number].finished]
        active = [number for number, _ in going]
        if active:
            logits, totals = session.write(active, [token for _, token in going])


def tokenizer_of(model: Model) -> Tokenizer:
    """The tokenizer of an open model, kept with it.

    Raises:
        ModelError: it is missing or damaged, or has not as many tokens as the network.
    """
    if "tokenizer" not in model.cache:
        found, wanted = open_tokenizer(model.folder), model.config.network.get("vocabulary")
        if found.size != wanted:
            raise ModelError(
                f"{model.folder / FILE}: has {found.size} tokens, the network {wanted}: it is another model's; restore the file"
            )
        model.cache["tokenizer"] = found
    tokenizer = model.cache["tokenizer"]
    assert isinstance(tokenizer, Tokenizer)
    return tokenizer


def prompt_of(options: Generate) -> str:
    """The prompt as it was typed or as its file holds it."""
    if options.prompt_file is None:
        return options.prompt or ""
    return read_file(Path(options.prompt_file)).removesuffix("\n")


def opening(model: Model, tokenizer: Tokenizer) -> int:
    """What a text without a prompt follows: the end of a document where the model has seen any, else a line break."""
    return END if ending(model) == "written" else int(tokenizer.encode("\n")[0])


def ending(model: Model) -> Ending:
    """Whether a text may end by itself: a model that learned from one long text knows END only as that of a filled gap."""
    return "written" if (model.config.data.get("documents") or 1) > 1 else "never"
