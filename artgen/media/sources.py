"""From what the user typed (folders, archives, files, patterns) to a list of items with labels and captions.

Shared by the ``prepare`` of every modality. A caption comes from ``metadata.jsonl`` or ``metadata.csv`` beside the
files (columns ``file_name`` and ``text``), else from a text file of the same stem, else there is none. A label comes from
the folder a file lies in, else from the column ``label`` of the metadata.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from artgen.dataset import Skipped
from artgen.errors import SourceError
from artgen.media import endings, sequences
from artgen.media.archives import FILE_LIMIT, Reader, Source, archive_kind
from artgen.media.trees import METADATA, Tree, is_aside, is_licence, origin, trees

Labels = Literal["auto", "folders", "none"]

_CAPTION_COLUMNS = ("text", "caption", "prompt")
_SPLITS = frozenset({"train", "training", "test", "testing", "val", "valid", "validation"})
_CAPTION_LIMIT = 64 * 2**10


@dataclass(frozen=True)
class Media:
    """What a modality looks for: its noun and plural for messages.

    ``texts`` are the endings of text files that are items of this modality; elsewhere texts only tell about the items. ``others``
    are endings of files that are none of this modality: unless they are typed one by one, they are left out and counted, not
    read. ``sequences`` makes one item of the numbered pictures of a folder.
    """

    noun: str
    plural: str
    texts: frozenset[str] = frozenset()
    sequences: bool = False
    others: frozenset[str] = frozenset()


PICTURES = Media("picture", "pictures", others=endings.SOUNDS | endings.CLIPS | endings.OTHERS)


@dataclass(frozen=True, slots=True)
class Item:
    """One file that may become an item of the dataset, with its class name and caption (empty where there is none).

    ``frames`` are the files of a folder of numbered pictures, for which ``source`` stands.
    """

    source: Source
    label: str = ""
    caption: str = ""
    frames: tuple[Source, ...] = ()


@dataclass(frozen=True)
class Found:
    """What the sources hold.

    ``origins`` tells for the manifest what was given, ``licences`` the first line of every licence file, ``remarks`` are
    sentences for the user, ``skipped`` files that are none of this modality for a reason that is known without reading them,
    ``strangers`` counts by their endings the files that are none of it by their names and tell nothing about the others.
    """

    items: list[Item]
    origins: list[dict[str, Any]]
    licences: dict[str, str]
    skipped: list[Skipped]
    remarks: list[str]
    strangers: Counter[str] = field(default_factory=Counter)

    @property
    def notes(self) -> dict[str, Any]:
        """What ``dataset.json`` notes of the files beside the items."""
        notes: dict[str, Any] = {"licences": self.licences} if self.licences else {}
        return notes | ({"left_out": dict(self.strangers.most_common())} if self.strangers else {})


def find(sources: Sequence[str | Path], media: Media, *, labels: Labels = "auto", exclude: Path | None = None) -> Found:
    """List the files of ``media`` in ``sources``: folders (recursive), zip and tar archives, files and patterns with ``**``.

    Order: that of ``sources``, and inside each the natural order of the names (2 before 10); a compressed tar keeps its own.
    Hidden files are left out, and so is everything below the folder ``exclude``.

    Raises:
        SourceError: nothing was given, a source is missing, unreadable, or has no file of this kind.
    """
    if not sources:
        raise SourceError(f"no source was given; name a folder, an archive or files with {media.plural}")
    given = list(trees([str(source) for source in sources], exclude))
    found = Found([], [], {}, [], [])
    frames: list[dict[str, tuple[Source, ...]]] = []
    with Reader() as reader:
        for tree in given:
            _sort_out(tree, media, found)
            frames.append(sequences.join(tree, reader, found.remarks) if media.sequences else {})
            tree.rows = _metadata(tree, reader, found)
            _licences(tree, media, reader, found)
        classes = _classes(given, labels, found)
        for tree, names, joined in zip(given, classes, frames, strict=True):
            captions = _captions(tree, media, reader)
            _strangers(tree, media, found)
            found.items.extend(
                Item(tree.files[path], name, caption, joined.get(path, ()))
                for path, name, caption in zip(tree.wanted, names, captions, strict=True)
            )
            found.origins.append(origin(tree))
    if found.strangers:
        found.remarks.append(_told(found.strangers, media))
    return found


def _sort_out(tree: Tree, media: Media, found: Found) -> None:
    asides: Counter[str] = Counter()
    for inside, source in tree.files.items():
        if inside in tree.beside or _is_stranger(tree, inside, media):
            asides[PurePosixPath(inside).suffix.lower() or PurePosixPath(inside).name] += 1
        elif archive_kind(inside):
            found.skipped.append(Skipped(source.name, "an archive inside another source; give it as a source of its own"))
            asides["archives"] += 1
        else:
            tree.wanted.append(inside)
    if not tree.wanted:
        place = tree.path if tree.kind != "pattern" else tree.name
        if not asides:
            raise SourceError(f"{place}: empty; give a folder, an archive or files with {media.plural}")
        listed = ", ".join(f"{count} {kind}" for kind, count in asides.most_common(4))
        raise SourceError(f"{place}: no {media.noun} in it, only other files ({listed}); give one with {media.plural}")


def _is_stranger(tree: Tree, inside: str, media: Media) -> bool:
    if is_aside(inside, media.texts):
        return True
    return tree.kind != "files" and PurePosixPath(inside).suffix.lower() in media.others  # what was typed is tried


def _strangers(tree: Tree, media: Media, found: Found) -> None:
    """Count the files that are none by their names and of no use: no captions, metadata or licences, nor any that nobody gave."""
    used = {str(PurePosixPath(inside).with_suffix(".txt")) for inside in tree.wanted} if ".txt" not in media.texts else set()
    for inside in tree.files:
        path = PurePosixPath(inside)
        if inside in tree.beside or inside in used or path.name in METADATA or is_licence(inside):
            continue
        if _is_stranger(tree, inside, media):
            found.strangers[path.suffix.lower() or path.name] += 1


def _told(strangers: Counter[str], media: Media) -> str:
    listed = ", ".join(f"{kind} {count}" for kind, count in strangers.most_common(5)) + (", …" if len(strangers) > 5 else "")
    count = strangers.total()
    files = f"1 file is no {media.noun} by its name" if count == 1 else f"{count} files are no {media.plural} by their names"
    return f"{files} ({listed}): left out"


def _licences(tree: Tree, media: Media, reader: Reader, found: Found) -> None:
    for inside, source in tree.files.items():
        stem = PurePosixPath(inside).name
        if is_aside(inside, media.texts) and is_licence(inside) and stem not in METADATA and source.size <= FILE_LIMIT:
            text = reader.read(source)[:_CAPTION_LIMIT].decode("utf-8", "replace")
            found.licences[source.name] = next((line.strip() for line in text.splitlines() if line.strip()), "")[:200]


# --- captions and labels


def _metadata(tree: Tree, reader: Reader, found: Found) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for inside, source in tree.files.items():
        path = PurePosixPath(inside)
        if path.name not in METADATA:
            continue
        for row in _rows(reader.read(source), source.name):
            file_name = row.get("file_name")
            if isinstance(file_name, str):
                rows[str(path.parent / file_name.replace("\\", "/"))] = row
    lost = len(rows.keys() - tree.files.keys())
    if lost:
        found.remarks.append(f"{tree.name}: files named in the metadata but not there: {lost}")
    return rows


def _rows(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SourceError(f"{name}: not UTF-8 text; save it as UTF-8") from None
    if name.endswith(".csv"):
        try:
            yield from csv.DictReader(io.StringIO(text, newline=""))
        except csv.Error as error:
            raise SourceError(f"{name}: not a CSV table ({error}); correct it") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError as error:
                raise SourceError(f"{name}: line {number} is not a JSON object ({error}); correct or delete it") from None


def _captions(tree: Tree, media: Media, reader: Reader) -> list[str]:
    beside: dict[str, str] = {}
    if ".txt" not in media.texts:
        wanted = {str(PurePosixPath(inside).with_suffix(".txt")) for inside in tree.wanted}
        for inside, source in tree.files.items():
            if inside in wanted and source.size <= _CAPTION_LIMIT:
                beside[inside] = reader.read(source).decode("utf-8-sig", "replace").strip()
    captions = []
    for inside in tree.wanted:
        row = tree.rows.get(inside, {})
        texts = (row[column] for column in _CAPTION_COLUMNS if isinstance(row.get(column), str))
        captions.append(next(texts, "").strip() or beside.get(str(PurePosixPath(inside).with_suffix(".txt")), ""))
    return captions


def _classes(given: list[Tree], labels: Labels, found: Found) -> list[list[str]]:
    """The class name of every wanted file of every tree, all empty when the data have no classes."""
    none = [[""] * len(tree.wanted) for tree in given]
    if labels == "none":
        return none
    folders = [_folder_names(tree) for tree in given]
    if labels == "folders":
        return [[name or top for name in names] for names, top in folders]
    per_tree = [names for names, _ in folders]
    if all(len(set(names)) > 1 and all(names) for names in per_tree):
        return per_tree
    columns = [[_label(tree.rows.get(inside, {})) for inside in tree.wanted] for tree in given]
    if all(all(names) for names in columns) and len({name for names in columns for name in names}) > 1:
        return columns
    if any(len(set(names) - {""}) > 1 for names in per_tree):
        found.remarks.append("some files lie in no class folder, so there are no classes; --labels folders makes classes anyway")
    return none


def _folder_names(tree: Tree) -> tuple[list[str], str]:
    """The first folder each file lies in, and what a file in none is called.

    A single folder around everything (as zip makers add) is looked through, and so are ``train``, ``test`` and the like.
    """
    folders = [PurePosixPath(inside).parent.parts for inside in tree.wanted]
    top = PurePosixPath(tree.name).name
    if tree.kind in ("zip", "tar"):
        top = re.sub(r"(?i)(\.tar)?\.[a-z0-9]+$", "", top)
    while all(folders):
        first = {parts[0] for parts in folders}
        if len(first) > 1 and not {name.lower() for name in first} <= _SPLITS:
            break
        top = folders[0][0] if len(first) == 1 else top
        folders = [parts[1:] for parts in folders]
    return [parts[0] if parts else "" for parts in folders], top


def _label(row: dict[str, Any]) -> str:
    label = row.get("label")
    return str(label).strip() if isinstance(label, str | int) and not isinstance(label, bool) else ""
