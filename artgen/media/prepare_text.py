"""``artgen text prepare``: texts of any kind to two arrays of tokens, one to train on and one held out.

The text is first written to one scratch file in UTF-8, document after document, and read from there to learn the tokenizer and
to write the tokens, so that a file of gigabytes needs little memory. A stopped prepare leaves nothing behind and begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset, Manifest, Skipped, fingerprint, is_dataset, write_manifest
from artgen.errors import ArtgenError, DatasetError, Interrupted, ModelError, OptionError, OutputError, SourceError
from artgen.files import sentences
from artgen.media import endings
from artgen.media import tokenizer as tokens
from artgen.media.archives import Reader, Source
from artgen.media.corpus import Corpus, TokenFile
from artgen.media.documents import TABLES, Reading, Told, documents
from artgen.media.sources import Found, Item, Media, find
from artgen.media.text import Normal
from artgen.media.tokenizer import BpeTokenizer, CharTokenizer, Tokenizer, open_tokenizer
from artgen.media.trees import is_licence
from artgen.media.written import present, refuse_prepared
from artgen.options import Meta, Options

TEXTS = Media(
    "text", "texts", frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".adoc", ".tex", ".log", ".py", *TABLES}),
    others=endings.PICTURES | endings.SOUNDS | endings.CLIPS | endings.OTHERS - {".srt", ".vtt"},
)  # fmt: skip
STANDARD_INPUT = "-"

_METHOD = 1
"""Raised whenever the same sources would give other tokens."""

_CHAR_UP_TO = 2**25
_BPE_SEES = 2**28
_LEAST = 100
_OWN_FILES = ("train.npy", "held_out.npy", tokens.FILE)


class Prepare(Options, frozen=True, kw_only=True):
    """Options of ``artgen text prepare``, for every text backend."""

    tokenizer: Annotated[
        Literal["auto", "char", "bpe"],
        Meta(description="char has a token for each character, bpe for frequent runs; auto takes bpe from 32 MB of text on."),
    ] = "auto"
    vocabulary: Annotated[
        int | None,
        Meta(
            ge=tokens.SPECIALS + 17, le=tokens.LARGEST, extra={"unit": "tokens"},
            description="Number of different tokens; unset: all usual characters, or for bpe the square root of the bytes.",
        ),
    ] = None  # fmt: skip
    encoding: Annotated[
        str, Meta(description="Encoding of the files, such as utf-8, cp1252 or gb18030; auto finds it out for each file.")
    ] = "auto"
    column: Annotated[
        str | None, Meta(description="Column of JSONL, CSV and TSV files that holds the text; unset: text, or the only one.")
    ] = None
    split: Annotated[
        str | None,
        Meta(
            description="What lies between documents of one file: line, blank-line, or the characters themselves (\\n ends a line)."
        ),
    ] = None
    held_out: Annotated[
        float, Meta(ge=0.001, le=0.5, description="Share of the text, at its end, that is kept from training to measure with.")
    ] = 0.1
    normalize: Annotated[
        Normal, Meta(description="Normal form of Unicode, with line feeds at line ends; none leaves the text as it is.")
    ] = "NFC"
    lowercase: Annotated[bool, Meta(description="Make all letters small.")] = False
    duplicates: Annotated[Literal["skip", "keep"], Meta(description="What happens to documents that are equal.")] = "skip"
    min_length: Annotated[int, Meta(ge=1, le=10**9, description="Skip shorter documents.", extra={"unit": "characters"})] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding != "auto":
            try:
                "".encode(self.encoding)
            except (LookupError, ValueError):
                told = "auto or the name of an encoding such as utf-8, cp1252 or gb18030"
                raise OptionError(f"--encoding takes {told}, not {self.encoding or 'nothing'}") from None
        if self.split == "":
            raise OptionError("--split takes line, blank-line or the characters between documents, not nothing")

    @property
    def reading(self) -> Reading:
        """How files become documents."""
        signs = self.split and re.sub(r"\\([nt])", lambda found: {"n": "\n", "t": "\t"}[found[1]], self.split)
        return Reading(self.encoding, self.column, signs, self.normalize, self.lowercase)


def prepare(sources: Sequence[str | Path], folder: str | Path, options: Prepare, progress: Progress = SILENT) -> Dataset:
    """Turn the texts in ``sources`` (``-`` is standard input) into a dataset in ``folder``.

    Raises:
        SourceError: a source is missing or unreadable, or there is too little text.
        OutputError: ``folder`` holds another dataset, or cannot be written.
        Interrupted: Ctrl-C; nothing is left behind.
    """
    folder = Path(folder)
    refuse_prepared(sources, "train", "text")
    with _scratch(folder) as scratch:
        found = _find(sources, folder, scratch)
        key = _key(found, options)
        if is_dataset(folder):
            dataset = present(folder, "text", key)
            progress.say(f"{folder}: this dataset is there already, with {len(dataset):,} tokens")
            return dataset
        for name in _OWN_FILES:
            if (folder / name).exists():
                raise OutputError(f"{folder}: holds a file {name} already but no dataset; choose another --output")
        try:
            return _make(found, folder, scratch, key, options, progress)
        except KeyboardInterrupt:
            _clean(folder)
            raise Interrupted("stopped; nothing was kept, and the same command begins anew") from None
        except ArtgenError:
            _clean(folder)
            raise


def tokenizer_of(dataset: Dataset) -> Tokenizer:
    """The tokenizer beside the tokens of a text dataset.

    Raises:
        DatasetError: it is missing or damaged.
    """
    try:
        return open_tokenizer(dataset.folder / tokens.FILE)
    except ModelError as error:
        raise DatasetError(f"{str(error).partition(';')[0]}; prepare the dataset again") from None


# --- what there is


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder inside ``folder``, so on the same disk, that is gone afterwards."""
    with sentences(folder):
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".tmp-"))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


