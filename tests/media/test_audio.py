"""Sounds in and out: every kind of file, what is wrong with bad ones, equal bytes, marks, limits."""

from __future__ import annotations

import errno
import json
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from sample_sounds import RATE, Samples, noise, sine

from artgen.artwork import Audio, open_artwork
from artgen.errors import OutputError, UsageError
from artgen.media import audio, audio_files
from artgen.recipe import GENERATED

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
        ("a.wav", RATE, 9, ".wav holds 1 to 8 channels at 1,000 to 655,350 Hz, not 9 channels at 22,050 Hz; convert it first"),
        ("a.ogg", 384_000, 1, "1,000 to 200,000 Hz, not 1 channel at 384,000 Hz; save as .flac or .wav"),
        ("a.flac", 10, 1, "not 1 channel at 10 Hz; convert it first"),
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
