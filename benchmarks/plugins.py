"""What installed plugins cost everyone: CPU seconds of ``artgen --help`` with 50 plugins that import torch, and with none, in turn.

python benchmarks/plugins.py [--plugins 50] [--runs 15]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = """
import torch
from artgen.backend import Backend

class Dummy(Backend):
    api_version = 1
    modality, name, summary = "image", "dummy-{number}", "A plugin that imports torch at once."
    needs_model = False

    def generate(self, model, seeds, options, progress=None):
        yield from ()
"""


def install(folder: Path, count: int) -> None:
    """Put ``count`` packages into ``folder`` as pip would."""
    for number in range(count):
        (folder / f"dummy_{number}.py").write_text(MODULE.format(number=number))
        info = folder / f"artgen_dummy_{number}-1.0.dist-info"
        info.mkdir()
        description = "A dummy.\n" * 200
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: artgen-dummy-{number}\nVersion: 1.0\n\n{description}")
        (info / "entry_points.txt").write_text(f"[artgen.backends]\nimage.dummy-{number} = dummy_{number}:Dummy\n")


def cpu_seconds(command: list[str], folder: Path) -> float:
    """User and system time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run(command, stdout=subprocess.DEVNULL, env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--runs", type=int, default=15)
    given = parser.parse_args()
    commands = {
        "artgen --help": [sys.executable, "-m", "artgen", "--help"],
        "artgen plugin list": [sys.executable, "-m", "artgen", "plugin", "list"],
    }
    with tempfile.TemporaryDirectory() as none, tempfile.TemporaryDirectory() as many:
        install(Path(many), given.plugins)
        found = subprocess.run(
            [sys.executable, "-m", "artgen", "plugin", "list", "--json"],
            env={**os.environ, "PYTHONPATH": many}, stdout=subprocess.PIPE, text=True, check=True,
        ).stdout  # fmt: skip
        if found.count('"state": "installed"') < given.plugins:
            raise SystemExit("the plugins are not found: nothing would be measured")
        for name, command in commands.items():
            for folder in (none, many):
                cpu_seconds(command, Path(folder))  # once for the caches of the disk
            pairs = [(cpu_seconds(command, Path(none)), cpu_seconds(command, Path(many))) for _ in range(given.runs)]
            alone, crowded = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(second / first for first, second in pairs)
            print(
                f"{name:20} {alone * 1000:4.0f} ms alone, {crowded * 1000:4.0f} ms with {given.plugins} plugins: {ratio:.2f} times"
            )


if __name__ == "__main__":
    main()
