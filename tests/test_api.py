"""The verbs in Python: seeds, layers, recipes and devices, on a real small plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import noise_plugin
import numpy as np
import pytest
from noise_fixtures import cat, dataset, model, place  # noqa: F401 - fixtures
from noise_plugin import save_noise

import artgen
from artgen import api
from artgen.artwork import Image, Video, grid
from artgen.errors import DatasetError, ModelError, OptionError, SourceError, UnknownBackendError, UsageError
from artgen.recipe import COMPOSITE, GENERATED, file_sha256
from artgen.remake import replay

pytestmark = pytest.mark.usefixtures("place")

# ruff: noqa: F811 - fixtures are imported and then named as arguments


class Talk:
    """A progress object that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self, description: str, total: float | None = None, unit: str = "") -> None: ...
    def expect(self, total: float, before: float = 0.0, seconds: float | None = None) -> None: ...
    def advance(self, amount: float = 1.0, note: str = "") -> None: ...
    def partial(self, artwork: Any) -> None: ...
    def finish(self) -> None: ...

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def test_import_is_light_and_lazy() -> None:
    code = "import sys, artgen; before = set(sys.modules); dir(artgen); print('numpy' in before, 'msgspec' in before)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False", "False"]


def test_every_public_name_is_there() -> None:
    for name in artgen.__all__:
        assert getattr(artgen, name) is not None
    assert set(artgen.__all__) <= set(dir(artgen))
    with pytest.raises(AttributeError, match="module 'artgen' has no attribute 'nothing'"):
        _ = artgen.nothing  # type: ignore[attr-defined]
    assert callable(artgen.replay)
    assert callable(artgen.show)


def pixels(works: list[Any]) -> list[bytes]:
    return [work.numpy().tobytes() for work in works]


def test_generate_makes_one_work_a_seed(model: Path) -> None:
    works = artgen.generate("image", model=model, n=3, seed=7)
    assert [work.seeds for work in works] == [(7,), (8,), (9,)]
    assert pixels(works) == pixels(artgen.generate("image", model=model, seeds=[7, 8, 9]))
    assert pixels(works)[1:2] == pixels(artgen.generate("image", model=model, seed=8))
    assert len(set(pixels(works))) == 3


def test_an_opened_model_and_its_backend_name_are_accepted(model: Path) -> None:
    opened = artgen.Model.open(model)
    first = pixels(artgen.generate("image", model=opened, seed=1))
    assert first == pixels(artgen.generate("image", model=str(model), backend="image.noise", seed=1, device="cpu"))
    assert opened.device in ("cpu", "mps") or opened.device.startswith("cuda")


def test_a_drawn_seed_is_said_and_stored(model: Path) -> None:
    talk = Talk()
    first = artgen.generate("image", model=model, n=2, progress=talk)
    seed = first[0].seeds[0]
    assert talk.said == [f"seed {seed}, drawn at random; give --seed {seed} to make the same again"]
    assert first[1].recipe is not None
    assert first[1].recipe.seeds == (seed + 1,)
    assert artgen.generate("image", model=model)[0].seeds != (seed,)


def test_works_are_handed_over_one_by_one(model: Path) -> None:
    works = artgen.iter_generate("image", model=model, n=10**5, seed=0)
    assert next(works).seeds == (0,)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"n": 0}, OptionError, "--count takes 1 or more, not 0"),
        ({"seed": -1}, OptionError, "--seed takes 0 to 9223372036854775807, not -1"),
        ({"seed": 2**63 - 1, "n": 2}, OptionError, "--seed takes 0 to 9223372036854775807, not 9223372036854775808"),
        ({"seeds": [1], "n": 2}, UsageError, "--seeds says which works to make; leave --seed and --count out"),
        ({"seeds": []}, UsageError, "--seeds is empty"),
        ({"device": "tpu"}, OptionError, "--device takes auto, cpu, cuda, cuda:NUMBER or mps, not tpu"),
        ({"truncation": 9}, OptionError, "--truncation takes 0 to 2, not 9"),
        ({"truncatoin": 1}, OptionError, r"no option 'truncatoin' in image generate; did you mean truncation\?"),
        ({"palette": "gone.png"}, SourceError, "gone.png: No such file or directory"),
        ({"backend": "preparer"}, UsageError, "--backend preparer, but .* is a model of image.noise; leave --backend out"),
    ],
)
def test_mistakes_are_told_before_any_work(model: Path, arguments: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        artgen.iter_generate("image", **{"model": model, "seed": None, **arguments})


def test_backends_models_and_verbs_that_are_not_there(tmp_path: Path, model: Path) -> None:
    with pytest.raises(UnknownBackendError, match="no modality 'imag'"):
        artgen.generate("imag")
    with pytest.raises(
        UsageError, match=r'the modality comes first: artgen.generate\("image", …\), not \w+Path; a model is given as model=…'
    ):
        artgen.generate(model)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"no starter model for image.noise; train one and give it with --model"):
        artgen.generate("image", backend="noise")
    with pytest.raises(ModelError, match="no such model"):
        artgen.generate("image", model=tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"a model of image.noise, not of audio; use artgen image generate"):
        artgen.generate("audio", model=model)
    with pytest.raises(
        UsageError,
        match=r"image.preparer does not generate \(it can: prepare\); choose one that does with --backend: .*image.noise",
    ):
        artgen.generate("image", backend="preparer")


