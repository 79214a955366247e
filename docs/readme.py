"""Print the commands of one section of README.md, so that what is documented is what is run.

python docs/readme.py "Your own pictures" bash
python docs/readme.py "Two commands" bash 2
python docs/readme.py --sections        # every section with commands but "Two commands"
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks(section: str, language: str, text: str | None = None) -> list[str]:
    """The fenced blocks of ``language`` below the heading ``section``, in order.

    Raises:
        SystemExit: there is no such section, or it has no such block.
    """
    sections = read(README.read_text(encoding="utf-8") if text is None else text)
    if section not in sections:
        raise SystemExit(f"no section {section!r}; there are: {', '.join(sections)}")
    found = [block for tongue, block in sections[section] if tongue == language]
    if not found:
        raise SystemExit(f"section {section!r} has no {language} block")
    return found


def sections_with(language: str) -> list[str]:
    """The headings below which a block of ``language`` stands."""
    sections = read(README.read_text(encoding="utf-8"))
    return [name for name, found in sections.items() if any(tongue == language for tongue, _ in found)]


def read(text: str) -> dict[str, list[tuple[str, str]]]:
    """The fenced blocks below each heading, as pairs of language and content."""
    sections: dict[str, list[tuple[str, str]]] = {}
    found: list[tuple[str, str]] = []
    block: list[str] | None = None
    tongue = ""
    for line in text.splitlines(keepends=True):
        if line.startswith("```"):
            if block is None:
                block, tongue = [], line.strip("`\n ")
            else:
                found.append((tongue, "".join(block)))
                block = None
        elif block is not None:
            block.append(line)
        elif line.startswith("#"):  # outside a block: inside, it is a comment
            found = sections.setdefault(line.lstrip("#").strip(), [])
    return sections


def commands(block: str) -> list[str]:
    """The commands of a shell block, one each, with continued lines joined and comments dropped."""
    joined = block.replace("\\\n", " ")
    return [re.sub(r"\s+", " ", line).strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def main() -> None:
    """Print the blocks of a section, or one of them where a number is given."""
    if sys.argv[1:] == ["--sections"]:
        print("\n".join(name for name in sections_with("bash") if name != "Two commands"))
        return
    section, language, *number = sys.argv[1:]
    found = blocks(section, language)
    print("".join(found if not number else [found[int(number[0]) - 1]]))


if __name__ == "__main__":
    main()
