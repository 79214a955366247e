from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from artgen.nn.transformer import Block, Past, dropout, keep, norm, rotary, rotate, squared_relu


def block(width: int = 16, heads: int = 2) -> Block:
    torch.manual_seed(0)
    made = Block(width, heads)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_norm_has_mean_zero_and_variance_one() -> None:
    x = norm(torch.randn(3, 5, 32) * 7 + 2)
    torch.testing.assert_close(x.mean(-1), torch.zeros(3, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(x.var(-1, correction=0), torch.ones(3, 5), atol=1e-3, rtol=0)


def test_squared_relu_and_its_gradient() -> None:
    x = torch.tensor([-2.0, 0.0, 0.5, 3.0], requires_grad=True)
    y = squared_relu(x)
    y.sum().backward()
    assert y.tolist() == [0, 0, 0.25, 9]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0, 1, 6]
    assert torch.autograd.gradcheck(squared_relu, torch.randn(4, 3, dtype=torch.float64, requires_grad=True))


def test_rotation_depends_on_distance_alone_and_leaves_the_second_half() -> None:
    turns = rotary(40, 16)
    assert turns.shape == (40, 8)
    torch.testing.assert_close(turns.abs(), torch.ones(40, 8))
    query, key = torch.randn(16), torch.randn(16)

    def product(first: int, second: int) -> torch.Tensor:
        places = torch.zeros(1, 40, 2, 16)
        places[0, first, 0], places[0, second, 1] = query, key
        turned = rotate(places, turns)
        return turned[0, first, 0] @ turned[0, second, 1]

    torch.testing.assert_close(product(9, 4), product(35, 30), atol=1e-4, rtol=0)
    assert abs(product(9, 4) - product(9, 8)) > 1e-3
    x = torch.randn(1, 40, 2, 16)
    assert torch.equal(rotate(x, turns)[..., 8:], x[..., 8:])
    # The first pair turns by one radian a position.
    torch.testing.assert_close(turns[3, 0], torch.polar(torch.tensor(1.0), torch.tensor(3.0)))
    torch.testing.assert_close(turns[3, 1].angle(), torch.tensor(3 * 1024**-0.25))


def test_block_is_causal() -> None:
    made, turns = block(), rotary(12, 8)
    x = torch.randn(2, 12, 16, requires_grad=True)
    made(x, x, None, turns)[:, 5].sum().backward()
    assert x.grad is not None
    assert x.grad[:, :6].abs().sum(-1).min() > 0
    assert x.grad[:, 6:].abs().max() == 0


def test_block_equals_its_formula() -> None:
    made, turns = block(), rotary(7, 8)
    x, first, values = torch.randn(2, 7, 16), torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    stream = made.mix[0] * x + made.mix[1] * first
    query, key, value = (norm(stream) @ made.qkv.weight.T).split(16, -1)
    query, key = (rotate(norm(part.reshape(2, 7, 2, 8)), turns) for part in (query, key))
    value = (value + values).reshape(2, 7, 2, 8)
    heads = []
    for head in range(2):
        scores = query[:, :, head] @ key[:, :, head].transpose(1, 2) * 1.35 / math.sqrt(8)
        scores = scores.masked_fill(torch.ones(7, 7).triu(1).bool(), -math.inf)
        heads.append(scores.softmax(-1) @ value[:, :, head])
    stream = stream + torch.cat(heads, -1) @ made.out.weight.T
    wanted = stream + F.relu(norm(stream) @ made.up.weight.T) ** 2 @ made.down.weight.T
    torch.testing.assert_close(made(x, first, values, turns), wanted, atol=1e-4, rtol=1e-4)


def test_new_block_does_nothing() -> None:
    x = torch.randn(1, 4, 16)
    assert torch.equal(Block(16, 2)(x, torch.randn(1, 4, 16), None, rotary(4, 8)), x)


@pytest.mark.parametrize(("width", "heads"), [(16, 3), (12, 2)])
def test_block_refuses_widths_that_do_not_split(width: int, heads: int) -> None:
    with pytest.raises(ValueError, match=f"a width of {width} does not split into {heads} heads of a multiple of 4"):
        Block(width, heads)


def test_dropout_is_fixed_by_its_seed() -> None:
    x = torch.ones(200, 100)
    first, again, other = (dropout(0.25, seed, x.device)(x) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    assert abs((first == 0).float().mean() - 0.25) < 0.02
    assert dropout(0.0, 1, x.device) is keep
    assert keep(x) is x


def test_growing_by_one_token_gives_what_reading_all_at_once_gives() -> None:
    made, x, turns = block(), torch.randn(2, 9, 16), rotary(9, 8)
    first = torch.randn(2, 9, 16)
    whole = made(x, first, None, turns)
    past = Past()
    parts = [made.grow(x[:, :5], first[:, :5], turns[:5], past)]
    parts += [made.grow(x[:, at : at + 1], first[:, at : at + 1], turns[at : at + 1], past) for at in range(5, 9)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    assert past.key is not None
    assert past.key.shape == (2, 2, 9, 8)
