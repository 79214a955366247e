"""The history: every work that was saved, with its recipe, in one SQLite file of the user; nothing leaves the machine.

It is written beside the work and never stands in its way: a history that is locked, full, damaged or not allowed to be written
costs one sentence, and the work is kept. Several processes may write at once.

``ARTGEN_HISTORY=off`` or ``history = false`` in the settings switch it off; ``ARTGEN_HISTORY=FILE`` puts it elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artgen.errors import ArtgenError, OptionError, UsageError
from artgen.files import write_atomically
from artgen.recipe import Recipe, read_json
from artgen.settings import setting

if TYPE_CHECKING:
    import sqlite3

SWITCH = "ARTGEN_HISTORY"
_VERSION = 1
_PATIENCE = 5.0
"""Seconds to wait for another process that writes; after that the work is not remembered."""

_TABLES = """
CREATE TABLE works (
    id INTEGER PRIMARY KEY, made TEXT NOT NULL, path TEXT NOT NULL, modality TEXT NOT NULL, verb TEXT NOT NULL,
    backend TEXT NOT NULL, model TEXT NOT NULL, sha256 TEXT NOT NULL, prompt TEXT NOT NULL, recipe TEXT NOT NULL
);
CREATE TABLE seeds (work INTEGER NOT NULL REFERENCES works ON DELETE CASCADE, seed INTEGER NOT NULL);
CREATE INDEX seeds_seed ON seeds (seed);
CREATE INDEX seeds_work ON seeds (work);
CREATE INDEX works_made ON works (made);
"""
_paused = 0
_given_up = False


@dataclass(frozen=True)
class Entry:
    """One work: ``id`` names it in the history, ``made`` is when (UTC), ``path`` where it was saved, empty where it was not."""

    id: int
    made: str
    path: str
    modality: str
    verb: str
    backend: str
    model: str
    prompt: str
    recipe: Recipe

    @property
    def there(self) -> bool:
        """Whether its file is still where it was saved."""
        return bool(self.path) and Path(self.path).is_file()

    def asdict(self) -> dict[str, Any]:
        """The facts as plain values, the recipe as it would stand in the file."""
        told = {
            name: getattr(self, name) for name in ("id", "made", "path", "there", "modality", "verb", "backend", "model", "prompt")
        }
        return {**told, "seeds": list(self.recipe.seeds), "recipe": json.loads(self.recipe.to_json())}


def place() -> Path:
    """Where the history is kept: the user's folder for data, by the rules of the platform, or what ``ARTGEN_HISTORY`` names."""
    own = os.environ.get(SWITCH, "")
    if own and own.lower() not in ("on", "off"):
        return Path(own)
    if home := os.environ.get("ARTGEN_HOME"):
        return Path(home) / "history.sqlite"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "artgen" / "history.sqlite"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "artgen" / "history.sqlite"
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data.startswith("/") else Path.home() / ".local" / "share") / "artgen" / "history.sqlite"


def enabled() -> bool:
    """Whether works are remembered: the environment wins over the settings.

    Raises:
        UsageError: the settings are damaged.
    """
    own = os.environ.get(SWITCH, "").lower()
    return own != "off" if own else setting("history") is not False


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Remember nothing in this block: works that are made to test something are nobody's."""
    global _paused
    _paused += 1
    try:
        yield
    finally:
        _paused -= 1


def record(recipe: Recipe | None, path: str | os.PathLike[str] | None = None) -> None:
    """Remember a work that has a recipe, saved at ``path`` or only shown; never raises for a fault of the history itself."""
    global _given_up
    if recipe is None or not recipe.backend or _paused or _given_up:
        return
    import sqlite3

    try:
        if enabled():
            with _opened(write=True) as base:
                _insert(base, recipe, str(Path(path).resolve()) if path is not None else "")
    except (sqlite3.Error, OSError, ArtgenError) as error:
        _given_up = True  # waiting for the same fault at every work would cost more than it could bring
        where = "" if isinstance(error, ArtgenError) else f"{place()}: "
        told = f"{where}{error}; the work is kept, the history is not written (artgen doctor --only history)"
        import logging

        logging.getLogger("artgen").warning("%s", told)


