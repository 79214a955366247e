"""Changed versions of a user's own sounds: what stays, what changes, and every way and refusal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_models import prepared, trained
from listening import Listen
from numpy.typing import NDArray
from sample_sounds import RATE, noise, notes, sine, write

from artgen import api
from artgen.artwork import Audio, Text
from artgen.backends.audio.rnn import sample
from artgen.backends.audio.rnn.backend import Rnn
from artgen.backends.audio.rnn.modify import Modify, span_of
from artgen.errors import OptionError, SourceError, UsageError
from artgen.media import loudness
from artgen.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("notes")
    return trained(prepared(folder), folder / "run", steps=30, batch_size=8)


@pytest.fixture
def own() -> Audio:
    return Audio(notes(1.5, 44_100, seed=3), 44_100, name="own.wav")


def changed(model: Model, work: Audio | Path, seed: int = 0, **options: Any) -> Audio:
    found = api.modify("audio", [work], model=model, seed=seed, device="cpu", **options)[0]
    assert isinstance(found, Audio)
    return found


def jumps(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.abs(np.diff(samples.astype(np.float64), axis=0)).max(1)


WAYS: list[dict[str, Any]] = [
    {"continue_": 0.4}, {"inpaint": "0.5-0.9"}, {"restyle": True}, {"stretch": 1.3}, {"pitch": 3.0}
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_way_keeps_rate_and_channels_and_the_seed_fixes_it(model: Model, way: dict[str, Any], channels: int) -> None:
    work = Audio(noise(1.2, 32_000, channels=channels), 32_000)
    made = changed(model, work, 3, **way)
    assert made.rate == 32_000
    assert made.samples.shape[1] == channels
    assert np.abs(made.samples).max() <= 1
    assert np.array_equal(changed(model, work, 3, **way).samples, made.samples)
    if "stretch" not in way and "pitch" not in way:
        assert not np.array_equal(changed(model, work, 4, **way).samples, made.samples)


def test_a_continuation_leaves_what_was_there_and_has_the_length_asked_for(model: Model, own: Audio) -> None:
    made = changed(model, own, continue_=0.5)
    assert len(made.samples) == len(own.samples) + round(0.5 * 44_100)
    kept = len(own.samples) - round(0.02 * 44_100)
    assert np.array_equal(made.samples[:kept], own.samples[:kept])
    assert np.abs(made.samples[len(own.samples) :]).max() > 0.01
    assert abs(made.samples[-1, 0]) < 0.01
    usual = max(np.quantile(jumps(part), 0.999) for part in (made.samples, made.samples[len(own.samples) :]))
    assert jumps(made.samples)[kept - 4 : kept + 4].max() <= usual


def test_outside_the_span_every_sample_stays(model: Model, own: Audio) -> None:
    made = changed(model, own, inpaint="0.5-0.9")
    start, stop = round(0.5 * 44_100), round(0.9 * 44_100)
    assert made.samples.shape == own.samples.shape
    assert np.array_equal(made.samples[:start], own.samples[:start])
    assert np.array_equal(made.samples[stop:], own.samples[stop:])
    inside = slice(start + 1500, stop - 1500)
    assert np.abs(made.samples[inside] - own.samples[inside]).max() > 0.01
    usual = max(np.quantile(jumps(part), 0.999) for part in (made.samples, made.samples[start:stop]))
    for seam in (start, stop):
        assert jumps(made.samples)[seam - 3 : seam + 3].max() <= usual


@pytest.mark.parametrize(
    "way",
    [{"restyle": True}, {"mix": "other.flac"}, {"inpaint": "0-0.3"}, {"inpaint": "1.2-1.5"}, {"pitch": 5.0}, {"stretch": 0.6}],
)
def test_no_end_clicks_that_was_quiet(model: Model, own: Audio, tmp_path: Path, way: dict[str, Any]) -> None:
    if "mix" in way:
        way = {"mix": str(write(tmp_path / "other.flac", sine(880, 0.4, level=0.9, phase=1.0))), "strength": 1.0}
    quiet = Audio(loudness.fade(own.samples, own.rate), own.rate)
    made = changed(model, quiet, **way).samples
    assert np.abs(made[[0, -1]]).max() < 1e-3


def test_stretching_and_transposing_keep_the_loudness(model: Model, own: Audio) -> None:
    for way in ({"stretch": 0.5, "pitch": 3.0}, {"stretch": 1.5}):
        made = changed(model, own, **way)
        assert loudness.loudness(made.samples, made.rate) == pytest.approx(loudness.loudness(own.samples, own.rate), abs=0.5)


@pytest.mark.parametrize("span", ["0-0.3", "1.2-1.5", "0-1.5", "0.5-0.501"])
def test_spans_at_the_ends_and_very_short_ones(model: Model, own: Audio, span: str) -> None:
    made = changed(model, own, inpaint=span)
    assert made.samples.shape == own.samples.shape
    assert not np.array_equal(made.samples, own.samples)


def test_of_several_fillings_the_likeliest_is_kept(model: Model, own: Audio, monkeypatch: pytest.MonkeyPatch) -> None:
    from artgen.backends.audio.rnn.sampler import Listener

    written: list[tuple[float, bytes]] = []
    usual_write, usual_read = Listener.write, Listener.read
    state: dict[str, Any] = {}

    def write_one(listener: Listener, count: int, **options: Any) -> Any:
        state["before"] = listener.nats
        state["filling"] = usual_write(listener, count, **options)
        return state["filling"]

    def read_one(listener: Listener, codes: Any) -> float:
        nats = usual_read(listener, codes)
        if "filling" in state:
            written.append((listener.nats - state["before"], state.pop("filling").tobytes()))
        return nats

    monkeypatch.setattr(Listener, "write", write_one)
    monkeypatch.setattr(Listener, "read", read_one)
    desk_codes: list[bytes] = []
    from artgen.backends.audio.rnn import modify as modification

    usual = modification._Desk._filling

    def filling(desk: Any, *arguments: Any) -> Any:
        found = usual(desk, *arguments)
        desk_codes.append(found.tobytes())
        return found

    monkeypatch.setattr(modification._Desk, "_filling", filling)
    changed(model, own, inpaint="0.5-0.9", candidates=5)
    assert len(written) == 5
    assert desk_codes[0] == min(written)[1]


def test_restyling_changes_more_with_more_strength(model: Model, own: Audio) -> None:
    voice = sample.opened(Rnn(), model)
    assert isinstance(voice, sample.CodecVoice)
    sounds = [changed(model, own, restyle=True, strength=strength).samples for strength in (0.0, 0.5, 1.0)]
    assert all(sound.shape == own.samples.shape for sound in sounds)
    apart = [float(np.square(sound - sounds[0]).mean()) for sound in sounds]
    assert apart[0] < apart[1]
    assert apart[2] > 0
    for sound in sounds:
        assert loudness.loudness(sound, 44_100) == pytest.approx(loudness.loudness(own.samples, 44_100), abs=1.0)
    assert np.array_equal(changed(model, own, 9, restyle=True, strength=0.0).samples, sounds[0])


def test_mixing_goes_from_one_sound_to_the_other(model: Model, own: Audio, tmp_path: Path) -> None:
    path = write(tmp_path / "other.flac", sine(880, 0.4))
    sounds = [changed(model, own, mix=str(path), strength=strength).samples for strength in (0.0, 0.5, 1.0)]
    assert all(sound.shape == own.samples.shape for sound in sounds)
    assert not np.array_equal(sounds[0], sounds[1])
    itself = own.save(tmp_path / "own.flac")
    same = changed(model, own, mix=str(itself), strength=1.0).samples
    assert np.abs(same - changed(model, own, mix=str(itself), strength=0.0).samples).max() < 2e-2


def test_stretching_and_transposing(model: Model) -> None:
    tone = Audio(sine(440, 1.0), RATE)

    def loudest(samples: NDArray[np.float32]) -> float:
        spectrum = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(len(samples))))
        return float(spectrum.argmax() * RATE / len(samples))

    longer = changed(model, tone, stretch=1.5).samples
    assert len(longer) == round(1.5 * RATE)
    assert loudest(longer) == pytest.approx(440, abs=3)
    higher = changed(model, tone, pitch=12).samples
    assert len(higher) == RATE
    assert loudest(higher) == pytest.approx(880, abs=6)
    both = changed(model, tone, pitch=-12, stretch=0.5).samples
    assert len(both) == RATE // 2
    assert loudest(both) == pytest.approx(220, abs=6)


def test_a_file_and_its_replay(model: Model, tmp_path: Path) -> None:
    import artgen

    path = write(tmp_path / "own.wav", notes(0.6))
    place = changed(model, path, 5, continue_=0.2).save(tmp_path / "longer.wav")
    assert artgen.replay(place).state == "identical"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "say what to do with the sound: --continue SECONDS, --inpaint FROM-TO, --restyle, --mix FILE"),
        ({"continue_": 1.0, "restyle": True}, "--continue and --restyle contradict each other"),
        ({"restyle": True, "pitch": 2.0}, "--restyle and --pitch contradict each other"),
    ],
)
def test_one_way_at_a_time(model: Model, own: Audio, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        changed(model, own, **options)


@pytest.mark.parametrize("span", ["", "3", "3-2", "a-b", "1-1", "-1-2"])
def test_a_span_that_is_none(span: str) -> None:
    with pytest.raises(OptionError, match=r"--inpaint takes a span such as 2\.0-3\.5"):
        Modify(inpaint=span)


def test_spans_may_carry_their_unit() -> None:
    assert span_of("2-3.5") == (2.0, 3.5)
    assert span_of(" .5s - 1s ") == (0.5, 1.0)


def test_a_span_beyond_the_end(model: Model, own: Audio) -> None:
    with pytest.raises(OptionError, match=r"--inpaint 1-2: own.wav is 1.500 seconds long; give a span within 0-1.500"):
        changed(model, own, inpaint="1-2")


def test_less_than_a_sample_is_refused(model: Model, own: Audio) -> None:
    with pytest.raises(OptionError, match=r"--inpaint 1-1.000001: no sample of own.wav lies in it; give a longer span"):
        changed(model, own, inpaint="1-1.000001")
    with pytest.raises(OptionError, match=r"--continue 1e-06: shorter than one sample at 44100 Hz; give at least 2.3e-05 seconds"):
        changed(model, own, continue_=1e-6)


def test_what_is_odd_about_a_file_is_told(model: Model, tmp_path: Path) -> None:
    sound = sine()
    sound[100] = np.nan
    broken = write(tmp_path / "broken.wav", sound, coding="FLOAT")
    silent = write(tmp_path / "silent.wav", np.zeros((RATE, 1), np.float32))
    listen = Listen()
    api.modify("audio", broken, model=model, device="cpu", mix=str(silent), progress=listen)
    assert "broken.wav: 1 sample that is not a finite number became silence" in listen.sentences
    assert f"{silent}: it is silent from end to end" in listen.sentences


def test_works_that_are_no_sound_or_empty(model: Model, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"text, not audio|rnn modifies sounds"):
        api.modify("audio", [Text("la")], model=model, device="cpu", restyle=True)
    with pytest.raises(SourceError, match="empty; use artgen audio generate"):
        changed(model, Audio(np.zeros((0, 1), np.float32), RATE), restyle=True)
    (tmp_path / "words.wav").write_text("la la la")
    with pytest.raises(SourceError, match="not a sound of a known kind"):
        changed(model, Audio(noise(0.3), RATE), mix=str(tmp_path / "words.wav"))


def test_the_plain_network_can_only_go_on(tmp_path: Path, own: Audio) -> None:
    plain = trained(prepared(tmp_path), tmp_path / "run", representation="mulaw", steps=2)
    made = changed(plain, own, continue_=0.2)
    assert len(made.samples) == len(own.samples) + round(0.2 * 44_100)
    with pytest.raises(UsageError, match="run has no codec, which --restyle needs; --continue works with it"):
        changed(plain, own, restyle=True)
    assert len(changed(plain, own, stretch=2.0).samples) == 2 * len(own.samples)


@pytest.mark.parametrize("way", [{"continue_": 0.2}, {"restyle": True}, {"stretch": 1.1}, {"pitch": 1.0}, {"inpaint": "0-0.004"}])
def test_a_sound_shorter_than_a_frame(model: Model, way: dict[str, Any]) -> None:
    made = changed(model, Audio(sine(440, 0.005), RATE), **way)
    assert len(made.samples)
    assert np.isfinite(made.samples).all()
