"""What is installed, read from the metadata of packages: nothing is imported, and no package can break the reading.

``importlib.metadata`` parses whole METADATA files as e-mail, one package after the other; every start of artgen would pay for that.
Here a package is looked at only when its ``entry_points.txt`` names one of our groups.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

BACKENDS = "artgen.backends"
MODALITIES = "artgen.modalities"
OWN = "artgen"
SWITCH = "ARTGEN_PLUGINS"
"""The environment variable that names the packages whose plugins may be used; empty for none, unset for all."""

_GROUPS = {BACKENDS, MODALITIES}
_TICK = 2_000_000_000
"""Nanoseconds within which a folder may change twice without its time telling."""

_listed: dict[str, tuple[int, tuple[str, ...]]] = {}
_seen: set[tuple[str, tuple[str, ...]]] = set()  # modules that were there, and on which path: to look again takes a millisecond
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*\s*:\s*[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Point:
    """One line of an ``entry_points.txt``: in ``group``, ``name`` stands for ``value`` (``module:Class``)."""

    group: str
    name: str
    value: str


@dataclass(frozen=True)
class Distribution:
    """An installed package that has something for artgen; ``fault`` says why nothing of it can be used, or is empty."""

    name: str
    version: str
    licence: str
    summary: str
    folder: Path
    points: tuple[Point, ...]
    fault: str = ""

    @property
    def own(self) -> bool:
        """Whether it is artgen itself."""
        return normal(self.name) == OWN


def distributions() -> tuple[Distribution, ...]:
    """Every installed package with an entry point of ours that ``ARTGEN_PLUGINS`` allows, artgen first, then by name.

    Of two packages of one name the one found first on the module path counts, as it is the one that Python imports.
    """
    allowed = os.environ.get(SWITCH)
    names = None if allowed is None else {normal(name) for name in allowed.split(",") if name.strip()}
    return tuple(found for found in _all(_folders()) if names is None or found.own or normal(found.name) in names)


def everything() -> tuple[Distribution, ...]:
    """Like :func:`distributions`, those that ``ARTGEN_PLUGINS`` holds back included."""
    return _all(_folders())


def forget() -> None:
    """Read everything anew at the next call: packages were installed or removed."""
    _all.cache_clear()
    _listed.clear()
    _seen.clear()


def normal(name: str) -> str:
    """A package's name as indexes compare it: ``Artgen_Noise`` is ``artgen-noise``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _folders() -> tuple[str, ...]:
    """The metadata folders on the module path; their names change with every installation, so they are the key of the cache."""
    return tuple(folder for place in dict.fromkeys(sys.path) for folder in _inside(place or "."))


def _inside(place: str) -> tuple[str, ...]:
    try:
        changed = os.stat(place).st_mtime_ns
        known = _listed.get(place)
        if known and known[0] == changed:
            return known[1]
        names = os.listdir(place)
    except OSError:  # an archive, or a place that is not there
        return ()
    # The newest of several versions that a failed upgrade left comes first.
    inside = sorted((name for name in names if name.endswith((".dist-info", ".egg-info"))), key=_age, reverse=True)
    found = tuple(os.path.join(place, name) for name in inside)
    if time.time_ns() - changed > _TICK:
        _listed[place] = (changed, found)
    return found


def _age(name: str) -> tuple[str, tuple[int, ...]]:
    package, _, version = name.rpartition(".")[0].partition("-")
    return package, tuple(int(part) for part in re.findall(r"\d+", version))


@lru_cache(maxsize=4)
def _all(folders: tuple[str, ...]) -> tuple[Distribution, ...]:
    found: dict[str, Distribution] = {}
    shadowed: set[str] = set()
    for folder in folders:
        try:
            with open(os.path.join(folder, "entry_points.txt"), "rb") as file:
                data = file.read()
        except OSError:
            # A package without entry points hides an older one of its name further down the path all the same.
            shadowed.add(_named(folder))
            continue
        if b"artgen." not in data:
            shadowed.add(_named(folder))
            continue
        distribution = _read(Path(folder), data)
        if distribution.points or distribution.fault:
            key = normal(distribution.name)
            if key not in shadowed:
                found.setdefault(key, distribution)
    return tuple(sorted(found.values(), key=lambda each: (not each.own, normal(each.name))))


