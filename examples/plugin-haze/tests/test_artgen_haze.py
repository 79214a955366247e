"""Hold both backends to every promise of artgen, one named check at a time, and to what they alone promise."""

from __future__ import annotations

import numpy as np
import pytest
from artgen_haze import Haze, Stripes
from artgen_haze.backend import blend

from artgen.artwork import Image
from artgen.testing import conformance

test_haze = conformance(Haze, options={"train": {"latent": 2, "width": 4}})

test_stripes = conformance(Stripes)


def test_a_stripe_is_as_wide_as_asked() -> None:
    (work,) = Stripes().generate(Stripes.find_model(), [7], Stripes.Generate(width=4))
    assert isinstance(work, Image)
    assert (work.pixels[:, :4] == work.pixels[0, 0]).all()
    assert (work.pixels[0, 4] != work.pixels[0, 3]).any()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_blend_keeps_what_is_not_colour(channels: int) -> None:
    before = np.full((2, 3, channels), 100, np.uint8)
    after = np.full((2, 3, 3), 200, np.uint8)
    assert (blend(before, after, 0.0) == before).all()
    assert (blend(before, after, 0.5)[..., : min(3, channels)] == 150).all()
    if channels == 4:
        assert (blend(before, after, 1.0)[..., 3] == 100).all()