def test_layers_default_model_keyword(tmp_path: Path) -> None:
    place = save_noise(tmp_path / "own", [100, 100, 100], 30.0, 8, {"truncation": 0.3}).folder

    def truncation(**options: Any) -> float:
        recipe = artgen.generate("image", model=place, seed=1, **options)[0].recipe
        assert recipe is not None
        return float(recipe.options["truncation"])

    assert truncation() == 0.3
    assert truncation(truncation=None) == 0.3
    assert truncation(truncation=1) == 1.0


def test_the_recipe_tells_all(model: Path, cat: Path) -> None:
    work = artgen.generate("image", model=model, seed=3, palette=cat, shift=[1, 2, 3])[0]
    recipe = work.recipe
    assert recipe is not None
    assert (recipe.artgen, recipe.verb, recipe.backend, recipe.seeds) == (artgen.__version__, "generate", "image.noise", (3,))
    assert recipe.model == {"name": "hum", "path": str(model), "sha256": file_sha256(model / "model.safetensors")}
    assert recipe.options == {
        "truncation": 0.7,
        "class_": None,
        "mirror": False,
        "tone": "warm",
        "shift": [1, 2, 3],
        "sheet": False,
        "walk": None,
    }
    assert [(found.role, found.name, found.path, found.sha256) for found in recipe.inputs] == [
        ("palette", "cat.png", str(cat), file_sha256(cat))
    ]
    assert (recipe.mark, recipe.licence, recipe.environment["torch"] != "") == (GENERATED, "CC0-1.0", True)


