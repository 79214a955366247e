"""Names from metadata, classes on demand, and plugins that cannot be used as listed facts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import noise_plugin
import pytest
from noise_fixtures import place  # noqa: F401 - a fixture

from artgen import discovery, registry
from artgen.api import list_backends
from artgen.backend import RESERVED
from artgen.cli import main
from artgen.errors import UnknownBackendError, UnusableBackendError

pytestmark = pytest.mark.usefixtures("place")


def add(place: Path, points: dict[str, str], name: str, **more: dict[str, str]) -> None:  # noqa: F811 - the fixture
    noise_plugin.install(place, points, distribution=name, **more)


def test_a_plugin_is_listed_after_the_built_in() -> None:
    names = [entry.full_name for entry in registry.entries()]
    assert "image.gan" in names[: names.index("image.noise")]
    entry = registry.find("image", "noise")
    assert (entry.distribution, entry.version, entry.built_in) == ("artgen-noise", "1.0", False)
    assert registry.find("image", "image.noise") == entry


def test_listing_imports_no_plugin() -> None:
    code = (
        "import sys; from artgen import registry; registry.entries(); print('noise_plugin' in sys.modules, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_the_built_in_is_the_default() -> None:
    assert registry.default("image").full_name == "image.gan"


def test_a_lone_plugin_is_the_default_and_several_are_not(place: Path) -> None:  # noqa: F811
    add(place, {}, "artgen-palette", modalities={"palette": "palette_plugin:Palette"})
    with pytest.raises(UnknownBackendError, match="no backend for palette is installed"):
        registry.default("palette")
    add(place, {"palette.one": "noise_plugin:Noise"}, "artgen-one")
    assert registry.default("palette").name == "one"
    add(place, {"palette.two": "noise_plugin:Noise"}, "artgen-two")
    with pytest.raises(UnknownBackendError, match="several backends for palette: name one with --backend one, two"):
        registry.default("palette")


def test_classes_are_loaded() -> None:
    assert registry.get("image", "noise") is noise_plugin.Noise
    assert noise_plugin.Noise.verbs() == ("prepare", "train", "generate", "modify", "evaluate")
    assert noise_plugin.OnlyPrepares.verbs() == ("prepare",)


@pytest.mark.parametrize(
    ("modality", "name", "sentence"),
    [
        ("imag", None, r"no modality 'imag'; did you mean image\?; installed: image, audio, text, video"),
        ("image", "nose", r"no backend 'nose' for image; did you mean noise\?; installed: gan, (.*, )?noise, preparer"),
        ("audio", "x", "no backend 'x' for audio; installed: "),
    ],
)
def test_unknown_names(modality: str, name: str | None, sentence: str) -> None:
    with pytest.raises(UnknownBackendError, match=sentence):
        registry.find(modality, name)


def test_broken_plugins_stop_nothing_else(place: Path) -> None:  # noqa: F811
    noise_plugin.broken_module(place, "broken_here", "raise RuntimeError('no such card')")
    noise_plugin.broken_module(place, "leaving_here", "raise SystemExit(3)")
    add(
        place,
        {
            "image.broken": "broken_here:Backend",
            "image.leaving": "leaving_here:Backend",
            "image.object": "noise_plugin:NOT_A_BACKEND",
            "image.future": "noise_plugin:FromTheFuture",
            "nodot": "noise_plugin:Noise",
            "smell.rose": "noise_plugin:Noise",
        },
        "artgen-bad",
    )
    assert registry.get("image", "noise") is noise_plugin.Noise
    for name, reason in [
        ("broken", "image.broken of artgen-bad cannot be used: RuntimeError: no such card"),
        ("leaving", "image.leaving of artgen-bad cannot be used: it ends the process (SystemExit: 3)"),
        ("object", "not a subclass of artgen.backend.Backend"),
        ("future", "written for contract 99, this artgen has 1"),
    ]:
        with pytest.raises(UnusableBackendError) as caught:
            registry.get("image", name)
        assert reason in str(caught.value)
    reasons = {entry.full_name: entry.reason for entry in registry.entries()}
    assert "not <modality>.<backend>" in reasons["nodot."]
    assert reasons["smell.rose"] == "there is no modality 'smell'"


def test_a_name_is_given_once(place: Path) -> None:  # noqa: F811
    add(place, {"image.gan": "noise_plugin:Noise", "image.noise": "noise_plugin:OnlyPrepares"}, "artgen-zealot")
    reasons = {(entry.full_name, entry.distribution): entry.reason for entry in registry.entries()}
    assert reasons["image.gan", "artgen"] == ""
    assert reasons["image.gan", "artgen-zealot"] == "the name image.gan is taken by artgen; uninstall one of the two"
    assert reasons["image.noise", "artgen-zealot"] == "the name image.noise is taken by artgen-noise; uninstall one of the two"
    assert registry.get("image", "noise") is noise_plugin.Noise


def test_a_plugin_adds_a_modality(place: Path) -> None:  # noqa: F811
    add(place, {"palette.ramp": "palette_plugin:Ramp"}, "artgen-palette", modalities={"palette": "palette_plugin:Palette"})
    assert registry.modalities() == ("image", "audio", "text", "video", "palette")
    assert registry.default("palette").reason == ""


def test_a_module_that_was_there_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    discovery.forget()
    first = registry.entries()
    monkeypatch.setattr("importlib.machinery.PathFinder.find_spec", lambda *given: pytest.fail("looked"))
    assert registry.entries() == first


def test_plugins_can_be_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTGEN_PLUGINS", "")
    assert {entry.distribution for entry in registry.entries()} == {"artgen"}
    monkeypatch.setenv("ARTGEN_PLUGINS", "artgen-other, artgen-noise")
    assert "image.noise" in [entry.full_name for entry in registry.entries()]


HEAD = """
from __future__ import annotations
from typing import Annotated
from artgen.backend import Backend
from artgen.options import Meta, Options

