"""Networks of other kinds, each a real class of tiny size, saved and opened from a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import blob
from safetensors.torch import save_file

import artgen
from artgen import api
from artgen.artwork import Image
from artgen.errors import ModelError, OptionError, SourceError
from artgen.model import Model
from artgen_deepdream.backend import DeepDream
from artgen_deepdream.readers import reader_of

QUICK: dict[str, Any] = {"octaves": 2, "steps": 2, "jitter": 4, "backend": "deepdream", "device": "cpu"}


def transformers_model(kind: str, folder: Path) -> Path:
    import transformers as t

    torch.manual_seed(3)
    models: dict[str, Any] = {
        "resnet": lambda: t.ResNetModel(
            t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_channels=3)
        ),
        "convnext": lambda: t.ConvNextModel(t.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)),
        "vit": lambda: t.ViTModel(
            t.ViTConfig(
                hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
            )
        ),
        "swin": lambda: t.SwinModel(
            t.SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)
        ),
    }
    models[kind]().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("kind", "layers"),
    [("resnet", [8, 8, 16]), ("convnext", [8, 8, 16]), ("vit", [16, 16, 16]), ("swin", None)],
)
def test_any_vision_model_of_transformers(kind: str, layers: list[int] | None, tmp_path: Path):
    folder = transformers_model(kind, tmp_path / kind)
    reader = reader_of(DeepDream.find_model(str(folder)))
    if layers:
        assert list(reader.layers.values()) == layers
    picture = Image(blob(1, 45, 51), name="mine.png")
    work = artgen.modify("image", picture, model=folder, **QUICK)[0]
    assert work.numpy().shape == (45, 51, 3)
    assert not np.array_equal(work.numpy(), picture.pixels)
    again = artgen.modify("image", picture, model=folder, **QUICK)[0]
    assert np.array_equal(work.numpy(), again.numpy())


def test_every_stage_of_a_vit_is_a_plane_in_the_right_order(tmp_path: Path):
    """The tokens of the left half answer to the left half: the first state has seen no attention yet."""
    reader = reader_of(DeepDream.find_model(str(transformers_model("vit", tmp_path / "vit"))))
    dark = torch.zeros(1, 3, 32, 64)
    light = dark.clone()
    light[..., :32] = 1
    first, second = (reader.answers(pictures, ["stage0"])[0] for pictures in (dark, light))
    assert first.shape == (1, 16, 4, 8)
    assert torch.allclose(first[..., 4:], second[..., 4:])
    assert not torch.allclose(first[..., :4], second[..., :4])


def test_the_folder_says_how_pictures_are_normalised(tmp_path: Path):
    folder = transformers_model("resnet", tmp_path / "resnet")
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3, "image_std": [0.25] * 3}))
    reader = reader_of(DeepDream.find_model(str(folder)))
    assert reader.mean.flatten().tolist() == [0.5] * 3  # type: ignore[attr-defined]
    assert reader.spread.flatten().tolist() == [0.25] * 3  # type: ignore[attr-defined]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"architecture": "dcgan"}])
def test_the_discriminator_of_a_gan(options: dict[str, Any], folders: Path, tmp_path: Path):
    api.train(
        "image", folders, tmp_path / "gan", backend="gan", device="cpu", resolution=32, workers=1, steps=1, batch_size=2,
        previews=0, precision="fp32", memory_format="contiguous", **options,
    )  # fmt: skip
    picture = Image(blob(2, 48, 37), name="mine.png")
    work = artgen.modify("image", picture, model=tmp_path / "gan", layer="stage2", **QUICK)[0]
    assert work.numpy().shape == (48, 37, 3)
    assert not np.array_equal(work.numpy(), picture.pixels)
    assert work.recipe is not None
    assert work.recipe.backend == "image.deepdream"
    path = work.save(tmp_path / "dream.png")
    assert path.is_file()


def test_the_stages_of_a_gan_are_those_it_was_trained_with(folders: Path, tmp_path: Path):
    api.train(
        "image", folders, tmp_path / "gan", backend="gan", device="cpu", resolution=32, workers=1, steps=1, batch_size=2,
        previews=0, precision="fp32", memory_format="contiguous",
    )  # fmt: skip
    reader = reader_of(Model.open(tmp_path / "gan"))
    pictures = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        told = reader.network.trunk(pictures)  # type: ignore[operator]
        found = reader.answers(pictures, list(reader.layers))
    assert len(told) == len(found)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(told, found, strict=True))


def test_a_network_of_torchvision(tmp_path: Path):
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(4)
    network = models.get_model("squeezenet1_1", weights=None, num_classes=3)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"torchvision": "squeezenet1_1"}))
    reader = reader_of(DeepDream.find_model(str(tmp_path)))
    assert "features.3" in reader.layers
    work = artgen.modify("image", Image(blob(3, 70, 66)), model=tmp_path, layer="features.3", **QUICK)[0]
    assert work.numpy().shape == (70, 66, 3)


def test_torchvision_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    monkeypatch.setitem(__import__("sys").modules, "torchvision.models", None)
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"torchvision": "resnet18"}))
    with pytest.raises(ModelError, match=r"pip install 'artgen-deepdream\[torchvision\]'"):
        reader_of(DeepDream.find_model(str(tmp_path)))


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path):
    folder = transformers_model("resnet", tmp_path / "resnet")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        DeepDream.find_model(str(folder))


def test_a_model_of_text_does_not_look_at_pictures(tmp_path: Path):
    import transformers as t

    config = t.GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=16, n_positions=8)
    t.GPT2Model(config).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(ModelError, match="does not look at pictures"):
        reader_of(DeepDream.find_model(str(tmp_path / "gpt2")))


def test_code_in_a_model_folder_is_never_run(tmp_path: Path):
    folder = transformers_model("resnet", tmp_path / "resnet")
    facts = json.loads((folder / "config.json").read_text())
    facts |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config", "AutoModel": "code.Net"}}
    (folder / "config.json").write_text(json.dumps(facts))
    (folder / "code.py").write_text("from pathlib import Path\nPath(__file__).with_name('ran').touch()\n")
    with pytest.raises(ModelError, match="transformers cannot open it"):
        reader_of(DeepDream.find_model(str(folder)))
    assert not list(folder.rglob("ran"))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("{", "damaged"),
        ("{}", "damaged"),
        ('{"torchvision": "nothing"}', "no network 'nothing'|needs torchvision|need torchvision"),
    ],
)
def test_damaged_folders(content: str, error: str, tmp_path: Path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError, match=error):
        reader_of(DeepDream.find_model(str(tmp_path)))


def test_a_name_that_is_no_folder_and_cannot_be_fetched():
    with pytest.raises(ModelError, match="nobody/nothing: no such folder"):
        DeepDream.find_model("nobody/nothing")


def test_a_place_that_is_nothing():
    with pytest.raises(ModelError, match="no such model"):
        DeepDream.find_model("nowhere")


def test_models_of_other_methods_are_refused(run: Path):
    path = run / "model" / "config.json"
    before = path.read_text()
    try:
        path.write_text(before.replace("image.deepdream", "text.transformer"))
        with pytest.raises(ModelError, match=r"a model of text\.transformer; deepdream dreams through"):
            DeepDream.find_model(str(run))
    finally:
        path.write_text(before)


def test_weights_of_another_network(run: Path, tmp_path: Path):
    config = (run / "model" / "config.json").read_text()
    facts = json.loads(config)
    facts["network"]["widths"] = [[4], [4]]
    (tmp_path / "config.json").write_text(json.dumps(facts))
    (tmp_path / "model.safetensors").write_bytes((run / "model" / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="do not belong together"):
        reader_of(DeepDream.find_model(str(tmp_path)))


def test_an_unknown_layer_lists_those_there_are(tiny: Model):
    with pytest.raises(OptionError, match=r"it has conv1a, conv2a, mixed3a, mixed4a; did you mean mixed3a"):
        artgen.modify("image", Image(blob(1)), model=tiny, layer="mixed3b", **QUICK)


def test_a_channel_out_of_range(tiny: Model):
    with pytest.raises(OptionError, match="channel 8: layer conv1a has the channels 0 to 7"):
        artgen.modify("image", Image(blob(1)), model=tiny, layer="conv1a", channel=8, **QUICK)


def test_a_picture_too_small(tiny: Model):
    with pytest.raises(SourceError, match="12x40 is too small for this network; give one of at least 16x16"):
        artgen.modify("image", Image(blob(1, 40, 12)), model=tiny, **QUICK)


def test_the_network_that_comes_along():
    """It is found without a word, small enough to ship, tells its classes apart better than chance, and dreams."""
    model = DeepDream.find_model(None)
    assert model.name == "eclectic"
    assert DeepDream.find_model("eclectic").sha256 == model.sha256
    assert (model.folder / "model.safetensors").stat().st_size <= 8_000_000
    assert model.config.scores["accuracy"] > 10 / len(model.config.classes)
    assert model.config.licence
    assert "## Data and licences" in (model.folder / "README.md").read_text(encoding="utf-8")
    assert reader_of(model).default == "mixed4c"
    picture = Image(blob(4, 64, 48))
    work = artgen.modify("image", picture, **QUICK)[0]
    assert work.numpy().shape == (64, 48, 3)
    assert not np.array_equal(work.numpy(), picture.pixels)
