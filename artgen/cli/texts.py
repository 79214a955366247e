"""Text on the command line: written to standard output as it comes, its changes shown on standard error."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from artgen import api, history
from artgen.artwork import Artwork, Text
from artgen.backend import Progress
from artgen.cli.places import Places, seed_text
from artgen.cli.voice import Voice
from artgen.errors import SourceError, UsageError
from artgen.model import Model

if TYPE_CHECKING:
    from artgen.media.difference import Edit

Values = dict[str, Any]

_WORD = re.compile(r"\S+|\s+")
_AROUND, _NEAR = 6, 200  # words shown before and after a change, and the characters they are looked for in
_WHOLE = 4000  # characters of a text that is shown whole for its changes
_SHOWN, _PIECE = 20, 400  # changes of a longer one that are shown, and the characters of each
_RED, _GREEN, _PLAIN = "\x1b[31;9m", "\x1b[32m", "\x1b[0m"
_DIGITS = 6  # of a log-probability: float32 has no more


class Stream:
    """A :class:`artgen.backend.Progress` that prints a text as it is written, and leaves all else to another."""

    def __init__(self, progress: Progress, *, headers: bool, out: TextIO | None = None) -> None:
        self._progress = progress
        self._headers = headers
        self._out = out or sys.stdout
        self._seeds: tuple[int, ...] | None = None
        self._printed = ""
        self.latest: Text | None = None

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        """Nothing: a bar would run into the text."""

    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None:
        """Nothing."""

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Nothing."""

    def say(self, sentence: str) -> None:
        """One sentence on standard error."""
        self._progress.say(sentence)

    def finish(self) -> None:
        """Nothing."""

    def partial(self, artwork: Artwork) -> None:
        """Print what is new of the text; it only ever grows."""
        if isinstance(artwork, Text):
            self._print(artwork.characters, artwork.seeds)
            self.latest = artwork

    def end(self, work: Text) -> None:
        """Print the rest of a finished text, and a line break where it has none."""
        self._print(work.characters, work.seeds)
        self.close()

    def close(self) -> None:
        """End the line that is being written, also in the middle of a text."""
        if self._seeds is not None and not self._printed.endswith("\n"):
            self._out.write("\n")
        self._out.flush()
        self._seeds, self._printed, self.latest = None, "", None

    def _print(self, text: str, seeds: tuple[int, ...]) -> None:
        if self._seeds is None and self._headers:
            self._out.write(f"--- seed {seed_text(seeds).lstrip('0') or '0'} ---\n")
        self._seeds = seeds
        self._out.write(text[len(self._printed) :])
        self._out.flush()
        self._printed = text


