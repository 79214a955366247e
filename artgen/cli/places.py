"""Where results go: file names from what was typed after ``--output``; nothing is ever overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from artgen.artwork import Artwork, Image, Video, kind
from artgen.errors import OptionError, OutputError
from artgen.options import nearest

ENDINGS = tuple(dict.fromkeys((*Image.endings, *Video.endings)))
WITH_SOUND = (".mp4", ".webm")
"""Kinds of films that can hold sound."""

_DEFAULT_ENDING = {"image": ".png", "video": ".mp4"}


@dataclass(frozen=True)
class Places:
    """Names the file of each work.

    ``output`` is a file name, a folder (ending in ``/``, or there already) or a name with ``{seed}``, ``{model}`` or
    ``{name}`` in it.
    """

    output: str
    ending: str

    @classmethod
    def chosen(
        cls, output: str | None, format_: str | None, known: Sequence[str] = (), modality: str = "image", *, sound: bool = False
    ) -> Places:
        """Check what was typed before any work is made; ``known`` is what a pattern may name, ``modality`` may be a plugin's.

        With ``sound`` the works are films with sound.

        Raises:
            OptionError: no work is saved in such a format, ``--output`` and ``--format`` contradict each other, or the format has
                no place for sound.
            OutputError: the folder cannot be written.
        """
        ending = ""
        endings = ENDINGS if modality == "image" else kind(modality).endings  # a walk through pictures is a film
        if format_ is not None:
            ending = "." + format_.lower().removeprefix(".")
            if ending not in endings:
                names = [each[1:] for each in endings]
                raise OptionError(f"--format takes {', '.join(names)}, not {format_}{nearest(format_, names)}")
        output = output or "./"
        if not _is_folder(output):
            typed = Path(output).suffix.lower()
            if not typed and ending:
                output += ending
            elif typed not in endings:
                name = typed or "no ending"
                raise OptionError(f"--output {output}: works are saved as {', '.join(endings)}, not {name}; a folder ends in /")
            elif ending and typed != ending:
                raise OptionError(f"--output {output} and --format {format_} contradict each other; leave one out")
        wanted = ending or ("" if _is_folder(output) else Path(output).suffix.lower())
        if sound and wanted and wanted not in WITH_SOUND:
            raise OptionError(f"--audio: {wanted} has no sound; save as {' or '.join(WITH_SOUND)}")
        _fill(output, dict.fromkeys(known, "0"))
        check_writable(_folder(output))
        return cls(output, ending)

    def check_kind(self, *, film: bool) -> None:
        """Find out before pictures, or a ``film`` through them, are made whether the file can hold them.

        Raises:
            OptionError: it cannot.
        """
        ending = self.ending or ("" if _is_folder(self.output) else Path(self.output).suffix.lower())
        fitting = Video.endings if film else Image.endings
        if ending and ending not in fitting:
            told = "a walk is a film, saved as" if film else "add --walk 10s to get a film; pictures are saved as"
            raise OptionError(f"{ending} does not fit: {told} {', '.join(fitting)}")

    def path(self, work: Artwork, *, label: str, extra: str = "", **facts: str) -> Path:
        """The file for ``work``: ``label`` names it in a folder, ``extra`` tells it apart after a plain file name."""
        if _is_folder(self.output):
            return Path(self.output) / f"{safe(label)}{self.ending or _DEFAULT_ENDING.get(work.modality, work.endings[0])}"
        if "{" in self.output:
            return Path(_fill(self.output, {"seed": seed_text(work.seeds), **facts}))
        path = Path(self.output)
        return path.with_name(f"{path.stem}-{safe(extra)}{path.suffix}") if extra else path


def seed_text(seeds: Sequence[int]) -> str:
    """``0007``, or ``0007-0014`` for several in one file."""
    if not seeds:
        return "none"
    return f"{seeds[0]:04d}" if len(seeds) == 1 else f"{seeds[0]:04d}-{seeds[-1]:04d}"


def safe(name: str) -> str:
    """``name`` as one part of a path, whatever is in it."""
    return re.sub(r'[/\\:*?"<>|\x00-\x1f]', "_", name).strip(". ") or "work"


def _fill(pattern: str, facts: dict[str, str]) -> str:
    def put(match: re.Match[str]) -> str:
        if match[1] not in facts:
            names = ", ".join(f"{{{name}}}" for name in facts) or "no names in braces"
            raise OptionError(f"--output {pattern}: knows {names}, not {match[0]}")
        return safe(facts[match[1]])

    return re.sub(r"\{([^{}]*)\}", put, pattern)


def _is_folder(output: str) -> bool:
    return output.endswith(("/", os.sep)) or Path(output).is_dir()


def _folder(output: str) -> Path:
    return Path(output) if _is_folder(output) else Path(output).parent


def check_writable(folder: Path) -> None:
    """Find out before any work is made whether files can be put below ``folder``.

    Raises:
        OutputError: they cannot.
    """
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise OutputError(f"{folder}: {there} is a file, not a folder; choose another --output")
    if not os.access(there, os.W_OK):
        raise OutputError(f"{folder}: no permission to write there; choose another --output")
