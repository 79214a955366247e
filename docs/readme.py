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
    text = README.read_text(encoding="utf-8") if text is None else text
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    if section not in sections:
        raise SystemExit(f"no section {section!r}; there are: {', '.join(sections)}")
    found = re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", sections[section], flags=re.MULTILINE | re.DOTALL)
    if not found:
        raise SystemExit(f"section {section!r} has no {language} block")
    return found


def sections_with(language: str) -> list[str]:
    """The headings below which a block of ``language`` stands."""
    text = README.read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return [name for name, body in zip(parts[1::2], parts[2::2], strict=True) if f"\n```{language}\n" in body]


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