def _clean(folder: Path) -> None:
    for name in _OWN_FILES:
        (folder / name).unlink(missing_ok=True)


def _find(sources: Sequence[str | Path], folder: Path, scratch: Path) -> Found:
    named = [source for source in sources if str(source) != STANDARD_INPUT]
    found = find(named, TEXTS, labels="none", exclude=folder) if named or not sources else Found([], [], {}, [], [])
    if len(found.items) > 1:
        legal = [item for item in found.items if is_licence(item.source.name)]
        found.items[:] = [item for item in found.items if item not in legal] or legal
        if len(found.items) and found.items != legal:
            found.skipped.extend(Skipped(item.source.name, "a licence, not a text to learn from") for item in legal)
    if len(named) < len(sources):
        found.items.append(Item(_spooled(scratch, found)))
    return found


def _spooled(scratch: Path, found: Found) -> Source:
    """Standard input as a file: it can only be read once, and a text is read twice."""
    place = scratch / "standard-input"
    with sentences(place), place.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    with place.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = place.stat().st_size
    found.origins.append({"name": "standard input", "kind": "stream", "files": 1, "bytes": size, "sha256": digest})
    return Source("standard input", str(place), size=size)


def _key(found: Found, options: Prepare) -> str:
    """A hash over all that decides the dataset: options and sources."""
    digest = hashlib.sha256(msgspec.json.encode([_METHOD, options.asdict(), found.origins]))
    for item in found.items:
        digest.update(msgspec.json.encode([item.source.name, item.source.size, item.source.stamp]))
    return digest.hexdigest()


# --- from texts to tokens


