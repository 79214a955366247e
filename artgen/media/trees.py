"""What the user typed (folders, archives, files, patterns) as trees of files, without reading any of them."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from artgen.errors import SourceError
from artgen.files import similar
from artgen.media.archives import Source, archive_kind, compressed_tar, list_archive, printable
from artgen.recipe import file_sha256

METADATA = ("metadata.jsonl", "metadata.csv")
"""Tables beside the files that tell about them."""

HASHED = 2**30
"""Bytes up to which an archive is known by its hash; a larger one by size and time, because reading it takes minutes."""

_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db"})
_TEXTS = frozenset(
    {".txt", ".md", ".rst", ".adoc", ".json", ".jsonl", ".csv", ".tsv", ".xml", ".html", ".htm", ".yaml", ".yml", ".toml"}
    | {".ini", ".cfg", ".log", ".py", ".sh", ".tex", ".doc", ".docx", ".odt"}
)
_LEGAL = re.compile(r"(?i)(?:^|[\s_.-])(licen[cs]es?|copying|copyright|credits|notice)(?:$|[\s_.-])")
_ABOUT = re.compile(r"(?i)^(readme|changelog|authors|contributors)$")


@dataclass
class Tree:
    """The files of one source: ``files`` maps the path inside it to where its bytes are, in order.

    ``wanted`` are the paths of those that may become items, ``rows`` what the metadata tell about a path, ``beside`` those
    that nobody asked for: captions and licences that lie beside chosen files.
    """

    name: str
    kind: str
    path: Path
    files: dict[str, Source]
    wanted: list[str] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    beside: frozenset[str] = frozenset()


def _is_junk(inside: str) -> bool:
    return any(part.startswith(".") or part.casefold() in _JUNK for part in inside.split("/") if part not in (".", ".."))


def is_licence(inside: str) -> bool:
    """Whether the name of a file says that it holds a licence or credits."""
    return bool(_LEGAL.search(PurePosixPath(inside).name))


def is_aside(inside: str, wanted: frozenset[str]) -> bool:
    """Whether a file belongs to a collection without being an item: texts (but for the endings ``wanted``), metadata, licences."""
    path = PurePosixPath(inside)
    if path.suffix.lower() in wanted and path.name not in METADATA:
        return False
    return path.suffix.lower() in _TEXTS or (not path.suffix and bool(_LEGAL.search(path.name) or _ABOUT.search(path.name)))


def origin(tree: Tree) -> dict[str, Any]:
    """What ``dataset.json`` tells of a source: name, kind, number of files, and which version of an archive it was."""
    told: dict[str, Any] = {"name": tree.name, "kind": tree.kind, "files": len(tree.wanted)}
    if tree.kind in ("zip", "tar"):
        status = tree.path.stat()
        told["bytes"] = status.st_size
        if status.st_size <= HASHED:
            told["sha256"] = file_sha256(tree.path)
        else:
            told["modified"] = status.st_mtime_ns
    return told


def natural(path: str) -> tuple[object, ...]:
    """A sort key under which numbers count as numbers: ``2.png`` comes before ``10.png``."""
    parts = []
    for part in path.casefold().split("/"):
        pieces = re.split(r"([0-9]+)", part)
        # Digits as (length, text): int() refuses the thousands of digits that a name in an archive may have.
        parts.append(tuple((len(p.lstrip("0")), p.lstrip("0")) if i % 2 else p for i, p in enumerate(pieces)))
    return tuple(parts), path


def trees(sources: list[str], exclude: Path | None) -> Iterator[Tree]:
    """A tree a source; files typed one after another from one folder make one tree. ``exclude`` is a folder to leave out.

    Raises:
        SourceError: a source is missing, cannot be read, or is a pattern that matches nothing.
    """
    loose: list[Path] = []
    for source in sources:
        path = Path(source).expanduser()
        if path.is_file() and not archive_kind(path):
            loose.append(path)
            continue
        yield from _loose_trees(loose)
        loose = []
        if path.is_dir():
            yield _folder_tree(path, exclude)
        elif path.is_file():
            yield _archive_tree(path)
        elif glob.has_magic(source):
            yield from _glob_trees(str(path), source, exclude)
        else:
            hint = similar(source) or "; check the spelling, or give a folder, an archive or a pattern"
            raise SourceError(f"{source}: no such file or folder{hint}")
    yield from _loose_trees(loose)


def _folder_tree(path: Path, exclude: Path | None) -> Tree:
    files = [(str(file.relative_to(path).as_posix()), file) for file in _walk(path, exclude)]
    name = printable(path.resolve().name or str(path))
    return Tree(name, "folder", path, _plain_files(name, files))


def _archive_tree(path: Path) -> Tree:
    try:
        listed = list_archive(path)
        in_order = compressed_tar(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    listed = [(inside, source) for inside, source in listed if not _is_junk(inside)]
    if not in_order:
        listed.sort(key=lambda entry: natural(entry[0]))
    return Tree(printable(path.name), archive_kind(path), path, dict(listed))


def _glob_trees(pattern: str, typed: str, exclude: Path | None) -> Iterator[Tree]:
    parts = Path(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    outside = exclude.resolve() if exclude else None
    files: dict[Path, None] = {}
    archives: list[Path] = []
    matches = {Path(match) for match in glob.glob(pattern, recursive=True)}  # noqa: PTH207 - Path.glob takes no absolute pattern
    for match in sorted(matches, key=lambda path: natural(path.as_posix())):
        if outside and outside in (match.resolve(), *match.resolve().parents):
            continue
        if match.is_dir():
            # `**` matches every folder as well; only a pattern that ends in a wildcard of names means what is in them.
            if parts[-1] != "**":
                files.update(dict.fromkeys(_walk(match, exclude)))
        elif archive_kind(match):
            archives.append(match)
        else:
            files[match] = None
    if not files and not archives:
        raise SourceError(f"{typed}: no file matches this pattern; check it, and put it in quotes")
    if files:
        yield _beside(printable(base.resolve().name or str(base)), "pattern", base, files)
    yield from map(_archive_tree, archives)


def _loose_trees(files: list[Path]) -> Iterator[Tree]:
    """Files typed one by one (or by the shell), grouped as long as they lie in the same folder."""
    group: list[Path] = []
    for file in files:
        if group and file.parent != group[0].parent:
            yield _beside(printable(group[0].parent.resolve().name), "files", group[0].parent, group, typed=True)
            group = []
        group.append(file)
    if group:
        yield _beside(printable(group[0].parent.resolve().name), "files", group[0].parent, group, typed=True)


def _beside(name: str, kind: str, base: Path, files: Iterable[Path], *, typed: bool = False) -> Tree:
    """A tree of chosen files, with the captions and licences that lie beside them."""
    chosen = {file.relative_to(base).as_posix(): file for file in files}
    asked = {printable(inside) for inside in chosen}
    folders = {base} | {parent for file in chosen.values() for parent in file.parents if base in (parent, *parent.parents)}
    for folder in folders:
        for file in folder.iterdir():
            inside = file.relative_to(base).as_posix()
            if inside not in chosen and not _is_junk(inside) and is_aside(inside, frozenset()) and file.is_file():
                chosen[inside] = file
    listed = list(chosen.items())
    files_of = _plain_files(name, listed, keep_order=typed)
    return Tree(name, kind, base, files_of, beside=frozenset(files_of) - asked)


def _walk(folder: Path, exclude: Path | None) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename}: the folder cannot be read ({error.strerror}); check its permissions")

    seen: set[Path] = set()
    outside = exclude.resolve() if exclude else None
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        here = Path(place)
        real = here.resolve()
        # A link to a folder above would be walked for ever.
        if real in seen or real == outside:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _is_junk(name))
        yield from (here / name for name in files if not _is_junk(name))


def _plain_files(name: str, files: Iterable[tuple[str, Path]], *, keep_order: bool = False) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for inside, file in files if keep_order else sorted(files, key=lambda entry: natural(entry[0])):
        shown = printable(inside)
        try:
            status = file.stat()
        except OSError:  # a broken link: listed, so that reading it says so
            sources[shown] = Source(f"{name}/{shown}", str(file))
            continue
        if file.is_file():  # no pipes or devices
            sources[shown] = Source(f"{name}/{shown}", str(file), size=status.st_size, stamp=status.st_mtime_ns)
    return sources
