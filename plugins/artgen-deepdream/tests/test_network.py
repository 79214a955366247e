"""Laws of the network that the package brings, and of its training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, blob

from artgen import api
from artgen.artwork import Image
from artgen.dataset import Dataset
from artgen.errors import DatasetError
from artgen_deepdream.network import Eye, StandardConv
from artgen_deepdream.options import Train
from artgen_deepdream.task import HELD, ClassifierTask, labels_of, random_cut


def test_folding_changes_nothing():
    torch.manual_seed(0)
    eye = Eye([[8], [12, 16], [24]], 3).eval()
    with torch.no_grad():
        for module in eye.modules():
            if isinstance(module, StandardConv):
                module.gain.uniform_(0.5, 1.5)
        pictures = torch.randn(2, 3, 20, 17)
        before = eye(pictures)
        eye.fold()
        eye.fold()  # a second time must not standardise again
        assert torch.allclose(before, eye(pictures), atol=1e-5)


def test_kernels_have_mean_zero_and_unit_gain():
    conv = StandardConv(16, 5, 3)
    kernels = conv.standard()
    assert kernels.mean((1, 2, 3)).abs().max() < 1e-6
    assert torch.allclose(kernels.square().sum((1, 2, 3)), torch.ones(5), atol=1e-3)


def test_signals_keep_their_size_through_the_layers():
    torch.manual_seed(1)
    eye = Eye([[16], [48], [96, 144], [224]], 4)
    pictures = torch.nn.functional.interpolate(torch.randn(4, 3, 8, 8), (64, 64), mode="bicubic")
    spreads = [float(answer.detach().std()) for answer in eye.features(pictures)]
    assert all(0.2 < spread < 3 for spread in spreads), spreads


def test_layers_are_named_by_size_and_place_and_stop_where_asked():
    eye = Eye([[8], [8], [8, 16]], 2)
    assert eye.names == ["conv1a", "conv2a", "mixed3a", "mixed3b"]
    pictures = torch.randn(1, 3, 16, 16)
    every, some = eye.features(pictures), eye.features(pictures, "mixed3a")
    assert [tuple(answer.shape[1:]) for answer in every] == [(8, 16, 16), (8, 8, 8), (8, 4, 4), (16, 4, 4)]
    assert len(some) == 3
    assert torch.equal(some[-1], every[2])


def test_the_network_looks_at_no_more_than_its_surroundings():
    """A place far away changes nothing: so a tile dreams like the picture it is cut from."""
    torch.manual_seed(2)
    eye = Eye([[8], [8], [8]], 2)
    pictures = torch.randn(1, 3, 96, 96)
    other = pictures.clone()
    other[..., -8:, -8:] += 1
    first, second = eye.features(pictures)[-1], eye.features(other)[-1]
    assert torch.equal(first[..., :12, :12], second[..., :12, :12])
    assert not torch.equal(first, second)


def test_random_cuts_of_full_size_are_the_pictures():
    pictures = torch.randn(3, 3, 24, 24)
    assert torch.allclose(random_cut(pictures, torch.rand(3, 3), 24), pictures, atol=1e-5)


def test_random_cuts_lie_inside_and_differ():
    ramp = torch.linspace(-1, 1, 32).expand(2, 3, 32, 32)
    cut = random_cut(ramp, torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), 16)
    assert torch.allclose(cut[0], ramp[0, :, :16, :16], atol=1e-5)
    assert torch.allclose(cut[1], ramp[0, :, :16, 16:], atol=1e-5)


def test_held_out_pictures_are_never_trained_on(dataset: Path):
    data = Dataset.open(dataset)
    task = ClassifierTask(data, Train(**TINY))
    loaded = task.load(data, range(len(data)))
    held = {bytes(data.array("images")[index]) for index in range(0, len(data), HELD)}
    shown = {
        bytes(((picture.permute(1, 2, 0) + 1) * 127.5).round().to(torch.uint8).contiguous().numpy())
        for picture in loaded["pictures"]
    }
    assert held
    assert not held & shown
    swapped = np.arange(len(data))
    swapped[::HELD] += 1
    assert torch.equal(loaded["labels"], torch.from_numpy(labels_of(data)[swapped]))


def test_a_slice_weighs_its_classes_like_the_whole(dataset: Path):
    data = Dataset.open(dataset)
    task = ClassifierTask(data, Train(**TINY))
    weights = task.weights[torch.from_numpy(labels_of(data))]
    assert float(weights.mean()) == pytest.approx(1, abs=1e-5)


def test_it_learns_to_tell_colours_apart(tmp_path: Path):
    for number in range(32):
        name = ("red", "blue")[number % 2]
        (tmp_path / "in" / name).mkdir(parents=True, exist_ok=True)
        pixels = blob(number, 24, 24) // 4
        pixels[..., 0 if name == "red" else 2] += 150
        Image(pixels).save(tmp_path / "in" / name / f"{number}.png")
    options = {**TINY, "steps": 25, "batch_size": 8, "augment": 0.0, "learning_rate": 0.02}
    model = api.train(
        "image", tmp_path / "in", tmp_path / "run", backend="deepdream", device="cpu", resolution=24, workers=1, **options
    )
    assert model.config.scores["accuracy"] == 1.0
    assert model.config.network["kind"] == "eye"
    assert (tmp_path / "run" / "previews").is_dir()


def test_data_without_classes_say_what_to_do(folders: Path, tmp_path: Path):
    with pytest.raises(DatasetError, match="one folder a class"):
        api.train("image", folders / "round", tmp_path / "run", backend="deepdream", resolution=32, workers=1, **TINY)
