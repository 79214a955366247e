"""What a dream costs: CPU seconds of ``image.deepdream`` on one picture at default settings, on one thread.

python benchmarks/deepdream.py [--edge 512] [--runs 1] [--layer LAYER] [--model MODEL]
"""

from __future__ import annotations

import argparse
import time

import numpy as np


def picture(edge: int) -> np.ndarray:
    """Something of every size, as in a photograph: clouds whose power falls with the square of their frequency."""
    random = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(edge), np.fft.fftfreq(edge)))
    frequency[0, 0] = 1
    waves = np.fft.fft2(random.normal(size=(3, edge, edge))) / frequency
    clouds = np.fft.ifft2(waves).real
    clouds = (clouds - clouds.min()) / (clouds.max() - clouds.min())
    return (clouds.transpose(1, 2, 0) * 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=512)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--layer")
    parser.add_argument("--model")
    given = parser.parse_args()
    import torch

    import artgen
    from artgen.artwork import Image

    torch.set_num_threads(1)
    mine = Image(picture(given.edge), name="clouds.png")
    for _ in range(given.runs):
        cpu, wall = time.process_time(), time.perf_counter()
        artgen.modify("image", mine, backend="deepdream", model=given.model, layer=given.layer, device="cpu")
        told = f"{time.process_time() - cpu:.1f} CPU seconds, {time.perf_counter() - wall:.1f} seconds on the clock"
        print(f"{given.edge}x{given.edge}: {told}")


if __name__ == "__main__":
    main()
