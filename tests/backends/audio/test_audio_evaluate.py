"""What ``audio.rnn`` measures of a model, each beside the same of real sound."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_models import prepared, trained

from artgen import api
from artgen.artwork import Audio, Image
from artgen.backend import Score, Silent
from artgen.backends.audio.rnn import evaluate as evaluation
from artgen.backends.audio.rnn import sample
from artgen.backends.audio.rnn.backend import Rnn
from artgen.backends.audio.rnn.tape import Moments
from artgen.dataset import Dataset
from artgen.errors import OptionError, UsageError
from artgen.media.prepare_audio import Prepare, prepare
from artgen.model import Model


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained(dataset, tmp_path_factory.mktemp("run") / "run", steps=20, batch_size=8)


def scored(model: Model, dataset: Dataset, **options: Any) -> dict[str, Score]:
    return api.evaluate("audio", model, dataset, device="cpu", **{"items": 4, "seconds": 0.5, **options})


def test_every_score_has_the_same_of_real_sound_and_says_how(model: Model, dataset: Dataset) -> None:
    found = scored(model, dataset)
    assert list(found) == [
        "mr_stft", "lsd", "loudness_error", "perplexity", "codes_used", "bits_per_second", "fd_mel", "kd_mel", "copied"
    ]  # fmt: skip
    for score in found.values():
        assert math.isfinite(score.value)
        assert score.floor is not None
        assert math.isfinite(score.floor)
        assert score.description.endswith(".")
        assert score.protocol
    assert "overlap" not in found["fd_mel"].protocol
    assert isinstance(found["mr_stft"].sheet, Image)
    assert isinstance(found["fd_mel"].sheet, Image)
    assert isinstance(found["copied"].sheet, Audio)
    assert 1 <= found["perplexity"].value <= 16
    assert 0 < found["codes_used"].value <= 1
    assert found["bits_per_second"].value > 0
    assert -1 <= found["copied"].value <= 1


def test_a_floor_from_too_little_sound_says_so(model: Model, dataset: Dataset) -> None:
    found = scored(model, dataset, metrics=("fd",), seconds=1.0)
    assert "(the real ones overlap, as there is less sound than that: their floor is too low)" in found["fd_mel"].protocol


def test_the_same_twice(model: Model, dataset: Dataset) -> None:
    first, second = (scored(model, dataset, metrics=("fd", "bits")) for _ in range(2))
    assert {name: score.value for name, score in first.items()} == {name: score.value for name, score in second.items()}


@pytest.mark.parametrize("options", [{"seed": 5}, {"temperature": 0.2}, {"top_p": 0.3}, {"items": 3}, {"seconds": 0.3}])
def test_each_option_changes_what_is_composed(model: Model, dataset: Dataset, options: dict[str, Any]) -> None:
    usual = scored(model, dataset, metrics=("fd",))["fd_mel"].value
    assert scored(model, dataset, metrics=("fd",), **options)["fd_mel"].value != usual


def test_bits_are_those_of_the_training_metric(model: Model, dataset: Dataset) -> None:
    case = evaluation._Case(sample.opened(Rnn(), model), Moments(dataset), evaluation.Evaluate(), Rnn(), model, Silent())
    held = case.held.read(0, case.held.length)
    voice = case.voice
    whole = held[: len(held) // voice.step * voice.step]
    nats = voice.listener(0).read(voice.encoded(whole))
    found = scored(model, dataset, metrics=("bits",))["bits_per_second"].value
    assert found == pytest.approx(nats / math.log(2) / (len(whole) / voice.rate), rel=1e-6)


def test_a_copy_is_found_and_where_it_is_from(model: Model, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    tape = Moments(dataset).tape
    stolen = tape.read(5000, 30_000) * np.float32(0.3)
    monkeypatch.setattr(evaluation._Case, "made", lambda case: [stolen])
    score = scored(model, dataset, metrics=("copies",))["copied"]
    assert score.value > 0.99
    assert score.floor is not None
    assert score.floor < score.value
    assert isinstance(score.sheet, Audio)
    half = len(score.sheet.samples) // 2
    assert abs(np.corrcoef(score.sheet.samples[:half, 0], score.sheet.samples[half : 2 * half, 0])[0, 1]) > 0.9


def test_real_sound_is_as_near_as_the_floor(model: Model, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation._Case, "made", lambda case: case.clips(case.moments.tape, 9)[1::2])
    near = scored(model, dataset, metrics=("fd",))["fd_mel"].value
    monkeypatch.undo()
    assert near < scored(model, dataset, metrics=("fd",))["fd_mel"].value


def test_the_plain_network_has_no_codec_to_measure(dataset: Dataset, tmp_path: Path) -> None:
    plain = trained(dataset, tmp_path / "run", representation="mulaw", steps=2)
    found = scored(plain, dataset, items=2, seconds=0.3)
    assert list(found) == ["bits_per_second", "fd_mel", "kd_mel", "copied"]
    with pytest.raises(UsageError, match="run has no codec, so --metrics rebuilt says nothing of it; leave it out"):
        scored(plain, dataset, metrics=("rebuilt",))


def test_without_held_out_sound_what_was_learned_is_measured_and_that_is_said(
    model: Model, dataset: Dataset, tmp_path: Path
) -> None:
    class Told(Silent):
        sentence = ""

        def say(self, sentence: str) -> None:
            self.sentence = sentence

    whole = prepare([dataset.folder.parent / "sounds"], tmp_path / "d", Prepare(workers=1, held_out=0))
    told = Told()
    found = api.evaluate("audio", model, whole, device="cpu", progress=told, metrics=("rebuilt", "copies"), items=2, seconds=0.5)
    assert told.sentence.startswith("nothing of this dataset is held out")
    assert found["mr_stft"].value > 0
    assert found["copied"].floor is None


def test_a_dataset_of_another_rate_is_resampled(model: Model, tmp_path: Path) -> None:
    other = prepared(tmp_path, rate=16_000, channels="stereo", files=2, seconds=1.5)
    assert scored(model, other)["fd_mel"].value > 0


def test_an_unknown_measure_is_refused(model: Model, dataset: Dataset) -> None:
    with pytest.raises(OptionError, match="--metrics takes rebuilt, codes, bits, fd or copies, not fad"):
        scored(model, dataset, metrics=("fad",))
