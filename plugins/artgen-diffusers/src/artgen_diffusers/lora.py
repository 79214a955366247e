"""Training a LoRA for a text-to-image pipeline on captioned pictures (Hu et al. 2021), saved as diffusers reads it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from artgen.artwork import Image
from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset
from artgen.errors import DatasetError
from artgen.hub import HubModel, memory, require_memory
from artgen.nn.pixels import to_signal
from artgen.training.schedule import warm_up
from artgen.training.task import Batch, Phase, Position, Task
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.families import Condition, family_of
from artgen_diffusers.loading import from_folder, told
from artgen_diffusers.places import pipeline_at

if TYPE_CHECKING:
    from artgen_diffusers.options import Train

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The projections of every attention."""

LEARNING_RATE = 1e-4
WARM_UP = 200
LOOK_STEPS = 20
MOST_KEPT = 2**30
"""Bytes of encoded captions that are kept."""


def base_of(options: Train, device: str, progress: Progress = SILENT) -> HubModel:
    """The pipeline to train for, its licence shown, what fits checked, and fetched.

    Raises:
        ModelError: there is none, or it is refused.
        UsageError: its licence is refused, or it does not fit.
    """
    assert options.model is not None
    model = pipeline_at(options.model, "image.diffusers")
    model.accept(progress, commercial_only=options.commercial_only)
    model.fetch(progress)
    needed = memory.loaded_bytes([model.folder / name for name in model.needed if name.endswith(".safetensors")], 4)
    require_memory(round(needed * 1.2), device, f"training for {model.name}", "choose a smaller model")
    return model