class Bad(Backend):
    api_version = 1
    modality = "image"
    name = "bad"
    summary = "A plugin with a fault."

    def generate(self, model, seeds, options, progress=None):
        yield from ()
"""


def options(declaration: str) -> str:
    return f"{HEAD}\n    class Generate(Options):\n        {declaration}\n"


QUARANTINED = {
    "an exception": ("raise RuntimeError('no such card')", "RuntimeError: no such card"),
    "a missing dependency": ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
    "a syntax error": ("def (:", "SyntaxError: invalid syntax"),
    "sys.exit": ("import sys\nsys.exit(3)", "it ends the process (SystemExit: 3) instead of raising an error"),
    "another base exception": ("raise GeneratorExit", "GeneratorExit"),
    "no such class": ("", "has no attribute 'Bad'"),
    "no backend": ("Bad = 7", ":Bad is not a subclass of artgen.backend.Backend"),
    "a constructor that raises": (
        f"{HEAD}\n    def __init__(self):\n        raise OSError('no licence key')\n",
        "OSError: no licence key",
    ),
    "a constructor that exits": (f"{HEAD}\n    def __init__(self):\n        exit()\n", "it ends the process"),
    "a constructor with arguments": (f"{HEAD}\n    def __init__(self, key):\n        pass\n", "TypeError: Bad.__init__() missing"),
    "a newer contract": (HEAD.replace("= 1", "= 2"), "it is written for contract 2, this artgen has 1; update artgen"),
    "an older contract": (
        HEAD.replace("= 1", "= 0"),
        "it is written for contract 0, this artgen has 1; install a newer version of the plugin",
    ),
    "a contract that is no number": (HEAD.replace("= 1", "= 'one'"), "it is written for contract one"),
    "another name": (HEAD.replace('"bad"', '"good"'), "its class is called image.good, its entry point image.bad"),
    "no summary": (HEAD.replace("summary", "about"), "its class sets no summary"),
    "an option called help": (
        options('help: Annotated[str, Meta(description="Mine.")] = ""'),
        "Bad.Generate declares --help, which is one",
    ),
    "an option of artgen's": (
        options('seed: Annotated[int, Meta(description="Mine.")] = 0'),
        "Bad.Generate declares --seed, which is one",
    ),
    "a short flag of artgen's": (
        options('size: Annotated[int, Meta(description="S.", extra={"short": "-n"})] = 0'),
        "Bad.Generate declares -n, which is one",
    ),
    "an unsupported type": (
        options('pair: Annotated[dict[str, int], Meta(description="Mine.")] = {}'),
        "Bad.Generate.pair: an option is bool, int, float, str, Literal or tuple, not dict[str, int]",
    ),
    "a tuple of unsupported type": (
        options('pairs: Annotated[tuple[dict[str, int], ...], Meta(description="M.")] = ()'),
        "Bad.Generate declares",
    ),
    "a union": (options('size: Annotated[int | str, Meta(description="Mine.")] = 3'), "Bad.Generate declares"),
    "a default out of range": (
        options('size: Annotated[int, Meta(ge=1, description="Mine.")] = 0'),
        "Bad.Generate has a default that it refuses: --size takes 1 or more, not 0",
    ),
    "options that are none": (f"{HEAD}\n    class Generate:\n        size = 3\n", "Bad.Generate is not a subclass of Options"),
    "training options that are none": (
        f"{HEAD}\n    class Train(Options):\n        pass\n    def task(self, dataset, options):\n        pass\n",
        "Bad.Train is not a subclass of TrainOptions",
    ),
    "seeded random numbers": (f"{HEAD}\nimport random\nrandom.seed(1)", "its import changes the state of Python's random numbers"),
    "seeded NumPy": (f"{HEAD}\nimport numpy\nnumpy.random.seed(1)", "its import changes the state of NumPy's random numbers"),
    "seeded torch": (f"{HEAD}\nimport torch\ntorch.manual_seed(1)", "its import changes the state of torch's random numbers"),
    "another default dtype": (
        f"{HEAD}\nimport torch\ntorch.set_default_dtype(torch.float64)",
        "its import changes torch's default number format",
    ),
    "no gradients": (f"{HEAD}\nimport torch\ntorch.set_grad_enabled(False)", "its import changes whether torch computes gradients"),
    "a constructor that seeds": (
        f"{HEAD}\n    def __init__(self):\n        import random\n        random.seed(1)\n",
        "its construction changes the state of Python's random numbers; do that inside a method",
    ),
}


@pytest.mark.parametrize("case", QUARANTINED)
def test_quarantine(place: Path, case: str) -> None:  # noqa: F811
    import random

    import numpy as np
    import torch

    body, reason = QUARANTINED[case]
    module = f"bad_{list(QUARANTINED).index(case)}"  # Python imports a module once, so each case has one of its own
    noise_plugin.broken_module(place, module, body)
    add(place, {"image.bad": f"{module}:Bad"}, "artgen-bad")
    before = (random.getstate(), np.random.get_state(legacy=True)[1].tolist(), torch.get_rng_state().tolist())
    with pytest.raises(UnusableBackendError) as caught:
        registry.get("image", "bad")
    assert str(caught.value).startswith("image.bad of artgen-bad cannot be used: ")
    assert reason in str(caught.value)
    assert (random.getstate(), np.random.get_state(legacy=True)[1].tolist(), torch.get_rng_state().tolist()) == before
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    (listed,) = [item for item in list_backends("image") if item["name"] == "image.bad"]
    assert reason in listed["reason"]
    assert registry.get("image", "noise") is noise_plugin.Noise


NOTED = {
    "environment": (
        "import os\nos.environ['MY_SWITCH'] = '1'\nos.environ['HOME'] = '/nowhere'",
        "its import set HOME, MY_SWITCH in the environment",
    ),
    "folder": ("import os\nos.chdir('/')", "its import changed the working folder, which was put back"),
    "warnings": (
        "import warnings\nwarnings.simplefilter('ignore')",
        "its import changed which warnings are shown, which was put back",
    ),
    "forgotten warnings": ("import warnings\nwarnings.resetwarnings()", "its import changed which warnings are shown"),
}


@pytest.mark.parametrize("case", NOTED)
def test_what_is_put_right_is_told(place: Path, case: str) -> None:  # noqa: F811
    import os
    import warnings

    body, note = NOTED[case]
    name = f"noted_{case.replace(' ', '_')}"
    noise_plugin.broken_module(place, name, f"{HEAD}\n{body}\nprint('hello')")
    add(place, {"image.bad": f"{name}:Bad"}, "artgen-bad")
    before = (dict(os.environ), Path.cwd(), list(warnings.filters))
    cls = registry.get("image", "bad")
    assert cls.summary == "A plugin with a fault."
    assert (dict(os.environ), Path.cwd(), list(warnings.filters)) == before
    (listed,) = [item for item in list_backends("image") if item["name"] == "image.bad"]
    assert listed["reason"] == ""
    assert note in listed["notes"][0]


def test_what_a_plugin_prints_while_it_is_imported_is_no_result(place: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    noise_plugin.broken_module(place, "talker", f"{HEAD}\nprint('hello')")
    add(place, {"image.bad": "talker:Bad"}, "artgen-bad")
    registry.get("image", "bad")
    assert capsys.readouterr() == ("", "hello\n")


def test_ctrl_c_during_an_import_is_no_fault_of_the_plugin(place: Path) -> None:  # noqa: F811
    noise_plugin.broken_module(place, "slow_plugin", "raise KeyboardInterrupt")
    add(place, {"image.bad": "slow_plugin:Bad"}, "artgen-bad")
    with pytest.raises(KeyboardInterrupt):
        registry.get("image", "bad")


@pytest.mark.parametrize(
    ("point", "value", "reason"),
    [
        ("image.bad", "no_such_module:Bad", "its entry point names the module no_such_module, which is not installed"),
        ("image.bad", "noise_plugin.inner:Bad", "its entry point names the module noise_plugin.inner, which is not installed"),
        ("image.bad", "artgen.no_such:Bad", "its entry point names the module artgen.no_such, which is not installed"),
        ("image.bad", "noise_plugin", "its entry point says 'noise_plugin', not module:Class"),
        ("image.bad", "", "its entry point says '', not module:Class"),
        ("nodot", "noise_plugin:Noise", "its entry point is called 'nodot', not <modality>.<backend>"),
        ("image.Bad Name", "noise_plugin:Noise", "its entry point is called 'image.Bad Name', not <modality>.<backend>"),
        ("sculpture.bad", "noise_plugin:Noise", "there is no modality 'sculpture'"),
    ],
)
def test_faults_that_metadata_shows(place: Path, point: str, value: str, reason: str) -> None:  # noqa: F811
    add(place, {point: value}, "artgen-bad")
    (entry,) = [entry for entry in registry.entries() if entry.distribution == "artgen-bad"]
    assert entry.reason.startswith(reason)
    assert entry not in registry.backends("image")


def metadata(
    where: Path, folder: str, text: str | bytes | None, points: str = "[artgen.backends]\nimage.odd = noise_plugin:Noise\n"
) -> None:
    info = where / folder
    info.mkdir()
    if text is not None:
        (info / "METADATA").write_bytes(text if isinstance(text, bytes) else text.encode())
    (info / "entry_points.txt").write_text(points)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"\xff\xfe\x00rubbish", "its METADATA is damaged (odd-2.0.dist-info); install it again"),
        ("", "its METADATA is damaged (no name in odd-2.0.dist-info); install it again"),
        ("Version: 2.0\n", "its METADATA is damaged (no name"),
        ("Name: bad name!\n", "its METADATA is damaged (no name"),
        (None, "its METADATA is missing (odd-2.0.dist-info); install it again"),
    ],
)
def test_corrupt_metadata(place: Path, text: str | bytes | None, reason: str) -> None:  # noqa: F811
    metadata(place, "odd-2.0.dist-info", text)
    (entry,) = [entry for entry in registry.entries() if entry.name == "odd"]
    assert (entry.distribution, entry.version) == ("odd", "2.0")
    assert entry.reason.startswith(reason)
    assert main(["--help"]) == 0


def test_corrupt_entry_points(place: Path) -> None:  # noqa: F811
    metadata(
        place, "odd-2.0.dist-info", "Name: odd\nVersion: 2.0\n", "[artgen.backends]\nwhat is this\nimage.odd = noise_plugin:Noise\n"
    )
    (entry,) = [entry for entry in registry.entries() if entry.name == "odd"]
    assert entry.reason == "its entry_points.txt is damaged ('what is this'); install it again"


def test_of_two_packages_of_one_name_the_newest_in_a_folder_counts(place: Path) -> None:  # noqa: F811
    for version in ("2.0", "10.0", "9.0"):
        metadata(place, f"odd-{version}.dist-info", f"Name: odd\nVersion: {version}\n")
    found = [entry for entry in registry.entries() if entry.distribution == "odd"]
    assert [(entry.version, entry.reason) for entry in found] == [("10.0", "")]


def test_a_package_earlier_on_the_path_hides_one_of_its_name(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    metadata(second, "odd-3.0.dist-info", "Name: odd\nVersion: 3.0\n")
    monkeypatch.syspath_prepend(second)
    assert "image.odd" in [entry.full_name for entry in registry.entries()]
    metadata(first, "odd-1.0.dist-info", "Name: odd\nVersion: 1.0\n", "[console_scripts]\nodd = odd:main\n")
    monkeypatch.syspath_prepend(first)
    assert "image.odd" not in [entry.full_name for entry in registry.entries()]


def test_artgens_own_names_are_kept_from_modalities(place: Path) -> None:  # noqa: F811
    kinds = {
        "image": "palette_plugin:Palette",
        "plugin": "palette_plugin:Palette",
        "Big Smell": "x:Y",
        "palette": "gone_module:Palette",
    }
    add(place, {}, "artgen-kinds", modalities=kinds)
    add(place, {}, "artgen-more", modalities={"palette": "palette_plugin:Palette"})
    assert registry.modalities() == ("image", "audio", "text", "video")
    found = {each.name: each for each in discovery.distributions()}
    told = {point.name: registry.modality_fault(found["artgen-kinds"], point) for point in found["artgen-kinds"].points}
    assert told["image"] == "the modality image is artgen's own"
    assert told["plugin"].startswith("a modality cannot be called 'plugin'")
    assert told["Big Smell"].startswith("a modality cannot be called 'Big Smell'")
    assert told["palette"] == "its entry point names the module gone_module, which is not installed"
    (other,) = found["artgen-more"].points
    assert (
        registry.modality_fault(found["artgen-more"], other)
        == "the modality palette is taken by artgen-kinds; uninstall one of the two"
    )


def test_facts_of_a_package_are_read(place: Path) -> None:  # noqa: F811
    text = "Name: Odd_One\nVersion: 2\nLicense-Expression: MIT\nLicense: UNKNOWN\nSummary: Odd: things\n\nName: description\n"
    metadata(place, "odd_one-2.dist-info", text)
    older = (
        "Name: older\nVersion: 1\nLicense: UNKNOWN\nClassifier: Topic :: Art\nClassifier: License :: OSI Approved :: BSD License\n"
    )
    metadata(place, "older-1.dist-info", older, "[artgen.backends]\nimage.older = noise_plugin:Noise [extra]\n")
    found = {each.name: each for each in discovery.distributions()}
    assert (found["Odd_One"].version, found["Odd_One"].licence, found["Odd_One"].summary) == ("2", "MIT", "Odd: things")
    assert found["older"].licence == "BSD License"
    assert found["older"].points[0].value == "noise_plugin:Noise"


def test_names_that_are_reserved_are_those_that_are_taken() -> None:
    import inspect

    from artgen import api
    from artgen.cli import common
    from artgen.options import declared

    for verb, names in RESERVED.items():
        flags = {option.name.rstrip("_") for option in declared(getattr(common, verb.capitalize()))}
        functions = [getattr(api, verb), *([getattr(api, f"iter_{verb}")] if hasattr(api, f"iter_{verb}") else [])]
        keywords = {name for function in functions for name in inspect.signature(function).parameters}
        assert flags | keywords - {"options"} | {"help", "version"} == names
