"""Solids that are made by a rule, for tests and first tries: chairs and tables of random proportions."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from artgen_voxel.grids import Solid, binvox_bytes


def chair(number: int, side: int = 32) -> Solid:
    """A chair of its own height, width and back, [X, Y, Z]; another one for every ``number``."""
    random = np.random.default_rng([number, 1])
    return _furniture(random, side, back=True)


def table(number: int, side: int = 32) -> Solid:
    """A table of its own proportions, [X, Y, Z]; another one for every ``number``."""
    random = np.random.default_rng([number, 2])
    return _furniture(random, side, back=False)


def write_samples(folder: Path, count: int, side: int = 32) -> list[Path]:
    """Write ``count`` solids as ``.binvox`` and ``.npy`` files in two class folders; returns the folder they are in."""
    for number in range(count):
        make, name = ((chair, "chair"), (table, "table"))[number % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        solid = make(number, side)
        if number % 4 < 2:
            (folder / name / f"{number}.binvox").write_bytes(binvox_bytes(solid))
        else:
            np.save(folder / name / f"{number}.npy", solid, allow_pickle=False)
    return [folder]


def _furniture(random: np.random.Generator, side: int, *, back: bool) -> Solid:
    solid = np.zeros((side,) * 3, bool)
    unit = side / 32
    width, depth = (int(unit * size) for size in random.integers(12, 26, 2))
    height = int(unit * (random.integers(9, 14) if back else random.integers(12, 22)))
    thick, leg = max(1, int(unit * random.integers(2, 4))), max(1, int(unit * random.integers(2, 4)))
    x, z, y = (side - width) // 2, (side - depth) // 2, max(1, int(unit * 2))
    solid[x : x + width, y + height : y + height + thick, z : z + depth] = True
    for left in (x, x + width - leg):
        for front in (z, z + depth - leg):
            solid[left : left + leg, y : y + height, front : front + leg] = True
    if back:
        top = min(side - 1, y + height + thick + int(unit * random.integers(8, 15)))
        solid[x : x + width, y + height : top, z : z + thick] = True
    return solid
