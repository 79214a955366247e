"""Do the processors compute right, and how fast? Every kind of layer on every device, against 64 bits on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from artgen.doctor.finding import Finding, cause, installing, needed
from artgen.errors import ArtgenError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from artgen.training.precision import Choice

_LARGEST = 0.01
"""The error, as a share of the largest number, that 32 bits (or NVIDIA's 19) may bring; wrong kernels bring far more."""


def found() -> list[str]:
    """Every device that torch can use here, the CPU first."""
    import torch

    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    return ["cpu", *gpus, *(["mps"] if torch.backends.mps.is_available() else [])]


def check_devices() -> Iterator[Finding]:
    """One forward pass of every kind of layer on each device, and one picture of the starter on each that is not the CPU."""
    wanted = outputs("cpu", double=True)
    for device in found():
        wrong, worst = compared(device, wanted)
        name = _name(device)
        facts = {"device": device, "name": name, "errors": worst}
        if wrong:
            told = f"{device} ({name}) computes wrong numbers: {'; '.join(wrong)}"
            yield Finding("device", "problem", told, _avoiding(device), facts)
            continue
        fault = "" if device == "cpu" else picture_fault(device)
        if fault:
            yield Finding("device", "problem", f"{device} ({name}): {fault}", _avoiding(device), facts)
            continue
        error = max(worst.values())
        told = f"{device} ({name}): {len(worst)} kinds of layers right, the largest error is {error:.1g} of the range"
        yield Finding("device", "good", told, facts=facts)
    yield from _unused()


def outputs(device: str, *, double: bool = False) -> dict[str, Tensor | str]:
    """What each kind of layer makes on ``device`` of fixed numbers and weights, back on the CPU; a sentence where it fails."""
    import torch

    made: dict[str, Tensor | str] = {}
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        for name, (run, tensors) in _layers().items():
            moved = [tensor.double() if double and tensor.is_floating_point() else tensor for tensor in tensors]
            try:
                made[name] = run(*[tensor.to(device) for tensor in moved]).cpu().double()
            except Exception as error:  # a kernel that is missing or does not load
                made[name] = cause(error)
    return made


def compared(device: str, wanted: dict[str, Tensor | str]) -> tuple[list[str], dict[str, float]]:
    """What is wrong on ``device``, a phrase each, and the error of every layer that ran."""
    wrong, errors = [], {}
    for name, mine in outputs(device).items():
        right = wanted[name]
        if isinstance(mine, str) or isinstance(right, str):
            wrong.append(f"{name} does not run ({mine if isinstance(mine, str) else right})")
            continue
        error = float((mine - right).abs().max() / right.abs().max())
        errors[name] = error
        if not error <= _LARGEST:  # not a number is wrong too
            wrong.append(f"{name} by {error:.2g} of the range")
    return wrong, errors


def picture_fault(device: str) -> str:
    """What is wrong with a picture of the starter made on ``device``, or nothing."""
    from artgen.api import generate

    try:
        here, there = (generate("image", seed=7, device=each)[0].numpy().astype(np.float64) for each in (device, "cpu"))
    except ArtgenError as error:
        return str(error)
    except Exception as error:
        return f"making a picture ends in {cause(error)}"
    apart = float(np.abs(here - there).mean())
    return f"a picture made on it differs from the CPU's by {apart:.3g} levels of 255 on average" if apart > 2 else ""


def _layers() -> dict[str, tuple[Callable[..., Tensor], list[Tensor]]]:
    import torch
    from torch.nn import functional

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape)

    def recurrent(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
        zeros = torch.zeros(2, 16, device=x.device, dtype=x.dtype)
        bias = torch.zeros(48, device=x.device, dtype=x.dtype)
        return torch.gru_cell(x, zeros + 0.5, w, u, bias, bias)

    def spectrum(x: Tensor) -> Tensor:
        window = torch.hann_window(64, device=x.device, dtype=x.dtype)
        return torch.stft(x, 64, 16, window=window, return_complex=True).abs()

    return {
        "linear": (functional.linear, [normal(4, 96), normal(64, 96)]),
        "convolution 1D": (lambda x, w: functional.conv1d(x, w, padding=2, dilation=2), [normal(2, 8, 64), normal(8, 8, 3)]),
        "convolution 2D": (lambda x, w: functional.conv2d(x, w, padding=1), [normal(2, 16, 24, 20), normal(24, 16, 3, 3)]),
        "convolution 3D": (lambda x, w: functional.conv3d(x, w, padding=1), [normal(1, 4, 6, 12, 12), normal(8, 4, 3, 3, 3)]),
        "convolution upwards": (
            lambda x, w: functional.conv_transpose2d(x, w, stride=2, padding=1), [normal(2, 8, 9, 9), normal(8, 6, 4, 4)],
        ),
        "grouped convolution": (
            lambda x, w: functional.conv2d(x, w, padding=1, groups=4), [normal(1, 16, 16, 16), normal(16, 4, 3, 3)],
        ),
        "interpolation": (
            lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False), [normal(1, 3, 9, 9)],
        ),
        "normalisation": (lambda x: functional.group_norm(x, 4) + functional.layer_norm(x, x.shape[-1:]), [normal(2, 16, 7, 7)]),
        "attention": (
            lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True),
            [normal(2, 4, 33, 16), normal(2, 4, 33, 16), normal(2, 4, 33, 16)],
        ),
        "embedding": (functional.embedding, [torch.arange(40).reshape(4, 10) % 23, normal(23, 12)]),
        "recurrence": (recurrent, [normal(2, 8), normal(48, 8), normal(48, 16)]),
        "spectrum": (spectrum, [normal(2, 512)]),
    }  # fmt: skip


