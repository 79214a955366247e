"""Calling a pipeline: options to its own words, its steps to a progress display, what it says to sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from artgen.backend import Progress
from artgen.errors import OptionError, SourceError, UsageError
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.loading import parameters, told
from artgen_diffusers.options import Prompted

TRUE_GUIDANCE = 4.0
"""The weight of ``--negative-prompt`` in pipelines with distilled guidance, which heed it only with a second pass a step."""


def arguments(pipeline: Any, options: Prompted, prompt: str | None, **more: tuple[str, Any]) -> dict[str, Any]:
    """The arguments of a call for what the options say; ``more`` are (flag, value) by the pipeline's own name.

    Raises:
        OptionError: the pipeline does not know one of the options, or needs a prompt that is not given.
    """
    known = parameters(pipeline)
    given = {
        "prompt": ("--prompt", prompt),
        "negative_prompt": ("--negative-prompt", options.negative_prompt),
        "num_inference_steps": ("--steps", options.steps),
        "guidance_scale": ("--guidance", options.guidance),
        **more,
    }
    kind = type(pipeline).__name__
    for name, (flag, value) in given.items():
        if value is not None and name not in known:
            raise OptionError(f"{flag}: {kind} takes none; leave it out")
    if "prompt" in known and prompt is None:
        raise OptionError(f"--prompt must be given: {kind} makes what a text says")
    found = {name: value for name, (_, value) in given.items() if value is not None}
    if "negative_prompt" in found and "true_cfg_scale" in known and (known["true_cfg_scale"].default or 0) <= 1:
        found["true_cfg_scale"] = TRUE_GUIDANCE
    return found


def called(pipeline: Any, name: str, seed: int, progress: Progress, values: Mapping[str, Any]) -> Any:
    """What the pipeline makes of ``values``, its noise drawn from ``seed`` on the CPU, its steps told to ``progress``.

    Raises:
        UsageError: the pipeline refuses the values, or memory is short.
    """
    # The same noise on every device: it is drawn on the CPU and moved.
    generator = torch.Generator().manual_seed(seed)
    bars = _Bars(progress, name)
    pipeline.progress_bar = bars
    try:
        with told(name), borrowed(seed), torch.no_grad():
            return pipeline(**values, generator=generator)
    finally:
        bars.close()
        del pipeline.progress_bar


def prompts(prompt: str | None, file: str | None) -> list[str | None]:
    """The prompts of ``--prompts``, else the one of ``--prompt``."""
    return list(lines(file)) if file else [prompt]


def lines(path: str) -> list[str]:
    """The prompts in a file, one a line; empty lines and those that begin with # are passed over.

    Raises:
        SourceError: it cannot be read, or holds none.
    """
    from artgen.media import text

    found = [line.strip() for line in text.decode(Path(path)).splitlines()]
    kept = [line for line in found if line and not line.startswith("#")]
    if not kept:
        raise SourceError(f"--prompts {path}: no prompts in it; write one a line")
    return kept


def finite(values: Any, name: str) -> Any:
    """``values`` (an array), if all are numbers.

    Raises:
        UsageError: 16 bits were not enough for what the pipeline computes.
    """
    import numpy as np

    if not np.isfinite(values).all():
        raise UsageError(f"{name}: its numbers became too large for its format; give --dtype bf16 or --dtype fp32")
    return values


class _Bars:
    """Stands for the method ``progress_bar`` of a pipeline; a pipeline of several stages begins several bars."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress, self._name, self._open = progress, name, False

    def __call__(self, iterable: Iterable[Any] | None = None, total: int | None = None) -> _Bars:
        self.close()
        self._items = iterable
        if total is None and hasattr(iterable, "__len__"):
            total = len(iterable)  # type: ignore[arg-type]  # it has a length
        self._progress.start(self._name, total, "steps")
        self._open = True
        return self

    def __iter__(self) -> Iterator[Any]:
        for item in () if self._items is None else self._items:
            yield item
            self._progress.advance()
        self.close()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def update(self, amount: float = 1) -> None:
        """``amount`` steps more are done."""
        self._progress.advance(amount)

    def set_postfix(self, *args: Any, **values: Any) -> None:
        """Nothing."""

    def close(self) -> None:
        """End the bar, where one is open."""
        if self._open:
            self._open = False
            self._progress.finish()
