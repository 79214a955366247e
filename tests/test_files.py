"""Laws of :mod:`artgen.files`: the old file stays until the new one is whole, and nothing is overwritten."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from artgen.errors import OutputError
from artgen.files import flush, free_name, sentences, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_bytes_are_written(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "deep" / "a.bin", b"\x00abc")
    assert (tmp_path / "new" / "deep" / "a.bin").read_bytes() == b"\x00abc"
    assert names(tmp_path / "new" / "deep") == ["a.bin"]


def test_a_function_writes_to_a_name_with_the_same_ending(tmp_path: Path) -> None:
    seen: list[Path] = []

    def write(path: Path) -> None:
        seen.append(path)
        path.write_text("picture")

    write_atomically(tmp_path / "a.png", write)
    assert (tmp_path / "a.png").read_text() == "picture"
    assert seen[0].suffix == ".png"
    assert seen[0].parent == tmp_path
    assert seen[0].name != "a.png"


def test_the_old_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_text() == "new"


class Crash(BaseException):
    """Stands for whatever ends a process in the middle of a write."""


@pytest.mark.parametrize("fault", [Crash(), ValueError("encoder"), OSError(errno.EIO, "Input/output error")])
def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, fault: BaseException) -> None:
    (tmp_path / "a").write_text("old")

    def half(path: Path) -> None:
        path.write_text("ne")
        raise fault

    expected = OutputError if isinstance(fault, OSError) else type(fault)
    with pytest.raises(expected):
        write_atomically(tmp_path / "a", half)
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_a_reader_sees_the_old_or_the_new_file_whole(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    seen: list[str] = []

    def slowly(path: Path) -> None:
        path.write_text("n")
        seen.append(target.read_text())
        path.write_text("new")
        seen.append(target.read_text())

    write_atomically(target, slowly)
    assert [*seen, target.read_text()] == ["old", "old", "new"]


def test_content_is_flushed_before_the_rename_and_the_folder_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def spy_fsync(handle: int) -> None:
        events.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else f"file of {os.fstat(handle).st_size}")
        fsync(handle)

    def spy_replace(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    write_atomically(tmp_path / "a", b"12345")
    assert events == ["file of 5", "rename", "folder"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    old = os.umask(mask)
    try:
        write_atomically(tmp_path / "a", b"x")
        assert os.umask(mask) == mask
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 kB, where the machine lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root; the test with a raised ENOSPC covers the sentence")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_the_old_file_and_says_so(small_disk: Path) -> None:
    (small_disk / "a").write_text("old")
    with pytest.raises(OutputError, match=r"a: the disk is full; free some space or choose another --output"):
        write_atomically(small_disk / "a", b"x" * 200_000)
    assert (small_disk / "a").read_text() == "old"
    assert names(small_disk) == ["a"]


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EDQUOT, "a.png: the disk is full; free some space or choose another --output"),
        (errno.ENOSPC, "a.png: the disk is full; free some space or choose another --output"),
        (errno.EACCES, "a.png: no permission to write there; choose another --output"),
        (errno.EPERM, "a.png: no permission to write there; choose another --output"),
        (errno.EROFS, "a.png: no permission to write there; choose another --output"),
        (errno.ENAMETOOLONG, "a.png: File name too long"),
    ],
)
def test_faults_of_the_disk_become_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str) -> None:
    (tmp_path / "a.png").write_text("old")

    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OutputError) as caught:
        write_atomically(tmp_path / "a.png", b"new")
    assert str(caught.value) == f"{tmp_path}/{message}"
    assert caught.value.exit_code == 1
    assert (tmp_path / "a.png").read_text() == "old"
    assert names(tmp_path) == ["a.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission to write there"):
        write_atomically(tmp_path / "shut" / "a", b"x")


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OutputError, match=r"a/b: a file is there, where a folder is to be; choose another --output"):
        write_atomically(tmp_path / "a" / "b", b"x")
    assert (tmp_path / "a").read_text() == "a file"


def test_sentences_let_other_errors_through() -> None:
    with pytest.raises(ZeroDivisionError), sentences("x"):
        _ = 1 / 0


def test_flush_takes_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    flush(tmp_path / "a")
    flush(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "none")


def test_a_free_name_is_kept_and_a_taken_one_numbered(tmp_path: Path) -> None:
    assert free_name(tmp_path / "a.png") == tmp_path / "a.png"
    (tmp_path / "a.png").touch()
    assert free_name(tmp_path / "a.png") == tmp_path / "a-2.png"
    (tmp_path / "a-2.png").touch()
    (tmp_path / "a-4.png").touch()
    assert free_name(str(tmp_path / "a.png")) == tmp_path / "a-3.png"
    (tmp_path / "run").mkdir()
    assert free_name(tmp_path / "run") == tmp_path / "run-2"


def test_a_dangling_link_is_not_a_free_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    assert free_name(tmp_path / "a.png") == tmp_path / "a-2.png"


def test_the_disks_faults_are_told_when_the_weights_are_written_too() -> None:
    from safetensors import SafetensorError

    with pytest.raises(OutputError, match="w: the disk is full"), sentences("w"):
        raise SafetensorError(f"Error while serializing: I/O error: No space left on device (os error {errno.ENOSPC})")
    with pytest.raises(SafetensorError, match="no header"), sentences("w"):
        raise SafetensorError("no header")
