"""Write a new plugin package: complete, with tests that pass at once, from the templates beside this file."""

from __future__ import annotations

import keyword
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from artgen import registry
from artgen.errors import OutputError, UsageError
from artgen.files import write_atomically

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("train", "wrap")

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
_COMMON = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "LICENSE": "LICENSE",
    ".gitignore": "gitignore",
    ".github/workflows/test.yml": "ci.yml",
    "src/@module@/__init__.py": "init.py",
    "src/@module@/backend.py": "backend.py",
    "tests/test_@module@.py": "test.py",
}
_SUMMARIES = {
    ("image", "train"): "Soft pictures like yours, learned in a minute.",
    ("audio", "train"): "Soft sounds like yours, of any length.",
    ("image", "wrap"): "Pictures from diffusion models of others.",
    ("text", "train"): "Text like yours, letter by letter.",
    ("video", "train"): "Soft clips like yours, of any length.",
    ("text", "wrap"): "Text from language models of others.",
}
_TINY = {
    "image": '{"train": {"latent": 2, "width": 4}}',
    "text": '{"train": {"width": 8, "context": 8}, "generate": {"length": 5}}',
    "audio": '{"train": {"latent": 2, "width": 4}, "generate": {"seconds": 0.5}}',
    "video": '{"train": {"latent": 2, "memory": 4, "width": 4}}',
}


@dataclass(frozen=True)
class Package:
    """What was written: the folder, the package's name, the full name of its backend, and its files."""

    folder: Path
    package: str
    backend: str
    files: tuple[Path, ...]


def write_package(name: str, *, modality: str = "image", kind: str = "train", output: str | None = None) -> Package:
    """Write the package ``artgen-<name>`` with the backend ``<modality>.<name>`` into ``output`` (default: a folder of its name).

    Raises:
        UsageError: the name cannot be one, or there is no scaffold for the modality and kind.
        OutputError: the folder is there already and holds something, or cannot be written.
    """
    short = name.removeprefix("artgen-")
    _check_name(short, modality)
    if kind not in KINDS:
        raise UsageError(f"--kind takes {' or '.join(KINDS)}, not {kind}")
    have = [known for known, of in _SUMMARIES if of == kind]
    if modality not in have:
        only = "; --kind train has more" if any(modality == known for known, _ in _SUMMARIES) else ""
        raise UsageError(
            f"--modality takes {', '.join(have)} with --kind {kind}, not {modality}{only}: "
            "for other works start from one of these and read the page on modalities"
        )
    folder = Path(output) if output else Path(f"artgen-{short}")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise OutputError(f"{folder}: there is something already; choose another --output")
    values = _values(short, modality, kind)
    files = []
    for place, template in _COMMON.items():
        path = folder / _filled(place, values)
        write_atomically(path, render(template, modality, kind, values).encode())
        files.append(path)
    return Package(folder, values["package"], f"{modality}.{short}", tuple(files))


def render(template: str, modality: str, kind: str, values: dict[str, str]) -> str:
    """One file of a package: the template of this modality and kind, else the common one, with ``values`` filled in."""
    own = TEMPLATES / f"{modality}-{kind}" / f"{template}.txt"
    path = own if own.is_file() else TEMPLATES / "common" / f"{template}.txt"
    return _filled(path.read_text(encoding="utf-8"), values)


def _values(short: str, modality: str, kind: str) -> dict[str, str]:
    from artgen import __version__

    train = f"\n    artgen {modality} train my-works/ --backend {short} --output runs/first --minutes 5"
    train += f"\n    artgen {modality} generate --model runs/first --seed 7\n"
    wrap = f"\n    artgen {modality} generate --backend {short} --model FOLDER --seed 7\n"
    return {
        "name": short,
        "package": f"artgen-{short}",
        "module": f"artgen_{short.replace('-', '_')}",
        "Class": "".join(part.capitalize() for part in short.split("-")),
        "modality": modality,
        "summary": _SUMMARIES[modality, kind],
        "artgen": ".".join(__version__.split(".")[:2]),
        "verb": "train" if kind == "train" else "generate",
        "usage": train if kind == "train" else wrap,
        "tiny": f", options={_TINY[modality]}",
        "year": time.strftime("%Y"),
    }


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda match: values.get(match[1], match[0]), text)


def _check_name(short: str, modality: str) -> None:
    if not _NAME.fullmatch(short) or len(short) > _LONGEST:
        raise UsageError(
            f"a plugin is named in small letters, digits and dashes, at most {_LONGEST}, such as clouds; not {short!r}"
        )
    module = f"artgen_{short.replace('-', '_')}"
    # A name that is taken would hide the package of that name, or be hidden by it.
    if keyword.iskeyword(short) or short in sys.stdlib_module_names or short in ("artgen", *registry.modalities()):
        raise UsageError(f"a plugin cannot be named {short!r}, which means something else already; choose another name")
    if any(entry.full_name == f"{modality}.{short}" for entry in registry.entries()):
        raise UsageError(f"there is a backend {modality}.{short} already; choose another name")
    if module in sys.modules:
        raise UsageError(f"there is a package {module} already; choose another name")