def test_a_work_may_have_options_of_its_own(model: Path, cat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = noise_plugin.Noise.generate

    def batch(self: Any, model: Any, seeds: Any, options: Any, progress: Any = None) -> Any:
        for seed in seeds:
            for truncation in (0.1, 1.9):
                work = next(iter(plain(self, model, [seed], options.replace(truncation=truncation, palette=None))))
                work.seeds, work.options = (seed,), {"truncation": truncation, "palette": None}
                yield work

    with monkeypatch.context() as patch:
        patch.setattr(noise_plugin.Noise, "generate", batch)
        works = artgen.generate("image", model=model, seeds=[4, 5], truncation=0.5, palette=cat)
    assert [work.seeds for work in works] == [(4,), (4,), (5,), (5,)]
    recipes = [work.recipe for work in works if work.recipe is not None]
    assert [recipe.options["truncation"] for recipe in recipes] == [0.1, 1.9, 0.1, 1.9]
    assert all(recipe.inputs == () and "palette" not in recipe.options for recipe in recipes)
    assert [replay(work.save(tmp_path / "work.png")).state for work in works] == ["identical"] * 4


def test_several_processes_share_the_seeds(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pixels(artgen.generate("image", model=model, n=5, seed=0))
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        shares.append(artgen.generate("image", model=model, n=5, seed=0))
    assert [[work.seeds[0] for work in share] for share in shares] == [[0, 2, 4], [1, 3]]
    assert pixels(shares[0]) == whole[0::2]
    assert pixels(shares[1]) == whole[1::2]
    assert artgen.generate("image", model=model, n=1, seed=0) == []
    assert len(list(artgen.iter_generate("image", model=model, n=5, seed=0, share=False))) == 5
    with pytest.raises(UsageError, match="several processes need one common seed"):
        artgen.generate("image", model=model, n=5)


def test_a_work_of_all_seeds_is_made_by_the_first_process(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = artgen.generate("image", model=model, n=3, seed=0, sheet=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    shares = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        shares.append(artgen.generate("image", model=model, n=3, seed=0, sheet=True))
    assert [work.seeds for work in shares[0]] == [(0, 1, 2)]
    assert (pixels(shares[0]), shares[1]) == (pixels(alone), [])


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert api.resolve_device("auto") == "cpu"
    with pytest.raises(
        UsageError, match="--device cuda: this machine has no CUDA device that torch can use; give --device auto or cpu"
    ):
        api.resolve_device("cuda")
    with pytest.raises(UsageError, match="--device mps: this machine has no Apple GPU"):
        api.resolve_device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert [api.resolve_device(name) for name in ("auto", "cuda", "cuda:0", "cpu")] == ["cuda:1", "cuda:1", "cuda:0", "cpu"]
    with pytest.raises(UsageError, match=r"--device cuda:5: this machine has only 2 \(numbered from 0\)"):
        api.resolve_device("cuda:5")


def test_modify_depends_on_the_work_and_the_seed_alone(model: Path, cat: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image(np.full((6, 8, 3), 90, np.uint8)).save(other)
    both = artgen.modify("image", [other, cat], model=model, seed=4, strength=0.25, mix=[str(other)])
    alone = artgen.modify("image", cat, model=model, seed=4, strength=0.25, mix=(str(other),))
    assert pixels(both)[1] == pixels(alone)[0]
    recipe = alone[0].recipe
    assert recipe is not None
    assert (recipe.verb, recipe.mark, recipe.seeds, recipe.options) == ("modify", COMPOSITE, (4,), {"strength": 0.25})
    assert [(found.role, found.name) for found in recipe.inputs] == [("input", "cat.png"), ("mix", "other.png")]


def test_modify_takes_works_from_memory_and_refuses_the_wrong(model: Path, tmp_path: Path) -> None:
    work = Image(np.zeros((4, 4, 3), np.uint8), name="mine")
    made = artgen.modify("image", work, model=model)[0]
    assert made.recipe is not None
    assert (made.recipe.inputs[0].path, made.recipe.inputs[0].name) == ("", "mine")
    clip = Video(np.stack([work.pixels, work.pixels + 200]), name="clip").save(tmp_path / "clip.gif")
    with pytest.raises(SourceError, match=r"clip.gif: video, not image; use artgen video modify"):
        artgen.modify("image", clip, model=model)
    with pytest.raises(SourceError, match="nothing to modify"):
        artgen.modify("image", [], model=model)
    with pytest.raises(SourceError, match=r"gone.png: no such file"):
        artgen.modify("image", tmp_path / "gone.png", model=model)
    with pytest.raises(OptionError, match="--seed takes 0 to"):
        artgen.modify("image", work, model=model, seed=-1)


def test_prepare_and_evaluate(pictures: Path, tmp_path: Path, model: Path) -> None:
    data = artgen.prepare("image", pictures, tmp_path / "set", backend="noise", resolution=4)
    assert (len(data), data.manifest.shapes) == (24, {"images": [24, 4, 4, 3]})
    scores = artgen.evaluate("image", model, data, items=2)
    assert scores["colour"].protocol == "mean@N=2"
    assert (
        scores == artgen.evaluate("image", str(model), str(data.folder), items=2)
        or scores["unknown"].value != scores["unknown"].value
    )
    with pytest.raises(OptionError, match="--resolution takes 4 to 64 px, not 2"):
        artgen.prepare("image", pictures, tmp_path / "small", backend="noise", resolution=2)
    with pytest.raises(DatasetError, match="no dataset there"):
        artgen.evaluate("image", model, tmp_path)


def audio_dataset(folder: Path) -> Path:
    from artgen.dataset import Manifest, write_manifest

    folder.mkdir()
    np.save(folder / "a.npy", np.zeros((2, 1), np.int16))
    return write_manifest(folder, Manifest(artgen="0", kind="audio", count=1, arrays={"a": "a.npy"}, shapes={"a": [2, 1]})).folder


def test_a_dataset_of_another_modality(model: Path, tmp_path: Path) -> None:
    other = audio_dataset(tmp_path / "sounds")
    with pytest.raises(DatasetError, match="a dataset of audio, not of image"):
        artgen.evaluate("image", model, other)
    with pytest.raises(DatasetError, match="a dataset of audio, not of image"):
        artgen.evaluate("image", model, artgen.Dataset.open(other))
    with pytest.raises(DatasetError, match="a dataset of audio, not of image"):
        artgen.train("image", other, backend="noise")


def test_list_backends(place: Path) -> None:
    noise_plugin.broken_module(place, "broken_there", "raise RuntimeError('no such card')")
    noise_plugin.install(place, {"image.broken": "broken_there:Backend"}, distribution="artgen-broken")
    found = {item["name"]: item for item in artgen.list_backends()}
    assert found["image.noise"]["verbs"] == ["prepare", "train", "generate", "modify", "evaluate"]
    assert found["image.noise"]["summary"] == noise_plugin.Noise.summary
    assert found["image.broken"]["reason"] == "RuntimeError: no such card"
    assert [item["name"] for item in artgen.list_backends("text")] == ["text.transformer"]
    with pytest.raises(UnknownBackendError, match="no modality 'smell'"):
        artgen.list_backends("smell")


def test_grids_hold_their_seeds(model: Path) -> None:
    works = artgen.generate("image", model=model, n=3, seed=0)
    assert grid([work for work in works if isinstance(work, Image)], 2, 2).seeds == (0, 1, 2)
