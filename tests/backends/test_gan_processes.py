"""``image.gan`` on several processes, at the size of the preset brief: the others would not know of a smaller one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from picture_models import dataset  # noqa: F401 - a fixture

from artgen.cli import main
from artgen.model import Model

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def test_two_processes_give_the_losses_of_one(dataset: Path, tmp_path: Path) -> None:
    fixed = ["--preset", "brief", "--batch-size", "4", "--steps", "3", "--previews", "0", "--best-by", "none"]
    fixed += ["--precision", "fp32", "--memory-format", "channels-last"]
    words = {name: ["image", "train", str(dataset), *fixed, "--output", str(tmp_path / name)] for name in ("one", "two")}
    assert main(words["one"]) == 0
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "artgen"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, *launcher, *words["two"]], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) == len(two) == 3
    np.testing.assert_allclose(one, two, rtol=2e-4)
    a, b = Model.open(tmp_path / "one").tensors(), Model.open(tmp_path / "two").tensors()
    for name, tensor in a.items():
        # Adam without a first moment divides by the gradient's size: a rounding of 1e-8 may flip a step of 1e-4.
        torch.testing.assert_close(tensor, b[name], rtol=1e-2, atol=2e-3)


def losses(folder: Path) -> list[list[float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [[line["loss/discriminator"], line["loss/generator"]] for line in lines]
