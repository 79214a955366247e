from __future__ import annotations

import subprocess
import sys

import torch

from artgen.training.adam import Adam


def parameters() -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(7, 5)), torch.nn.Parameter(torch.randn(3)), torch.nn.Parameter(torch.randn(4))]


def test_equals_the_optimizer_of_torch() -> None:
    ours, theirs = parameters(), parameters()
    mine = Adam([{"params": ours[:1], "weight_decay": 0.3}, {"params": ours[1:]}], betas=(0.8, 0.95))
    other = torch.optim.AdamW(
        [{"params": theirs[:1], "weight_decay": 0.3}, {"params": theirs[1:], "weight_decay": 0.0}], betas=(0.8, 0.95), fused=True
    )
    for number in range(6):
        for side, optimizer in ((ours, mine), (theirs, other)):
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = 0.1 / (number + 1)
            loss = (side[0].sum(0) ** 2).sum() + side[1].pow(3).sum()
            (loss + side[2].exp().sum() if number > 2 else loss).backward()  # the last has no gradient at first
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    left, right = mine.state_dict()["state"], other.state_dict()["state"]
    assert left.keys() == right.keys()
    assert all(torch.equal(left[number][name], right[number][name]) for number in left for name in left[number])


def test_of_a_table_only_the_rows_that_were_used_move() -> None:
    torch.manual_seed(0)
    begun = torch.randn(6, 4)
    tables = [torch.nn.Parameter(begun.clone()) for _ in range(3)]
    lazy = [Adam([{"params": [table], "lr": 0.1, "rows": True}], betas=(0.8, 0.95)) for table in tables[:2]]
    whole = Adam([{"params": tables[2:], "lr": 0.1}], betas=(0.8, 0.95))
    for rows in ([1, 4, 4], [4, 1], [1, 4]):
        for number, table in enumerate(tables):
            table.grad = None
            found = torch.nn.functional.embedding(torch.tensor(rows), table, sparse=number == 0)
            (found * torch.arange(1, 5) * table.detach()[rows]).sum().backward()
        for optimizer in (*lazy, whole):
            optimizer.step()
    assert tables[0].grad is not None
    assert tables[0].grad.is_sparse
    for table in tables:
        assert torch.equal(table[[0, 2, 3, 5]], begun[[0, 2, 3, 5]])
    # Rows that are used in every step move as with a gradient that is not sparse.
    torch.testing.assert_close(tables[0], tables[2])
    torch.testing.assert_close(tables[0], tables[1])
    # A row that waits keeps its moments.
    before, waiting = tables[0].detach().clone(), lazy[0].state[tables[0]]["exp_avg"].clone()
    tables[0].grad = None
    torch.nn.functional.embedding(torch.tensor([2]), tables[0], sparse=True).sum().backward()
    lazy[0].step()
    assert torch.equal(tables[0][[0, 1, 3, 4, 5]], before[[0, 1, 3, 4, 5]])
    assert torch.equal(lazy[0].state[tables[0]]["exp_avg"][[1, 4]], waiting[[1, 4]])
    assert not torch.equal(tables[0][2], before[2])


def test_needs_no_compiler() -> None:
    code = (
        "import sys, torch; from artgen.training.adam import Adam\n"
        "p = torch.nn.Parameter(torch.ones(3)); o = Adam([{'params': [p], 'lr': 0.1}], (0.9, 0.98))\n"
        "p.square().sum().backward(); o.step(); o.zero_grad()\n"
        "assert p.detach().sum() < 3 and p.grad is None\n"
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
