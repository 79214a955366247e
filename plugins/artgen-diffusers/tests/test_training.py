"""Training on tiny builds: LoRAs that plain diffusers loads, a DDPM from scratch, and runs that go on exactly."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import blob
from diffusers import DDPMPipeline, DiffusionPipeline
from safetensors.torch import load_file

from artgen import api
from artgen.artwork import Image
from artgen.dataset import Dataset
from artgen.describe import summary
from artgen.errors import DatasetError, ModelError, OptionError, UsageError
from artgen.model import Model
from artgen.training.step import seeded
from artgen.training.task import Batch, Position
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.ddpm import DdpmTask
from artgen_diffusers.lora import LoraTask, base_of
from artgen_diffusers.options import Train

Pipelines = Callable[[str], Path]
FAST: dict[str, Any] = {
    "backend": "diffusers", "device": "cpu", "batch_size": 4, "precision": "fp32", "memory_format": "contiguous", "previews": 0,
    "best_by": "none",
}  # fmt: skip


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty captioned pictures of 32 pixels."""
    place = tmp_path_factory.mktemp("pictures")
    for number in range(20):
        Image(blob(number, 32, 32)).save(place / f"{number:02}.png")
        (place / f"{number:02}.txt").write_text(f"a blob {'ab'[number % 2]}")
    output = tmp_path_factory.mktemp("data") / "set"
    api.prepare("image", place, output, backend="diffusers", resolution=32, workers=1)
    return output