def check_precision() -> Iterator[Finding]:
    """Time a training step in each number format and layout, as a training does, and say which artgen will use and why."""
    import torch

    from artgen.training.precision import Calibration, calibrate, candidates

    for device in found():
        for name, layouts in (("pictures", "auto"), ("text", "contiguous")):
            target = torch.device(device)
            choices = candidates("auto", layouts, target)
            try:
                result: Calibration = calibrate(choices, partial(_trial, name, target), target)
            except Exception as error:
                told = f"{device}: a training step of {name} ends in {cause(error)}"
                yield Finding("precision", "problem", told, _avoiding(device) + " --precision fp32")
                continue
            rest = sorted((took, other) for other, took in result.measured.items() if other != str(result.choice))
            slower = ", ".join(f"{other} {took * 1000:.1f}" for took, other in rest)
            told = f"{device}: {name} in {result.choice}, {result.seconds * 1000:.1f} ms a step; slower: {slower}"
            facts = {"device": device, "of": name, "choice": str(result.choice), "seconds": result.measured}
            yield Finding("precision", "good", f"{told} (a training measures again with its own network)", facts=facts)


def _trial(name: str, device: torch.device, choice: Choice) -> Callable[[], object]:
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "pictures":
            parts = [
                nn.Conv2d(3, 32, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(32, 32, 3, padding=1),
                nn.SiLU(),
                nn.Conv2d(32, 3, 3, padding=1),
            ]
            network: nn.Module = nn.Sequential(*parts)
            data = torch.randn(4, 3, 32, 32)
        else:
            network = nn.TransformerEncoderLayer(96, 4, 256, dropout=0.0, batch_first=True)
            data = torch.randn(8, 64, 96)
    network.to(device)
    choice.place(network)
    laid = choice.layout(data).to(device)
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        with choice.autocast(device):
            loss = (network(laid) - laid).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def _unused() -> Iterator[Finding]:
    """A graphics card that is there and that torch cannot use."""
    import torch

    if torch.cuda.is_available() or not any(Path(place).exists() for place in ("/dev/nvidia0", "/dev/kfd")):
        return
    if torch.version.cuda is None and torch.version.hip is None:
        told, remedy = (
            "a graphics card is there, but this torch is built for CPUs alone",
            installing(*needed("torch", "torchaudio"), again=True),
        )
    else:
        told, remedy = "a graphics card is there, but torch cannot use it: its driver does not answer or is too old", "nvidia-smi"
    yield Finding("device", "problem", told, remedy)


def _name(device: str) -> str:
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    import platform

    return platform.processor() or platform.machine()


def _avoiding(device: str) -> str:
    if device == "cpu":
        return installing(*needed("torch", "torchaudio"), again=True)
    return "artgen image generate --device cpu"
