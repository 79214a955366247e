"""What one training step of ``shape.gan3d`` computes, and the networks it trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artgen.artwork import Image
from artgen.errors import DatasetError
from artgen.nn.adversarial import cross_entropy, relativistic
from artgen.nn.classic3d import ClassicDiscriminator, ClassicGenerator
from artgen.training.adversarial import Places, adam, classic_adam, penalised, schedule
from artgen.training.task import Batch, Phase, Position, Task
from artgen_voxel import measures, render

if TYPE_CHECKING:
    from artgen.dataset import Dataset
    from artgen_voxel.backend import Gan3d

# B batch, R resolution, Z latent size

LATENT = {"modern": 128, "wu2016": 200}
WIDTHS = {"sketch": 16, "standard": 32, "large": 64}
GAMMA = 2.0
SURE = 0.8
"""The classic discriminator rests while it is right more often than this."""

PREVIEW = 12
MEASURED = 128
CHUNK = 16


def build(config: dict[str, Any]) -> nn.ModuleDict:
    """A module with ``generator`` and ``discriminator`` of the ``network`` part of a model's config.json."""
    side, modern = config["resolution"], config["architecture"] == "modern"
    shape = {"width": config["width"], "channels": 1}
    generator = ClassicGenerator(side, side, latent=config["latent"], norm="group" if modern else "batch", **shape)
    return nn.ModuleDict(
        {"generator": generator, "discriminator": ClassicDiscriminator(side, side, norm="none" if modern else "batch", **shape)}
    )


class SolidTask(Task):
    """What both architectures share: voxels in, a sheet of views and a measure out."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"one_nna": "lower"}

    def __init__(self, dataset: Dataset, options: Gan3d.Train) -> None:
        super().__init__()
        voxels = dataset.array("voxels")
        if voxels.ndim != 4 or len(set(voxels.shape[1:])) > 1 or voxels.shape[1] not in (32, 64):
            raise DatasetError(f"{dataset.folder}: voxels {list(voxels.shape[1:])}; gan3d learns cubes of 32 or 64")
        self.options = options
        self.network = {
            "architecture": options.architecture, "resolution": int(voxels.shape[1]), "latent": LATENT[options.architecture],
            "width": WIDTHS["large" if options.architecture == "wu2016" else options.preset],
        }  # fmt: skip
        modules = build(self.network)
        self.generator, self.discriminator = modules["generator"], modules["discriminator"]
        self.averaged = {"generator": self.generator}
        self.kept = {"discriminator": self.discriminator}  # type: ignore[misc]  # its own

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Solids as bytes [b, 1, R, R, R]."""
        return {"voxels": torch.from_numpy(dataset.array("voxels")[np.asarray(indices)])[:, None]}

    def real(self, batch: Batch) -> Tensor:
        """The solids of a batch in -1..1, some of them mirrored left to right."""
        solids = batch["voxels"].float() * 2 - 1
        flip = (batch.uniform() < 0.5) & torch.tensor(self.options.mirror, device=solids.device)
        return torch.where(flip[:, None, None, None, None], solids.flip(2), solids)

    @torch.no_grad()
    def densities(self, count: int, seed: int) -> NDArray[np.uint8]:
        """``count`` densities uint8 [N, R, R, R] from fixed latents, with the weights that are in place."""
        draws = torch.Generator().manual_seed(seed)
        device = next(self.parameters()).device
        parts = []
        for start in range(0, count, CHUNK):
            latents = self.latents(torch.rand(min(CHUNK, count - start), self.network["latent"], generator=draws)).to(device)
            parts.append(to_density(self.generator(latents)))
        return np.concatenate(parts)

    def latents(self, uniform: Tensor) -> Tensor:
        """Latents [B, Z] from numbers in 0..1 [B, Z]."""
        return latents_of(self.network, uniform)

    def preview(self, dataset: Dataset) -> Iterator[Image]:
        """A row of real shapes above two of generated ones."""
        shown = np.linspace(0, len(dataset) - 1, 6).astype(int)
        real = [np.asarray(dataset.array("voxels")[number]) * np.uint8(255) for number in shown]
        yield Image(render.sheet([*real, *self.densities(PREVIEW, 0)], size=64))

    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """How well a nearest neighbour tells generated shapes from real ones, beyond chance: 0 is the best, 0.5 the worst."""
        count = min(MEASURED, len(dataset))
        rows = np.sort(np.random.default_rng(0).permutation(len(dataset))[:count])
        found = measures.one_nna(dataset.array("voxels")[rows] > 0, self.densities(count, 1) > 127)
        return {"one_nna": found} if "one_nna" in names and np.isfinite(found) else {}


