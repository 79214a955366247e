"""Texts from a language model, token by token over its own cache: a work depends on its seed alone, bit for bit."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from artgen.artwork import Text
from artgen.backend import Progress
from artgen.backends.text.transformer.sampling import uniforms
from artgen_transformers.loading import device_of
from artgen_transformers.text.choosing import choose
from artgen_transformers.text.opening import Language
from artgen_transformers.text.options import Writing
from artgen_transformers.text.prompts import Start

_CACHES = {"cache", "past_key_values", "cache_params", "state"}  # what architectures call what they keep of the text so far
_SHOWN = 2000  # partial results of one text at most, so that showing a long one costs no more than writing it
_AROUND = 4  # tokens of a prompt that are decoded with the first one after it
_TOGETHER = 8  # tokens of the text that are decoded again with every new one, at most; with each alone, all were decoded twice
_BROKEN, _PATIENCE = "�", 5


class Page:
    """One text as it grows: what it begins with, the tokens written after it, and where it stops."""

    def __init__(self, start: Start, language: Language, seed: int, options: Writing, length: int) -> None:
        self.seed = seed
        self.text = start.text
        self.tokens: list[int] = []
        self.log_probabilities: list[float] = []
        self.finished = False
        self.known = list(start.ids)
        self._draws = uniforms(seed)
        self._language = language
        self._begin = len(start.text)
        self._stop = (*options.stop, *start.stop)
        self._length = length
        self._ends: list[int] = []  # characters of the text after each token
        # What is decoded again with every token, up to where all was decoded, and what that gave: many tokenizers write a blank
        # or not by what came before.
        self._from, self._read = max(0, len(start.ids) - _AROUND) if start.joined else len(start.ids), len(start.ids)
        self._before = language.decode(self.known[self._from :])

    def draw(self) -> float:
        """The next number of this text's stream."""
        return next(self._draws)

    def add(self, token: int, log_probability: float) -> None:
        """One token more; the end of a text or a stop text finishes the work, and so does its length."""
        if token in self._language.ends:
            self.finished = True
            return
        self.known.append(token)
        self.tokens.append(token)
        self.log_probabilities.append(log_probability)
        self.text += self._decoded()
        self._ends.append(len(self.text))
        self.finished = self._stopped() or len(self.tokens) >= self._length

    def work(self) -> Text:
        """The finished text."""
        return Text(self.text, tuple(self.tokens), tuple(self.log_probabilities), seeds=(self.seed,))

    def shown(self) -> str:
        """The text that will not be taken back: without an end that may become a stop text."""
        held = 0
        for stop in () if self.finished else self._stop:
            for count in range(min(len(stop) - 1, len(self.text) - self._begin), held, -1):
                if self.text.endswith(stop[:count]):
                    held = count
                    break
        return self.text[: len(self.text) - held]

    def _decoded(self) -> str:
        """What the last token brings; nothing while a character is not whole."""
        before, after = self._before, self._language.decode(self.known[self._from :])
        # No character has more than four bytes: what is still broken after more tokens stays so.
        waiting = after.endswith(_BROKEN) and len(self.known) - self._read < _PATIENCE
        if waiting or len(after) <= len(before):
            return ""
        if len(self.known) - self._from < _TOGETHER:
            self._before = after
        else:
            self._from = self._read
            self._before = self._language.decode(self.known[self._from :])
        self._read = len(self.known)
        return after[len(before) :]

    def _stopped(self) -> bool:
        found = [place for stop in self._stop if (place := self.text.find(stop, self._looked(stop))) >= 0]
        if not found:
            return False
        cut = min(found)
        self.text = self.text[:cut]
        kept = sum(end <= cut for end in self._ends)
        del self.tokens[kept:], self.log_probabilities[kept:], self._ends[kept:]
        return True

    def _looked(self, stop: str) -> int:
        """Where to look for ``stop``: in what is new, never in the prompt."""
        old = self._ends[-2] if len(self._ends) > 1 else self._begin
        return max(self._begin, old - len(stop) + 1)


class Reader:
    """What the model says comes next after the tokens of ``rows`` texts, which are read in step.

    A text longer than the model can look back on is read anew from half of that.
    """

    def __init__(self, language: Language, rows: Sequence[Sequence[int]]) -> None:
        self.network, self.context = language.network, language.context
        self.device = device_of(self.network.get_input_embeddings())
        self.rows = [list(row) for row in rows]
        # Logits of a long prompt would take more memory than the model.
        takes = inspect.signature(self.network.forward).parameters
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self._kept: dict[str, object] = {}
        self._seen = 0

    def logits(self) -> Tensor:
        """The logits [N, V] after every row as it stands."""
        if self.context is not None and len(self.rows[0]) > self.context:
            self.rows = [row[-max(1, self.context // 2) :] for row in self.rows]
            self._kept, self._seen = {}, 0
        new = torch.tensor([row[self._seen :] for row in self.rows], device=self.device)
        found = self.network(input_ids=new, use_cache=True, **self._last, **self._kept)
        # Only by the name that the output itself has: others answer too, as names of yesterday.
        self._kept = {name: found[name] for name in found.keys() & _CACHES}
        self._seen = len(self.rows[0]) if self._kept else 0
        return found.logits[:, -1]  # type: ignore[no-any-return]

    def add(self, tokens: Sequence[int]) -> None:
        """One token more for every row."""
        for row, token in zip(self.rows, tokens, strict=True):
            row.append(token)


@torch.inference_mode()
def write(
    language: Language, pages: Sequence[Page], ids: Sequence[int], options: Writing, places: Sequence[int], rows: int
) -> Iterator[None]:
    """Write all pages to their ends together, yielding after every token; each page has its place among ``rows``.

    The rows that no page takes are read too: a page is then computed in the same way whatever is beside it.
    """
    reader = Reader(language, [ids] * rows)
    while not all(page.finished for page in pages):
        logits = reader.logits()
        going = [number for number, page in enumerate(pages) if not page.finished]
        draws = [] if options.temperature == 0 else [pages[number].draw() for number in going]
        if (asked := [places[number] for number in going]) != list(range(rows)):
            logits = logits[asked]
        chosen, told = choose(logits, draws, [pages[number].known for number in going], options)
        written = [ids[-1]] * rows
        for number, token, log_probability in zip(going, chosen, told, strict=True):
            pages[number].add(token, log_probability)
            written[places[number]] = token
        yield
        reader.add(written)


def texts(
    language: Language, start: Start, seeds: Sequence[int], options: Writing, length: int, rows: int, progress: Progress
) -> Iterator[Text]:
    """One text a seed, in order, ``rows`` at once, shown while they grow."""
    for group in groups(seeds, rows):
        pages = [Page(start, language, seed, options, length) for seed in group]
        done = shown = 0
        progress.start("writing", len(pages) * length, "tokens")
        try:
            for _ in write(language, pages, start.ids, options, [seed % rows for seed in group], rows):
                progress.advance(sum(not page.finished for page in pages))
                while done < len(pages) and pages[done].finished:
                    yield pages[done].work()
                    done, shown = done + 1, 0
                if done < len(pages):
                    text = pages[done].shown()
                    if len(text) - shown > len(text) // _SHOWN:
                        shown = len(text)
                        progress.partial(Text(text, seeds=(pages[done].seed,)))
        finally:
            progress.finish()


def groups(seeds: Sequence[int], rows: int) -> Iterator[list[int]]:
    """The seeds in order, as many together as have different places among ``rows``."""
    group: list[int] = []
    for seed in seeds:
        if seed % rows in {other % rows for other in group}:
            yield group
            group = []
        group.append(seed)
    if group:
        yield group
