"""Quality after equal time on CIFAR-10 at 32 px: ``gan`` against ``--architecture dcgan`` at framework defaults.

    python benchmarks/cifar.py all CIFAR10.zip FOLDER [--minutes 10] [--seeds 0 1 2] [--threads 2] [--together]
    python benchmarks/cifar.py train CIFAR10.zip FOLDER --run gan --seed 0 [--minutes 10] [--threads 2] [--set gamma=1 ...]
    python benchmarks/cifar.py report CIFAR10.zip FOLDER [--items 5000]

``all`` trains every pair of run and seed, one process each: one after the other, or ``--together`` where the machine has a core for
each thread. ``report`` measures what is there: artgen-FD, precision and recall of samples of the last model, every seed, means and
ratios; the numbers are kept in FOLDER/<run>-<seed>.json. Times are wall-clock from the first step: nothing else may run beside it.
``--set`` gives a run other options; name it with ``--run NAME``. The classic network has no classes; ours learns those of the data,
as it does by default.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

RUNS: dict[str, dict[str, Any]] = {
    "gan": {"preset": "brief"},
    "dcgan": {"architecture": "dcgan", "precision": "fp32", "memory_format": "contiguous"},
}
METRICS = ("fd", "precision", "recall")


def dataset(source: str, folder: Path) -> Path:
    """The prepared pictures, made once."""
    import artgen
    from artgen.dataset import is_dataset

    if not is_dataset(folder / "dataset"):
        artgen.prepare("image", source, folder / "dataset", resolution=32)
    return folder / "dataset"


def train(given: argparse.Namespace) -> None:
    """One run; keeps its model (fp16) and how many pictures it saw."""
    import torch

    import artgen
    from artgen.backend import Silent

    class Aloud(Silent):
        def say(self, sentence: str) -> None:
            print(f"{name}: {sentence}", flush=True)

    torch.set_num_threads(given.threads)
    name = f"{given.run}-{given.seed}"
    options = RUNS.get(given.run, RUNS["gan"]) | {key: value_of(text) for key, text in (pair.split("=", 1) for pair in given.set)}
    run = given.folder / "runs" / name
    artgen.train(
        "image", dataset(given.source, given.folder), run, resume=(run / "config.toml").is_file(), device=given.device,
        progress=Aloud(), minutes=given.minutes, seed=given.seed, previews=1, best_by="none", save_every=60, weights="fp16",
        **options,
    )  # fmt: skip
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    facts = {
        "run": given.run,
        "seed": given.seed,
        "items": records[-1]["items"],
        "seconds": records[-1]["seconds"],
        "options": options,
    }
    shutil.copytree(run / "model-last", given.folder / name, dirs_exist_ok=True)
    last = max((run / "previews").glob("*.png"), default=None)
    if last:
        shutil.copy(last, given.folder / f"{name}.png")
    keep(given.folder / f"{name}.json", facts)
    print(json.dumps(facts), flush=True)


def value_of(text: str) -> Any:
    """``text`` as a number or a truth value where it is one."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def extractor(given: argparse.Namespace) -> None:
    """Train what the measures see with, once, before several processes need it."""
    import artgen.dataset
    from artgen.metrics.extractor import extractor_for

    found = extractor_for(artgen.dataset.Dataset.open(dataset(given.source, given.folder), "image"))
    print(f"extractor: {found.name}", flush=True)


def measure(given: argparse.Namespace) -> None:
    """artgen-FD, precision and recall of one model, untruncated."""
    import torch

    import artgen

    torch.set_num_threads(given.threads)
    name = f"{given.run}-{given.seed}"
    found = artgen.evaluate(
        "image", given.folder / name, dataset(given.source, given.folder), items=given.items, metrics=METRICS, device=given.device
    )
    scores = {metric: found[metric].value for metric in METRICS} | {f"{metric}_floor": found[metric].floor for metric in METRICS}
    keep(given.folder / f"{name}.json", {**scores, "protocol": found["fd"].protocol})


def keep(path: Path, facts: dict[str, Any]) -> None:
    before = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**before, **facts}, indent=1))


def spread(given: argparse.Namespace, verb: str, pairs: Iterable[tuple[str, int]]) -> None:
    """One process for every pair of run and seed."""
    started = []
    for run, seed in pairs:
        command = [sys.executable, __file__, verb, given.source, str(given.folder), "--run", run, "--seed", str(seed)]
        command += ["--minutes", str(given.minutes), "--threads", str(given.threads), "--items", str(given.items)]
        command += ["--device", given.device]
        environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
        process = subprocess.Popen(command, env=environment)
        started.append(process)
        if not given.together:
            process.wait()
    for process in started:
        if process.wait():
            raise SystemExit(f"a process failed: {process.args}")


def report(given: argparse.Namespace) -> None:
    """Measure what has no scores yet, print all, and write FOLDER/report.json."""
    names = sorted(path.parent.name for path in given.folder.glob("*-*/config.json"))
    pairs = [(name.rpartition("-")[0], int(name.rpartition("-")[2])) for name in names]
    extractor(given)
    spread(given, "measure", [pair for pair in pairs if "fd" not in facts_of(given, *pair)])
    found = {pair: facts_of(given, *pair) for pair in pairs}
    for (run, seed), facts in found.items():
        numbers = "  ".join(f"{metric} {facts[metric]:.3f}" for metric in METRICS)
        print(f"{run:16} seed {seed}: {numbers}  {facts['items']} pictures, {facts['items'] / facts['seconds']:.0f} a second")
    summary: dict[str, Any] = {"runs": {f"{run}-{seed}": facts for (run, seed), facts in found.items()}, "times dcgan": {}}
    means = {
        run: {metric: statistics.mean(found[run, seed][metric] for name, seed in pairs if name == run) for metric in METRICS}
        for run in {run for run, _ in pairs}
    }
    for run, mean in sorted(means.items()):
        base = means.get("dcgan", {})
        ratios = {metric: mean[metric] / base[metric] for metric in METRICS if base.get(metric)}
        summary["times dcgan"][run] = ratios
        told = (f"{metric} {mean[metric]:.3f} ({ratios.get(metric, math.nan):.2f} times dcgan)" for metric in METRICS)
        print(f"{run:16} mean:   {'  '.join(told)}")
    (given.folder / "report.json").write_text(json.dumps(summary, indent=1))


def facts_of(given: argparse.Namespace, run: str, seed: int) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((given.folder / f"{run}-{seed}.json").read_text())
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["all", "train", "extractor", "measure", "report"])
    parser.add_argument("source")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--run", default="gan")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--together", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="OPTION=VALUE")
    given = parser.parse_args()
    if given.verb == "all":
        dataset(given.source, given.folder)
        spread(given, "train", [(run, seed) for seed in given.seeds for run in RUNS])
        report(given)
    else:
        {"train": train, "extractor": extractor, "measure": measure, "report": report}[given.verb](given)


if __name__ == "__main__":
    main()
