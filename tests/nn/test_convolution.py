"""Convolutions of two moments: the same sums as torch's, and right in every number format."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from artgen.nn.convolution import ClipConv

# Inputs, outputs, kernel, stride; all have a border of one.
SHAPES = [(5, 7, (3, 3, 3), (1, 1, 1)), (5, 7, (3, 4, 4), (1, 2, 2)), (5, 7, (4, 4, 4), (2, 2, 2))]


def pair(
    inputs: int, outputs: int, kernel: tuple[int, ...], stride: tuple[int, ...], bias: bool = True
) -> tuple[ClipConv, nn.Conv3d]:
    torch.manual_seed(0)
    ours = ClipConv(inputs, outputs, kernel, stride, 1, bias=bias)  # type: ignore[arg-type]  # three numbers
    theirs = nn.Conv3d(inputs, outputs, kernel, stride, 1, bias=bias)  # type: ignore[arg-type]
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def derivatives(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The result, its gradients, and those of a penalty on the gradient of the input."""
    x = x.clone().requires_grad_()
    y = layer(x)
    weights = list(layer.parameters())
    (slope,) = torch.autograd.grad(y.square().mean(), x, create_graph=True)
    penalty = torch.autograd.grad(slope.square().sum(), weights, retain_graph=True)
    return [y.detach(), *torch.autograd.grad(y.square().mean(), [x, *weights]), *penalty]


@pytest.mark.parametrize("moments", [2, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("inputs", "outputs", "kernel", "stride"), SHAPES)
def test_the_sums_are_those_of_torch(
    inputs: int, outputs: int, kernel: tuple[int, ...], stride: tuple[int, ...], bias: bool, moments: int
) -> None:
    ours, theirs = (layer.double() for layer in pair(inputs, outputs, kernel, stride, bias))
    x = torch.randn(2, inputs, moments, 8, 6, dtype=torch.float64)
    for mine, other in zip(derivatives(ours, x), derivatives(theirs, x), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=["contiguous", "channels-last"])
@pytest.mark.parametrize("moments", [2, 3])
def test_gradients_in_bf16_are_nearly_those_in_fp32(moments: int, layout: torch.memory_format) -> None:
    ours, theirs = pair(32, 48, (3, 3, 3), (1, 1, 1))
    x = torch.randn(4, 32, moments, 8, 8).bfloat16().float()
    expected = derivatives(theirs, x)
    ours.weight.data = ours.weight.data.contiguous(memory_format=layout)
    for _ in range(3):
        # What a kernel forgets to write shows only where freed memory holds something.
        del [torch.full((size,), 1e30) for size in (ours.weight.numel(), ours.weight.numel() // 2, x.numel())][:]
        with torch.autocast("cpu", torch.bfloat16):
            found = derivatives(ours, x.contiguous(memory_format=layout))
        for mine, other in zip(found[:4], expected[:4], strict=True):
            assert (mine.float() - other).abs().max() < 0.05 * other.abs().max()


def test_two_moments_keep_their_layout() -> None:
    ours, _ = pair(8, 8, (3, 3, 3), (1, 1, 1))
    assert ours(torch.randn(2, 8, 2, 4, 4)).is_contiguous()
    ours.weight.data = ours.weight.data.contiguous(memory_format=torch.channels_last_3d)
    made = ours(torch.randn(2, 8, 2, 4, 4).contiguous(memory_format=torch.channels_last_3d))
    assert made.is_contiguous(memory_format=torch.channels_last_3d)
