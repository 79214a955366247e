"""Sentences about mistakes of typing that Typer finds: what was typed, what is allowed, what to type next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from artgen import registry
from artgen.backend import VERBS
from artgen.cli import own
from artgen.cli.scan import Scan
from artgen.options import nearest

_MEANT = {
    "generate": ("create", "make", "new", "sample", "draw", "paint", "write", "compose", "synthesize", "synthesise", "render"),
    "modify": ("edit", "change", "alter", "transform", "restyle", "inpaint"),
    "train": ("learn", "fit", "finetune", "fine-tune", "resume"),
    "prepare": ("import", "dataset", "preprocess", "convert"),
    "evaluate": ("measure", "score", "test", "metrics", "benchmark"),
    "image": ("img", "picture", "pictures", "photo", "photos"),
    "audio": ("sound", "sounds", "music", "song"),
    "text": ("words", "poem", "prose", "txt"),
    "video": ("film", "clip", "clips", "movie", "animation"),
    "show": ("info", "inspect", "describe", "view"),
    "replay": ("redo", "again", "remake"),
    "doctor": ("check", "diagnose", "selftest"),
    "plugin": ("extension", "extensions", "addon"),
}
"""What people call things elsewhere, by what it is called here."""


def sentence(error: Exception, seen: Scan) -> str:
    """What to tell of ``error``, one of Typer's own, whose classes are not public."""
    where = _where(error, seen)
    text = str(error.format_message()).strip()  # type: ignore[attr-defined]  # checked by the caller
    option = getattr(error, "option_name", "")
    if option and "no such option" in str(error).lower():
        return _option(option, where, seen)
    if text.startswith("Usage:"):  # nothing was typed after the command, and its help is the answer
        return text
    if found := re.search(r"No such command '(.*?)'\.", text, re.DOTALL):
        return _command(found[1], where, seen)
    if found := re.search(r"unexpected extra arguments?(?:\(s\))? \((.*)\)", text, re.DOTALL):
        return _extra(found[1], where, seen)
    return f"{text.rstrip('.')}; see {where} --help" if text else f"see {where} --help"


def _where(error: Exception, seen: Scan) -> str:
    """The command that found the mistake: artgen, artgen image, artgen image generate."""
    path = getattr(getattr(error, "ctx", None), "command_path", "")
    return path or " ".join(word for word in ("artgen", seen.command, seen.verb) if word)


def _option(name: str, where: str, seen: Scan) -> str:
    from artgen.cli.app import flags_of

    depth = len(where.split())
    if name == "--version" and depth > 1:
        return "--version stands alone: artgen --version"
    modalities = registry.modalities()
    if depth == 2 and where.split()[1] in modalities:
        return f"no option {name} of {where} itself; options stand behind the verb: {where} generate {name} …"
    if depth == 1 and (hint := nearest(name, ("--help", "--version", "--json", "--debug"))):
        return f"no option {name}{hint}"
    if depth == 1 and seen.command:
        return f"no option {name} of artgen itself; options stand behind the command: artgen image generate {name} …"
    return f"no option {name}{nearest(name, flags_of(seen)) or f'; see {where} --help'}"


def _command(name: str, where: str, seen: Scan) -> str:
    group = where.partition(" ")[2]
    if not group:
        if verb := _meant(name, VERBS):
            return f"{name} is what to do with works of one kind: artgen image {verb}, artgen text {verb} …"
        known: Sequence[str] = (*registry.modalities(), *(each.name for each in own.OWN_COMMANDS), *own.GROUPS)
    else:
        known = [each.name for each in own.GROUPS[group]] if group in own.GROUPS else VERBS
    if group == "history" and name.isdigit():
        return f"artgen history has no place for {name}; one work: artgen history show {name}"
    if group == "history" and not _meant(name, known):
        return f"artgen history alone lists the works, --prompt, --model, --seed … choose among them; no command {name!r} of it"
    found = _meant(name, known)
    return f"no command {name!r} of {where}" + (f"; did you mean {found}?" if found else f"; it has {', '.join(known)}")


def _meant(name: str, known: Sequence[str]) -> str:
    """The one of ``known`` that ``name`` is likely to mean, or nothing."""
    meant = next((each for each in known if name.lower() in (each, *_MEANT.get(each, ()))), "")
    return meant or nearest(name, known).removeprefix("; did you mean ").removesuffix("?")


def _extra(words: str, where: str, seen: Scan) -> str:
    """A word where none is taken: most often a value whose flag was left out."""
    from artgen.cli.app import flags_of

    flags = flags_of(seen)
    if "--count" in flags and words.isdigit():
        hint = f"for so many works type {where} -n {words}"
    elif "--prompt" in flags:
        hint = f"a beginning or a description follows --prompt: {where} --prompt {shlex.quote(words)}"
    elif "--only" in flags:
        hint = f"one check alone: {where} --only {shlex.quote(words.split()[0])}"
    else:
        hint = f"see {where} --help"
    return f"{where} has no place for {shlex.quote(words)}; {hint}"