class ModernTask(SolidTask):
    """Pairs of a real and a generated solid, with penalties on the gradient instead of a discriminator that rests.

    Source: Huang et al. 2024, "The GAN is dead; long live the GAN!", sections 2 and 3.
    """

    def __init__(self, dataset: Dataset, options: Gan3d.Train) -> None:
        super().__init__(dataset, options)
        rate = 1e-3 if options.learning_rate is None else options.learning_rate
        self.gamma = GAMMA if options.gamma is None else options.gamma
        self.phases = (
            Phase("discriminator", list(self.discriminator.parameters()), adam, lambda at: schedule(at, rate)),
            Phase("generator", list(self.generator.parameters()), adam, lambda at: schedule(at, rate)),
        )

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The relativistic losses; for the discriminator with the penalties."""
        real, latents = self.real(batch), self.latents(batch.uniform(self.network["latent"]))
        if phase == "generator":
            with torch.no_grad():
                ahead = self.discriminator(real)
            return {"loss": relativistic(self.discriminator(self.generator(latents)), ahead)}
        with torch.no_grad():
            fake = self.generator(latents).to(real.dtype)
        places = Places.of(batch, 4)
        logits, penalty = penalised(lambda items, rows: self.discriminator(items), torch.cat([real, fake]), places, batch)
        on_real, on_fake = logits.chunk(2)
        loss = relativistic(on_real, on_fake)
        ahead = (on_real > on_fake).float().mean()
        return {"loss": loss + self.gamma / 2 * penalty, "adversarial": loss.detach(), "penalty": penalty.detach(), "ahead": ahead}

    def half_life(self, position: Position) -> float:
        """A share of the plan, shorter at the beginning."""
        return min(0.05 * position.seen, self.options.ema * position.total)


class WuTask(SolidTask):
    """The recipe of the paper: cross-entropy, a much slower discriminator that rests while it is too sure, uniform latents.

    Source: Wu et al. 2016, "Learning a Probabilistic Latent Space of Object Shapes via 3D Generative-Adversarial Modeling", 3.1.
    """

    right: Tensor

    def __init__(self, dataset: Dataset, options: Gan3d.Train) -> None:
        super().__init__(dataset, options)
        rate = 2.5e-3 if options.learning_rate is None else options.learning_rate
        self.register_buffer("right", torch.zeros(()))
        self.phases = (
            Phase("discriminator", list(self.discriminator.parameters()), classic_adam, lambda at: rate / 250),
            Phase("generator", list(self.generator.parameters()), classic_adam, lambda at: rate),
        )

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """Cross-entropy towards the right label, or for the generator towards the wrong one."""
        latents = self.latents(batch.uniform(self.network["latent"]))
        if phase == "generator":
            return {"loss": cross_entropy(self.discriminator(self.generator(latents)), True)}
        real = self.real(batch)
        with torch.no_grad():
            fake = self.generator(latents)
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        loss = cross_entropy(on_real, True) + cross_entropy(on_fake, False)
        right = ((on_real > 0).float().mean() + (on_fake < 0).float().mean()) / 2
        return {"loss": loss * (self.right <= SURE), "adversarial": loss.detach(), "right": right}

    def after(self, phase: str, numbers: dict[str, Tensor], position: Position, size: int) -> None:
        """Remember how often the discriminator was right in this batch."""
        if phase == "discriminator":
            self.right.copy_(numbers["right"])


def make_task(dataset: Dataset, options: Gan3d.Train) -> SolidTask:
    """The task of the architecture that is asked for.

    Raises:
        DatasetError: the voxels are of no size that the networks can be built for.
    """
    return (ModernTask if options.architecture == "modern" else WuTask)(dataset, options)


def latents_of(network: dict[str, Any], uniform: Tensor) -> Tensor:
    """Latents [B, Z] from numbers in 0..1: normal ones, or as the paper has them uniform in 0..1."""
    if network["architecture"] == "wu2016":
        return uniform
    return torch.erfinv((uniform * 2 - 1).clamp(-0.999999, 0.999999)) * 2**0.5


def to_density(solids: Tensor) -> NDArray[np.uint8]:
    """Solids [B, 1, R, R, R] in -1..1 as densities uint8 [B, R, R, R]."""
    found = ((solids[:, 0].float() + 1) * 127.5).round().clamp(0, 255)
    return np.asarray(found.to(torch.uint8).cpu().numpy())
