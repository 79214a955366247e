"""From the ``network`` part of a model's config.json to modules."""

from __future__ import annotations

from typing import Any

from torch import nn

from artgen.backends.video.gan3d.model import ClipDiscriminator, Generator
from artgen.nn.classic3d import ClassicDiscriminator, ClassicGenerator
from artgen.nn.critic import Discriminator


def build(config: dict[str, Any]) -> nn.ModuleDict:
    """A module with ``generator``, ``clip_discriminator`` and, but for the classic one, ``picture_discriminator``."""
    frames, size, channels = config["frames"], config["resolution"], config["channels"]
    if config["architecture"] == "vgan":
        shape = {"width": config["width"], "channels": channels}
        generator = ClassicGenerator(frames, size, latent=config["latent"], **shape)
        return nn.ModuleDict({"generator": generator, "clip_discriminator": ClassicDiscriminator(frames, size, **shape)})
    shared = {"refined": config["refined"], "classes": len(config["class_counts"]), "channels": channels}
    shared["progressive"] = config.get("progressive", False)  # models made before 2026-11-29 do not say
    sizes = {name: config[name] for name in ("latent", "motion", "style", "motion_style", "background")}
    return nn.ModuleDict(
        {
            "generator": Generator(config["widths"], **sizes, **shared),
            "clip_discriminator": ClipDiscriminator(config["clip_widths"], frames=frames, **shared),
            "picture_discriminator": Discriminator(config["picture_widths"], **shared),
        }
    )
