from __future__ import annotations

import numpy as np
import pytest
from figures import MakeDataset, figures

from artgen.dataset import Dataset
from artgen.errors import OptionError, UsageError
from artgen.metrics.extractor import Extractor, train
from artgen.metrics.quick import NAMES, RandomNetwork, Reference


@pytest.fixture
def dataset(make_dataset: MakeDataset) -> Dataset:
    return make_dataset(150)


def test_the_real_pictures_themselves_are_at_zero(dataset: Dataset) -> None:
    reference = Reference(dataset, extractor=Extractor(*train(dataset.array("images"), None, steps=2)))
    found = reference.measure(reference.images, NAMES)
    assert list(found) == list(NAMES)
    assert found == pytest.approx(dict.fromkeys(NAMES, 0), abs=1e-3)


def test_worse_samples_score_worse_and_more_real_ones_do_not(dataset: Dataset) -> None:
    reference = Reference(dataset)
    fresh = figures(150, 500)[0]
    random = np.random.default_rng(0)
    noisy = [np.clip(fresh + random.normal(0, s, fresh.shape), 0, 255).astype(np.uint8) for s in (20, 60)]
    null, mild, strong = (reference.measure(images, ("fd_rnd", "swd")) for images in (fresh, *noisy))
    for name in ("fd_rnd", "swd"):
        assert null[name] < mild[name] < strong[name]


def test_one_picture_over_and_over_scores_the_stated_variance(dataset: Dataset) -> None:
    reference = Reference(dataset)
    assert reference.measure(np.repeat(figures(1)[0], 50, 0))["fd_rnd"] > 250


def test_two_references_to_the_same_data_agree(dataset: Dataset) -> None:
    samples = figures(40, 500)[0]
    names = ("swd", "fd_rnd")
    one, two = Reference(dataset).measure(samples, names), Reference(dataset).measure(samples, names)
    assert one == two
    assert list(one) == ["swd", "fd_rnd"]
    assert Reference(dataset, seed=1).measure(samples, names) != one


def test_a_second_measure_is_the_same_as_the_first(dataset: Dataset) -> None:
    reference = Reference(dataset, items=60)
    assert len(reference.images) == 60
    many, few = figures(80, 500)[0], figures(30, 500)[0]
    first = [reference.measure(samples, ("swd", "fd_rnd")) for samples in (many, few)]
    assert [reference.measure(samples, ("swd", "fd_rnd")) for samples in (many, few)] == first


def test_a_sorted_dataset_is_not_compared_with_its_first_class_alone(dataset: Dataset) -> None:
    first = Reference(dataset, items=20).images
    assert not all(any(np.array_equal(image, other) for other in dataset.array("images")[:20]) for image in first)


def test_fd_trains_and_keeps_the_extractor_of_the_dataset(make_dataset: MakeDataset) -> None:
    reference = Reference(make_dataset(6))
    assert np.isfinite(reference.measure(figures(6, 500)[0], ("fd",))["fd"])
    assert len(list(reference._dataset.folder.glob("extractor-*"))) == 1
    assert reference.extractor is reference.extractor


def test_an_unknown_measure_is_a_sentence(dataset: Dataset) -> None:
    with pytest.raises(OptionError, match="no metric 'fid' during training; known: fd_rnd, fd, swd"):
        Reference(dataset).measure(figures(4)[0], ("fid",))
    with pytest.raises(UsageError, match="pictures to measure are uint8"):
        Reference(dataset).measure(figures(4)[0].astype(np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_samples_are_not_a_number(dataset: Dataset, count: int) -> None:
    found = Reference(dataset).measure(figures(2)[0][:count], ("fd_rnd", "swd"))
    assert np.isnan(list(found.values())).all()


def test_a_dataset_of_one_picture_is_not_a_number(make_dataset: MakeDataset) -> None:
    assert np.isnan(list(Reference(make_dataset(1)).measure(figures(4)[0], ("fd_rnd", "swd")).values())).all()


def test_random_networks_differ_by_seed_and_never_by_time() -> None:
    import torch

    x = torch.from_numpy(figures(3)[0]).permute(0, 3, 1, 2).float() / 127.5 - 1
    assert torch.equal(RandomNetwork(32, 1)(x), RandomNetwork(32, 1)(x))
    assert not torch.equal(RandomNetwork(32, 1)(x), RandomNetwork(32, 2)(x))
    assert RandomNetwork(64, 1)(torch.zeros(2, 3, 64, 64)).shape == (2, 128)