def _make(found: Found, folder: Path, scratch: Path, key: str, options: Prepare, progress: Progress) -> Dataset:
    for remark in found.remarks:
        progress.say(remark)
    with Corpus(scratch / "corpus", options.held_out, min_length=options.min_length, unique=options.duplicates == "skip") as corpus:
        told = _read(found, corpus, options, progress)
        if not corpus.documents:
            raise _nothing(found, told)
        if corpus.characters < _LEAST:
            raise SourceError(
                f"{_names(found)}: {corpus.characters} characters are too few to hold some out; give {_LEAST} at least"
            )
        corpus.cut()
        tokenizer = _tokenizer(corpus, options, progress)
        dataset = _write(corpus, tokenizer, folder, scratch, found, told, key, options, progress)
        for remark in _remarks(corpus, tokenizer, dataset):
            progress.say(remark)
    return dataset


def _read(found: Found, corpus: Corpus, options: Prepare, progress: Progress) -> dict[str, Any]:
    """Fill the corpus; returns the encodings with their numbers of files, and what was skipped."""
    encodings: Counter[str] = Counter()
    skipped: list[Skipped] = list(found.skipped)
    total = sum(item.source.size for item in found.items)
    without: list[SourceError] = []  # tables that have not the column asked for
    with_it = False
    progress.start("Reading texts", total, "bytes")
    try:
        with Reader() as reader:
            for item in found.items:
                told = Told()
                before = len(corpus.documents)
                try:
                    for document in documents(item.source, reader, options.reading, told):
                        corpus.add(document)
                    encodings[told.encoding] += 1
                    with_it = with_it or PurePath(item.source.name).suffix.lower() in TABLES
                except SourceError as error:
                    if len(found.items) == 1:  # what was typed, not one of many files
                        raise
                    if ": no column " in str(error):
                        without.append(error)
                    corpus.drop(before)
                    skipped.append(Skipped(item.source.name, str(error).removeprefix(f"{item.source.name}: ").partition("; ")[0]))
                for remark in told.remarks:
                    progress.say(remark)
                skipped.extend(Skipped(place, reason) for place, reason in told.skipped)
                progress.advance(item.source.size)
    finally:
        progress.finish()
    if without and not with_it:  # a column that no table has was mistyped
        raise without[0]
    return {"encodings": dict(encodings), "skipped": skipped}


def _tokenizer(corpus: Corpus, options: Prepare, progress: Progress) -> Tokenizer:
    kind = options.tokenizer
    if kind == "auto":
        kind = "char" if corpus.bytes <= _CHAR_UP_TO else "bpe"
    if kind == "char":
        # Of the whole text, as is usual: a character of the held-out part alone has an id, and nothing is learned from that part.
        return CharTokenizer.from_counts(corpus.inventory(), options.vocabulary)
    progress.start("Learning byte pairs", None, "")
    try:
        size = options.vocabulary or tokens.vocabulary_for(corpus.bytes)
        return BpeTokenizer.train(corpus.training_text(_BPE_SEES), size)
    finally:
        progress.finish()


def _write(
    corpus: Corpus, tokenizer: Tokenizer, folder: Path, scratch: Path, found: Found, told: dict[str, Any], key: str,
    options: Prepare, progress: Progress,
) -> Dataset:  # fmt: skip
    counts, digests = _encode(corpus, tokenizer, scratch, progress)
    with sentences(folder):
        tokenizer.save(folder / tokens.FILE)
        for name in counts:
            (scratch / f"{name}.npy").replace(folder / f"{name}.npy")
    manifest = Manifest(
        artgen=version("artgen"), kind="text", count=counts["train"],
        arrays={name: f"{name}.npy" for name in counts}, shapes={name: [count] for name, count in counts.items()},
        options=options.asdict(), sources=found.origins, skipped=told["skipped"],
        notes=_notes(corpus, tokenizer, told, found) | {"key": key},
        fingerprint=fingerprint(*digests, tokenizer.to_bytes()),
    )  # fmt: skip
    return write_manifest(folder, manifest)


