"""Laws of :mod:`artgen.model`: what is saved opens again, damage is named, and there is always a whole model."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch

from artgen import model as model_module
from artgen.errors import ModelError, OutputError
from artgen.model import CARD, CONFIG, WEIGHTS, Config, Model, locate, save_model, starter, starters

CONFIG_VALUE = Config(
    artgen="0.1.0", backend="image.gan", network={"resolution": 32, "channels": [8, 16]}, classes=["apples", "pears"],
    generate={"truncation": 0.7}, train={"steps": 3}, data={"count": 24}, licence="CC0-1.0", scores={"fd": 12.5},
)  # fmt: skip


def weights(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {
        "a.weight": torch.full((2, 3), value),
        "b": torch.arange(4, dtype=torch.int64),
        "half": torch.ones(2, dtype=torch.bfloat16),
    }


def saved(folder: Path, value: float = 1.0) -> Model:
    return save_model(folder, CONFIG_VALUE, weights(value), f"# A model\n\nvalue {value}\n")


def test_what_is_saved_opens_again(tmp_path: Path) -> None:
    saved(tmp_path / "apples")
    model = Model.open(tmp_path / "apples")
    assert msgspec.structs.replace(model.config, sha256="") == CONFIG_VALUE
    assert model.config.sha256 == model.sha256
    assert (model.backend, model.modality, model.name) == ("image.gan", "image", "apples")
    assert model.device == "cpu"
    read = model.tensors()
    assert read.keys() == weights().keys()
    for name, tensor in weights().items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    assert sorted(path.name for path in model.folder.iterdir()) == sorted([CONFIG, WEIGHTS, CARD])
    assert (model.folder / CARD).read_text() == "# A model\n\nvalue 1.0\n"
    assert list(tmp_path.iterdir()) == [tmp_path / "apples"]


def test_tensors_that_share_memory_or_carry_gradients_are_saved(tmp_path: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    parts = {"view": whole.T, "leaf": torch.ones(2, requires_grad=True)}
    read = save_model(tmp_path / "m", CONFIG_VALUE, parts, "card").tensors()
    assert torch.equal(read["view"], whole.T)
    assert torch.equal(read["leaf"], torch.ones(2))


def test_config_is_readable_json_that_names_the_backend(tmp_path: Path) -> None:
    config = json.loads((saved(tmp_path / "m").folder / CONFIG).read_text())
    assert config["backend"] == "image.gan"
    assert config["network"] == {"resolution": 32, "channels": [8, 16]}


def test_the_same_weights_have_the_same_hash_and_others_not(tmp_path: Path) -> None:
    first, second, other = saved(tmp_path / "1"), saved(tmp_path / "2"), saved(tmp_path / "3", 2.0)
    assert len(first.sha256) == 64
    assert first.sha256 == second.sha256 != other.sha256


def test_opening_a_model_imports_no_torch(tmp_path: Path) -> None:
    saved(tmp_path / "m")
    code = "import sys; from artgen.model import Model; m = Model.open(sys.argv[1]); m.sha256; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "m")], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_model_of_a_run_is_found_and_named_after_the_run(tmp_path: Path) -> None:
    saved(tmp_path / "pears" / "model")
    saved(tmp_path / "pears" / "model-last")
    assert locate(tmp_path / "pears") == (tmp_path / "pears" / "model").resolve()
    assert Model.open(tmp_path / "pears").name == "pears"
    assert Model.open(tmp_path / "pears" / "model-last").name == "pears"


def test_a_starter_is_found_by_name_and_by_modality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "STARTERS", tmp_path)
    assert starters() == ()
    with pytest.raises(ModelError, match=r"^no starter model for image; train one and give it with --model$"):
        starter("image")
    saved(tmp_path / "fruit")
    assert starters() == ("fruit",)
    assert starter("image") == starter("image", "gan") == locate("fruit") == tmp_path / "fruit"
    assert Model.open("fruit").name == "fruit"
    with pytest.raises(ModelError, match=r"^no starter model for image.diffusion; train one"):
        starter("image", "diffusion")
    told = r"^fruits: no such model; did you mean fruit\?; give a folder that artgen train wrote, or a starter \(fruit\)$"
    with pytest.raises(ModelError, match=told):
        Model.open("fruits")


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none: no such model; give a folder that artgen train wrote, or a starter \(") as caught:
        Model.open(tmp_path / "none")
    assert caught.value.exit_code == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"empty: no model there \(no config.json\); give a folder that artgen train wrote"):
        Model.open(tmp_path / "empty")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"artgen": "0.1.0"}', '{"artgen": 1, "backend": "image.gan", "network": {}}', "\xff"]
)
def test_a_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    folder = saved(tmp_path / "m").folder
    (folder / CONFIG).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=r"config.json: damaged \(.+\); train the model again or restore the file"):
        Model.open(folder)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m").folder
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match=r"model.safetensors: missing; restore the file or train the model again"):
        Model.open(folder)


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_damaged_weights_are_named(tmp_path: Path, keep: int) -> None:
    model = saved(tmp_path / "m")
    content = (model.folder / WEIGHTS).read_bytes()
    (model.folder / WEIGHTS).write_bytes(content[:keep])
    with pytest.raises(ModelError, match=r"model.safetensors: damaged \(.+\); restore the file or train the model again"):
        Model.open(model.folder).tensors()


@pytest.mark.parametrize("keep", [0, 5, 60, -1])
def test_cut_weights_are_found_out_without_reading_them(tmp_path: Path, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = saved(tmp_path / "m")
    content = (model.folder / WEIGHTS).read_bytes()
    (model.folder / WEIGHTS).write_bytes(content[:keep])
    monkeypatch.setattr("artgen.model.file_sha256", None)  # nobody waits for gigabytes to be hashed
    with pytest.raises(ModelError, match=r"model.safetensors: damaged \((its header|[\d,]+ bytes, of which its header names)"):
        Model.open(model.folder)


def test_weights_with_a_changed_byte_are_damaged_too(tmp_path: Path) -> None:
    model = saved(tmp_path / "m")
    content = bytearray((model.folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (model.folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged \(not the weights that config.json was written with\)"):
        Model.open(model.folder).tensors()


def test_another_file_with_a_changed_byte_is_damaged_too(tmp_path: Path) -> None:
    model = save_model(tmp_path / "m", CONFIG_VALUE, weights(), "", {"words.json": b'["red", "green"]'})
    assert Model.open(model.folder).file("words.json").startswith(b"[")
    (model.folder / "words.json").write_bytes(b'["rad", "green"]')
    with pytest.raises(
        ModelError, match=r"words.json: damaged \(not the file that config.json was written with\); restore the file"
    ):
        Model.open(model.folder)
    (model.folder / "words.json").unlink()
    with pytest.raises(ModelError, match=r"words\.json: No such file"):
        Model.open(model.folder).file("words.json")


def test_a_pickle_in_the_place_of_the_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    model = saved(tmp_path / "m")
    marker = tmp_path / "executed"
    evil = f"cposix\nsystem\n(S'touch {marker}'\ntR.".encode()  # protocol 0: pickle.loads would run the command
    (model.folder / WEIGHTS).write_bytes(evil)
    with pytest.raises(ModelError, match="damaged"):
        model.tensors()
    assert not marker.exists()


def test_saving_again_replaces_the_model_whole(tmp_path: Path) -> None:
    saved(tmp_path / "m", 1.0)
    (tmp_path / "m" / "notes.txt").write_text("of the old model")
    saved(tmp_path / "m", 2.0)
    assert torch.equal(Model.open(tmp_path / "m").tensors()["a.weight"], torch.full((2, 3), 2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert "value 2.0" in (tmp_path / "m" / CARD).read_text()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_disk_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    saved(tmp_path / "m", 1.0)

    def full(*_: object, **__: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OutputError, match=r"the disk is full|no permission"):
        saved(tmp_path / "m", 2.0)
    assert torch.equal(Model.open(tmp_path / "m").tensors()["a.weight"], torch.ones(2, 3))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


class Killed(BaseException):
    """Ends a save at a chosen place, as a kill would."""


def test_a_swap_never_leaves_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every rename, the moment before and the moment after, a whole model stands under some name."""
    saved(tmp_path / "m", 1.0)
    rename = Path.rename
    values: list[set[float]] = []

    def whole_models() -> set[float]:
        found = [path.parent for path in tmp_path.glob(f"*/{CONFIG}")] + [path.parent for path in tmp_path.glob(f".*/{CONFIG}")]
        return {float(Model.open(folder).tensors()["a.weight"][0, 0]) for folder in found}

    def watched(self: Path, target: Path) -> Path:
        values.append(whole_models())
        moved = rename(self, target)
        values.append(whole_models())
        return moved

    monkeypatch.setattr(Path, "rename", watched)
    saved(tmp_path / "m", 2.0)
    assert len(values) >= 4
    assert all(values)
    assert all(1.0 in moment or 2.0 in moment for moment in values)


