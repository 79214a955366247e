"""Scores of a model on captioned pictures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from artgen.backend import Backend, Score
from artgen.errors import DatasetError
from artgen.nn.pixels import to_signal
from artgen_diffusers.dalle import captions as wording
from artgen_diffusers.dalle.sample import Studio
from artgen_diffusers.dalle.tasks import ENCODED, loss_of

if TYPE_CHECKING:
    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen_diffusers.dalle.options import Evaluate


@torch.no_grad()
def evaluate(backend: Backend, model: Model, dataset: Dataset, options: Evaluate) -> dict[str, Score]:
    """``psnr`` of pictures given back, ``loss`` a code with the caption and ``gain``, how much less that is than without it.

    Pictures whose captions were held out are taken alone, where the dataset has any.

    Raises:
        DatasetError: the pictures are of another size than the model's.
    """
    studio = Studio.of(model, backend)
    resolution = model.config.network["resolution"]
    pictures = dataset.array("images")
    if pictures.shape[1] != resolution:
        given = f"{dataset.folder}: pictures of {pictures.shape[1]} pixels"
        raise DatasetError(f"{given}, the model makes {resolution}; prepare with --resolution {resolution}")
    captions = wording.captions_of(dataset)
    held = set(model.config.network["held_out"])
    chosen = [number for number, caption in enumerate(captions) if caption in held] or list(range(len(captions)))
    chosen = chosen[: options.items]
    squared, codes = 0.0, []
    for start in range(0, len(chosen), ENCODED):
        signal = to_signal(torch.from_numpy(np.ascontiguousarray(pictures[chosen[start : start + ENCODED]]))).to(studio.device)
        codes.append(studio.codec.encode(signal))
        squared += float((studio.codec.decode(codes[-1]).clamp(-1, 1) - signal).square().mean((1, 2, 3)).sum())
    ids = np.stack([wording.encode(studio.tokenizer, captions[number].split(), studio.painter.length) for number in chosen])
    told, everything = torch.from_numpy(ids), torch.cat(codes)
    items = torch.arange(len(chosen))
    with_caption = loss_of(studio.painter, everything, told.to(everything.device), items)
    without = loss_of(studio.painter, everything, torch.zeros_like(told).to(everything.device), items)
    protocol = f"artgen-dalle@{len(chosen)} pictures{' held out' if held & set(captions) else ''}"
    psnr = 10 * math.log10(4 / max(1e-12, squared / len(chosen)))
    return {
        "psnr": Score(psnr, None, "higher", "Pictures through codes and back, in dB: above 25 hardly anything is lost.", protocol),
        "loss": Score(with_caption, None, "lower", "Nats a code of real pictures, given their captions.", protocol),
        "gain": Score(without - with_caption, None, "higher", "Nats a code that a caption saves: how much words say.", protocol),
    }
