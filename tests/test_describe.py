"""What ``show`` tells of a work, a model, a dataset, a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from noise_fixtures import dataset, made, model, place  # noqa: F401 - fixtures

import artgen
from artgen.describe import show
from artgen.errors import ModelError, SourceError
from artgen.model import STARTERS
from artgen.recipe import GENERATED

pytestmark = pytest.mark.usefixtures("place")

# ruff: noqa: F811 - fixtures are imported and then named as arguments


# show


def test_show_a_work(model: Path, tmp_path: Path) -> None:
    told = show(made(model, tmp_path / "a.png"))
    assert (told["kind"], told["width"], told["height"], told["mark"]) == ("image", 8, 8, GENERATED)
    assert told["recipe"]["seeds"] == [5]
    hidden = artgen.generate("image", model=model, seed=5)[0].save(tmp_path / "b.png", recipe="none")
    assert (show(hidden)["mark"], show(hidden)["recipe"]) == (GENERATED, None)


def test_show_a_clip(model: Path, tmp_path: Path) -> None:
    told = show(made(model, tmp_path / "a.mp4", walk=1))
    assert (told["kind"], told["frames"], told["fps"], told["seconds"]) == ("video", 5, 5.0, 1.0)
    assert told["recipe"]["options"]["walk"] == 1.0


def test_show_a_model_and_a_dataset(model: Path, dataset: Path) -> None:
    told = show(model)
    assert (told["kind"], told["backend"], told["network"], told["licence"]) == ("model", "image.noise", {"size": 8}, "CC0-1.0")
    assert told["next"] == f"artgen image generate --model {model}"
    told = show(dataset)
    assert (told["kind"], told["of"], told["count"], told["skipped"]) == ("dataset", "image", 24, [])
    json.dumps(told)


def test_show_a_run_with_a_half_written_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('backend = "image.gan"\ndataset = "d"\nsteps = 9\n')
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "items": 8, "seconds": 2.0, "fd": 90.0}\n'
        '{"step": 2, "items": 16, "seconds": 4.0, "loss/generator": 1.0}\n{"step": 3, "it'
    )
    told = show(tmp_path)
    assert (told["steps"], told["items"], told["seconds"]) == (2, 16, 4.0)
    assert told["metrics"] == {"fd": 90.0, "loss/generator": 1.0}
    assert told["next"] == [f"artgen image train --resume --output {tmp_path}"]
    for budget, more in (
        ("steps = 2", " --steps 4"),
        ("items = 17", ""),
        ("items = 16", " --items 32"),
        ("minutes = 0.05", " --minutes 0.1"),
    ):
        (tmp_path / "config.toml").write_text(f'backend = "image.gan"\n{budget}\n')
        assert show(tmp_path)["next"] == [f"artgen image train --resume --output {tmp_path}{more}"]
    (tmp_path / "config.toml").write_text("= 3")
    with pytest.raises(SourceError, match="damaged"):
        show(tmp_path)


def test_the_stages_of_a_run_count_together(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('backend = "audio.rnn"\nsteps = 5\n')
    codec = '{"stage": "codec", "step": 1, "items": 8, "loss": 1.0}\n{"stage": "codec", "step": 2, "items": 16}\n'
    (tmp_path / "metrics.jsonl").write_text(codec)
    assert (show(tmp_path)["steps"], show(tmp_path)["items"]) == (2, 16)
    assert show(tmp_path)["next"] == [f"artgen audio train --resume --output {tmp_path}"]
    (tmp_path / "metrics.jsonl").write_text(codec + '{"step": 3, "items": 24, "val/loss": 2.0}\n{"step": 4, "it')
    assert (show(tmp_path)["steps"], show(tmp_path)["items"]) == (5, 40)
    assert show(tmp_path)["next"] == [f"artgen audio train --resume --output {tmp_path} --steps 10"]


def test_altered_weights_are_told(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("model", "model-last"):
        shutil.copytree(STARTERS / "emoji", run / name)
    (run / "config.toml").write_text('backend = "video.gan3d"\ndataset = "d"\nsteps = 9\n')
    assert (show(run)["models"], show(run)["damaged"]) == (["model", "model-last"], [])
    weights = run / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    sentence = r"model.safetensors: damaged \(not the weights that config.json was written with\); restore the file or train"
    with pytest.raises(ModelError, match=sentence):
        show(run / "model")
    told = show(run)
    assert (told["models"], len(told["damaged"])) == (["model-last"], 1)
    assert str(weights) in told["damaged"][0]
    weights.write_bytes(content[:-1000])
    with pytest.raises(ModelError, match=r"damaged \([\d,]+ bytes, of which its header names [\d,]+\)"):
        show(run / "model")


def test_commands_to_type_have_quotes_where_a_shell_needs_them(tmp_path: Path) -> None:
    run = tmp_path / "my run"
    run.mkdir()
    (run / "config.toml").write_text('backend = "image.gan"\ndataset = "d"\nsteps = 9\n')
    assert show(run)["next"] == [f"artgen image train --resume --output '{run}'"]


def test_show_what_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    with pytest.raises(SourceError, match="gone: no such file or folder; give a work, a model, a dataset, a run or a starter"):
        show("gone")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="neither a model"):
        show(empty)
    monkeypatch.setattr("artgen.model.STARTERS", model.parent)
    assert show("hum")["name"] == "hum"
