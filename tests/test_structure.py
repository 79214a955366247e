"""Holds the shape of the package: who may import what, what is heavy, what is forbidden, how long things get.

The table is the one of ``docs/architecture.md``. Imports inside functions count like any other; only those under
``TYPE_CHECKING`` do not.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "artgen"
FILES = sorted(PACKAGE.rglob("*.py"))
CODE = FILES + [path for folder in ("benchmarks", "docs", "examples", "plugins") for path in sorted((ROOT / folder).rglob("*.py"))]

FOUNDATION = {"errors", "options", "files", "recipe", "dataset", "model", "media", "artwork", "backend"}
CLI_VALUES = {"options", "errors", "files", "artwork", "model", "backend"}
CLI_ROOMS = {"catalogue", "doctor", "history", "settings", "signing"}
HEAVY_ROOMS = {"training", "nn", "metrics", "network"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "options": {"errors"},
    "files": {"errors"},
    "locks": {"errors"},
    "recipe": {"options", "errors", "files"},
    "dataset": {"options", "errors", "files"},
    "model": {"options", "errors", "files", "recipe"},
    "hub": {"model", "files", "errors", "backend"},
    "backend": {"options", "errors"},
    "discovery": {"errors"},
    "quarantine": {"errors"},
    "registry": {"backend", "discovery", "quarantine", "options", "errors"},
    "media": {"dataset", "options", "errors", "files", "recipe", "backend"},
    "settings": {"errors", "files"},
    "history": {"errors", "files", "recipe", "settings"},
    "signing": {"errors", "files"},
    "artwork": {"signing", "media", "recipe", "files", "errors", "options", "discovery", "quarantine", "history"},
    "nn": {"errors"},
    "training": FOUNDATION | {"nn"},
    "metrics": FOUNDATION | {"nn"},
    "network": FOUNDATION | {"training", "nn", "metrics", "codecs"},
    "method": FOUNDATION | {"network", "training", "nn", "metrics"},
    "codecs": FOUNDATION | {"registry"},
    "choice": FOUNDATION | {"registry"},
    "api": FOUNDATION | {"choice", "locks", "training", "plan", "artgen"},
    "plan": FOUNDATION | {"locks", "registry", "training", "api", "artgen"},
    "remake": FOUNDATION | {"registry", "api", "plan", "artgen"},
    "describe": FOUNDATION | {"signing", "registry", "api", "plan", "artgen"},
    "catalogue": FOUNDATION | {"registry", "api", "plan"},
    "doctor": FOUNDATION | {"registry", "api", "describe", "history", "plugins", "quarantine", "training"},
    "plugins": {"discovery", "registry", "artwork", "files", "options", "errors", "artgen"},
    "cli": {"api", "plan", "remake", "describe", "registry", "artgen", "plugins", *CLI_VALUES, *CLI_ROOMS},
    "testing": FOUNDATION | {"registry", "api", "remake", "history"},
    "artgen": {"api", "remake", "describe", "artwork", "dataset", "model"},
    "__main__": {"cli"},
    "starters": set(),
}
"""Room -> the rooms it may import. ``method`` is a backend's ``backend.py``, ``network`` every other file beside it."""

NAMES_ONLY = {("media", "backend"): {"Progress", "SILENT"}}
"""Pairs where only some names may cross."""

LAZY_EXCEPTIONS = {("artgen/backend.py", "training"), ("artgen/backend.py", "model"), ("artgen/cli/plugin.py", "testing")}
"""The defaults of ``Backend.train`` and ``Backend.find_model``, and ``artgen plugin check``: inside these functions alone."""

HEAVY = {
    "torch",
    "torchaudio",
    "torchvision",
    "transformers",
    "diffusers",
    "librosa",
    "accelerate",
    "torch_fidelity",
    "safetensors.torch",
}
PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


@dataclass(frozen=True)
class Import:
    """One imported module, with the names taken from it and whether it happens inside a function."""

    module: str
    names: tuple[str, ...]
    lazy: bool
    line: int


