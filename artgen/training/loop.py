"""The one training loop, read from top to bottom.

One step is one batch and one update of each phase that is due. The loop knows batches, devices, precision, the budget,
logs, states and resume; it knows no modality and no network.
"""

from __future__ import annotations

import contextlib
import copy
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from torch import Tensor

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset
from artgen.errors import Interrupted, TrainingError
from artgen.files import typed
from artgen.model import Model
from artgen.nn.styled import compiling, usable
from artgen.training.budget import Goal, duration, parse_goal
from artgen.training.memory import keep_freed
from artgen.training.order import batch_indices
from artgen.training.outcome import adopt, best_metric, finish_stage, save_trained
from artgen.training.plan import Clock, Plan
from artgen.training.precision import Choice, NotFiniteError, bearable, calibrate, candidates, repeatable
from artgen.training.processes import Processes
from artgen.training.record import Record, time_lapse
from artgen.training.run import STAGE, STATE, Run
from artgen.training.state import capability, save_state
from artgen.training.step import Stepper
from artgen.training.task import Position, Task

LOG_LINES = 400
"""About how many records of losses a run leaves in metrics.jsonl."""


def fit(tasks: Task | Sequence[Task], dataset: Dataset, run: Run, progress: Progress = SILENT) -> Model:
    """Train ``tasks`` in order on ``dataset`` within the budget of ``run``; returns the best model.

    Raises:
        TrainingError: a loss is not finite twice at the same place, or the run does not fit its state.
        Interrupted: Ctrl-C or SIGTERM; the state was saved.
        OutputError: a file cannot be written; the states before are as they were.
    """
    keep_freed()
    stages = [tasks] if isinstance(tasks, Task) else list(tasks)
    processes = Processes(run.device)
    goal = parse_goal(run.options.until, dict.fromkeys(name for task in reversed(stages) for name in task.metrics))
    aimed = next((number for number, task in enumerate(stages) if goal and goal.metric in task.metrics), -1)
    metric = best_metric(run.options, stages[-1], goal if aimed == len(stages) - 1 else None)
    found = run.state()
    clock = Clock(**found[1]["clock"]) if found else Clock()
    with _stop_on_signal() as stop, repeatable(processes.device), compiling(), run.told_when_full():
        for number, task in enumerate(stages):
            asked = time.monotonic()
            task.begin(dataset, stages[:number])
            readied = time.monotonic() - asked
            if number < clock.stage:
                adopt(run, task, number)
                continue
            if number > clock.stage or not found:  # a stage that goes on has this time on its clock already
                began = processes.from_first([clock.seconds + readied])[0]
                clock, found = Clock(stage=number, seconds=began, began=began), None
            last = number == len(stages) - 1
            shares = [each.share for each in stages]
            plan = Plan(run.options, clock, task.share, sum(shares[: number + 1]), sum(shares))
            stage = Stage(stages[: number + 1], dataset, run, processes, plan, stop, progress)
            stage.final = last
            stage.metric = metric if last else goal.metric if goal and number == aimed else ""
            stage.goal = goal if number == aimed else None
            stage.readied = readied
            stage.prepare(found)
            stage.train()
            if not last:
                finish_stage(run, task, stage.stepper, number, processes.first)
    processes.wait()
    return Model.open(run.folder / "model")