class LoraTask(Task):
    """Everything of the pipeline is frozen; beside each projection of attention a product of two thin matrices learns."""

    def __init__(self, dataset: Dataset, options: Train, base: HubModel | None = None) -> None:
        super().__init__()
        base = base or base_of(options, "cpu")
        self.options, self.licence = options, base.config.licence
        self.captions = _captions(dataset, options)
        with borrowed(), told(base.name):
            pipeline = from_folder(base, torch.float32)
        self._frozen = _Shared(family_of(pipeline))
        self.denoiser = [self._frozen.family.network]  # in a list: a part of the task would go into every saved state
        self._at = torch.device("cpu")
        self._condition: dict[int, Condition] = {}
        modules = self._inject(options.rank)
        self.lora = nn.ModuleList(modules.values())
        self.averaged = modules
        kind = type(pipeline).__name__
        self.network = {"kind": "lora", "base": base.place, "base_path": str(base.folder), "class": kind, "rank": options.rank}
        rate = options.learning_rate or LEARNING_RATE
        self.phases = (Phase("lora", list(self.lora.parameters()), _adamw, lambda at: rate * warm_up(at.seen, WARM_UP)),)

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Pictures as signals [b, 3, H, W], and their numbers [b], by which the captions are found."""
        chosen = np.asarray(indices)
        return {"pictures": to_signal(torch.from_numpy(dataset.array("images")[chosen])), "numbers": torch.from_numpy(chosen)}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean square of what the network misses of noise or flow."""
        family = self._placed(batch.device)
        pictures = batch["pictures"]
        if self.options.mirror:
            pictures = torch.where(batch.uniform(1, 1, 1) < 0.5, pictures.flip(3), pictures)
        shape = self._shape(pictures)
        latents = family.latents(pictures, batch.normal(*shape))
        condition = self._conditions(batch["numbers"].tolist(), batch.device)
        return {"loss": family.loss(latents, batch.normal(*shape), batch.uniform(), condition)}

    def look_cost(self, size: int) -> float:
        """A look is twenty steps forward for two passes; a step of training is about two for a batch."""
        return LOOK_STEPS / size

    def preview(self, dataset: Dataset) -> Iterator[Image]:
        """The first caption as the pipeline draws it now, from the same noise every time."""
        device = next(self.lora.parameters()).device
        pipeline = self._placed(device).pipeline
        pipeline.set_progress_bar_config(disable=True)
        height, width = dataset.array("images").shape[1:3]
        with borrowed(), told("preview"), torch.no_grad():
            made = pipeline(
                prompt=self.captions[0], num_inference_steps=LOOK_STEPS, height=height, width=width, output_type="np",
                generator=torch.Generator().manual_seed(0),
            ).images[0]  # fmt: skip
        yield Image((made * 255).round().clip(0, 255).astype(np.uint8))

    def __deepcopy__(self, memo: dict[int, Any]) -> LoraTask:
        """A copy with matrices of its own that shares what is frozen: several gigabytes, of large pipelines."""
        learned = {id(parameter) for parameter in self.lora.parameters()}
        for tensor in (*self.denoiser[0].parameters(), *self.denoiser[0].buffers()):
            if id(tensor) not in learned:
                memo[id(tensor)] = tensor
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__ = {name: copy.deepcopy(value, memo) for name, value in self.__dict__.items()}
        return twin

    def _inject(self, rank: int) -> dict[str, nn.Module]:
        """Put the matrices into the network; returns them by the names that diffusers gives them in a file."""
        from peft import LoraConfig
        from peft.tuners.lora import LoraLayer

        network = self.denoiser[0].requires_grad_(False)
        with borrowed(torch.initial_seed() % 2**31):  # the seed of the run
            network.add_adapter(LoraConfig(r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=list(TARGETS)))
        part, found = self._frozen.family.part, {}
        for name, module in network.named_modules():
            if isinstance(module, LoraLayer):
                found[f"{part}.{name}.lora_A"] = module.lora_A["default"]
                found[f"{part}.{name}.lora_B"] = module.lora_B["default"]
        return found

    def _placed(self, device: torch.device) -> Any:
        """The frozen family on ``device``, around the network that holds our matrices."""
        family = copy.copy(self._frozen.family)
        family.network = self.denoiser[0]
        if self._at != device:
            # Frozen weights need no 32 bits where the loop computes in 16.
            dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
            for part in (*family.pipeline.components.values(), family.network):
                if isinstance(part, nn.Module):
                    _move(part, device, dtype)
            self._at = device
        return family

    def _shape(self, pictures: Tensor) -> tuple[int, int, int]:
        family = self._frozen.family
        factor = 2 ** (len(family.vae.config.block_out_channels) - 1)
        return family.vae.config.latent_channels, pictures.shape[2] // factor, pictures.shape[3] // factor

    def _conditions(self, numbers: Sequence[int], device: torch.device) -> Condition:
        """The encoded captions of the pictures ``numbers``, each encoded alone, so that a batch does not change them."""
        found = [self._encoded(number, device) for number in numbers]
        return {name: torch.cat([one[name] for one in found]) for name in found[0]}

    def _encoded(self, number: int, device: torch.device) -> Condition:
        known = self._condition.get(number)
        if known is None:
            with borrowed():
                known = {name: tensor.float() for name, tensor in self._frozen.family.encode(self.captions[number], device).items()}
            size = sum(tensor.nbytes for tensor in known.values())
            if size * (len(self._condition) + 1) <= MOST_KEPT:
                self._condition[number] = known
        return known


class _Shared:
    """Holds what is the same for every copy of the task."""

    def __init__(self, family: Any) -> None:
        self.family = family

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self


def _move(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Move ``module`` to ``device``, all but what learns in ``dtype``; parameters stay the objects that they are."""
    for name, parameter in module.named_parameters():
        parameter.data = parameter.data.to(device, parameter.dtype if "lora_" in name else dtype)
    for part in module.modules():
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = buffer.to(device, dtype if buffer.is_floating_point() else buffer.dtype)


def _captions(dataset: Dataset, options: Train) -> list[str]:
    """A caption for every picture.

    Raises:
        DatasetError: there are none.
    """
    captions = dataset.captions
    if captions is None and options.caption is None:
        raise DatasetError(
            f"{dataset.folder}: its pictures have no captions; give --caption 'in the style of ...' for all, "
            "or prepare them with a .txt beside each or a metadata file"
        )
    return [caption or options.caption or "" for caption in captions or [""] * len(dataset)]


def _adamw(parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, weight_decay=0.01, fused=parameters[0].device.type in ("cpu", "cuda"))
