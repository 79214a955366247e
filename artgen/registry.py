"""Names from entry-point metadata; classes on demand.

Listing imports nothing. A plugin that cannot be used is a listed fact with a reason, and stops nothing else.
Built-in backends come through the same entry points as any plugin's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from artgen import discovery, quarantine
from artgen.backend import API_VERSION, RESERVED, Backend, TrainOptions
from artgen.discovery import OWN, Distribution, Point
from artgen.errors import ArtgenError, UnknownBackendError, UnusableBackendError
from artgen.options import Options, declared, nearest

GROUP = discovery.BACKENDS
MODALITIES = ("image", "audio", "text", "video")

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_COMMANDS = ("backends", "doctor", "history", "models", "plugin", "plugins", "replay", "show")
_KINDS = (bool, int, float, str, list)
_loaded: dict[tuple[str, str], type[Backend]] = {}
_notes: dict[str, tuple[str, ...]] = {}


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
    known = modalities()
    points = [_entry(distribution, point, known) for distribution, point in discovery.points(GROUP)]
    found = sorted(points, key=lambda e: (not e.built_in, e.full_name, e.distribution))
    seen: dict[str, Entry] = {}
    result = []
    for entry in found:
        if entry.reason:
            result.append(entry)
            continue
        first = seen.setdefault(entry.full_name, entry)
        taken = f"the name {entry.full_name} is taken by {first.distribution}; uninstall one of the two"
        result.append(entry if first is entry else replace(entry, reason=taken))
    return tuple(result)


def modalities() -> tuple[str, ...]:
    """The built-in modalities and those that plugins add; nothing is imported."""
    found = {
        point.name for distribution, point in discovery.points(discovery.MODALITIES) if not modality_fault(distribution, point)
    }
    return (*MODALITIES, *sorted(found - set(MODALITIES)))


def modality_fault(distribution: Distribution, point: Point) -> str:
    """What is known without importing it against a modality that a plugin adds, or nothing."""
    if distribution.fault:
        return distribution.fault
    if point.name in MODALITIES:
        return f"the modality {point.name} is artgen's own"
    if not _NAME.fullmatch(point.name) or point.name in _COMMANDS:
        return f"a modality cannot be called {point.name!r}: it takes small letters, digits and dashes, and no name of a command"
    first = next(other for other, also in discovery.points(discovery.MODALITIES) if also.name == point.name)
    if first.folder != distribution.folder:
        return f"the modality {point.name} is taken by {first.name}; uninstall one of the two"
    return discovery.reference_fault(point.value)


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
    """The class behind ``entry``, imported now and held to the contract.

    Raises:
        UnusableBackendError: its import fails or changes the process, or what it names does not keep the contract.
    """
    key = (entry.full_name, entry.value)
    if key in _loaded:
        return _loaded[key]
    try:
        cls, left = (_import_own(entry.value), ()) if entry.built_in else quarantine.load(entry.value)
        _check_class(cls, entry)
        if not entry.built_in:
            _, more = quarantine.watched("construction", cls)
            left = (*left, *more)
    except UnusableBackendError as error:
        raise UnusableBackendError(f"{entry.full_name} of {entry.distribution} cannot be used: {error}") from error
    _loaded[key] = cls
    _notes[entry.full_name] = left
    return cls


def notes(entry: Entry) -> tuple[str, ...]:
    """What was put back after ``entry`` was loaded; empty while it was not."""
    return _notes.get(entry.full_name, ())


def get(modality: str, name: str | None = None) -> type[Backend]:
    """The class of backend ``name`` of ``modality`` (its default when no name is given)."""
    return load(find(modality, name))


def _import_own(value: str) -> type[Backend]:
    from importlib import import_module

    module, _, name = value.partition(":")
    return getattr(import_module(module), name)  # type: ignore[no-any-return]  # our own entry points name classes


def _check_class(cls: type[Backend], entry: Entry) -> None:
    """Raise the reason why ``cls`` does not keep the contract."""
    if not (isinstance(cls, type) and issubclass(cls, Backend)):
        raise UnusableBackendError(f"{entry.value} is not a subclass of artgen.backend.Backend")
    if cls.api_version != API_VERSION:
        newer = isinstance(cls.api_version, int) and cls.api_version > API_VERSION
        remedy = "update artgen" if newer else "install a newer version of the plugin"
        raise UnusableBackendError(f"it is written for contract {cls.api_version}, this artgen has {API_VERSION}; {remedy}")
    for fact in ("modality", "name", "summary"):
        if not isinstance(getattr(cls, fact, None), str) or not getattr(cls, fact):
            raise UnusableBackendError(f"its class sets no {fact}")
    if (cls.modality, cls.name) != (entry.modality, entry.name):
        raise UnusableBackendError(f"its class is called {cls.modality}.{cls.name}, its entry point {entry.full_name}")
    for verb in cls.verbs():
        _check_options(cls, verb)


def _check_options(cls: type[Backend], verb: str) -> None:
    group = getattr(cls, verb.capitalize())
    owner = f"{cls.__name__}.{verb.capitalize()}"
    base = TrainOptions if verb == "train" else Options
    if not (isinstance(group, type) and issubclass(group, base)):
        raise UnusableBackendError(f"{owner} is not a subclass of {base.__name__}")
    try:
        options = declared(group)
    except Exception as error:
        raise UnusableBackendError(f"{owner} declares an option that cannot be one: {quarantine.told(error)}") from error
    taken = RESERVED[verb] | (RESERVED["train"] if verb == "prepare" and "train" in cls.verbs() else frozenset())
    for option in options:
        if option.name.rstrip("_") in taken:
            raise UnusableBackendError(f"{owner} declares {option.flag}, which is one of artgen's own flags; rename it")
        if option.short and option.short in ("-h", "-n", "-o"):
            raise UnusableBackendError(f"{owner} declares {option.short}, which is one of artgen's own flags; leave short out")
        kinds = (option.kind, option.item) if option.kind is list else (option.kind,)
        if any(kind not in _KINDS for kind in kinds):
            shown = " of ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
            raise UnusableBackendError(
                f"{owner} declares {option.flag} of type {shown}; an option is a bool, int, float, str, Literal or a tuple of these"
            )
    if not any(option.required for option in options):
        try:
            group()
        except ArtgenError as error:
            raise UnusableBackendError(f"{owner} has a default that it refuses: {error}") from error


def _entry(distribution: Distribution, point: Point, known: tuple[str, ...]) -> Entry:
    modality, _, name = point.name.partition(".")
    entry = Entry(modality, name, point.value, distribution.name, distribution.version)
    if distribution.own:
        return entry
    reason = distribution.fault
    if not reason and not (modality and _NAME.fullmatch(name)):
        reason = f"its entry point is called {point.name!r}, not <modality>.<backend> in small letters, digits and dashes"
    if not reason and modality not in known:
        reason = f"there is no modality {modality!r}"
    return replace(entry, reason=reason or discovery.reference_fault(point.value))


def _names(found: Iterable[Entry]) -> str:
    return ", ".join(entry.name for entry in found)
