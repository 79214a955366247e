"""Names from metadata, classes on demand, and plugins that cannot be used as listed facts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import noise_plugin
import pytest
from noise_fixtures import place  # noqa: F401 - a fixture

from artgen import registry
from artgen.errors import UnknownBackendError, UnusableBackendError

pytestmark = pytest.mark.usefixtures("place")


def add(place: Path, points: dict[str, str], name: str, **more: dict[str, str]) -> None:  # noqa: F811 - the fixture
    noise_plugin.install(place, points, distribution=name, **more)


def test_a_plugin_is_listed_after_the_built_in() -> None:
    names = [entry.full_name for entry in registry.entries()]
    assert names[:1] == ["image.gan"]
    assert "image.noise" in names
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
    add(place, {"audio.one": "noise_plugin:Noise"}, "artgen-one")
    assert registry.default("audio").name == "one"
    add(place, {"audio.two": "noise_plugin:Noise"}, "artgen-two")
    with pytest.raises(UnknownBackendError, match="several backends for audio: name one with --backend one, two"):
        registry.default("audio")


def test_classes_are_loaded() -> None:
    assert registry.get("image", "noise") is noise_plugin.Noise
    assert noise_plugin.Noise.verbs() == ("prepare", "train", "generate", "modify", "evaluate")
    assert noise_plugin.OnlyPrepares.verbs() == ("prepare",)


@pytest.mark.parametrize(
    ("modality", "name", "sentence"),
    [
        ("imag", None, r"no modality 'imag'; did you mean image\?; installed: image, audio, text, video"),
        ("video", None, "no backend for video is installed"),
        ("image", "nose", r"no backend 'nose' for image; did you mean noise\?; installed: gan, (.*, )?noise, preparer"),
        ("text", "x", "no backend 'x' for text; installed: none"),
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


def test_plugins_can_be_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTGEN_PLUGINS", "")
    assert [entry.full_name for entry in registry.entries()] == ["image.gan"]
    monkeypatch.setenv("ARTGEN_PLUGINS", "artgen-other, artgen-noise")
    assert "image.noise" in [entry.full_name for entry in registry.entries()]
