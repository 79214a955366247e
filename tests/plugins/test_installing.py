"""Plugins are installed and removed by the tool that owns the environment, in a real one, and remembered."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from artgen.errors import SourceError, UsageError
from artgen.plugins import installing, saved
from artgen.plugins.installing import Change, requirement
from artgen.plugins.saved import Saved

UV = shutil.which("uv")
MODULE = """
from artgen.backend import Backend
class Dots(Backend):
    api_version = 1
    modality, name, summary = "image", "dots", "Dots."
    def generate(self, model, seeds, options, progress=None):
        yield from ()
"""


def wheel(folder: Path, name: str, version: str = "1.0", points: str = "", module: str = MODULE) -> Path:
    """A wheel as a build tool makes it."""
    plain = name.replace("-", "_")
    path = folder / f"{plain}-{version}-py3-none-any.whl"
    info = f"{plain}-{version}.dist-info"
    files = {
        f"{plain}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense-Expression: MIT\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **({f"{info}/entry_points.txt": points} if points else {}),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]))
    return path


DOTS = '[artgen.backends]\n"image.dots" = artgen_dots:Dots\n'


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment without pip that sees what this one has."""
    if UV is None:
        pytest.skip("uv is not at hand")
    folder = tmp_path_factory.mktemp("environment") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    (place,) = folder.glob("lib/python*/site-packages")
    root = Path(__file__).resolve().parents[2]
    (place / "all.pth").write_text("\n".join([str(root), *site.getsitepackages()]) + "\n")
    # artgen itself is a package of this environment, installed by uv.
    info = place / "artgen-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: artgen\nVersion: 0.1.0\n")
    (info / "INSTALLER").write_text("uv")
    (info / "RECORD").write_text("")
    (info / "entry_points.txt").write_text("[artgen.backends]\nimage.gan = artgen.backends.image.gan.backend:Gan\n")
    return folder


class Shell:
    """artgen in the environment, with a list of plugins of its own."""

    def __init__(self, environment: Path, config: Path) -> None:
        self.python, self.config = environment / "bin" / "python", config

    def __call__(self, *words: object, code: int = 0) -> str:
        told = {**os.environ, "ARTGEN_CONFIG": str(self.config), "UV_OFFLINE": "1", "UV_NO_INDEX": "1", "PIP_NO_INDEX": "1"}
        told.pop("PYTHONPATH", None)
        told.pop("ARTGEN_PLUGINS", None)
        command = [str(self.python), "-m", "artgen", "plugin", *map(str, words)]
        done = subprocess.run(command, env=told, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=self.config)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def listed(self) -> list[dict[str, str]]:
        path = self.config / "plugins.json"
        return json.loads(path.read_text())["plugins"] if path.exists() else []


@pytest.fixture
def shell(environment: Path, tmp_path: Path) -> Shell:
    return Shell(environment, tmp_path)


def test_a_life_of_a_plugin(shell: Shell, tmp_path: Path) -> None:
    path = wheel(tmp_path, "artgen-dots", points=DOTS)
    assert "artgen-dots: new" in shell("install", path, "--dry-run")
    assert "nobody is there to ask; look at the changes and give --yes" in shell("install", path, code=2)
    assert shell.listed() == []
    assert "installed artgen-dots 1.0: image.dots" in shell("install", path, "--yes")
    assert shell.listed() == [{"distribution": "artgen-dots", "requirement": str(path)}]
    found = {each["distribution"]: each for each in json.loads(shell("list", "--load", "--json"))["plugins"]}
    assert found["artgen-dots"] == {
        "distribution": "artgen-dots", "version": "1.0", "backends": ["image.dots"], "modalities": [], "licence": "MIT",
        "state": "usable", "reasons": {}, "notes": [], "built_in": False,
    }  # fmt: skip
    newer = wheel(tmp_path, "artgen-dots", "2.0", points=DOTS)
    assert "artgen-dots: 1.0 → " in shell("install", newer, "--dry-run")
    assert "every plugin on the list is installed" in shell("restore", "--yes")
    assert "artgen-dots: 1.0 → removed" in shell("uninstall", "dots", "--dry-run")
    # An upgrade of the environment takes the package away, and the list knows.
    subprocess.run([UV or "", "pip", "uninstall", "--python", shell.python, "artgen-dots"], check=True, capture_output=True)
    assert "artgen-dots: new" in shell("restore", "--dry-run")
    assert json.loads(shell("restore", "--yes", "--json").splitlines()[0])["installed"] == ["artgen-dots"]
    assert "removed artgen-dots" in shell("uninstall", "artgen-dots", "--yes")
    assert shell.listed() == []
    assert "artgen-dots is no installed plugin of artgen" in shell("uninstall", "artgen-dots", "--yes", code=2)


def test_what_is_no_plugin_is_not_remembered_and_not_removed(shell: Shell, tmp_path: Path) -> None:
    path = wheel(tmp_path, "plain-thing", module="")
    assert "is no plugin of artgen (it names no backend or modality)" in shell("install", path, "--yes", code=1)
    assert shell.listed() == []
    assert "plain-thing is no installed plugin of artgen" in shell("uninstall", "plain-thing", "--yes", code=2)
    assert "artgen itself is no plugin" in shell("uninstall", "artgen", "--yes", code=2)


