"""What a shell completes, asked as shells ask: bash for real, the others by their protocol."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from noise_fixtures import place  # noqa: F401 - fixtures
from typed import run  # noqa: F401 - fixtures

from artgen import registry
from artgen.cli import main

# ruff: noqa: F811 - fixtures are imported and then named as arguments
pytestmark = pytest.mark.usefixtures("place")
Complete = Callable[[str], list[str]]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    """The words that bash is offered for a line, as it cuts lines: at blanks and at signs of equality."""

    def ask(line: str) -> list[str]:
        words = line.replace("=", " = ").split(" ")
        words = [word for word in words[:-1] if word] + words[-1:]
        if line.endswith("="):
            words = words[:-1]
        monkeypatch.setenv("_ARTGEN_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit):
            main([])
        return capsys.readouterr().out.split()

    return ask


def a_model(folder: str, backend: str) -> None:
    Path(folder).mkdir(parents=True)
    (Path(folder) / "config.json").write_text(json.dumps({"backend": backend}))


def test_values_are_completed(complete: Complete) -> None:
    a_model("runs/photos/model", "image.gan")
    a_model("runs/poems/model", "text.transformer")
    a_model("warm", "image.gan")
    assert complete("artgen image gen") == ["generate"]
    assert complete("artgen image generate --backend ") == [entry.name for entry in registry.backends("image")]
    assert complete("artgen image generate --model ") == ["watercolours", "warm", "runs/photos"]
    assert complete("artgen image generate --model wa") == ["watercolours", "warm"]
    assert complete("artgen image generate --model=wat") == ["watercolours"]
    assert complete("artgen image generate --model=") == ["watercolours", "warm", "runs/photos"]
    assert complete("artgen image generate --model runs/") == ["runs/photos"]
    assert complete("artgen text evaluate runs/p") == ["runs/poems"]
    assert complete("artgen image generate --model ru") == []  # the shell goes on with files and folders
    assert complete("artgen audio generate --format ") == ["wav", "flac", "ogg"]
    assert complete("artgen image train x --preset sk") == ["sketch"]
    assert complete("artgen image generate --device c") == ["cpu", "cuda"]
    assert complete("artgen doctor --only fo") == ["formats"]
    assert complete("artgen backends --modality au") == ["audio"]
    assert complete("artgen show boo") == ["books"]
    assert complete("artgen show wa") == []  # a folder of that name is here
    assert "image.gan" in complete("artgen history --backend im")


def test_bash_itself_completes(tmp_path: Path) -> None:
    if not (bash := shutil.which("bash")):
        pytest.skip("no bash here")
    program = tmp_path / "artgen"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m artgen "$@"\n')
    program.chmod(0o755)
    script = """
        source <(artgen --show-completion bash)
        COMP_WORDS=(artgen image generate --model = wa) COMP_CWORD=5
        _artgen_completion artgen; echo "${COMPREPLY[@]}"
        COMP_WORDS=(artgen doctor --on) COMP_CWORD=2
        _artgen_completion artgen; echo "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([bash, "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("watercolours\n--only\n", "")


def test_the_script_of_another_shell_is_shown(run: Any) -> None:
    assert run("--show-completion", "fish").out.startswith("complete --command artgen")
    assert run("--show-completion", "zsh").out.startswith("#compdef artgen")
    for words, hint in (
        (("--show-completion", "fsh"), "--show-completion knows bash, zsh, fish, powershell, pwsh, not fsh; did you mean fish?"),
        (("--install-completion", "fish"), "leave fish out, or keep what artgen --show-completion fish prints"),
    ):
        said = run(*words)
        assert (said.code, said.out) == (2, "")
        assert hint in said.err
