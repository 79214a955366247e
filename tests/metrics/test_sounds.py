"""Measures of sound against cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sample_sounds import RATE, noise, notes, sine

from artgen.errors import UsageError
from artgen.media import audio
from artgen.metrics import sounds as M


def test_equal_sounds_are_at_no_distance_and_worse_ones_at_more() -> None:
    sound = notes(1.0)
    for measure in (M.stft_distance, M.log_spectral_distance):
        assert measure(sound, sound) == 0
        near, far = (measure(sound, sound + noise(1.0, level=level)) for level in (0.001, 0.05))
        assert 0 < near < far


def test_half_the_amplitude_is_6_decibels_and_half_the_magnitude() -> None:
    sound = noise(1.0)
    assert M.log_spectral_distance(sound, sound * 0.5) == pytest.approx(20 * math.log10(2), abs=0.01)
    assert M.stft_distance(sound, sound * 0.5) == pytest.approx(0.5 + math.log(2), abs=0.01)
    assert M.loudness_error(sound, sound * np.float32(0.5), RATE) == pytest.approx(6.02, abs=0.01)


def test_channels_are_compared_each_with_its_own() -> None:
    both = noise(0.5, channels=2)
    assert M.stft_distance(both, both[:, ::-1]) > 0.5
    one, other = M.stft_distance(both[:, :1], both[:, 1:]), M.stft_distance(both[:, 1:], both[:, :1])
    assert M.stft_distance(both, both[:, ::-1]) == pytest.approx((one + other) / 2)


def test_what_is_silent_does_not_decide_the_log_spectral_distance() -> None:
    sound = np.concatenate([sine(440, 0.5), np.zeros((RATE // 2, 1), np.float32)])
    hiss = noise(1.0, level=1e-9)
    assert M.log_spectral_distance(sound, sound + hiss) < 0.01
    silence = np.zeros((RATE, 1), np.float32)
    assert (M.log_spectral_distance(silence, silence), M.stft_distance(silence, silence)) == (0, 0)


def test_loudness_of_silences() -> None:
    silence = np.zeros((RATE, 1), np.float32)
    assert M.loudness_error(silence, silence, RATE) == 0
    assert math.isnan(M.loudness_error(silence, noise(1.0), RATE))


@pytest.mark.parametrize("shape", [(0, 1), (100, 2), (99, 1)])
def test_sounds_of_other_shapes_are_not_compared(shape: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"sounds to compare are \[samples, channels\] of one shape, not \[100, 1\] and"):
        M.stft_distance(np.zeros((100, 1), np.float32), np.zeros(shape, np.float32))


def test_the_use_of_a_codebook() -> None:
    assert M.code_use(np.arange(8).repeat(3), 16) == M.CodeUse(pytest.approx(8), 0.5)
    assert M.code_use(np.zeros((4, 5), np.int64), 4) == M.CodeUse(1.0, 0.25)
    empty = M.code_use(np.zeros(0, np.int64), 4)
    assert math.isnan(empty.perplexity)
    assert math.isnan(empty.share)
    with pytest.raises(UsageError, match="codes of a codebook of 4 are 0 to 3, not 0 to 4"):
        M.code_use(np.array([0, 4]), 4)


# --- sets


def test_the_statistics_of_a_clip_say_what_they_should() -> None:
    found = M.mel_statistics(sine(1000, 1.0, level=1.0), RATE)
    assert found.shape == (M.WIDTH,) == (195,)
    assert found[:64].max() == pytest.approx(0, abs=2.5)  # a full-scale sine is at 0 dB
    assert found[64:128].max() < 15
    beats = np.concatenate(
        [np.concatenate([noise(0.05, level=0.3, seed=n), np.zeros((RATE // 5, 1), np.float32)]) for n in range(8)]
    )
    assert M.mel_statistics(beats, RATE)[192] == pytest.approx(4, abs=0.6)  # onsets a second
    flat, tone = M.mel_statistics(noise(1.0), RATE)[194], M.mel_statistics(sine(440, 1.0), RATE)[194]
    assert flat > tone + 10
    silence = M.mel_statistics(np.zeros((RATE, 1), np.float32), RATE)
    assert silence[:64].tolist() == [-80] * 64
    assert silence[64:194].tolist() == [0] * 130
    assert np.isfinite(M.mel_statistics(noise(0.0005), RATE)).all()


@pytest.mark.parametrize("rate", [16_000, 32_000, 44_100])
def test_the_level_of_a_tone_does_not_depend_on_the_rate(rate: int) -> None:
    assert M.mel_statistics(sine(1000, 1.0, rate, level=1.0), rate)[:64].max() == pytest.approx(0, abs=2.5)


def test_sets_alike_are_near_and_unlike_far() -> None:
    def clips(first: int) -> list[M.Samples]:
        return [notes(0.5, seed=number) for number in range(first, first + 16)]

    one, two = M.mel_features(clips(0), RATE), M.mel_features(clips(100), RATE)
    other = M.mel_features([noise(0.5, seed=number) for number in range(16)], RATE)
    floor, far = M.mel_distances(one, two), M.mel_distances(one, other)
    assert M.mel_distances(one, one)[0] == pytest.approx(0, abs=1e-3)
    assert far[0] > 5 * floor[0] > 0
    assert far[1] > 5 * abs(floor[1])
    assert all(math.isnan(value) for value in M.mel_distances(one[:1], two))
    assert M.mel_features([], RATE).shape == (0, M.WIDTH)


# --- copies


def _training() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    sounds = [notes(3.0, seed=1), noise(0.01), noise(4.0, seed=2), notes(2.0, seed=3)]
    ends = np.cumsum([len(sound) for sound in sounds])
    pieces = np.stack([ends - [len(sound) for sound in sounds], ends], 1)
    return audio.to_pcm(np.concatenate(sounds)), pieces


@pytest.mark.parametrize("gain", [1.0, -0.2])
def test_a_copy_is_found_where_it_is_at_any_volume_and_upside_down(gain: float) -> None:
    samples, pieces = _training()
    start = pieces[2, 0] + 12_345
    copy = np.concatenate([noise(1.0, seed=9), audio.from_pcm(samples[start : start + 3 * RATE // 2]) * np.float32(gain)])
    match = M.Copies(samples, pieces, RATE, seconds=0.5).highest([copy])[0]
    assert match.value > 0.97
    assert (match.piece, match.start >= 0.9) == (2, True)
    assert match.place == pytest.approx(12_345 / RATE + match.start - 1.0, abs=0.001)


def test_a_new_sound_is_no_copy_and_silence_none_at_all() -> None:
    samples, pieces = _training()
    new, silent, empty, short = M.Copies(samples, pieces, RATE, seconds=0.5).highest(
        [noise(1.0, seed=77), np.zeros((RATE, 1), np.float32), np.zeros((0, 1), np.float32), noise(0.01, seed=78)]
    )
    assert new.value < 0.3
    assert math.isnan(silent.value)
    assert math.isnan(empty.value)
    assert 0 < short.value <= 1
    assert M.Copies(samples, pieces, RATE).highest([]) == []


def test_pieces_that_are_not_named_are_not_searched_and_none_is_joined_to_the_next() -> None:
    samples, pieces = _training()
    held = audio.from_pcm(samples[pieces[2, 0] : pieces[2, 1]])
    assert M.Copies(samples, pieces[[0, 1, 3]], RATE, seconds=0.5).highest([held])[0].value < 0.5
    over = audio.from_pcm(samples[pieces[0, 1] - RATE // 4 : pieces[0, 1] + RATE // 4])
    assert M.Copies(samples, pieces, RATE, seconds=0.5).highest([over])[0].value < 0.95


def test_long_training_is_searched_in_blocks_with_nothing_lost_between_them() -> None:
    samples = audio.to_pcm(noise(30.0, 8000, seed=5))
    copies = M.Copies(samples, np.array([[0, len(samples)]]), 8000, seconds=0.25)
    places = range(1000, len(samples) - 4000, 23_456)
    found = copies.highest([audio.from_pcm(samples[place : place + 2000]) for place in places])
    assert [match.value > 0.95 for match in found] == [True] * len(places)
    assert [match.place for match in found] == pytest.approx([place / 8000 for place in places], abs=0.001)


def test_griffin_lim_rebuilds_a_sound_from_its_mel_spectrogram_the_same_each_time() -> None:
    sound = notes(0.6)
    made = M.griffin_lim(sound, RATE, iterations=8)
    assert made.shape == sound.shape
    assert M.stft_distance(sound, made) < 0.6 * M.stft_distance(sound, noise(0.6))
    assert np.array_equal(made, M.griffin_lim(sound, RATE, iterations=8))
