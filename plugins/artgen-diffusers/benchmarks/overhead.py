"""What artgen adds to diffusers: CPU seconds of the same works made through ``artgen.generate`` and by diffusers itself.

python plugins/artgen-diffusers/benchmarks/overhead.py [--works 3] [--rounds 7] [--steps 20] [NAME ...]

Both make the same works of the same tiny pipelines, in turns, one work a call, on one thread; for each work the smallest of the
rounds counts, since other work on the machine only ever adds. "loading" is from the folder to the pipeline, with artgen's checks of
files, licence and memory, and the first work's own extra.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
warnings.simplefilter("ignore")

import numpy as np
import tiny
import tiny_moving
import torch
from diffusers import DiffusionPipeline

import artgen
from artgen import api
from artgen_diffusers.borrowed import borrowed

SETTINGS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "sd": ("image", {"prompt": "a red cat", "width": 64, "height": 64}, {}),
    "sdxl": ("image", {"prompt": "a red cat", "width": 64, "height": 64}, {}),
    "flux": ("image", {"prompt": "a red cat", "width": 64, "height": 64}, {}),
    "ddpm": ("image", {}, {}),
    "wan": ("video", {"prompt": "a red cat", "width": 32, "height": 32, "num_frames": 9}, {"num_frames": "frames"}),
    "stable_audio": ("audio", {"prompt": "a bell", "audio_end_in_s": 0.2}, {"audio_end_in_s": "seconds"}),
}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def loaded(folder: Path) -> Any:
    pipeline = DiffusionPipeline.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def content(result: Any, modality: str) -> np.ndarray:
    if modality == "audio":
        return np.asarray(result.audios[0]).T.clip(-1, 1)
    pictures = result.frames[0] if modality == "video" else result.images[0]
    return (np.asarray(pictures) * 255).round().astype(np.uint8)


def compared(name: str, folder: Path, given: argparse.Namespace) -> str:
    modality, values, names = SETTINGS[name]
    options = {names.get(key, key): value for key, value in values.items()} | {"steps": given.steps}

    def direct(pipeline: Any, seed: int) -> np.ndarray:
        settings = {**values, "num_inference_steps": given.steps, "output_type": "np"}
        return content(pipeline(**settings, generator=torch.Generator().manual_seed(seed)), modality)

    def ours(model: Any, seed: int) -> np.ndarray:
        return artgen.generate(modality, model=model, backend="diffusers", seed=seed, device="cpu", **options)[0].numpy()

    load = [timed(lambda: loaded(folder)), timed(lambda: api.choose(modality, "generate", model=str(folder), backend="diffusers"))]
    pipeline, (_, model) = load[0][1], load[1][1]
    first = timed(lambda: ours(model, 0))[0]
    plain, mine = np.full(given.works, np.inf), np.full(given.works, np.inf)
    for turn in range(given.rounds * given.works):
        seed = turn % given.works
        seconds, expected = timed(lambda seed=seed: direct(pipeline, seed))  # type: ignore[misc]
        plain[seed] = min(plain[seed], seconds)
        seconds, found = timed(lambda seed=seed: ours(model, seed))  # type: ignore[misc]
        mine[seed] = min(mine[seed], seconds)
        if not np.array_equal(expected, found):
            raise SystemExit(f"{name}: other pixels or samples than diffusers")
    whole, own = plain.sum(), mine.sum()
    loading = f"loading {load[0][0]:.2f} and {load[1][0] + first - own / given.works:.2f} s"
    return f"{name}: diffusers {whole:.3f} s, artgen {own:.3f} s: {own / whole - 1:+.1%}; {loading}; every bit the same"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", default=list(SETTINGS))
    parser.add_argument("--works", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place, borrowed():
        for name in given.name:
            folder = tiny.saved({**tiny.PICTURES, **tiny_moving.MOVING}[name](), Path(place) / name)
            print(compared(name, folder, given), flush=True)


if __name__ == "__main__":
    main()
