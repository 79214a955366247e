"""An output folder has one writer: a second is refused, a dead one holds nothing, and disks without locks are written too."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise_fixtures import place  # noqa: F401 - fixtures
from PIL import Image as Pillow
from typed import run  # noqa: F401 - fixtures

from artgen import locks
from artgen.errors import OutputError
from artgen.locks import alone

# ruff: noqa: F811 - fixtures are imported and then named as arguments

HOLDER = """
import sys
from artgen.locks import alone
with alone(sys.argv[1], "painting"):
    print("held", flush=True)
    sys.stdin.read()
"""
Hold = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Starts another process that holds a folder until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(tmp_path: Path, hold: Hold) -> None:
    folder = tmp_path / "runs" / "a"
    process = hold(folder)
    sentence = f"{folder}: process {process.pid} is painting there; wait until it is done, or choose another --output"
    with pytest.raises(OutputError) as caught, alone(folder, "painting"):
        raise AssertionError
    assert str(caught.value) == sentence
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    with pytest.raises(OutputError), alone(tmp_path / "link" / "a", "painting"):  # the same folder by another name
        raise AssertionError
    with alone(tmp_path / "runs" / "b", "painting"):
        pass
    process.kill()
    process.wait()
    with alone(folder, "painting"):
        assert (tmp_path / "runs" / ".a.lock").read_text() == f"process {os.getpid()} is painting"
        assert not folder.exists()  # who writes there makes it
    assert not (tmp_path / "runs" / ".a.lock").exists()


def test_a_process_that_is_done_lets_the_next_one_in(tmp_path: Path, hold: Hold) -> None:
    process = hold(tmp_path / "new" / "a")
    process.communicate("")
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())  # no lock is left, nor the folder that was made for it
    with alone(tmp_path / "new" / "a", "painting"):
        pass


def test_threads_of_one_program_are_told_apart(tmp_path: Path) -> None:
    refused: list[str] = []

    def second() -> None:
        try:
            with alone(tmp_path / "a", "painting"):
                pass
        except OutputError as error:
            refused.append(str(error))

    with alone(tmp_path / "a", "painting"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert refused == [f"{tmp_path / 'a'}: this program is painting there; wait until it is done, or choose another --output"]
    second()
    assert len(refused) == 1


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EIO])
def test_a_disk_without_locks_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with alone(tmp_path / "a", "painting"):
        assert not list(tmp_path.iterdir())


def test_where_no_lock_can_be_made_none_is(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with alone(tmp_path / "file" / "a", "painting"):  # the writer tells what is wrong
        pass
    with alone(tmp_path / ("x" * 255), "painting"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take, times = locks._take, []

    def slow(handle: int) -> None:
        if not times:
            (tmp_path / ".a.lock").unlink()  # its holder is done between our opening and our locking
        times.append(handle)
        take(handle)

    monkeypatch.setattr(locks, "_take", slow)
    with alone(tmp_path / "a", "painting"):
        assert len(times) == 2
        assert (tmp_path / ".a.lock").read_text() == f"process {os.getpid()} is painting"


@pytest.mark.usefixtures("place")
def test_prepare_and_train_wait_for_nobody_and_spoil_nothing(run: Any, hold: Hold) -> None:
    Path("pictures").mkdir()
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Pillow.fromarray(picture).save(f"pictures/{number}.png")
    prepare = ("image", "prepare", "pictures", "--backend", "noise", "-o", "data")
    train = ("image", "train", "data", "--backend", "noise", "-o", "run")
    raw = ("image", "train", "pictures", "--backend", "noise", "-o", "raw")
    first = hold(Path("data"))
    said = run(*prepare)
    assert (said.code, said.out) == (1, "")
    assert said.err == f"artgen: data: process {first.pid} is painting there; wait until it is done, or choose another --output\n"
    assert not Path("data").exists()
    first.communicate("")
    assert run(*prepare).code == 0
    second = hold(Path("run"))
    said = run(*train)
    assert (said.code, f"run: process {second.pid} is painting there" in said.err) == (1, True)
    assert not Path("run").exists()
    second.communicate("")
    assert run(*train).code == 0
    third = hold(Path("run"))
    assert f"run: process {third.pid} is painting there" in run(*train, "--resume").err
    hold(Path("raw/dataset"))
    assert "raw/dataset: process" in run(*raw).err
    assert not Path("raw/config.toml").exists()
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == [".run.lock"]  # held still
