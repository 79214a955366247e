"""A backend under test comes through the same door as any plugin: an entry point, not a patch."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from artgen import registry
from artgen.backend import Backend
from artgen.errors import UnusableBackendError
from artgen.testing.verdict import NotApplicable

_DISTRIBUTION = "artgen-conformance-subject"
_numbers = itertools.count()


@contextmanager
def installed(cls: type[Backend]) -> Iterator[None]:
    """Inside, artgen finds ``cls`` by its name; a class that is installed already is left as it is.

    Raises:
        NotApplicable: artgen refuses the class, or its name is another backend's.
    """
    if owner := taken_by(cls):
        raise NotApplicable(f"the name {full_name(cls)} is taken by {owner}; see the check described")
    if is_installed(cls):
        yield
        return
    with _entry_point(cls):
        try:
            registry.get(cls.modality, cls.name)
        except UnusableBackendError as error:
            raise NotApplicable(f"artgen refuses it: {error}") from error
        yield


def full_name(cls: type[Backend]) -> str:
    """``image.gan``; a question mark for what the class does not say."""
    return f"{getattr(cls, 'modality', '?')}.{getattr(cls, 'name', '?')}"


def is_installed(cls: type[Backend]) -> bool:
    """Whether a package brings just this class under its name."""
    return any(_loaded(entry) is cls for entry in _namesakes(cls))


def taken_by(cls: type[Backend]) -> str:
    """The distribution that brings another class under the name of ``cls``, or nothing."""
    others = [entry for entry in _namesakes(cls) if _loaded(entry) is not cls]
    return "" if is_installed(cls) or not others else others[0].distribution


def _namesakes(cls: type[Backend]) -> list[registry.Entry]:
    return [entry for entry in registry.entries() if entry.full_name == full_name(cls) and entry.distribution != _DISTRIBUTION]


def _loaded(entry: registry.Entry) -> Any:
    try:
        return registry.load(entry)
    except UnusableBackendError:
        return None


@contextmanager
def _entry_point(cls: type[Backend]) -> Iterator[None]:
    # A module of its own: a class may stand inside a function, where no entry point can name it. And a new one each
    # time, because what was once imported is kept.
    module = types.ModuleType(f"artgen_conformance_subject_{next(_numbers)}")
    vars(module)["Subject"] = cls
    allowed = os.environ.get("ARTGEN_PLUGINS")
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / f"{_DISTRIBUTION.replace('-', '_')}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {_DISTRIBUTION}\nVersion: 1\n", encoding="utf-8")
        points = f"[{registry.GROUP}]\n{full_name(cls)} = {module.__name__}:Subject\n"
        (info / "entry_points.txt").write_text(points, encoding="utf-8")
        sys.modules[module.__name__] = module
        sys.path.insert(0, folder)
        if allowed is not None:
            os.environ["ARTGEN_PLUGINS"] = f"{allowed},{_DISTRIBUTION}"
        try:
            yield
        finally:
            sys.path.remove(folder)
            del sys.modules[module.__name__]
            if allowed is not None:
                os.environ["ARTGEN_PLUGINS"] = allowed
