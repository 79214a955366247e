"""How many times faster than it plays sound is made, end to end: composing, decoding, loudness, writing the file.

Whole calls through the Python interface, the model opened before; wall and processor seconds, the best of a few runs. Peak memory
is of a process of its own that makes the longest sound.

python benchmarks/audio_generation.py [MODEL] [--seconds 30] [--runs 3] [--threads 2] [--long 600] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def once(model: Any, seconds: float, folder: Path) -> tuple[float, float]:
    """Wall and processor seconds of one work of ``seconds``."""
    from artgen import api

    wall, processor = time.perf_counter(), time.process_time()
    work = api.generate("audio", model=model, seed=1, seconds=seconds, device="cpu")[0]
    work.save(folder / "work.wav", overwrite=True)
    return time.perf_counter() - wall, time.process_time() - processor


def random_model(folder: Path) -> str:
    """A model of the standard preset at 22.05 kHz with random weights: as fast as a trained one."""
    import torch

    from artgen.backends.audio.rnn import presets
    from artgen.backends.audio.rnn.build import build
    from artgen.model import Config, save_model

    codec = presets.codec_network(presets.STANDARD, 22_050, 1)
    network = {"codec": codec, "composer": presets.composer_network(presets.STANDARD, codec)}
    torch.manual_seed(0)
    save_model(folder, Config(artgen="0", backend="audio.rnn", network=network), build(network).state_dict(), "# benchmark")
    return str(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a model; without one, the standard preset with random weights")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--long", type=float, default=600.0, help="seconds of the sound whose memory is measured; 0 for none")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    from artgen.model import Model

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        place = given.model or random_model(folder / "model")
        model = Model.open(place)
        once(model, 1.0, folder)  # compiles and warms up
        if given.child:
            once(model, given.long, folder)
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
            return
        found = [once(model, given.seconds, folder) for _ in range(given.runs)]
        wall, processor = (min(times) for times in zip(*found, strict=True))
        told = {"seconds": given.seconds, "threads": given.threads, "times_real_time": round(given.seconds / wall, 1),
                "times_real_time_by_processor": round(given.seconds / processor, 1)}  # fmt: skip
        if given.long:
            command = [sys.executable, __file__, str(place), "--child", "--long", str(given.long), "--threads", str(given.threads)]
            told["peak_mb"] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]) // 1024
    text = json.dumps(told, indent=1)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
