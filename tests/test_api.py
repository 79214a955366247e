"""The verbs in Python: seeds, layers, recipes, devices, replay and show, on a real small plugin."""

from __future__ import annotations

import json
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
from artgen.describe import show
from artgen.errors import ArtgenError, DatasetError, ModelError, OptionError, SourceError, UnknownBackendError, UsageError
from artgen.plan import plan_training
from artgen.recipe import COMPOSITE, GENERATED, file_sha256
from artgen.remake import replay, side_by_side

pytestmark = pytest.mark.usefixtures("place")
# ruff: noqa: F811 - fixtures are imported and then named as arguments


class Talk:
    """A progress object that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self, description: str, total: float | None = None, unit: str = "") -> None: ...
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


def test_train_on_a_raw_folder_prepares_it_first(pictures: Path, tmp_path: Path) -> None:
    made = artgen.train("image", pictures, tmp_path / "run", backend="noise", resolution=4, spread=2, steps=3, device="cpu")
    assert made.modality == "image"
    assert show(tmp_path / "run" / "dataset")["shapes"] == {"images": [24, 4, 4, 3]}
    told = show(tmp_path / "run")
    assert (told["kind"], told["backend"], told["options"]["spread"], told["models"]) == ("run", "image.noise", 2.0, ["model"])
    assert f"artgen image train --resume --output {tmp_path / 'run'}" in told["next"]
    again = artgen.train("image", output=tmp_path / "run", resume=True, steps=9, device="cpu")
    assert again.sha256 == made.sha256
    assert show(tmp_path / "run")["options"]["steps"] == 9
    with pytest.raises(UsageError, match="a run is there already; add --resume to go on with it, or give another --output"):
        artgen.train("image", pictures, tmp_path / "run", backend="noise")


def test_a_plan_layers_file_and_keywords(dataset: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('backend = "image.noise"\nspread = 2\nsteps = 5\nminutes = "90s"\n[prepare]\nresolution = 16\n')
    plan: Any = plan_training("image", tmp_path, config=config, steps=7)
    assert (plan.options.spread, plan.options.steps, plan.options.minutes, plan.prepare.resolution) == (2.0, 7, 1.5, 16)
    again = tmp_path / "again.toml"
    again.write_text(plan.to_toml())
    assert plan_training("image", tmp_path, config=again).to_toml() == plan.to_toml()
    assert plan_training("image", tmp_path, config=config, resolution=32).prepare.resolution == 32  # type: ignore[union-attr]
    assert not list(Path().iterdir())


def test_a_run_gets_a_new_folder(dataset: Path) -> None:
    assert str(plan_training("image", dataset, backend="noise").output) == "runs/data-1"
    Path("runs/data-1").mkdir(parents=True)
    assert str(plan_training("image", dataset, backend="noise").output) == "runs/data-2"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("spread = ", "not a TOML file"),
        ("[optimizer]\nlr = 1", r"no table \[optimizer\]; options stand at the top"),
        ("prepare = 3", r"prepare is a table; write \[prepare\]"),
        ('backend = "audio.rnn"', "its backend is audio.rnn, which is not one of image"),
        ("sprad = 2", r"no option 'sprad' of train or prepare; did you mean spread\?"),
        ("[prepare]\nspread = 2", "no option 'spread' of train or prepare"),
        ("spread = 9", "--spread takes more than 0 and at most 4, not 9"),
    ],
)
def test_mistakes_in_a_config_file(tmp_path: Path, pictures: Path, text: str, sentence: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    backend = None if "backend" in text else "noise"
    with pytest.raises(UsageError, match=sentence):
        plan_training("image", pictures, config=config, backend=backend)


def test_mistakes_in_training(tmp_path: Path, dataset: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(sentence: str, *arguments: Any, **options: Any) -> None:
        with pytest.raises(ArtgenError, match=sentence):
            plan_training("image", *arguments, **{"backend": "noise", **options})

    fails("nothing to train on; give a folder, an archive or a prepared dataset")
    fails("gone: no such file or folder", "gone")
    fails("gone.toml: No such file or directory", pictures, config="gone.toml")
    fails("--resolution says how to prepare raw files, but .* is prepared already", dataset, resolution=8)
    fails("image.preparer does not train", dataset, backend="preparer")
    fails("--resume needs the run to go on with; give it with --output RUN", resume=True)
    fails(r"no run to go on with \(no config.toml\)", resume=True, output=tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text(f'backend = "image.noise"\ndataset = "{tmp_path / "moved"}"\nspread = 2.0\n')
    fails("the dataset of .*run is not there", resume=True, output=run)
    fails("--backend gan, but .*run is a run of image.noise; leave --backend out", dataset, resume=True, output=run, backend="gan")
    moved: Any = plan_training("image", dataset, run, resume=True)
    assert (moved.dataset, moved.options.spread) == (dataset, 2.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    fails("several processes need one common run; name it with --output", dataset)


def test_other_processes_wait_for_the_dataset(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    from artgen.plan import plan_dataset

    plan = plan_training("image", pictures, tmp_path / "run", backend="noise")
    opened = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    waiting = threading.Thread(target=lambda: opened.append(plan_dataset(plan)), daemon=True)
    waiting.start()
    noise_plugin.Noise().prepare([pictures], plan.dataset, noise_plugin.Noise.Prepare())
    waiting.join(30)
    assert len(opened[0]) == 24


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


# replay


def made(model: Path, path: Path, **options: Any) -> Path:
    return artgen.generate("image", model=model, seed=5, **options)[0].save(path)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif"])
def test_replay_says_identical(model: Path, tmp_path: Path, cat: Path, ending: str) -> None:
    found = replay(made(model, tmp_path / f"a{ending}", palette=cat, mirror=True))
    assert (found.state, found.distance) == ("identical", (0.0, 0.0))
    assert "every byte" in found.reason
    assert found.artwork is not None


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_replay_of_clips(model: Path, tmp_path: Path, ending: str) -> None:
    found = replay(made(model, tmp_path / f"a{ending}", walk="1s"))
    assert found.state == "identical", found.reason


def test_replay_of_a_modified_work_with_files(model: Path, tmp_path: Path, cat: Path) -> None:
    path = artgen.modify("image", cat, model=model, seed=4, mix=[cat])[0].save(tmp_path / "m.png")
    assert replay(path).state == "identical"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    path = path.rename(moved / "m.png")
    cat.rename(moved / "cat.png")
    assert replay(path).state == "identical"
    (moved / "cat.png").write_bytes(b"changed")
    found = replay(path)
    assert found.state == "impossible"
    assert "its mix" in found.reason or "its input" in found.reason
    assert "has changed since (it is not the cat.png that was used)" in found.reason
    (moved / "cat.png").unlink()
    assert "is gone" in replay(path).reason


def test_replay_of_a_work_from_memory_is_impossible(model: Path, tmp_path: Path) -> None:
    path = artgen.modify("image", Image(np.zeros((4, 4, 3), np.uint8)), model=model)[0].save(tmp_path / "m.png")
    assert "its input was not a file, so it cannot be read again" in replay(path).reason


def test_replay_finds_a_moved_model(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(model, tmp_path / "a.png")
    moved = model.rename(tmp_path / "moved")
    found = replay(path)
    assert (found.state, "its model hum is not at" in found.reason) == ("impossible", True)
    assert replay(path, model=moved).state == "identical"
    other = save_noise(tmp_path / "other", [1, 2, 3], 5.0, 8).folder
    assert "has other weights than the model that made it (hum)" in replay(path, model=other).reason
    save_noise(model, [1, 2, 3], 5.0, 8)
    assert "what is there now has other weights" in replay(path).reason
    monkeypatch.setattr("artgen.model.STARTERS", tmp_path)
    assert replay(path).state == "identical"


def test_replay_measures_the_distance(model: Path, tmp_path: Path) -> None:
    work = artgen.generate("image", model=model, seed=5)[0]
    assert isinstance(work, Image)
    assert work.recipe is not None
    near = work.pixels.copy()
    near[0, 0, 0] ^= 1
    found = replay(Image(near, recipe=work.recipe).save(tmp_path / "near.png"))
    assert (found.state, found.distance) == ("close", (1.0, 1 / near.size))
    far = replay(Image(255 - near, recipe=work.recipe).save(tmp_path / "far.png"))
    assert (far.state, "made again, but far from it" in far.reason) == ("impossible", True)
    wide = replay(Image(near[:, :4], recipe=work.recipe).save(tmp_path / "wide.png"))
    assert "another shape ([8, 4, 3] in the file, [8, 8, 3] now)" in wide.reason


def test_replay_tells_other_versions(model: Path, tmp_path: Path) -> None:
    import msgspec

    work = artgen.generate("image", model=model, seed=5)[0]
    assert work.recipe is not None
    recipe = msgspec.structs.replace(work.recipe, environment={"torch": "1.0"})
    pixels = work.numpy().copy()
    pixels[0, 0, 0] ^= 1
    found = replay(Image(pixels, recipe=recipe).save(tmp_path / "old.png"))
    assert found.state == "close"
    assert "; torch 1.0 there and 2." in found.reason


@pytest.mark.parametrize("detail", ["minimal", "none"])
def test_replay_of_an_incomplete_recipe(model: Path, tmp_path: Path, detail: Any) -> None:
    path = artgen.generate("image", model=model, seed=5)[0].save(tmp_path / "a.png", recipe=detail)
    found = replay(path)
    assert found.state == "impossible"
    assert "--recipe minimal or none" in found.reason or "carries no recipe" in found.reason


def test_replay_without_a_recipe(cat: Path, tmp_path: Path) -> None:
    assert replay(cat).reason == f"{cat}: carries no recipe"
    with pytest.raises(SourceError, match="no such file"):
        replay(tmp_path / "gone.png")


def test_replay_from_a_sidecar(model: Path, tmp_path: Path) -> None:
    work = artgen.generate("image", model=model, seed=5)[0]
    assert work.recipe is not None
    text = work.recipe.to_json()
    path = Image(work.numpy()).save(tmp_path / "plain.png")
    sidecar = tmp_path / "plain.json"
    sidecar.write_text(text)
    for file in (path, sidecar):
        assert replay(file).state == "identical"
    sidecar.rename(tmp_path / "plain.png.json")
    assert replay(path).state == "identical"
    assert replay(tmp_path / "plain.png.json").state == "identical"
    lonely = tmp_path / "lonely.json"
    lonely.write_text(text)
    with pytest.raises(SourceError, match="the work that it tells of is not beside it"):
        replay(lonely)


def test_replay_refuses_what_it_does_not_know(model: Path, tmp_path: Path) -> None:
    import msgspec

    work = artgen.generate("image", model=model, seed=5)[0]
    assert work.recipe is not None
    changes: list[tuple[dict[str, Any], str]] = [
        ({"options": {"sparkle": 1}}, "no option 'sparkle'"),
        ({"layout": "spiral"}, "its layout 'spiral' is not one"),
        ({"verb": "explain"}, "it was made with explain, which this artgen cannot make again"),
        ({"backend": "image.gone"}, "no backend 'gone'"),
        ({"artgen": "9.9"}, ""),
    ]
    for number, (change, sentence) in enumerate(changes):
        recipe = msgspec.structs.replace(work.recipe, **change)
        found = replay(Image(work.numpy(), recipe=recipe).save(tmp_path / f"{number}.png"))
        assert sentence in found.reason
        assert (found.state == "impossible") == bool(sentence)


def test_side_by_side_scales_the_first() -> None:
    both = side_by_side(Image(np.full((20, 40, 3), 10, np.uint8)), Image(np.full((10, 10, 3), 200, np.uint8), seeds=(3,)))
    assert both.pixels.shape == (10, 30, 3)
    assert (both.pixels[0, 0, 0], both.pixels[0, -1, 0], both.seeds) == (10, 200, (3,))
    with pytest.raises(SourceError, match="only pictures can stand side by side"):
        side_by_side(Video(np.zeros((1, 2, 2, 3), np.uint8)), both)


# show


def test_show_a_work(model: Path, tmp_path: Path) -> None:
    told = show(made(model, tmp_path / "a.png"))
    assert (told["kind"], told["width"], told["height"], told["mark"]) == ("image", 8, 8, GENERATED)
    assert told["recipe"]["seeds"] == [5]
    hidden = artgen.generate("image", model=model, seed=5)[0].save(tmp_path / "b.png", recipe="none")
    assert (show(hidden)["mark"], show(hidden)["recipe"]) == (GENERATED, None)


def test_show_a_clip(model: Path, tmp_path: Path) -> None:
    told = show(made(model, tmp_path / "a.mp4", walk=1))
    assert (told["kind"], told["frames"], told["fps"], told["seconds"]) == ("video", 5, 5.0, 1.0)
    assert told["recipe"]["options"]["walk"] == 1.0


def test_show_a_model_and_a_dataset(model: Path, dataset: Path) -> None:
    told = show(model)
    assert (told["kind"], told["backend"], told["network"], told["licence"]) == ("model", "image.noise", {"size": 8}, "CC0-1.0")
    assert told["next"] == f"artgen image generate --model {model}"
    told = show(dataset)
    assert (told["kind"], told["of"], told["count"], told["skipped"]) == ("dataset", "image", 24, [])
    json.dumps(told)


def test_show_a_run_with_a_half_written_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('backend = "image.gan"\ndataset = "d"\nsteps = 9\n')
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "items": 8, "seconds": 2.0, "fd": 90.0}\n'
        '{"step": 2, "items": 16, "seconds": 4.0, "loss/generator": 1.0}\n{"step": 3, "it'
    )
    told = show(tmp_path)
    assert (told["steps"], told["items"], told["seconds"]) == (2, 16, 4.0)
    assert told["metrics"] == {"fd": 90.0, "loss/generator": 1.0}
    assert told["next"] == [f"artgen image train --resume --output {tmp_path}"]
    (tmp_path / "config.toml").write_text("= 3")
    with pytest.raises(SourceError, match="damaged"):
        show(tmp_path)


def test_show_what_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    with pytest.raises(SourceError, match="gone: no such file or folder; give a work, a model, a dataset, a run or a starter"):
        show("gone")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SourceError, match="neither a model"):
        show(empty)
    monkeypatch.setattr("artgen.model.STARTERS", model.parent)
    assert show("hum")["name"] == "hum"


def test_grids_hold_their_seeds(model: Path) -> None:
    works = artgen.generate("image", model=model, n=3, seed=0)
    assert grid([work for work in works if isinstance(work, Image)], 2, 2).seeds == (0, 1, 2)
