"""The hand-written derivative is that of the plain formula."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.nn import styled as module
from artgen.nn.styled import compiling, styled


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


def laid(*shape: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels whose channels lie beside each other, styles [B, C] or [B, C, T], and a direction."""
    random = torch.Generator().manual_seed(0)
    style = shape[:2] if len(shape) == 4 else shape[:3]
    x, gain, shift, direction = (
        torch.randn(size, generator=random).to(dtype) for size in (shape, style, style, shape)
    )  # fmt: skip
    x, direction = (tensor.movedim(1, -1).contiguous().movedim(-1, 1) for tensor in (x, direction))
    return x.requires_grad_(), gain.requires_grad_(), shift.requires_grad_(), direction


def derivatives(x: Tensor, gain: Tensor, shift: Tensor, direction: Tensor) -> list[Tensor]:
    made = styled(x, gain, shift)
    return [made.detach(), *torch.autograd.grad(made, (x, gain, shift), direction)]


SHAPES = [(3, 24, 8, 8), (2, 6, 5, 4, 4), (40, 33, 12, 12)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES, ids=["pictures", "clips", "many threads"])
def test_machine_code_gives_what_the_formula_gives(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    given = laid(*shape, dtype=dtype)
    with compiling():
        ours = derivatives(*given)
    wide = [tensor.detach().double().requires_grad_() for tensor in given]
    theirs = derivatives(*wide)  # type: ignore[arg-type]
    # The pixels and their gradient are rounded once, gains and shifts are sums in float32: two bits better than torch's own way.
    for found, true, original in zip(ours, theirs, (given[0], *given[:3]), strict=True):
        assert found.dtype == dtype
        assert found.shape == true.shape
        assert found.stride() == original.stride() or found.ndim < 4
        error = (found.double() - true).norm() / true.norm()
        assert error < {torch.float32: 1e-6, torch.bfloat16: 5e-3}[dtype]


def test_machine_code_is_used_where_it_can_be_and_in_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[str] = []
    monkeypatch.setattr(module, "_shared", lambda work, *rest: used.append(work.__name__))
    x, gain, shift, _ = laid(2, 8, 4, 4, dtype=torch.float32)
    styled(x, gain, shift)
    assert used == []
    with compiling():
        styled(x.contiguous(), gain, shift)
        styled(x.half(), gain, shift)
        assert used == []
        styled(x, gain, shift)
        assert used == ["forward"]
    styled(x, gain, shift)
    assert used == ["forward"]


def test_where_nothing_can_be_compiled_torch_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = laid(2, 8, 4, 4, dtype=torch.float32)
    expected = derivatives(*given)
    monkeypatch.setattr(module, "_kernel", lambda: None)
    assert not module.usable()
    with compiling():
        for found, wanted in zip(derivatives(*given), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_neither_the_batch_nor_the_threads_change_a_bit() -> None:
    given = laid(40, 33, 12, 12, dtype=torch.bfloat16)
    before = torch.get_num_threads()
    try:
        with compiling():
            torch.set_num_threads(1)
            one = derivatives(*given)
            torch.set_num_threads(3)
            three = derivatives(*given)
            part = derivatives(*(tensor.detach()[7:9].requires_grad_() for tensor in given))  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(before)
    for first, second, some in zip(one, three, part, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first[7:9], some)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_machine_code_hides_no_number_that_is_none(value: float) -> None:
    x, gain, shift, _ = laid(1, 8, 4, 4, dtype=torch.bfloat16)
    with torch.no_grad(), compiling():
        shift[0, 3] = value
        made = styled(x, gain, shift)
    torch.testing.assert_close(made[0, 3], torch.full((4, 4), value, dtype=torch.bfloat16), equal_nan=True)


def test_a_gradient_in_another_layout_is_taken() -> None:
    x, gain, shift, direction = laid(2, 8, 4, 4, dtype=torch.float32)
    with compiling():
        expected = derivatives(x, gain, shift, direction)
        found = derivatives(x, gain, shift, direction.contiguous())
    for first, second in zip(found, expected, strict=True):
        assert torch.equal(first, second)