def search(
    *,
    prompt: str | None = None,
    model: str | None = None,
    seed: int | None = None,
    since: str | None = None,
    until: str | None = None,
    modality: str | None = None,
    backend: str | None = None,
    limit: int | None = None,
) -> list[Entry]:
    """The works that fit everything that is given, newest first.

    ``prompt`` and ``model`` are parts of it in any case (a model also the beginning of its sha256); ``since`` and ``until`` are
    moments as :func:`moment` reads them.

    Raises:
        ArtgenError: the history is damaged or cannot be read.
        OptionError: a date is none.
    """
    conditions: list[tuple[str, list[Any]]] = []
    if prompt is not None:
        conditions.append(("prompt LIKE ? ESCAPE '\\'", [_part(prompt)]))
    if model is not None:
        conditions.append(("(model LIKE ? ESCAPE '\\' OR sha256 LIKE ? ESCAPE '\\')", [_part(model), _part(model)[1:]]))
    if seed is not None:
        conditions.append(("id IN (SELECT work FROM seeds WHERE seed = ?)", [seed]))
    if since is not None:
        conditions.append(("made >= ?", [moment("--since", since)]))
    if until is not None:
        conditions.append(("made < ?", [moment("--until", until, end=True)]))
    if modality is not None:
        conditions.append(("modality = ?", [modality]))
    if backend is not None:
        conditions.append(("(backend = ? OR backend LIKE ? ESCAPE '\\')", [backend, "%." + _escaped(backend)]))
    where = " AND ".join(text for text, _ in conditions) or "1"
    values = [value for _, found in conditions for value in found]
    return _select(f"{where} ORDER BY id DESC LIMIT ?", [*values, -1 if limit is None else limit])


def get(number: int) -> Entry:
    """One work by its number.

    Raises:
        UsageError: there is none of that number.
    """
    found = _select("id = ?", [number])
    if not found:
        raise UsageError(f"no work {number} in the history; artgen history lists them")
    return found[0]


def forget(numbers: Sequence[int] | None = None) -> int:
    """Take works out of the history, all of them where no numbers are given; their files stay. Returns how many went.

    Raises:
        ArtgenError: the history cannot be written.
    """
    if not place().is_file():
        return 0
    with _sentences(), _opened(write=True) as base:
        if numbers is None:
            gone = base.execute("DELETE FROM works").rowcount
        else:
            gone = sum(base.execute("DELETE FROM works WHERE id = ?", [number]).rowcount for number in numbers)
    with _sentences(), _opened(write=True) as base:
        base.commit()
        base.execute("VACUUM")  # what is forgotten is not left in free pages of the file
    return int(gone)


def export(entries: Sequence[Entry], path: str | os.PathLike[str]) -> Path:
    """Write works to ``.json`` (everything), ``.jsonl`` (a work a line) or ``.csv`` (a table); an existing file is replaced.

    Raises:
        UsageError: the ending is none of these.
        OutputError: the place cannot be written.
    """
    path = Path(path)
    told = [entry.asdict() for entry in entries]
    if path.suffix.lower() == ".json":
        text = json.dumps({"works": told}, ensure_ascii=False, indent=1) + "\n"
    elif path.suffix.lower() == ".jsonl":
        text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in told)
    elif path.suffix.lower() == ".csv":
        columns = ("id", "made", "path", "modality", "verb", "backend", "model", "seeds", "prompt", "recipe")
        import csv
        import io

        lines = io.StringIO()
        table = csv.writer(lines)
        table.writerow(columns)
        for each in told:
            each |= {"seeds": " ".join(map(str, each["seeds"])), "recipe": json.dumps(each["recipe"], ensure_ascii=False)}
            table.writerow([each[name] for name in columns])
        text = lines.getvalue()
    else:
        raise UsageError(f"{path}: the history is exported as .json, .jsonl or .csv, not {path.suffix or 'no ending'}")
    write_atomically(path, text.encode("utf-8", "replace"))
    return path


def verify() -> int:
    """How many works there are, after the file was checked and a write was tried.

    Raises:
        ArtgenError: it is damaged, locked, or cannot be written.
    """
    with _sentences(), _opened(write=True) as base:
        (fault,) = base.execute("PRAGMA quick_check(1)").fetchone()
        if fault != "ok":
            raise ArtgenError(f"{place()}: damaged ({fault})")
        return int(base.execute("SELECT count(*) FROM works").fetchone()[0])


def moment(flag: str, text: str, *, end: bool = False) -> str:
    """The moment that ``text`` names, in UTC as it stands in the history; ``end`` takes the end of a day that is named.

    ``today``, ``yesterday``, ``3d`` or ``12h`` (ago), ``2026-11-26`` or ``2026-11-26 18:30``, in local time.

    Raises:
        OptionError: it is none of these.
    """
    now = datetime.now().astimezone()
    day = timedelta(days=1) if end else timedelta()
    words = {"today": timedelta(), "yesterday": timedelta(days=1)}
    if text in words:
        found = now.replace(hour=0, minute=0, second=0, microsecond=0) - words[text] + day
    elif text[:-1].isdigit() and text[-1] in "hd":
        try:
            found = now - timedelta(**{{"h": "hours", "d": "days"}[text[-1]]: int(text[:-1])})
        except OverflowError:
            found = datetime.min.replace(tzinfo=UTC)
    else:
        try:
            found = datetime.fromisoformat(text).astimezone() + (day if len(text) <= 10 else timedelta())
        except (ValueError, OverflowError):
            raise OptionError(
                f"{flag} takes a day (2026-11-26), a time (2026-11-26 18:30), today, yesterday, 3d or 12h, not {text}"
            ) from None
    return found.astimezone(UTC).isoformat(timespec="microseconds")


