from __future__ import annotations

import math
import subprocess
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from figures import figures, write_dataset
from numpy.typing import NDArray

from artgen.backend import Score, Silent
from artgen.dataset import Dataset
from artgen.errors import OptionError, UsageError
from artgen.metrics import images as module
from artgen.metrics.extractor import extractor_for
from artgen.metrics.images import MEASURES, Evaluate, Name, evaluate_images, halves
from artgen.options import declared

pytestmark = pytest.mark.usefixtures("few_projections")

Pixels = NDArray[np.uint8]
COUNT = 160


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    images, labels = figures(COUNT)
    made = write_dataset(tmp_path_factory.mktemp("measured") / "dataset", images, labels)
    extractor_for(made, steps=20)
    return made


def fresh(change: Callable[[Pixels], Pixels] = lambda images: images) -> module.Generate:
    """A model that draws the same kinds of figures as the data, then changes them."""

    def generate(seeds: Sequence[int]) -> Pixels:
        return change(np.stack([figures(1, 10_000 + seed)[0][0] for seed in seeds]))

    return generate


@pytest.fixture(scope="module")
def whole(dataset: Dataset) -> dict[str, Score]:
    """The scores of a model that is as good as the data."""
    return evaluate_images(fresh(), dataset, Evaluate(items=80))


def test_every_score_has_its_floor_direction_protocol_and_description(dataset: Dataset, whole: dict[str, Score]) -> None:
    scores = whole
    name = extractor_for(dataset).name
    assert list(scores) == list(MEASURES) == list(typing.get_args(Name))
    for key, score in scores.items():
        assert math.isfinite(score.value), key
        assert score.floor is not None
        assert math.isfinite(score.floor), key
        assert score.description
        assert score.better in ("lower", "higher", "near floor")
    rough = " (too few pictures for a steady number)"
    assert scores["fd"].protocol == f"artgen-FD@{name}@N=80{rough}"
    assert scores["recall"].protocol == f"artgen-recall@{name}@N=80{rough}"
    assert scores["swd"].protocol == f"artgen-SWD@N=80{rough}"
    assert scores["copies"].protocol == f"artgen-copies@{name}@N=80 against {COUNT} training pictures{rough}"
    assert not {"FID", "KID", "IS"} & {score.protocol.split("@")[0].removeprefix("artgen-") for score in scores.values()}


def test_a_model_as_good_as_the_data_is_near_the_floors_and_copies_nothing(whole: dict[str, Score]) -> None:
    assert whole["fd"].value < 2 * whole["fd"].floor
    assert whole["swd"].value < 2 * whole["swd"].floor
    for name in ("precision", "recall", "coverage"):
        assert whole[name].value == pytest.approx(whole[name].floor, abs=0.2), name
    assert whole["copies"].value > 0.3
    assert " 0 of 80 samples are near-copies." in whole["copies"].description


def test_a_model_that_returns_training_pictures_is_caught(dataset: Dataset) -> None:
    def copy(seeds: Sequence[int]) -> Pixels:
        return np.asarray(dataset.array("images")[[seed % COUNT for seed in seeds]])

    score = evaluate_images(copy, dataset, Evaluate(items=80, metrics=("copies",)))["copies"]
    assert score.value < 0.01
    assert score.floor is not None
    assert score.floor > 0.3
    assert "80 of 80 samples are near-copies" in score.description


def test_the_sheet_shows_the_most_suspicious_samples_first(dataset: Dataset) -> None:
    copied = np.asarray(dataset.array("images")[33])

    def mostly_new(seeds: Sequence[int]) -> Pixels:
        return np.stack([copied if seed == 41 else figures(1, 10_000 + seed)[0][0] for seed in seeds])

    sheet = evaluate_images(mostly_new, dataset, Evaluate(items=80, metrics=("copies",)))["copies"].sheet
    assert sheet is not None
    pixels = sheet.numpy()
    assert len(pixels) == module.SHEET_ROWS * 34
    np.testing.assert_array_equal(pixels[:32, :32], copied)
    np.testing.assert_array_equal(pixels[:32, 40:72], copied)  # its nearest training picture is itself


def noisy(strength: float) -> Callable[[Pixels], Pixels]:
    random = np.random.default_rng(0)
    return lambda images: (images + random.normal(0, strength, images.shape)).clip(0, 255).astype(np.uint8)


