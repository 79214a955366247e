"""Sort the animated Noto emoji into folders of one kind each, which `artgen video prepare` takes as classes.

    python examples/starters/emoji_folders.py noto_animated_emoji_128.zip emoji_folders
    python examples/starters/emoji_folders.py noto_animated_emoji_128.zip emoji_folders faces hearts animals

Kinds are faces, hearts, hands, animals and things; all of them where none is named.
The files are numbered in Unicode's order, so that a kind is a range of numbers. A gesture comes in six colours of skin; two of
them are taken, other two of the next gesture, so that all colours are as frequent and hands are not half of everything.
"""

from __future__ import annotations

import sys
import zipfile
from collections import defaultdict
from pathlib import Path, PurePosixPath

KINDS = {"faces": range(1, 132), "hearts": range(142, 167), "hands": range(175, 492), "animals": range(516, 580)}
OTHERS = "things"


def chosen(names: list[str]) -> list[str]:
    """All files that are the only one of their name, and two of each six that differ by skin alone."""
    tones = defaultdict(list)
    for name in sorted(names):
        tones[PurePosixPath(name).stem.split("_", 1)[1]].append(name)
    found, turn = [], 0
    for group in tones.values():
        if len(group) != 6:
            found += group
            continue
        found += [group[turn % 3], group[turn % 3 + 3]]
        turn += 1
    return sorted(found)


def kind(name: str) -> str:
    """The folder for a file like ``175_biting-lip.mp4``."""
    number = int(PurePosixPath(name).name.split("_", 1)[0])
    return next((kind for kind, numbers in KINDS.items() if number in numbers), OTHERS)


def main(archive: str, folder: str, *kinds: str) -> None:
    """Write the chosen files of ``archive``, of ``kinds`` alone where there are any, into folders in ``folder``."""
    if unknown := [kind for kind in kinds if kind not in (*KINDS, OTHERS)]:
        sys.exit(f"kinds are {', '.join((*KINDS, OTHERS))}, not {unknown[0]}")
    with zipfile.ZipFile(archive) as opened:
        for name in chosen([name for name in opened.namelist() if name.endswith(".mp4")]):
            if kinds and kind(name) not in kinds:
                continue
            path = Path(folder) / kind(name) / PurePosixPath(name).name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(opened.read(name))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python emoji_folders.py ARCHIVE FOLDER [KIND]…")
    main(*sys.argv[1:])
