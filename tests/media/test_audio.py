"""Sounds in and out: every kind of file, what is wrong with bad ones, equal bytes, marks, limits."""

from __future__ import annotations

import base64
import errno
import json
import re
import shutil
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sample_sounds import RATE, Samples, lying_wave, noise, sine, write

from artgen import describe, remake
from artgen.artwork import Audio, Image, open_artwork, read_text
from artgen.cli import main
from artgen.errors import OutputError, SourceError, UsageError
from artgen.media import audio, audio_files, video
from artgen.recipe import GENERATED, Recipe

ENDINGS = (".wav", ".flac", ".ogg")
RECIPE = json.dumps({"artgen": "1", "name": "Grüße", "mark": GENERATED}, ensure_ascii=False)


# --- written


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_holds_the_sound_its_recipe_and_its_mark(tmp_path: Path, ending: str) -> None:
    place = tmp_path / f"a{ending}"
    sound = sine(440, 0.7)
    audio.encode([sound], RATE, 1, place, RECIPE, GENERATED)
    found, rate = audio.decode(place)
    assert (found.shape, rate) == (sound.shape, RATE)
    assert np.abs(found - sound).max() < (0.05 if ending == ".ogg" else 1 / 32768)
    assert json.loads(audio.read_text(place) or "") == json.loads(RECIPE)
    assert audio.read_mark(place) == GENERATED
    assert audio.is_sound(place)
    assert soundfile.info(str(place)).frames == len(sound)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_long_recipe_is_kept_whole(tmp_path: Path, ending: str) -> None:
    text = json.dumps({"mark": GENERATED, "words": "ä\x00\n" * 40_000}, ensure_ascii=False)
    audio.encode([sine(440, 0.1)], RATE, 1, tmp_path / f"a{ending}", text, GENERATED)
    assert json.loads(audio.read_text(tmp_path / f"a{ending}") or "") == json.loads(text)


@pytest.mark.parametrize("ending", ENDINGS)
def test_equal_samples_give_equal_bytes_however_they_are_cut(tmp_path: Path, ending: str) -> None:
    sound = noise(2.0, channels=2, level=0.6)
    for name, count in (("one", 1), ("two", 53)):
        audio.encode(np.array_split(sound, count), RATE, 2, tmp_path / f"{name}{ending}", RECIPE, GENERATED)
    assert (tmp_path / f"one{ending}").read_bytes() == (tmp_path / f"two{ending}").read_bytes()


