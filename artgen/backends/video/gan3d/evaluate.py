"""``artgen video evaluate`` for a GAN of clips: untruncated samples, measured against the real clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np

from artgen.backend import SILENT, Backend, Progress, Score
from artgen.metrics import clips
from artgen.options import Meta, declared, resolve

if TYPE_CHECKING:
    from artgen.dataset import Dataset
    from artgen.model import Model


class Evaluate(clips.Evaluate, frozen=True, kw_only=True):
    """The options of ``artgen video evaluate`` with a GAN."""

    truncation: Annotated[
        float, Meta(ge=0, le=2, description="Distance of the samples from the mean latent; 1 measures the model as it is.")
    ] = 1.0


def evaluate(backend: Backend, model: Model, dataset: Dataset, options: Evaluate, progress: Progress = SILENT) -> dict[str, Score]:
    """Measure ``model``, sampled as ``backend`` generates, against ``dataset``.

    Raises:
        UsageError: as :func:`artgen.metrics.clips.evaluate_clips`.
    """
    kind = type(backend).Generate
    untruncated = {"truncation": options.truncation} if "truncation" in {option.name for option in declared(kind)} else {}
    generating = resolve(kind, model.config.generate, untruncated)

    def generate(seeds: Sequence[int]) -> clips.Clips:
        return np.stack([work.numpy() for work in backend.generate(model, seeds, generating)])

    return clips.evaluate_clips(generate, dataset, options, progress)
