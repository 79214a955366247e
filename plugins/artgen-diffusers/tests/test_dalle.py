"""``image.dalle``: what goes in as words comes out as pictures; codes, captions, sampling, stages, resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from artgen import api
from artgen.artwork import Image, open_artwork
from artgen.backend import Silent
from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError, OptionError
from artgen.media.tokenizer import END
from artgen.model import Model
from artgen.nn.pixels import to_pixels, to_signal
from artgen_diffusers.dalle import captions as wording
from artgen_diffusers.dalle import tasks
from artgen_diffusers.dalle.backend import Dalle
from artgen_diffusers.dalle.codec import DiscreteVAE
from artgen_diffusers.dalle.options import SIZES, Generate, Size, Train, edge_of
from artgen_diffusers.dalle.painter import Painter, Sitting
from artgen_diffusers.dalle.sample import choose, draw, numbers_of

COLOURS = {"red": (220, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 220), "grey": (120, 120, 120)}
SHAPES = ("ball", "box", "bar")
TINY: dict[str, Any] = {"batch_size": 8, "precision": "fp32", "memory_format": "contiguous", "previews": 0, "length": 6, "seed": 3}


class Told(Silent):
    """What a backend says."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


def drawing(colour: str, shape: str, size: int) -> np.ndarray:
    y, x = np.mgrid[0:16, 0:16] - 7.5
    inside = {"ball": np.hypot(y, x) < size, "box": np.maximum(abs(y), abs(x)) < size, "bar": abs(y) < size / 2}[shape]
    return np.where(inside[..., None], COLOURS[colour], 245).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captioned pictures: every colour with every shape in three sizes."""
    place = tmp_path_factory.mktemp("captioned")
    lines = []
    for colour in COLOURS:
        for shape in SHAPES:
            for size in (4, 5, 6):
                name = f"{colour}_{shape}_{size}.png"
                Image(drawing(colour, shape, size)).save(place / name)
                lines.append(json.dumps({"file_name": name, "text": f"Flat art: {colour} {shape} {size}"}))
    (place / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def dataset(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    place = tmp_path_factory.mktemp("data") / "set"
    return api.prepare("image", folder, place, backend="dalle", resolution=16, workers=1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset that trains in seconds."""
    monkeypatch.setitem(SIZES, "sketch", Size(codec=8, levels=(4, 4), layers=1, heads=2, width=32, rate=5e-3))


