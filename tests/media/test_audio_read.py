"""Sounds that are read: every kind and depth, rates, channels, bad files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sample_sounds import RATE, lying_wave, noise, notes, sine, write

from artgen.artwork import open_artwork
from artgen.errors import SourceError
from artgen.media import audio, video


@pytest.mark.parametrize(
    ("name", "coding", "error"),
    [
        ("a.wav", "PCM_U8", 0.02), ("a.wav", "PCM_16", 1e-4), ("a.wav", "PCM_24", 1e-6), ("a.wav", "PCM_32", 1e-6),
        ("a.wav", "FLOAT", 1e-7), ("a.wav", "DOUBLE", 1e-7), ("a.wav", "ULAW", 0.02), ("a.flac", "PCM_24", 1e-6),
        ("a.aiff", "PCM_16", 1e-4), ("a.aiff", "FLOAT", 1e-7), ("a.au", "PCM_16", 1e-4), ("a.caf", "PCM_16", 1e-4),
        ("a.w64", "PCM_16", 1e-4), ("a.ogg", "VORBIS", 0.05), ("a.mp3", "MPEG_LAYER_III", None),
    ],
)  # fmt: skip
def test_every_kind_and_depth_is_read(tmp_path: Path, name: str, coding: str, error: float | None) -> None:
    sound = sine(440, 0.4)
    found, rate = audio.decode(write(tmp_path / name, sound, coding=coding))
    assert audio.is_sound(tmp_path / name)
    assert (rate, found.dtype, found.shape[1]) == (RATE, np.float32, 1)
    if error is None:  # MP3 adds silence at both ends
        assert abs(len(found) - len(sound)) < 3000
        assert found.std() == pytest.approx(sound.std(), rel=0.2)
    else:
        assert found.shape == sound.shape
        assert np.abs(found - sound).max() <= error


def test_the_sound_of_clips_and_m4a_is_read(tmp_path: Path) -> None:
    frames = np.zeros((24, 16, 16, 3), np.uint8)
    video.encode(frames, 24, tmp_path / "a.mp4", "", "", audio=(sine(440, 1.0, 44_100), 44_100))
    video.encode(frames, 24, tmp_path / "silent.mp4", "", "")
    found, rate = audio.decode(tmp_path / "a.mp4")
    assert (rate, found.shape[1], abs(len(found) - 44_100) < 4096) == (44_100, 1, True)
    assert np.abs(found[8000:30_000]).max() == pytest.approx(0.3, abs=0.05)
    assert not audio.is_sound(tmp_path / "a.mp4")
    work = open_artwork(tmp_path / "a.mp4", "audio")
    assert (work.modality, open_artwork(tmp_path / "a.mp4").modality) == ("audio", "video")
    with pytest.raises(SourceError, match="has no sound; give a sound such as WAV"):
        audio.decode(tmp_path / "silent.mp4")
    import av

    with av.open(str(tmp_path / "b.m4a"), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(440, 0.5).T.copy(), "fltp", "mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert audio.is_sound(tmp_path / "b.m4a")
    assert np.abs(audio.decode(tmp_path / "b.m4a")[0]).max() == pytest.approx(0.3, abs=0.06)
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 3])
    with pytest.raises(SourceError, match="damaged"):
        audio.decode(tmp_path / "cut.mp4")


@pytest.mark.parametrize("rate", [8000, 11_025, 48_000, 96_000, 384_000])
def test_any_rate_becomes_the_one_that_is_asked_for(tmp_path: Path, rate: int) -> None:
    write(tmp_path / "a.wav", sine(440, 0.5, rate), rate)
    found, now = audio.decode(tmp_path / "a.wav", rate=RATE)
    assert (now, abs(len(found) - RATE // 2) <= 1) == (RATE, True)
    wanted = sine(440, 0.5)[: len(found)]
    assert np.abs(found[: len(wanted)] - wanted)[2000:-2000].max() < 2e-3


def test_resampling_does_not_depend_on_the_blocks() -> None:
    sound = noise(1.0, 44_100, channels=2)
    whole = audio.resample(sound, 44_100, RATE)
    parts = np.concatenate(list(audio.resampled(np.array_split(sound, 19), 44_100, RATE, 2)))
    assert whole.shape == (RATE, 2)
    assert np.abs(whole - parts).max() < 1e-6
    assert audio.resample(sound, 44_100, 44_100) is sound


def test_mixing_follows_the_rules() -> None:
    ones = np.eye(8, dtype=np.float32)
    half = 0.5**0.5
    assert audio.mix(ones[:2, :1], 2).tolist() == [[1, 1], [0, 0]]
    assert audio.mix(ones[:2, :2], 1)[:, 0] == pytest.approx([0.5, 0.5])
    assert audio.mix(ones[:3, :3], 1)[:, 0] == pytest.approx([1 / 3] * 3)
    assert audio.mix(ones[:4, :4], 2).tolist() == [[0.5, 0], [0, 0.5], [0.5, 0], [0, 0.5]]
    whole = 1 + 2 * half
    left = [1 / whole, 0, half / whole, 0, half / whole, 0]
    assert audio.mix(ones[:6, :6], 2)[:, 0] == pytest.approx(left)
    assert audio.mix(ones[:6, :6], 1)[:, 0] == pytest.approx(
        [0.5 / whole, 0.5 / whole, half / whole, 0, half / 2 / whole, half / 2 / whole]
    )
    assert audio.mix(ones, 2)[:, 1] == pytest.approx(np.array([0, 1, half, 0, 0, half, 0, half]) / (1 + 3 * half))
    assert np.abs(audio.mix(np.ones((1, 6), np.float32), 2)).max() <= 1
    assert audio.mix(ones[:1, :2], 3).tolist() == [[1, 0, 0]]


def test_six_channels_are_read(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(0.2, channels=6))
    assert audio.decode(tmp_path / "a.wav")[0].shape[1] == 6
    assert audio.decode(tmp_path / "a.wav", channels=2)[0].shape[1] == 2


def test_numbers_that_are_none_become_silence_and_are_told_of(tmp_path: Path) -> None:
    sound = sine()
    sound[100], sound[200], sound[300] = np.nan, np.inf, -np.inf
    write(tmp_path / "a.wav", sound, coding="FLOAT")
    with audio.opened(tmp_path / "a.wav") as reading:
        found = np.concatenate(list(reading.blocks()))
    assert reading.remarks == ["3 samples that are not finite numbers became silence"]
    assert found[[100, 200, 300], 0].tolist() == [0, 0, 0]
    assert np.array_equal(np.delete(found, [100, 200, 300]), np.delete(sound, [100, 200, 300]))


def test_a_float_file_over_full_scale_is_turned_down_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sine(level=3e4), coding="DOUBLE")
    told: list[str] = []
    found, _ = audio.decode(tmp_path / "a.wav", remarks=told)
    assert told == ["89.5 dB over full scale, so it was turned down"]
    assert np.abs(found).max() == pytest.approx(1)
    assert found == pytest.approx(sine(level=1.0) / np.abs(sine(level=1.0)).max(), abs=1e-4)


def test_a_header_that_lies_about_its_length(tmp_path: Path) -> None:
    sound = sine()
    lying_wave(tmp_path / "more.wav", sound, 10_000_000)
    with audio.opened(tmp_path / "more.wav") as reading:
        found = np.concatenate(list(reading.blocks()))
    assert found.shape == sound.shape
    assert reading.remarks == ["its header promises 10,000,000 bytes of sound and 22,050 are there: it was cut off"]
    lying_wave(tmp_path / "stream.wav", sound, 0xFFFFFFFF)
    with audio.opened(tmp_path / "stream.wav") as reading:
        assert sum(map(len, reading.blocks())) == len(sound)
    assert reading.remarks == []
    lying_wave(tmp_path / "less.wav", sound, 2000)
    assert len(audio.decode(tmp_path / "less.wav")[0]) == 1000


@pytest.mark.parametrize(
    ("name", "coding", "remark"),
    [
        (
            "a.flac",
            None,
            r"it breaks off after [23]\.\d of 6\.0 seconds \((.* lost sync|what follows cannot be read)\); it is used up to there",
        ),
        ("a.ogg", "VORBIS", r"its last page of Ogg is missing: it was cut off"),
        ("a.ogg", "OPUS", r"its last page of Ogg is missing: it was cut off"),
        ("a.mp3", None, r"its header promises 6\.0 seconds and [23]\.\d are there: it was cut off"),
        ("a.aiff", None, r"its header promises 576,008 bytes of sound and 287,\d\d\d are there: it was cut off"),
        ("a.au", None, r"its header promises 576,000 bytes of sound and 287,\d\d\d are there: it was cut off"),
    ],
)
def test_a_file_that_breaks_off_is_used_up_to_there_with_a_remark(
    tmp_path: Path, name: str, coding: str | None, remark: str
) -> None:
    whole = write(tmp_path / name, notes(6.0, 48_000), 48_000, coding)
    samples, _ = audio.decode(whole)
    torn = tmp_path / f"torn-{name}"
    torn.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for place, seconds in ((whole, 6.0), (torn, 3.0)):
        for source in (place, place.read_bytes()):
            with audio.opened(source) as reading:
                found = np.concatenate(list(reading.blocks(lenient=True)))
            assert len(found) / 48_000 == pytest.approx(seconds, abs=1.6)
            assert np.array_equal(found[:48_000], samples[:48_000])
            assert [bool(re.fullmatch(remark, told)) for told in reading.remarks] == [True] * (place == torn), reading.remarks


def test_a_work_that_is_damaged_is_not_changed_in_part(tmp_path: Path) -> None:
    data = write(tmp_path / "a.flac", notes(6.0)).read_bytes()
    (tmp_path / "torn.flac").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match=r"torn\.flac: damaged \(what follows cannot be read\); replace the file or leave it out"):
        audio.decode(tmp_path / "torn.flac")


def test_a_clip_that_breaks_off_is_used_up_to_there(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libopus", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(notes(6.0, 48_000).T.copy(), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for made in av.AudioResampler(stream.format, stream.layout, stream.rate, frame_size=960).resample(frame):
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))
    data = (tmp_path / "a.webm").read_bytes()
    (tmp_path / "torn.webm").write_bytes(data[: len(data) // 2])
    remarks = []
    for name in ("a.webm", "torn.webm"):
        with audio.opened(tmp_path / name) as reading:
            assert sum(map(len, reading.blocks())) > 2 * 48_000
        remarks += reading.remarks
    assert len(remarks) == 1
    assert re.fullmatch(r"its header promises 6\.0 seconds and [23]\.\d are there: it was cut off", remarks[0])


def test_a_flac_whose_header_does_not_know_its_length_is_read(tmp_path: Path) -> None:
    data = bytearray(write(tmp_path / "a.flac", notes(2.0)).read_bytes())
    told = int.from_bytes(data[18:26], "big")  # what STREAMINFO says of the samples is in the last 36 bits
    assert told & 2**36 - 1 == 2 * RATE
    data[18:26] = (told & ~(2**36 - 1)).to_bytes(8, "big")
    (tmp_path / "piped.flac").write_bytes(data)
    with audio.opened(tmp_path / "piped.flac") as reading:
        assert (reading.frames, sum(map(len, reading.blocks())), reading.remarks) == (None, 2 * RATE, [])


def _bad(folder: Path) -> Iterator[tuple[Path, str]]:
    def file(name: str, data: bytes) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    whole = write(folder / "whole.flac", noise()).read_bytes()
    yield file("empty.wav", b""), "the file is empty; give a sound such as WAV"
    yield file("words.wav", b"These are words, not sound."), "not a sound of a known kind; give a sound"
    yield file("words.mp3", b"ID3 is how it begins, all the same"), "not a sound of a known kind"
    yield file("random.ogg", bytes(range(256)) * 20), "not a sound of a known kind"
    yield write(folder / "header.wav", np.zeros((0, 1), np.float32)), "holds no sound, only a header"
    yield file("half.wav", write(folder / "b.wav", sine()).read_bytes()[:30]), "not a sound|damaged|holds no sound"
    yield file("torn.flac", whole[:60]), "damaged"
    yield file("garbage.flac", whole[:200] + bytes(range(256)) * 40), "damaged|holds no sound"
    yield file("magic.ogg", b"OggS" + bytes(100)), "damaged or incomplete|not a sound"
    yield write(folder / "slow.wav", sine(rate=RATE), 500), "500 samples a second, 1000 to 768000 are read"
    yield write(folder / "wide.wav", np.zeros((10, 40), np.float32)), "40 channels, 1 to 32 are read"
    yield folder / "gone.wav", "no such file"
    yield folder, "a folder, not a sound"


def test_every_bad_file_gets_a_sentence(tmp_path: Path) -> None:
    count = 0
    for place, sentence in _bad(tmp_path):
        with pytest.raises(SourceError, match=sentence) as caught:
            audio.decode(place)
        assert str(place) in str(caught.value)
        assert "\n" not in str(caught.value)
        count += 1
    assert count == 13
    with pytest.raises(SourceError, match="the sound: the file is empty"):
        audio.decode(b"")
    with pytest.raises(SourceError, match="inside: not a sound"):
        audio.decode(b"words", name="inside")


def test_bytes_are_read_like_files(tmp_path: Path) -> None:
    for name in ("a.flac", "a.mp3", "a.wav"):
        write(tmp_path / name, sine())
        assert np.array_equal(audio.decode((tmp_path / name).read_bytes())[0], audio.decode(tmp_path / name)[0])


def test_a_sound_too_long_for_one_work_is_refused_before_it_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", sine(seconds=3.0))
    with pytest.raises(SourceError, match=r"too long to be opened as one work: 0 minutes, at most 0 are; cut it into parts"):
        audio.decode(tmp_path / "a.wav", most=RATE)
    with pytest.raises(SourceError, match="too long"):
        audio.decode(tmp_path / "a.wav", channels=4, most=2 * RATE)
    lying_wave(tmp_path / "b.wav", sine(seconds=1.0), 0xFFFFFFFF)
    with pytest.raises(SourceError, match="too long"):
        audio.decode(tmp_path / "b.wav", most=RATE // 2)


def test_words_that_begin_like_sounds_are_words(tmp_path: Path) -> None:
    for number, words in enumerate(
        (b"ID3 tags", b"riffs", b"caffeine", b"OggSomething else entirely", b"FORM AIFF?", b"\xff\xfeh\0i\0", b"RIFFRAFF")
    ):
        (tmp_path / f"{number}.txt").write_bytes(words)
        assert audio.is_sound(tmp_path / f"{number}.txt") == (words[:4] == b"OggS"), words
    assert not audio.is_sound(tmp_path / "gone.wav")
