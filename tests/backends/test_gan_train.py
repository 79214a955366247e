"""Training ``image.gan``: every option, its schedule and penalties, the seed, resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from picture_models import TINY, dataset, model, small  # noqa: F401 - fixtures
from stopped import whole_and_cut

import artgen
from artgen.backends.image.gan.backend import Gan
from artgen.dataset import Dataset
from artgen.errors import DatasetError, OptionError
from artgen.media.prepare_image import Prepare, prepare
from artgen.model import Model
from artgen.nn.augment import DRAWS, augment
from artgen.training import Run, seeded
from artgen.training.task import Batch, Position

pytestmark = pytest.mark.usefixtures("small")
# ruff: noqa: F811 - fixtures are imported and then named as arguments


def test_a_growing_training_begins_at_8_pixels_and_ends_whole(dataset: Path) -> None:
    data = Dataset.open(dataset)
    with seeded(0):
        task: Any = Gan().task(data, Gan.Train(progressive=True, **TINY))
    seen: list[int] = []
    task.discriminator.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[-1]))
    batch = Batch(task.load(data, [0, 1, 2, 3]), 4, 0, 4, 0, torch.device("cpu"))
    for place in (0, 29, 31, 59, 100):
        task("generator", batch, Position(place, 100))
    assert list(dict.fromkeys(seen)) == [8, 16, 32]
    assert seen[0] == 8
    assert seen[-1] == 32


def test_a_growing_network_is_shown_and_measured_by_where_the_run_stands(dataset: Path) -> None:
    """Not by its last step: after a resume there was none."""
    data = Dataset.open(dataset)
    with seeded(0):
        task: Any = Gan().task(data, Gan.Train(progressive=True, **TINY))
    assert task.measure(data, ["fd_rnd"]) == {}
    small, whole = task.pictures(2, 0, grown=True), task.pictures(2, 0)
    assert (small == small[:, ::4, ::4].repeat(4, 1).repeat(4, 2)).all()
    task.position = Position(100, 100)
    assert (task.pictures(2, 0, grown=True) == whole).all()
    task.measured = 8
    assert task.measure(data, ["fd_rnd"])["fd_rnd"] > 0


@pytest.mark.parametrize("given", [{"progressive": True}, {"augment": 0.5}, {"gamma": 1.0}])
def test_options_of_the_other_architecture_are_refused_before_anything_begins(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"--{next(iter(given))} is an option of --architecture style, not of dcgan"):
        Gan.Train(architecture="dcgan", **given)


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


def test_measuring_takes_a_small_part_of_a_short_run(dataset: Path, tmp_path: Path) -> None:
    artgen.train("image", dataset, tmp_path / "run", **{**TINY, "steps": 12, "previews": 20, "best_by": "auto"})
    records = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [record["step"] for record in records if "fd_rnd" in record] == [12]


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
    options = Gan.Train(**{**TINY, "steps": 6, "save_steps": 1})
    whole, cut = whole_and_cut(Gan(), Dataset.open(dataset), options, tmp_path, (2, 4))
    for name, tensor in whole.items():
        assert torch.equal(tensor, cut[name]), name


def test_the_seed_decides_the_weights(dataset: Path, model: Model, tmp_path: Path) -> None:
    again = artgen.train("image", dataset, tmp_path / "again", **TINY).tensors()
    other = artgen.train("image", dataset, tmp_path / "other", seed=1, **TINY).tensors()
    first = model.tensors()
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["generator.root.weight"], other["generator.root.weight"])


@pytest.mark.parametrize(
    "given",
    [{}, {"preset": "standard"}, {"architecture": "dcgan"}, {"batch_size": 6, "gamma": 3.0, "learning_rate": 0.01}],
    ids=["nothing", "a preset", "the classic one", "everything"],
)
def test_what_is_settled_is_what_is_trained(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    fitted: list[Any] = []
    monkeypatch.setattr("artgen.training.fit", lambda task, data, run, progress: fitted.append((task, run)))
    data, options, backend = Dataset.open(dataset), Gan.Train(**given), Gan()
    told = backend.settled(options, data)
    run = Run.create(tmp_path / "run", backend="image.gan", options=options, dataset=data)
    backend.train(data, run, options)
    task, run = fitted[0]
    assert run.options.batch_size == told["batch_size"] == given.get("batch_size", told["batch_size"])
    # In the middle of a run that is endless the schedule is at its highest.
    rates = [phase.learning_rate(Position(10**4, 10**12)) for phase in task.phases]
    assert rates == [pytest.approx(told["learning_rate"])] * len(task.phases)
    assert getattr(task, "gamma", None) == told.get("gamma")
    assert backend.settled(options) == {name: told[name] for name in ("batch_size", "learning_rate")}
