"""Folders of numbered pictures as films: which files belong together, in which order, and where some are missing."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePosixPath

from artgen.media import animation
from artgen.media.archives import Reader, Source
from artgen.media.trees import Tree

STILLS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".tga"})
_NUMBERED = re.compile(r"^(.*?)([0-9]+)([^0-9]*)$")


def join(tree: Tree, reader: Reader, remarks: list[str]) -> dict[str, tuple[Source, ...]]:
    """Replace the numbered pictures of a tree by films: in ``tree.wanted`` one path each, in ``tree.files`` what stands for it.

    Returns the frames of each new path. Where numbers are missing a film ends, and another begins, which ``remarks`` tell. Animated
    pictures (APNG, WebP) are films already, whatever their names.
    """
    groups: dict[tuple[str, str, str, str], list[tuple[int, str]]] = {}
    for inside in tree.wanted:
        path = PurePosixPath(inside)
        match = _NUMBERED.match(path.stem)
        if match and path.suffix.lower() in STILLS and len(match[2]) < 19:
            key = (str(path.parent), match[1], match[3], path.suffix.lower())
            groups.setdefault(key, []).append((int(match[2]), inside))
    joined: dict[str, tuple[Source, ...]] = {}
    places: dict[str, list[str]] = {}
    for key, members in groups.items():
        if len(members) > 1 and not _animated(tree.files[members[0][1]], reader):
            alone = sum(other[0] == key[0] for other in groups) == 1
            base, films = _films(key, sorted(members), alone=alone)
            if len(films) > 1:
                remarks.append(f"{tree.name}/{base}: numbers are missing in between, so it is {len(films)} films, not one")
            joined |= {name: tuple(tree.files[inside] for inside in frames) for name, frames in films}
            places |= {inside: [] for _, inside in members} | {frames[0]: [name] for name, frames in films}
    tree.wanted = [name for inside in tree.wanted for name in places.get(inside, [inside])]
    for name, sources in joined.items():
        size, stamp = sum(source.size for source in sources), max(source.stamp for source in sources)
        tree.files[name] = Source(f"{tree.name}/{name}", sources[0].container, sources[0].member, size, sources[0].offset, stamp)
    return joined


def _films(
    key: tuple[str, str, str, str], members: list[tuple[int, str]], *, alone: bool
) -> tuple[str, list[tuple[str, list[str]]]]:
    """The films that a group of numbered files makes, each with its path: that of its folder where nothing else is in it.

    The first of the two results is that path alone, without the numbers that tell several films apart.
    """
    folder, before, after, _ = key
    runs: list[list[tuple[int, str]]] = []
    for number, inside in members:
        if not runs or number > runs[-1][-1][0] + _step(members):
            runs.append([])
        runs[-1].append((number, inside))
    name = re.sub(r"^[\s_.-]+|[\s_.-]+$", "", before + after) or "frames"
    base = folder if alone and folder != "." else str(PurePosixPath(folder) / name)
    if len(runs) == 1:
        return base, [(base, [inside for _, inside in runs[0]])]
    return base, [(f"{base} {run[0][0]}-{run[-1][0]}", [inside for _, inside in run]) for run in runs]


def _step(members: list[tuple[int, str]]) -> int:
    """How far apart numbers are as a rule: some programs write every second or tenth frame."""
    steps = sorted(after[0] - now[0] for now, after in pairwise(members))
    return max(1, steps[len(steps) // 2])


def _animated(source: Source, reader: Reader) -> bool:
    suffix = PurePosixPath(source.member or source.container).suffix.lower()
    if suffix not in (".png", ".webp"):
        return False
    return animation.is_animated(source.path or reader.read(source))
