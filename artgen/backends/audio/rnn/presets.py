"""How large the codec and the network over its codes are and how they learn, from one dial, the budget and the sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.backend import Rnn

Preset = Literal["sketch", "standard", "large"]

HOPS = {16_000: 192, 22_050: 256, 24_000: 288, 32_000: 384, 44_100: 512}
"""Samples of a frame by rate: about 84 frames a second at each of them."""

FRAMES = 84
"""Frames a second at other rates, roughly."""

CODEC_SHARE = 0.5
"""The codec's part of a budget that is not set apart."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a training that the options left open.

    ``batch`` items a step in both stages: ``crop`` frames of sound for the codec, ``span`` frames of codes for the composer.
    ``share`` is the codec's part of the budget. The rest shapes the networks, see :mod:`.codec` and :mod:`.composer`.
    """

    batch: int
    share: float
    crop: int
    span: int
    codec_rate: float
    composer_rate: float
    dropout: float
    codec: dict[str, int]
    composer: dict[str, int]


SKETCH = Recipe(
    batch=8, share=CODEC_SHARE, crop=64, span=256, codec_rate=2.5e-3, composer_rate=3e-3, dropout=0.1,
    codec={"width": 128, "encoder": 2, "decoder": 4, "expansion": 3, "latent": 48, "codebooks": 6, "size": 256},
    composer={"width": 192, "layers": 3, "narrow": 96, "inner": 128},
)  # fmt: skip
STANDARD = Recipe(
    batch=8, share=CODEC_SHARE, crop=64, span=512, codec_rate=2.5e-3, composer_rate=2e-3, dropout=0.15,
    codec={"width": 192, "encoder": 2, "decoder": 5, "expansion": 3, "latent": 48, "codebooks": 8, "size": 256},
    composer={"width": 256, "layers": 4, "narrow": 128, "inner": 144},
)  # fmt: skip
LARGE = Recipe(
    batch=64, share=CODEC_SHARE, crop=96, span=1024, codec_rate=8e-4, composer_rate=1e-3, dropout=0.2,
    codec={"width": 384, "encoder": 4, "decoder": 8, "expansion": 3, "latent": 64, "codebooks": 8, "size": 1024},
    composer={"width": 640, "layers": 6, "narrow": 256, "inner": 384},
)  # fmt: skip

PLAIN = Recipe(
    batch=32, share=0.0, crop=0, span=1024, codec_rate=0.0, composer_rate=1e-3, dropout=0.0, codec={}, composer={"width": 256}
)  # fmt: skip
"""The recipe of ``--representation mulaw``, which is one stage; there is no other size of it."""


def recipe(options: Rnn.Train, minutes: float | None) -> Recipe:
    """The recipe that ``options`` ask for in ``minutes`` (None: a budget that is not of time)."""
    sizes = {"sketch": SKETCH, "standard": STANDARD, "large": LARGE}
    found = PLAIN if options.representation == "mulaw" else sizes[chosen(options.preset, minutes)]
    changes: dict[str, Any] = {}
    if options.batch_size:
        changes["batch"] = options.batch_size
    if options.codes is not None:
        changes["codec"] = {**found.codec, "codebooks": options.codes}
    if options.dropout is not None:
        changes["dropout"] = options.dropout
    if options.codec_minutes is not None and minutes is not None:
        changes["share"] = options.codec_minutes / minutes
    if options.learning_rate is not None:
        changes |= {"codec_rate": options.learning_rate, "composer_rate": options.learning_rate}
    return msgspec.structs.replace(found, **changes)


def chosen(preset: Literal["auto", "sketch", "standard", "large"], minutes: float | None) -> Preset:
    """The preset for so many minutes where ``auto`` leaves it open."""
    if preset != "auto":
        return preset
    return "sketch" if minutes is None or minutes < 10 else "standard"


def codec_network(plan: Recipe, rate: int, channels: int) -> dict[str, Any]:
    """The ``codec`` part of a network's config."""
    return {"rate": rate, "channels": channels, "hop": HOPS.get(rate, 2 * round(rate / FRAMES / 2)), **plan.codec}


def composer_network(plan: Recipe, codec: dict[str, Any]) -> dict[str, Any]:
    """The ``composer`` part of a network's config, for the codes of ``codec``."""
    return {"codebooks": codec["codebooks"], "size": codec["size"], **plan.composer}
