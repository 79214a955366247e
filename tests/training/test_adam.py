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


def test_needs_no_compiler() -> None:
    code = (
        "import sys, torch; from artgen.training.adam import Adam\n"
        "p = torch.nn.Parameter(torch.ones(3)); o = Adam([{'params': [p], 'lr': 0.1}], (0.9, 0.98))\n"
        "p.square().sum().backward(); o.step(); o.zero_grad()\n"
        "assert p.detach().sum() < 3 and p.grad is None\n"
        "print('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
