"""What ``audio.encodec`` can be asked for."""

from __future__ import annotations

from typing import Annotated

from artgen.options import Meta, Options
from artgen_transformers.loading import Loading

_CODES = "Codes a frame: fewer take away detail, one leaves a ghost of the sound; all when not given."


class Modify(Loading, frozen=True, kw_only=True):
    """Options of ``modify``: a sound through the codec."""

    codes: Annotated[int | None, Meta(ge=1, le=64, description=_CODES)] = None


class Evaluate(Options, frozen=True, kw_only=True):
    """Options of ``evaluate``: how well the codec rebuilds sounds."""

    codes: Annotated[int | None, Meta(ge=1, le=64, description=_CODES)] = None
    items: Annotated[int, Meta(ge=1, le=1000, description="Excerpts of four seconds to rebuild.", extra={"unit": "items"})] = 6
    commercial_only: Annotated[bool, Meta(description="Refuse a model whose licence does not allow commercial use.")] = False

    @property
    def loading(self) -> Loading:
        """How the model is loaded."""
        return Loading(commercial_only=self.commercial_only)
