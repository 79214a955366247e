"""On a CUDA device: number formats, offloading, what does not fit, training; each has a sister for the CPU in the other files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import blob
from safetensors.torch import load_file

from artgen import api
from artgen.artwork import Image
from artgen.errors import UsageError
from artgen.hub import memory
from artgen_diffusers.image import ImageDiffusers

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

Pipelines = Callable[[str], Path]
FORMATS = {"sd": torch.float16, "sdxl": torch.float16, "sd3": torch.bfloat16, "flux": torch.bfloat16, "ddpm": torch.float16}


def made(model: Any, device: str = "cuda", seed: int = 7, **options: Any) -> np.ndarray:
    return api.generate("image", model=model, backend="diffusers", seed=seed, device=device, steps=2, **options)[0].numpy()


def words(name: str) -> dict[str, Any]:
    return {} if name == "ddpm" else {"prompt": "a red cat", "width": 32, "height": 32}


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_gpu_gets_16_bits_and_the_noise_of_the_cpu(pipelines: Pipelines, name: str) -> None:
    model = ImageDiffusers.find_model(str(pipelines(name)))
    found = made(model, **words(name))
    whole = cast(Any, model.cache["whole"])
    part = getattr(whole, "unet", None) or whole.transformer
    assert (part.dtype, part.device.type) == (FORMATS[name], "cuda")
    assert np.array_equal(found, made(model, **words(name)))
    full = made(pipelines(name), dtype="fp32", **words(name))
    on_cpu = made(pipelines(name), device="cpu", **words(name))
    assert np.abs(full.astype(int) - on_cpu).mean() < 2  # the same noise; TensorFloat-32 and other kernels change little
    assert np.abs(found.astype(int) - on_cpu).mean() < 8


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_leaves_the_picture_as_it_is(pipelines: Pipelines, offload: str) -> None:
    plain = made(pipelines("sd"), **words("sd"))
    assert np.array_equal(plain, made(pipelines("sd"), offload=offload, **words("sd")))


def test_what_does_not_fit_on_the_gpu_is_told(pipelines: Pipelines, monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.free_memory("cuda:0") > 2**28
    monkeypatch.setattr(memory, "free_memory", lambda device: 10**12 if device == "cpu" else 60_000)
    with pytest.raises(UsageError, match=r"sd needs .* on cuda:0, and 6e-05 GB are free; give --offload model or --dtype fp16"):
        made(pipelines("sd"), **words("sd"))
    with pytest.raises(UsageError, match="give --offload sequential"):
        made(pipelines("sd"), offload="model", **words("sd"))
    assert made(pipelines("sd"), offload="sequential", **words("sd")).shape == (32, 32, 3)


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_a_lora_learns_and_goes_on_exactly(pipelines: Pipelines, tmp_path: Path, precision: str) -> None:
    for number in range(8):
        Image(blob(number, 32, 32)).save(tmp_path / "pictures" / f"{number}.png")
    data = api.prepare("image", tmp_path / "pictures", tmp_path / "set", backend="diffusers", resolution=32, workers=1)
    common: dict[str, Any] = {
        "backend": "diffusers", "device": "cuda", "model": pipelines("sd"), "caption": "a blob", "batch_size": 4, "previews": 1,
        "precision": precision, "best_by": "none", "save_steps": 3,
    }  # fmt: skip
    whole = api.train("image", data.folder, tmp_path / "whole", steps=6, **common)
    if precision == "auto":
        return  # two measurements may choose differently
    api.train("image", data.folder, tmp_path / "cut", steps=3, **common)
    resumed = api.train("image", output=tmp_path / "cut", resume=True, steps=6, device="cuda")
    first, second = (load_file(model.folder / "model.safetensors") for model in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.isfinite(tensor).all() for tensor in first.values())
    assert api.generate("image", model=tmp_path / "whole", prompt="x", seed=1, steps=2, device="cuda")[0].numpy().std() > 0