def test_a_kill_between_the_renames_keeps_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path / "m", 1.0)
    rename = Path.rename

    def stop_at_the_second(self: Path, target: Path) -> Path:
        if self.name.startswith(".tmp-"):
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stop_at_the_second)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)  # a killed process cleans nothing up
    with pytest.raises(Killed):
        saved(tmp_path / "m", 2.0)
    kept = [path for path in tmp_path.iterdir() if path.name.startswith(".old-")]
    assert len(kept) == 1
    assert torch.equal(Model.open(kept[0]).tensors()["a.weight"], torch.ones(2, 3))


def test_a_model_whose_swap_was_cut_opens(tmp_path: Path) -> None:
    """The state that a kill between the two renames leaves: no ``m``, the old one beside it."""
    saved(tmp_path / "m", 1.0)
    (tmp_path / "m").rename(tmp_path / ".old-m")
    model = Model.open(tmp_path / "m")
    assert model.name == "m"
    assert torch.equal(model.tensors()["a.weight"], torch.ones(2, 3))
    saved(tmp_path / "m", 2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    saved(tmp_path / "run" / "model", 3.0)
    (tmp_path / "run" / "model").rename(tmp_path / "run" / ".old-model")
    assert Model.open(tmp_path / "run").name == "run"


def test_config_is_frozen() -> None:
    with pytest.raises(AttributeError):
        CONFIG_VALUE.backend = "image.other"  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(CONFIG_VALUE), type=Config) == CONFIG_VALUE
