"""Whole processes against ``python -c "import torch"``, in turn: help, a mistyped option, generate from a model.

python benchmarks/startup.py [--model FOLDER] [--runs 7]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    artgen = str(Path(sys.executable).with_name("artgen"))
    torch = [sys.executable, "-c", "import torch"]
    with tempfile.TemporaryDirectory() as folder:
        model = ["--model", given.model] if given.model else []
        commands = {
            "artgen --help": [artgen, "--help"],
            "artgen image generate --help": [artgen, "image", "generate", "--help"],
            "a mistyped option": [artgen, "image", "generate", "--trunkation", "1"],
            "artgen image generate": [artgen, "image", "generate", *model, "--seed", "7", "--output", f"{folder}/picture.png"],
        }
        for command in (torch, *commands.values()):
            seconds(command)  # once for the caches of the disk
        ratios: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(given.runs):
            for name, command in commands.items():
                ratios[name].append(seconds(command) / seconds(torch))
    for name, values in ratios.items():
        print(f"{name:32} {statistics.median(values):.2f} of import torch ({min(values):.2f} to {max(values):.2f})")


if __name__ == "__main__":
    main()
