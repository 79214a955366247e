"""What ``image.gan`` makes: pictures, walks and films to music, each decided by its seed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from picture_models import TINY, dataset, model, small  # noqa: F401 - fixtures

import artgen
from artgen.artwork import Video, open_artwork
from artgen.backends.image.gan.backend import Gan
from artgen.errors import ModelError, OptionError, UsageError
from artgen.media import audio
from artgen.model import Model

pytestmark = pytest.mark.usefixtures("small")
# ruff: noqa: F811 - fixtures are imported and then named as arguments


def test_same_seed_same_bytes_for_any_number_and_order(model: Model, tmp_path: Path) -> None:
    alone = [work.save(tmp_path / f"a{work.seeds[0]}.png").read_bytes() for s in (3, 9) for work in make(model, seeds=[s])]
    many = {work.seeds[0]: work.save(tmp_path / f"b{work.seeds[0]}.png").read_bytes() for work in make(model, n=20, seed=0)}
    mixed = {w.seeds[0]: w.save(tmp_path / f"c{w.seeds[0]}.png").read_bytes() for w in make(model, seeds=[9, 40, 3, 7, 1])}
    assert alone == [many[3], many[9]] == [mixed[3], mixed[9]]
    assert many[3] != many[9]


def make(model: Model, **options: Any) -> list[Any]:
    return artgen.generate("image", model=model.folder, **options)


def test_truncation_zero_is_the_mean_of_the_class(model: Model) -> None:
    first, second = make(model, seeds=[1, 2], truncation=0.0, class_="round")
    assert (first.pixels == second.pixels).all()
    wide, _ = make(model, seeds=[1, 2], truncation=1.0, class_="round")
    assert (wide.pixels != first.pixels).any()


def test_classes_by_name_and_number(model: Model) -> None:
    assert model.config.classes == ["round", "soft"]
    assert model.config.network["class_counts"] == [12, 12]
    by_name, by_number = make(model, seed=5, class_="soft")[0], make(model, seed=5, class_="1")[0]
    assert (by_name.pixels == by_number.pixels).all()
    assert (by_name.pixels != make(model, seed=5, class_="round")[0].pixels).any()
    with pytest.raises(OptionError, match=r"--class takes a name or 0 to 1, not sof; did you mean soft\?; known: round, soft"):
        make(model, seed=5, class_="sof")


def test_a_model_without_classes_refuses_one(dataset: Path, tmp_path: Path) -> None:
    plain = artgen.train("image", dataset, tmp_path / "run", classes=False, **{**TINY, "steps": 1})
    assert plain.config.network["class_counts"] == []
    with pytest.raises(OptionError, match="--class round: this model was trained without classes"):
        make(plain, seed=5, class_="round")


def test_a_walk_passes_its_pictures_and_closes(model: Model) -> None:
    (film,) = make(model, seeds=[1, 2, 3], walk=0.48, fps=25)
    assert isinstance(film, Video)
    assert film.frames.shape == (12, 32, 32, 3)
    assert film.seeds == (1, 2, 3)
    stills = make(model, seeds=[1, 2, 3])
    for number, still in enumerate(stills):
        assert np.abs(film.frames[4 * number].astype(int) - still.pixels).max() <= 1
    steps = [np.abs(film.frames[i].astype(int) - film.frames[i - 1]).mean() for i in range(12)]
    assert steps[0] < 2 * max(steps[1:])  # the last frame leads to the first as any other does
    (single,) = make(model, seed=1, walk=0.4, fps=10)
    assert np.abs(single.frames[0].astype(int) - stills[0].pixels).max() <= 1


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second of silence, then a second and a half of loud noise."""
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 32_000).astype(np.float32)
    samples[:8000] = 0
    path = tmp_path_factory.mktemp("music") / "a.wav"
    soundfile.write(path, samples, 16_000)
    return path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fps": 10}, "--fps 10 is about a film; give --walk 10s too"),
        ({"walk": 1, "reactivity": 2}, "--reactivity 2 is about --audio; give --audio with a sound too"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Gan.Generate(**given)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_music_drives_a_walk_and_is_heard_in_it(model: Model, music: Path, tmp_path: Path) -> None:
    (film,) = make(model, seeds=[1, 2], audio=str(music), fps=10)
    assert film.frames.shape == (20, 32, 32, 3)
    assert film.seeds == (1, 2)
    steps = np.abs(np.diff(film.frames.astype(int), axis=0)).mean((1, 2, 3))
    assert steps[:4].mean() < 0.5 * steps[6:].mean()  # slow in the silence
    even, plain = make(model, seeds=[1, 2], audio=str(music), fps=10, reactivity=0)[0], make(model, seeds=[1, 2], walk=2, fps=10)[0]
    assert np.array_equal(even.frames, plain.frames)
    assert len(make(model, seed=1, audio=str(music), walk=0.5, fps=10)[0].frames) == 5
    path = film.save(tmp_path / "a.mp4")
    samples, rate = audio.decode(path)
    assert rate == 16_000
    assert np.abs(samples[9000:31_000]).mean() > 0.1
    recipe = open_artwork(path).recipe
    assert recipe is not None
    assert [(item.role, item.name) for item in recipe.inputs] == [("audio", "a.wav")]
    assert artgen.replay(path).state == "identical"
    with pytest.raises(UsageError, match=r"\.gif has no sound; save as \.mp4 or \.webm"):
        film.save(tmp_path / "a.gif")


def test_the_classic_network_trains_generates_and_walks(dataset: Path, tmp_path: Path) -> None:
    classic = artgen.train("image", dataset, tmp_path / "run", architecture="dcgan", **TINY)
    shapes = {name: tuple(tensor.shape) for name, tensor in classic.tensors().items()}
    convolutions = [shape for name, shape in shapes.items() if name.startswith("generator") and len(shape) == 4]
    assert convolutions == [(100, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]
    assert make(classic, seed=1)[0].pixels.shape == (32, 32, 3)
    assert make(classic, seeds=[1, 2], walk=0.2)[0].frames.shape == (5, 32, 32, 3)
    with pytest.raises(OptionError, match="dcgan cannot modify"):
        artgen.modify("image", make(classic, seed=1)[0], model=classic.folder)
    with pytest.raises(OptionError, match="--progressive is an option of --architecture style"):
        artgen.train("image", dataset, tmp_path / "other", architecture="dcgan", progressive=True, **TINY)


def test_three_pictures_are_enough_to_train_on(pictures: Path, tmp_path: Path) -> None:
    files = sorted((pictures / "soft").glob("*.png"))[:3]
    artgen.prepare("image", files, tmp_path / "three", resolution=32)
    trained = artgen.train("image", tmp_path / "three", tmp_path / "run", **{**TINY, "previews": 1, "best_by": "auto"})
    assert make(trained, seed=1)[0].pixels.shape == (32, 32, 3)


def test_weights_that_do_not_fit_the_config_are_a_sentence(model: Model, tmp_path: Path) -> None:
    shutil.copytree(model.folder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["network"]["widths"][0] = 64
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config.json and weights do not belong together"):
        make(Model.open(tmp_path / "model"), seed=1)


def test_generating_imports_nothing_that_it_does_not_need(model: Model, tmp_path: Path) -> None:
    heavy = ("torch._dynamo", "accelerate", "tensorboard", "torch.distributed.fsdp", "transformers", "librosa", "sympy")
    program = (
        "import sys, artgen; "
        f"artgen.generate('image', model={str(model.folder)!r}, seed=1)[0].save({str(tmp_path / 'a.png')!r}); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
