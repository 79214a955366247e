"""Shapes from a trained generator: a shape depends on its seed alone, bit for bit; and shapes near one that a user brings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from artgen.backend import Backend, Progress
from artgen.errors import ModelError
from artgen.model import Model
from artgen_voxel import grids
from artgen_voxel.shape import Shape
from artgen_voxel.task import latents_of, to_density

MICRO_BATCH = 4
"""The network always runs on this many shapes at once, the last ones padded: then the batch cannot change the bits."""

STARTS = 32
"""Random latents of which the projection begins with the nearest."""


class Sampler:
    """A model's generator, ready to run; kept with the open model."""

    def __init__(self, model: Model, backend: Backend) -> None:
        self.network = model.config.network
        with torch.random.fork_rng(devices=[]):
            modules = backend.build(self.network)
        weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in model.tensors().items()}
        try:
            modules.load_state_dict(weights, assign=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ModelError(f"{model.folder}: config.json and weights do not belong together ({reason})") from None
        assert isinstance(modules, nn.ModuleDict)
        self.generator = modules["generator"].eval().requires_grad_(False).to(model.device)
        self.device = torch.device(model.device)

    @classmethod
    def of(cls, model: Model, backend: Backend) -> Sampler:
        """The sampler of an open model, made at its first use."""
        if "sampler" not in model.cache:
            model.cache["sampler"] = cls(model, backend)
        sampler = model.cache["sampler"]
        assert isinstance(sampler, cls)
        return sampler

    def shapes(self, seeds: Sequence[int], options: Any) -> Iterator[Shape]:
        """One shape a seed."""
        for start in range(0, len(seeds), MICRO_BATCH):
            part = seeds[start : start + MICRO_BATCH]
            latents = torch.stack([self.latent(seed) for seed in part])
            for seed, density in zip(part, self.run(self._pulled(latents, options.truncation)), strict=True):
                whole = grids.largest_piece(density) if options.pieces == "largest" else density
                yield Shape(whole, seeds=(seed,))

    def latent(self, seed: int) -> Tensor:
        """The latent [Z] of a seed."""
        generator = torch.Generator().manual_seed(seed)
        return latents_of(self.network, torch.rand(1, self.network["latent"], generator=generator))[0]

    def _pulled(self, latents: Tensor, truncation: float) -> Tensor:
        middle = 0.5 if self.network["architecture"] == "wu2016" else 0.0
        return middle + truncation * (latents - middle)

    @torch.no_grad()
    def run(self, latents: Tensor) -> NDArray[np.uint8]:
        """Densities uint8 [B, R, R, R] of up to :data:`MICRO_BATCH` latents [B, Z]."""
        missing = MICRO_BATCH - len(latents)
        full = torch.cat([latents, latents[-1:].expand(missing, -1)]) if missing else latents
        return to_density(self.generator(full.to(self.device)))[: len(latents)]

    def near(self, shape: Shape, seed: int, options: Any, progress: Progress) -> Shape:
        """A shape near the user's: found in the latent space, then moved ``options.strength`` of the way to a random one."""
        side = self.network["resolution"]
        solid = grids.fitted(grids.to_solid(shape.density), side)
        target = torch.from_numpy(solid.astype(np.float32) * 2 - 1)[None, None].to(self.device)
        latent = self._project(target, options.iterations, progress)
        other = self.latent(seed).to(self.device)[None]
        # On the sphere where the latents lie, not through its middle.
        mixed = (1 - options.strength) ** 0.5 * latent + options.strength**0.5 * other
        density = self.run(mixed.cpu())[0]
        return Shape(grids.largest_piece(density) if options.pieces == "largest" else density, seeds=(seed,))

    def _project(self, target: Tensor, iterations: int, progress: Progress) -> Tensor:
        """The latent [1, Z] whose shape is nearest to ``target`` [1, 1, R, R, R]."""
        draws = torch.Generator().manual_seed(0)
        starts = latents_of(self.network, torch.rand(STARTS, self.network["latent"], generator=draws)).to(self.device)
        with torch.no_grad():
            apart = [float((self.generator(start[None]) - target).square().mean()) for start in starts]
        latent = starts[int(np.argmin(apart))][None].clone().requires_grad_(True)
        optimizer = torch.optim.Adam([latent], lr=0.05)
        progress.start("looking for the shape", iterations, "steps")
        with torch.enable_grad():
            for _ in range(iterations):
                loss = (self.generator(latent) - target).square().mean() + 1e-4 * latent.square().mean()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                progress.advance()
        progress.finish()
        return latent.detach()