def train(dataset: Dataset, output: Path, **options: Any) -> Model:
    return api.train("image", dataset.folder, output, backend="dalle", device="cpu", **{**TINY, **options})


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that has learned which colour a word means."""
    before = SIZES["sketch"]
    SIZES["sketch"] = Size(codec=16, levels=(4, 4, 4), layers=2, heads=2, width=32, rate=5e-3)
    try:
        return train(
            dataset,
            tmp_path_factory.mktemp("runs") / "run",
            steps=500,
            codec_share=0.6,
            dropout=0.0,
            noise=0.02,
            held_out=0.1,
            batch_size=16,
        )
    finally:
        SIZES["sketch"] = before


# --- codec


def test_codes_are_the_picture_that_the_autoencoder_gives_back() -> None:
    torch.manual_seed(0)
    for levels in ((8, 5, 5, 5), (4, 3)):
        codec = DiscreteVAE(width=8, downs=2, levels=levels).eval()
        for parameter in codec.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
        torch.nn.init.normal_(codec.encoder[-1].weight, std=2.0)  # type: ignore[arg-type]  # a convolution
        pictures = torch.rand(3, 3, 16, 16) * 2 - 1
        codes = codec.encode(pictures)
        assert codes.shape == (3, 16)
        assert int(codes.min()) >= 0
        assert int(codes.max()) < codec.size == int(np.prod(levels))
        assert len(codes.unique()) > 4
        torch.testing.assert_close(codec.decode(codes), codec(pictures), atol=1e-5, rtol=1e-5)


def test_every_code_has_its_own_numbers_and_gradients_pass_the_rounding() -> None:
    codec = DiscreteVAE(width=8, downs=1, levels=(4, 3))
    numbers = torch.linspace(-4, 4, 200).repeat(2, 1)[None, :, :, None].requires_grad_()
    steps = codec.rounded(numbers)
    assert sorted(set(steps[0, 0].flatten().tolist())) == [-1.0, -0.5, 0.0, 0.5]
    assert sorted(set(steps[0, 1].flatten().tolist())) == [-1.0, 0.0, 1.0]
    steps.sum().backward()
    assert numbers.grad is not None
    assert float(numbers.grad[0, :, 100].min()) > 0.1


# --- captions


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("Pixel art item: potion, ruby2", "pixel art item potion ruby2"),
        ("Red  POTION 3!", "red potion"),
        ("春眠, 不覺曉", "春眠 不覺曉"),
        ("12", ""),
    ],
)
def test_signs_capitals_and_numbers_of_variants_say_nothing(given: str, words: str) -> None:
    assert wording.normalised(given) == words


def test_captions_fall_back_on_classes_and_on_file_names(dataset: Dataset, tmp_path: Path) -> None:
    assert wording.captions_of(dataset)[0] == "flat art blue ball"
    for name in ("red potion 1.png", "old-map.png"):
        Image(drawing("red", "ball", 4 + len(name) % 3)).save(tmp_path / "loose" / name)
    loose = api.prepare("image", tmp_path / "loose", tmp_path / "set", backend="dalle", resolution=16, workers=1)
    assert sorted(wording.captions_of(loose)) == ["old map", "red potion"]
    for number, kind in enumerate(("apples", "pears", "plums")):
        Image(drawing("red", SHAPES[number], 5)).save(tmp_path / "kinds" / kind / "1.png")
    kinds = api.prepare("image", tmp_path / "kinds", tmp_path / "kindset", backend="dalle", resolution=16, workers=1)
    assert wording.captions_of(kinds) == ["apples", "pears", "plums"]
    for number in range(2):
        Image(drawing("blue", "box", 4 + number)).save(tmp_path / "numbers" / f"{number}.png")
    nothing = api.prepare("image", tmp_path / "numbers", tmp_path / "numberset", backend="dalle", resolution=16, workers=1)
    with pytest.raises(DatasetError, match=r"no picture has a caption; give a metadata\.jsonl"):
        wording.captions_of(nothing)


def test_held_out_captions_are_always_the_same_and_have_no_word_of_their_own() -> None:
    captions = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES] + ["unique thing"]
    held = wording.held_out(captions, 0.25)
    assert len(held) == 3
    assert held == wording.held_out(captions[::-1] * 2, 0.25)
    assert "unique thing" not in wording.held_out(captions, 0.5)
    learned = {word for caption in set(captions) - held for word in caption.split()}
    assert all(word in learned for caption in held for word in caption.split())
    assert wording.held_out(captions, 0.0) == set()


def test_thinned_captions_keep_some_of_their_words_and_no_others() -> None:
    random = np.random.default_rng(0)
    words = ["one", "two", "three", "four"]
    found = [wording.thinned(words, random) for _ in range(200)]
    assert all(found)
    assert all(set(each) <= set(words) and len(set(each)) == len(each) for each in found)
    whole = sum(each == words for each in found) / 200
    assert wording.WHOLE - 0.1 < whole < wording.WHOLE + 0.15
    assert any(each[0] == "four" for each in found)
    assert wording.thinned(["alone"], random) == ["alone"]


def test_captions_are_cut_and_filled_up() -> None:
    tokenizer = wording.train_tokenizer(["red ball", "green ball", "blue box"], 300)
    ids = wording.encode(tokenizer, ["red", "ball"], 12)
    assert tokenizer.decode(ids[ids != END]) == " red ball"
    assert ids[-1] == END
    assert wording.encode(tokenizer, ["red", "ball"], 1).shape == (1,)
    assert wording.encode(tokenizer, [], 3).tolist() == [END] * 3


def test_a_damaged_list_of_words_is_refused() -> None:
    assert wording.read_vocabulary(wording.vocabulary(["b a", "a"])) == ["a", "b"]
    for data in (b"{", b"[1]"):
        with pytest.raises(ModelError, match=r"words\.json: damaged .*; restore the file or train the model again"):
            wording.read_vocabulary(data)


# --- the Transformer


def painter(**changes: Any) -> Painter:
    torch.manual_seed(1)
    made = Painter(**{"vocabulary": 30, "length": 4, "codes": 16, "edge": 3, "layers": 2, "heads": 2, "width": 16, **changes})
    for parameter in made.parameters():
        if parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.4)
    return made.eval()


def test_a_code_depends_on_those_before_it_and_on_the_caption_alone() -> None:
    made = painter()
    captions, codes = torch.randint(30, (2, 4)), torch.randint(16, (2, 9))
    before = made(captions, codes)
    other = codes.clone()
    other[:, 5] = (other[:, 5] + 1) % 16
    after = made(captions, other)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])
    # The code above counts for itself: place 8 lies below place 5.
    captions[:, 0] = (captions[:, 0] + 1) % 30
    assert not torch.allclose(made(captions, codes)[:, 0], before[:, 0])


def test_writing_code_by_code_sees_what_learning_sees() -> None:
    made = painter()
    captions, codes = torch.randint(30, (3, 4)), torch.randint(16, (3, 9))
    sitting, seen = Sitting(made, captions), []
    for place in range(9):
        seen.append(sitting.logits())
        sitting.write(codes[:, place])
    torch.testing.assert_close(torch.stack(seen, 1), made(captions, codes), atol=2e-5, rtol=1e-5)
    assert torch.equal(sitting.codes(), codes)


def test_choose_follows_temperature_top_k_and_top_p() -> None:
    logits = torch.log(torch.tensor([[0.1, 0.6, 0.3]], dtype=torch.float64))
    numbers = torch.linspace(0, 0.999, 1000, dtype=torch.float64)

    def shares(**options: Any) -> list[float]:
        given = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, **options}
        found = choose(logits.expand(1000, -1), numbers, **given)
        return [float((found == code).double().mean()) for code in range(3)]

    assert shares() == pytest.approx([0.1, 0.6, 0.3], abs=0.01)
    assert shares(temperature=0.0) == [0.0, 1.0, 0.0]
    assert shares(top_k=2) == pytest.approx([0.0, 0.667, 0.333], abs=0.01)
    assert shares(top_p=0.7) == pytest.approx([0.0, 0.667, 0.333], abs=0.01)
    assert shares(temperature=0.5) == pytest.approx([0.01 / 0.46, 0.36 / 0.46, 0.09 / 0.46], abs=0.01)


def test_guidance_moves_towards_the_caption_and_none_ignores_it() -> None:
    made = painter()
    captions, numbers = torch.randint(1, 30, (64, 4)), torch.rand(64, 9, dtype=torch.float64)
    fits = {guidance: draw(made, captions, numbers, guidance=guidance)[1].mean() for guidance in (0.0, 1.0, 3.0)}
    assert fits[0.0] < fits[1.0] < fits[3.0]
    ignored, _ = draw(made, captions, numbers, guidance=0.0)
    assert torch.equal(ignored, draw(made, torch.zeros_like(captions), numbers, guidance=1.0)[0])


# --- training


def test_both_stages_learn_and_the_model_is_whole(model: Model, dataset: Dataset) -> None:
    lines = [json.loads(line) for line in (model.folder.parent / "metrics.jsonl").read_text().splitlines()]
    codec = [line["loss/codec"] for line in lines if "loss/codec" in line]
    painted = [line["loss/painter"] for line in lines if "loss/painter" in line]
    assert np.mean(codec[-5:]) < 0.4 * np.mean(codec[:3])
    assert np.mean(painted[-5:]) < 0.5 * np.mean(painted[:3])
    network = model.config.network
    assert network["resolution"] == 16
    assert network["painter"]["edge"] == 4
    assert network["painter"]["codes"] == 64
    assert len(network["held_out"]) == 1
    assert json.loads(model.file("words.json"))[:2] == ["flat", "art"]
    Dalle().build(network).load_state_dict(model.tensors())


def test_a_word_gives_its_colour(model: Model) -> None:
    """By chance ten of the forty pictures would have it; how many do hangs on the last bits of the training, so on the machine."""
    right = 0
    for colour, wanted in COLOURS.items():
        for picture in api.generate("image", model=model, prompt=f"{colour} box", seed=1, n=10, candidates=2):
            middle = picture.pixels[5:11, 5:11].reshape(-1, 3).mean(0)
            right += min(COLOURS.values(), key=lambda known: np.abs(np.array(known) - middle).sum()) == wanted
    assert right >= 17


def test_the_same_seed_draws_the_same_picture_in_any_company(model: Model) -> None:
    several = api.generate("image", model=model, prompt="red ball", seed=5, n=9, candidates=2)
    alone = api.generate("image", model=model, prompt="red ball", seed=9, candidates=2)
    assert np.array_equal(several[4].pixels, alone[0].pixels)
    assert len({each.pixels.tobytes() for each in several}) > 1
    assert alone[0].pixels.shape == (16, 16, 3)


def test_the_candidate_that_fits_best_is_kept(model: Model) -> None:
    from artgen_diffusers.dalle.sample import Studio

    studio = Studio.of(model, Dalle())
    options = Generate(prompt="green bar", guidance=1.0, candidates=6)
    caption = studio.caption(options.prompt, Told())
    numbers = torch.stack([numbers_of(2, number, 16) for number in range(6)])
    pixels, fits = studio.draw(caption, numbers, options)
    (kept,) = studio.pictures([2], options, Told())
    assert np.array_equal(kept.pixels, pixels[int(np.argmax(fits))])
    assert len(set(fits)) > 1


def test_what_a_prompt_cannot_say_is_told(model: Model) -> None:
    told = Told()
    list(Dalle().generate(model, [1], Generate(prompt="redd ball", candidates=1), told))
    assert told.sentences == ["the model has never read the word 'redd'; did you mean red?"]
    told = Told()
    list(Dalle().generate(model, [1], Generate(prompt="flat art red ball " * 3, candidates=1), told))
    assert told.sentences == ["the prompt is longer than the 6 tokens that the model reads: its end does not count"]
    told = Told()
    (free,) = Dalle().generate(model, [1], Generate(candidates=1), told)
    assert isinstance(free, Image)
    assert told.sentences == []


@pytest.mark.parametrize("stage", [tasks.CodecTask, tasks.PainterTask])
def test_resume_in_either_stage_is_exact(stage: Any, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"steps": 6, "codec_share": 0.5, "save_steps": 1, "dropout": 0.2}
    train(dataset, tmp_path / "whole", **options)
    forward = stage.forward

    def stopping(task: Any, phase: str, batch: Any, position: Any) -> Any:
        if position.seen == 2 * TINY["batch_size"]:
            raise MemoryError
        return forward(task, phase, batch, position)

    monkeypatch.setattr(stage, "forward", stopping)
    with pytest.raises(MemoryError):
        train(dataset, tmp_path / "cut", **options)
    monkeypatch.setattr(stage, "forward", forward)
    api.train("image", output=tmp_path / "cut", resume=True, device="cpu")
    whole, cut = (load_file(tmp_path / name / "model-last" / "model.safetensors") for name in ("whole", "cut"))
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) == 0


def test_held_out_pictures_are_never_learned_from(dataset: Dataset) -> None:
    options = Train(**{**TINY, "held_out": 0.2})
    codec, second = Dalle().task(dataset, options)
    assert isinstance(codec, tasks.CodecTask)
    assert isinstance(second, tasks.PainterTask)
    held = set(second.network["held_out"])
    captions = wording.captions_of(dataset)
    assert held
    assert {captions[number] for number in second.held} == held
    second.begin(dataset, [codec])
    everyone = list(range(len(dataset)))
    assert not held & {captions[number] for number in second.load(dataset, everyone)["items"].tolist()}
    given = codec.load(dataset, everyone)["pictures"]
    excluded = to_signal(torch.from_numpy(np.array(dataset.array("images")[second.held])))
    assert not any(torch.equal(one, other) for one in given for other in excluded)
    assert second.metrics == {"val/loss": "lower"}
    assert np.isfinite(second.eval().measure(dataset, ["val/loss"])["val/loss"])


def test_previews_show_what_was_learned_so_far(dataset: Dataset, tmp_path: Path) -> None:
    train(dataset, tmp_path / "run", steps=4, previews=1)
    found = [open_artwork(path).pixels.shape for path in (tmp_path / "run" / "previews").glob("*.png")]
    # 8 pictures and, below, what came back; 16 drawn ones: of one size, so that the time-lapse shows both stages.
    assert len(found) >= 2
    assert set(found) == {(32, 128, 3)}
    assert (tmp_path / "run" / "timelapse.gif").exists()


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"grid": 5}, OptionError, "--grid takes one of 8, 4, 2 for pictures of 16 pixels, not 5"),
        ({"grid": 16}, OptionError, "--grid takes one of 8, 4, 2 for pictures of 16 pixels, not 16"),
        ({"held_out": 0.7}, OptionError, "--held-out takes 0 to 0.5, not 0.7"),
        ({"vocabulary": 5}, OptionError, "--vocabulary takes 300 to 65536 tokens, not 5"),
    ],
)
def test_wrong_options_get_a_sentence(dataset: Dataset, tmp_path: Path, options: Any, error: Any, sentence: str) -> None:
    with pytest.raises(error, match=sentence.replace("(", r"\(")):
        train(dataset, tmp_path / "run", steps=1, **options)


def test_large_pictures_are_refused_before_training() -> None:
    assert edge_of(Train(), 32) == 8
    assert edge_of(Train(grid=16), 32) == 16
    with pytest.raises(DatasetError, match="pictures of 256 pixels are 4096 codes; prepare them with --resolution 64 or less"):
        edge_of(Train(), 256)


def test_scores_tell_codec_and_captions_apart(model: Model, dataset: Dataset, folder: Path, tmp_path: Path) -> None:
    scores = api.evaluate("image", model, dataset.folder)
    assert set(scores) == {"psnr", "loss", "gain"}
    assert scores["psnr"].value > 15
    assert "3 pictures held out" in scores["loss"].protocol
    learned = Model(model.folder, msgspec.structs.replace(model.config, network={**model.config.network, "held_out": []}))
    everyone = api.evaluate("image", learned, dataset.folder)
    assert everyone["gain"].value > 0.1
    assert everyone["loss"].value < scores["loss"].value
    assert everyone["loss"].protocol == f"artgen-dalle@{len(dataset)} pictures"
    other = api.prepare("image", folder, tmp_path / "set", backend="dalle", resolution=32, min_size=8, workers=1)
    with pytest.raises(DatasetError, match="pictures of 32 pixels, the model makes 16; prepare with --resolution 16"):
        api.evaluate("image", model, other.folder)


def test_a_tokenizer_of_another_model_is_refused(model: Model, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(model.folder, tmp_path / "model")
    wording.train_tokenizer(["a b", "c d"], 290).save(tmp_path / "model" / "tokenizer.json")
    with pytest.raises(ModelError, match=r"tokenizer\.json: damaged \(not the file that config\.json was written with\)"):
        api.generate("image", model=tmp_path / "model", seed=1)
    # And where config.json says nothing of the file, as those of older versions:
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "files": {}}))
    with pytest.raises(ModelError, match=r"tokenizer\.json has \d+ tokens, the network \d+; restore the file"):
        api.generate("image", model=tmp_path / "model", seed=1)


def test_decoded_pictures_are_pixels(model: Model) -> None:
    codec = model.network(Dalle()).get_submodule("codec")
    assert isinstance(codec, DiscreteVAE)
    assert to_pixels(codec.decode(torch.zeros(1, 16, dtype=torch.int64))).dtype == np.uint8
