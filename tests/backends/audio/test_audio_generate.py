"""Sounds that ``audio.rnn`` composes: length, loudness, edges, loops, prompts, and the promise of the seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_models import prepared, trained
from listening import Listen
from numpy.typing import NDArray
from sample_sounds import RATE, noise, notes, sine, write

import artgen
from artgen import api
from artgen.artwork import Audio
from artgen.backend import Silent
from artgen.backends.audio.rnn import mastering, sample, streams
from artgen.backends.audio.rnn.backend import Rnn
from artgen.backends.audio.rnn.sampler import Listener
from artgen.errors import ModelError, OptionError, SourceError
from artgen.media import loudness
from artgen.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("notes")
    return trained(prepared(folder), folder / "run", steps=30, batch_size=8)


@pytest.fixture(scope="module")
def raw_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("raw")
    return trained(prepared(folder), folder / "run", steps=10, batch_size=8, representation="mulaw")


def composed(model: Model, seed: int = 1, **options: Any) -> Audio:
    found = api.generate("audio", model=model, seed=seed, device="cpu", **options)[0]
    assert isinstance(found, Audio)
    return found


def jumps(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.abs(np.diff(samples.astype(np.float64), axis=0)).max(1)


# --- what comes out


@pytest.mark.parametrize("seconds", [0.01, 0.5, 1.2345])
def test_the_sound_is_as_long_as_asked(model: Model, raw_model: Model, seconds: float) -> None:
    assert composed(model, seconds=seconds).samples.shape == (round(seconds * RATE), 1)
    made = composed(raw_model, seconds=seconds)
    assert made.rate == 8000
    assert made.samples.shape == (round(seconds * 8000), 1)


@pytest.mark.parametrize("options", [{}, {"loop": True}])
def test_loudness_and_peak(model: Model, options: dict[str, Any]) -> None:
    for seed in range(3):
        made = composed(model, seed, seconds=2.0, **options)
        assert loudness.loudness(made.samples, made.rate) == pytest.approx(-14, abs=1.0)
        assert loudness.true_peak(made.samples) <= loudness.from_db(-0.9)


def test_it_begins_and_ends_without_a_click(model: Model) -> None:
    made = composed(model, seconds=1.0).samples
    usual = np.quantile(jumps(made), 0.999)
    assert abs(made[0, 0]) <= usual
    assert abs(made[-1, 0]) <= usual
    assert np.abs(made[-20:]).max() < 0.02


def test_a_loop_comes_round_without_a_seam(model: Model) -> None:
    for seed in range(3):
        made = composed(model, seed, seconds=1.0, loop=True).samples
        assert len(made) == RATE
        twice = np.concatenate([made, made])
        assert jumps(twice)[len(made) - 3 : len(made) + 3].max() <= np.quantile(jumps(made), 0.999)
        assert np.abs(made[:200]).max() > 0.01  # not faded out


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg"])
def test_every_kind_of_file(model: Model, tmp_path: Path, ending: str) -> None:
    work = composed(model, seconds=0.6)
    place = work.save(tmp_path / f"sound{ending}")
    read, rate = soundfile.read(place, always_2d=True)
    assert rate == RATE
    assert np.abs(read).max() <= 1
    assert abs(len(read) - len(work.samples)) <= (0 if ending != ".ogg" else 64)
    assert artgen.open_artwork(place).recipe is not None


# --- the promise of the seed


def test_a_sound_is_the_same_in_any_company_and_as_often_as_it_is_made(model: Model, raw_model: Model) -> None:
    for opened in (model, raw_model):
        alone = composed(opened, 6, seconds=0.4).samples
        several = api.generate("audio", model=opened, seeds=[4, 6, 5], device="cpu", seconds=0.4)
        assert np.array_equal(several[1].numpy(), alone)
        again = np.concatenate(list(several[1].blocks()))  # type: ignore[attr-defined]
        assert np.array_equal(again, alone)
        assert not np.array_equal(several[0].numpy(), alone)
        fresh = Model.open(opened.folder)
        assert np.array_equal(composed(fresh, 6, seconds=0.4).samples, alone)


def test_a_stream_is_the_array_it_makes(model: Model) -> None:
    work = composed(model, seconds=0.8)
    first = np.concatenate(list(work.blocks()))
    assert np.array_equal(first, np.concatenate(list(work.blocks())))
    assert np.array_equal(first, work.samples)


def test_a_replay_is_identical(model: Model, tmp_path: Path) -> None:
    place = composed(model, 9, seconds=0.4, temperature=0.7, top_k=9).save(tmp_path / "one.flac")
    assert artgen.replay(place).state == "identical"


def test_options_of_choice_change_the_sound(model: Model) -> None:
    usual = composed(model, seconds=0.4).samples
    for options in ({"temperature": 0.3}, {"top_k": 2}, {"top_p": 0.2}):
        assert not np.array_equal(composed(model, seconds=0.4, **options).samples, usual)
    assert np.array_equal(composed(model, seconds=0.4, top_k=1).samples, composed(model, 5, seconds=0.4, temperature=0).samples)


def test_a_sound_does_not_stand_still_for_longer_than_its_rest(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = sample.opened(Rnn(), model)
    assert sample.resting(sample.Generate(), voice) == round(0.5 * RATE / voice.step)
    assert sample.resting(sample.Generate(rest=1e-6), voice) == 1
    assert sample.resting(sample.Generate(rest=0), voice) == 0
    asked = []

    def write(listener: Listener, count: int, **options: Any) -> NDArray[np.int16]:
        asked.append(options["rest"])
        return usual(listener, count, **options)

    usual = Listener.write
    monkeypatch.setattr(Listener, "write", write)
    composed(model, seconds=0.2, rest=0.1)
    assert set(asked) == {round(0.1 * RATE / voice.step)}


# --- from a sound on


def test_a_prompt_stays_and_what_follows_hangs_on_it(model: Model, tmp_path: Path) -> None:
    prompts = [write(tmp_path / f"{seed}.wav", notes(0.7, seed=seed)) for seed in (1, 2)]
    made = [composed(model, seconds=0.5, prompt_audio=str(path)).samples for path in prompts]
    for path, sound in zip(prompts, made, strict=True):
        own = soundfile.read(path, dtype="float32", always_2d=True)[0]
        assert len(sound) == len(own) + round(0.5 * RATE)
        kept = slice(round(0.1 * RATE), len(own) - round(0.1 * RATE))
        assert np.corrcoef(sound[kept, 0], own[kept, 0])[0, 1] > 0.99
        usual = max(np.quantile(jumps(part), 0.999) for part in (sound, sound[len(own) :]))
        for seam in (len(own) - round(sample.JOIN_SECONDS * RATE), len(own)):
            assert jumps(sound)[seam - 4 : seam + 4].max() <= usual
    assert not np.array_equal(made[0][-2000:], made[1][-2000:])


def test_a_prompt_of_any_kind_and_any_company(model: Model, raw_model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "stereo.wav", noise(0.3, 44_100, channels=2), 44_100)
    for opened in (model, raw_model):
        alone = composed(opened, 6, seconds=0.3, prompt_audio=str(path)).samples
        several = api.generate("audio", model=opened, seeds=[5, 6], device="cpu", seconds=0.3, prompt_audio=str(path))
        assert np.array_equal(several[1].numpy(), alone)
        assert abs(len(alone) - round(0.6 * several[1].rate)) <= 2  # type: ignore[attr-defined]


def test_a_prompt_shorter_than_a_frame(model: Model, tmp_path: Path) -> None:
    path = write(tmp_path / "click.wav", sine(440, 0.005))
    assert len(composed(model, seconds=0.2, prompt_audio=str(path)).samples) == round(0.005 * RATE) + round(0.2 * RATE)


def test_a_prompt_shorter_than_a_frame_is_heard_and_joined_without_a_step(model: Model) -> None:
    voice = sample.opened(Rnn(), model)
    short = np.full((voice.step - 1, 1), 0.5, np.float32)
    prompt = sample.Prompt(short, voice.encoded(sample.ending(short, voice)))
    assert prompt.codes.shape[-1] == 1
    joined = np.concatenate(list(sample.joined(voice, prompt, voice.listener(1).write(8))))
    assert len(joined) == len(short) + 8 * voice.step
    assert jumps(joined)[: len(short) + 1].max() < 0.1


def test_what_is_odd_about_a_prompt_is_told(model: Model, tmp_path: Path) -> None:
    listen = Listen()
    path = write(tmp_path / "silent.wav", np.zeros((RATE, 1), np.float32))
    api.generate("audio", model=model, seed=1, device="cpu", seconds=0.1, prompt_audio=str(path), progress=listen)
    assert f"{path}: it is silent from end to end" in listen.sentences


def test_a_prompt_that_is_no_sound_is_said(model: Model, tmp_path: Path) -> None:
    (tmp_path / "words.wav").write_text("la la la")
    with pytest.raises(SourceError, match="not a sound of a known kind"):
        composed(model, prompt_audio=str(tmp_path / "words.wav"))
    with pytest.raises(SourceError, match="No such file"):
        composed(model, prompt_audio=str(tmp_path / "none.wav"))


# --- refusals, progress


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 0}, "--seconds takes more than 0"),
        ({"seconds": 1e-5}, "--seconds 1e-05: shorter than one sample at 22050 Hz; give at least 4.5e-05 seconds"),
        ({"temperature": -1}, "--temperature takes 0 to 10, not -1"),
        ({"top_p": 0}, "--top-p takes more than 0"),
        ({"top_k": -1}, "--top-k takes 0 or more"),
    ],
)
def test_values_out_of_range(model: Model, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        composed(model, **options)


def test_damaged_weights_are_said(model: Model, tmp_path: Path) -> None:
    for path in model.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"model.safetensors: damaged"):
        composed(Model.open(tmp_path))


def test_progress_tells_seconds(model: Model) -> None:
    class Listening(Silent):
        total, done, finished = 0.0, 0.0, False

        def start(self, description: str, total: float | None = None, unit: str = "") -> None:
            self.total = total or 0.0

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.done += amount

        def finish(self) -> None:
            self.finished = True

    progress = Listening()
    list(api.iter_generate("audio", model=model, seeds=[1, 2], device="cpu", progress=progress, seconds=0.3))
    assert progress.total == pytest.approx(0.6)
    assert progress.done == pytest.approx(0.6)
    assert progress.finished


@pytest.mark.slow
def test_compiling_is_told_of_once(model: Model, tmp_path: Path) -> None:
    code = (
        "import sys; from artgen import api; from artgen.backend import Silent\n"
        "class Told(Silent):\n    def say(self, sentence): print(sentence)\n"
        "api.generate('audio', model=sys.argv[1], seed=0, seconds=0.05, device='cpu', progress=Told())"
    )
    command = [sys.executable, "-c", code, str(model.folder)]
    told = [
        subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True, check=True).stdout.splitlines()
        for more in ({"NUMBA_CACHE_DIR": str(tmp_path)}, {"NUMBA_CACHE_DIR": str(tmp_path)})
    ]
    assert told == [["compiling what composes, once on this machine"], []]


# --- mastering


def test_mastering_needs_no_more_memory_for_more_sound() -> None:
    served = []

    def endless(blocks: int) -> Any:
        for number in range(blocks):
            served.append(number)
            yield noise(1.0, 8000, seed=number)

    stream = mastering.mastered(endless(40), 8000, 1)
    sizes = [len(block) for block in stream]
    assert sum(sizes) == 40 * 8000
    assert max(sizes) < 2 * 2**16 + 2**15


@pytest.mark.parametrize("level", [1e-3, 0.05, 0.9])
def test_any_level_is_brought_to_the_target(level: float) -> None:
    sound = noise(2.0, level=level) + sine(300, 2.0, level=level)
    made = np.concatenate(list(mastering.mastered([sound[:9000], sound[9000:]], RATE, 1)))
    assert loudness.loudness(made, RATE) == pytest.approx(-14, abs=0.5)
    assert loudness.true_peak(made) <= loudness.from_db(-0.9)


def test_peaks_are_limited_the_same_at_both_ends_of_a_loop() -> None:
    beats = noise(2.0, level=0.02)
    beats[:40] += 0.9  # a peak at the very place where the loop comes round
    made = np.concatenate(list(mastering.mastered([beats], RATE, 1, overlap=4000)))
    assert len(made) == 2 * RATE - 4000
    assert loudness.true_peak(np.concatenate([made[-2000:], made[:2000]])) <= loudness.from_db(-0.9)


def test_silence_stays_silence() -> None:
    made = np.concatenate(list(mastering.mastered([np.zeros((4000, 1), np.float32)], RATE, 1)))
    assert made.shape == (4000, 1)
    assert not made.any()


def test_how_a_work_is_cut_into_reports_has_no_say(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = composed(model, seconds=0.5).samples
    monkeypatch.setattr(sample, "REPORTS", 3)
    assert np.array_equal(composed(model, seconds=0.5).samples, usual)
    monkeypatch.setattr(streams, "PIECE", 11)
    assert np.abs(composed(model, seconds=0.5).samples - usual).max() < 1e-3
