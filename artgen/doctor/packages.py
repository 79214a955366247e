"""Do the installed packages go together, do the plugins and the starters work? Each is imported and used."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from artgen.doctor.finding import Finding, cause, installing, needed
from artgen.errors import ArtgenError

_PAIR = "import torch, torchaudio; torchaudio.functional.resample(torch.zeros(1, 480), 48000, 44100)"
_SHORT: dict[str, dict[str, Any]] = {"audio": {"seconds": 0.5}, "text": {"length": 20}}
"""Options that keep a work of a starter short."""


def check_versions() -> Iterator[Finding]:
    """Every package that artgen needs, at a version it can work with, and torch with those that were built for it."""
    faults = list(unmet())
    for told, requirement in faults:
        yield Finding("versions", "problem", told, installing(requirement))
    fault = pair_fault()
    if fault:
        remedy = installing(*needed("torch", "torchaudio"), again=True)
        yield Finding(
            "versions", "problem", f"torch {_version('torch')} and torchaudio {_version('torchaudio')} do not fit: {fault}", remedy
        )
    if _version("torchvision") and (fault := import_fault("torchvision")):
        told = f"torch {_version('torch')} and torchvision {_version('torchvision')} do not fit: {fault}"
        yield Finding("versions", "problem", told, installing(*needed("torch", "torchvision"), again=True))
    if not faults and not fault:
        python = ".".join(map(str, sys.version_info[:3]))
        told = (
            f"artgen {_version('artgen')} with Python {python}, torch {_version('torch')} and torchaudio {_version('torchaudio')}"
        )
        yield Finding("versions", "good", f"{told}: every requirement is met", facts=versions())


def unmet() -> Iterator[tuple[str, str]]:
    """What artgen needs and is missing or of another version, as a sentence, and the requirement."""
    from packaging.requirements import Requirement

    for line in metadata.requires("artgen") or []:
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        there = _version(wanted.name)
        shown = f"{wanted.name}{wanted.specifier}"
        if not there:
            yield f"{wanted.name} is missing ({shown} is needed)", shown
        elif not wanted.specifier.contains(there, prereleases=True):
            yield f"{wanted.name} {there} is installed, {shown} is needed", shown


def pair_fault() -> str:
    """Why torchaudio does not work with this torch, or nothing; tried in a process of its own, which it may take down."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PAIR], capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode == 0:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"it ends with signal {-done.returncode}"


def import_fault(module: str) -> str:
    """Why ``module`` cannot be imported, or nothing."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import {module}"], capture_output=True, text=True, errors="replace", check=False
    )
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return "" if done.returncode == 0 else lines[-1] if lines else f"it ends with signal {-done.returncode}"


def versions() -> dict[str, str]:
    """The versions of the packages that decide what artgen can do."""
    names = (
        "artgen",
        "torch",
        "torchaudio",
        "torchvision",
        "numpy",
        "pillow",
        "soundfile",
        "av",
        "tokenizers",
        "transformers",
        "diffusers",
    )
    return {name: _version(name) for name in names if _version(name)}


def check_plugins() -> Iterator[Finding]:
    """Every plugin, imported and held to the contract; what cannot be used is named with the reason."""
    from artgen.plugins.listing import list_plugins

    found = list_plugins(load=True)
    usable = [each for each in found if each.state == "usable"]
    for each in found:
        if each in usable:
            continue
        reasons = "; ".join(f"{name}: {reason}" if name else reason for name, reason in each.reasons.items())
        told = f"{each.distribution} {each.version} ({each.state}): {reasons}"
        if each.state == "held back":
            yield Finding("plugins", "note", told, "unset ARTGEN_PLUGINS")
        else:
            remedy = installing("artgen", again=True) if each.built_in else f"artgen plugin uninstall {each.distribution}"
            yield Finding("plugins", "problem", told, remedy, {"reasons": each.reasons})
    for each in usable:
        if each.notes:
            yield Finding(
                "plugins", "note", f"{each.distribution}: {'; '.join(each.notes)}", f"artgen plugin check {each.distribution}"
            )
    if usable:
        told = "; ".join(f"{each.distribution} {each.version} ({', '.join(each.backends)})" for each in usable)
        yield Finding("plugins", "good", f"imported and usable: {told}", facts={"usable": [each.distribution for each in usable]})


def check_starters() -> Iterator[Finding]:
    """Every model that comes with artgen makes a work, offline."""
    from artgen.api import generate
    from artgen.model import Model, starters

    good = []
    for name in starters():
        started = time.perf_counter()
        try:
            model = Model.open(name)
            generate(model.modality, model=model, seed=7, **_SHORT.get(model.modality, {}))
        except ArtgenError as error:
            yield Finding("starters", "problem", f"{name}: {error}", installing("artgen", again=True))
        except Exception as error:
            yield Finding("starters", "problem", f"{name}: making a work ends in {cause(error)}", f"artgen show {name}")
        else:
            good.append(f"{name} ({model.modality}, {time.perf_counter() - started:.1f} s)")
    if good:
        yield Finding("starters", "good", f"made a work each: {', '.join(good)}")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
