from __future__ import annotations

from pathlib import Path

import pytest
import torch

from artgen.errors import OutputError, TrainingError
from artgen.training import state
from artgen.training.state import TENSORS, generations, load_state, save_state


def test_the_newest_of_two_generations_comes_back(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_state(tmp_path, step, {"a": torch.full((2, 3), float(step))}, {"clock": {"step": step}})
    assert [place.name for place in generations(tmp_path)] == ["0000000002", "0000000003"]
    found = load_state(tmp_path)
    assert found is not None
    assert found[1]["clock"] == {"step": 3}
    assert torch.equal(found[0]["a"], torch.full((2, 3), 3.0))


def test_a_damaged_state_gives_way_to_the_one_before(tmp_path: Path) -> None:
    for step in (1, 2):
        save_state(tmp_path, step, {"a": torch.ones(1000)}, {"step": step})
    path = tmp_path / "0000000002" / TENSORS
    path.write_bytes(path.read_bytes()[:-100])
    found = load_state(tmp_path)
    assert found is not None
    assert found[1]["step"] == 1
    (tmp_path / "0000000001" / TENSORS).write_bytes(b"")
    with pytest.raises(TrainingError, match="every saved state is damaged"):
        load_state(tmp_path)


def test_no_state_is_none_and_a_killed_save_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / ".tmp-abc").mkdir()
    assert load_state(tmp_path) is None
    save_state(tmp_path, 1, {}, {})
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_full_disk_keeps_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state(tmp_path, 1, {"a": torch.ones(2)}, {})

    def full(*args: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save_file", full)
    with pytest.raises(OutputError, match="the disk is full"):
        save_state(tmp_path, 2, {"a": torch.ones(2)}, {})
    assert [place.name for place in generations(tmp_path)] == ["0000000001"]
    assert not list(tmp_path.glob(".tmp-*"))


def test_tensors_that_share_memory_are_kept(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    save_state(tmp_path, 1, {"a": shared, "b": shared}, {})
    found = load_state(tmp_path)
    assert found is not None
    assert torch.equal(found[0]["a"], found[0]["b"])