@pytest.fixture(scope="session")
def lora_run(dataset: Path, pipelines: Pipelines, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA for Stable Diffusion, trained long enough to show."""
    place = tmp_path_factory.mktemp("runs") / "lora"
    api.train("image", dataset, place, model=pipelines("sd"), steps=30, learning_rate=3e-2, **{**FAST, "save_steps": 10})
    return place


def batch(task: LoraTask | DdpmTask, dataset: Dataset, start: int = 0, stop: int = 8) -> Batch:
    data = task.load(dataset, range(start, stop))
    return Batch(data, 8, start, stop, 5, torch.device("cpu"))


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [value for record in records for name, value in record.items() if name.startswith("loss/")]


@pytest.mark.parametrize("name", ["sd", "sd2", "sdxl", "sd3", "flux"])
def test_a_lora_learns_in_every_family(pipelines: Pipelines, dataset: Path, name: str) -> None:
    data = Dataset.open(dataset)
    options = Train(model=str(pipelines(name)), rank=4)
    with seeded(0):
        task = LoraTask(data, options)
    frozen = {key: value.clone() for key, value in task.denoiser[0].state_dict().items() if "lora" not in key}
    optimizer = torch.optim.AdamW(task.phases[0].parameters, lr=2e-2)
    found = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = task("lora", batch(task, data), Position(0, 1))["loss"]
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.97 * found[0]  # the same pictures, noise and levels every time
    assert all(torch.equal(value, frozen[key]) for key, value in task.denoiser[0].state_dict().items() if key in frozen)
    assert not any("lora" not in key for key in task.state_dict())  # no frozen weight goes into a state


def test_slices_of_a_batch_give_its_loss(pipelines: Pipelines, dataset: Path) -> None:
    data = Dataset.open(dataset)
    for task in (LoraTask(data, Train(model=str(pipelines("sdxl")))), DdpmTask(data, Train(preset="tiny"))):
        name = task.phases[0].name
        with torch.no_grad():
            whole = float(task(name, batch(task, data), Position(0, 1))["loss"])
            halves = [float(task(name, batch(task, data, start, start + 4), Position(0, 1))["loss"]) for start in (0, 4)]
        assert np.mean(halves) == pytest.approx(whole, rel=1e-4)


def test_a_copy_of_the_task_learns_alone_and_shares_what_is_frozen(pipelines: Pipelines, dataset: Path) -> None:
    data = Dataset.open(dataset)
    task = LoraTask(data, Train(model=str(pipelines("sd"))))
    twin = copy.deepcopy(task)
    assert [p.data_ptr() for p in twin.lora.parameters()] != [p.data_ptr() for p in task.lora.parameters()]
    inside = {id(p) for p in twin.denoiser[0].parameters()}
    assert all(id(p) in inside for p in twin.lora.parameters())
    assert all(id(p) in inside for p in twin.phases[0].parameters)
    name = "conv_in.weight"
    assert twin.denoiser[0].get_parameter(name) is task.denoiser[0].get_parameter(name)
    before = [p.clone() for p in task.lora.parameters()]
    with torch.no_grad():
        for parameter in twin.lora.parameters():
            parameter.add_(1)
        assert float(twin("lora", batch(twin, data), Position(0, 1))["loss"]) != float(
            task("lora", batch(task, data), Position(0, 1))["loss"]
        )
    assert all(torch.equal(old, new) for old, new in zip(before, task.lora.parameters(), strict=True))


def test_a_trained_lora_makes_in_plain_diffusers_what_it_makes_here(lora_run: Path, pipelines: Pipelines) -> None:
    weights = lora_run / "model" / "model.safetensors"
    names = set(load_file(weights))
    assert all(name.startswith("unet.") and name.endswith((".lora_A.weight", ".lora_B.weight")) for name in names)
    with borrowed():
        pipeline = DiffusionPipeline.from_pretrained(pipelines("sd"), use_safetensors=True)
        pipeline.set_progress_bar_config(disable=True)
        values: dict[str, Any] = {"width": 32, "height": 32, "num_inference_steps": 2}
        plain = np.asarray(pipeline("a blob", **values, generator=torch.Generator().manual_seed(3)).images[0])
        pipeline.load_lora_weights(lora_run / "model", weight_name="model.safetensors")
        expected = np.asarray(pipeline("a blob", **values, generator=torch.Generator().manual_seed(3)).images[0])
    assert not np.array_equal(plain, expected)
    common: dict[str, Any] = {"prompt": "a blob", "seed": 3, "steps": 2, "width": 32, "height": 32, "device": "cpu"}
    work = api.generate("image", model=lora_run, **common)[0]
    assert np.array_equal(work.numpy(), expected)
    given = api.generate("image", model=pipelines("sd"), backend="diffusers", lora=[weights], **common)[0]
    assert np.array_equal(given.numpy(), expected)
    half = api.generate("image", model=pipelines("sd"), backend="diffusers", lora=[weights], lora_scale=[0.5], **common)[0]
    none = api.generate("image", model=pipelines("sd"), backend="diffusers", lora=[weights], lora_scale=[0.0], **common)[0]
    assert np.array_equal(none.numpy(), plain)
    assert not np.array_equal(half.numpy(), expected)
    two = api.generate("image", model=lora_run, lora=[weights], lora_scale=[-1.0], **common)[0]
    assert np.abs(two.numpy().astype(int) - plain).max() <= 1  # one takes back what the other adds


def test_a_trained_lora_knows_its_licence_and_its_base(lora_run: Path, pipelines: Pipelines) -> None:
    model = Model.open(lora_run)
    assert model.config.licence == "creativeml-openrail-m"
    assert "license: creativeml-openrail-m" in (model.folder / "README.md").read_text()
    assert model.config.network["base"] == str(pipelines("sd"))
    recipe = api.generate("image", model=lora_run, prompt="x", seed=1, steps=1, device="cpu")[0].recipe
    assert recipe is not None
    assert (recipe.licence, recipe.backend) == ("creativeml-openrail-m", "image.diffusers")
    assert recipe.model["base_pipeline"] == "StableDiffusionPipeline"
    assert len(recipe.model["base_sha256"]) == 64


def test_what_to_type_next_is_what_this_backend_can_do(lora_run: Path) -> None:
    told = [line.split()[2] for line in summary(lora_run)["next"]]
    assert told == ["generate", "train"]  # and no evaluate


def test_a_lora_whose_base_is_gone_is_told(lora_run: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(lora_run / "model", tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["network"].update(base="./gone", base_path=str(tmp_path / "gone"))
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"the pipeline \./gone that this LoRA was trained for is gone; restore it"):
        api.generate("image", model=tmp_path / "model", prompt="x", seed=1, device="cpu")


def test_a_lora_run_lowers_its_loss_and_goes_on_exactly(
    lora_run: Path, dataset: Path, pipelines: Pipelines, tmp_path: Path
) -> None:
    found = losses(lora_run)
    assert np.mean(found[-10:]) < np.mean(found[:10])
    common = {**FAST, "save_steps": 10, "model": pipelines("sd"), "learning_rate": 3e-2}
    api.train("image", dataset, tmp_path / "run", steps=10, **common)
    api.train("image", output=tmp_path / "run", resume=True, steps=30, device="cpu")
    whole, resumed = (load_file(place / "model-last" / "model.safetensors") for place in (lora_run, tmp_path / "run"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_ddpm_from_scratch_runs_in_plain_diffusers(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    model = api.train(
        "image", dataset, run, preset="tiny", steps=40, learning_rate=3e-3, **{**FAST, "previews": 1, "best_by": "auto"}
    )
    found = losses(run)
    assert np.mean(found[-10:]) < 0.8 * np.mean(found[:10])
    assert "held_out_loss" in model.config.scores
    assert any((run / "previews").iterdir())
    with borrowed():
        pipeline = DDPMPipeline.from_pretrained(run / "diffusers", use_safetensors=True)
        pipeline.set_progress_bar_config(disable=True)
        plain = pipeline(num_inference_steps=2, generator=torch.Generator().manual_seed(4)).images[0]
    with pytest.raises(UsageError, match="it states no licence; leave --commercial-only out if the pictures behind it are yours"):
        api.generate("image", model=run, seed=1, commercial_only=True, device="cpu")
    common: dict[str, Any] = {"seed": 4, "device": "cpu", "backend": "diffusers"}
    exported = api.generate("image", model=run / "diffusers", steps=2, **common)[0]
    assert np.array_equal(exported.numpy(), np.asarray(plain))
    work = api.generate("image", model=run, **common)[0]  # here in the 50 steps of DDIM
    assert work.numpy().shape == (32, 32, 3)
    ours = api.generate("image", model=run, steps=2, **common)[0]
    theirs = api.generate("image", model=run / "diffusers", scheduler="ddim", steps=2, **common)[0]
    assert np.abs(ours.numpy().astype(int) - theirs.numpy()).max() <= 1


REFUSED: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("pixart", {"caption": "x"}, UsageError, "--model: a LoRA can be trained for StableDiffusionPipeline, .*, not for PixArtAlpha"),
    ("nothing", {}, ModelError, "no such folder, not downloaded before"),
    ("sd", {"rank": 0}, OptionError, "--rank takes 1 to 512, not 0"),
]


@pytest.mark.parametrize(("name", "options", "kind", "told"), REFUSED)
def test_what_cannot_be_trained_is_told(
    pipelines: Pipelines, dataset: Path, tmp_path: Path, name: str, options: dict[str, Any], kind: type[Exception], told: str
) -> None:
    place = "nobody/nothing" if name == "nothing" else pipelines(name)
    with pytest.raises(kind, match=told):
        api.train("image", dataset, tmp_path / "run", model=place, steps=1, **FAST, **options)


def test_pictures_without_captions_need_one(pipelines: Pipelines, dataset: Path, tmp_path: Path) -> None:
    for number in range(4):
        Image(blob(number, 32, 32)).save(tmp_path / "plain" / f"{number}.png")
    data = api.prepare("image", tmp_path / "plain", tmp_path / "set", backend="diffusers", resolution=32, workers=1)
    with pytest.raises(DatasetError, match=r"its pictures have no captions; give --caption 'in the style of \.\.\.' for all"):
        LoraTask(data, Train(model=str(pipelines("sd"))))
    task = LoraTask(data, Train(model=str(pipelines("sd")), caption="in the style of x"))
    assert task.captions == ["in the style of x"] * 4


def test_a_licence_that_forbids_commerce_is_refused_for_training(pipelines: Pipelines, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(pipelines("sd"), tmp_path / "nc")
    (tmp_path / "nc" / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with pytest.raises(UsageError, match="forbids commercial use"):
        base_of(Train(model=str(tmp_path / "nc"), commercial_only=True), "cpu")


def test_files_that_are_no_lora_for_this_model_are_told(pipelines: Pipelines, lora_run: Path, tmp_path: Path) -> None:
    common: dict[str, Any] = {"backend": "diffusers", "prompt": "x", "seed": 1, "steps": 1, "device": "cpu"}
    weights = lora_run / "model" / "model.safetensors"
    (tmp_path / "old.ckpt").write_bytes(b"x")
    with pytest.raises(OptionError, match=r"old\.ckpt: only \.safetensors files are read \(others can run code"):
        api.generate("image", model=pipelines("sd"), lora=[tmp_path / "old.ckpt"], **common)
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:500])
    with pytest.raises(UsageError, match=r"cut\.safetensors: (damaged|does not fit)"):
        api.generate("image", model=pipelines("sd"), lora=[tmp_path / "cut.safetensors"], **common)
    with pytest.raises(UsageError, match=r"model\.safetensors: (does not fit|holds no LoRA for) SD|StableDiffusion3Pipeline"):
        api.generate("image", model=pipelines("sd3"), lora=[weights], **common)
    other = pipelines("sd") / "unet" / "diffusion_pytorch_model.safetensors"
    with pytest.raises(UsageError, match=r"(does not fit|holds no LoRA for) StableDiffusionPipeline"):
        api.generate("image", model=pipelines("sd"), lora=[other], **common)
    with pytest.raises(OptionError, match="--lora: DDPMPipeline takes no LoRA; leave it out"):
        api.generate("image", model=pipelines("ddpm"), lora=[weights], **{**common, "prompt": None})
