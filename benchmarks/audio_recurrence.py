"""Steps a second of the composer with minimal gated units beside ``nn.GRU`` of equal width, in turn, and what each learns.

Both networks differ in the recurrent unit alone; a step is forward, backward and update. Seconds are of the processor, so that a
busy machine changes them little; the order is A B B A. With --dataset and --model (for its codec) both then learn the same codes
for the same processor time, and their held-out losses on the way are told; the lowest counts.

python benchmarks/audio_recurrence.py [--length 1024] [--batch 8] [--width 256] [--layers 4] [--runs 3]
    [--dataset DATASET --model MODEL --seconds 120] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from artgen.backends.audio.rnn.composer import Composer
from artgen.backends.audio.rnn.composer_task import adam

CELLS = ("mingru", "gru")

LOOKS = 8
"""Times that the held-out loss is taken: a small set is soon learned by heart, so the best counts."""


def network(cell: str, given: argparse.Namespace, codebooks: int, size: int) -> tuple[Composer, Any]:
    torch.manual_seed(0)
    composer = Composer(
        codebooks=codebooks, size=size, width=given.width, layers=given.layers, narrow=128, inner=144, cell=cell
    )  # fmt: skip
    return composer, adam(list(composer.parameters()))


def step(composer: Composer, optimizer: Any, codes: torch.Tensor, rate: float) -> None:
    optimizer.zero_grad()
    composer.loss(codes).mean().backward()
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()


def speed(given: argparse.Namespace) -> dict[str, Any]:
    codes = torch.randint(256, (given.batch, 8, given.length))
    made = {cell: network(cell, given, 8, 256) for cell in CELLS}
    seconds: dict[str, list[float]] = {cell: [] for cell in CELLS}
    for cell in CELLS:
        step(*made[cell], codes, 1e-4)
    for cell in (CELLS + CELLS[::-1]) * given.runs:
        started = time.process_time()
        step(*made[cell], codes, 1e-4)
        seconds[cell].append(time.process_time() - started)
    medians = {cell: statistics.median(values) for cell, values in seconds.items()}
    return {**{f"{cell}_ms": round(1000 * value, 1) for cell, value in medians.items()},
            "ratio": round(medians["gru"] / medians["mingru"], 3)}  # fmt: skip


def held_out(composer: Composer, codes: torch.Tensor) -> float:
    """The loss of ``codes`` in nats a code."""
    with torch.no_grad():
        loss = float(composer.eval().loss(codes).mean())
    composer.train()
    return round(loss, 4)


def learning(given: argparse.Namespace) -> dict[str, Any]:
    from artgen.backends.audio.rnn.backend import Rnn
    from artgen.backends.audio.rnn.streams import encoded
    from artgen.backends.audio.rnn.tape import Moments, Tape
    from artgen.dataset import Dataset
    from artgen.model import Model

    moments = Moments(Dataset.open(given.dataset, "audio"))
    codec: Any = Model.open(given.model).network(Rnn())["codec"]

    def codes(tape: Tape) -> np.ndarray:
        return encoded(codec, (tape.read(at, min(2**19, tape.length - at)) for at in range(0, tape.length, 2**19)))

    learned, held = codes(moments.tape), codes(moments.held or moments.tape)
    span = min(given.length, held.shape[1], learned.shape[1])
    starts = np.linspace(0, held.shape[1] - span, 8).astype(int)
    check = torch.from_numpy(np.stack([held[:, at : at + span] for at in starts]).astype(np.int64))
    found: dict[str, Any] = {}
    for cell in CELLS:
        composer, optimizer = network(cell, given, codec.codebooks, codec.size)
        random, spent, steps, losses = np.random.default_rng(0), 0.0, 0, []
        while (done := spent / given.seconds) < 1:
            at = random.integers(0, learned.shape[1] - span + 1, given.batch)
            batch = torch.from_numpy(np.stack([learned[:, a : a + span] for a in at]).astype(np.int64))
            started = time.process_time()
            step(composer, optimizer, batch, 2e-3 * min(1, (steps + 1) / 20) * (1 - 0.95 * done))
            spent += time.process_time() - started
            steps += 1
            if spent >= (len(losses) + 1) / LOOKS * given.seconds:  # looking takes none of the time
                losses.append(held_out(composer, check))
        found[cell] = {"steps": steps, "held_out_losses": losses, "best": min(losses)}
    return {"seconds": given.seconds, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("length", 1024), ("batch", 8), ("width", 256), ("layers", 4), ("runs", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"speed": speed(given)}
    if given.dataset and given.model:
        found["learning"] = learning(given)
    text = json.dumps(found, indent=1)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
