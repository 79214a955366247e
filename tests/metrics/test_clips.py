"""Scores of clips: each with its floor, moved by what it is for and by little else."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sample_clips import clips_of, write_clips

from artgen.artwork import Image, Video
from artgen.backend import SILENT, Backend, Progress, Score
from artgen.backends.video.gan3d import evaluate as evaluation
from artgen.backends.video.gan3d.backend import Gan3d
from artgen.dataset import Dataset
from artgen.errors import OptionError, UsageError
from artgen.metrics import clips as module
from artgen.metrics import extractor, motion
from artgen.metrics.clips import MEASURES, Evaluate, Name, differences, energies, energy_distance, evaluate_clips
from artgen.model import Config, Model, save_model
from artgen.options import Meta, Options, declared

pytestmark = pytest.mark.usefixtures("few_projections")

Clips = NDArray[np.uint8]
COUNT = 96


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    made = write_clips(tmp_path_factory.mktemp("measured") / "dataset", clips_of(COUNT))
    extractor.extractor_for(made, steps=10)
    motion.extractor_for(made, steps=20)
    return made


def fresh(change: Callable[[Clips], Clips] = lambda clips: clips) -> module.Generate:
    """A model that makes clips of the same kind as the data, then changes them."""
    return lambda seeds: change(np.concatenate([clips_of(1, 5000 + seed) for seed in seeds]))


@pytest.fixture(scope="module")
def good(dataset: Dataset) -> dict[str, Score]:
    return evaluate_clips(fresh(), dataset, Evaluate(items=48))


def test_every_score_has_its_floor_direction_protocol_and_description(dataset: Dataset, good: dict[str, Score]) -> None:
    scores = good
    pictures, moves = extractor.extractor_for(dataset).name, motion.extractor_for(dataset).name
    assert list(scores) == list(MEASURES) == list(typing.get_args(Name))
    for key, score in scores.items():
        assert math.isfinite(score.value), key
        assert score.floor is not None
        assert math.isfinite(score.floor), key
        assert score.description
        assert score.better in ("lower", "higher", "near floor")
    rough = " (too few clips for a steady number)"
    assert scores["fd"].protocol == f"artgen-FD@{pictures}@T=12@N=48{rough}"
    assert scores["fd_motion"].protocol == f"artgen-FD-motion@{moves}@T=12@N=48{rough}"
    assert scores["energy"].protocol == f"artgen-energy@T=12@N=48{rough}"
    assert scores["recall"].protocol == f"artgen-recall@{pictures}+{moves}@T=12@N=48{rough}"
    assert scores["copies"].protocol == f"artgen-copies@{pictures}+{moves}@T=12@N=48 against {COUNT} training clips{rough}"
    assert not any("FVD" in score.protocol for score in scores.values())  # that name is reserved
    sheet = scores["copies"].sheet
    assert isinstance(sheet, Image)
    assert sheet.pixels.shape == (8 * 38 - 6, 3 * 6 * 32 + 2 * 6, 3)


def test_a_good_model_is_near_the_floor_and_scores_are_reproducible(dataset: Dataset, good: dict[str, Score]) -> None:
    for name, score in evaluate_clips(fresh(), dataset, Evaluate(items=48, metrics=("fd_motion", "energy"))).items():
        assert (score.value, score.floor) == (good[name].value, good[name].floor), name
    for name in ("fd", "fd_motion", "swd_motion", "energy"):
        assert good[name].value < 3 * (good[name].floor or 0) + 0.5, name
    assert good["recall"].value > 0.5


@pytest.mark.parametrize(
    ("change", "worse", "same"),
    [
        (lambda clips: np.repeat(clips[:, :1], 12, 1), ["fd_motion", "kd_motion", "swd_motion", "energy", "recall"], ["fd"]),
        (lambda clips: np.ascontiguousarray(clips[:, np.random.default_rng(0).permutation(12)]), ["fd_motion", "energy"], ["fd"]),
        (lambda clips: np.ascontiguousarray(255 - clips), ["fd", "recall"], ["energy"]),
    ],
    ids=["still", "shuffled", "negative"],
)
def test_each_measure_sees_what_it_is_for(
    dataset: Dataset, good: dict[str, Score], change: Callable[[Clips], Clips], worse: list[str], same: list[str]
) -> None:
    bad = evaluate_clips(fresh(change), dataset, Evaluate(items=48, metrics=(*worse, *same)))  # type: ignore[arg-type]
    for name in worse:
        factor = -1 if bad[name].better == "higher" else 1
        assert factor * bad[name].value > factor * good[name].value + 0.2 * abs(good[name].value), name
    for name in same:
        assert bad[name].value < 2 * good[name].value + 1, name


def test_copies_are_found(dataset: Dataset) -> None:
    real = np.asarray(dataset.array("videos"))
    copied = evaluate_clips(lambda seeds: real[[seed % COUNT for seed in seeds]], dataset, Evaluate(items=20, metrics=("copies",)))
    assert copied["copies"].value < 0.1
    assert "20 of 20 samples are near-copies" in copied["copies"].description
    new = evaluate_clips(fresh(), dataset, Evaluate(items=20, metrics=("copies",)))
    assert new["copies"].value > 0.3


def test_energy_is_the_size_of_a_step() -> None:
    clips = np.zeros((3, 4, 8, 8, 3), np.uint8)
    clips[1, ::2] = 10
    clips[2, 1:] = 30
    assert energies(clips).tolist() == pytest.approx([0, 10, 30 / math.sqrt(3)])
    assert energy_distance(clips[:1], clips[1:2]) == pytest.approx(10)
    assert energy_distance(clips, clips) == 0
    assert math.isnan(energy_distance(clips, clips[:0]))


def test_differences_are_pictures_on_grey() -> None:
    clips = np.zeros((2, 3, 4, 4, 3), np.uint8)
    clips[0, 1] = 255
    clips[1, 2] = 100
    assert differences(clips)[:, 0, 0, 0].tolist() == [255, 0, 128, 178]
    assert differences(clips[:, :2]).shape == (2, 4, 4, 3)


def test_clips_of_other_lengths_are_compared_as_far_as_both_go(dataset: Dataset) -> None:
    short = evaluate_clips(fresh(lambda clips: clips[:, :5]), dataset, Evaluate(items=16, metrics=("energy",)))
    assert "@T=5@" in short["energy"].protocol


def test_what_cannot_be_compared_gets_a_sentence(dataset: Dataset) -> None:
    with pytest.raises(
        UsageError, match="the model makes clips of 16x16, the dataset holds clips of 32x32; prepare it with --resol"
    ):
        evaluate_clips(fresh(lambda clips: clips[:, :, ::2, ::2]), dataset, Evaluate(items=4))
    with pytest.raises(UsageError, match="the model makes clips of a single frame"):
        evaluate_clips(fresh(lambda clips: clips[:, :1]), dataset, Evaluate(items=4))
    with pytest.raises(OptionError, match="metrics"):
        Evaluate(metrics=("fvd",))  # type: ignore[arg-type]


def test_a_tiny_dataset_says_what_cannot_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = write_clips(tmp_path / "tiny", clips_of(3))
    extractor.extractor_for(tiny, steps=1)
    motion.extractor_for(tiny, steps=1)
    scores = evaluate_clips(fresh(), tiny, Evaluate(items=10))
    assert "10 asked for, but the dataset of 3 has halves of 1; too few clips" in scores["fd_motion"].protocol
    assert math.isnan(scores["fd_motion"].value)
    assert scores["copies"].sheet is not None


# --- through a backend


class Spots(Backend):
    """Makes clips; remembers what it was asked for."""

    modality = "video"
    name = "spots"
    summary = "Spots."
    asked: ClassVar[list[tuple[tuple[int, ...], Options]]] = []

    class Generate(Options):
        """Options of generate."""

        truncation: Annotated[float, Meta(ge=0, le=2, description="Distance from the mean.")] = 0.7

    def generate(self, model: Model, seeds: Sequence[int], options: Options, progress: Progress = SILENT) -> Iterator[Video]:
        self.asked.append((tuple(seeds), options))
        for seed in seeds:
            yield Video(clips_of(1, 5000 + seed)[0], 10.0, seeds=(seed,))


def test_samples_are_untruncated_and_each_of_its_own_seed(dataset: Dataset, tmp_path: Path) -> None:
    config = Config(artgen="0", backend="video.spots", network={})
    model = save_model(tmp_path / "model", config, {"weight": torch.zeros(1)}, "A card.")
    Spots.asked.clear()
    scores = evaluation.evaluate(Spots(), model, dataset, evaluation.Evaluate(items=20, seed=3, metrics=("energy",)))
    assert list(scores) == ["energy"]
    assert [seed for seeds, _ in Spots.asked for seed in seeds] == list(range(3, 23))
    assert {options.asdict()["truncation"] for _, options in Spots.asked} == {1.0}


def test_the_command_offers_every_measure() -> None:
    assert "evaluate" in Gan3d.verbs()
    names = {option.name: option for option in declared(Gan3d.Evaluate)}
    assert set(names) == {"items", "seed", "metrics", "truncation"}
