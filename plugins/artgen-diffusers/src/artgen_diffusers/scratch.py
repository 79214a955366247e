"""Denoising diffusion from scratch: a small U-Net for pictures, trained by artgen, run by diffusers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DiffusionPipeline, ImagePipelineOutput, UNet2DModel
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor, nn

from artgen.backend import Backend
from artgen.model import Model

STEPS = 50
"""Steps of a picture when ``--steps`` does not say; DDIM needs no more."""

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"block_out_channels": [16, 32], "attention_at": 1, "layers_per_block": 1},
    "small": {"block_out_channels": [64, 128, 192], "attention_at": 2, "layers_per_block": 2},
}


def network_of(resolution: int, preset: str) -> dict[str, Any]:
    """What builds the U-Net for square pictures of ``resolution`` pixels."""
    size = SIZES[preset]
    widths, attention = size["block_out_channels"], size["attention_at"]
    down = ["AttnDownBlock2D" if level >= attention else "DownBlock2D" for level in range(len(widths))]
    up = [kind.replace("Down", "Up") for kind in reversed(down)]
    return {
        "sample_size": resolution, "in_channels": 3, "out_channels": 3, "block_out_channels": widths, "down_block_types": down,
        "up_block_types": up, "layers_per_block": size["layers_per_block"], "norm_num_groups": 8, "attention_head_dim": 8,
    }  # fmt: skip


def scheduler_of() -> DDPMScheduler:
    """The noise of training: 1000 steps of a cosine schedule (Nichol and Dhariwal 2021), the noise predicted."""
    return DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")


def built(config: dict[str, Any]) -> nn.Module:
    """The U-Net that the ``network`` part of a model describes, as ``unet``: the name its weights have in a model."""
    return nn.ModuleDict({"unet": UNet2DModel(**config["unet"])})


def pipeline_of(model: Model, dtype: torch.dtype) -> Any:
    """The pipeline of a model that artgen trained from scratch."""
    from artgen_diffusers.image import ImageDiffusers

    backend: Backend = ImageDiffusers()
    network = model.network(backend)
    unet = network.get_submodule("unet").to(dtype)
    return Painting(unet=unet, scheduler=DDIMScheduler.from_config(scheduler_of().config))


class Painting(DiffusionPipeline):  # type: ignore[misc]  # diffusers has no types
    """Pictures from noise: like diffusers' own DDIMPipeline, in as many steps as a laptop has patience for."""

    model_cpu_offload_seq = "unet"

    def __init__(self, unet: UNet2DModel, scheduler: Any) -> None:
        super().__init__()
        self.register_modules(unet=unet, scheduler=scheduler)

    @torch.no_grad()
    def __call__(
        self, num_inference_steps: int = STEPS, generator: torch.Generator | None = None, output_type: str = "np"
    ) -> ImagePipelineOutput:
        """A picture in ``num_inference_steps``; ``output_type`` is always an array."""
        edge = self.unet.config.sample_size
        shape = (1, self.unet.config.in_channels, edge, edge)
        noise = randn_tensor(shape, generator=generator, device=self._execution_device, dtype=self.unet.dtype)
        self.scheduler.set_timesteps(num_inference_steps)
        return _denoised(self, noise, self.scheduler.timesteps, generator)


class Repainting(Painting):
    """A picture changed by a model that knows no words: noise is laid on it and taken off again (SDEdit, Meng et al. 2022)."""

    @torch.no_grad()
    def __call__(  # type: ignore[override]
        self, image: Any, strength: float = 0.5, num_inference_steps: int = STEPS, generator: torch.Generator | None = None,
        output_type: str = "np",
    ) -> ImagePipelineOutput:  # fmt: skip
        """``image`` (of Pillow) painted anew: ``strength`` 0 keeps all of it, 1 nothing."""
        edge, device, dtype = self.unet.config.sample_size, self._execution_device, self.unet.dtype
        pixels = np.asarray(image.convert("RGB").resize((edge, edge)), np.float32) / 127.5 - 1
        signal = torch.from_numpy(pixels).permute(2, 0, 1)[None].to(device, dtype)
        self.scheduler.set_timesteps(num_inference_steps)
        steps = self.scheduler.timesteps[len(self.scheduler.timesteps) - max(1, round(strength * num_inference_steps)) :]
        noise = randn_tensor(signal.shape, generator=generator, device=device, dtype=dtype)
        return _denoised(self, self.scheduler.add_noise(signal, noise, steps[:1]), steps, generator)


def _denoised(pipeline: Painting, sample: Tensor, steps: Tensor, generator: torch.Generator | None) -> ImagePipelineOutput:
    import inspect

    takes = inspect.signature(pipeline.scheduler.step).parameters
    more = {"generator": generator} if "generator" in takes else {}
    for step in pipeline.progress_bar(steps):
        scaled = pipeline.scheduler.scale_model_input(sample, step)
        sample = pipeline.scheduler.step(pipeline.unet(scaled, step).sample, step, sample, **more).prev_sample
    pictures = sample.float().div(2).add(0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
    return ImagePipelineOutput(images=pictures)