class Stage:
    """The last of ``tasks`` on its way through the budget; the ones before it are finished."""

    goal: Goal | None = None
    metric: str = ""
    final: bool = True
    readied: float = 0.0

    def __init__(
        self, tasks: Sequence[Task], dataset: Dataset, run: Run, processes: Processes, plan: Plan, stop: threading.Event,
        progress: Progress,
    ) -> None:  # fmt: skip
        self.tasks, self.task, self.dataset, self.run, self.processes = tasks, tasks[-1], dataset, run, processes
        self.plan, self.clock, self.stop, self.progress = plan, plan.clock, stop, progress
        self.options = run.options
        self.size = run.options.batch_size
        self.sums: dict[str, Tensor] = {}
        self.summed = 0
        self.save_now = plan.clock.step == 0  # a state before the first step is what a loss that is not finite goes back to

    def prepare(self, found: tuple[dict[str, Tensor], dict[str, Any]] | None) -> None:
        """Choose the number format and the plan, or take both from the saved state."""
        if found:
            tensors, values = found
            choice = Choice(values["precision"], values["memory_format"])
            self.stepper = self._stepper(self.task, choice)
            self.stepper.restore(tensors, values)
            self._say_differences(values["capability"])
            if self._budget() != values["budget"]:
                self.clock.total = self.plan.items()
        else:
            choice = self._calibrate()
            self.stepper = self._stepper(self.task, choice)
            self.clock.total = self.plan.items()
        self.choice = choice
        steps = self.clock.total // self.size
        done = f", {self.clock.step * self.size} done" if found else ""
        name = f"{self.task.name}: " if self._staged else ""
        if self.readied >= 1:
            beyond = self.plan.beyond
            longer = f", so the training ends {duration(beyond)} later than planned" if beyond >= 1 else ""
            name += f"ready after {duration(self.readied)}{longer}; "
        self._say(
            f"{name}training {steps} steps ({self.clock.total} items{done}): about {duration(self._seconds_left())} ({choice})"
        )

    def train(self) -> None:
        """Run steps until the budget, the goal, patience or a signal ends them, then save the model."""
        clock, every = self.clock, max(1, self.clock.total // self.size // LOG_LINES)
        name, before = "" if self.final else self.task.name, [task.name for task in self.tasks[:-1]]
        self.record = Record(self.run.folder, clock.step, name, before) if self.processes.first else None
        self.started, self.saved = time.monotonic() - clock.seconds, time.monotonic()
        self.plan.begin()
        self.progress.start(f"training {self.task.name}" if self._staged else "training", clock.total, "items")
        self.progress.expect(clock.total, clock.step * self.size, self.plan.left)
        done, batches = False, _batches(self._load, clock.step)
        try:
            while True:
                last = done or clock.step * self.size >= clock.total
                if self._preview_due(last):
                    last = self._look() or last
                if self.save_now or last:
                    self._save()
                if last:
                    break
                numbers = self._step(next(batches))
                if numbers is None:
                    batches.close()
                    batches = _batches(self._load, clock.step)
                    continue
                self._log(numbers, clock.step % every == 0)
                done = self._controls()
        finally:
            batches.close()
            if self.record:
                self.record.close()
            self.progress.finish()
        self._finish()

    @property
    def _staged(self) -> bool:
        """Whether this is one of several stages, so that what is said of it needs its name."""
        return not self.final or len(self.tasks) > 1

    def _step(self, data: dict[str, Tensor]) -> dict[str, Tensor] | None:
        """One step; None after a loss that was not finite took us back to the last good state."""
        position = Position(self.clock.step * self.size, self.clock.total)
        try:
            numbers = self.stepper.step(self.clock.step, data, position)
        except NotFiniteError as error:
            self._roll_back(error)
            return None
        self.clock.step += 1
        self.progress.advance(self.size)
        return numbers

    def _roll_back(self, error: NotFiniteError) -> None:
        attempt = self.stepper.attempt
        found = Run(self.run.folder, self.run.backend, self.options, self.run.device, True).state()
        if found is None or attempt > 0:
            raise TrainingError(f"{error}, again after going back; lower the learning rate or use --precision fp32") from None
        self.stepper.restore(*found)
        seconds = self.clock.seconds
        vars(self.clock).update({**found[1]["clock"], "seconds": seconds})
        self.stepper.attempt = attempt + 1
        self._say(f"{error}: went back to step {self.clock.step} and go on with other random numbers")

    def _load(self, step: int) -> dict[str, Tensor]:
        start, stop = self.processes.part(self.size)
        indices = batch_indices(self.options.seed, step, self.size, len(self.dataset))[start:stop]
        data = {name: self.choice.layout(tensor) for name, tensor in self.task.load(self.dataset, indices.tolist()).items()}
        if self.processes.device.type == "cuda":  # the copy need not wait for a batch that lies pinned
            data = {name: tensor.pin_memory() for name, tensor in data.items()}
        return {name: tensor.to(self.processes.device, non_blocking=True) for name, tensor in data.items()}

    def _controls(self) -> bool:
        """Agree on time, saving and signals with the other processes; True when the time is over."""
        clock, before = self.clock, self.clock.total
        clock.seconds = time.monotonic() - self.started
        every = self.options.save_steps
        wanted = time.monotonic() - self.saved >= self.options.save_every * 60 or bool(every and clock.step % every == 0)
        self.plan.follow()
        total, over, save, stop = self.processes.from_first([clock.total, self.plan.late, wanted, self.stop.is_set()])
        clock.total, self.save_now = int(total), bool(save)
        if clock.total != before:
            self.progress.expect(clock.total, seconds=self.plan.left)
        if stop:
            self._save()
            raise Interrupted(
                f"stopped at step {clock.step}, everything is saved; go on with "
                f"artgen {self.run.backend.partition('.')[0]} train --output {typed(self.run.folder)} --resume"
            )
        return bool(over)

    def _preview_due(self, last: bool) -> bool:
        if self.options.previews == 0 and not self.metric:
            return False
        return last or self._looks() > self.clock.shown

    def _looks(self) -> int:
        """How many previews should have been made by now, besides the first."""
        return int(self._all_looks() * self.clock.step * self.size / max(1, self.clock.total))

    def _all_looks(self) -> int:
        """How many previews the plan has in all, besides the first; a pure function of it."""
        count = self.options.previews or 20
        if (cost := self.task.look_cost(self.size)) > 0:
            # Looking takes a twentieth of the time, or a fifth where a goal or patience waits for it.
            share = 0.2 if self.goal or self.options.patience else 0.05
            count = max(1, min(count, int(share * self.clock.total / self.size / cost)))
        return count

    def _seconds_left(self) -> float:
        """About how long the steps and previews of the plan that are to come take; a plan of time has its previews within it."""
        steps = float(max(0, self.clock.total // self.size - self.clock.step))
        if self.plan.limit is None and (self.options.previews or self.metric):
            steps += (self._all_looks() - self._looks()) * self.task.look_cost(self.size)
        return steps * self.clock.pace

    def _look(self) -> bool:
        """Write a preview, measure, keep the best model; True when the goal is reached or patience has run out."""
        clock = self.clock
        clock.shown = self._looks()
        over = [0.0]
        if self.processes.first:
            self.progress.start("previews and measures")
            with self.stepper.average.in_place(self.task):
                items = clock.step * self.size
                self.task.position = Position(items, clock.total)
                assert self.record is not None
                if self.options.previews:
                    self.record.previews(clock.step, items, self.task.preview(self.dataset))
                wanted = [self.metric] if self.metric else [] if self.final else list(self.task.metrics)
                scores = self.task.measure(self.dataset, wanted) if wanted and clock.step else {}
            self.progress.finish()
            if scores:
                self.record.numbers(clock.step, items, time.monotonic() - self.started, scores)
                over = [float(self._judge(scores[self.metric]))] if self.metric else over
        return bool(self.processes.from_first(over)[0])

    def _judge(self, value: float) -> bool:
        clock = self.clock
        lower = self.goal.at_most if self.goal else self.task.metrics[self.metric] == "lower"
        better = clock.best is None or (value < clock.best if lower else value > clock.best)
        clock.stale = 0 if better else clock.stale + 1
        if better:
            clock.best = value
            if self.final:
                self._keep("model", {self.metric: value})
        self._say(f"step {clock.step}: {self.metric} {value:.4g}{' (best so far)' if better else ''}")
        if self.goal and self.goal.reached(value):
            self._say(f"{self.options.until} is reached")
            return True
        if self.options.patience and clock.stale >= self.options.patience:
            self._say(f"no better {self.metric} in {clock.stale} evaluations: stopping")
            return True
        return False

    def _save(self) -> None:
        self.saved, self.save_now = time.monotonic(), False
        if not self.processes.first:
            return
        if not self.stepper.finite():
            raise TrainingError(f"a weight is not finite at step {self.clock.step}; the last good state is kept")
        tensors, values = self.stepper.state()
        facts = {
            "clock": vars(self.clock), "precision": self.choice.precision, "memory_format": self.choice.memory_format,
            "capability": capability(self.processes.device), "budget": self._budget(),
        }  # fmt: skip
        save_state(self.run.folder / STATE, self.clock.stage * STAGE + self.clock.step, tensors, {**values, **facts})

    def _log(self, numbers: dict[str, Tensor], due: bool) -> None:
        for name, value in numbers.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.summed += 1
        if due and self.record:
            means = {name: float(value) / self.summed for name, value in self.sums.items()}
            clock = self.clock
            self.record.numbers(clock.step, clock.step * self.size, time.monotonic() - self.started, means)
        if due:
            self.sums, self.summed = {}, 0

    def _finish(self) -> None:
        if not self.processes.first or not self.final:
            return
        self._keep("model-last", {})
        if self.clock.best is None:
            self._keep("model", {})
        if self.options.previews:
            time_lapse(self.run.folder)

    def _keep(self, folder: str, scores: dict[str, float]) -> None:
        save_trained(self.run, self.tasks, self.stepper.average, self.dataset, folder, self.clock.step * self.size, scores)

    def _calibrate(self) -> Choice:
        """Measure a few steps of every format that is open on copies of the task; the task itself is not touched."""
        device = self.processes.device
        layouts = self.options.memory_format
        if layouts == "auto" and all(parameter.ndim < 4 for parameter in self.task.parameters()):
            layouts = "contiguous"  # only weights of pictures and clips have another layout
        choices = bearable(candidates(self.options.precision, layouts, device), self.processes, self._say)
        self.choice = choices[0]
        if device.type == "cpu" and any(choice.memory_format == "channels-last" for choice in choices):
            usable()  # compiling takes seconds, once on a machine; they say nothing of how long a step takes
        data = self._load(0)

        def trial(choice: Choice) -> Callable[[], object]:
            stepper = self._stepper(copy.deepcopy(self.task), choice)
            laid = {name: choice.layout(tensor) for name, tensor in data.items()}
            return lambda: stepper.step(0, laid, Position(1, 1))

        result = calibrate(choices, trial, device)
        best, pace = self.processes.from_first([choices.index(result.choice), result.seconds])
        self.clock.pace = pace
        for name in result.broken:
            self._say(f"{name}: left out, for on this machine it computes a loss that is no number")
        if len(choices) > 1:
            told = "; ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in result.measured.items())
            self._say(f"measured a step: {told}")
        if device.type == "cpu" and self.options.precision == "fp16":
            self._say("fp16 is slow on most processors; --precision auto measures the others and takes the fastest")
        return choices[int(best)]

    def _stepper(self, task: Task, choice: Choice) -> Stepper:
        return Stepper(
            task, choice, self.processes, seed=self.options.seed, batch_size=self.size, micro_batch=self.options.micro_batch
        )

    def _budget(self) -> list[Any]:
        return [self.options.steps, self.options.items, self.options.minutes]

    def _say(self, sentence: str) -> None:
        if self.processes.first:
            self.progress.say(sentence)

    def _say_differences(self, before: dict[str, Any]) -> None:
        now = capability(self.processes.device)
        if changed := [f"{name} {before.get(name)} → {now[name]}" for name in now if before.get(name) != now[name]]:
            self._say(f"this run was started elsewhere ({', '.join(changed)}): the last bits of the weights may differ")


def _batches(load: Callable[[int], dict[str, Tensor]], step: int) -> Generator[dict[str, Tensor], None, None]:
    """The batches from ``step`` on, the next one loaded in the background while one is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        coming: Future[dict[str, Tensor]] = pool.submit(load, step)
        while True:
            data = coming.result()
            step += 1
            coming = pool.submit(load, step)
            yield data


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def stop(number: int, frame: object) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
