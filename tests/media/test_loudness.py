"""Loudness against the reference cases of ITU-R BS.1770-4 and EBU Tech 3341; the limiter, fades and loops by their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sample_sounds import RATE, noise, sine

from artgen.media import loudness as L


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100, 48_000])
def test_a_full_scale_sine_of_997_hertz_reads_minus_3_01_in_one_channel_and_0_in_two(rate: int) -> None:
    tone = sine(997, 2.0, rate, level=1.0)
    assert L.loudness(tone, rate) == pytest.approx(-3.01, abs=0.05)
    assert L.loudness(np.repeat(tone, 2, 1), rate) == pytest.approx(0.0, abs=0.05)


def test_the_filter_at_48_kilohertz_is_the_table_of_the_standard() -> None:
    shelf, ear = L.weighting(48_000)
    assert shelf == pytest.approx([1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241, 0.73248077421585])
    assert ear == pytest.approx([1, -2, 1, 1, -1.99004745483398, 0.99007225036621])


def test_the_gates_leave_out_pauses() -> None:
    """EBU Tech 3341, cases 3 and 4: -36 and -72 dBFS around -23 dBFS in two channels read -23 LUFS."""

    def tones(*parts: tuple[float, float]) -> L.Samples:
        made = [sine(1000, seconds, 48_000, level=L.from_db(level)) for level, seconds in parts]
        return np.repeat(np.concatenate(made), 2, 1)

    assert L.loudness(tones((-36, 10), (-23, 60), (-36, 10)), 48_000) == pytest.approx(-23, abs=0.1)
    assert L.loudness(tones((-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)), 48_000) == pytest.approx(-23, abs=0.1)


def test_surround_channels_count_more_and_the_low_one_not_at_all() -> None:
    tone = sine(1000, 1.0, 48_000)
    front, low, back = (np.zeros((len(tone), 6), np.float32) for _ in range(3))
    front[:, :1], low[:, 3:4], back[:, 4:5] = tone, tone, tone
    assert L.loudness(back, 48_000) - L.loudness(front, 48_000) == pytest.approx(10 * math.log10(1.41))
    assert L.loudness(low, 48_000) == -math.inf
    assert L.loudness(back[:, [0, 1, 2, 4, 5]], 48_000) == pytest.approx(L.loudness(back, 48_000))


def test_silence_and_short_sounds() -> None:
    assert L.loudness(np.zeros((RATE, 1), np.float32), RATE) == -math.inf
    assert L.loudness(np.zeros((0, 1), np.float32), RATE) == -math.inf
    assert L.loudness(sine(997, 0.2, level=1.0), RATE) == pytest.approx(-3.0, abs=0.3)
    assert L.to_db(0) == -math.inf
    assert L.from_db(L.to_db(0.25)) == pytest.approx(0.25)


def test_how_a_sound_is_cut_does_not_change_what_is_measured() -> None:
    sound = noise(1.3, channels=2)
    whole, parts = L.Meter(RATE, 2), L.Meter(RATE, 2)
    whole.add(sound)
    for part in np.array_split(sound, 37):
        parts.add(part)
    assert parts.loudness == pytest.approx(whole.loudness, abs=1e-9)
    assert (parts.peak, parts.seconds) == (whole.peak, 1.3)


def test_a_true_peak_is_found_between_the_samples() -> None:
    # At a quarter of the rate with this phase no sample is higher than 0.707 of the wave.
    tone = sine(12_000, 0.5, 48_000, level=1.0, phase=math.pi / 4)
    assert np.abs(tone).max() < 0.708
    assert L.to_db(L.true_peak(tone[100:-100] * np.hanning(len(tone) - 200)[:, None].astype(np.float32))) == pytest.approx(
        0, abs=0.2
    )
    assert L.true_peak(np.zeros((10, 1), np.float32)) == 0


def test_the_limiter_holds_the_ceiling_leaves_the_rest_and_does_not_care_for_blocks() -> None:
    sound = noise(2.5, level=0.1, channels=2)
    sound[20_000, 1] = 3.0
    whole = np.concatenate(list(L.limited([sound], RATE, 2)))
    parts = np.concatenate(list(L.limited(np.array_split(sound, 91), RATE, 2)))
    assert np.array_equal(whole, parts)
    assert whole.shape == sound.shape
    assert L.to_db(L.true_peak(whole)) <= L.CEILING
    untouched = np.ones(len(sound), bool)
    untouched[20_000 - 400 : 20_000 + 400] = False
    assert np.array_equal(whole[untouched], sound[untouched])
    assert not np.array_equal(whole, sound)


def test_a_sound_below_the_ceiling_passes_bit_for_bit() -> None:
    sound = sine(440, 2.0, level=0.85)
    assert np.array_equal(np.concatenate(list(L.limited([sound], RATE, 1))), sound)
    assert np.array_equal(np.concatenate(list(L.limited([sound * 1.1], RATE, 1, 0.0, true=False))), sound * np.float32(1.1))
    assert list(L.limited([], RATE, 1)) == []


@pytest.mark.parametrize("level", [0.001, 0.3, 5.0])
def test_normalised_sound_is_at_the_target_without_a_true_peak_over_the_ceiling(level: float) -> None:
    made = L.normalise(noise(2.0, level=level), RATE)
    assert L.loudness(made, RATE) == pytest.approx(L.TARGET, abs=0.5)
    assert L.to_db(L.true_peak(made)) <= L.CEILING + 1e-6
    assert np.array_equal(made, L.normalise(noise(2.0, level=level), RATE))


def test_silence_is_not_turned_up_and_the_next_to_silent_only_so_far() -> None:
    silence = np.zeros((RATE, 1), np.float32)
    assert np.array_equal(L.normalise(silence, RATE), silence)
    assert L.gain_for(-math.inf, -14) == 1
    assert L.to_db(L.gain_for(-100, -14)) == pytest.approx(60)
    assert L.to_db(L.gain_for(-30, -14)) == pytest.approx(16)


def test_fades_begin_and_end_in_silence_and_leave_the_middle() -> None:
    sound = np.ones((RATE, 1), np.float32)
    made = L.fade(sound, RATE, 0.01, 0.02)
    assert made[0, 0] < 1e-4
    assert made[-1, 0] < 1e-4
    assert np.array_equal(made[300:-500], sound[300:-500])
    assert np.all(np.diff(made[:220, 0]) > 0)
    assert np.all(sound == 1)
    assert L.fade(sound[:3], RATE).shape == (3, 1)


def test_crossfades_keep_the_level_of_like_and_the_power_of_unlike_sounds() -> None:
    one = np.ones((1000, 1), np.float32)
    assert L.crossfade(one, one, 200) == pytest.approx(np.ones((1800, 1)))
    mixed = L.crossfade(noise(1.0, seed=1), noise(1.0, seed=2), RATE, equal_power=True)
    assert mixed.std() == pytest.approx(0.1, rel=0.05)
    joined = L.crossfade(one, one, 0)
    assert joined.shape == (2000, 1)


def test_a_loop_has_no_edge_where_it_begins_again() -> None:
    sound = sine(443.7, 1.0, level=0.5)
    looped = L.loop(sound, 2000)
    assert looped.shape == (RATE - 2000, 1)
    inside = float(np.abs(np.diff(sound[:, 0])).max())
    assert abs(float(looped[0, 0] - looped[-1, 0])) <= 1.05 * inside
    assert abs(float(sound[0, 0] - sound[-1, 0])) > 1.05 * inside
    assert np.array_equal(looped[2000:], sound[2000:-2000])
    assert np.array_equal(L.loop(sound[:1], 10), sound[:1])
