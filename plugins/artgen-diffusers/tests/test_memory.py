"""Memory and number formats: switches really switched, parts that wait elsewhere, what will not fit told before it is loaded."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import SIZE, Pipelines, made

from artgen import api
from artgen.errors import UsageError
from artgen.hub import HubModel, memory
from artgen_diffusers import loading
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.image import ImageDiffusers
from artgen_diffusers.options import Generate


@pytest.mark.parametrize("switch", ["attention_slicing", "vae_slicing", "vae_tiling"])
def test_a_switch_of_memory_leaves_the_picture_as_it_is(pipelines: Pipelines, switch: str) -> None:
    plain = made(pipelines("sd"), prompt="a red cat", **SIZE)
    found = made(pipelines("sd"), prompt="a red cat", **SIZE, **{switch: True})
    assert np.abs(plain.astype(int) - found).max() <= 1


def test_the_switches_of_memory_are_switched(pipelines: Pipelines) -> None:
    common: dict[str, Any] = {"backend": "diffusers", "prompt": "x", "steps": 1, "seed": 1, "device": "cpu", **SIZE}
    for on in (False, True):
        model = ImageDiffusers.find_model(str(pipelines("sd")))
        api.generate("image", model=model, attention_slicing=on, vae_slicing=on, vae_tiling=on, **common)
        pipeline = cast(dict[str, Any], model.cache["turned"])["generate"]
        assert (pipeline.vae.use_slicing, pipeline.vae.use_tiling) == (on, on)
        kinds = {type(processor).__name__ for processor in pipeline.unet.attn_processors.values()}
        assert (kinds == {"SlicedAttnProcessor"}) is on


@pytest.mark.parametrize("offload", ["none", "model", "sequential"])
def test_offloaded_parts_wait_in_main_memory_and_change_nothing(pipelines: Pipelines, offload: Any) -> None:
    """The hooks themselves, with another CPU in the place of the GPU; test_gpu.py has the same with one."""
    with borrowed():
        pipeline = loading.from_folder(cast(HubModel, ImageDiffusers.find_model(str(pipelines("sd")))), torch.float32)
        loading._switch(pipeline, "cpu" if offload == "none" else "cpu:0", Generate(offload=offload))
        pipeline.set_progress_bar_config(disable=True)
        assert pipeline.unet.conv_in.weight.is_meta is (offload == "sequential")
        assert hasattr(pipeline.unet, "_hf_hook") is (offload != "none")
        if offload == "sequential":  # which has no CPU to come back to from itself
            parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
            assert all(weight.is_meta for part in parts for weight in part.parameters())
            return
        values: dict[str, Any] = {"num_inference_steps": 2, "generator": torch.Generator().manual_seed(7), **SIZE}
        found = np.asarray(pipeline("a red cat", **values).images[0])
    assert np.array_equal(found, made(pipelines("sd"), prompt="a red cat", **SIZE))


@pytest.mark.parametrize(
    ("offload", "dtype", "share", "told"),
    [
        ("none", torch.float32, "whole", "on cuda:0, and .* free; give --offload model or --dtype fp16"),
        ("none", torch.float16, "half", "on cuda:0, and .* free; give --offload model or --dtype fp16"),
        ("model", torch.float32, "part", "on cuda:0, and .* free; give --offload sequential"),
        ("sequential", torch.float32, "nothing", ""),
    ],
)
def test_each_way_to_offload_asks_the_gpu_for_its_share(
    pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch, offload: Any, dtype: torch.dtype, share: str, told: str
) -> None:
    model = cast(HubModel, ImageDiffusers.find_model(str(pipelines("sd"))))
    parts: dict[str, int] = {}
    for path in pipelines("sd").glob("*/*.safetensors"):
        parts[path.parent.name] = memory.loaded_bytes([path], 4)
    whole = sum(parts.values())
    needed = round({"whole": whole, "half": whole / 2, "part": max(parts.values()), "nothing": 0}[share] * 1.1)
    for free in (needed + 100, needed - 1000):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: 10**12 if device == "cpu" else free)
        if free > needed or not told:
            loading._require_fit(model, Generate(offload=offload), dtype, "cuda:0")
        else:
            with pytest.raises(UsageError, match=told):
                loading._require_fit(model, Generate(offload=offload), dtype, "cuda:0")
    if offload != "none":  # all of it waits in main memory
        monkeypatch.setattr(memory, "free_memory", lambda device: round(whole * 1.1) - 1000 if device == "cpu" else 10**12)
        with pytest.raises(UsageError, match=r"on cpu, and .* free; give --dtype bf16 or a smaller model"):
            loading._require_fit(model, Generate(offload=offload), dtype, "cuda:0")


@pytest.mark.parametrize(
    ("dtype", "expected"), [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_weights_have_the_number_format_that_is_asked_for(pipelines: Pipelines, dtype: Any, expected: torch.dtype) -> None:
    model = ImageDiffusers.find_model(str(pipelines("sd")))
    common: dict[str, Any] = {"model": model, "backend": "diffusers", "prompt": "x", "seed": 1, "steps": 1, "device": "cpu", **SIZE}
    api.generate("image", dtype=dtype, **common)
    assert {weight.dtype for weight in cast(Any, model.cache["whole"]).unet.parameters()} == {expected}


def test_a_pipeline_that_ends_in_numpy_has_no_bf16(pipelines: Pipelines) -> None:
    assert made(pipelines("ddpm"), dtype="fp16").shape == (16, 16, 3)
    with pytest.raises(UsageError, match="ddpm: this pipeline cannot give its work out in bf16; give --dtype fp16 or fp32"):
        made(pipelines("ddpm"), dtype="bf16")
    model = ImageDiffusers.find_model(str(pipelines("ddpm")))
    assert loading.dtype_of(Generate(), model, "cuda:0") is torch.float16


def test_what_does_not_fit_is_told_before_it_is_loaded(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 50_000)
    with pytest.raises(UsageError, match=r"sd needs 0\.\d+ GB on cpu, and 5e-05 GB are free; give --dtype bf16 or a smaller model"):
        made(pipelines("sd"), prompt="x")


def test_a_gpu_whose_memory_is_short_is_told_what_to_give(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*args: Any, **values: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("diffusers.UNet2DModel.forward", short)
    with pytest.raises(
        UsageError, match="ddpm: the memory of the GPU is not enough; give --offload model, --vae-tiling, --dtype fp16"
    ):
        made(pipelines("ddpm"))
