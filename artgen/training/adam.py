"""AdamW without torch's optimizer classes: those import torch's compiler, which takes longer than importing torch itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Adam:
    """AdamW by torch's fused kernel, one call a group and step; what the loop needs of an optimizer and no more.

    Groups are as in torch: ``params``, ``weight_decay``, ``scale`` and, set by the loop, ``lr``. The state of a parameter is
    ``step`` and its moments ``exp_avg`` and ``exp_avg_sq``.
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
