"""Names from entry-point metadata; classes on demand.

Listing imports nothing. A plugin that cannot be used is a listed fact with a reason, and stops nothing else.
Built-in backends come through the same entry points as any plugin's.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from artgen.backend import API_VERSION, Backend
from artgen.errors import UnknownBackendError, UnusableBackendError
from artgen.options import declared, nearest

GROUP = "artgen.backends"
MODALITY_GROUP = "artgen.modalities"
MODALITIES = ("image", "audio", "text", "video")
OWN = "artgen"


@dataclass(frozen=True)
class Entry:
    """One installed backend as its package's metadata describes it.

    ``reason`` is empty while nothing is known against it.
    """

    modality: str
    name: str
    value: str
    distribution: str
    version: str
    reason: str = ""

    @property
    def full_name(self) -> str:
        """``image.gan``."""
        return f"{self.modality}.{self.name}"

    @property
    def built_in(self) -> bool:
        """Whether it is part of artgen itself."""
        return self.distribution == OWN


def entries() -> tuple[Entry, ...]:
    """Every installed backend, usable or not, built-in ones first; nothing is imported."""
    found = sorted((_entry(point) for point in _points(GROUP)), key=lambda e: (not e.built_in, e.full_name, e.distribution))
    seen: dict[str, Entry] = {}
    result = []
    for entry in found:
        first = seen.setdefault(entry.full_name, entry)
        if first is not entry:
            taken = f"the name {entry.full_name} is taken by {first.distribution}"
            result.append(replace(entry, reason=entry.reason or taken))
        else:
            result.append(entry)
    return tuple(result)


def modalities() -> tuple[str, ...]:
    """The built-in modalities and those that plugins add."""
    added = sorted({point.name for point in _points(MODALITY_GROUP)} - set(MODALITIES))
    return (*MODALITIES, *added)


def backends(modality: str) -> tuple[Entry, ...]:
    """The installed backends of ``modality`` that nothing is known against.

    Raises:
        UnknownBackendError: no such modality.
    """
    known = modalities()
    if modality not in known:
        raise UnknownBackendError(f"no modality {modality!r}{nearest(modality, known)}; installed: {', '.join(known)}")
    return tuple(entry for entry in entries() if entry.modality == modality and not entry.reason)


def default(modality: str) -> Entry:
    """The backend used when none is named: the built-in one, else the only one.

    Raises:
        UnknownBackendError: the modality has no backend, or several and none of them built in.
    """
    found = backends(modality)
    if not found:
        raise UnknownBackendError(f"no backend for {modality} is installed; see artgen backends")
    if found[0].built_in or len(found) == 1:
        return found[0]
    raise UnknownBackendError(f"several backends for {modality}: name one with --backend {_names(found)}")


def find(modality: str, name: str | None = None) -> Entry:
    """The entry of backend ``name`` (``gan`` or ``image.gan``), or the modality's default.

    Raises:
        UnknownBackendError: nothing of that name; the message lists what is installed.
        UnusableBackendError: it is installed but cannot be used.
    """
    if name is None:
        return default(modality)
    found = backends(modality)
    short = name.removeprefix(f"{modality}.")
    for entry in found:
        if entry.name == short:
            return entry
    for entry in entries():
        if entry.modality == modality and entry.name == short:
            raise UnusableBackendError(f"{entry.full_name} of {entry.distribution} cannot be used: {entry.reason}")
    installed = _names(found) or "none"
    hint = nearest(short, [entry.name for entry in found])
    raise UnknownBackendError(f"no backend {name!r} for {modality}{hint}; installed: {installed}; more come as plugins")


def load(entry: Entry) -> type[Backend]:
    """The class behind ``entry``, imported now.

    Raises:
        UnusableBackendError: its import fails, or what it names is no backend of this version of the contract.
    """
    try:
        return _load(entry.value, entry.modality, entry.name)
    except UnusableBackendError:
        raise
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnusableBackendError(f"{entry.full_name} of {entry.distribution} cannot be used: {reason}") from error


def get(modality: str, name: str | None = None) -> type[Backend]:
    """The class of backend ``name`` of ``modality`` (its default when no name is given)."""
    return load(find(modality, name))


@cache
def _load(value: str, modality: str, name: str) -> type[Backend]:
    cls = EntryPoint(name=f"{modality}.{name}", value=value, group=GROUP).load()
    label = f"{modality}.{name}"
    if not (isinstance(cls, type) and issubclass(cls, Backend)):
        raise UnusableBackendError(f"{label} cannot be used: {value} is not a subclass of artgen.backend.Backend")
    if cls.api_version != API_VERSION:
        raise UnusableBackendError(
            f"{label} cannot be used: it is written for contract {cls.api_version}, this artgen has {API_VERSION}; "
            "install the version of the plugin that fits"
        )
    for verb in cls.verbs():
        declared(getattr(cls, verb.capitalize()))
    return cls


def _points(group: str) -> Iterable[EntryPoint]:
    allowed = os.environ.get("ARTGEN_PLUGINS")
    names = None if allowed is None else {name.strip() for name in allowed.split(",")}
    for point in entry_points(group=group):
        distribution = point.dist.name if point.dist else ""
        if names is None or distribution == OWN or distribution in names:
            yield point


def _entry(point: EntryPoint) -> Entry:
    modality, _, name = point.name.partition(".")
    distribution = point.dist.name if point.dist else "an unnamed package"
    version = point.dist.version if point.dist else ""
    reason = "" if modality and name else f"its entry point is called {point.name!r}, not <modality>.<backend>"
    if not reason and modality not in modalities():
        reason = f"there is no modality {modality!r}"
    return Entry(modality, name, point.value, distribution, version, reason)


def _names(found: Iterable[Entry]) -> str:
    return ", ".join(entry.name for entry in found)
