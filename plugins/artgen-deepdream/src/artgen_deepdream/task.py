"""Training the network that the package brings: to tell the classes of a dataset of pictures apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.artwork import Image, grid
from artgen.dataset import Dataset
from artgen.errors import DatasetError
from artgen.nn.augment import DRAWS, augment
from artgen.nn.pixels import to_pixels, to_signal
from artgen.training.schedule import cosine, warm_up
from artgen.training.task import Batch, Phase, Position, Task
from artgen_deepdream.network import Eye, StandardConv

if TYPE_CHECKING:
    from artgen_deepdream.options import Train

HELD = 16
"""Every sixteenth picture is never trained on; it measures the accuracy."""

WIDTHS = {
    "tiny": [[8], [16], [16], [24]],
    "small": [[16], [48], [96, 144], [224, 288, 352], [480, 640]],
}

WARM_UP = 3000
SMOOTHING = 0.1
DECAY = 0.02


class ClassifierTask(Task):
    """Cross-entropy over the classes, on random cuts of augmented pictures; every class weighs the root of its size."""

    metrics: ClassVar[dict[str, Literal["lower", "higher"]]] = {"accuracy": "higher", "held_out_loss": "lower"}

    weights: Tensor
    strength: Tensor

    def __init__(self, dataset: Dataset, options: Train) -> None:
        super().__init__()
        labels = labels_of(dataset)
        counts = np.bincount(labels, minlength=len(dataset.classes))
        pictures = dataset.array("images")
        self.crop = min(options.crop, *pictures.shape[1:3])
        self.options = options
        self.network = {"kind": "eye", "widths": WIDTHS[options.preset], "classes": len(counts)}
        self.eye = Eye(WIDTHS[options.preset], len(counts))
        self.averaged = {"eye": self.eye}
        weights = 1 / np.sqrt(np.maximum(counts, 1))
        # Mean 1 over the pictures, so that the loss is a mean whatever the slices of a batch hold.
        weights *= counts.sum() / (weights * counts).sum()
        self.register_buffer("weights", torch.from_numpy(weights.astype(np.float32)), persistent=False)
        self.register_buffer("strength", torch.tensor(options.augment), persistent=False)
        rate = options.learning_rate
        self.phases = (Phase("classifier", list(self.eye.parameters()), _adamw, lambda at: _schedule(at, rate)),)

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Pictures as signals [b, 3, H, W] and labels [b]; a held-out picture gives way to the next one."""
        chosen = np.asarray(indices)
        chosen = np.where(chosen % HELD == 0, (chosen + 1) % len(dataset), chosen) if len(dataset) > HELD else chosen
        return {
            "pictures": to_signal(torch.from_numpy(dataset.array("images")[chosen])),
            "labels": torch.from_numpy(labels_of(dataset)[chosen]),
        }

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The weighted cross-entropy, and how many were right."""
        pictures = random_cut(batch["pictures"], batch.uniform(3), self.crop)
        pictures = augment(pictures, batch.uniform(DRAWS), self.strength, mirror=self.options.mirror)
        labels = batch["labels"]
        logits = self.eye(pictures)
        losses = F.cross_entropy(logits, labels, label_smoothing=SMOOTHING, reduction="none")
        right = (logits.argmax(1) == labels).float().mean()
        return {"loss": (losses * self.weights[labels]).mean(), "right": right.detach()}

    def half_life(self, position: Position) -> float:
        """A fiftieth of the plan, shorter at the beginning."""
        return min(0.05 * position.seen, self.options.ema * position.total)

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """Accuracy and cross-entropy on the middles of the held-out pictures."""
        held = np.arange(0, len(dataset), HELD)
        labels = torch.from_numpy(labels_of(dataset)[held])
        logits = torch.cat([self._judge(dataset, held[start : start + 64]) for start in range(0, len(held), 64)])
        values = {
            "accuracy": float((logits.argmax(1) == labels).float().mean()),
            "held_out_loss": float(F.cross_entropy(logits, labels)),
        }
        return {name: values[name] for name in names}

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Image]:
        """The first kernels: what the network looks for in single pixels and edges."""
        kernels = next(module for module in self.eye.modules() if isinstance(module, StandardConv)).standard().cpu()
        scaled = kernels / kernels.abs().amax((1, 2, 3), keepdim=True)
        tiles = [Image(pixels) for pixels in to_pixels(F.interpolate(scaled, scale_factor=8.0, mode="nearest"))]
        yield grid(tiles, 8, -(-len(tiles) // 8))

    def _judge(self, dataset: Dataset, indices: Any) -> Tensor:
        pictures = to_signal(torch.from_numpy(dataset.array("images")[indices]))
        height, width = pictures.shape[-2:]
        top, left = (height - self.crop) // 2, (width - self.crop) // 2
        cut = pictures[..., top : top + self.crop, left : left + self.crop]
        logits: Tensor = self.eye(cut.to(self.weights.device))
        return logits.cpu()


def labels_of(dataset: Dataset) -> Any:
    """The class number of every picture.

    Raises:
        DatasetError: the dataset has no classes, or a single one.
    """
    if dataset.labels is None or len(dataset.classes) < 2:
        raise DatasetError(
            f"{dataset.folder}: no classes to tell apart; put the pictures into one folder a class and prepare them "
            "again with --labels folders"
        )
    return dataset.labels


def random_cut(pictures: Tensor, numbers: Tensor, size: int) -> Tensor:
    """A square part of every picture, scaled to ``size``: from all of it down to ``size`` pixels.

    Shapes: pictures [B, C, H, W], numbers uniform [B, 3] -> [B, C, size, size].
    """
    height, width = pictures.shape[-2:]
    edge = size + numbers[:, 0] * (min(height, width) - size)
    rows = _window(height, edge, numbers[:, 1] * (height - edge), size)
    columns = _window(width, edge, numbers[:, 2] * (width - edge), size)
    dtype = pictures.dtype
    return torch.einsum("byh,bchw,bxw->bcyx", rows.to(dtype), pictures, columns.to(dtype))


def _window(length: int, edge: Tensor, start: Tensor, size: int) -> Tensor:
    """Matrices [B, size, length] that read ``edge`` pixels from ``start`` at ``size`` places, smoothly where they shrink."""
    step = (edge / size)[:, None, None]
    place = start[:, None, None] + (torch.arange(size, device=edge.device) + 0.5)[None, :, None] * step - 0.5
    pixels = torch.arange(length, device=edge.device)[None, None]
    weights = (1 - (pixels - place.clamp(0, length - 1)).abs() / step.clamp_min(1)).clamp_min(0)
    return weights / weights.sum(2, keepdim=True)


def _schedule(at: Position, rate: float) -> float:
    return cosine(at.fraction, rate, rate / 50) * warm_up(at.seen, min(WARM_UP, at.total // 10))


def _adamw(parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, betas=(0.9, 0.99), weight_decay=DECAY, fused=parameters[0].device.type in ("cpu", "cuda"))
