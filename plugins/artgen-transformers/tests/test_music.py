"""Composing with tiny models of the real MusicGen classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import causal, musicgen
from transformers import (
    AutoTokenizer,
    MusicgenForConditionalGeneration,
    MusicgenMelodyFeatureExtractor,
    MusicgenMelodyForConditionalGeneration,
)

import artgen
from artgen.artwork import Audio
from artgen.errors import ModelError, SourceError, UsageError
from artgen.media import loudness
from artgen.model import Model
from artgen.remake import replay
from artgen_transformers.music.backend import MusicGen, open_musician
from artgen_transformers.music.composing import Musician, Wish, compose
from artgen_transformers.music.options import Generate

RATE, HOP = 1600, 16


@pytest.fixture(scope="module")
def mono(models: Path) -> Path:
    return musicgen(models / "mono")


@pytest.fixture(scope="module")
def melody(models: Path) -> Path:
    return musicgen(models / "melody", melody=True)


@pytest.fixture(scope="module")
def stereo(models: Path) -> Path:
    return musicgen(models / "stereo", stereo=True)


@pytest.fixture(scope="module")
def tune(models: Path) -> Path:
    time = np.arange(RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * np.where(time < 0.5, 220, 330) * time)
    return Audio(tone[:, None].astype(np.float32), RATE).save(models / "tune.wav")


def play(model: Path, **options: Any) -> list[Any]:
    chosen = {"seed": 3, "seconds": 0.3, "device": "cpu", **options}
    return artgen.generate("audio", model=model, backend="musicgen", **chosen)


def musician(folder: Path) -> Musician:
    return open_musician(MusicGen.find_model(str(folder)), Generate())


def theirs(network: Any, inputs: dict[str, Any], frames: int, guidance: float, late: int = 4) -> np.ndarray:
    """The samples [N, C] of transformers itself."""
    with torch.inference_mode():
        found = network.eval().generate(**inputs, do_sample=False, guidance_scale=guidance, max_new_tokens=frames + late - 1)
    return found[0].T.numpy()


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("kind", ["mono", "melody", "stereo"])
def test_the_likeliest_codes_are_those_of_transformers(
    kind: str, guidance: float, request: pytest.FixtureRequest, tune: Path
) -> None:
    folder = request.getfixturevalue(kind)
    inputs = dict(AutoTokenizer.from_pretrained(folder)(["Row, row"], return_tensors="pt", padding=True))
    inputs.pop("token_type_ids", None)
    sound = None
    if kind == "melody":
        sound = Audio.decode(tune).samples
        listener = MusicgenMelodyFeatureExtractor.from_pretrained(folder)
        inputs["input_features"] = listener(sound[:, 0], sampling_rate=RATE, return_tensors="pt")["input_features"]
        network: Any = MusicgenMelodyForConditionalGeneration.from_pretrained(folder)
    else:
        network = MusicgenForConditionalGeneration.from_pretrained(folder)
    one = musician(folder)
    codes = compose(one, Wish("Row, row", sound), 20, 0, Generate(temperature=0, guidance=guidance))
    assert codes.shape == (8 if kind == "stereo" else 4, 20)
    assert len(torch.unique(codes)) > 2
    expected = theirs(network, inputs, 20, guidance)
    assert one.decoded(codes) == pytest.approx(expected, abs=1e-5)


def test_what_is_asked_for_makes_a_difference(mono: Path, melody: Path, tune: Path) -> None:
    plain, other, nothing = (play(mono, **options)[0].samples for options in ({"prompt": "row"}, {"prompt": "dream"}, {}))
    assert not np.array_equal(plain, other)
    assert not np.array_equal(plain, nothing)
    assert not np.array_equal(plain, play(mono, prompt="row", guidance=8)[0].samples)
    assert not np.array_equal(play(melody, prompt="row")[0].samples, play(melody, prompt="row", melody=tune)[0].samples)


def test_a_work_depends_on_its_seed_alone(mono: Path) -> None:
    works = play(mono, seed=None, seeds=[5, 6, 7], prompt="row")
    assert len({work.samples.tobytes() for work in works}) == 3
    for work in works:
        assert np.array_equal(play(mono, seed=work.seeds[0], prompt="row")[0].samples, work.samples)


def test_length_rate_and_loudness(mono: Path, stereo: Path) -> None:
    for folder, channels in ((mono, 1), (stereo, 2)):
        work = play(folder, seconds=2.013)[0]
        assert (work.rate, work.samples.shape) == (RATE, (round(2.013 * RATE), channels))
        assert loudness.loudness(work.samples, RATE) == pytest.approx(loudness.TARGET, abs=1)
        assert np.abs(work.samples).max() <= loudness.from_db(loudness.CEILING) + 1e-3


@pytest.mark.parametrize("ending", [".wav", ".flac", ".ogg"])
def test_every_kind_of_file_and_replay(mono: Path, tmp_path: Path, ending: str) -> None:
    place = play(mono, seconds=1)[0].save(tmp_path / f"work{ending}")
    assert replay(place, device="cpu").state == "identical"


def test_music_longer_than_a_window_goes_on(mono: Path) -> None:
    one = musician(mono)
    assert one.longest == 196
    options = Generate(temperature=1)
    whole = compose(one, Wish("row"), 420, 1, options)
    assert whole.shape == (4, 420)
    # The beginning is what a shorter piece begins with, but for the last codes, which are late.
    assert torch.equal(whole[:, :187], compose(one, Wish("row"), 190, 1, options)[:, :187])
    counted: list[int] = []
    compose(one, Wish("row"), 420, 1, options, each=lambda: counted.append(1))
    assert len(counted) == 420 + 3 * len(range(196, 420, 118)) + 3


def test_a_sound_is_gone_on_from(mono: Path, stereo: Path, tune: Path) -> None:
    before = Audio.decode(tune).samples
    for folder in (mono, stereo):
        work = play(folder, prompt_audio=tune, seconds=0.5)[0]
        assert work.samples.shape[0] == len(before) + round(0.5 * RATE)
        # What was there is as it was, but for the level and the join.
        own, part = before[100:1400, 0], work.samples[100:1400, 0]
        assert np.corrcoef(own, part)[0, 1] > 0.999
        assert work.recipe.inputs[0].role == "prompt_audio"
    heard = musician(mono)
    codes = heard.encoded(before)
    plain = compose(heard, Wish(), 10, 3, Generate(), before=codes)
    assert not torch.equal(plain, compose(heard, Wish(), 10, 3, Generate()))


def test_prompts_from_a_file(mono: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("row\ndream\n", encoding="utf-8")
    works = play(mono, prompts=file, n=2)
    assert [(work.seeds, work.recipe.options["prompt"]) for work in works] == [
        ((3,), "row"),
        ((4,), "row"),
        ((3,), "dream"),
        ((4,), "dream"),
    ]
    assert np.array_equal(works[3].samples, play(mono, prompt="dream", seed=4)[0].samples)


def test_the_melody_of_a_sound_is_played_anew(melody: Path, mono: Path, tune: Path) -> None:
    work = artgen.modify("audio", tune, model=melody, backend="musicgen", prompt="row", device="cpu")[0]
    assert (work.samples.shape, work.rate) == ((RATE, 1), RATE)
    with pytest.raises(UsageError, match="modify needs a model that hears melodies, such as facebook/musicgen-melody"):
        artgen.modify("audio", tune, model=mono, backend="musicgen", prompt="row", device="cpu")
    with pytest.raises(SourceError, match="empty; give a sound"):
        artgen.modify("audio", Audio(np.zeros((0, 1), np.float32), RATE), model=melody, backend="musicgen", device="cpu")


def test_sentences(mono: Path, tune: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--melody needs a model that hears melodies"):
        play(mono, melody=tune)
    with pytest.raises(UsageError, match="--prompt and --prompts both say what the music is like"):
        play(mono, prompt="a", prompts=tune)
    with pytest.raises(ModelError, match="brings no model; give --model with a folder or a name on the Hub"):
        MusicGen.find_model(None)
    with pytest.raises(ModelError, match="a model of the kind llama, which is no MusicGen"):
        play(causal("llama", tmp_path / "llama"))
    short = Audio(np.zeros((4, 1), np.float32), RATE).save(tmp_path / "short.wav")
    with pytest.raises(SourceError, match="shorter than 16 samples at 1600 Hz"):
        play(mono, prompt_audio=short)
    (tmp_path / "none.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(SourceError, match="no prompt in it"):
        play(mono, prompts=tmp_path / "none.txt")
    assert isinstance(MusicGen.find_model(str(mono)), Model)
