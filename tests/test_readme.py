"""What the README and the pages tell to type is understood by the command line; what the README promises, works.

The cheap test sends every documented command through the real command line up to the point where work would begin. The
slow ones do the work, in order, as a reader would, with three changes that are all in ``SMALLER``.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

SMALLER = (
    (r"--minutes \d+", "--steps 4 --batch-size 8 --previews 1"),
    (r"--steps 40", "--steps 4 --batch-size 8 --previews 1"),
    (r"-n 64", "-n 4"),
)
"""How the slow test shortens the README's commands; the scheduled run in ``.ci/run`` changes nothing."""

OF_OTHER_TOOLS = {"--threads", "--together", "--nproc-per-node", "--check", "--strict", "--logdir"}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


readme = load(ROOT / "docs" / "readme.py")


def shell_commands(text: str) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [command for block in blocks for line in readme.commands(block) for command in line.split(" && ")]


def artgen_words(command: str) -> list[str] | None:
    """The words after ``artgen`` of a command, however it is started; None when it is another program's."""
    words = shlex.split(command, comments=True)
    if words[0] == "torchrun":
        return words[words.index("artgen") + 1 :]
    return words[1:] if Path(words[0]).name == "artgen" else None


DOCUMENTED = sorted(
    {command for page in PAGES for command in shell_commands(page.read_text(encoding="utf-8")) if artgen_words(command)}
)


@pytest.mark.parametrize("command", DOCUMENTED)
def test_a_documented_command_is_understood(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from artgen import registry
    from artgen.cli import house, main, verbs
    from artgen.options import Options, resolve

    reached: list[str] = []

    def of_a_verb(modality: str, own: Any, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        cls = registry.get(modality, own.backend)
        declared: list[type[Options]] = [cls.Train, cls.Prepare] if words[1] == "train" else [getattr(cls, words[1].capitalize())]
        for group in declared:
            resolve(group, {name: value for name, value in options.items() if name in group.__struct_fields__})
        reached.append(words[1])

    def of_artgen(own: Any, options: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        reached.append(words[0])

    for name in ("prepare", "train", "generate", "modify", "evaluate"):
        monkeypatch.setattr(verbs, name, of_a_verb)
    for name in ("show", "replay", "backends"):
        monkeypatch.setattr(verbs, name, of_artgen)
    for name in ("doctor", "models", "history", "history_show", "history_replay", "history_export", "history_forget"):
        monkeypatch.setattr(house, name, lambda own, arguments: reached.append(words[0]))
    words = artgen_words(command) or []
    code = main(words)
    assert (code, capsys.readouterr().err) == (0, "")
    assert reached == [words[1] if words[0] in registry.modalities() else words[0]]


def test_a_wrong_command_would_be_found() -> None:
    """Guards the test above: the command line refuses what the pages must not say."""
    from artgen.cli import main

    assert main(["image", "generate", "--truncatoin", "0.7"]) == 2
    assert main(["image", "train", "x", "--minutes", "soon"]) == 2


def test_every_flag_that_the_pages_mention_exists() -> None:
    from artgen import registry
    from artgen.cli import common
    from artgen.options import Options, declared

    known = {"--help", "--version", "--install-completion", "--show-completion", "--backend", *OF_OTHER_TOOLS}
    groups: list[type[Options]] = [
        value for value in vars(common).values() if isinstance(value, type) and issubclass(value, Options)
    ]
    for entry in registry.entries():
        if entry.built_in:
            cls = registry.load(entry)
            groups += [cls.Prepare, cls.Train, cls.Generate, cls.Modify, cls.Evaluate]
    options = [option for group in groups for option in declared(group)]
    known |= {option.flag for option in options} | {f"--no-{option.flag[2:]}" for option in options if option.kind is bool}
    told: dict[str, str] = {}
    for page in PAGES:
        if page.parent.name == "plugins":  # its flags are those of its own example
            continue
        for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
            told |= dict.fromkeys(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code), page.name)
    assert {flag: page for flag, page in told.items() if flag not in known} == {}
    assert len(told) > 25


def test_the_readme_opens_with_two_commands() -> None:
    picture, tests = readme.blocks("Two commands", "bash")
    assert readme.commands(picture)[0].endswith("artgen image generate --seed 7 --output first.png")
    assert readme.commands(tests)[0].endswith("pytest")
    assert len(readme.commands(picture)) == len(readme.commands(tests)) == 1
    text = readme.README.read_text(encoding="utf-8")
    assert text.index("## Two commands") == text.index("\n## ") + 1


def test_ci_runs_every_section_with_commands() -> None:
    assert readme.sections_with("bash")[0] == "Two commands"
    listed = subprocess.run([sys.executable, ROOT / "docs" / "readme.py", "--sections"], capture_output=True, text=True, check=True)
    assert listed.stdout.split("\n")[:-1] == readme.sections_with("bash")[1:]
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'readme "Two commands" bash 1' in script
    assert 'readme "Two commands" bash 2' in script
    assert "docs/readme.py --sections" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert not re.search(r"https?://|--index|find-links", script)


def test_blocks_and_commands_are_read_as_written() -> None:
    text = "# A\n\n```bash\none \\\n  two\n\n# no command\nthree\n```\n\n```python\nx = 1\n```\n\n## B\n\nnothing\n"
    assert readme.commands(readme.blocks("A", "bash", text)[0]) == ["one two", "three"]
    with pytest.raises(SystemExit, match="no section 'C'; there are: A, B"):
        readme.blocks("C", "bash", text)
    with pytest.raises(SystemExit, match="section 'B' has no bash block"):
        readme.blocks("B", "bash", text)


def test_python_blocks_are_python() -> None:
    blocks = [
        (page, block)
        for page in PAGES
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    ]
    assert blocks
    for page, block in blocks:
        compile(block, str(page), "exec")


@pytest.mark.slow
def test_the_readme_works_from_top_to_bottom(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "art").mkdir()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    python = f"{shlex.quote(sys.executable)} -c {shlex.quote(readme.blocks('In Python', 'python')[0])}"
    first = readme.commands(readme.blocks("Two commands", "bash")[0])[0].split(" && ")[-1].removeprefix(".venv/bin/")
    commands = [first, python]
    for section in readme.sections_with("bash")[1:]:
        commands += [command for block in readme.blocks(section, "bash") for command in readme.commands(block)]
    for command in commands:
        for pattern, shorter in SMALLER:
            command = re.sub(pattern, shorter, command)  # noqa: PLW2901 - the same command, shorter
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "first.png").is_file()
    assert (tmp_path / "art" / "first.png").is_file()
    assert len(list((tmp_path / "art").glob("**/*.png"))) >= 6
    assert (tmp_path / "art" / "walk.mp4").stat().st_size > 0
