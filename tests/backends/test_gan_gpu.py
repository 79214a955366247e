"""What holds on a CPU holds on a GPU: the mathematics, exact resumes, bytes that follow from seeds. Needs a CUDA device."""

from __future__ import annotations

import copy
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import artgen
from artgen.backends.image.gan.backend import Gan
from artgen.dataset import Dataset
from artgen.errors import Interrupted
from artgen.model import Model
from artgen.training import Batch, Position, Run, fit, seeded
from artgen.training.precision import Choice, repeatable
from artgen.training.processes import Processes
from artgen.training.step import Stepper

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

SMALL: dict[str, Any] = {"preset": "brief", "batch_size": 8, "previews": 0, "best_by": "none", "save_steps": 1, "seed": 3}


@pytest.fixture(scope="module")
def dataset(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return artgen.prepare("image", pictures, tmp_path_factory.mktemp("gpu") / "dataset", resolution=32)


def task_of(dataset: Dataset, **options: Any) -> Any:
    with seeded(0):
        return Gan().task(dataset, Gan.Train(**{**SMALL, "steps": 6, **options}))


@pytest.mark.parametrize("architecture", ["style", "dcgan"])
def test_losses_and_gradients_are_those_of_the_cpu(dataset: Dataset, architecture: str) -> None:
    """With the penalty's second derivative; without TF32, whose products have ten bits."""
    task = task_of(dataset, architecture=architecture, penalty_every=2)
    there = copy.deepcopy(task).cuda()
    data = task.load(dataset, range(8))
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for phase in ("generator", "discriminator"):
            here = Batch(data, 8, 0, 8, 1, torch.device("cpu"))
            other = Batch({name: tensor.cuda() for name, tensor in data.items()}, 8, 0, 8, 1, torch.device("cuda"))
            losses = [one(phase, batch, Position(0, 100))["loss"] for one, batch in ((task, here), (there, other))]
            for loss in losses:
                loss.backward()
            assert losses[1].item() == pytest.approx(losses[0].item(), rel=1e-3)
    for (name, mine), theirs in zip(task.named_parameters(), there.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None), name
        if mine.grad is not None:
            error = (mine.grad - theirs.grad.cpu()).norm() / mine.grad.norm().clamp_min(1e-6)
            assert float(error) < 2e-2, name


@pytest.mark.parametrize(
    "options",
    [{"precision": "fp32"}, {"precision": "bf16"}, {"precision": "fp16"}, {"architecture": "dcgan"}, {"progressive": True}],
    ids=str,
)
def test_a_resume_is_exact_in_every_number_format(dataset: Dataset, tmp_path: Path, options: dict[str, Any]) -> None:
    settled = Gan.Train(**{**SMALL, "steps": 6, "precision": "fp32", "memory_format": "channels-last", **options})

    def go(name: str, resume: bool, until: int) -> Model:
        with seeded(settled.seed):
            task: Any = Gan().task(dataset, settled)

        def stop(module: Any, given: tuple[str, Batch, Position]) -> None:
            if given[0] == "generator" and given[2].total > 1 and given[2].seen == (until - 1) * 8:
                os.kill(os.getpid(), signal.SIGTERM)

        # A hook, which goes with the copies that measuring makes; a method put in its place would run the first, on the CPU.
        task.register_forward_pre_hook(stop)
        run = Run.create(
            tmp_path / name, backend="image.gan", options=settled, dataset=dataset, resume=resume, device="cuda"
        )  # fmt: skip
        return fit(task, dataset, run)

    whole = go("whole", False, 99).tensors()
    again = go("again", False, 99).tensors()
    with pytest.raises(Interrupted):
        go("cut", False, 3)
    cut = go("cut", True, 99).tensors()
    for name, tensor in whole.items():
        assert tensor.isfinite().all(), name
        assert torch.equal(tensor, again[name]), name
        assert torch.equal(tensor, cut[name]), name


def test_a_seed_is_a_picture_for_any_number_and_order(dataset: Dataset, tmp_path: Path) -> None:
    artgen.train("image", dataset.folder, tmp_path / "run", device="cuda", steps=2, **SMALL)
    model = tmp_path / "run" / "model"
    many = artgen.generate("image", model=model, n=21, seed=0, device="cuda")
    for seeds in ([5], [20, 3], [7, 1, 19, 2, 0]):
        for seed, work in zip(seeds, artgen.generate("image", model=model, seeds=seeds, device="cuda"), strict=True):
            assert (work.numpy() == many[seed].numpy()).all()
    far = artgen.generate("image", model=model, seeds=[5], device="cpu")[0].numpy().astype(int) - many[5].numpy()
    assert abs(far).max() <= 3


def test_walks_and_projections_run(dataset: Dataset, tmp_path: Path, pictures: Path) -> None:
    artgen.train("image", dataset.folder, tmp_path / "run", device="cuda", steps=2, **SMALL)
    model = tmp_path / "run" / "model"
    (walk,) = artgen.generate("image", model=model, seed=1, walk=0.4, device="cuda")
    assert walk.numpy().shape == (10, 32, 32, 3)
    mine = next(pictures.rglob("*.png"))
    (changed,) = artgen.modify("image", mine, model=model, strength=0.5, device="cuda")
    assert changed.numpy().shape == (40, 40, 3)


def test_a_step_waits_for_the_device_twice_at_most(dataset: Dataset) -> None:
    """Once a phase, to look whether its loss is a number; anything else would leave the GPU idle."""
    device = torch.device("cuda")
    with repeatable(device):
        stepper = Stepper(
            task_of(dataset), Choice("bf16", "channels-last"), Processes("cuda"), seed=0, batch_size=8, micro_batch=None
        )  # fmt: skip
        data = {name: tensor.to(device) for name, tensor in stepper.task.load(dataset, range(8)).items()}
        for number in range(3):
            stepper.step(number, data, Position(number, 100))
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                stepper.step(3, data, Position(3, 100))
            finally:
                torch.cuda.set_sync_debug_mode("default")
        waits = [str(warning.message) for warning in found if "called a synchronizing" in str(warning.message)]
    assert len(waits) <= 2, waits