def blurred(turns: int) -> Callable[[Pixels], Pixels]:
    def blur(images: Pixels) -> Pixels:
        soft = images.astype(np.float32)
        for _ in range(turns):
            soft = (soft + np.roll(soft, 1, 1) + np.roll(soft, 1, 2) + np.roll(soft, (1, 1), (1, 2))) / 4
        return soft.astype(np.uint8)

    return blur


def repeated(distinct: int) -> Callable[[Pixels], Pixels]:
    return lambda images: images[np.arange(len(images)) % distinct]


def quartered(share: float) -> Callable[[Pixels], Pixels]:
    def mix(images: Pixels) -> Pixels:
        mixed, half = images.copy(), images.shape[1] // 2
        for image in mixed[: round(share * len(mixed))]:
            image[:half], image[half:] = image[half:].copy(), image[:half].copy()
            image[:half, :half], image[:half, half:] = image[:half, half:].copy(), image[:half, :half].copy()
        return mixed

    return mix


@pytest.mark.parametrize(
    ("damage", "strengths", "measures"),
    [
        (noisy, (60, 120), ("fd", "swd")),
        (blurred, (2, 8), ("fd", "swd")),
        (repeated, (16, 4), ("fd", "swd")),
        (quartered, (0.5, 1.0), ("swd",)),
    ],
)
def test_distances_rise_with_damage(
    dataset: Dataset,
    whole: dict[str, Score],
    damage: Callable[[float], Callable[[Pixels], Pixels]],
    strengths: tuple[float, float],
    measures: tuple[Name, ...],
) -> None:
    options = Evaluate(items=80, metrics=measures)
    sets = [whole, *(evaluate_images(fresh(damage(strength)), dataset, options) for strength in strengths)]
    for name in measures:
        values = [scores[name].value for scores in sets]
        assert values[0] < values[1] < values[2], (name, values)


def test_lost_modes_cost_recall_coverage_and_distance_but_not_precision(dataset: Dataset, whole: dict[str, Score]) -> None:
    figures_of_two_kinds = [n for n in range(10_000, 10_400) if figures(1, n)[1][0] < 2]

    def two_kinds(seeds: Sequence[int]) -> Pixels:
        return np.stack([figures(1, figures_of_two_kinds[seed])[0][0] for seed in seeds])

    options = Evaluate(items=80, metrics=("fd", "recall", "coverage", "precision"))
    half = evaluate_images(two_kinds, dataset, options)
    assert half["fd"].value > 1.5 * whole["fd"].value
    assert half["recall"].value < whole["recall"].value - 0.1
    assert half["coverage"].value < whole["coverage"].value - 0.1
    assert half["precision"].value > whole["precision"].value - 0.1


def test_repeats_cost_recall_and_raise_likeness(dataset: Dataset, whole: dict[str, Score]) -> None:
    options = Evaluate(items=80, metrics=("recall", "ms_ssim"))
    few = evaluate_images(fresh(repeated(4)), dataset, options)
    assert few["recall"].value < 0.5 * whole["recall"].value
    assert few["ms_ssim"].value > 1.5 * whole["ms_ssim"].value


def test_only_the_measures_that_were_asked_for(dataset: Dataset) -> None:
    assert list(evaluate_images(fresh(), dataset, Evaluate(items=20, metrics=("swd", "ms_ssim")))) == ["swd", "ms_ssim"]


def test_measures_without_features_train_no_extractor(tmp_path: Path) -> None:
    small = write_dataset(tmp_path / "dataset", figures(10)[0])
    evaluate_images(fresh(), small, Evaluate(items=5, metrics=("swd", "ms_ssim")))
    assert not list(small.folder.glob("extractor-*"))


def test_the_seeds_follow_one_another_and_change_the_samples_not_the_reals(dataset: Dataset) -> None:
    asked: list[int] = []

    def generate(seeds: Sequence[int]) -> Pixels:
        asked.extend(seeds)
        return fresh()(seeds)

    first = evaluate_images(generate, dataset, Evaluate(items=40, seed=500, metrics=("swd",)))["swd"]
    assert asked == list(range(500, 540))
    second = evaluate_images(fresh(), dataset, Evaluate(items=40, seed=0, metrics=("swd",)))["swd"]
    assert first.floor == second.floor
    assert first.value != second.value
    assert evaluate_images(fresh(), dataset, Evaluate(items=40, seed=0, metrics=("swd",)))["swd"].value == second.value


