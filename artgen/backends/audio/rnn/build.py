"""From the ``network`` part of a model's config.json to the modules."""

from __future__ import annotations

from typing import Any

from torch import nn

from artgen import codecs
from artgen.backends.audio.rnn.codec import Codec
from artgen.backends.audio.rnn.composer import Composer
from artgen.backends.audio.rnn.plain import Plain


def build(config: dict[str, Any]) -> nn.ModuleDict:
    """A module with ``codec`` and ``composer``, or with ``plain``, as the config describes them."""
    if "plain" in config:
        return nn.ModuleDict({"plain": Plain(**config["plain"])})
    guest = "backend" in config["codec"]  # one of another backend
    codec = codecs.build(config["codec"]) if guest else Codec(**config["codec"])
    return nn.ModuleDict({"codec": codec, "composer": Composer(**config["composer"])})
