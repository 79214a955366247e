"""The two stages of training: the autoencoder, then the Transformer over its codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.artwork import Image, grid
from artgen.errors import DatasetError
from artgen.nn.pixels import to_pixels, to_signal
from artgen.nn.transformer import dropout, keep
from artgen.training.adam import Adam
from artgen.training.schedule import cosine, warm_up
from artgen.training.task import Batch, Optimizer, Phase, Position, Task
from artgen_diffusers.dalle import captions as wording
from artgen_diffusers.dalle.codec import DiscreteVAE, build_codec
from artgen_diffusers.dalle.options import SIZES, downs_of, edge_of
from artgen_diffusers.dalle.painter import Painter, build_painter
from artgen_diffusers.dalle.sample import draw

if TYPE_CHECKING:
    from artgen.dataset import Dataset
    from artgen_diffusers.dalle.options import Train

AVERAGE = 0.02
"""The averaged weights forget half in this share of a stage."""

CODEC_RATE = 2e-3
"""Learning rate of the autoencoder at its highest."""

VARIANTS = 24
"""Thinned captions of a picture, of which one is drawn each time; the first is the whole one."""

ENCODED = 256
"""Pictures that go through the autoencoder at once."""

SHOWN = 8


class CodecTask(Task):
    """Pictures through a grid of whole numbers and back: absolute and squared difference of the pixels."""

    name = "codec"

    def __init__(self, dataset: Dataset, options: Train) -> None:
        super().__init__()
        self.options, self.share = options, options.codec_share
        size, resolution = SIZES[options.preset], int(dataset.array("images").shape[1])
        edge = edge_of(options, resolution)
        told = {"width": size.codec, "levels": list(size.levels), "downs": downs_of(edge, resolution)}
        self.network = {"codec": told, "resolution": resolution}
        self.codec: DiscreteVAE = build_codec(told)
        self.averaged = {"codec": self.codec}
        self.usable = usable(dataset, options)
        parameters = list(self.codec.parameters())
        self.phases = (Phase("codec", parameters, _adam(0.0), lambda at: CODEC_RATE * _falling(at, options.batch_size)),)

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Pictures [b, 3, H, W] in -1..1; in place of a held-out one comes another."""
        chosen = self.usable[np.asarray(indices) % len(self.usable)]
        return {"pictures": to_signal(torch.from_numpy(np.ascontiguousarray(dataset.array("images")[chosen])))}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean difference of pixels, and the squared one."""
        pictures = batch["pictures"]
        if self.options.mirror:
            pictures = torch.where(batch.uniform(1)[:, :, None, None] < 0.5, pictures, pictures.flip(-1))
        difference = (self.codec(pictures) - pictures).float()
        squared = difference.square().mean()
        return {"loss": difference.abs().mean() + squared, "squared": squared.detach()}

    def half_life(self, position: Position) -> float:
        """A fixed share of the plan, less while little of it is done."""
        return AVERAGE * min(position.total, 4 * position.seen)

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Image]:
        """Some pictures and, below, what comes back."""
        places = np.linspace(0, len(dataset) - 1, SHOWN).astype(int)
        pixels = np.ascontiguousarray(dataset.array("images")[places])
        signal = to_signal(torch.from_numpy(pixels)).to(next(self.parameters()).device)
        back = to_pixels(self.codec.decode(self.codec.encode(signal)))
        yield grid([Image(each) for each in (*pixels, *back)], SHOWN, 2)


class PainterTask(Task):
    """Predict every code of a picture from its caption and the codes before it."""

    name = "painter"

    chances: Tensor
    variants: Tensor
    codes: Tensor

    def __init__(self, dataset: Dataset, options: Train) -> None:
        super().__init__()
        self.options, self.share = options, 1 - options.codec_share
        size, resolution = SIZES[options.preset], int(dataset.array("images").shape[1])
        captions = wording.captions_of(dataset)
        held = wording.held_out(captions, options.held_out)
        learned = [caption for caption in captions if caption not in held]
        self.tokenizer = wording.train_tokenizer(learned, options.vocabulary)
        self.captions = captions
        self.held = np.array([number for number, caption in enumerate(captions) if caption in held], np.int64)
        self.usable = usable(dataset, options)
        told = {
            "vocabulary": self.tokenizer.size, "length": options.length, "codes": int(np.prod(size.levels)),
            "edge": edge_of(options, resolution), "layers": size.layers, "heads": size.heads, "width": size.width,
        }  # fmt: skip
        self.network = {"painter": told, "held_out": sorted(held)}
        self.painter: Painter = build_painter(told)
        self.averaged = {"painter": self.painter}
        self.files = {"tokenizer.json": self.tokenizer.to_bytes(), wording.WORDS: wording.vocabulary(learned)}  # type: ignore[misc]  # each has its own
        self.metrics = {"val/loss": "lower"} if len(self.held) else {}  # type: ignore[misc]  # each has its own
        rate = options.learning_rate or size.rate
        named = list(self.painter.named_parameters())
        self.phases = (
            Phase("painter", [parameter for _, parameter in named], _adam(options.weight_decay, [name for name, _ in named]),
                  lambda at: rate * _falling(at, options.batch_size)),
        )  # fmt: skip

    def begin(self, dataset: Dataset, earlier: Sequence[Task]) -> None:
        """Encode every picture, from both sides, and many wordings of its caption, once."""
        (stage,) = earlier
        assert isinstance(stage, CodecTask)
        self.codec = [stage.codec]  # in a list: it is no part of this stage's network
        codes = encoded(stage.codec, dataset)
        self.register_buffer("codes", torch.stack(codes), persistent=False)  # [2, N, G * G]
        random = np.random.default_rng(self.options.seed)
        words = [caption.split() for caption in self.captions]
        variants = np.zeros((len(words), VARIANTS, self.options.length), np.int64)
        for row, each in zip(variants, words, strict=True):
            row[0] = wording.encode(self.tokenizer, each, self.options.length)
            for place in range(1, VARIANTS):
                row[place] = wording.encode(self.tokenizer, wording.thinned(each, random), self.options.length)
        self.register_buffer("variants", torch.from_numpy(variants), persistent=False)

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Which pictures [b]; their codes and captions are with the task."""
        return {"items": torch.from_numpy(self.usable[np.asarray(indices) % len(self.usable)])}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean negative log-likelihood of the codes in nats."""
        items, chances = batch["items"], batch.uniform(3)
        side = ((chances[:, 0] < 0.5) & self.options.mirror).long()
        codes = self.codes[side, items]
        captions = self.variants[items, (chances[:, 1] * VARIANTS).long()]
        captions = torch.where(chances[:, 2:] < self.options.without, torch.zeros_like(captions), captions)
        drop = dropout(self.options.dropout, batch.seed + batch.start, batch.device) if self.training else keep
        read = self._noised(codes, batch) if self.training and self.options.noise else codes
        logits = self.painter(captions, read, drop)
        return {"loss": F.cross_entropy(logits.flatten(0, 1).float(), codes.flatten())}

    def _noised(self, codes: Tensor, batch: Batch) -> Tensor:
        """Some codes swapped for those of another picture at the same place: a drawing goes on well after a slip."""
        swapped = batch.uniform(codes.shape[1]) < self.options.noise
        return torch.where(swapped, codes.roll(1, 0), codes)

    def half_life(self, position: Position) -> float:
        """A fixed share of the plan, less while little of it is done."""
        return AVERAGE * min(position.total, 4 * position.seen)

    def look_cost(self, size: int) -> float:
        """An evaluation reads the held-out pictures, a preview writes a few code by code."""
        return len(self.held) / (3 * size) + 8

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """Loss of the held-out pictures with their whole captions, in nats a code."""
        return {"val/loss": loss_of(self.painter, self.codes[0], self.variants[:, 0], torch.from_numpy(self.held))}

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Image]:
        """Pictures of held-out captions (else of some others), each from the same random numbers every time."""
        several = self.held if len(self.held) else self.usable
        chosen = torch.from_numpy(several[np.linspace(0, len(several) - 1, 2 * SHOWN).astype(int)])
        numbers = torch.rand(2 * SHOWN, self.codes.shape[2], generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        captions = self.variants[chosen.to(self.variants.device), 0]
        codes, _ = draw(self.painter, captions, numbers, temperature=1.0, guidance=3.0, top_p=0.98)
        device = next(self.codec[0].parameters()).device
        yield grid([Image(each) for each in to_pixels(self.codec[0].decode(codes.to(device)))], SHOWN, 2)


def usable(dataset: Dataset, options: Train) -> Any:  # int64 [n]
    """The numbers of the pictures to learn from.

    Raises:
        DatasetError: there are none.
    """
    captions = wording.captions_of(dataset)
    held = wording.held_out(captions, options.held_out)
    found = np.array([number for number, caption in enumerate(captions) if caption not in held], np.int64)
    if not len(found):
        raise DatasetError(f"{dataset.folder}: no picture is left to learn from; lower --held-out")
    return found


@torch.no_grad()
def encoded(codec: DiscreteVAE, dataset: Dataset) -> list[Tensor]:
    """The codes int64 [N, G * G] of every picture, and of every picture mirrored, on the CPU."""
    device = next(codec.parameters()).device
    sides: list[list[Tensor]] = [[], []]
    for start in range(0, len(dataset), ENCODED):
        pixels = np.array(dataset.array("images")[start : start + ENCODED])
        pictures = to_signal(torch.from_numpy(pixels)).to(device)
        for side, each in zip(sides, (pictures, pictures.flip(-1)), strict=True):
            side.append(codec.encode(each).cpu())
    return [torch.cat(side) for side in sides]


@torch.no_grad()
def loss_of(painter: Painter, codes: Tensor, captions: Tensor, items: Tensor) -> float:
    """Mean negative log-likelihood in nats a code of pictures ``items`` [n] with codes [N, G * G] and captions [N, T]."""
    total, device = 0.0, next(painter.parameters()).device
    for start in range(0, len(items), 64):
        there = items[start : start + 64].to(codes.device)
        wanted = codes[there].to(device)
        logits = painter(captions[there].to(device), wanted)
        total += F.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), reduction="sum").item()
    return total / max(1, len(items) * codes.shape[1])


def _falling(at: Position, size: int) -> float:
    return cosine(at.fraction, 1.0, 0.01) * warm_up(at.seen, min(100 * size, max(1, at.total // 10)))


def _adam(weight_decay: float, names: Sequence[str] = ()) -> Callable[[Sequence[nn.Parameter]], Optimizer]:
    """AdamW; tables and head learn four times as fast as matrices, and only matrices of blocks decay."""

    def make(parameters: Sequence[nn.Parameter]) -> Optimizer:
        if not names:
            return Adam([{"params": list(parameters), "weight_decay": weight_decay}], betas=(0.9, 0.99))
        matrices = [p for name, p in zip(names, parameters, strict=True) if name.startswith("blocks.") and p.ndim == 2]
        scalars = [p for name, p in zip(names, parameters, strict=True) if name.startswith("blocks.") and p.ndim < 2]
        tables = [p for name, p in zip(names, parameters, strict=True) if not name.startswith("blocks.")]
        told: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": weight_decay}, {"params": scalars}, {"params": tables, "scale": 4.0},
        ]  # fmt: skip
        return Adam(told, betas=(0.9, 0.98))

    return make
