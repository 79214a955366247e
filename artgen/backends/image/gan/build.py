"""From the ``network`` part of a model's config.json to modules."""

from __future__ import annotations

from typing import Any

from torch import nn

from artgen.backends.image.gan.model import ClassicDiscriminator, ClassicGenerator, Generator
from artgen.nn.critic import Discriminator


def build(config: dict[str, Any]) -> nn.ModuleDict:
    """A module with ``generator`` and ``discriminator`` as the config describes them."""
    if config["architecture"] == "dcgan":
        size = config["resolution"]
        return nn.ModuleDict(
            {"generator": ClassicGenerator(size, latent=config["latent"]), "discriminator": ClassicDiscriminator(size)}
        )
    shared = {"refined": config["refined"], "classes": len(config["class_counts"]), "progressive": config["progressive"]}
    generator = Generator(config["widths"], latent=config["latent"], style=config["style"], **shared)
    return nn.ModuleDict({"generator": generator, "discriminator": Discriminator(config["discriminator_widths"], **shared)})
