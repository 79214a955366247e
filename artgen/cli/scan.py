"""Look at the words typed before any parsing, to know which one command needs its full flags.

Only that backend is imported; a wrong guess costs nothing, since the verbs check everything again.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

COMPLETE = "_ARTGEN_COMPLETE"


@dataclass(frozen=True)
class Scan:
    """What the words say: ``command`` is a modality or one of artgen's own commands.

    ``completion`` is whether Typer's completion is wanted: its flags, or a shell that asks. ``helps`` is whether artgen's and
    the modality's own help may be asked for, which is not so once the next word stands without a help flag before it.
    """

    command: str = ""
    verb: str = ""
    backend: str | None = None
    json: bool = False
    debug: bool = False
    completion: bool = False
    helps: tuple[bool, bool] = (True, True)


def scan(words: Sequence[str]) -> Scan:
    """Read ``words`` (without the program's name)."""
    plain = [word for word in words if not word.startswith("-")]
    command = plain[0] if plain else ""
    verb = plain[1] if len(plain) > 1 else ""
    to_command = list(words[: words.index(command)]) if command else list(words)
    after = list(words[len(to_command) + 1 :])
    to_verb = after[: after.index(verb)] if verb else after
    after = after[len(to_verb) + 1 :]
    return Scan(
        command=command,
        verb=verb,
        backend=_value(after, "--backend") or _from_config(after) or _from_model(after, verb, command),
        json="--json" in words,
        debug="--debug" in words,
        helps=(not command or _asks_help(to_command), not verb or _asks_help(to_verb)),
        completion=not command or COMPLETE in os.environ or any(word.endswith("-completion") for word in words),
    )


def _asks_help(words: Sequence[str]) -> bool:
    return "--help" in words or "-h" in words


def words_to_complete() -> list[str]:
    """The whole words on the line that a shell asks to complete; the protocol is that of Typer's scripts."""
    if "COMP_WORDS" in os.environ:
        at = os.environ.get("COMP_CWORD", "")
        return _split(os.environ["COMP_WORDS"])[1 : int(at) if at.isdigit() else None]
    return _split(os.environ.get("_TYPER_COMPLETE_ARGS", ""))[1:]


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a quote that is still open
        return line.split()


def _value(words: Sequence[str], *flags: str) -> str | None:
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in flags:
            return value if equals else (words[index + 1] if index + 1 < len(words) else None)
    return None


def _from_model(words: Sequence[str], verb: str, modality: str) -> str | None:
    """The backend that a model's ``config.json`` names; of ``evaluate`` the model is the first argument that is one."""
    given = _value(words, "--model")
    plain = [word for before, word in zip(("", *words), words, strict=False) if before not in ("--output", "-o")]
    places = [given] if given else [word for word in plain if not word.startswith("-")]
    for place in places if given or verb == "evaluate" else []:
        if name := _model_backend(place, modality):
            return name
    return None


def _model_backend(place: str | None, modality: str) -> str | None:
    """The backend of the model at ``place``; None where that is of another modality, which the verb says in full."""
    from artgen.errors import ArtgenError
    from artgen.model import Model

    try:
        own, _, name = Model.open(place).backend.partition(".") if place else ("", "", "")
        return name if own == modality else None
    except (ArtgenError, OSError):  # said in full when the verb opens it
        return None


def _from_config(words: Sequence[str]) -> str | None:
    """The backend of ``--config FILE``, or with ``--resume`` of the run."""
    import tomllib

    place = _value(words, "--config")
    run = _value(words, "--output", "-o")
    if place is None and "--resume" in words and run is not None:
        place = str(Path(run) / "config.toml")
    if place is None:
        return None
    try:
        name = tomllib.loads(Path(place).read_text(encoding="utf-8")).get("backend")
    except (OSError, ValueError):
        return None
    return name.rpartition(".")[2] if isinstance(name, str) else None
