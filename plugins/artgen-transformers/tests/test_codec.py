"""EnCodec and DAC as codecs: alone, in pieces, and under ``audio.rnn``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from transformers import AutoModel

import artgen
from artgen import api, codecs
from artgen.artwork import Audio, Text
from artgen.backends.audio.rnn import streams
from artgen.errors import ModelError, OptionError, SourceError, UsageError
from artgen.model import Model
from artgen_transformers.codec.backend import Encodec, open_codec
from artgen_transformers.loading import Loading

RATES = {"encodec": 16_000, "dac": 32_000}


@pytest.fixture(scope="module", params=["encodec", "dac"])
def place(request: pytest.FixtureRequest, models: Path) -> Path:
    return tiny_models.codec(request.param, models / f"codec-{request.param}")


def guest(place: Path, codes: int | None = None) -> Any:
    return open_codec(Encodec.find_model(str(place)), Loading(), codes)


def wave(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    tones = [0.4 * np.sin(2 * np.pi * (110 + 40 * side) * time * (1 + time)) for side in range(channels)]
    return np.stack(tones, 1).astype(np.float32)


def test_codes_and_sounds_are_those_of_transformers(place: Path) -> None:
    codec, plain = guest(place), AutoModel.from_pretrained(place).eval()
    sound = torch.from_numpy(wave(1, codec.rate).T.copy())[None]
    with torch.inference_mode():
        codes = codec.encode(sound)
        found = plain.encode(sound).audio_codes
        theirs = found[0] if found.ndim == 4 else found
        assert torch.equal(codes, theirs)
        assert len(torch.unique(codes)) > 4
        wanted = plain.decode(theirs[None], audio_scales=[None]) if codec.kind == "encodec" else plain.decode(audio_codes=theirs)
        made = codec.decode(codes)
    assert made.shape == sound.shape
    length = min(made.shape[2], wanted.audio_values.shape[-1])
    assert torch.equal(made[0, 0, :length], wanted.audio_values.flatten()[:length])
    assert (codec.codebooks, codec.size, codec.frame_rate) == (4, 32, 100)


def test_fewer_codes_are_the_first_ones(place: Path) -> None:
    sound = torch.from_numpy(wave(0.5, RATES[guest(place).kind]).T.copy())[None]
    with torch.inference_mode():
        assert torch.equal(guest(place, 2).encode(sound), guest(place).encode(sound)[:, :2])
    with pytest.raises(OptionError, match="--codes takes at most 4 for this codec, not 5"):
        guest(place, 5)


def test_pieces_give_the_codes_of_the_whole(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = guest(place)
    sound = wave(4, codec.rate)
    whole = streams.encoded(codec, [sound])
    monkeypatch.setattr(streams, "PIECE", 50)
    pieces = streams.encoded(codec, np.split(sound, [7000, 15000, 31000]))
    # Recurrent layers remember a little from before the margin.
    assert (whole == pieces).mean() > (0.99 if codec.kind == "encodec" else 0.9999)
    assert sum(len(block) for block in streams.decoded(codec, whole)) == len(sound)


def test_a_codec_is_made_again_from_what_it_says_of_itself(place: Path) -> None:
    codec = guest(place, 3)
    again: Any = codecs.build(codec.network)
    again.load_state_dict(codec.state_dict())
    sound = torch.from_numpy(wave(0.5, codec.rate).T.copy())[None]
    with torch.inference_mode():
        assert torch.equal(codec.decode(codec.encode(sound)), again.decode(again.encode(sound)))
    assert not again.train().model.training


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (8000, 2), (22_050, 2)])
def test_a_sound_goes_through_at_its_own_size(place: Path, rate: int, channels: int) -> None:
    work = Audio(wave(1, rate, channels), rate, name="own.wav")
    for codes in (1, None):
        made = artgen.modify("audio", work, model=place, backend="encodec", device="cpu", codes=codes)[0]
        assert (made.samples.shape, made.rate) == (work.samples.shape, rate)
        assert np.abs(made.samples).max() > 0
    assert made.recipe.options["codes"] is None


@pytest.fixture(scope="module")
def sounds(models: Path, place: Path) -> Path:
    rate = RATES[guest(place).kind]
    folder = models / f"sounds-{rate}"
    folder.mkdir()
    for number in range(3):
        Audio(wave(3 + number / 4, rate), rate).save(folder / f"{number}.wav")
    return api.prepare("audio", folder, folder / "set", rate=rate, workers=1).folder


def test_the_rebuilding_is_measured(place: Path, sounds: Path) -> None:
    found = artgen.evaluate("audio", place, sounds, backend="encodec", device="cpu", items=2)
    fewer = artgen.evaluate("audio", place, sounds, backend="encodec", device="cpu", items=2, codes=1)
    assert set(found) == {"mr-stft", "lsd"}
    assert found["lsd"].value != fewer["lsd"].value
    assert "4 codes a frame" in found["lsd"].protocol


def test_audio_rnn_composes_over_its_codes(place: Path, sounds: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "steps": 3,
        "batch_size": 2,
        "previews": 1,
        "save_steps": 1,
        "precision": "fp32",
        "codes": 2,
        "pitch": 0.0,
        "stretch": 0.0,
    }
    model = artgen.train("audio", sounds, tmp_path / "run", device="cpu", codec=place, **options)
    told = model.config.network["codec"]
    assert (model.backend, told["backend"], told["codebooks"]) == ("audio.rnn", "audio.encodec", 2)
    work = artgen.generate("audio", model=model.folder, seed=2, seconds=0.5, device="cpu")[0]
    assert (work.rate, work.samples.shape) == (told["rate"], (told["rate"] // 2, 1))
    # The model stands alone: it brings the codec's weights, and they are those of the folder.
    theirs = guest(place).model.state_dict()
    own = {name.removeprefix("codec.model."): tensor for name, tensor in model.tensors().items() if name.startswith("codec.")}
    assert own.keys() == theirs.keys()
    assert all(torch.equal(own[name], theirs[name]) for name in own)
    # And it lends its codec to the next training.
    later = artgen.train("audio", sounds, tmp_path / "later", device="cpu", codec=model.folder, **options)
    assert later.config.network["codec"] == told


def test_a_codec_of_other_sounds_is_refused(place: Path, sounds: Path, tmp_path: Path) -> None:
    other = "dac" if guest(place).kind == "encodec" else "encodec"
    folder = tiny_models.codec(other, tmp_path / other)
    with pytest.raises(ModelError, match=f"it codes {RATES[other]} Hz mono, the dataset is .* prepare with --rate {RATES[other]}"):
        artgen.train("audio", sounds, tmp_path / "run", device="cpu", codec=folder, steps=1)
    with pytest.raises(UsageError, match=f"the codec takes {RATES[other]} Hz and 1; prepare with --rate"):
        artgen.evaluate("audio", folder, sounds, backend="encodec", device="cpu")


def test_sentences(tmp_path: Path, gpt2: Path, sounds: Path) -> None:
    loud = tiny_models.codec("encodec", tmp_path / "loud", normalize=True)
    with pytest.raises(ModelError, match="tells the loudness apart from its codes"):
        guest(loud)
    with pytest.raises(ModelError, match="a model of the kind gpt2, which is no EnCodec or DAC"):
        guest(gpt2)
    with pytest.raises(ModelError, match="a model of the kind gpt2, which is no EnCodec or DAC"):
        artgen.train("audio", sounds, tmp_path / "run", device="cpu", codec=gpt2, steps=1)
    with pytest.raises(ModelError, match="no such folder"):
        artgen.train("audio", sounds, tmp_path / "run", device="cpu", codec="nobody/nothing", steps=1)
    with pytest.raises(ModelError, match=r"audio.encodec brings no model"):
        Encodec.find_model(None)
    mono = Encodec.find_model(str(tiny_models.codec("encodec", tmp_path / "mono")))
    with pytest.raises(SourceError, match="the input: encodec takes sounds, not text"):
        next(iter(Encodec().modify(mono, [Text("x")], [0], Encodec.Modify())))
    assert isinstance(Encodec.find_model(str(loud)), Model)
