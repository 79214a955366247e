"""Make the gallery: ``python docs/gallery.py make`` runs the commands, ``python docs/gallery.py`` writes the page.

The page is derived from the works themselves: what it tells of each comes from the recipe in its file. ``--check`` says whether
it is current.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PAGE = DOCS / "gallery.md"
FOLDER = "docs/images/gallery"
HEAD = """<!-- Written by docs/gallery.py from the recipes in the works: change the list there, not this page. -->

# Gallery

Works of the starter models, each with the command that made it. What is told of each is in the file too: `artgen show FILE` tells
it, `artgen replay FILE` makes the work again. The models are small, trained on CPUs; your own data and more time take them further.
"""


class Entry(NamedTuple):
    """One work: ``command`` writes it to ``file`` in the gallery's folder."""

    title: str
    words: str
    command: str

    @property
    def file(self) -> Path:
        """Where the work is, from the root of the repository."""
        return Path(shlex.split(self.command)[shlex.split(self.command).index("--output") + 1])

    @property
    def modality(self) -> str:
        """The kind of work."""
        return self.command.split()[1]


ENTRIES = [
    Entry(
        "Sixteen plates", "The first sixteen seeds, as they come.",
        f"artgen image generate --seed 0 -n 16 --grid 8x2 --output {FOLDER}/plates.png",
    ),
    Entry(
        "Safe and strange", "The same eight seeds near the average picture, and with everything that the model has learnt.",
        f"artgen image generate --seed 40 -n 8 --grid 8x1 --truncation 0.3 --output {FOLDER}/safe.png",
    ),
    Entry(
        "", "",
        f"artgen image generate --seed 40 -n 8 --grid 8x1 --truncation 1.2 --output {FOLDER}/strange.png",
    ),
    Entry(
        "From plate to plate", "A walk through the latent space: between two seeds lies no cut, but every plate in between.",
        f"artgen image generate --seed 7 --walk 3s --fps 12 --output {FOLDER}/walk.gif",
    ),
    Entry(
        "A page", "What the text starter writes when it begins with three words.",
        f'artgen text generate --seed 11 --prompt "It was the" --length 60 --output {FOLDER}/page.txt',
    ),
    Entry("A phrase", "Ten seconds of the sound starter.", f"artgen audio generate --seed 3 --output {FOLDER}/phrase.ogg"),
    Entry("A clip", "A face of the clip starter.", f"artgen video generate --class faces --seed 1 --output {FOLDER}/clip.gif"),
]  # fmt: skip


def page() -> str:
    """The page, from the works that are there."""
    parts = [HEAD]
    for entry in ENTRIES:
        if not (ROOT / entry.file).is_file():
            continue
        if entry.title:
            parts += [f"## {entry.title}\n", f"{entry.words}\n"]
        parts += [f"```bash\n{entry.command}\n```\n", shown(entry), f"{told(ROOT / entry.file)}\n"]
    return "\n".join(parts)


def shown(entry: Entry) -> str:
    """The work on the page."""
    place = Path("..") / entry.file if entry.modality == "audio" else entry.file.relative_to("docs")
    if entry.file.suffix == ".txt":
        return f"```text\n{(ROOT / entry.file).read_text(encoding='utf-8').rstrip()}\n```\n"
    if entry.modality == "audio":
        return f'<audio controls src="{entry.file.relative_to("docs")}"></audio>\n'
    return f"![{entry.title or entry.file.stem}]({place})\n"


def told(path: Path) -> str:
    """One sentence from the recipe in a work."""
    from artgen.artwork import read_recipe

    recipe = read_recipe(path)
    if recipe is None:
        raise SystemExit(f"{path}: carries no recipe; make it again with python docs/gallery.py make")
    seeds = f"seed {recipe.seeds[0]}" if len(recipe.seeds) == 1 else f"seeds {recipe.seeds[0]} to {recipe.seeds[-1]}"
    given = {name.rstrip("_"): value for name, value in recipe.options.items() if value not in (None, "", [], False)}
    options = ", ".join(f"{name} {value}" for name, value in given.items())
    model = f"model {recipe.model.get('name', '')} ({recipe.model.get('sha256', '')[:12]})"
    return f"*Recipe: {recipe.backend}, {model}, {seeds}{'; ' + options if options else ''}.*"


def make(names: Sequence[str]) -> None:
    """Run the commands of the works that are not there yet, or of those named; one whose starter is missing is left out."""
    from artgen import api
    from artgen.cli import main as artgen

    whole = api._told

    def without_path(model: Any) -> dict[str, str]:
        return {name: value for name, value in whole(model).items() if name != "path"}  # the maker's disk is nobody's business

    api._told = without_path
    for entry in ENTRIES:
        path = ROOT / entry.file
        if names and path.stem not in names:
            continue
        if path.exists() and not names:
            continue
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.json").unlink(missing_ok=True)
        if artgen(shlex.split(entry.command)[1:]):
            print(f"left out: {entry.file}", file=sys.stderr)


def main() -> int:
    """Make works, write the page, or with ``--check`` say whether it is current."""
    if sys.argv[1:2] == ["make"]:
        make(sys.argv[2:])
    if "--check" in sys.argv[1:]:
        current = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == page()
        if not current:
            print("docs/gallery.md is not current; run python docs/gallery.py", file=sys.stderr)
        return 0 if current else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
