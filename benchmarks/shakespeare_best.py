"""Characters of Shakespeare with minutes on a GPU: best loss of the whole held-out tenth, several seeds, the loop stops early.

    python benchmarks/shakespeare_best.py tinyshakespeare.txt [--seeds 1 2 3] [--parallel 1] [--output FILE] [-- OPTIONS OF TRAIN]

Everything after ``--`` goes to ``artgen text train``. The text is split as ever: the first 90 % to learn from, the rest to measure,
every character but the first predicted once, in windows of the training context that do not overlap. Only the number of weights is
limited, to 11 million. Reported are the best loss of each run, where it came, how long the whole process took, and the mean.

Bar: a mean of at most 1.45. For reference, the nanoGPT recipe for a GPU (10.7 million weights) states 1.4697.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

OPTIONS = ["--preset", "large", "--minutes", "2.5", "--previews", "40", "--save-every", "10"]
"""What is asked for unless something else follows ``--``."""


def train(dataset: Path, output: Path, seed: int, options: list[str]) -> dict[str, Any]:
    """One run as a process of its own; its best loss and how it went."""
    command = [
        sys.executable,
        "-m",
        "artgen",
        "text",
        "train",
        str(dataset),
        "--output",
        str(output),
        "--seed",
        str(seed),
        *options,
    ]
    started = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    records = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    looks = [record for record in records if "val/loss" in record]
    best, last = min(looks, key=lambda record: record["val/loss"]), max(record["step"] for record in records)
    learned = [record["loss/text"] for record in records if "loss/text" in record]
    told = next((line for line in done.stderr.splitlines() if "million weights" in line), "")
    pace = next((line for line in done.stderr.splitlines() if "measured a step" in line), "")
    return {
        "seed": seed, "loss": best["val/loss"], "step": best["step"], "steps": last, "seconds": round(seconds, 1),
        "at": round(best["seconds"], 1), "train": round(learned[-1], 4), "weights": weights(output), "network": told, "pace": pace,
        "curve": [[record["step"], round(record["val/loss"], 4)] for record in looks],
    }  # fmt: skip


def weights(run: Path) -> int:
    """How many numbers the model has, counted in its file."""
    from safetensors import safe_open

    with safe_open(run / "model" / "model.safetensors", "np") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118  # it is no mapping
    return sum(math.prod(shape) for shape in sizes)


def main() -> None:
    given, options = sys.argv[1:], list(OPTIONS)
    if "--" in given:
        place = given.index("--")
        given, options = given[:place], given[place + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--parallel", type=int, default=1, help="runs at the same time")
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    chosen = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        prepare = [sys.executable, "-m", "artgen", "text", "prepare", str(chosen.text), "--output", str(dataset)]
        subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with ThreadPoolExecutor(chosen.parallel) as pool:
            runs = list(pool.map(lambda seed: train(dataset, Path(folder) / str(seed), seed, options), chosen.seeds))
    losses = [run["loss"] for run in runs]
    spread = statistics.stdev(losses) if len(losses) > 1 else 0.0
    result = {"options": options, "mean": statistics.mean(losses), "spread": spread, "runs": runs}
    text = json.dumps(result, indent=1)
    if chosen.output:
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(text)
    for run in runs:
        place = f"step {run['step']} of {run['steps']}, {run['at']:.0f} of {run['seconds']:.0f} s"
        print(f"seed {run['seed']}: {run['loss']:.4f} at {place}")
    print(f"mean {result['mean']:.4f}, spread {spread:.4f}, {runs[0]['weights']:,} weights")
    if runs[0]["weights"] > 11_000_000:
        raise SystemExit("more than 11 million weights: not within the bar")


if __name__ == "__main__":
    main()
