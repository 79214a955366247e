"""artgen's own backends, held to what it asks of plugins."""

from __future__ import annotations

from collections.abc import Iterator

import audio_models
import clip_datasets
import picture_models
import pytest
import text_models
from noise_plugin import Noise

from artgen.testing import conformance


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """The real networks with few channels: what the kit asks does not depend on how many there are."""
    with pytest.MonkeyPatch.context() as patch:
        for models in (audio_models, clip_datasets, picture_models, text_models):
            models.shrink(patch)
        yield


test_image_gan = conformance("image.gan", options={"evaluate": {"items": 4, "metrics": ("copies",)}})

test_text_transformer = conformance(
    "text.transformer", options={"generate": {"length": 40}, "modify": {"continue_": 20}, "evaluate": {"items": 2}}
)

test_audio_rnn = conformance(
    "audio.rnn",
    options={
        "generate": {"seconds": 0.5},
        "modify": {"continue_": None, "restyle": True},
        "evaluate": {"items": 2, "seconds": 0.5},
    },
)

test_video_gan3d = conformance(
    "video.gan3d",
    options={"generate": {"seconds": 1.0}, "modify": {"iterations": 2}, "evaluate": {"items": 2, "metrics": ("energy",)}},
)

test_noise = conformance(
    Noise,
    expected={
        "errors-model": "the plugin of the tests reads its weights itself, and nobody compares them with their hash",
    },
)
