"""Training of ``audio.rnn``: what is read of the sounds, and every option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from audio_models import options, tasks, trained
from sample_sounds import RATE, sine, write

from artgen import api
from artgen.backends.audio.rnn import presets
from artgen.backends.audio.rnn.codec_task import CodecTask
from artgen.backends.audio.rnn.composer_task import ComposerTask, copies_of
from artgen.backends.audio.rnn.settle import settled
from artgen.backends.audio.rnn.tape import STEP, Moments
from artgen.dataset import Dataset
from artgen.errors import DatasetError, OptionError
from artgen.media.audio import from_pcm
from artgen.media.prepare_audio import Prepare, prepare
from artgen.training.task import Batch, Position

# --- the tape


def test_the_tape_is_what_is_not_held_out_from_end_to_end(dataset: Dataset) -> None:
    moments = Moments(dataset)
    held = set(dataset.array("held_out").tolist())
    wanted = [
        from_pcm(dataset.array("samples")[start:stop])
        for number, (start, stop) in enumerate(dataset.array("pieces"))
        if number not in held
    ]
    assert moments.tape.length == sum(map(len, wanted))
    assert len(moments) == moments.tape.length // STEP
    read = moments.tape.read(0, moments.tape.length)
    whole = np.concatenate(wanted)
    inner = np.ones(len(whole), bool)
    for end in np.cumsum([0, *map(len, wanted)]):
        inner[max(0, end - 50) : end + 50] = False
    assert np.array_equal(read[inner], whole[inner])
    assert moments.held is not None
    assert moments.held.length == dataset.manifest.shapes["samples"][0] - moments.tape.length


def test_a_read_goes_on_from_the_front_and_joins_without_a_click(dataset: Dataset) -> None:
    tape = Moments(dataset).tape
    around = tape.read(tape.length - 300, 600)
    assert np.array_equal(around[300:], tape.read(0, 300))
    assert np.array_equal(around, tape.read(2 * tape.length - 300, 600))
    assert np.abs(around[298:302]).max() < 0.01


def test_crops_are_reads(dataset: Dataset) -> None:
    tape = Moments(dataset).tape
    places = np.array([0, 700, tape.length - 100, 3 * tape.length + 5, int(tape.ends[0]) - 250])
    crops = tape.crops(places, 500)
    for place, crop in zip(places, crops, strict=True):
        assert np.abs(from_pcm(crop) - tape.read(int(place), 500)).max() <= 1 / 32768


def test_many_short_files_are_joined(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "s" / f"{number}.wav", sine(200 + 50 * number, 0.12))
    made = prepare([tmp_path / "s"], tmp_path / "d", Prepare(workers=1, held_out=0))
    tape = Moments(made).tape
    assert tape.length == 6 * round(0.12 * RATE)
    assert np.abs(tape.read(0, tape.length)).max() > 0.05


def test_nothing_left_to_learn_from_is_said(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(dataset._arrays, "held_out", np.arange(len(dataset)))
    with pytest.raises(DatasetError, match="nothing is left to learn from; prepare it again with --held-out 0"):
        Moments(dataset)


# --- options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"codec_minutes": 1.0}, "--codec-minutes sets a part of --minutes apart; give --minutes too"),
        ({"codec_minutes": 2.0, "minutes": 2.0}, "--codec-minutes takes less than --minutes 2, not 2"),
        ({"codec_minutes": 1.0, "minutes": 2.0, "codec": "x"}, "leave one of them out"),
        ({"representation": "mulaw", "codec": "x"}, "--codec is about a codec, and --representation mulaw has none"),
        ({"representation": "mulaw", "codes": 4}, "--codes is about a codec"),
        ({"representation": "mulaw", "codec_minutes": 4.0}, "--codec-minutes is about a codec"),
    ],
)
def test_options_that_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        settled(options(**given))


def test_the_recipe_is_what_options_and_budget_ask_for() -> None:
    assert presets.chosen("auto", 5.0) == "sketch"
    assert presets.chosen("auto", None) == "sketch"
    assert presets.chosen("auto", 40.0) == "standard"
    assert presets.chosen("large", 1.0) == "large"
    plan = settled(options(minutes=20.0, codec_minutes=5.0, codes=2, dropout=0.3, learning_rate=0.01, batch_size=7))
    assert plan.share == 0.25
    assert plan.codec["codebooks"] == 2
    assert presets.composer_network(plan, presets.codec_network(plan, RATE, 1))["codebooks"] == 2
    assert (plan.dropout, plan.codec_rate, plan.composer_rate, plan.batch) == (0.3, 0.01, 0.01, 7)
    assert settled(options(batch_size=0)).batch == presets.SKETCH.batch


def codec_loss(dataset: Dataset, **changes: Any) -> float:
    task = tasks(dataset, **changes)[0]
    assert isinstance(task, CodecTask)
    task.begin(dataset, [])
    batch = Batch(task.load(dataset, [0, 5, 9]), 3, 0, 3, 12, torch.device("cpu"))
    return float(task.eval()("codec", batch, Position(0, 10))["loss"].detach())


NONE = {"pitch": 0.0, "gain": 0.0, "polarity": False, "mixing": 0.0}


@pytest.mark.parametrize("given", [{"pitch": 2.0}, {"gain": 12.0}, {"mixing": 1.0}])
def test_each_variation_changes_what_the_codec_learns_from(dataset: Dataset, given: dict[str, Any]) -> None:
    loss = codec_loss(dataset, **{**NONE, **given})
    assert loss != codec_loss(dataset, **NONE)
    assert loss == codec_loss(dataset, **{**NONE, **given})


def test_polarity_is_no_difference_to_spectra_but_one_to_the_codec(dataset: Dataset) -> None:
    assert codec_loss(dataset, **{**NONE, "polarity": True}) != codec_loss(dataset, **NONE)


@pytest.mark.parametrize(("given", "copies"), [({}, 5), ({"pitch": 0.0, "stretch": 0.0}, 1), ({"pitch": 0.0}, 5)])
def test_the_composer_learns_from_changed_copies(dataset: Dataset, given: dict[str, Any], copies: int) -> None:
    first, second = tasks(dataset, **given)
    first.begin(dataset, [])
    second.begin(dataset, [first])
    assert isinstance(second, ComposerTask)
    assert len(second.tapes) == copies
    windows = second.load(dataset, list(range(12)))["codes"]
    assert windows.shape == (12, 3, 12)
    assert torch.equal(windows[0], torch.from_numpy(second.tapes[0][:, :12].astype(np.int64)))
    if copies > 1:
        assert any(not np.array_equal(second.tapes[0][:, :40], tape[:, :40]) for tape in second.tapes[1:])
    last = second.load(dataset, [len(Moments(dataset)) - 1])["codes"]
    assert last.shape == (1, 3, 12)


@pytest.mark.parametrize(
    ("seconds", "budget", "copies"), [(60, None, 4), (60, 600, 4), (1300, None, 2), (1300, 120, 0), (1300, 300, 2), (5000, 9e9, 0)]
)
def test_copies_are_fewer_where_the_tape_is_long_or_the_time_short(seconds: float, budget: float | None, copies: int) -> None:
    assert copies_of(seconds, budget) == copies


def test_a_short_time_is_not_spent_on_copies(dataset: Dataset) -> None:
    seconds = Moments(dataset).tape.length / RATE
    # Half of the time is the composer's, and a second of it allows ten of sound.
    first, second = tasks(dataset, steps=None, minutes=2.5 * seconds / 10 / 60 * 2)
    first.begin(dataset, [])
    second.begin(dataset, [first])
    assert isinstance(second, ComposerTask)
    assert len(second.tapes) == 1 + 2


def test_too_little_sound_is_said(tmp_path: Path) -> None:
    write(tmp_path / "s" / "click.wav", sine(440, 0.011))
    made = prepare([tmp_path / "s"], tmp_path / "d", Prepare(workers=1, held_out=0, min_seconds=0.01))
    first, second = tasks(made)
    with pytest.raises(DatasetError, match="less than two frames of sound to learn from; give more sound"):
        second.begin(made, [first])


def test_one_clip_of_a_second_is_enough(tmp_path: Path) -> None:
    write(tmp_path / "s" / "short.wav", sine(440, 0.2))
    made = prepare([tmp_path / "s"], tmp_path / "d", Prepare(workers=1))
    found = trained(made, tmp_path / "run", steps=2, best_by="auto", previews=1)
    assert len(api.generate("audio", model=found, seed=0, seconds=0.1)[0].samples) == 2205  # type: ignore[attr-defined]


def test_dropout_is_a_function_of_the_batch(dataset: Dataset) -> None:
    first, second = tasks(dataset, dropout=0.5)
    second.begin(dataset, [first])
    second.train()
    batch = Batch(second.load(dataset, [0, 3]), 2, 0, 2, 5, torch.device("cpu"))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = float(second("composer", batch, Position(0, 9))["loss"].detach())
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert float(second("composer", batch, Position(0, 9))["loss"].detach()) == one
    other = Batch(batch.data, 2, 0, 2, 6, torch.device("cpu"))
    assert float(second("composer", other, Position(0, 9))["loss"].detach()) != one
