from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pytest
import torch
from figures import figures, write_dataset

from artgen.artwork import Image
from artgen.backend import SILENT, Backend, Progress
from artgen.backends.image.gan.evaluate import Evaluate, evaluate, rgb
from artgen.dataset import Dataset
from artgen.errors import OptionError
from artgen.metrics import images
from artgen.model import Config, Model, save_model
from artgen.options import Meta, Options, declared


class Figures(Backend):
    """Draws figures; grey when the truncation is 0. Remembers what it was asked for."""

    modality = "image"
    name = "figures"
    summary = "Figures."
    asked: ClassVar[list[tuple[tuple[int, ...], Options]]] = []

    class Generate(Options):
        truncation: Annotated[float, Meta(ge=0, le=2, description="Distance from the mean.")] = 0.7
        class_: Annotated[int | None, Meta(description="Class.")] = None

    def generate(self, model: Model, seeds: Sequence[int], options: Options, progress: Progress = SILENT) -> Iterator[Image]:
        self.asked.append((tuple(seeds), options))
        for seed in seeds:
            pixels = figures(1, 10_000 + seed)[0][0]
            yield Image(pixels if options.asdict()["truncation"] else pixels[..., :1], seeds=(seed,))


class Plain(Figures):
    """A backend without truncation."""

    class Generate(Options):
        """No options."""

    def generate(self, model: Model, seeds: Sequence[int], options: Options, progress: Progress = SILENT) -> Iterator[Image]:
        for seed in seeds:
            yield Image(figures(1, 10_000 + seed)[0][0])


@pytest.fixture
def model(tmp_path: Path) -> Model:
    config = Config(artgen="0", backend="image.figures", network={}, generate={"class": 3})
    return save_model(tmp_path / "model", config, {"weight": torch.zeros(1)}, "A card.")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_dataset(tmp_path / "dataset", figures(40)[0])


def test_a_model_is_measured_untruncated_with_its_own_defaults_and_the_seeds_asked_for(model: Model, dataset: Dataset) -> None:
    Figures.asked.clear()
    scores = evaluate(Figures(), model, dataset, Evaluate(items=20, seed=5, metrics=("swd", "ms_ssim")))
    assert list(scores) == ["swd", "ms_ssim"]
    assert [seeds for seeds, _ in Figures.asked] == [tuple(range(5, 25))]
    assert Figures.asked[0][1].asdict() == {"truncation": 1.0, "class_": 3}


def test_truncation_reaches_the_samples_and_grey_pictures_are_measured_as_rgb(model: Model, dataset: Dataset) -> None:
    Figures.asked.clear()
    evaluate(Figures(), model, dataset, Evaluate(items=20, truncation=0.0, metrics=("swd",)))
    assert Figures.asked[0][1].asdict()["truncation"] == 0.0


def test_the_scores_are_those_of_the_samples(model: Model, dataset: Dataset) -> None:
    options = Evaluate(items=20, metrics=("swd",))
    expected = images.evaluate_images(lambda seeds: np.stack([figures(1, 10_000 + seed)[0][0] for seed in seeds]), dataset, options)
    assert evaluate(Figures(), model, dataset, options) == expected


def test_a_backend_without_truncation_can_be_measured(tmp_path: Path, dataset: Dataset) -> None:
    config = Config(artgen="0", backend="image.plain", network={})
    plain = save_model(tmp_path / "plain", config, {"weight": torch.zeros(1)}, "A card.")
    assert evaluate(Plain(), plain, dataset, Evaluate(items=20, metrics=("swd",)))["swd"].value > 0


def test_truncation_is_declared_like_that_of_generate() -> None:
    option = next(option for option in declared(Evaluate) if option.name == "truncation")
    assert (option.ge, option.le, option.default) == (0, 2, 1.0)
    with pytest.raises(OptionError, match="--truncation takes 0 to 2, not 9"):
        Evaluate(truncation=9)


def test_rgb_takes_any_number_of_channels() -> None:
    grey, alpha = np.arange(4, dtype=np.uint8).reshape(2, 2, 1), np.arange(16, dtype=np.uint8).reshape(2, 2, 4)
    assert (rgb(grey) == grey).all()
    assert rgb(grey).shape == (2, 2, 3)
    np.testing.assert_array_equal(rgb(alpha), alpha[..., :3])