def prompt_of(recipe: Recipe) -> str:
    """What the work was asked for in words: the options that are prompts, a line each."""
    found = []
    for name, value in recipe.options.items():
        if "prompt" in name:
            found += [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
    return "\n".join(found)


def _insert(base: sqlite3.Connection, recipe: Recipe, path: str) -> None:
    model = recipe.model.get("name", "")
    row = [
        datetime.now(UTC).isoformat(timespec="microseconds"), path, recipe.modality, recipe.verb, recipe.backend, model,
        recipe.model.get("sha256", ""), prompt_of(recipe), recipe.to_json(),
    ]  # fmt: skip
    speakable = [value.encode("utf-8", "replace").decode() for value in row]  # names of files on Linux may hold any bytes
    marks = ", ".join("?" * len(row))
    number = base.execute(
        f"INSERT INTO works (made, path, modality, verb, backend, model, sha256, prompt, recipe) VALUES ({marks})", speakable
    ).lastrowid
    base.executemany("INSERT INTO seeds VALUES (?, ?)", [(number, seed) for seed in recipe.seeds])


def _select(where: str, values: Sequence[Any]) -> list[Entry]:
    if not place().is_file():
        return []
    columns = "id, made, path, modality, verb, backend, model, prompt, recipe"
    with _sentences(), _opened(write=False) as base:
        if base.execute("PRAGMA user_version").fetchone() == (0,):
            return []  # another process is making it at this moment
        rows = base.execute(f"SELECT {columns} FROM works WHERE {where}", values).fetchall()
    named = (dict(zip(columns.split(", "), row, strict=True)) for row in rows)
    return [Entry(**{**row, "recipe": recipe}) for row in named if (recipe := _recipe(row["recipe"])) is not None]


def _recipe(text: str) -> Recipe | None:
    import msgspec

    try:  # read_json refuses a recipe that could not be replayed; here it is still a work that was made
        return read_json(text) or msgspec.json.decode(text, type=Recipe)
    except msgspec.DecodeError:
        return None


@contextlib.contextmanager
def _opened(*, write: bool) -> Iterator[sqlite3.Connection]:
    """The history, made where it is not there yet; what is written is kept when the block ends well."""
    import sqlite3

    path = place()
    if write:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            path.touch(mode=0o600, exist_ok=False)  # prompts and names of files are the user's own
    base = sqlite3.connect(path, timeout=_PATIENCE)
    try:
        base.execute("PRAGMA foreign_keys = ON")
        (version,) = base.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise ArtgenError(f"{path}: written by a newer artgen; update artgen")
        if write:
            base.execute("PRAGMA synchronous = NORMAL")
            if version == 0:
                _create(base)
        with base:
            if write:
                base.execute("BEGIN IMMEDIATE")
            yield base
    finally:
        base.close()


def _create(base: sqlite3.Connection) -> None:
    import sqlite3

    # Readers and writers do not wait for one another then, and a commit waits for no disk. Of two processes that switch at once
    # SQLite refuses one without any patience; the other switches for both.
    with contextlib.suppress(sqlite3.OperationalError):
        base.execute("PRAGMA journal_mode = WAL")
    base.execute("BEGIN IMMEDIATE")
    if base.execute("PRAGMA user_version").fetchone() == (0,):  # another process may have been faster
        for statement in _TABLES.split(";"):
            base.execute(statement)
        base.execute(f"PRAGMA user_version = {_VERSION}")
    base.commit()


@contextlib.contextmanager
def _sentences() -> Iterator[None]:
    """Turn what SQLite raises into a sentence."""
    import sqlite3

    try:
        yield
    except sqlite3.OperationalError as error:
        told = "another process has locked it" if "locked" in str(error) else str(error)
        raise ArtgenError(f"{place()}: {told}; try again, or see artgen doctor --only history") from None
    except sqlite3.DatabaseError as error:
        raise ArtgenError(
            f"{place()}: damaged ({error}); move it away and a new one is begun: mv '{place()}' '{place()}.old'"
        ) from None
    except OSError as error:
        raise ArtgenError(f"{place()}: {error.strerror or error}") from None


def _part(text: str) -> str:
    return f"%{_escaped(text)}%"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