class Keep:
    """A :class:`artgen.backend.Progress` that remembers the text being written, so that Ctrl-C need not lose it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.latest: Text | None = None
        self.start, self.expect, self.advance = progress.start, progress.expect, progress.advance
        self.say, self.finish = progress.say, progress.finish

    def partial(self, artwork: Artwork) -> None:
        """Remember it."""
        self.latest = artwork if isinstance(artwork, Text) else self.latest
        self._progress.partial(artwork)


def generate(modality: str, own: Any, options: Values, seeds: list[int] | None) -> None:
    """``artgen text generate``: to standard output, or with ``--output`` to files."""
    voice = Voice(own.json)
    if own.grid is not None:
        raise UsageError("--grid is for pictures; leave it out")
    options = _with_standard_input(options)
    where = _places(modality, own, ("seed", "model"))
    cls, model = api.choose(modality, "generate", model=own.model, backend=own.backend)
    asked = len(seeds or ()) or own.count or 1
    watch = _watch(voice, own, where, asked)
    works = api.iter_generate(
        modality, model=model, backend=cls.name, n=own.count, seed=own.seed, seeds=seeds, device=own.device,
        progress=watch, **options,
    )  # fmt: skip
    told = []
    with _kept(watch, where, model, own, asked):
        for work in works:
            assert isinstance(work, Text)
            told.append({"seeds": list(work.seeds), **_told(work)} if own.json else {})
            if where is not None:
                path = str(work.save(_path(where, work, model, asked), recipe=own.recipe))
                told[-1]["path"] = path
                _forget(watch)
                if not own.json:
                    voice.result(None, path)
            else:
                history.record(work.recipe)
                if isinstance(watch, Stream):
                    watch.end(work)
    voice.open([each["path"] for each in told if "path" in each], own)
    if own.json:
        voice.result({"model": model.name, "backend": model.backend, "works": told})


def modify(modality: str, own: Any, options: Values, inputs: list[str]) -> None:
    """``artgen text modify``: the changed text to standard output or to files, what changed to standard error."""
    voice = Voice(own.json)
    if own.compare:
        raise UsageError("--compare is for pictures; what changes in a text is shown on standard error, and by --json as edits")
    where = _places(modality, own, ("seed", "model", "name"))
    cls, model = api.choose(modality, "modify", model=own.model, backend=own.backend)
    works_in = [_read(path) for path in inputs]
    # Only what is added at the end can be shown as it comes.
    watch = _watch(voice, own, where, 1) if options.get("continue_") else voice.progress
    works = api.iter_modify(
        modality, [work if path == "-" else path for path, work in zip(inputs, works_in, strict=True)], model=model,
        backend=cls.name, seed=own.seed, device=own.device, progress=watch, **options,
    )  # fmt: skip
    told = []
    with _kept(watch, None, model, own, len(inputs)):
        for source, before, work in zip(inputs, works_in, works, strict=True):
            assert isinstance(work, Text)
            voice.close()
            # Both texts of --between were there: what came is the passage alone.
            start = _read(options["between"]).characters if options.get("between") else ""
            old = start + before.characters
            edits = work.edits(Text(old))
            told.append({"input": source, "seeds": list(work.seeds), **_told(work), "edits": [_edit(edit) for edit in edits]})
            if where is not None:
                name = "stdin" if source == "-" else Path(source).stem
                extra = name if len(inputs) > 1 else ""
                place = where.path(work, label=f"{name}-modified", extra=extra, model=model.name, name=name)
                told[-1]["path"] = str(work.save(place, recipe=own.recipe))
            else:
                history.record(work.recipe)
            if own.json:
                continue
            if isinstance(watch, Stream):
                watch.end(work)
            elif where is None:
                _print(work.characters)
            show_changes(old, edits, sys.stderr)
            if where is not None:
                voice.result(None, told[-1]["path"])
    voice.open([each["path"] for each in told if "path" in each], own)
    if own.json:
        voice.result({"model": model.name, "backend": model.backend, "works": told})


def show_changes(before: str, edits: list[Edit], out: TextIO) -> None:
    """What changed: the whole text in colour on a terminal, while it is short; else the first changes as lines with - and +."""
    terminal = out.isatty()
    if not edits:
        print("nothing changed", file=out, flush=True)
    elif terminal and len(before) + sum(len(edit.after) for edit in edits) <= _WHOLE:
        print(coloured(before, edits), file=out, flush=True)
    else:
        lines = plain_lines(before, edits[:_SHOWN])
        print("\n".join(map(_line_in_colour, lines) if terminal else lines), file=out)
        rest = len(edits) - _SHOWN
        told = f"… and {rest:,} more change{'s' if rest > 1 else ''}; " if rest > 0 else ""
        if told or any(max(len(edit.before), len(edit.after)) > _PIECE for edit in edits):
            print(f"{told}--json tells every change in full, as edits", file=out)
        out.flush()


def plain_lines(before: str, edits: list[Edit]) -> list[str]:
    """Each change as a line with ``-`` and one with ``+``, with a few words around it; a long one is told by its two ends."""
    lines = []
    for edit in edits:
        stop = edit.at + len(edit.before)
        left = "".join(_WORD.findall(before[max(0, edit.at - _NEAR) : edit.at])[-_AROUND:])
        right = "".join(_WORD.findall(before[stop : stop + _NEAR])[:_AROUND])
        for sign, middle in (("-", edit.before), ("+", edit.after)):
            if middle:
                lines.append(f"{sign} {_flat(left)}{{{_flat(_ends(middle))}}}{_flat(right)}")
    return lines


def _ends(text: str) -> str:
    if len(text) <= _PIECE:
        return text
    half = _PIECE // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"


def _line_in_colour(line: str) -> str:
    return f"{_RED if line.startswith('-') else _GREEN}{line}{_PLAIN}"


def coloured(before: str, edits: list[Edit]) -> str:
    """The whole text for a terminal: what went is struck out in red, what came is green."""
    parts, at = [], 0
    for edit in edits:
        parts.append(before[at : edit.at])
        parts.append(f"{_RED}{edit.before}{_PLAIN}" if edit.before else "")
        parts.append(f"{_GREEN}{edit.after}{_PLAIN}" if edit.after else "")
        at = edit.at + len(edit.before)
    return "".join([*parts, before[at:]])


def _flat(text: str) -> str:
    return text.replace("\r", "").replace("\n", "⏎")


def _told(work: Text) -> Values:
    chances = [round(chance, _DIGITS) for chance in work.log_probabilities]
    return {"text": work.characters, "tokens": list(work.tokens), "log_probabilities": chances}


def _edit(edit: Edit) -> Values:
    return {"kind": edit.kind, "at": edit.at, "before": edit.before, "after": edit.after}


def _places(modality: str, own: Any, known: tuple[str, ...]) -> Places | None:
    """Where files go, or None where none is asked for."""
    if own.sign or own.sign_key:
        raise UsageError("--sign: a text has no place for a signature; leave it out")
    if own.output is None and own.format is None:
        if own.open:
            raise UsageError("--open shows a file; give --output too, or leave --open out")
        return None
    return Places.chosen(own.output, own.format, known=known, modality=modality)


def _path(where: Places, work: Artwork, model: Model, asked: int) -> Path:
    text = seed_text(work.seeds)
    return where.path(work, label=f"{model.name}-seed{text}", extra=text if asked > 1 else "", model=model.name)


def _watch(voice: Voice, own: Any, where: Places | None, asked: int) -> Progress:
    if where is not None or own.json:
        return Keep(voice.progress)
    _speak_utf8(sys.stdout)
    return Stream(voice.progress, headers=asked > 1)


def _forget(watch: Progress) -> None:
    if isinstance(watch, Keep):
        watch.latest = None


@contextmanager
def _kept(watch: Progress, where: Places | None, model: Model, own: Any, asked: int) -> Iterator[None]:
    """After Ctrl-C the line is ended, and what was written of a file is saved, told as made by artgen but not as a whole work."""
    try:
        yield
    except KeyboardInterrupt:
        if isinstance(watch, Stream):
            watch.close()
        elif isinstance(watch, Keep) and watch.latest is not None and where is not None:
            cut = api.unfinished(watch.latest, model)
            path = cut.save(_path(where, cut, model, asked), recipe="none" if own.recipe == "none" else "minimal")
            print(f"what was written so far is in {path}", file=sys.stderr, flush=True)
        raise


def _with_standard_input(options: Values) -> Values:
    """``--prompt-file -`` as the prompt that standard input holds."""
    if options.get("prompt_file") != "-":
        return options
    if options.get("prompt") is not None:
        raise UsageError("--prompt and --prompt-file both say how the text begins; leave one out")
    rest = {name: value for name, value in options.items() if name != "prompt_file"}
    return {**rest, "prompt": _standard_input().removesuffix("\n")}


def _standard_input() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise SourceError(f"standard input: no UTF-8 at byte {error.start + 1}; convert it, or give a file") from None


def _read(path: str) -> Text:
    if path == "-":
        return Text(_standard_input(), name="standard input")
    work = api.own_work("text", path)
    assert isinstance(work, Text)
    return work


def _print(text: str) -> None:
    _speak_utf8(sys.stdout)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def _speak_utf8(stream: TextIO) -> None:
    """Any script goes through a pipe, also where the system's encoding has no signs for it."""
    if (stream.encoding or "").lower().replace("-", "") != "utf8" and hasattr(stream, "reconfigure"):
        stream.reconfigure(encoding="utf-8")
