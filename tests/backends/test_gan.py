from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch.nn import functional as F

import artgen
from artgen.artwork import Video, open_artwork
from artgen.backends.image.gan import presets
from artgen.backends.image.gan.backend import Gan
from artgen.backends.image.gan.model import Generator
from artgen.backends.image.gan.sample import closed_spline
from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError, OptionError, UsageError
from artgen.media import audio
from artgen.media.prepare_image import Prepare, prepare
from artgen.model import Model
from artgen.nn.augment import DRAWS, augment
from artgen.nn.batches import padded
from artgen.nn.convolution import doubled
from artgen.nn.critic import Discriminator
from artgen.training.task import Batch, Position

TINY: dict[str, Any] = {
    "steps": 4, "batch_size": 4, "precision": "fp32", "memory_format": "channels-last", "previews": 0, "best_by": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gan") / "dataset"
    prepare([pictures], folder, Prepare(resolution=32, workers=1))
    return folder


@pytest.fixture(scope="module")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return artgen.train("image", dataset, tmp_path_factory.mktemp("gan") / "run", **TINY)


def test_growing_in_one_pass_equals_nearest_upsampling_then_convolution() -> None:
    for form in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(2, 5, 6, 6).contiguous(memory_format=form)
        weight = torch.randn(3, 5, 3, 3)
        expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), weight, padding=1)
        torch.testing.assert_close(doubled(x, weight), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("resolution", presets.RESOLUTIONS)
@pytest.mark.parametrize("preset", ["brief", "sketch", "standard", "compact", "large"])
def test_every_preset_makes_every_size(preset: str, resolution: int) -> None:
    with torch.device("meta"):
        network = presets.network(preset, resolution, classes=[2, 3], progressive=True)
        modules = Gan().build(network)
        labels = torch.zeros(2, dtype=torch.long)
        picture = modules["generator"](torch.zeros(2, 64), labels)
        assert picture.shape == (2, 3, resolution, resolution)
        assert modules["generator"].resolution == resolution
        assert modules["discriminator"](picture, labels).shape == (2,)


def test_a_growing_network_fades_from_one_stage_to_the_next() -> None:
    torch.manual_seed(0)
    generator = Generator([8, 8, 8, 8], progressive=True)
    critic = Discriminator([8, 8, 8], progressive=True)
    latents = torch.randn(2, 64)
    small, large = generator(latents, level=2), generator(latents, level=3)
    assert small.shape[-1] == 16
    torch.testing.assert_close(generator(latents, level=3, fade=0.0), F.interpolate(small, scale_factor=2))
    torch.testing.assert_close(generator(latents, level=3, fade=1.0), large)
    faded = critic(large, fade=0.0)
    assert faded.shape == (2,)
    assert not torch.allclose(faded, critic(large))


def test_the_growth_schedule_visits_every_stage_and_ends_whole(dataset: Path) -> None:
    task = Gan().task(Dataset.open(dataset), Gan.Train(progressive=True, **TINY))
    places = [task._growth(Position(seen, 1000)) for seen in range(1001)]  # type: ignore[operator]
    levels = [level for level, _ in places]
    assert levels == sorted(levels)
    assert set(levels) == {1, 2, 3}
    assert places[-1] == (3, 1.0)
    assert all(0 < fade <= 1 for _, fade in places)


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


def test_a_spline_passes_its_keys_and_is_periodic() -> None:
    keys = torch.randn(4, 3)
    torch.testing.assert_close(closed_spline(keys, torch.arange(4.0)), keys)
    torch.testing.assert_close(closed_spline(keys, torch.tensor([3.999999])), keys[:1], rtol=1e-3, atol=1e-3)


def test_padding_repeats_the_last_row() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert padded(rows).shape == (8, 2)
    assert torch.equal(padded(rows)[3:], rows[-1:].expand(5, 2))


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


@pytest.mark.parametrize(
    "options",
    [
        {"progressive": True, "steps": 8},
        {"preset": "standard", "steps": 1},
        {"preset": "brief", "micro_batch": 3},
        {"mirror": False, "augment": 0.0, "gamma": 0.0, "learning_rate": 1e-4, "ema": 0.0, "penalty_every": 2},
        {"augment_target": 0.5, "previews": 2, "best_by": "auto"},
        {"precision": "bf16", "memory_format": "contiguous"},
    ],
)
def test_every_option_of_train_trains(dataset: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    trained = artgen.train("image", dataset, tmp_path / "run", **{**TINY, **options})
    assert all(torch.isfinite(tensor).all() for tensor in trained.tensors().values())
    for name, value in options.items():
        assert trained.config.train[name] == value


def test_the_batch_follows_the_preset_where_none_is_given(dataset: Path, tmp_path: Path) -> None:
    """Items seen are steps times the batch: 16 for the small presets, 32 for the classic network, else what was asked for."""
    few = {**TINY, "steps": 1, "batch_size": None}
    for number, (options, size) in enumerate([({}, 16), ({"architecture": "dcgan"}, 32), ({"batch_size": 5}, 5)]):
        artgen.train("image", dataset, tmp_path / str(number), **{**few, **options})
        assert json.loads((tmp_path / str(number) / "metrics.jsonl").read_text().splitlines()[-1])["items"] == size


def test_pictures_of_a_size_that_cannot_be_learned_are_refused(pictures: Path, tmp_path: Path) -> None:
    odd = prepare([pictures], tmp_path / "odd", Prepare(resolution=24, workers=1))
    with pytest.raises(DatasetError, match=r"pictures of 24x24; gan learns 32, 64, 128, 256: prepare them with --resolution 64"):
        artgen.train("image", odd.folder, tmp_path / "run", **TINY)


def test_three_pictures_are_enough_to_train_on(pictures: Path, tmp_path: Path) -> None:
    files = sorted((pictures / "soft").glob("*.png"))[:3]
    artgen.prepare("image", files, tmp_path / "three", resolution=32)
    trained = artgen.train("image", tmp_path / "three", tmp_path / "run", **{**TINY, "previews": 1, "best_by": "auto"})
    assert make(trained, seed=1)[0].pixels.shape == (32, 32, 3)


def test_weights_that_do_not_fit_the_config_are_a_sentence(model: Model, tmp_path: Path) -> None:
    import json
    import shutil

    shutil.copytree(model.folder, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    config["network"]["widths"][0] = 64
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"config.json and weights do not belong together"):
        make(Model.open(tmp_path / "model"), seed=1)


def test_augmentation_follows_the_discriminator_and_lives_in_the_state(dataset: Path) -> None:
    task: Any = Gan().task(Dataset.open(dataset), Gan.Train(**TINY))
    assert "strength" in task.state_dict()
    start = float(task.strength)
    assert start == 0.5  # 24 pictures: as strong as it begins
    task.after("discriminator", {"ahead": torch.tensor(0.99)}, Position(0, 100), 100)
    assert float(task.strength) > start
    task.after("discriminator", {"ahead": torch.tensor(0.5)}, Position(0, 100), 10**6)
    assert float(task.strength) == start / 2
    fixed: Any = Gan().task(Dataset.open(dataset), Gan.Train(**{**TINY, "augment": 0.2}))
    fixed.after("discriminator", {"ahead": torch.tensor(0.99)}, Position(0, 100), 100)
    assert float(fixed.strength) == pytest.approx(0.2)


@pytest.mark.parametrize("every", [1, 3, 64])
def test_the_penalty_of_slices_adds_up_to_that_of_the_batch(dataset: Path, every: int) -> None:
    """Weighted by their lengths, as the loop does; at every = 1 that is the plain mean over all pictures."""
    opened = Dataset.open(dataset)
    task: Any = Gan().task(opened, Gan.Train(**TINY, penalty_every=every, classes=False))
    pictures = task.load(opened, range(7))["pictures"]
    position = Position(0, 100)

    def penalty(start: int, stop: int) -> tuple[float, ...]:
        batch = Batch({"pictures": pictures[start:stop]}, 7, start, stop, 5, torch.device("cpu"))
        found = task("discriminator", batch, position)
        return tuple(float(found[name].detach()) * (stop - start) / 7 for name in ("penalty", "loss"))

    whole, parts = penalty(0, 7), [penalty(0, 2), penalty(2, 3), penalty(3, 7)]
    assert whole[0] > 0
    assert sum(part[0] for part in parts) == pytest.approx(whole[0], rel=1e-4)
    assert sum(part[1] for part in parts) == pytest.approx(whole[1], rel=1e-4)
    if every == 1:
        batch = Batch({}, 7, 0, 7, 5, torch.device("cpu"))
        numbers = batch.uniform(2, DRAWS)
        with torch.no_grad():
            fake = task.generator(batch.normal(task.network["latent"]))
        both = torch.cat([pictures, fake]).requires_grad_(True)
        seen = augment(both, torch.cat([numbers[:, 0], numbers[:, 1]]), task.strength)
        (slope,) = torch.autograd.grad(task.discriminator(seen).sum(), both)
        assert whole[0] == pytest.approx(float(slope.square().flatten(1).sum(1).mean()), rel=1e-4)


def test_each_network_meets_the_other_as_it_is_now(dataset: Path) -> None:
    """Simultaneous updates, each against the other of the step before, collapse to few pictures: the phases take turns."""
    opened = Dataset.open(dataset)
    task: Any = Gan().task(opened, Gan.Train(**TINY))
    assert [phase.name for phase in task.phases] == ["discriminator", "generator"]
    made: list[Any] = []
    task.generator.register_forward_hook(lambda module, given, result: made.append(result))
    data = task.load(opened, range(4))
    for phase, seed in (("discriminator", 1), ("generator", 2), ("discriminator", 3)):
        task(phase, Batch(data, 4, 0, 4, seed, torch.device("cpu")), Position(0, 100))
    assert [picture.requires_grad for picture in made] == [False, True, False]
    assert not torch.equal(made[0], made[2])


def test_resume_of_the_gan_is_exact(dataset: Path, tmp_path: Path) -> None:
    """Stopped after every two steps by a limit that the plan does not see, then gone on with."""
    from artgen.errors import Interrupted
    from artgen.training import Run, fit, seeded

    options = Gan.Train(**{**TINY, "steps": 6, "save_steps": 1})
    data = Dataset.open(dataset)

    def go(name: str, resume: bool, until: int) -> Model:
        import signal

        with seeded(options.seed):
            task: Any = Gan().task(data, options)
        forward = task.forward

        def stopping(phase: str, batch: Any, position: Position) -> Any:
            if position.total > 1 and position.seen == (until - 1) * 4 and phase == "generator":
                os.kill(os.getpid(), signal.SIGTERM)
            return forward(phase, batch, position)

        task.forward = stopping
        return fit(task, data, Run.create(tmp_path / name, backend="image.gan", options=options, dataset=data, resume=resume))

    whole = go("whole", False, 99).tensors()
    for resume, until in ((False, 2), (True, 4)):
        with pytest.raises(Interrupted):
            go("cut", resume, until)
    cut = go("cut", True, 99).tensors()
    for name, tensor in whole.items():
        assert torch.equal(tensor, cut[name]), name


def test_generating_imports_nothing_that_it_does_not_need(model: Model, tmp_path: Path) -> None:
    heavy = ("torch._dynamo", "accelerate", "tensorboard", "torch.distributed.fsdp", "transformers", "librosa", "sympy")
    program = (
        "import sys, artgen; "
        f"artgen.generate('image', model={str(model.folder)!r}, seed=1)[0].save({str(tmp_path / 'a.png')!r}); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_seed_decides_the_weights(dataset: Path, model: Model, tmp_path: Path) -> None:
    again = artgen.train("image", dataset, tmp_path / "again", **TINY).tensors()
    other = artgen.train("image", dataset, tmp_path / "other", seed=1, **TINY).tensors()
    first = model.tensors()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["generator.root.weight"], other["generator.root.weight"])


def test_two_processes_give_the_losses_of_one(dataset: Path, tmp_path: Path) -> None:
    command = ["-m", "artgen", "image", "train", str(dataset), "--steps", "4", "--batch-size", "4", "--previews", "0"]
    fixed = ["--precision", "fp32", "--memory-format", "channels-last", "--best-by", "none"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name, launcher in {
        "one": [],
        "two": ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29631"],
    }.items():
        run = subprocess.run(
            [sys.executable, *launcher, *command, *fixed, "--output", str(tmp_path / name)],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 4
    np.testing.assert_allclose(one, two, rtol=2e-4)
    a, b = Model.open(tmp_path / "one").tensors(), Model.open(tmp_path / "two").tensors()
    for name, tensor in a.items():
        # Adam without a first moment divides by the gradient's size: a rounding of 1e-8 may flip a step of 1e-4.
        torch.testing.assert_close(tensor, b[name], rtol=1e-2, atol=2e-3)


def losses(folder: Path) -> list[list[float]]:
    import json

    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [[line["loss/discriminator"], line["loss/generator"]] for line in lines]
