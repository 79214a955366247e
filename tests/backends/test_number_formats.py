"""Every convolution of a training step in bf16, forward and backward, against the same in fp32: kernels of a CPU can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from audio_models import prepared
from clip_datasets import clips
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import artgen
from artgen.training.step import Stepper

FORWARD, BACKWARD = torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default


class Checked(TorchDispatchMode):
    """Do every convolution of bf16 numbers once more in fp32; ``far`` tells of those whose results differ by more than rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0
        self.far: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [given for given in args if isinstance(given, Tensor)]
        if function not in (FORWARD, BACKWARD) or all(tensor.dtype != torch.bfloat16 for tensor in tensors):
            return function(*args, **kwargs)
        self.seen += 1
        # What a kernel forgets to write shows only where freed memory holds something.
        del [torch.full((tensor.numel() // part,), 1e30) for tensor in tensors for part in (1, 2)][:]
        found = function(*args, **kwargs)
        exact = function(*(given.float().contiguous() if isinstance(given, Tensor) else given for given in args), **kwargs)
        for mine, other in zip(*((result,) if isinstance(result, Tensor) else result for result in (found, exact)), strict=True):
            if mine is not None and not (mine.float() - other).abs().max() <= 0.05 * other.abs().max() + 1e-20:
                self.far.append(f"{function} of {[tuple(tensor.shape) for tensor in tensors]}")
        return found


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    mode, plain = Checked(), Stepper.step

    def step(self: Stepper, *args: Any) -> Any:
        with mode:
            return plain(self, *args)

    monkeypatch.setattr(Stepper, "step", step)
    return mode


def pictures_of(folder: Path, pictures: Path) -> Path:
    artgen.prepare("image", pictures, folder, resolution=32)
    return folder


DATA: dict[str, Callable[[Path, Path], Path]] = {
    "pictures": pictures_of,
    "8 frames": lambda folder, _: clips(folder, count=4, frames=8).folder,
    "16 frames": lambda folder, _: clips(folder, count=4, frames=16).folder,
    "sounds": lambda folder, _: prepared(folder).folder,
}


@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize(
    ("modality", "data", "options"),
    [
        ("image", "pictures", {"preset": "sketch"}),
        ("image", "pictures", {"architecture": "dcgan"}),
        ("video", "8 frames", {"preset": "sketch"}),
        ("video", "16 frames", {"preset": "sketch"}),
        ("audio", "sounds", {"preset": "sketch"}),
    ],
    ids=["gan", "dcgan", "gan3d-8", "gan3d-16", "rnn"],
)
def test_convolutions_in_bf16_are_right(
    modality: str, data: str, options: dict[str, Any], layout: str, checked: Checked, pictures: Path, tmp_path: Path
) -> None:
    dataset: Path = DATA[data](tmp_path / "data", pictures)
    fixed: dict[str, Any] = {"steps": 1, "batch_size": 4, "previews": 0, "best_by": "none"}
    artgen.train(modality, dataset, tmp_path / "run", precision="bf16", memory_format=layout, **fixed, **options)
    assert checked.seen > 20
    assert not checked.far