def room(path: Path) -> str:
    """The room a file of the package belongs to."""
    parts = path.relative_to(PACKAGE).parts
    if parts == ("__init__.py",):
        return "artgen"
    if parts[0] == "backends":
        return "method" if parts[-1] in ("backend.py", "__init__.py") else "network"
    return parts[0].removesuffix(".py")


def target_room(module: str) -> str:
    """The room that a dotted name of ours lies in."""
    parts = module.split(".")[1:]
    if not parts:
        return "artgen"
    if parts[0] == "backends":
        return "method" if len(parts) < 4 or parts[3] == "backend" else "network"
    return parts[0]


def is_module(dotted: str) -> bool:
    place = ROOT.joinpath(*dotted.split("."))
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def imports(path: Path, source: str) -> Iterator[Import]:
    """Every import of ``source`` that is not for type checkers alone."""
    package = ".".join(path.relative_to(ROOT).with_suffix("").parts[: -1 if path.name != "__init__.py" else None])
    package = package.removesuffix(".__init__")
    yield from _walk(ast.parse(source), package, False)


def _walk(node: ast.AST, package: str, lazy: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _walk(ast.Module([other], []), package, lazy)
            continue
        yield from _imported(child, package, lazy)
        inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, package, inside)


def _imported(node: ast.AST, package: str, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, (), lazy, node.lineno)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, base]).rstrip(".")
        for alias in node.names:
            whole = f"{base}.{alias.name}"
            if whole.startswith("artgen.") and is_module(whole):
                yield Import(whole, (), lazy, node.lineno)
            else:
                yield Import(base, (alias.name,), lazy, node.lineno)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__"):
        name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else None
        if isinstance(name, str):
            yield Import(name, (), lazy, node.lineno)


def import_faults(path: Path, source: str) -> list[str]:
    """What in ``source`` breaks the table, or takes torch into a light file."""
    name, here = str(path.relative_to(ROOT)), room(path)
    if here not in ALLOWED:
        return [f"{name}: the table has no room {here!r}; put the file elsewhere or agree on a new room"]
    faults = []
    for item in imports(path, source):
        where = f"{name}:{item.line}"
        if is_heavy(item.module):
            if not item.lazy and here not in HEAVY_ROOMS:
                faults.append(f"{where}: {item.module} at module level; import it inside the function that needs it")
            continue
        if item.module.split(".")[0] != "artgen":
            continue
        there = target_room(item.module)
        if there == "artgen" and item.names == ("__version__",):
            continue
        if there == here and here not in ("method", "network"):
            continue
        if here in ("method", "network") and _other_backend(path, item.module):
            faults.append(f"{where}: a backend imports another one's {item.module}; move what both need to nn/ or media/")
        elif there == here or (item.lazy and (name, there) in LAZY_EXCEPTIONS):
            continue
        elif there not in ALLOWED[here]:
            faults.append(f"{where}: {here} may not import {there} ({item.module})")
        elif here not in HEAVY_ROOMS and not item.lazy and brings_torch(item.module):
            faults.append(f"{where}: {item.module} brings torch; import it inside the function that needs it")
        elif (here, there) in NAMES_ONLY and not (item.names and set(item.names) <= NAMES_ONLY[here, there]):
            faults.append(f"{where}: {here} may take only {sorted(NAMES_ONLY[here, there])} from {there}")
    return faults


@cache
def brings_torch(module: str) -> bool:
    """Whether importing a module of ours imports torch or its like, by way of whatever it imports at module level."""
    seen: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        place = ROOT.joinpath(*name.split("."))
        path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not path.is_file():  # one that a test invents
            return target_room(name) in HEAVY_ROOMS
        pending += [name.rpartition(".")[0]] if name.count(".") else []
        for item in imports_of(path):
            if not item.lazy and is_heavy(item.module):
                return True
            pending += [item.module] if not item.lazy and item.module.split(".")[0] == "artgen" else []
    return False


@cache
def imports_of(path: Path) -> tuple[Import, ...]:
    return tuple(imports(path, path.read_text(encoding="utf-8")))


def is_heavy(module: str) -> bool:
    return any(module == heavy or module.startswith(f"{heavy}.") for heavy in HEAVY)


