"""Quality after equal time on CIFAR-10 at 32 px: ``gan`` against ``--architecture dcgan`` at framework defaults, in turn.

    python benchmarks/cifar.py CIFAR10.zip [--minutes 10] [--seeds 3] [--output FOLDER]

Prints artgen-FD, precision and recall of both for every seed, and the ratios. Unlabelled for both: the classic network
has no classes.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import artgen
from artgen.dataset import is_dataset

RUNS: dict[str, dict[str, Any]] = {
    "gan": {"classes": False, "preset": "brief", "progressive": True},
    "dcgan": {"architecture": "dcgan", "precision": "fp32", "memory_format": "contiguous"},
}
METRICS = ("fd", "precision", "recall")


def scores(dataset: Path, folder: Path, minutes: float, seed: int, options: dict[str, Any]) -> dict[str, float]:
    """Train (unless that was done before) and measure 5,000 samples of the last model."""
    if not (folder / "model-last" / "config.json").is_file():
        resume = (folder / "config.toml").is_file()
        artgen.train("image", dataset, folder, resume=resume, minutes=minutes, seed=seed, previews=0, best_by="none", **options)
    found = artgen.evaluate("image", folder / "model-last", dataset, items=5000, metrics=METRICS)
    return {name: found[name].value for name in METRICS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("runs/cifar"))
    given = parser.parse_args()
    dataset = given.output / "dataset"
    if not is_dataset(dataset):
        artgen.prepare("image", given.source, dataset, resolution=32)
    ratios: dict[str, list[float]] = {name: [] for name in METRICS}
    for seed in range(given.seeds):
        found = {}
        for name, options in RUNS.items():
            found[name] = scores(dataset, given.output / f"{name}-{seed}", given.minutes, seed, options)
            print(json.dumps({"seed": seed, "run": name, **found[name]}), flush=True)
        for name in METRICS:
            ratios[name].append(found["gan"][name] / found["dcgan"][name])
    for name, values in ratios.items():
        print(f"{name}: {statistics.mean(values):.2f} times dcgan ({', '.join(f'{value:.2f}' for value in values)})")


if __name__ == "__main__":
    main()
