"""``kill -9`` at twenty random moments of a training, many of them in the middle of a save, then ``--resume`` each time."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import artgen
from artgen.model import Model

KILLS = 20
STEPS = 200


def saved(run: Path) -> int:
    """The step of the newest state."""
    return max((int(place.name) for place in (run / "state").glob("[0-9]*")), default=-1)


@pytest.mark.slow
def test_twenty_kills_change_no_bit(pictures: Path, tmp_path: Path) -> None:
    data, whole, cut = tmp_path / "data", tmp_path / "whole", tmp_path / "cut"
    artgen.prepare("image", pictures, data, resolution=32)
    plan = ["--preset", "brief", "--batch-size", "4", "--steps", str(STEPS), "--save-steps", "1", "--previews", "3"]
    plan += ["--precision", "fp32", "--memory-format", "channels-last", "--device", "cpu", "--seed", "5"]

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "artgen", "image", "train", *words]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start(str(data), "--output", str(whole), *plan).wait() == 0
    moments = random.Random(0)
    killed, caught_saving = 0, 0
    process = start(str(data), "--output", str(cut), *plan)
    while killed < KILLS:
        before, deadline = saved(cut), time.monotonic() + 120
        # It has to get somewhere between two kills, or the run would never end.
        while saved(cut) < before + 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(moments.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL  # it was still at work
        killed += 1
        caught_saving += any((cut / "state").glob(".tmp-*"))
        process = start("--resume", "--output", str(cut))
    assert process.wait() == 0
    assert caught_saving > 0
    for name in ("model", "model-last"):
        ours, theirs = Model.open(cut / name).tensors(), Model.open(whole / name).tensors()
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            assert torch.equal(tensor, theirs[key]), (name, key)
