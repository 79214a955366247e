"""A tiny model of ``image.gan`` and changed pictures of it, for the tests of ``modify``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from artgen.artwork import Image
from artgen.backends.image.gan.backend import Gan
from artgen.backends.image.gan.build import build
from artgen.backends.image.gan.sample import Sampler
from artgen.media.frame import Pixels
from artgen.model import Config, Model, save_model

SIZE, LEVELS, STYLE = 32, 4, 24

FEW = 6  # iterations where nothing depends on how near the search gets


def tiny(folder: Path, *, classes: list[int] | None = None, progressive: bool = False) -> Model:
    """A real model of 32 px whose weights are random, small enough to search in within a second."""
    network = {
        "architecture": "style", "resolution": SIZE, "latent": 16, "style": STYLE, "widths": [16, 12, 8, 8],
        "discriminator_widths": [16, 12, 8], "refined": 2, "class_counts": classes or [], "progressive": progressive,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = build(network).state_dict()
    if classes:  # as training does it: the class matters more than the noise
        weights["generator.mapping.layers.0.weight"][:, 16:] *= 6
    names = [f"kind {number}" for number in range(len(classes or []))]
    config = Config(artgen="0", backend="image.gan", network=network, classes=names, generate={"truncation": 0.7})
    return save_model(folder, config, weights, "A card.")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny(tmp_path_factory.mktemp("models") / "plain")


@pytest.fixture(scope="module")
def classed(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny(tmp_path_factory.mktemp("models") / "classed", classes=[3, 1, 1])


@pytest.fixture(scope="module")
def sampler(model: Model) -> Sampler:
    return Sampler.of(model, Gan())


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Pixels, str], str]:
    def write(pixels: Pixels, name: str = "other.png") -> str:
        Pictures.fromarray(pixels).save(tmp_path / name)
        return str(tmp_path / name)

    return write


def generated(model: Model, seed: int, **options: Any) -> Pixels:
    return next(iter(Gan().generate(model, [seed], Gan.Generate(**{"truncation": 0.7, **options})))).numpy()


def modified(model: Model, pixels: Pixels, seed: int = 0, **options: Any) -> Pixels:
    options = {"iterations": FEW, **options}
    (made,) = Gan().modify(model, [Image(pixels)], [seed], Gan.Modify(**options))
    assert isinstance(made, Image)
    assert made.seeds == (seed,)
    assert made.pixels.dtype == np.uint8
    return made.pixels


def apart(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.fixture
def corner(save: Callable[..., str]) -> str:
    """White in the upper left 16x12 of 40x40."""
    mask = np.zeros((40, 40), np.uint8)
    mask[:16, :12] = 255
    return save(mask, "mask.png")
