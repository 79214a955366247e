"""FD-mel of clips composed over a codec, beside the plainest network (one 8-bit sample after another at 8 kHz) with the same time.

Trains both on the same dataset unless their runs are there, makes clips with the same seeds, and compares them with real clips
of equal length; the floor is between two halves of the real clips. All are compared at 8 kHz too, where both can say something.

python benchmarks/audio_fd.py DATASET [--minutes 40] [--clips 60] [--seconds 4] [--folder FOLDER] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np


def real_clips(dataset: Any, count: int, seconds: float) -> list[np.ndarray]:
    """Clips [N, 1] of the whole tape, evenly spread."""
    from artgen.backends.audio.rnn.tape import Moments

    tape = Moments(dataset).tape
    size = round(seconds * tape.rate)
    return [tape.read(int(start), size) for start in np.linspace(0, tape.length - size, count)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--folder", type=Path, help="where the runs are kept; used again where they are there")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    from artgen import api
    from artgen.dataset import Dataset
    from artgen.media import audio, loudness
    from artgen.metrics import sounds

    dataset = Dataset.open(given.dataset, "audio")
    rate = int(dataset.manifest.notes["rate"])
    real = real_clips(dataset, 2 * given.clips, given.seconds)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        clips = {}
        for name in ("codec", "mulaw"):
            run = folder / name
            if not (run / "model").exists():
                api.train("audio", given.dataset, run, device="cpu", representation=name, minutes=given.minutes, previews=8)
            works = api.iter_generate("audio", model=run, seeds=range(given.clips), seconds=given.seconds, device="cpu")
            clips[name] = [audio.resample(work.samples, work.rate, rate) for work in works]  # type: ignore[attr-defined]
        for label, wanted in (("", rate), ("_8khz", 8000)):

            def features(sides: list[np.ndarray], to: int = wanted) -> np.ndarray:
                level = [loudness.normalise(audio.resample(clip.mean(1, keepdims=True), rate, to), to, -20.0) for clip in sides]
                return sounds.mel_features(level, to)

            known = features(real)
            halves = known[0::2], known[1::2]
            found[f"floor{label}"] = round(sounds.mel_distances(*halves)[0], 3)
            for name, made in clips.items():
                found[f"{name}{label}"] = round(sounds.mel_distances(halves[0], features(made))[0], 3)
            found[f"ratio{label}"] = round(found[f"codec{label}"] / found[f"mulaw{label}"], 3)
    text = json.dumps({"minutes": given.minutes, "clips": given.clips, "fd_mel": found}, indent=1)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