@pytest.mark.parametrize("ending", [".wav", ".flac"])
def test_a_sound_opened_and_saved_again_is_the_same(tmp_path: Path, ending: str) -> None:
    Audio(noise(0.5, level=0.3), RATE).save(tmp_path / f"a{ending}")
    open_artwork(tmp_path / f"a{ending}").save(tmp_path / f"b{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


def test_pcm_there_and_back_for_every_number() -> None:
    numbers = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(audio.to_pcm(audio.from_pcm(numbers)), numbers)
    assert audio.to_pcm(np.array([1.0, -1.0, 2.0])).tolist() == [32767, -32768, 32767]


def test_what_is_over_full_scale_is_turned_down_around_it_and_not_clipped(tmp_path: Path) -> None:
    sound = sine(440, 1.0, level=0.5)
    sound[10_000:10_500] *= 4
    Audio(sound, RATE).save(tmp_path / "a.wav")
    found, _ = audio.decode(tmp_path / "a.wav")
    assert not (np.abs(np.diff(found[10_000:10_500, 0])) < 1e-6).any(), "flat tops"
    assert np.array_equal(audio.to_pcm(found[:9000]), audio.to_pcm(sound[:9000]))


def test_the_tags_stand_where_other_programs_look(tmp_path: Path) -> None:
    audio.encode([sine()], RATE, 1, tmp_path / "a.wav", RECIPE, GENERATED)
    with (tmp_path / "a.wav").open("rb") as file:
        chunks = [(name, size) for name, size, here in audio_files.chunks_of_wave(file) if size == here]
    assert [name for name, _ in chunks] == [b"fmt ", b"data", b"LIST", b"_PMX"]
    data = (tmp_path / "a.wav").read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert GENERATED.encode() in data.partition(b"_PMX")[2]
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnframes(), file.getsampwidth()) == (RATE // 2, 2)
    for ending in ENDINGS:
        audio.encode([sine()], RATE, 1, tmp_path / f"a{ending}", RECIPE, GENERATED)
        assert soundfile.SoundFile(str(tmp_path / f"a{ending}")).comment == RECIPE


def test_without_recipe_and_mark_there_are_no_tags(tmp_path: Path) -> None:
    for ending in ENDINGS:
        audio.encode([sine()], RATE, 1, tmp_path / f"a{ending}", "", "")
        assert audio.read_marks(tmp_path / f"a{ending}") == audio_files.marks.Marks()
        audio.encode([sine()], RATE, 1, tmp_path / f"b{ending}", "", GENERATED)
        assert audio.read_mark(tmp_path / f"b{ending}") == GENERATED


def test_checksums_of_ogg_pages_are_those_of_libogg(tmp_path: Path) -> None:
    soundfile.write(str(tmp_path / "a.ogg"), sine(440, 2.0), RATE)
    data, at, pages, serials = (tmp_path / "a.ogg").read_bytes(), 0, 0, set()
    while at < len(data):
        table = data[at + 27 : at + 27 + data[at + 26]]
        page = data[at : at + 27 + len(table) + sum(table)]
        assert audio_files._ogg_checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little")
        at, pages = at + len(page), pages + 1
        serials.add(page[14:18])
    assert (pages > 2, len(serials)) == (True, 1)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "sentence"),
    [
        ("a.mp3", RATE, 1, "a sound is saved as .wav, .flac, .ogg, not .mp3"),
        ("a", RATE, 1, "not no ending"),
        ("a.wav", RATE, 9, ".wav holds 1 to 8 channels at 1,000 to 655,350 Hz, not 9 channels at 22050 Hz"),
        ("a.ogg", 384_000, 1, ".ogg holds 1 to 8 channels at 1,000 to 200,000 Hz, not 1 channels at 384000 Hz"),
        ("a.flac", 10, 1, "not 1 channels at 10 Hz"),
    ],
)
def test_what_no_file_can_hold(tmp_path: Path, name: str, rate: int, channels: int, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        audio.encode([np.zeros((10, channels), np.float32)], rate, channels, tmp_path / name, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a.wav"
    place.write_bytes(b"old")
    with pytest.raises(UsageError, match="at least one sample"):
        audio.encode([], RATE, 1, place, "", "")

    def stopped() -> Iterator[Samples]:
        yield sine()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audio.encode(stopped(), RATE, 1, place, "", "")

    def short(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(soundfile.SoundFile, "write", short)
    with pytest.raises(OutputError, match="not all of it was written"):
        audio.encode([noise(3.0)], RATE, 1, place, "", "")
    monkeypatch.undo()
    monkeypatch.setattr(audio_files, "_WAVE_LIMIT", 1000)
    with pytest.raises(OutputError, match=r"more than the 4 GB that WAV can hold; save as \.flac"):
        audio.encode([noise(3.0)], RATE, 1, place, "", "")
    assert (place.read_bytes(), [path.name for path in tmp_path.iterdir()]) == (b"old", ["a.wav"])
    audio.encode([noise(3.0)], RATE, 1, tmp_path / "a.flac", "", "")


def test_a_place_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(audio_files.tempfile, "mkstemp", full)
    with pytest.raises(OutputError, match="the disk is full"):
        audio.encode([sine()], RATE, 1, tmp_path / "a.wav", "", "")


# --- read


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
    with pytest.raises(SourceError, match="damaged or"):
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
    found, _ = audio.decode(tmp_path / "a.wav")
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


# --- works


def _recipe() -> Recipe:
    return Recipe(artgen="1", verb="generate", backend="audio.rnn", seeds=(3,), model={"sha256": "x"})


def test_an_audio_work_is_saved_opened_and_named(tmp_path: Path) -> None:
    work = Audio(sine(), RATE, recipe=_recipe(), seeds=(3,))
    first, second = work.save(tmp_path / "a.flac"), work.save(tmp_path / "a.flac")
    assert (first.name, second.name) == ("a.flac", "a-2.flac")
    opened: Any = open_artwork(first)
    assert (type(opened), opened.rate, opened.channels, opened.name) == (Audio, RATE, 1, "a.flac")
    assert opened.recipe == _recipe()
    assert read_text(first) == _recipe().to_json()
    assert np.array_equal(opened.numpy(), opened.samples)
    assert Audio.decode(first).seconds == 0.5
    with pytest.raises(UsageError, match=r"audio is saved as \.wav, \.flac, \.ogg, not \.mp3"):
        work.save(tmp_path / "a.mp3")
    with pytest.raises(UsageError, match=r"an array \[samples, channels\], not one of shape \[5\]"):
        Audio(np.zeros(5, np.float32), RATE)
    work.recipe = None
    assert open_artwork(work.save(tmp_path / "b.wav")).recipe is None


def test_words_in_a_file_named_as_a_sound_are_a_damaged_sound(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("words")
    with pytest.raises(SourceError, match=r"a\.wav: not a sound of a known kind"):
        open_artwork(tmp_path / "a.wav")
    with pytest.raises(SourceError, match=r"a\.wav: not a sound of a known kind"):
        describe.show(tmp_path / "a.wav")
    write(tmp_path / "b.wav", sine())
    shutil.move(tmp_path / "b.wav", tmp_path / "b.txt")
    assert open_artwork(tmp_path / "b.txt").modality == "audio"


def test_a_streamed_work_is_made_when_it_is_needed_and_saved_as_it_comes(tmp_path: Path) -> None:
    calls: list[int] = []

    def make() -> Iterator[Samples]:
        calls.append(1)
        for number in range(4):
            assert not list(tmp_path.glob("a.wav"))
            yield sine(220 * (number + 1), 0.3)

    work = Audio.stream(make, RATE, seeds=(5,))
    assert (calls, work.seeds, work.channels) == ([], (5,), 1)
    work.save(tmp_path / "a.wav")
    assert calls == [1]
    shutil.move(tmp_path / "a.wav", tmp_path / "kept.wav")
    assert work.seconds == pytest.approx(1.2)
    assert calls == [1, 1]
    assert np.array_equal(audio.to_pcm(audio.decode(tmp_path / "kept.wav")[0]), audio.to_pcm(work.samples))
    assert calls == [1, 1]


def test_a_notebook_shows_a_player(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Audio(sine(), RATE)._repr_html_()
    assert shown.startswith('<audio controls src="data:audio/flac;base64,')
    data = base64.b64decode(shown.partition("base64,")[2].partition('"')[0])
    assert len(audio.decode(data)[0]) == RATE // 2
    monkeypatch.setattr(audio, "_HTML_LIMIT", 2 * RATE // 4)
    assert "the first 0 of 0 seconds" in Audio(sine(), RATE)._repr_html_()


def test_show_tells_of_a_sound_and_draws_it(tmp_path: Path) -> None:
    place = Audio(sine(997, 1.0, level=0.5), RATE, recipe=_recipe()).save(tmp_path / "a.flac")
    told = describe.show(place)
    assert {name: told[name] for name in ("kind", "seconds", "rate", "channels", "format", "mark")} == {
        "kind": "audio", "seconds": 1.0, "rate": RATE, "channels": 1, "format": "FLAC", "mark": GENERATED,
    }  # fmt: skip
    assert told["recipe"]["backend"] == "audio.rnn"
    assert told["peak"] == pytest.approx(-6.02, abs=0.02)
    assert told["loudness"] == pytest.approx(-9.0, abs=0.1)
    assert Audio(sine(997, 1.0, level=0.5), RATE).facts()["loudness"] == pytest.approx(told["loudness"], abs=0.01)
    lying_wave(tmp_path / "lie.wav", np.zeros((100, 1), np.float32), 5000)
    told = describe.show(tmp_path / "lie.wav")
    assert (told["peak"], told["loudness"]) == (None, None)
    assert "promises 5,000 bytes" in told["remarks"][0]
    drawn = open_artwork(describe.picture(place, tmp_path / "a.png"))
    assert isinstance(drawn, Image)
    height, width = drawn.pixels.shape[:2]
    assert (width > 1200, height > 480) == (True, True)
    assert describe.picture(place, tmp_path / "a.png").name == "a-2.png"
    with pytest.raises(SourceError, match="not a sound; --picture draws the waveform"):
        describe.picture(tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(UsageError, match="image is saved as"):
        describe.picture(place, tmp_path / "b.wav")


def test_the_command_line_draws_a_sound_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = Audio(sine(), RATE).save(tmp_path / "a.ogg")
    assert main(["--json", "show", str(place), "--picture", str(tmp_path / "a.png")]) == 0
    assert json.loads(capsys.readouterr().out)["picture"] == str(tmp_path / "a.png")
    assert open_artwork(tmp_path / "a.png").modality == "image"


def test_remakes_of_sounds_are_compared(tmp_path: Path) -> None:
    sound = noise(1.0, level=0.2)
    recipe, work = _recipe(), Audio(sound, RATE)
    work.recipe = recipe
    place = work.save(tmp_path / "a.wav")

    def compared(samples: Samples) -> remake.Replay:
        return remake._compare(place, Audio(samples, RATE), recipe, recipe.to_json())

    assert (compared(sound).state, compared(sound).distance) == ("identical", (0.0, 0.0))
    near = compared(sound + noise(1.0, level=0.002, seed=1))
    assert (near.state, "the difference is 40 dB below the sound" in near.reason) == ("close", True)
    far = compared(noise(1.0, level=0.2, seed=2))
    assert (far.state, "3 dB above the sound" in far.reason) == ("impossible", True)
    shorter, longer = compared(sound[:-5]), compared(np.concatenate([sound, sound, sound, sound]))
    assert "another shape ([22050, 1] in the file, [22045, 1] now)" in shorter.reason
    assert "[88200, 1] now" in longer.reason
    assert compared(np.repeat(sound, 2, 1)).state == "impossible"
    work.recipe = None
    again = work.save(tmp_path / "other.wav")
    assert remake._compare(again, Audio(sound, RATE), recipe, recipe.to_json()).state == "identical"
