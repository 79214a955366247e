"""Training speed with the calibrated number format and memory layout against framework defaults, steps in turn.

    python benchmarks/speed.py [--resolution 32 64] [--preset sketch] [--rounds 10]

The networks, losses and batches are the same; precision, memory format and whether freed memory is kept differ, each side in a
process of its own. It also prints how long loading and augmenting a batch takes, as a share of a step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from steps import compare

from artgen.backends.image.gan.backend import Gan
from artgen.dataset import Dataset
from artgen.media.prepare_image import Prepare, prepare
from artgen.nn.augment import DRAWS, augment
from artgen.training.order import batch_indices


def dataset(folder: Path, resolution: int) -> Dataset:
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for number in range(256):
        Image.fromarray(random.integers(0, 256, (resolution, resolution, 3), np.uint8)).save(folder / "pictures" / f"{number}.png")
    return prepare([folder / "pictures"], folder / "dataset", Prepare(resolution=resolution))


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(resolution: int, preset: str, batch: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = dataset(Path(folder), resolution)
        choice, step, ratio = compare(Gan, data, preset, batch, rounds)
        task: Any = Gan().task(data, Gan.Train(preset=preset, batch_size=batch, steps=1))
        items = task.load(data, batch_indices(0, 0, batch, len(data)).tolist())
        load = statistics.median(
            timed(lambda n=n: task.load(data, batch_indices(0, n, batch, len(data)).tolist()))  # type: ignore[misc]
            for n in range(20)
        )
        numbers, strength = torch.rand(batch, DRAWS), torch.tensor(0.5)
        with torch.no_grad():
            change = statistics.median(timed(lambda: augment(items["pictures"], numbers, strength)) for _ in range(20))
    print(
        f"{resolution} px, {preset}: {batch / step:.0f} pictures a second with {choice}, "
        f"{statistics.median(ratio):.2f} times the defaults ({min(ratio):.2f} to {max(ratio):.2f}); "
        f"loading {load / step:.1%} and augmenting {change / step:.1%} of a step"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--preset", default="sketch")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}")
    for resolution in given.resolution:
        measure(resolution, given.preset, given.batch_size, given.rounds)


if __name__ == "__main__":
    main()
