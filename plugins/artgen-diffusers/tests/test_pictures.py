"""Pictures from tiny builds of the real pipelines: the very pixels of diffusers, every option, every refusal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import SIZE, Pipelines, blob, made
from diffusers import DiffusionPipeline, StableDiffusionImg2ImgPipeline
from PIL import Image as Pillow

from artgen import api
from artgen.artwork import Image
from artgen.errors import ArtgenError, ModelError, OptionError, SourceError, UsageError
from artgen.testing.life import Recording
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.image import ImageDiffusers


def direct(folder: Path, seed: int, **values: Any) -> np.ndarray:
    """What diffusers itself makes."""
    with borrowed():
        pipeline = DiffusionPipeline.from_pretrained(folder, use_safetensors=True)
        pipeline.set_progress_bar_config(disable=True)
        made = pipeline(**values, num_inference_steps=2, generator=torch.Generator().manual_seed(seed), output_type="pil")
    return np.asarray(made.images[0])


def changed(folder: Path, *inputs: Any, seed: int = 7, **options: Any) -> np.ndarray:
    works = api.modify("image", inputs, model=folder, backend="diffusers", seed=seed, device="cpu", **{"steps": 4, **options})
    return works[0].numpy()


@pytest.mark.parametrize("name", ["sd", "sd2", "sdxl", "sd3", "flux", "pixart"])
def test_words_become_the_very_pixels_of_diffusers(pipelines: Pipelines, name: str) -> None:
    more = {"use_resolution_binning": False} if name == "pixart" else {}
    expected = direct(pipelines(name), 7, prompt="a red cat", width=32, height=48, **more)
    found = made(pipelines(name), prompt="a red cat", width=32, height=48)
    assert found.shape == (48, 32, 3)
    assert np.array_equal(found, expected)
    assert not np.array_equal(found, made(pipelines(name), seed=8, prompt="a red cat", width=32, height=48))
    assert not np.array_equal(found, made(pipelines(name), prompt="blue", width=32, height=48))


def test_no_words_become_the_very_pixels_of_diffusers(pipelines: Pipelines) -> None:
    expected = direct(pipelines("ddpm"), 7)
    assert np.array_equal(made(pipelines("ddpm")), expected)


def test_a_seed_gives_the_same_alone_and_among_others(pipelines: Pipelines) -> None:
    common: dict[str, Any] = {"model": pipelines("sd"), "backend": "diffusers", "device": "cpu", "prompt": "x", "steps": 2}
    works = api.generate("image", seeds=[3, 9, 2**63 - 1], scheduler="euler-a", **common, **SIZE)
    alone = api.generate("image", seeds=[9], scheduler="euler-a", **common, **SIZE)
    assert np.array_equal(works[1].numpy(), alone[0].numpy())
    assert len({work.numpy().tobytes() for work in works}) == 3


CHANGES: list[dict[str, Any]] = [
    {"negative_prompt": "blue"}, {"guidance": 1.5}, {"steps": 3}, {"scheduler": "euler"}, {"clip_skip": 1}, {"width": 40},
    {"dtype": "bf16"},
]  # fmt: skip


@pytest.mark.parametrize("options", CHANGES, ids=str)
def test_every_option_changes_the_picture(pipelines: Pipelines, options: dict[str, Any]) -> None:
    plain = made(pipelines("sd"), prompt="a red cat", **SIZE)
    assert not np.array_equal(plain, made(pipelines("sd"), prompt="a red cat", **{**SIZE, **options}))


@pytest.mark.parametrize(
    "scheduler",
    ["ddim", "ddpm", "deis", "dpm++", "dpm++-karras", "dpm++-sde", "euler", "euler-a", "heun", "kdpm2", "kdpm2-a", "lcm", "lms",
     "pndm", "tcd", "unipc"],
)  # fmt: skip
def test_every_scheduler_of_noise_runs(pipelines: Pipelines, scheduler: str) -> None:
    first, second = (made(pipelines("sd"), prompt="a", scheduler=scheduler, **SIZE, steps=5) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.std() > 1


@pytest.mark.parametrize("scheduler", ["flow-dpm++", "flow-euler", "flow-heun", "flow-unipc"])
def test_every_scheduler_of_flows_runs(pipelines: Pipelines, scheduler: str) -> None:
    assert made(pipelines("sd3"), prompt="a", scheduler=scheduler, **SIZE).std() > 1


def test_a_file_of_prompts_gives_a_picture_for_each(pipelines: Pipelines, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("# two cats\na red cat\n\n  a blue cat\n")
    common: dict[str, Any] = {"model": pipelines("sd"), "backend": "diffusers", "device": "cpu", "steps": 2, **SIZE}
    works = api.generate("image", prompts=file, seeds=[4, 5], **common)
    assert [(work.options["prompt"], work.seeds) for work in works] == [
        ("a red cat", (4,)), ("a red cat", (5,)), ("a blue cat", (4,)), ("a blue cat", (5,)),
    ]  # fmt: skip
    alone = api.generate("image", prompt="a blue cat", seed=5, **common)[0]
    assert np.array_equal(works[3].numpy(), alone.numpy())
    assert works[3].recipe == alone.recipe  # so a replay needs no file of prompts
    file.write_text("# nothing\n")
    with pytest.raises(SourceError, match=r"--prompts .*: no prompts in it; write one a line"):
        api.generate("image", prompts=file, seed=1, **common)


def test_the_recipe_tells_where_the_model_came_from(pipelines: Pipelines, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "models--owner--thing" / "snapshots" / commit
    shutil.copytree(pipelines("ddpm"), snapshot)
    recipe = api.generate("image", model=snapshot, backend="diffusers", seed=1, steps=1, device="cpu")[0].recipe
    assert recipe is not None
    expected = {"name": "thing", "repository": "owner/thing", "revision": commit, "place": f"owner/thing@{commit}"}
    assert {**recipe.model, **expected, "pipeline": "DDPMPipeline"} == recipe.model
    assert recipe.licence == "creativeml-openrail-m"


def test_steps_are_told_and_the_licence_once(pipelines: Pipelines) -> None:
    progress, said = Recording(), list[str]()
    progress.say = said.append  # type: ignore[method-assign]
    model = ImageDiffusers.find_model(str(pipelines("sd")))
    for _ in range(2):
        api.generate("image", model=model, backend="diffusers", prompt="x", steps=3, n=2, seed=1, device="cpu", progress=progress)
    assert said == ["sd: licence creativeml-openrail-m; commercial use is allowed, under its terms"]
    assert progress.started == ["loading sd", "sd", "sd", "sd", "sd"]
    assert (progress.open, progress.faults) == (0, [])
    assert progress.advances >= 12


def test_words_and_pictures_share_what_is_loaded(pipelines: Pipelines, picture: Path) -> None:
    model, progress = ImageDiffusers.find_model(str(pipelines("sd"))), Recording()
    common: dict[str, Any] = {
        "model": model,
        "backend": "diffusers",
        "prompt": "x",
        "steps": 4,
        "device": "cpu",
        "progress": progress,
    }
    first = api.generate("image", seed=1, **common, **SIZE)[0]
    api.modify("image", picture, **common)
    mask = Image(np.full((40, 48, 3), 255, np.uint8)).save(picture.parent / "mask.png")
    api.modify("image", picture, mask=mask, **common)
    assert np.array_equal(first.numpy(), api.generate("image", seed=1, **common, **SIZE)[0].numpy())
    assert progress.started.count("loading sd") == 1
    turned = cast(dict[str, Any], model.cache["turned"])
    assert len({id(pipeline.unet) for pipeline in turned.values()}) == 1
    assert [type(pipeline).__name__ for pipeline in turned.values()] == [
        "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    ]  # fmt: skip
    api.generate("image", seed=1, dtype="bf16", **common, **SIZE)
    assert progress.started.count("loading sd") == 2


def test_a_picture_is_changed_as_diffusers_does_at_its_own_size(pipelines: Pipelines, picture: Path) -> None:
    found = changed(pipelines("sd"), picture, prompt="a cat", strength=0.5)
    with borrowed():
        pipeline = StableDiffusionImg2ImgPipeline.from_pretrained(pipelines("sd"), use_safetensors=True)
        pipeline.set_progress_bar_config(disable=True)
        given = Pillow.fromarray(blob(1)).resize((32, 32), Pillow.Resampling.LANCZOS)
        values = {"strength": 0.5, "num_inference_steps": 4, "generator": torch.Generator().manual_seed(7)}
        expected = pipeline("a cat", image=given, **values).images[0].resize((48, 40), Pillow.Resampling.LANCZOS)
    assert np.array_equal(found, np.asarray(expected))
    for other in ({"strength": 0.9}, {"strength": 0.5, "resolution": 64}, {"strength": 0.5, "prompt": "a dog"}):
        assert not np.array_equal(found, changed(pipelines("sd"), picture, **{"prompt": "a cat", **other}))


@pytest.mark.parametrize("name", ["sdxl", "sd3", "flux", "pix2pix"])
def test_other_pipelines_change_pictures_too(pipelines: Pipelines, picture: Path, name: str) -> None:
    found = changed(pipelines(name), picture, prompt="a cat", resolution=32)
    assert found.shape == (40, 48, 3)
    assert np.array_equal(found, changed(pipelines(name), picture, prompt="a cat", resolution=32))


def test_an_instruction_is_followed_as_closely_as_asked(pipelines: Pipelines, picture: Path) -> None:
    first = changed(pipelines("pix2pix"), picture, prompt="a cat", image_guidance=1.0)
    assert not np.array_equal(first, changed(pipelines("pix2pix"), picture, prompt="a cat", image_guidance=3.0))
    with pytest.raises(OptionError, match="--strength: StableDiffusionInstructPix2PixPipeline takes none; leave it out"):
        changed(pipelines("pix2pix"), picture, prompt="a cat", strength=0.5)


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux"])
def test_only_what_the_mask_opens_is_changed(pipelines: Pipelines, picture: Path, tmp_path: Path, name: str) -> None:
    mask = np.zeros((40, 48, 3), np.uint8)
    mask[10:30, 8:24] = 255
    path = Image(mask).save(tmp_path / "mask.png")
    found = changed(pipelines(name), picture, prompt="a cat", mask=path, strength=1.0, resolution=32)
    own = blob(1)
    assert np.array_equal(found[mask == 0], own[mask == 0])
    assert np.abs(found[mask == 255].astype(int) - own[mask == 255]).mean() > 3


def test_an_upscaler_gives_a_larger_picture(pipelines: Pipelines) -> None:
    found = changed(pipelines("upscaler"), Image(blob(2, 16, 24), name="small.png"), prompt="sharp", steps=2)
    assert found.shape == (32, 48, 3)  # the decoder of the tiny build doubles, the real one makes it four times as large


def test_a_model_without_words_repaints(pipelines: Pipelines, picture: Path) -> None:
    little, much = (changed(pipelines("ddpm"), picture, strength=strength) for strength in (0.1, 1.0))
    assert little.shape == (40, 48, 3)
    assert np.abs(little.astype(int) - blob(1)).mean() < np.abs(much.astype(int) - blob(1)).mean()


def test_grey_stays_grey_and_transparency_stays(pipelines: Pipelines) -> None:
    clear = np.dstack([blob(3), np.arange(48, dtype=np.uint8)[None].repeat(40, 0)])
    found = changed(pipelines("sd"), Image(clear, name="clear.png"), prompt="x")
    assert np.array_equal(found[..., 3], clear[..., 3])
    assert changed(pipelines("sd"), Image(blob(3, channels=1), name="grey.png"), prompt="x").shape == (40, 48, 1)


REFUSED: list[tuple[str, dict[str, Any], type[ArtgenError], str]] = [
    ("sd", {}, OptionError, "--prompt must be given: StableDiffusionPipeline makes what a text says"),
    ("sd", {"prompt": "x", "prompts": "y"}, OptionError, "--prompt and --prompts both say what to make; give one of them"),
    ("sd", {"prompt": "x", "width": 33}, OptionError, "--width takes a multiple of 8 for .*, not 33; try 32 or 40"),
    ("sd", {"prompt": "x", "width": 8192, "height": 8192}, OptionError, r"--width and --height: at most 16,777,216 pixels in all"),
    ("sd", {"prompt": "x", "scheduler": "flow-euler"}, OptionError, r"--scheduler flow-euler: .* trained with noise; give ddim, "),
    ("sd3", {"prompt": "x", "scheduler": "ddim"}, OptionError, r"ddim: .* with flow matching; give flow-dpm\+\+, "),
    ("sd", {"prompt": "x", "offload": "model"}, OptionError, "--offload model is for a GPU, and the device is the CPU"),
    ("ddpm", {"prompt": "x"}, OptionError, "--prompt: DDPMPipeline takes none; leave it out"),
    ("ddpm", {"vae_tiling": True}, OptionError, "--vae-tiling: DDPMPipeline has no decoder that can do so; leave it out"),
    ("pixart", {"prompt": "x", "attention_slicing": True}, OptionError, "--attention-slicing: PixArtAlpha.* has no attention"),
    ("pixart", {"prompt": "x", "clip_skip": 1}, OptionError, "--clip-skip: PixArtAlphaPipeline takes none; leave it out"),
    ("pix2pix", {"prompt": "x"}, UsageError, "changes pictures and makes none from words alone; use artgen image modify"),
    ("sd", {"prompt": "x", "lora": ["a"], "lora_scale": [1, 2]}, OptionError, "--lora-scale is given 2 times and --lora 1 times"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options", "kind", "told"), REFUSED)
def test_what_a_pipeline_cannot_do_is_told(
    pipelines: Pipelines, name: str, options: dict[str, Any], kind: type[ArtgenError], told: str
) -> None:
    with pytest.raises(kind, match=told):
        made(pipelines(name), **options)


def test_what_cannot_be_changed_is_told(pipelines: Pipelines, picture: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="PixArtAlphaPipeline makes pictures and cannot change one; use artgen image generate"):
        changed(pipelines("pixart"), picture, prompt="x")
    mask = Image(blob(1, 40, 40)).save(tmp_path / "mask.png")
    with pytest.raises(UsageError, match="--mask: PixArtAlphaPipeline has no way to fill a mask; leave --mask out"):
        changed(pipelines("pixart"), picture, prompt="x", mask=mask)
    with pytest.raises(SourceError, match="40x40 has other proportions than the picture, 48x40; give one to fit"):
        changed(pipelines("sd"), picture, prompt="x", mask=mask)
    with pytest.raises(SourceError, match="the picture, 400x8, is too long and narrow for this model; cut a part out of it"):
        changed(pipelines("sd"), Image(blob(1, 8, 400), name="thread.png"), prompt="x")


def copied(pipelines: Pipelines, name: str, place: Path) -> Path:
    shutil.copytree(pipelines(name), place)
    return place


def test_pickles_code_and_other_builds_are_refused_before_anything_is_loaded(
    pipelines: Pipelines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", lambda *a, **k: pytest.fail("loaded"))
    pickled = copied(pipelines, "sd", tmp_path / "pickled")
    (pickled / "unet/diffusion_pytorch_model.safetensors").rename(pickled / "unet/diffusion_pytorch_model.bin")
    with pytest.raises(ModelError, match=r"unet/diffusion_pytorch_model\.bin are a pickle, which can run any code"):
        made(pickled, prompt="x")
    for name, change in (("own", {"unet": ["my_unet", "MyUnet"]}), ("class", {"_class_name": ["pipeline", "Mine"]})):
        folder = copied(pipelines, "sd", tmp_path / name)
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps({**index, **change}))
        (folder / "unet/my_unet.py").write_text("raise SystemExit('run')")
        with pytest.raises(ModelError, match="needs code that comes with the model, and artgen runs none"):
            made(folder, prompt="x")
    index["unet"] = ["onnxruntime", "X"]
    index["_class_name"] = "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="made for onnxruntime; give the one for PyTorch"):
        made(folder, prompt="x")


def test_what_is_no_pipeline_is_told(pipelines: Pipelines, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match="--model must be given: a folder with a pipeline of diffusers, or a name on the Hub such as"
    ):
        api.generate("image", backend="diffusers", prompt="x", seed=1, device="cpu")
    with pytest.raises(ModelError, match=r"no pipeline of diffusers \(no model_index.json\)"):
        made(tmp_path, prompt="x")
    folder = copied(pipelines, "ddpm", tmp_path / "unknown")
    (folder / "model_index.json").write_text('{"_class_name": "NoSuchPipeline", "unet": ["diffusers", "UNet2DModel"]}')
    with pytest.raises(ModelError, match=r"its pipeline NoSuchPipeline is not one of diffusers .*; update diffusers"):
        made(folder)
    cut = copied(pipelines, "ddpm", tmp_path / "cut")
    weights = cut / "unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"diffusion_pytorch_model\.safetensors: damaged"):
        made(cut)


def test_a_licence_that_forbids_commerce_is_refused_on_demand(pipelines: Pipelines, tmp_path: Path) -> None:
    folder = copied(pipelines, "ddpm", tmp_path / "nc")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    with pytest.raises(UsageError, match=r"its licence cc-by-nc-4\.0 forbids commercial use; choose another model"):
        made(folder, commercial_only=True)
    assert made(folder).shape == (16, 16, 3)
    assert made(pipelines("ddpm"), commercial_only=True).shape == (16, 16, 3)


def test_numbers_that_overflow_are_told(pipelines: Pipelines, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(pipelines, "ddpm", tmp_path / "nan")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    save_file({name: tensor * float("nan") for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(UsageError, match="its numbers became too large for its format; give --dtype bf16 or --dtype fp32"):
        made(folder)


def test_weights_of_16_bits_are_taken_where_they_are_offered(pipelines: Pipelines, tmp_path: Path) -> None:
    folder = copied(pipelines, "ddpm", tmp_path / "half")
    with borrowed():
        pipeline = DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float16)
        pipeline.save_pretrained(folder, variant="fp16", safe_serialization=True)
    found = ImageDiffusers.find_model(str(folder))
    assert (found.variant, found.bytes) == ("fp16", (folder / "unet/diffusion_pytorch_model.fp16.safetensors").stat().st_size)
    assert made(folder).shape == (16, 16, 3)


def test_a_model_of_another_backend_is_told(tmp_path: Path) -> None:
    from artgen.model import STARTERS

    with pytest.raises(ModelError, match=r"--backend diffusers, but .* is a model of image.gan; leave --backend out"):
        made(STARTERS / "watercolours")


def test_a_picture_that_the_models_own_filter_blackens_is_told(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusionPipeline

    said = list[str]()
    progress = Recording()
    progress.say = said.append  # type: ignore[method-assign]
    monkeypatch.setattr(StableDiffusionPipeline, "run_safety_checker", lambda self, image, *args: (image * 0, [True]))
    common: dict[str, Any] = {"model": pipelines("sd"), "backend": "diffusers", "device": "cpu", "progress": progress}
    api.generate("image", prompt="x", seed=5, steps=1, **common, **SIZE)
    assert said[-1] == "seed 5: the model's own filter found something not fit for all and made the picture black"


def test_another_kind_of_work_is_not_modified() -> None:
    from artgen.artwork import Text

    with pytest.raises(UsageError, match=r"the input: image\.diffusers modifies pictures, not text"):
        next(ImageDiffusers().modify(None, [Text("x")], [0], None))  # type: ignore[arg-type]