def test_a_failing_tool_gives_its_last_lines_and_changes_no_list(shell: Shell, tmp_path: Path) -> None:
    said = shell("install", "artgen-no-such-thing", "--yes", code=1)
    assert "uv install failed, nothing was put on the list of plugins; its last lines:" in said
    assert "artgen-no-such-thing" in said.partition("last lines")[2]
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_text("no wheel")
    assert "failed" in shell("install", broken, "--yes", code=1)
    assert shell.listed() == []


def test_a_plugin_that_cannot_be_used_can_still_be_removed(shell: Shell, tmp_path: Path) -> None:
    path = wheel(
        tmp_path, "artgen-crash", points="[artgen.backends]\nimage.crash = artgen_crash:Crash\n", module="raise SystemExit(9)"
    )
    shell("install", path, "--yes")
    assert "image.crash: it ends the process (SystemExit: 9)" in shell("list", "--load")
    assert "removed artgen-crash" in shell("uninstall", "crash", "--yes")


def test_pip_is_used_where_it_owns_the_environment(shell: Shell, tmp_path: Path, environment: Path) -> None:
    import ensurepip

    bundled = list((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if not bundled:
        pytest.skip("this Python brings no pip")
    (place,) = environment.glob("lib/python*/site-packages")
    link, installer = place / "pip.pth", place / "artgen-0.1.0.dist-info" / "INSTALLER"
    link.write_text(f"{bundled[0]}\n")
    installer.write_text("pip\n")
    try:
        path = wheel(tmp_path, "artgen-dots", points=DOTS)
        said = shell("install", path, "--yes", "--json")
        assert json.loads(said.splitlines()[0 if said.startswith("{") else 1])["installed"] == ["artgen-dots"]
        assert "artgen-dots: 1.0 → 2.0" in shell("install", wheel(tmp_path, "artgen-dots", "2.0", points=DOTS), "--dry-run")
        assert "pip install failed, nothing was put on the list" in shell("install", "artgen-none", "--yes", code=1)
        assert "removed artgen-dots" in shell("uninstall", "dots", "--yes")
    finally:
        link.unlink()
        installer.write_text("uv")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' is no package"),
        ("--index-url", "'--index-url' is no package"),
        ("a\nb", "is no package"),
        ("./gone", "./gone: no such file or folder"),
    ],
)
def test_what_is_no_requirement(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        requirement(text)
    assert sentence in str(caught.value)


def test_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert requirement("mine") == str(tmp_path / "mine")
    assert requirement("./mine") == str(tmp_path / "mine")
    assert requirement("artgen-x>=1") == "artgen-x>=1"
    assert requirement("git+https://example.org/x/y") == "git+https://example.org/x/y"


def test_what_the_tools_print_is_read() -> None:
    uv = "Would download 2 packages\n - numpy==2.1.0\n + numpy==2.2.0\n + artgen-x==1.0\n + artgen-y @ file:///tmp/y\n"
    assert installing._uv_changes(uv) == [
        Change("numpy", "2.1.0", "2.2.0"), Change("artgen-x", "", "1.0"), Change("artgen-y", "", "file:///tmp/y"),
    ]  # fmt: skip
    report = {"install": [{"metadata": {"name": "numpy", "version": "99"}}, {"metadata": {"name": "artgen-x", "version": "1"}}]}
    first, second = installing._pip_changes("WARNING: something\n" + json.dumps(report))
    assert (first.package, first.after, first.before != "", second) == ("numpy", "99", True, Change("artgen-x", "", "1"))
    assert first.told.startswith("numpy: ")
    assert first.told.endswith(" → 99")


def test_the_folder_for_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ARTGEN_CONFIG", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert saved.config_folder() == tmp_path / ".config" / "artgen"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert saved.config_folder() == tmp_path / ".config" / "artgen"
    monkeypatch.setenv("XDG_CONFIG_HOME", "/etc/mine")
    assert saved.config_folder() == Path("/etc/mine/artgen")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert saved.config_folder() == tmp_path / "Library" / "Application Support" / "artgen"
    monkeypatch.setenv("ARTGEN_CONFIG", "/own")
    assert saved.config_folder() == Path("/own")


def test_the_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARTGEN_CONFIG", str(tmp_path / "settings"))
    assert saved.read() == []
    saved.add([Saved("artgen-b", "artgen-b"), Saved("artgen-a", "artgen-a==1")])
    saved.add([Saved("Artgen_B", "/a/folder")])
    assert saved.read() == [Saved("artgen-a", "artgen-a==1"), Saved("Artgen_B", "/a/folder")]
    assert [item.distribution for item in installing.missing()] == ["artgen-a", "Artgen_B"]
    saved.drop(["artgen-b", "never-there"])
    assert saved.read() == [Saved("artgen-a", "artgen-a==1")]
    saved.list_file().write_text("{")
    with pytest.raises(SourceError, match=r"plugins.json: damaged .* remove the file and install the plugins again"):
        saved.read()


def test_an_environment_of_its_own_gets_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert installing.upgrade_advice() == ""
    (tmp_path / "uv-receipt.toml").write_text("")
    assert "artgen plugin restore brings them back" in installing.upgrade_advice()
