"""Characters of Shakespeare: `artgen text train` against the well-known small recipe for CPUs, whole processes in turn.

    python benchmarks/shakespeare.py tinyshakespeare.txt [--runs 3] [--seed 0] [--output FILE]

The peer is the nanoGPT recipe for CPUs, written plainly here: 4 layers, 4 heads, width 128, context 64, batch 12, learned
positions, LayerNorm, GELU, AdamW 1e-3 to 1e-4 along a cosine after 100 steps, 2,000 steps, no dropout, fp32. Both learn from the
first 90 % of the text; both losses are those of the whole rest, every character predicted, in windows of the training context.
The dataset is prepared once, outside the times. Times are wall-clock and, in brackets, of the processor; only ratios count.

Bars: the peer's loss in at most 1/4 of its time as a whole process and 1/7 from the first step; 1.60 in its full time.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

LAYERS, HEADS, WIDTH, CONTEXT, BATCH, STEPS, WARM = 4, 4, 128, 64, 12, 2000, 100


class Leg(NamedTuple):
    """One process: its loss, its seconds as a whole and from the first step, and the processor's seconds."""

    loss: float
    whole: float
    training: float
    processor: float


def peer(file: Path, seed: int) -> None:
    """The recipe as a script would have it; prints its loss and how long its steps took as JSON."""
    import torch
    from torch import Tensor, nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.LayerNorm(WIDTH, bias=False), nn.LayerNorm(WIDTH, bias=False)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
            self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            shape = (*x.shape[:2], HEADS, WIDTH // HEADS)
            query, key, value = (part.view(shape).transpose(1, 2) for part in self.qkv(self.first(x)).split(WIDTH, 2))
            seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
            return x + self.down(F.gelu(self.up(self.second(x))))  # type: ignore[no-any-return]

    torch.manual_seed(seed)
    text = file.read_text(encoding="utf-8")
    numbers = {character: number for number, character in enumerate(sorted(set(text)))}
    data = torch.tensor([numbers[character] for character in text])
    learned, held = data[: int(0.9 * len(data))], data[int(0.9 * len(data)) :]
    tokens, places = nn.Embedding(len(numbers), WIDTH), nn.Embedding(CONTEXT, WIDTH)
    blocks, last = nn.Sequential(*(Block() for _ in range(LAYERS))), nn.LayerNorm(WIDTH, bias=False)
    network = nn.ModuleList([tokens, places, blocks, last])
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * LAYERS) if name.endswith(("out.weight", "down.weight")) else 0.02)

    def logits(x: Tensor) -> Tensor:
        found = blocks(tokens(x) + places(torch.arange(x.shape[1])))
        return F.linear(last(found), tokens.weight)

    groups = [[p for p in network.parameters() if p.ndim > 1], [p for p in network.parameters() if p.ndim < 2]]
    told = [{"params": groups[0], "weight_decay": 0.1}, {"params": groups[1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(told, lr=1e-3, betas=(0.9, 0.99))
    started = time.perf_counter()
    for step in range(STEPS):
        fraction = (step - WARM) / (STEPS - WARM)
        rate = 1e-3 * (step + 1) / (WARM + 1) if step < WARM else 1e-4 + 0.45e-3 * (1 + math.cos(math.pi * fraction))
        for group in optimizer.param_groups:
            group["lr"] = rate
        windows = torch.stack([learned[i : i + CONTEXT + 1] for i in torch.randint(len(learned) - CONTEXT, (BATCH,)).tolist()])
        loss = F.cross_entropy(logits(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    seconds = time.perf_counter() - started
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(held) - 1, CONTEXT):
            piece = held[start : start + CONTEXT + 1]
            total += F.cross_entropy(logits(piece[None, :-1])[0], piece[1:], reduction="sum").item()
    print(json.dumps({"loss": total / (len(held) - 1), "seconds": seconds}))


def timed(command: list[str]) -> tuple[str, float, float]:
    """Standard output, wall-clock seconds and processor seconds of a process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    whole, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, whole, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_peer(file: Path, seed: int) -> Leg:
    output, whole, processor = timed([sys.executable, __file__, str(file), "--peer", str(seed)])
    told = json.loads(output.splitlines()[-1])
    return Leg(told["loss"], whole, told["seconds"], processor)


def run_artgen(dataset: Path, output: Path, seed: int, *options: str) -> Leg:
    command = [
        sys.executable,
        "-m",
        "artgen",
        "text",
        "train",
        str(dataset),
        "--output",
        str(output),
        "--seed",
        str(seed),
        "--device",
        "cpu",
        *options,
    ]
    _, whole, processor = timed(command)
    records: list[dict[str, Any]] = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    losses = [record["val/loss"] for record in records if "val/loss" in record]
    training = max(record["seconds"] for record in records if "loss/text" in record)
    return Leg(losses[-1], whole, training, processor)


def show(name: str, leg: Leg, against: Leg) -> None:
    print(
        f"  {name}: loss {leg.loss:.4f}; of the peer's time: whole {leg.whole / against.whole:.3f} "
        f"({leg.processor / against.processor:.3f}), from the first step {leg.training / against.training:.3f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="that of the first run; the others follow")
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    parser.add_argument("--peer", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.peer is not None:
        peer(chosen.text, chosen.peer)
        return
    legs: dict[str, list[tuple[Leg, Leg]]] = {"brief": [], "full": []}
    with tempfile.TemporaryDirectory() as folder:
        dataset = Path(folder) / "dataset"
        timed([sys.executable, "-m", "artgen", "text", "prepare", str(chosen.text), "--output", str(dataset)])
        for run in range(chosen.seed, chosen.seed + chosen.runs):
            print(f"seed {run}", flush=True)
            theirs = run_peer(chosen.text, run)
            print(f"  peer: loss {theirs.loss:.4f}", flush=True)
            place = Path(folder) / str(run)
            brief = run_artgen(dataset, place / "brief", run, "--minutes", f"{theirs.training / 8 / 60:.4f}")
            show("artgen, an eighth", brief, theirs)
            minutes = (theirs.whole - (brief.whole - brief.training)) * 0.98 / 60
            full = run_artgen(dataset, place / "full", run, "--minutes", f"{minutes:.4f}")
            show("artgen, all of it ", full, theirs)
            legs["brief"].append((brief, theirs))
            legs["full"].append((full, theirs))
    summary = {name: summed(pairs) for name, pairs in legs.items()}
    for name, told in summary.items():
        print(
            f"{name}: loss {told['loss']:.4f} against {told['peer_loss']:.4f}; time: whole {told['whole']:.3f}, "
            f"from the first step {told['training']:.3f}"
        )
    if chosen.output:
        every = {name: [{"artgen": ours._asdict(), "peer": theirs._asdict()} for ours, theirs in legs[name]] for name in legs}
        chosen.output.write_text(json.dumps({"summary": summary, "runs": every}, indent=1))


def summed(pairs: list[tuple[Leg, Leg]]) -> dict[str, float]:
    """Mean losses, and the median of our time over the peer's."""
    return {
        "loss": statistics.mean(ours.loss for ours, _ in pairs),
        "peer_loss": statistics.mean(theirs.loss for _, theirs in pairs),
        "whole": statistics.median(ours.whole / theirs.whole for ours, theirs in pairs),
        "training": statistics.median(ours.training / theirs.training for ours, theirs in pairs),
    }


if __name__ == "__main__":
    main()
