"""What a shell can complete: names of backends, models, checks and kinds of files; where nothing fits, the shell offers files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from artgen.cli.scan import COMPLETE
from artgen.options import Option

Complete = Callable[[str], list[str]]
"""From what is typed of a word to the words that it may become; Typer wants its argument to be called ``incomplete``."""

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")


def of_option(option: Option, modality: str) -> Complete | None:
    """What completes the value of a flag, or None where that is the shell's affair."""
    if option.choices:
        return _among(lambda: option.choices)
    if option.owner.startswith("Doctor") and option.name == "only":
        return _among(_checks)
    names: dict[str, Callable[[], Iterable[str]]] = {
        "backend": lambda: _backends(modality),
        "model": lambda: _models(modality),
        "device": lambda: ("auto", "cpu", "cuda", "mps"),
        "format": lambda: _formats(modality),
        "modality": _modalities,
    }
    if option.name == "model":
        return lambda incomplete: [*_among(names["model"])(incomplete), *_folders(incomplete, modality)]
    return _among(names[option.name]) if option.name in names else None


def of_argument(metavar: str, modality: str) -> Complete | None:
    """What completes an argument without a flag, by what its help calls it."""
    if metavar in ("MODEL", "PATH"):
        return lambda incomplete: (
            [*_among(lambda: _models(modality))(incomplete), *_folders(incomplete, modality)]
            if metavar == "MODEL"
            else _shown(incomplete)
        )
    return None


def script(shell: str) -> str:
    """What teaches ``shell`` to ask artgen: artgen itself is asked, by the protocol of these scripts."""
    import subprocess
    import sys

    given = {**os.environ, COMPLETE: f"source_{shell}"}
    done = subprocess.run([sys.executable, "-m", "artgen"], env=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def unsplit() -> None:
    """Bash cuts ``--model=wa`` at the sign; join what it hands over, so that ``wa`` is the value of ``--model``."""
    words, at = os.environ.get("COMP_WORDS", "").split("\n"), os.environ.get("COMP_CWORD", "")
    if not at.isdigit() or int(at) >= len(words):
        return
    place = int(at)
    if words[place] == "=":
        words[place] = ""  # nothing of the value is typed yet
    kept = [number for number, word in enumerate(words) if word != "="]
    os.environ["COMP_WORDS"] = "\n".join(words[number] or '""' for number in kept)
    os.environ["COMP_CWORD"] = str(sum(number < place for number in kept))


def _among(names: Callable[[], Iterable[str]]) -> Complete:
    return lambda incomplete: [name for name in names() if name.startswith(incomplete)]


def _shown(incomplete: str) -> list[str]:
    """Of what ``show`` takes most are files, which the shell offers; starters it cannot know."""
    here = any(Path(incomplete).parent.glob(f"{Path(incomplete).name}*")) if incomplete else True
    return [] if here else _among(lambda: _models(""))(incomplete)


def _folders(incomplete: str, modality: str) -> list[str]:
    """Models and runs of the user that the path begun leads to."""
    parent = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    start = "" if incomplete.endswith("/") else Path(incomplete).name
    places = [parent, *([Path("runs")] if not incomplete else [])]
    found = [each for place in places if place.is_dir() for each in sorted(place.iterdir()) if each.name.startswith(start)]
    backends = {str(each): _backend_of(each) for each in found}
    return [name for name, backend in backends.items() if backend and modality in ("", backend.partition(".")[0])]


def _backend_of(folder: Path) -> str:
    """The backend of a model or run, or nothing."""
    import json

    for path in (folder / "config.json", folder / "model" / "config.json"):
        try:
            return str(json.loads(path.read_bytes())["backend"])
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return ""


def _backends(modality: str) -> list[str]:
    from artgen import registry

    if not modality:
        return [entry.full_name for entry in registry.entries()]
    return [entry.name for entry in registry.backends(modality)]


def _modalities() -> tuple[str, ...]:
    from artgen import registry

    return registry.modalities()


def _models(modality: str) -> list[str]:
    from artgen.model import Model, starters

    return [name for name in starters() if modality in ("", Model.open(name).modality)]


def _checks() -> Iterable[str]:
    from artgen.doctor import CHECKS

    return CHECKS


def _formats(modality: str) -> list[str]:
    from artgen.artwork import kind
    from artgen.cli.places import ENDINGS

    return [ending[1:] for ending in (ENDINGS if modality == "image" else kind(modality).endings)]