def _encode(
    corpus: Corpus, tokenizer: Tokenizer, scratch: Path, progress: Progress
) -> tuple[dict[str, int], list[bytes]]:  # fmt: skip
    """Write both arrays into ``scratch``; returns their lengths and hashes."""
    kind = np.dtype(np.uint16 if tokenizer.size <= 2**16 else np.uint32)
    many = len(corpus.documents) > 1
    with contextlib.ExitStack() as stack:
        files = {
            name: stack.enter_context(contextlib.closing(TokenFile(scratch / f"{name}.npy", kind)))
            for name in ("train", "held_out")
        }
        progress.start("Writing tokens", corpus.characters, "characters")
        stack.callback(progress.finish)
        for name, batch in corpus.batches():
            for ids, (text, whole) in zip(tokenizer.encode_all([text for text, _ in batch]), batch, strict=True):
                files[name].add(ids)
                if whole and many:
                    files[name].add(np.array([tokens.END]))
                progress.advance(len(text))
        return {name: file.finish() for name, file in files.items()}, [file.digest for file in files.values()]


def _notes(corpus: Corpus, tokenizer: Tokenizer, told: dict[str, Any], found: Found) -> dict[str, Any]:
    notes: dict[str, Any] = {
        "tokenizer": tokenizer.kind,
        "vocabulary": tokenizer.size,
        "characters": corpus.characters,
        "bytes": corpus.bytes,
        "documents": len(corpus.documents),
        "held_out_characters": corpus.characters - corpus.training_characters,
        "encodings": told["encodings"],
        "duplicates": corpus.duplicates,
        "too_short": corpus.too_short,
        "advice": advice(corpus.training_characters),
    }
    return notes | found.notes


def advice(characters: int) -> str:
    """The preset of ``train`` that fits a text of so many characters, in one sentence."""
    if characters < 300_000:
        return "--preset sketch: a larger model would learn so little text by heart"
    if characters < 20_000_000:
        return "--preset sketch for minutes, standard for hours; large would learn much of the text by heart"
    return "--preset standard, or large with a GPU: there is text enough for it"


def _remarks(corpus: Corpus, tokenizer: Tokenizer, dataset: Dataset) -> Iterator[str]:
    notes = dataset.manifest.notes
    held = notes["held_out_characters"]
    yield (
        f"{notes['characters']:,} characters in {_count(notes['documents'], 'document')}; "
        f"{held:,} held out ({100 * held / notes['characters']:.1f} %)"
    )
    yield f"tokenizer {tokenizer.kind} with {tokenizer.size:,} tokens; {len(dataset):,} tokens to train on"
    if [*notes["encodings"]] != ["utf-8"]:
        yield "encodings: " + ", ".join(f"{name} ({_count(files, 'file')})" for name, files in notes["encodings"].items())
    if corpus.inside:
        yield "the held-out part begins inside a document: no end of a document lies near its share"
    if corpus.duplicates:
        yield f"{_count(corpus.duplicates, 'duplicate')} left out; --duplicates keep keeps them"
    if corpus.too_short:
        yield f"{_count(corpus.too_short, 'document')} shorter than --min-length left out"
    skipped = dataset.manifest.skipped
    if skipped:
        yield f"{len(skipped)} skipped; the first: {skipped[0].file}: {skipped[0].reason}"
    if len(corpus.inventory()) == 1:
        yield "the text is one character repeated: a model of it can say nothing else"
    yield f"to train: {notes['advice']}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _names(found: Found) -> str:
    few = len(found.items) <= 3
    return ", ".join([item.source.name for item in found.items] if few else [str(origin["name"]) for origin in found.origins[:3]])


def _nothing(found: Found, told: dict[str, Any]) -> SourceError:
    skipped: list[Skipped] = told["skipped"]
    if not skipped:
        return SourceError(f"{_names(found)}: no text in it, only blanks; give a text")
    first = f"the first: {skipped[0].file}: {skipped[0].reason}"
    return SourceError(f"{_names(found)}: none of {len(found.items)} files holds a usable text; {first}")
