"""A module that makes everyone wait for torch."""

from __future__ import annotations

import torch
from tints import Tints


class Heavy(Tints):
    """Imports torch at module level."""

    def _colour(self, model):  # type: ignore[no-untyped-def]
        return torch.as_tensor(super()._colour(model)).numpy()