def _named(folder: str) -> str:
    return normal(os.path.basename(folder).rpartition(".")[0].partition("-")[0])


def _read(folder: Path, data: bytes) -> Distribution:
    facts, fault = _metadata(folder)
    points, line = _points(data)
    if line and not fault:
        fault = f"its entry_points.txt is damaged ({line!r}); install it again"
    name, version = facts.get("name", ""), facts.get("version", "")
    if not name or re.search(r"[^\w.-]", name):
        # The folder's name is what pip goes by, and says at least what to install again.
        name, _, version = folder.name.rpartition(".")[0].partition("-")
        fault = fault or f"its METADATA is damaged (no name in {folder.name}); install it again"
    licence = facts.get("license-expression") or facts.get("license") or _classified(facts.get("classifier", ""))
    return Distribution(name, version, licence, facts.get("summary", ""), folder, tuple(points), fault)


def _metadata(folder: Path) -> tuple[dict[str, str], str]:
    """The header of METADATA (of the lines of a kind the first; classifiers together) and what is wrong with it."""
    for file in ("METADATA", "PKG-INFO"):
        try:
            text = (folder / file).read_bytes().decode("utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError):
            return {}, f"its METADATA is damaged ({folder.name}); install it again"
        facts: dict[str, str] = {}
        for line in text.splitlines():
            if not line.strip():
                break  # the description follows
            name, colon, value = line.partition(":")
            key = name.lower()
            if colon and not line[0].isspace() and value.strip().upper() != "UNKNOWN":
                facts[key] = (
                    f"{facts[key]}\n{value.strip()}" if key == "classifier" and key in facts else facts.get(key, value.strip())
                )
        return facts, ""
    return {}, f"its METADATA is missing ({folder.name}); install it again"


def _classified(classifiers: str) -> str:
    found = [line.rpartition(" :: ")[2] for line in classifiers.splitlines() if line.startswith("License :: ")]
    return ", ".join(found)


def _points(data: bytes) -> tuple[list[Point], str]:
    """The lines of our groups, and the first line that is none."""
    points: list[Point] = []
    group, bad = "", ""
    for line in data.decode("utf-8", "replace").splitlines():
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if text.startswith("["):
            group = text.strip("[]").strip()
            continue
        name, sign, value = text.partition("=")
        if group in _GROUPS:
            if sign and name.strip():
                points.append(Point(group, name.strip().strip("\"'"), value.partition("[")[0].strip()))
            else:
                bad = bad or text
    return points, bad


def reference_fault(value: str) -> str:
    """What can be told to be wrong with ``module:Class`` without importing anything, or nothing."""
    if not _REFERENCE.fullmatch(value):
        return f"its entry point says {value!r}, not module:Class"
    module = value.partition(":")[0].strip()
    return "" if _there(module) else f"its entry point names the module {module}, which is not installed"


def _there(module: str) -> bool:
    """Whether a module can be found; the packages above it are located, not imported."""
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    place = (module, tuple(sys.path))
    if module in sys.modules or place in _seen:
        return True
    parts = module.split(".")
    try:
        spec = find_spec(parts[0])
        for depth in range(2, len(parts) + 1):
            if spec is None or spec.submodule_search_locations is None:
                return False
            spec = PathFinder.find_spec(".".join(parts[:depth]), list(spec.submodule_search_locations))
    except (ImportError, ValueError, AttributeError, OSError):  # a finder of another package, or a module that is half there
        return False
    if spec is not None:
        _seen.add(place)
    return spec is not None


def points(group: str) -> Iterator[tuple[Distribution, Point]]:
    """Every entry point of ``group`` with its package, artgen's own first."""
    for distribution in distributions():
        for point in distribution.points:
            if point.group == group:
                yield distribution, point
