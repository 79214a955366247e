"""The hand-written derivative is that of the plain formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.nn.styled import styled


def plain(x: Tensor, gain: Tensor, shift: Tensor) -> Tensor:
    places = (..., *(None,) * (x.ndim - 2))
    normed = x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-6)
    return F.leaky_relu(normed * (1 + gain[places]) + shift[places], 0.2)


def inputs(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    sizes = (shape, shape[:2], shape[:2])
    x, gain, shift = (torch.randn(size, generator=random, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes)
    return x, gain, shift


@pytest.mark.parametrize("shape", [(3, 5, 4, 4), (2, 6, 2, 3, 4)], ids=["picture", "clip"])
def test_values_and_derivatives_are_those_of_the_formula(shape: tuple[int, ...]) -> None:
    given = inputs(*shape)
    torch.testing.assert_close(styled(*given), plain(*given))
    assert torch.autograd.gradcheck(styled, given)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_small_formats_stay_close_and_keep_their_format(dtype: torch.dtype) -> None:
    low, high = inputs(4, 32, 8, 8, dtype=dtype), inputs(4, 32, 8, 8)
    direction = torch.randn(4, 32, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    made = styled(*low)
    assert made.dtype == dtype
    made.backward(direction.to(dtype))
    plain(*high).backward(direction)
    for ours, theirs in zip(low, high, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        error = (ours.grad.double() - theirs.grad).norm() / theirs.grad.norm()
        assert error < {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}[dtype]


def test_a_second_derivative_is_refused_not_wrong() -> None:
    x, gain, shift = inputs(2, 3, 4, 4)
    (slope,) = torch.autograd.grad(styled(x, gain, shift).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        slope.sum().backward()


def test_the_layout_is_kept() -> None:
    x, gain, shift = (tensor.detach() for tensor in inputs(2, 8, 4, 4, dtype=torch.float32))
    made = styled(x.contiguous(memory_format=torch.channels_last), gain, shift)
    assert made.is_contiguous(memory_format=torch.channels_last)
