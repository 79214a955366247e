"""Sounds as works: saved, opened, streamed, shown, made again."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sample_sounds import RATE, Samples, lying_wave, noise, sine, write

from artgen import describe, remake
from artgen.artwork import Audio, Image, open_artwork, read_text
from artgen.cli import main
from artgen.cli.verbs import _fact_lines
from artgen.errors import SourceError, UsageError
from artgen.media import audio
from artgen.recipe import GENERATED, Recipe


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


def test_the_command_line_tells_of_remarks_and_of_hours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lying_wave(tmp_path / "lie.wav", np.zeros((100, 1), np.float32), 5000)
    assert main(["show", str(tmp_path / "lie.wav")]) == 0
    assert "remarks: its header promises 5,000 bytes of sound and 200 are there: it was cut off" in capsys.readouterr().out
    facts = {"path": "data", "seconds": 36_000.0, "remarks": [["a.wav", "clipped; used"], ["b.wav", "cut off"]]}
    assert _fact_lines(facts)[1:] == ["seconds: 36000", "remarks:", "  a.wav: clipped; used", "  b.wav: cut off"]


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
