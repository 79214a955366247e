"""Clips after equal time: the network of artgen against the plain 3D-GAN at framework defaults, side by side.

    python benchmarks/video_quality.py DATASET [--minutes 20] [--items 500] [--seed 1] [--folder FOLDER]

DATASET is what ``artgen video prepare`` made, 16 frames at 32 pixels. Both train at the same time, a process and a thread each,
so that what else the machine does meets both. Wanted on animated emoji: at most half of the peer's artgen-FD and FD-motion.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

OURS = ("--preset", "sketch")
PEER = ("--architecture", "vgan", "--precision", "fp32", "--memory-format", "contiguous")
MEASURES = ("fd", "fd_motion")


def artgen(*words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "artgen", *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the runs are kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        runs = {"ours": OURS, "vgan": PEER}
        shared = ("--minutes", str(given.minutes), "--previews", "1", "--best-by", "none", "--seed", str(given.seed))
        started = [
            artgen("video", "train", given.dataset, "--output", str(folder / name), *shared, *own) for name, own in runs.items()
        ]
        if any(process.wait() for process in started):
            sys.exit("a training failed")
        scores = {}
        for name in runs:
            measured = artgen(
                "video", "evaluate", str(folder / name / "model-last"), given.dataset, "--items", str(given.items),
                "--metrics", ",".join(MEASURES), "--json",
            )  # fmt: skip
            scores[name] = json.loads(measured.communicate()[0])["scores"]
    for measure in MEASURES:
        ours, peer = (scores[name][measure] for name in runs)
        share = ours["value"] / peer["value"]
        print(f"{measure}: {ours['value']:.4g} against {peer['value']:.4g}, {share:.2f} of it; floor {ours['floor']:.4g}")


if __name__ == "__main__":
    main()
