"""From the ``network`` part of a model's config.json to the modules."""

from __future__ import annotations

from typing import Any

from torch import nn

from artgen.backends.audio.rnn.codec import Codec
from artgen.backends.audio.rnn.composer import Composer


def build(config: dict[str, Any]) -> nn.ModuleDict:
    """A module with ``codec`` and ``composer`` as the config describes them."""
    return nn.ModuleDict({"codec": Codec(**config["codec"]), "composer": Composer(**config["composer"])})
