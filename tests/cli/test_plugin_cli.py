"""``artgen plugin …``: what it lists, writes and checks, and its mistakes."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import noise_plugin
import pytest
from noise_fixtures import model, place  # noqa: F401 - fixtures

from artgen.artwork import open_artwork
from artgen.cli import main
from artgen.plugins.scaffold import TEMPLATES, render, write_package
from artgen.testing import samples

SCAFFOLDS = [("image", "train"), ("image", "wrap"), ("audio", "train"), ("text", "train"), ("text", "wrap"), ("video", "train")]

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def typed(*words: object, code: int = 0) -> str:
        assert main([str(word) for word in words]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 or captured.out else captured.err

    return typed


def listed(said: Any, *words: str) -> dict[str, Any]:
    return {each["distribution"]: each for each in json.loads(said("plugin", "list", "--json", *words))["plugins"]}


def test_list(said: Any, place: Path) -> None:  # noqa: F811
    noise_plugin.install(
        place, {"image.gone": "gone_module:X", "image.only": "noise_plugin:OnlyPrepares"}, distribution="artgen-half"
    )
    noise_plugin.install(place, {"image.torn": "gone_module:X"}, distribution="artgen-torn")
    found = listed(said)
    assert next(iter(found)) == "artgen"
    assert found["artgen"]["built_in"] is True
    assert "image.gan" in found["artgen"]["backends"]
    assert found["artgen-noise"]["state"] == "installed"
    assert (found["artgen-half"]["state"], list(found["artgen-half"]["reasons"])) == ("partly", ["image.gone"])
    assert found["artgen-torn"]["state"] == "unusable"
    table = said("plugin", "list")
    assert "artgen-torn 1.0" in table
    assert "which is not installed" in table
    assert said("plugins") == table


def test_list_imports_only_when_asked(said: Any, place: Path) -> None:  # noqa: F811
    noise_plugin.broken_module(place, "crashing", "raise RuntimeError('no card')")
    noise_plugin.install(
        place, {"image.crash": "crashing:X"}, distribution="artgen-crash", modalities={"smell": "noise_plugin:Noise"}
    )
    assert listed(said)["artgen-crash"]["state"] == "installed"
    found = listed(said, "--load")
    assert found["artgen-crash"]["reasons"] == {
        "image.crash": "RuntimeError: no card",
        "smell": "noise_plugin:Noise is not a subclass of artgen.artwork.Artwork",
    }
    assert (found["artgen-crash"]["state"], found["artgen-noise"]["state"]) == ("unusable", "usable")
    assert found["artgen-noise"]["notes"] == []


def test_fifty_plugins_are_listed_and_none_is_imported(place: Path) -> None:  # noqa: F811
    for number in range(50):
        (place / f"heavy_{number}.py").write_text("import torch\nraise RuntimeError('imported')\n")
        noise_plugin.install(place, {f"image.heavy-{number}": f"heavy_{number}:X"}, distribution=f"artgen-heavy-{number}")
    code = (
        "import sys; from artgen.cli import main\n"
        "main(['--help']); main(['plugin', 'list']); main(['image', 'generate', '--help'])\n"
        "print(sorted(name for name in sys.modules if name.startswith(('heavy_', 'torch'))))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "heavy-49" in run.stdout
    assert run.stdout.splitlines()[-1] == "[]"


def test_plugins_that_are_held_back(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTGEN_PLUGINS", "")
    found = listed(said)
    assert found["artgen-noise"]["state"] == "held back"
    assert found["artgen-noise"]["reasons"] == {"": "ARTGEN_PLUGINS does not name it"}
    assert found["artgen"]["state"] == "installed"
    monkeypatch.setenv("ARTGEN_PLUGINS", "Artgen_Noise")
    assert listed(said)["artgen-noise"]["state"] == "installed"


@pytest.mark.parametrize(("modality", "kind"), SCAFFOLDS)
def test_new_writes_a_whole_package(said: Any, modality: str, kind: str) -> None:
    told = json.loads(said("plugin", "new", "soft-clouds", "--modality", modality, "--kind", kind, "--json"))
    assert (told["package"], told["backend"]) == ("artgen-soft-clouds", f"{modality}.soft-clouds")
    folder = Path("artgen-soft-clouds")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "pyproject.toml", "README.md", "LICENSE", ".gitignore", ".github/workflows/test.yml", "src/artgen_soft_clouds/__init__.py",
        "src/artgen_soft_clouds/backend.py", "tests/test_artgen_soft_clouds.py",
    }  # fmt: skip
    assert {str(folder / file) for file in files} == set(told["files"])
    import tomllib

    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["artgen.backends"] == {f"{modality}.soft-clouds": "artgen_soft_clouds.backend:SoftClouds"}
    for file in files:
        assert re.findall(r"@\w+@", (folder / file).read_text()) == []  # nothing is left to fill in
    backend = (folder / "src/artgen_soft_clouds/backend.py").read_text()
    assert "class SoftClouds(Backend):" in backend
    assert "api_version = 1" in backend


def test_the_new_package_trains_on_ten_pictures(
    said: Any,
    place: Path,  # noqa: F811
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    said("plugin", "new", "mist", "--output", tmp_path / "mine")  # a name that no other test writes: it is imported from here on
    monkeypatch.syspath_prepend(tmp_path / "mine" / "src")
    noise_plugin.install(place, {"image.mist": "artgen_mist.backend:Mist"}, distribution="artgen-mist")
    ten = tmp_path / "ten"
    ten.mkdir()
    for path in sorted(pictures.rglob("*.png"))[:10]:
        (ten / path.name).write_bytes(path.read_bytes())
    common = (
        "--backend",
        "mist",
        "--resolution",
        "16",
        "--latent",
        "4",
        "--width",
        "8",
        "--batch-size",
        "10",
        "--precision",
        "fp32",
    )
    said("image", "train", ten, *common, "--steps", "120", "--previews", "1", "--output", "run")
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    errors = [line["error/autoencoder"] for line in lines if "error/autoencoder" in line]
    assert errors[-1] < errors[0] / 2  # it learns, not only runs
    first = said("image", "generate", "--model", "run", "--seed", "7", "--output", "a.png").strip()
    said("image", "generate", "--model", "run", "--seeds", "3,7", "--output", "b/")
    assert Path(first).read_bytes() == Path("b/run-seed0007.png").read_bytes()
    assert "identical" in said("replay", first)


@pytest.mark.parametrize(("modality", "name"), [("audio", "hush"), ("video", "dew")])
def test_the_new_package_learns_from_sounds_and_from_clips(
    said: Any,
    place: Path,  # noqa: F811
    modality: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    said("plugin", "new", name, "--modality", modality, "--output", tmp_path / "mine")
    monkeypatch.syspath_prepend(tmp_path / "mine" / "src")
    noise_plugin.install(place, {f"{modality}.{name}": f"artgen_{name}.backend:{name.capitalize()}"}, distribution=f"artgen-{name}")
    (source,) = samples.sources(modality, tmp_path / "works") or []
    small = ("--latent", "4", "--width", "16", *(("--resolution", "16") if modality == "video" else ()))
    common = ("--backend", name, *small, "--batch-size", "6", "--precision", "fp32", "--steps", "60", "--previews", "1")
    said(modality, "train", source, *common, "--workers", "1", "--output", "run")
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    errors = [line["error/autoencoder"] for line in lines if "error/autoencoder" in line]
    assert errors[-1] < errors[0] / 2  # it learns, not only runs
    length, other = (("--seconds", "0.5"), ("--seconds", "0.7")) if modality == "audio" else (("--frames", "5"), ("--frames", "9"))
    first = said(modality, "generate", "--model", "run", "--seed", "7", *length, "--output", "a/").strip().splitlines()[-1]
    longer = said(modality, "generate", "--model", "run", "--seed", "7", *other, "--output", "b/").strip().splitlines()[-1]
    measures = [open_artwork(path).numpy().shape[0] for path in (first, longer)]
    assert measures == ([round(0.5 * 22050), round(0.7 * 22050)] if modality == "audio" else [5, 9])
    assert "identical" in said("replay", first)


@pytest.mark.slow
@pytest.mark.parametrize(("modality", "kind"), SCAFFOLDS)
def test_the_new_package_keeps_every_promise(said: Any, modality: str, kind: str) -> None:
    said("plugin", "new", "promise", "--modality", modality, "--kind", kind)
    ran = subprocess.run([sys.executable, "-m", "pytest", "-q"], cwd="artgen-promise", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_the_test_of_the_new_package_is_the_kit() -> None:
    values = {"Class": "Clouds", "module": "artgen_clouds", "tiny": ", options={}"}
    text = render("test.py", "image", "train", values)
    assert "test_contract = conformance(Clouds, options={})" in text
    assert {path.name for path in TEMPLATES.iterdir()} == {"common", *(f"{modality}-{kind}" for modality, kind in SCAFFOLDS)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["new"], "give a name: artgen plugin new NAME"),
        (["new", "Clouds"], "a plugin is named in small letters, digits and dashes, at most 40, such as clouds; not 'Clouds'"),
        (["new", "a" * 41], "at most 40"),
        (["new", "../x"], "not '../x'"),
        (["new", "json"], "a plugin cannot be named 'json', which means something else already"),
        (["new", "image"], "a plugin cannot be named 'image'"),
        (["new", "class"], "a plugin cannot be named 'class'"),
        (["new", "gan"], "there is a backend image.gan already; choose another name"),
        (
            ["new", "clouds", "--modality", "shape"],
            "--modality takes image, audio, text, video with --kind train, not shape: for other works start from",
        ),
        (
            ["new", "clouds", "--kind", "wrap", "--modality", "audio"],
            "--modality takes image, text with --kind wrap, not audio; --kind train has more: for other works start from",
        ),
        (["new", "clouds", "--kind", "magic"], "--kind takes train or wrap, not magic"),
        (["check"], "give a name: artgen plugin check NAME"),
        (["check", "nose"], "no plugin or backend 'nose'; did you mean"),
        (["check", "image.gan", "--only", "magic"], "--only takes light-import, "),
        (["install"], "give what to install: artgen plugin install NAME…"),
        (["install", "./not-there"], "./not-there: no such file or folder"),
        (["uninstall"], "give what to remove: artgen plugin uninstall NAME…"),
        (["uninstall", "torch", "--yes"], "torch is no installed plugin of artgen"),
        (["uninstall", "artgen", "--yes"], "artgen itself is no plugin"),
        (["uninstall", "noise"], "nobody is there to ask; look at the changes and give --yes"),
        (["list", "--lode"], "no option --lode; did you mean --load?"),
        (["lst"], "no command 'lst' of artgen plugin; did you mean list?"),
    ],
)
def test_mistakes(said: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], sentence: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert sentence in said("plugin", *words, code=2)


def test_new_overwrites_nothing(said: Any) -> None:
    Path("artgen-clouds").mkdir()
    Path("artgen-clouds/mine.txt").write_text("mine")
    assert "artgen-clouds: there is something already; choose another --output" in said("plugin", "new", "clouds", code=1)
    assert [path.name for path in Path("artgen-clouds").iterdir()] == ["mine.txt"]


def test_a_package_that_is_imported_already_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from artgen.errors import UsageError

    monkeypatch.setitem(sys.modules, "artgen_clouds", sys)
    with pytest.raises(UsageError, match="there is a package artgen_clouds already"):
        write_package("artgen-clouds")


def test_check_prints_a_table_and_exits_by_it(said: Any) -> None:
    table = said("plugin", "check", "image.noise", "--only", "described", "--only", "verbs", code=0)
    assert "described" in table
    assert "2 passed" in table
    told = json.loads(said("plugin", "check", "noise", "--only", "verbs", "--json"))
    assert told["failed"] == 0
    states = {name: [check["state"] for check in checks] for name, checks in told["checks"].items()}
    assert states == {"image.noise": ["passed"], "image.preparer": ["passed"]}
    failing = json.loads(said("plugin", "check", "image.preparer", "--only", "described", "--json", code=1))
    assert failing["failed"] == 1


def test_check_fails_for_a_plugin_that_cannot_be_used(said: Any, place: Path) -> None:  # noqa: F811
    noise_plugin.broken_module(place, "crashing_too", "raise RuntimeError('no card')")
    noise_plugin.install(place, {"image.crash": "crashing_too:X"}, distribution="artgen-crash")
    assert "image.crash of artgen-crash cannot be used: RuntimeError: no card" in said("plugin", "check", "crash", code=1)


def test_asking_and_being_refused(said: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert main(["plugin", "uninstall", "noise"]) == 1
    assert "Remove? [y/N]" in capsys.readouterr().err
