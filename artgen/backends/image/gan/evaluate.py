"""``artgen image evaluate`` for a GAN: untruncated samples, measured against the real pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np

from artgen.backend import SILENT, Backend, Progress, Score
from artgen.metrics import images
from artgen.options import Meta, declared, resolve

if TYPE_CHECKING:
    from artgen.dataset import Dataset
    from artgen.model import Model


class Evaluate(images.Evaluate, frozen=True, kw_only=True):
    """The options of ``artgen image evaluate`` with a GAN."""

    truncation: Annotated[
        float, Meta(ge=0, le=2, description="Distance of the samples from the mean latent; 1 measures the model as it is.")
    ] = 1.0


def evaluate(backend: Backend, model: Model, dataset: Dataset, options: Evaluate, progress: Progress = SILENT) -> dict[str, Score]:
    """Measure ``model``, sampled as ``backend`` generates, against ``dataset``.

    Raises:
        UsageError: as :func:`artgen.metrics.images.evaluate_images`.
    """
    kind = type(backend).Generate
    untruncated = {"truncation": options.truncation} if "truncation" in {option.name for option in declared(kind)} else {}
    generating = resolve(kind, model.config.generate, untruncated)

    def generate(seeds: Sequence[int]) -> images.Pixels:
        works = backend.generate(model, seeds, generating)
        return np.stack([rgb(work.numpy()) for work in works])

    return images.evaluate_images(generate, dataset, options, progress)


def rgb(pixels: images.Pixels) -> images.Pixels:
    """Pixels [H, W, C] as [H, W, 3]: grey repeated, transparency left out."""
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
