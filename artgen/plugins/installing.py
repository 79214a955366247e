"""Install and remove plugin packages with the tool that owns the environment, and remember them.

Nothing is changed before the user saw what would change: other packages may be raised or lowered on the way.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from artgen import discovery
from artgen.discovery import Distribution, normal
from artgen.errors import ArtgenError, UsageError
from artgen.options import nearest
from artgen.plugins import saved
from artgen.plugins.saved import Saved

_LAST_LINES = 8


@dataclass(frozen=True)
class Change:
    """What an installation would do to one package; ``before`` is empty for a new one, ``after`` for one that goes."""

    package: str
    before: str
    after: str

    @property
    def told(self) -> str:
        """``artgen-noise: new, 1.0`` or ``numpy: 2.1 → 2.2``."""
        if not self.before:
            return f"{self.package}: new, {self.after}"
        return f"{self.package}: {self.before} → {self.after or 'removed'}"


@dataclass(frozen=True)
class Tool:
    """pip or uv, whichever owns the environment of this Python."""

    name: str
    command: tuple[str, ...]

    @classmethod
    def of_environment(cls) -> Tool:
        """The tool that installed artgen here; else uv where it is at hand, else pip.

        Raises:
            ArtgenError: there is neither.
        """
        uv = shutil.which("uv") or os.environ.get("UV", "")
        own = next((each for each in discovery.everything() if each.own), None)
        installer = _text(own.folder / "INSTALLER").strip() if own else ""
        pip = find_spec("pip") is not None
        if uv and (installer == "uv" or not pip):
            return cls("uv", (uv, "pip"))
        if pip:
            return cls("pip", (sys.executable, "-m", "pip"))
        raise ArtgenError(f"neither uv nor pip can install into {sys.prefix}; make pip available with: python -m ensurepip")

    def run(self, verb: str, *words: str) -> str:
        """What the tool prints; its own questions are never asked.

        Raises:
            ArtgenError: it fails; the message ends in its last lines.
        """
        python = ["--python", sys.executable] if self.name == "uv" else ["--disable-pip-version-check", "--no-input"]
        yes = ["--yes"] if self.name == "pip" and verb == "uninstall" else []
        done = subprocess.run(
            [*self.command, verb, *python, *yes, *words],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if done.returncode:
            lines = [line for line in f"{done.stdout}\n{done.stderr}".splitlines() if line.strip()]
            last = "\n  ".join(line.rstrip() for line in lines[-_LAST_LINES:])
            raise ArtgenError(f"{self.name} {verb} failed, nothing was put on the list of plugins; its last lines:\n  {last}")
        return f"{done.stdout}\n{done.stderr}"

    def would_change(self, requirements: Sequence[str]) -> list[Change]:
        """What installing ``requirements`` would change, found by a dry run.

        Raises:
            ArtgenError: there is no such package, or it does not go with what is installed.
        """
        if self.name == "uv":
            return _uv_changes(self.run("install", "--dry-run", *requirements))
        return _pip_changes(self.run("install", "--dry-run", "--quiet", "--report", "-", *requirements))


def requirement(text: str) -> str:
    """``text`` as pip takes it; a folder or file as a full path.

    Raises:
        UsageError: it is empty, a flag, or holds what no requirement holds.
    """
    if not text.strip() or text.startswith("-") or re.search(r"[\x00-\x1f]", text):
        raise UsageError(f"{text!r} is no package; give a name (with a version: name==1.0), a folder, a wheel or an address")
    path = Path(text).expanduser()
    if os.sep in text or text.endswith((".whl", ".tar.gz")) or path.is_dir():
        if "://" not in text and not path.exists():
            raise UsageError(f"{text}: no such file or folder; give a name, a folder, a wheel or an address")
        return str(path.resolve()) if "://" not in text else text
    return text


def install(tool: Tool, requirements: Sequence[str]) -> list[Distribution]:
    """Install ``requirements`` and put the plugins among them on the list; returns these plugins.

    Raises:
        ArtgenError: the tool fails (the list is then as it was), or nothing of what was installed is a plugin.
    """
    before = {(each.name, each.version): each for each in discovery.everything()}
    tool.run("install", *requirements)
    discovery.forget()
    now = [each for each in discovery.everything() if not each.own]
    new = [each for each in now if (each.name, each.version) not in before]
    meant = [each for each in now if any(_means(text, each) for text in requirements)]
    plugins = list({each.name: each for each in [*new, *meant]}.values())
    saved.add([Saved(each.name, _typed_for(each, requirements)) for each in plugins])
    if not plugins:
        listed = ", ".join(requirements)
        raise ArtgenError(
            f"{listed} was installed, but is no plugin of artgen (it names no backend or modality); remove it with {tool.name}"
        )
    return plugins


def uninstall(tool: Tool, names: Sequence[str]) -> list[str]:
    """Remove plugins and take them off the list; returns the names of the packages.

    Raises:
        UsageError: one of ``names`` is no installed plugin of artgen.
        ArtgenError: the tool fails; the list is then as it was.
    """
    packages = [plugin_package(name).name for name in names]
    tool.run("uninstall", *packages)
    discovery.forget()
    saved.drop(packages)
    return packages


def plugin_package(name: str) -> Distribution:
    """The installed plugin package that ``name`` means; ``artgen-`` may be left out.

    Raises:
        UsageError: there is none, or it is artgen itself, or a package that is no plugin.
    """
    found = {normal(each.name): each for each in discovery.everything()}
    key = normal(name)
    each = found.get(key) or found.get(f"artgen-{key}")
    if each is not None and each.own:
        raise UsageError("artgen itself is no plugin; remove it with pip or uv")
    if each is None:
        known = [each.name for each in found.values() if not each.own]
        raise UsageError(
            f"{name} is no installed plugin of artgen{nearest(name, known)}; installed: {', '.join(known) or 'none'}; "
            "artgen removes nothing else"
        )
    return each


def missing() -> list[Saved]:
    """The plugins on the list that are not installed now.

    Raises:
        SourceError: the list is damaged.
    """
    here = {normal(each.name) for each in discovery.everything()}
    return [item for item in saved.read() if normal(item.distribution) not in here]


def upgrade_advice() -> str:
    """How to keep plugins when uv or pipx made an environment for artgen alone, or nothing elsewhere: an upgrade empties it."""
    prefix = Path(sys.prefix)
    if (prefix / "uv-receipt.toml").is_file() or (prefix / "pipx_metadata.json").is_file():
        return "an upgrade of artgen in this environment removes plugins; artgen plugin restore brings them back"
    return ""


def _means(text: str, distribution: Distribution) -> bool:
    return normal(re.split(r"[\s\[<>=!~;@]", text, maxsplit=1)[0]) == normal(distribution.name) or _from(distribution) == _bare(
        text
    )


def _typed_for(distribution: Distribution, requirements: Sequence[str]) -> str:
    for text in requirements:
        if _means(text, distribution):
            return text
    return distribution.name  # it came along with another package


def _from(distribution: Distribution) -> str:
    """The file, folder or address that a package was installed from, or nothing."""
    try:
        url = json.loads(_text(distribution.folder / "direct_url.json") or "{}").get("url", "")
    except (ValueError, AttributeError):
        return "?"
    return _bare(str(url)) if url else "?"


def _bare(text: str) -> str:
    from urllib.parse import unquote

    return unquote(text.removeprefix("git+").removeprefix("file://")).rstrip("/")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _uv_changes(printed: str) -> list[Change]:
    gone = dict(re.findall(r"^\s*-\s+([\w.-]+)==(\S+)", printed, re.MULTILINE))
    come = dict(re.findall(r"^\s*\+\s+([\w.-]+)(?:==| @ )(\S+)", printed, re.MULTILINE))
    return [Change(name, gone.get(name, ""), come.get(name, "")) for name in dict.fromkeys([*come, *gone])]


def _pip_changes(printed: str) -> list[Change]:
    from importlib.metadata import PackageNotFoundError, version

    start = printed.find("{")
    report, _ = json.JSONDecoder().raw_decode(printed[max(start, 0) :]) if start >= 0 else ({}, 0)
    changes = []
    for item in report.get("install", []):
        facts = item["metadata"]
        try:
            before = version(facts["name"])
        except PackageNotFoundError:
            before = ""
        changes.append(Change(facts["name"], before, facts["version"]))
    return changes
