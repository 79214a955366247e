"""A sound as curves: what is loud, where beats are, what is bright, and that motion follows it and ends where it should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from artgen.errors import SourceError
from artgen.media import reactive, video
from artgen.media.reactive import Curves, curves, listen

RATE = 16_000


def strokes(seconds: float = 6.0, beats: tuple[float, ...] = (1.0, 2.0, 3.0)) -> NDArray[np.float32]:
    """Tones that are struck and fade, low and high in turn, and silence: [N, 1]."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = np.zeros_like(time)
    for number, beat in enumerate(beats):
        tone = np.sin(2 * np.pi * (3000 if number % 2 else 200) * time)
        wave += 0.5 * tone * np.exp(-8 * np.maximum(time - beat, 0)) * (time >= beat)
    return wave[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def heard() -> Curves:
    return curves(strokes(), RATE, 10.0, 60)


def test_curves_are_one_value_a_frame_from_0_to_1(heard: Curves) -> None:
    for curve in (heard.loudness, heard.onsets, heard.brightness):
        assert curve.shape == (60,)
        assert curve.min() >= 0
        assert curve.max() <= 1


def test_loudness_follows_the_strokes_and_silence_is_0(heard: Curves) -> None:
    assert heard.loudness[[11, 21, 31]].min() > 0.8
    assert heard.loudness[:8].max() == 0
    assert heard.loudness[-10:].max() == 0
    assert (np.diff(heard.loudness[11:18]) < 0).all()


def test_onsets_are_where_the_beats_are(heard: Curves) -> None:
    rises = np.flatnonzero(np.diff(heard.onsets, prepend=0) > 0.5)
    assert [round(rise / 10) for rise in rises] == [1, 2, 3]
    assert (np.diff(heard.onsets[12:18]) < 0).all()  # and fade


def test_brightness_tells_high_from_low(heard: Curves) -> None:
    assert heard.brightness[12:15].max() < 0.4
    assert heard.brightness[22:25].min() > 0.6


def test_motion_follows_the_sound_and_passes_the_whole_way(heard: Curves) -> None:
    speeds = heard.speeds()
    assert speeds.mean() == pytest.approx(1)
    assert speeds[11] > 3 * speeds[50]
    assert speeds.min() > 0
    places = heard.places()
    assert places[0] == 0
    assert (np.diff(places) > 0).all()
    assert places[-1] + speeds[-1] / speeds.sum() == pytest.approx(1)
    assert np.allclose(heard.places(0.0), np.arange(60) / 60)
    assert heard.speeds(2.0).std() > speeds.std() > heard.speeds(0.5).std() > 0


def test_truncation_swings_around_what_was_asked_for(heard: Curves) -> None:
    wide = heard.truncations(0.7)
    assert wide.mean() == pytest.approx(0.7, abs=0.02)
    assert wide[22] > wide[50] + 0.1
    assert (heard.truncations(0.7, 0.0) == 0.7).all()
    assert heard.truncations(2.0, 3.0).max() <= 2
    assert heard.truncations(0.7, 3.0).min() >= 0


def test_silence_moves_evenly(tmp_path: Path) -> None:
    still = curves(np.zeros((RATE, 1), np.float32), RATE, 25.0, 25)
    assert np.allclose(still.speeds(), 1)
    assert np.allclose(still.truncations(0.5), 0.5)


@pytest.mark.parametrize("fps", [0.7, 30.0, 120.0])
def test_any_rate_of_frames_finds_every_beat(fps: float) -> None:
    """With fewer frames than hops no beat falls between two; with more none is counted twice."""
    found = curves(strokes(), RATE, fps, round(6 * fps))
    assert found.onsets.max() > 0.9
    rises = np.flatnonzero(np.diff(found.onsets, prepend=0) > 0.3)
    assert len(rises) <= 3 if fps < 100 else len(rises) <= 12
    assert {round(rise / fps) for rise in rises} <= {0, 1, 2, 3, 4}


def test_blocks_of_a_long_sound_change_nothing(monkeypatch: pytest.MonkeyPatch, heard: Curves) -> None:
    monkeypatch.setattr(reactive, "_AT_ONCE", 7)
    again = curves(strokes(), RATE, 10.0, 60)
    for name in ("loudness", "onsets", "brightness"):
        assert np.abs(getattr(again, name) - getattr(heard, name)).max() < 1e-4, name


def test_listen_cuts_or_pads_to_the_film(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.repeat(strokes(), 2, 1), RATE)
    (samples, rate), whole = listen(tmp_path / "a.wav", 10.0)
    assert (samples.shape, rate, len(whole.loudness)) == ((96_000, 2), RATE, 60)
    (samples, _), cut = listen(tmp_path / "a.wav", 10.0, 2.5)
    assert (len(samples), len(cut.onsets)) == (40_000, 25)
    (samples, _), longer = listen(tmp_path / "a.wav", 10.0, 9.0)
    assert (len(samples), len(longer.onsets)) == (96_000, 90)
    assert longer.loudness[60:].max() == 0
    soundfile.write(tmp_path / "b.wav", strokes(), 12_345)
    assert listen(tmp_path / "b.wav", 10.0)[0][1] == 48_000  # an MP4 cannot hold any rate


def test_the_sound_of_a_clip_is_heard(tmp_path: Path) -> None:
    video.encode(np.zeros((20, 16, 16, 3), np.uint8), 10, tmp_path / "a.mp4", "", "", audio=(strokes(2.0, (0.5,)), RATE))
    (_, rate), found = listen(tmp_path / "a.mp4", 10.0)
    assert rate == RATE
    assert found.loudness[6] > 0.5


def test_what_is_no_sound(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound at all")
    with pytest.raises(SourceError, match=r"a\.wav"):
        listen(tmp_path / "a.wav", 10.0)
    with pytest.raises(SourceError, match=r"gone\.wav: no such file"):
        listen(tmp_path / "gone.wav", 10.0)
    soundfile.write(tmp_path / "b.wav", strokes()[:1000], RATE)
    with pytest.raises(SourceError, match=r"b\.wav: 0\.0625 seconds are shorter than two frames; give a longer sound"):
        listen(tmp_path / "b.wav", 10.0)
    soundfile.write(tmp_path / "c.wav", strokes()[:0], RATE)
    with pytest.raises(SourceError, match=r"c\.wav"):
        listen(tmp_path / "c.wav", 10.0)
