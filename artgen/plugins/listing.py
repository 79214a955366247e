"""The installed plugins, one row a package."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from artgen import discovery, registry
from artgen.discovery import Distribution
from artgen.errors import ArtgenError, UnusableBackendError, UsageError
from artgen.options import nearest


@dataclass(frozen=True)
class Plugin:
    """One installed package with something for artgen.

    ``state`` is ``usable`` (everything was imported and keeps the contract), ``installed`` (nothing is known against it; it was not
    imported), ``partly`` or ``unusable`` (some or all of it cannot be used), or ``held back`` (by ``ARTGEN_PLUGINS``).
    ``reasons`` maps what cannot be used to the reason, ``notes`` tell what was put right.
    """

    distribution: str
    version: str
    backends: tuple[str, ...]
    modalities: tuple[str, ...]
    licence: str
    state: str
    reasons: dict[str, str]
    notes: tuple[str, ...] = ()
    built_in: bool = False

    def asdict(self) -> dict[str, object]:
        """The facts as plain values."""
        return asdict(self)


def list_plugins(*, load: bool = False) -> list[Plugin]:
    """Every installed plugin, artgen first, those held back last; with ``load`` each is imported and held to the contract."""
    allowed = discovery.distributions()
    rows = [_row(distribution, load) for distribution in allowed]
    held = [each for each in discovery.everything() if each not in allowed]
    return rows + [_facts(each, "held back", {"": f"{discovery.SWITCH} does not name it"}) for each in held]


def plugin_backends(name: str) -> list[registry.Entry]:
    """The backends that ``name`` means: one of them by its full name, or all of a package.

    Raises:
        UsageError: nothing of that name is installed.
    """
    found = registry.entries()
    own = [entry for entry in found if entry.full_name == name]
    mine = own[:1] or [entry for entry in found if discovery.normal(entry.distribution) == discovery.normal(name)]
    mine = mine or [entry for entry in found if discovery.normal(entry.distribution) == f"artgen-{discovery.normal(name)}"]
    if not mine:
        known = dict.fromkeys([*(entry.full_name for entry in found), *(entry.distribution for entry in found)])
        hint = nearest(name, known) or nearest(name, [entry.name for entry in found])
        raise UsageError(f"no plugin or backend {name!r}{hint}; installed: {', '.join(known)}")
    return mine


def _row(distribution: Distribution, load: bool) -> Plugin:
    reasons: dict[str, str] = {"": distribution.fault} if distribution.fault else {}
    notes: list[str] = []
    if not distribution.fault:
        for entry in registry.entries():
            if (entry.distribution, entry.version) == (distribution.name, distribution.version):
                reason = entry.reason or (_load_fault(entry) if load else "")
                reasons |= {entry.full_name: reason} if reason else {}
                notes += registry.notes(entry)
        for point in distribution.points:
            if point.group == discovery.MODALITIES:
                reason = registry.modality_fault(distribution, point) or (_kind_fault(point.name) if load else "")
                reasons |= {point.name: reason} if reason else {}
    whole = len(distribution.points)
    state = "usable" if load else "installed"
    if reasons:
        state = "unusable" if "" in reasons or len(reasons) >= whole else "partly"
    return _facts(distribution, state, reasons, tuple(notes))


def _facts(distribution: Distribution, state: str, reasons: dict[str, str], notes: tuple[str, ...] = ()) -> Plugin:
    def named(group: str) -> tuple[str, ...]:
        return tuple(point.name for point in distribution.points if point.group == group)

    return Plugin(
        distribution.name, distribution.version, named(discovery.BACKENDS), named(discovery.MODALITIES), distribution.licence,
        state, reasons, notes, distribution.own,
    )  # fmt: skip


def _load_fault(entry: registry.Entry) -> str:
    try:
        registry.load(entry)
    except UnusableBackendError as error:
        return str(error).partition(" cannot be used: ")[2] or str(error)
    return ""


def _kind_fault(modality: str) -> str:
    from artgen.artwork import kind  # brings NumPy and the decoders, which a plain list does not need

    try:
        kind(modality)
    except ArtgenError as error:
        return str(error).partition(" cannot be used: ")[2] or str(error)
    return ""
