"""Do pictures of `image.dalle` show what their captions say? Held-out captions, judged by a small classifier of pictures and texts.

    python plugins/artgen-diffusers/benchmarks/dalle_captions.py RUN DATASET [--captions 20] [--seed 0] [--judge-steps 1500]
        [--candidates 4] [--guidance 3] [--output FILE] [--sheet FILE.png]

RUN was trained on DATASET with `--held-out`: neither of its stages has seen the held-out captions or their pictures. 20 of them are
drawn by lot, one picture each (of `--candidates`, by the model's own choice). The judge is a convolutional network for pictures
and a bag of words for captions with one space for both, trained here by contrast on every real pair of the dataset, the held-out
ones too: it must know what is asked for. It ranks all different captions of the dataset by likeness with each picture.
Told are how often the right caption is among the first 10 %, the same for the real held-out pictures (what the judge can do), and
for the drawn pictures with captions exchanged (chance).

Bar: 14 of 20. Radford et al. 2021, "Learning transferable visual models from natural language supervision", is the judge's model.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen import api
from artgen.artwork import Image, grid
from artgen.dataset import Dataset
from artgen.model import Model
from artgen.nn.augment import DRAWS, augment
from artgen.nn.pixels import to_signal
from artgen_diffusers.dalle.captions import captions_of

WIDTH, SPACE, BATCH = 64, 128, 256


class Judge(nn.Module):
    """Pictures [B, 3, H, W] and bags of words [B, V] as unit vectors of one space."""

    def __init__(self, words: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 3
        for outside in (WIDTH, 2 * WIDTH, 3 * WIDTH, 4 * WIDTH):
            layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.GroupNorm(8, outside), nn.SiLU(), nn.AvgPool2d(2)]
            inside = outside
        self.eye = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(SPACE))
        self.ear = nn.Sequential(nn.Linear(words, 256), nn.SiLU(), nn.Linear(256, SPACE))
        self.scale = nn.Parameter(torch.tensor(2.5))

    def see(self, pictures: Tensor) -> Tensor:
        return F.normalize(self.eye(pictures), dim=1)

    def hear(self, bags: Tensor) -> Tensor:
        return F.normalize(self.ear(bags), dim=1)


def bags_of(captions: list[str]) -> Tensor:
    """Words of captions as rows of ones, scaled to length 1."""
    words = {word: number for number, word in enumerate(sorted({word for caption in captions for word in caption.split()}))}
    bags = torch.zeros(len(captions), len(words))
    for row, caption in zip(bags, captions, strict=True):
        for word in caption.split():
            row[words[word]] = 1.0
    return F.normalize(bags, dim=1)


def train(pixels: Any, which: list[int], bags: Tensor, steps: int, device: torch.device) -> Judge:
    """A judge of pictures uint8 [N, H, W, 3] whose captions are the rows ``which`` of ``bags``."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    pictures, rows = to_signal(torch.from_numpy(np.array(pixels))).to(device), torch.tensor(which)
    bags = bags.to(device)
    judge = Judge(bags.shape[1]).to(device)
    judge.see(pictures[:2])
    optimizer = torch.optim.AdamW(judge.parameters(), lr=1e-3, weight_decay=0.05)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 50) * (1 - step / steps)
        batch = torch.randint(len(rows), (BATCH,), generator=generator)
        numbers = torch.rand(BATCH, DRAWS, generator=generator).to(device)
        seen = augment(pictures[batch.to(device)], numbers, torch.tensor(0.3, device=device))
        if step % 2:  # pictures of a model are a little softer than real ones
            seen = F.avg_pool2d(F.pad(seen, (0, 1, 0, 1), mode="replicate"), 2, 1)
        given = rows[batch]
        heard = F.dropout(bags[given.to(device)], 0.2)
        alike = judge.see(seen) @ judge.hear(heard).T * judge.scale.exp()
        # Pictures of one caption are right for each other.
        same = (given[:, None] == given[None]).float().to(device)
        target = same / same.sum(1, keepdim=True)
        loss = (F.cross_entropy(alike, target) + F.cross_entropy(alike.T, target)) / 2
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"judge: step {step} of {steps}, loss {loss.item():.3f}", flush=True)
    return judge.eval()


@torch.no_grad()
def ranks(judge: Judge, pictures: Tensor, right: list[int], bags: Tensor) -> list[int]:
    """The place, from 0, of the right caption of every picture among all."""
    alike = judge.see(pictures) @ judge.hear(bags).T
    return [int((row > row[number]).sum()) for row, number in zip(alike, right, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--captions", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the lot and of the pictures")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--candidates", type=int)
    parser.add_argument("--judge-steps", type=int, default=1500, help="350 will do on a CPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    parser.add_argument("--sheet", type=Path, help="picture with the real pictures above and the drawn ones below")
    given = parser.parse_args()
    device = torch.device("cuda" if given.device == "auto" and torch.cuda.is_available() else "cpu")
    dataset, model = Dataset.open(given.dataset, "image"), Model.open(given.run)
    captions = captions_of(dataset)
    different = sorted(set(captions))
    place = {caption: number for number, caption in enumerate(different)}
    asked = random.Random(given.seed).sample(sorted(set(model.config.network["held_out"]) & set(different)), given.captions)
    started = time.perf_counter()
    options = {name: getattr(given, name) for name in ("guidance", "candidates") if getattr(given, name) is not None}
    drawn = [
        api.generate("image", model=model, prompt=caption, seed=given.seed + number, device=str(device), **options)[0]
        for number, caption in enumerate(asked)
    ]
    drawing = time.perf_counter() - started
    bags = bags_of(different)
    judge = train(dataset.array("images"), [place[caption] for caption in captions], bags, given.judge_steps, device)
    real = [Image(np.array(dataset.array("images")[captions.index(caption)])) for caption in asked]
    right, bags = [place[caption] for caption in asked], bags.to(device)

    def signal(works: list[Any]) -> Tensor:
        return to_signal(torch.from_numpy(np.stack([work.pixels for work in works]))).to(device)

    limit = len(different) / 10
    found = {
        "drawn": ranks(judge, signal(drawn), right, bags),
        "real": ranks(judge, signal(real), right, bags),
        "exchanged": ranks(judge, signal(drawn), right[1:] + right[:1], bags),
    }
    hits = {name: sum(rank < limit for rank in each) for name, each in found.items()}
    for number, caption in enumerate(asked):
        print(f"{caption}: place {found['drawn'][number] + 1} of {len(different)}, the real picture {found['real'][number] + 1}")
    print(f"among the first 10 % ({limit:.0f} of {len(different)} captions): {hits['drawn']} of {len(asked)} drawn pictures, "
          f"{hits['real']} real ones, {hits['exchanged']} with captions exchanged; {drawing:.1f} s for drawing")  # fmt: skip
    if given.sheet:
        grid([*real, *drawn], len(asked), 2).save(given.sheet, overwrite=True)
    if given.output:
        told = {"captions": asked, "of": len(different), "hits": hits, "ranks": found, "options": options}
        given.output.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
