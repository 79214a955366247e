"""One training step: micro-batches, gradients averaged over processes, one update of each phase that is due."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from artgen.training.ema import Average
from artgen.training.order import mix
from artgen.training.precision import Choice, NotFiniteError
from artgen.training.processes import Processes
from artgen.training.task import Batch, Phase, Position, Task


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from ``seed`` inside, where networks take their first weights; the global random state is as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix(seed))
        yield


class Stepper:
    """A task with its optimizers and averages; :meth:`step` is the whole of training.

    ``seed`` and ``attempt`` fix the random numbers of every step; a second attempt after a non-finite loss draws others.
    """

    def __init__(
        self, task: Task, choice: Choice, processes: Processes, *, seed: int, batch_size: int, micro_batch: int | None
    ) -> None:
        self.task = task.to(processes.device).train()
        self.choice = choice
        self.processes = processes
        self.seed = seed
        self.attempt = 0
        self.size = batch_size
        self.micro = micro_batch or batch_size
        choice.place(task)
        self.average = Average(task)
        self.optimizers = {phase.name: phase.optimizer(list(phase.parameters)) for phase in task.phases}
        self.scaler = torch.GradScaler(processes.device.type) if choice.precision == "fp16" else None

    def step(self, number: int, data: Mapping[str, Tensor], position: Position) -> dict[str, Tensor]:
        """Run step ``number`` on our part of its batch; returns numbers by ``name/phase``, averaged over the whole batch.

        Raises:
            NotFiniteError: the loss of a phase is not finite; no weight of that phase was changed.
        """
        numbers: dict[str, Tensor] = {}
        for index, phase in enumerate(self.task.phases):
            if number % phase.every == 0:
                found = self._phase(phase, number, index, data, position)
                numbers.update({f"{name}/{phase.name}": value for name, value in found.items()})
        self.average.update(self.size, self.task.half_life(position))
        return numbers

    def _phase(self, phase: Phase, number: int, index: int, data: Mapping[str, Tensor], position: Position) -> dict[str, Tensor]:
        self._require(phase)
        optimizer = self.optimizers[phase.name]
        optimizer.zero_grad(set_to_none=True)
        seed = mix(self.seed, self.attempt, number, index)
        totals: dict[str, Tensor] = {}
        start, stop = self.processes.part(self.size)
        for first in range(start, stop, self.micro):
            last = min(first + self.micro, stop)
            pieces = {name: tensor[first - start : last - start] for name, tensor in data.items()}
            batch = Batch(pieces, self.size, first, last, seed, self.processes.device)
            with self.choice.autocast(self.processes.device):
                found = self.task(phase.name, batch, position)
            weight = len(batch) / self.size
            loss = found["loss"] * weight
            (self.scaler.scale(loss) if self.scaler else loss).backward()
            for name, value in found.items():
                part = value.detach().float() * weight
                totals[name] = totals[name] + part if name in totals else part
        totals = self._add_up(phase, totals)
        # .item() waits for the device; a wrong update would cost more than the wait.
        if not torch.isfinite(totals["loss"]).item():
            raise NotFiniteError(f"the loss of phase {phase.name} is {totals['loss'].item()} at step {number + 1}")
        for group in optimizer.param_groups:
            group["lr"] = phase.learning_rate(position) * group.get("scale", 1.0)
        if self.scaler:
            self.scaler.step(optimizer)  # type: ignore[arg-type]  # it needs no more of it than we do
            self.scaler.update()
        else:
            optimizer.step()
        with torch.no_grad():
            self.task.after(phase.name, totals, position, self.size)
        return totals

    def _require(self, phase: Phase) -> None:
        """Let gradients flow into the weights of this phase alone."""
        for other in self.task.phases:
            for parameter in other.parameters:
                parameter.requires_grad_(other is phase)

    def _add_up(self, phase: Phase, totals: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sum gradients and numbers over all processes, in one message."""
        if self.processes.count == 1:
            return totals
        for parameter in phase.parameters:
            if parameter.grad is not None and parameter.grad.is_sparse:
                parameter.grad = parameter.grad.to_dense()
        gradients = [parameter.grad for parameter in phase.parameters if parameter.grad is not None]
        names = sorted(totals)
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), torch.stack([totals[name] for name in names])])
        flat = self.processes.sum(flat)
        place = 0
        for gradient in gradients:
            gradient.copy_(flat[place : place + gradient.numel()].view_as(gradient))
            place += gradient.numel()
        return {name: flat[place + offset] for offset, name in enumerate(names)}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything a resume needs: tensors by name, and plain values."""
        tensors = {f"task.{name}": tensor for name, tensor in self.task.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors().items()}
        for phase, optimizer in self.optimizers.items():
            for index, entry in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{phase}.{index}.{key}": value for key, value in entry.items()}
        return tensors, {"attempt": self.attempt, "scaler": self.scaler.state_dict() if self.scaler else None}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Take over what :meth:`state` gave."""
        self.task.load_state_dict({name[5:]: tensor for name, tensor in tensors.items() if name.startswith("task.")})
        with torch.no_grad():
            for name, mine in self.average.tensors().items():
                mine.copy_(tensors[f"average.{name}"])
        for phase in self.task.phases:
            self._restore_optimizer(phase, tensors)
        self.attempt = int(values["attempt"])
        if self.scaler and values["scaler"]:
            self.scaler.load_state_dict(values["scaler"])

    def _restore_optimizer(self, phase: Phase, tensors: Mapping[str, Tensor]) -> None:
        optimizer = self.optimizers[phase.name]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        # Fused kernels want the count of steps beside the weights, the others on the CPU.
        beside = all(group.get("fused", True) for group in optimizer.param_groups)
        prefix = f"optimizer.{phase.name}."
        optimizer.state.clear()
        for name, tensor in tensors.items():
            if name.startswith(prefix):
                index, _, key = name[len(prefix) :].partition(".")
                parameter = parameters[int(index)]
                # The moments lie in memory as their weights do: fused optimizers walk both in one pass.
                moment = key != "step" and tensor.shape == parameter.shape
                value = torch.empty_like(parameter).copy_(tensor) if moment else tensor.to(parameter.device if beside else "cpu")
                optimizer.state.setdefault(parameter, {})[key] = value.detach().clone()

    def finite(self) -> bool:
        """Whether every weight is a finite number; a state that is not must never replace a good one."""
        sums = torch.stack([parameter.detach().float().sum() for parameter in self.task.parameters()])
        return bool(torch.isfinite(sums).all())
