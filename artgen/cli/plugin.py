"""What each ``artgen plugin`` command does."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from artgen.cli.voice import Voice
from artgen.errors import UsageError
from artgen.plugins import installing
from artgen.plugins.installing import Change, Tool
from artgen.plugins.listing import Plugin, list_plugins, plugin_backends

Arguments = Mapping[str, Any]


def list_(own: Any, arguments: Arguments) -> None:
    """``artgen plugin list``."""
    found = list_plugins(load=own.load)
    rows = [
        (
            f"{each.distribution} {each.version}".strip(),
            ", ".join(each.backends),
            ", ".join(each.modalities),
            each.licence,
            _state(each),
        )
        for each in found
    ]
    columns = ("package", "backends", "modalities", "licence", "state")
    Voice(own.json).table({"plugins": [each.asdict() for each in found]}, columns, rows)


def new(own: Any, arguments: Arguments) -> None:
    """``artgen plugin new NAME``."""
    from artgen.plugins.scaffold import write_package

    name = _one(arguments, "new NAME")
    made = write_package(name, modality=own.modality, kind=own.kind, output=own.output)
    voice = Voice(own.json)
    told = {
        "folder": str(made.folder),
        "package": made.package,
        "backend": made.backend,
        "files": [str(file) for file in made.files],
    }
    voice.result(told, str(made.folder))
    voice.say(
        f"next: artgen plugin install {made.folder} (or pip install --editable {made.folder}), then artgen plugin check {name}"
    )


def check(own: Any, arguments: Arguments) -> int:
    """``artgen plugin check NAME``; returns 1 when a check fails."""
    from artgen import registry
    from artgen.testing import CHECKS, check_backend

    entries = plugin_backends(_one(arguments, "check NAME"))
    unknown = [name for name in own.only if name not in CHECKS]
    if unknown:
        raise UsageError(f"--only takes {', '.join(CHECKS)}, not {unknown[0]}")
    voice = Voice(own.json)
    told: dict[str, Any] = {}
    counts: Counter[str] = Counter()
    for entry in entries:
        cls = registry.load(registry.find(entry.modality, entry.name))
        voice.say(f"checking {entry.full_name} of {entry.distribution} {entry.version}")
        found = check_backend(cls, only=own.only or None, model=own.model)
        told[entry.full_name] = [asdict(each) for each in found]
        counts.update(each.state for each in found)
        if not own.json:
            rows = [(each.name, each.state, f"{each.seconds:.1f} s", each.reason) for each in found]
            voice.table(None, (entry.full_name, "state", "time", "reason"), rows)
    voice.result({"checks": told, "failed": counts["failed"]}, ", ".join(f"{count} {state}" for state, count in counts.items()))
    return 1 if counts["failed"] else 0


def install(own: Any, arguments: Arguments) -> int | None:
    """``artgen plugin install NAME…``."""
    if not arguments["name"]:
        raise UsageError("give what to install: artgen plugin install NAME…")
    return _install([installing.requirement(text) for text in arguments["name"]], own)


def restore(own: Any, arguments: Arguments) -> int | None:
    """``artgen plugin restore``."""
    gone = installing.missing()
    if not gone:
        Voice(own.json).result({"changes": [], "installed": []}, "every plugin on the list is installed")
        return None
    return _install([item.requirement for item in gone], own)


def uninstall(own: Any, arguments: Arguments) -> int | None:
    """``artgen plugin uninstall NAME…``."""
    if not arguments["name"]:
        raise UsageError("give what to remove: artgen plugin uninstall NAME…")
    voice = Voice(own.json)
    packages = [installing.plugin_package(name) for name in arguments["name"]]
    changes = [Change(each.name, each.version, "") for each in packages]
    if not _agreed(changes, own, voice, "Remove"):
        return None if own.dry_run else 1
    removed = installing.uninstall(Tool.of_environment(), [each.name for each in packages])
    voice.result({"changes": [asdict(change) for change in changes], "removed": removed}, *(f"removed {name}" for name in removed))
    return None


def _install(requirements: Sequence[str], own: Any) -> int | None:
    voice = Voice(own.json)
    tool = Tool.of_environment()
    changes = tool.would_change(requirements)
    if not _agreed(changes, own, voice, "Install"):
        return None if own.dry_run else 1
    plugins = installing.install(tool, requirements)
    told = {"changes": [asdict(change) for change in changes], "installed": [each.name for each in plugins]}
    lines = [f"installed {each.name} {each.version}: {', '.join(point.name for point in each.points)}" for each in plugins]
    voice.result(told, *lines)
    if advice := installing.upgrade_advice():
        voice.say(advice)
    voice.say("next: artgen plugin list --load")
    return None


def _agreed(changes: Sequence[Change], own: Any, voice: Voice, act: str) -> bool:
    """Show ``changes``; whether they are to be made now."""
    if own.dry_run and own.json:
        voice.result({"changes": [asdict(change) for change in changes]})
        return False
    for change in changes:
        voice.say(f"  {change.told}")
    if not changes:
        voice.say("nothing would change")
    if own.dry_run or own.yes:
        return bool(own.yes and not own.dry_run)
    if own.json or not sys.stdin.isatty():
        raise UsageError("nobody is there to ask; look at the changes and give --yes")
    print(f"{act}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _one(arguments: Arguments, words: str) -> str:
    name = arguments["name"]
    if not name:
        raise UsageError(f"give a name: artgen plugin {words}")
    return str(name)


def _state(plugin: Plugin) -> str:
    reasons = [f"{name}: {reason}" if name else reason for name, reason in plugin.reasons.items()]
    return "; ".join([plugin.state, *reasons, *plugin.notes])
