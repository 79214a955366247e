"""Training a DDPM from scratch: a U-Net learns to tell the noise in a noisy picture (Ho et al. 2020, algorithm 1)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMPipeline, UNet2DModel
from torch import Tensor
from torch.nn import functional as F

from artgen.artwork import Image, grid
from artgen.dataset import Dataset
from artgen.errors import DatasetError
from artgen.model import Model
from artgen.nn.pixels import to_pixels, to_signal
from artgen.training.schedule import warm_up
from artgen.training.task import Batch, Phase, Position, Task
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.scratch import built, network_of, scheduler_of

if TYPE_CHECKING:
    from artgen_diffusers.options import Train

HELD = 16
"""Every sixteenth picture is never trained on; it measures the loss."""

LEARNING_RATE = 2e-4
WARM_UP = 5000
LOOK_STEPS = 20
LOOK_AT = 8


class DdpmTask(Task):
    """The mean square of what is missed of the noise, at a noise level that is drawn anew for every picture."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"held_out_loss": "lower"}

    def __init__(self, dataset: Dataset, options: Train) -> None:
        super().__init__()
        height, width, channels = dataset.array("images").shape[1:]
        if height != width or channels != 3:
            raise DatasetError(
                f"{dataset.folder}: pictures of {width}x{height} in {channels} channels; squares in colour are needed"
            )
        self.options = options
        self.network = {"kind": "ddpm", "unet": network_of(height, options.preset)}
        self.unet: UNet2DModel = built(self.network).get_submodule("unet")
        self.averaged = {"unet": self.unet}
        self.noise = scheduler_of()
        rate = options.learning_rate or LEARNING_RATE
        self.phases = (
            Phase("noise", list(self.unet.parameters()), _adamw, lambda at: rate * warm_up(at.seen, min(WARM_UP, at.total // 10))),
        )

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Pictures as signals [b, 3, H, W]; a held-out picture gives way to the next one."""
        chosen = np.asarray(indices)
        chosen = np.where(chosen % HELD == 0, (chosen + 1) % len(dataset), chosen) if len(dataset) > HELD else chosen
        return {"pictures": to_signal(torch.from_numpy(dataset.array("images")[chosen]))}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean square of the noise that the network misses."""
        pictures = batch["pictures"]
        if self.options.mirror:
            pictures = torch.where(batch.uniform(1, 1, 1) < 0.5, pictures.flip(3), pictures)
        steps = (batch.uniform() * self.noise.config.num_train_timesteps).long()
        return {"loss": self._missed(pictures, batch.normal(*pictures.shape[1:]), steps)}

    def half_life(self, position: Position) -> float:
        """A fiftieth of the plan, shorter at the beginning."""
        return min(0.05 * position.seen, self.options.ema * position.total)

    def look_cost(self, size: int) -> float:
        """A look is twenty steps forward for eight pictures; a step of training is about three for a batch."""
        return LOOK_STEPS * LOOK_AT / (3 * size)

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """The loss on the held-out pictures, with the same noise every time."""
        held = np.arange(0, len(dataset), HELD)[:64]
        pictures = to_signal(torch.from_numpy(dataset.array("images")[held]))
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(pictures.shape, generator=generator)
        steps = torch.linspace(1, self.noise.config.num_train_timesteps - 1, len(held)).long()
        device = self.unet.device
        return {"held_out_loss": float(self._missed(pictures.to(device), noise.to(device), steps.to(device)))} if names else {}

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Image]:
        """Eight pictures from the same noise every time, in twenty steps."""
        scheduler = DDIMScheduler.from_config(self.noise.config)
        scheduler.set_timesteps(LOOK_STEPS)
        edge = self.unet.config.sample_size
        sample = torch.randn((LOOK_AT, 3, edge, edge), generator=torch.Generator().manual_seed(0)).to(self.unet.device)
        for step in scheduler.timesteps:
            sample = scheduler.step(self.unet(sample, step).sample, step, sample).prev_sample
        yield grid([Image(pixels) for pixels in to_pixels(sample)], 4, 2)

    def _missed(self, pictures: Tensor, noise: Tensor, steps: Tensor) -> Tensor:
        noisy = self.noise.add_noise(pictures, noise, steps)
        return F.mse_loss(self.unet(noisy, steps).sample.float(), noise)


def export(model: Model, folder: Path) -> None:
    """Leave a trained model in ``folder`` as a pipeline of diffusers, which knows nothing of artgen."""
    from artgen_diffusers.image import ImageDiffusers

    unet: Any = model.network(ImageDiffusers()).get_submodule("unet")
    with borrowed():
        temporary = folder.with_name(f".tmp-{folder.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        DDPMPipeline(unet=unet, scheduler=scheduler_of()).save_pretrained(temporary, safe_serialization=True)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)


def _adamw(parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, weight_decay=0.01, fused=parameters[0].device.type in ("cpu", "cuda"))
