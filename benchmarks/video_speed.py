"""Clips a second: training with the calibrated format against framework defaults, steps in turn; and generating in batches.

    python benchmarks/video_speed.py [--resolution 32 64] [--preset sketch] [--rounds 5]

The networks, losses and batches are the same; each setting runs in a process of its own. Wanted, on a CPU with AMX: 2.5 times the
defaults at 32 pixels, 10 clips a second at 64, 50 a second when generating at 64.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from steps import compare

from artgen.backend import SILENT
from artgen.backends.video.gan3d.backend import Gan3d
from artgen.dataset import Dataset, Manifest, write_manifest
from artgen.training import Run

FRAMES = 16


def dataset(folder: Path, resolution: int) -> Dataset:
    folder.mkdir()
    videos = np.random.default_rng(0).integers(0, 256, (64, FRAMES, resolution, resolution, 3), np.uint8)
    np.save(folder / "videos.npy", videos)
    shapes = {"videos": list(videos.shape)}
    manifest = Manifest(artgen="", kind="video", count=64, arrays={"videos": "videos.npy"}, shapes=shapes, notes={"fps": 12.0})
    return write_manifest(folder, manifest)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def training(data: Dataset, resolution: int, preset: str, batch: int, rounds: int) -> None:
    choice, step, ratio = compare(Gan3d, data, preset, batch, rounds)
    print(
        f"training, {FRAMES}x{resolution}x{resolution}, {preset}: {batch / step:.1f} clips a second with {choice}, "
        f"{statistics.median(ratio):.2f} times the defaults ({min(ratio):.2f} to {max(ratio):.2f})"
    )


def generating(data: Dataset, folder: Path, resolution: int, preset: str, rounds: int) -> None:
    options = Gan3d.Train(preset=preset, batch_size=2, steps=1, previews=0, precision="fp32", memory_format="contiguous")
    model = Gan3d().train(data, Run(folder, "video.gan3d", options, "cpu", False), options, SILENT)
    backend, wanted = Gan3d(), Gan3d.Generate()
    list(backend.generate(model, range(8), wanted))
    seconds = min(timed(lambda: list(backend.generate(model, range(32), wanted))) for _ in range(rounds))
    print(f"generating, {FRAMES}x{resolution}x{resolution}, {preset}: {32 / seconds:.1f} clips a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--preset", default="sketch")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}")
    for resolution in given.resolution:
        with tempfile.TemporaryDirectory() as folder:
            data = dataset(Path(folder) / "data", resolution)
            training(data, resolution, given.preset, given.batch_size, given.rounds)
            (Path(folder) / "run").mkdir()
            generating(data, Path(folder) / "run", resolution, given.preset, given.rounds)


if __name__ == "__main__":
    main()
