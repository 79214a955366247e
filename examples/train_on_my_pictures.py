"""Train a model on a folder of pictures and make new ones with it, all from Python.

    python examples/train_on_my_pictures.py                                          # the sample tiles, two minutes
    python examples/train_on_my_pictures.py my/pictures --minutes 30 --output art/mine

Run it again with the same ``--output`` and a longer ``--minutes``: it goes on where it was.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import artgen
from artgen.dataset import is_dataset

TILES = Path(__file__).resolve().parent / "data" / "tiles"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train on a folder of pictures and make new ones.")
    parser.add_argument("pictures", nargs="?", default=TILES, type=Path)
    parser.add_argument("--output", default=Path("art/tiles"), type=Path)
    parser.add_argument("--resolution", default=32, type=int)
    parser.add_argument("--minutes", default=2.0, type=float)
    parser.add_argument("--steps", type=int, help="a budget in steps instead of minutes")
    asked = parser.parse_args(words)

    folder, run = asked.output / "dataset", asked.output / "run"
    dataset = (
        artgen.Dataset.open(folder)
        if is_dataset(folder)
        else artgen.prepare("image", asked.pictures, folder, resolution=asked.resolution)
    )
    print(f"{len(dataset)} pictures in {len(dataset.classes) or 'no'} classes, {len(dataset.manifest.skipped)} skipped")

    budget: dict[str, Any] = {"steps": asked.steps} if asked.steps else {"minutes": asked.minutes}
    if (run / "config.toml").is_file():
        model = artgen.train("image", output=run, resume=True, **budget)
    else:
        model = artgen.train("image", folder, run, preset="sketch", batch_size=16, **budget)
    print(f"the best model is in {model.folder}")

    for work in artgen.generate("image", model=model, n=8, seed=0, truncation=0.7):
        print(work.save(asked.output / f"new-{work.seeds[0]}.png"))


if __name__ == "__main__":
    main()