def test_a_dataset_too_small_for_the_number_is_said_in_the_protocol(dataset: Dataset) -> None:
    score = evaluate_images(fresh(), dataset, Evaluate(metrics=("swd",)))["swd"]
    assert score.protocol == (
        f"artgen-SWD@N=80 (2000 asked for, but the dataset of {COUNT} has halves of 80; too few pictures for a steady number)"
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_pictures_gives_no_number_and_no_crash(tmp_path: Path, count: int) -> None:
    small = write_dataset(tmp_path / "dataset", figures(count)[0])
    extractor_for(small, steps=1)
    scores = evaluate_images(fresh(), small, Evaluate(items=6))
    for name in ("fd", "kd", "precision", "recall", "density", "coverage", "ms_ssim"):
        assert math.isnan(scores[name].value), name
    assert f"the dataset of {count} has halves of {count // 2}" in scores["fd"].protocol
    assert scores["copies"].sheet is not None
    assert math.isnan(scores["copies"].value) == (count < 3)


def test_halves() -> None:
    assert halves(10_000, 2000) == 2000
    assert halves(3001, 2000) == 1500
    assert halves(3, 2000) == 1


def test_another_size_than_the_datasets_is_a_sentence(dataset: Dataset) -> None:
    with pytest.raises(UsageError) as error:
        evaluate_images(lambda seeds: np.zeros((len(seeds), 64, 64, 3), np.uint8), dataset, Evaluate(items=4))
    assert (
        str(error.value)
        == "the model makes pictures of 64x64, the dataset holds pictures of 32x32; prepare it with --resolution 64"
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"items": 0}, "--items takes 1 to 1000000 items, not 0"),
        ({"seed": -1}, "--seed takes 0 to"),
        ({"metrics": ("fid",)}, "--metrics takes fd, kd, swd, precision, recall, density, coverage, ms_ssim or copies, not fid"),
    ],
)
def test_values_out_of_range_are_sentences(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        Evaluate(**values)


def test_the_options_are_declared_with_descriptions_and_the_file_as_a_file() -> None:
    options = {option.name: option for option in declared(Evaluate)}
    assert list(options) == ["items", "seed", "metrics", "inception"]
    assert all(option.description for option in options.values())
    assert options["inception"].file
    assert options["items"].default == 2000


def test_a_wrong_inception_file_is_refused_before_any_sample_is_made(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "other.pth").write_bytes(b"other")

    def never(seeds: Sequence[int]) -> Pixels:
        raise AssertionError("made samples first")

    with pytest.raises(UsageError, match="is not the Inception network of FID"):
        evaluate_images(never, dataset, Evaluate(inception=str(tmp_path / "other.pth")))


def test_with_inception_the_official_scores_join_the_others(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from artgen.metrics import official

    def measure(samples: Pixels, real: Pixels, inception: str) -> dict[str, float]:
        return {"FID": float(samples.mean()), "KID": 1.0, "IS": float(real.mean())}

    monkeypatch.setattr(official, "check_inception", Path)
    monkeypatch.setattr(official, "official", measure)
    scores = evaluate_images(fresh(), dataset, Evaluate(items=20, metrics=("swd",), inception=str(tmp_path / "weights.pth")))
    assert list(scores) == ["swd", "FID", "KID", "IS"]
    assert scores["FID"].value != scores["FID"].floor
    assert scores["IS"].value == scores["IS"].floor
    assert scores["IS"].better == "higher"
    assert scores["FID"].protocol.startswith("FID@torch-fidelity@N=20")


def test_progress_is_told(dataset: Dataset) -> None:
    class Heard(Silent):
        def __init__(self) -> None:
            self.begun: list[tuple[str, float | None]] = []
            self.done: list[float] = []
            self.finished = 0

        def start(self, description: str, total: float | None = None, unit: str = "") -> None:
            self.begun.append((description, total))
            self.done.append(0)

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.done[-1] += amount

        def finish(self) -> None:
            self.finished += 1

    heard = Heard()
    evaluate_images(fresh(), dataset, Evaluate(items=40, metrics=("fd",)), heard)
    assert heard.begun == [("making samples", 40), ("looking at the pictures", 120)]
    assert heard.done == [40, 120]
    assert heard.finished == 2


def test_declaring_the_options_does_not_import_torch() -> None:
    code = "import artgen.metrics.images, artgen.backends.image.gan.evaluate, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
