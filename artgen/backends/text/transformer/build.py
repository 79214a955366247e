"""From the ``network`` part of a model's config.json to the module."""

from __future__ import annotations

from typing import Any

from torch import nn

from artgen.backends.text.transformer.model import Writer

SHAPE = ("vocabulary", "layers", "heads", "width", "context", "pairs", "values", "tied")
"""The entries of ``network`` that shape the weights; the others say how text is read."""


def build(config: dict[str, Any]) -> nn.ModuleDict:
    """A module with ``writer`` as the config describes it."""
    return nn.ModuleDict({"writer": Writer(**{name: config[name] for name in SHAPE}, runs=config.get("runs", ()))})