def _other_backend(path: Path, module: str) -> bool:
    own = path.relative_to(ROOT).with_suffix("").parts[:4]
    parts = tuple(module.split("."))
    return parts[:2] == ("artgen", "backends") and parts[:4] != own[:4]


def pickle_faults(source: str, name: str) -> list[str]:
    """Where ``source`` reads or writes a format that can execute code."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            names = {alias.name for alias in node.names}
            if {module.split(".")[0] for module in modules} & PICKLES or ("torch" in modules and names & {"load", "save"}):
                faults.append(f"{name}:{node.lineno}: imports a pickle reader or writer")
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save"):
            faults.append(f"{name}:{node.lineno}: {ast.unparse(node)}; use safetensors")
        elif isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            faults.append(f"{name}:{node.value.lineno}: allow_pickle")
    return faults


def size_faults(source: str, name: str, function: int = 90, file: int = 450) -> list[str]:
    """Functions and files that have grown too long."""
    lines = source.count("\n")
    faults = [f"{name}: {lines} lines, {file} are allowed"] if lines > file else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > function:
                faults.append(f"{name}:{node.lineno}: {node.name} has {length} lines, {function} are allowed")
    return faults


def docstring_faults(source: str, name: str) -> list[str]:
    """Public modules, classes, functions and methods that say nothing about themselves."""
    tree = ast.parse(source)
    if not tree.body:  # an empty __init__.py
        return []
    faults = [] if ast.get_docstring(tree) else [f"{name}: no module docstring"]
    pending: list[ast.Module | ast.ClassDef] = [tree]
    while pending:
        for node in pending.pop().body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node) and ast.unparse(node.body[0]) != "...":
                faults.append(f"{name}:{node.lineno}: {node.name} has no docstring")
            if isinstance(node, ast.ClassDef):
                pending.append(node)
    return faults


def faults(check: Callable[[str, str], list[str]], files: list[Path]) -> list[str]:
    return [fault for path in files for fault in check(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))]


def test_every_file_imports_only_what_its_room_may() -> None:
    assert [fault for path in FILES for fault in import_faults(path, path.read_text(encoding="utf-8"))] == []


def test_nothing_reads_or_writes_pickles() -> None:
    assert faults(pickle_faults, CODE) == []


def test_functions_and_files_stay_short() -> None:
    assert faults(size_faults, FILES) == []


def test_every_public_name_has_a_docstring() -> None:
    assert faults(docstring_faults, FILES) == []


def test_every_file_postpones_annotations() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in FILES}
    code = {path: text for path, text in texts.items() if len(ast.parse(text).body) > 1}  # more than a docstring
    assert [path for path, text in code.items() if "from __future__ import annotations" not in text] == []


def test_backends_and_entry_points_name_each_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {}
    for name, value in project["entry-points"]["artgen.backends"].items():
        module = value.partition(":")[0]
        declared[name] = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    places = {}
    for folder in (PACKAGE / "backends").glob("*/*/"):
        if folder.name != "__pycache__":
            places[f"{folder.parent.name}.{folder.name}"] = folder / "backend.py"
    assert declared == places
    assert [path for path in places.values() if not path.is_file()] == []


def test_backends_say_the_place_they_are_in() -> None:
    from artgen import registry

    own = [entry for entry in registry.entries() if entry.built_in]
    assert own, "the package is not installed: no entry points of artgen"
    for entry in own:
        cls = registry.load(entry)
        assert f"{cls.modality}.{cls.name}" == entry.full_name
        assert cls.modality in registry.MODALITIES
        assert cls.__module__ == f"artgen.backends.{entry.full_name}.backend"
        assert cls.summary.strip()
        assert "\n" not in cls.summary


def test_files_of_a_backend_lie_in_its_folder() -> None:
    inside = [path for path in FILES if path.is_relative_to(PACKAGE / "backends") and path.name != "__init__.py"]
    assert [path for path in inside if len(path.relative_to(PACKAGE).parts) != 4] == []


IMPORT_CASES = [
    ("options.py", "import artgen.registry", "options may not import registry"),
    ("options.py", "def f():\n    from artgen.backend import Backend", "options may not import backend"),
    ("errors.py", "from artgen import files", "errors may not import files"),
    ("dataset.py", "from .media import image", "dataset may not import media"),
    ("media/image.py", "from ..artwork import Image", "media may not import artwork"),
    ("media/image.py", "from artgen.backend import Backend", "may take only"),
    ("media/image.py", "from artgen.backend import *", "may take only"),
    ("media/image.py", "import artgen.backend", "may take only"),
    ("media/image.py", "import artgen.cli", "media may not import cli"),
    ("api.py", "from artgen.cli import main", "api may not import cli"),
    ("cli/app.py", "import torch", "torch at module level"),
    ("cli/app.py", "from safetensors.torch import load_file", "safetensors.torch at module level"),
    ("cli/app.py", "from artgen.training import fit", "cli may not import training"),
    ("api.py", "from artgen.training.loop import fit", "brings torch"),
    ("backend.py", "from artgen.training import fit", "backend may not import training"),
    ("backend.py", "def f():\n    import artgen.registry", "backend may not import registry"),
    ("nn/blocks.py", "from artgen.training.task import Task", "nn may not import training"),
    ("backends/image/gan/backend.py", "import torch.nn", "torch.nn at module level"),
    ("backends/image/gan/backend.py", "from artgen.backends.image.gan.model import Generator", "brings torch"),
    ("backends/image/gan/backend.py", "from artgen.nn.mapping import Mapping", "brings torch"),
    ("backends/image/gan/backend.py", "from .model import Generator", "brings torch"),
    ("backends/image/gan/model.py", "import artgen.backends.audio.rnn.model", "another one's"),
    ("testing/kit.py", "import artgen.cli", "testing may not import cli"),
    ("media/image.py", "import artgen", "media may not import artgen"),
    ("__init__.py", "from artgen.cli import main", "artgen may not import cli"),
    ("model.py", "import importlib\nimportlib.import_module('artgen.api')", "model may not import api"),
    ("kitchen/sink.py", "import os", "no room 'kitchen'"),
]


@pytest.mark.parametrize(("file", "source", "fault"), IMPORT_CASES)
def test_the_import_rule_finds(file: str, source: str, fault: str) -> None:
    found = import_faults(PACKAGE / file, source)
    assert len(found) == 1
    assert fault in found[0]


def test_torch_is_found_behind_other_files() -> None:
    assert brings_torch("artgen.nn.mapping")
    assert brings_torch("artgen.backends.image.gan.model")
    assert not brings_torch("artgen.api")
    assert not brings_torch("artgen.cli.app")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("backend.py", "def train(self):\n    from artgen.training import fit"),
        ("backend.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n    from artgen.model import Model"),
        ("media/image.py", "from artgen.backend import SILENT, Progress"),
        ("media/image.py", "from artgen import __version__"),
        ("model.py", "def tensors(self):\n    from safetensors.torch import load_file"),
        ("training/loop.py", "import torch\nfrom artgen.dataset import Dataset"),
        ("backends/image/gan/backend.py", "def build(self):\n    import torch\n    from .model import Generator"),
        ("backends/image/gan/model.py", "import torch\nfrom artgen.backends.image.gan.losses import loss"),
        ("__main__.py", "from artgen.cli import main"),
    ],
)
def test_the_import_rule_lets_pass(file: str, source: str) -> None:
    assert import_faults(PACKAGE / file, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "import torch\nsave = torch.save",
        "from torch import load",
        "np.load('x', allow_pickle=True)",
    ],
)
def test_the_pickle_rule_finds(source: str) -> None:
    assert len(pickle_faults(source, "x.py")) == 1


def test_the_size_and_docstring_rules_find() -> None:
    long = '"""M."""\ndef f():\n    """F."""\n' + "    x = 1\n" * 90
    assert [fault.split(": ")[1] for fault in size_faults(long, "x.py")] == ["f has 92 lines, 90 are allowed"]
    assert size_faults("\n" * 451, "x.py") == ["x.py: 451 lines, 450 are allowed"]
    assert len(docstring_faults("def f():\n    return 1\nclass A:\n    def g(self):\n        return 1\n", "x.py")) == 4
    assert docstring_faults('"""M."""\ndef _f():\n    return 1\n', "x.py") == []
