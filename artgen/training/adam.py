"""AdamW without torch's optimizer classes: those import torch's compiler, which takes longer than importing torch itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Adam:
    """AdamW by torch's fused kernel, one call a group and step; what the loop needs of an optimizer and no more.

    Groups are as in torch: ``params``, ``weight_decay``, ``scale`` and, set by the loop, ``lr``. The state of a parameter is
    ``step`` and its moments ``exp_avg`` and ``exp_avg_sq``. The parameters of a group with ``rows`` are tables of which a step
    uses few rows: only those with a gradient move, and their moments wait meanwhile; such a group has no weight decay.
    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization".
    """

    def __init__(self, groups: Sequence[Mapping[str, Any]], betas: tuple[float, float], epsilon: float = 1e-8) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": 0.0, "weight_decay": 0.0, **group} for group in groups]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self.betas, self.epsilon = betas, epsilon

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if group.get("rows"):
                for parameter in moved:
                    self._step_rows(parameter, group["lr"])
                continue
            if not moved:
                continue
            states = [self._state(parameter) for parameter in moved]
            steps = [state["step"] for state in states]
            torch._foreach_add_(steps, 1)
            torch._fused_adamw_(
                moved, [parameter.grad for parameter in moved],
                [state["exp_avg"] for state in states], [state["exp_avg_sq"] for state in states], [], steps,
                lr=group["lr"], beta1=self.betas[0], beta2=self.betas[1], weight_decay=group["weight_decay"], eps=self.epsilon,
                amsgrad=False, maximize=False,
            )  # fmt: skip

    def _step_rows(self, table: Tensor, rate: float) -> None:
        """Update the rows of ``table`` whose gradient, sparse or dense, is not zero."""
        assert table.grad is not None
        if table.grad.is_sparse:
            found = table.grad.coalesce()
            rows, gradient = found.indices()[0], found.values()
        else:  # summed over processes
            rows = table.grad.abs().sum(1).nonzero()[:, 0]
            gradient = table.grad[rows]
        state, (first, second) = self._state(table), self.betas
        state["step"] += 1
        step = float(state["step"])
        mean = state["exp_avg"][rows].lerp_(gradient, 1 - first)
        square = state["exp_avg_sq"][rows].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        state["exp_avg"][rows], state["exp_avg_sq"][rows] = mean, square
        size = (square / (1 - second**step)).sqrt_().add_(self.epsilon)
        table.index_add_(0, rows, mean.div(size), alpha=-rate / (1 - first**step))

    def state_dict(self) -> dict[str, Any]:
        """The state of every parameter by its number, in the order of the groups."""
        ordered = [parameter for group in self.param_groups for parameter in group["params"]]
        return {"state": {number: self.state[one] for number, one in enumerate(ordered) if one in self.state}}

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        if parameter not in self.state:
            self.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }
        return self.state[parameter]
