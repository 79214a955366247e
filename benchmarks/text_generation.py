"""Tokens a second of every engine against Hugging Face ``generate`` on a GPT-2 of equal size, in turn; and the first token's time.

Both write greedily with random weights of the same layers, heads, width, vocabulary and context, one thread, in the order A B B A;
seconds are of the processor, so that a busy machine changes them little. For start-up whole processes are timed.

python benchmarks/text_generation.py [--tokens 200] [--runs 3] [--layers 4 --heads 4 --width 128 --context 256]
    [--no-startup] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from artgen.backends.text.transformer.build import build
from artgen.backends.text.transformer.engine import Engine, Session, open_engine
from artgen.media.tokenizer import FILE, CharTokenizer
from artgen.model import Config, Model, save_model

VOCABULARY = 85


def our_model(folder: Path, given: argparse.Namespace) -> Model:
    tokenizer = CharTokenizer("".join(map(chr, range(32, 32 + VOCABULARY - 20))))
    shape = {"layers": given.layers, "heads": given.heads, "width": given.width, "context": given.context}
    network = {**shape, "vocabulary": tokenizer.size, "pairs": tokenizer.size**2, "runs": [2**14, 2**14], "values": True,
               "tied": False, "fim": 0.1}  # fmt: skip
    torch.manual_seed(0)
    modules = build(network)
    for name, parameter in modules.named_parameters():
        if not name.endswith("mix"):
            torch.nn.init.normal_(parameter, std=0.1)
    save_model(folder, Config(artgen="0", backend="text.transformer", network=network), modules.state_dict(), "# benchmark")
    tokenizer.save(folder / FILE)
    return Model.open(folder)


def ours(engine: Engine, batch: int, count: int) -> None:
    session = Session(engine, batch)
    everyone = range(batch)
    logits, _ = session.begin([[20 + number] for number in everyone])
    for _ in range(count - 1):
        logits, _ = session.write(everyone, logits.argmax(1).tolist())


def peer(given: argparse.Namespace) -> Any:  # Any: transformers has no types
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.set_verbosity_error()
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=given.context, n_embd=given.width, n_layer=given.layers, n_head=given.heads,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


@torch.no_grad()
def theirs(model: Any, batch: int, count: int) -> None:
    begin = torch.arange(20, 20 + batch)[:, None]
    model.generate(begin, attention_mask=torch.ones_like(begin), max_new_tokens=count, min_new_tokens=count, do_sample=False,
                   use_cache=True, pad_token_id=0, eos_token_id=None)  # fmt: skip


def seconds(work: Callable[[], None]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def compare(ours_: Callable[[], None], theirs_: Callable[[], None], runs: int) -> list[float]:
    """Their time over ours, A B B A."""
    ours_()
    theirs_()
    ratios = []
    for _ in range(runs):
        a, b, c, d = seconds(ours_), seconds(theirs_), seconds(theirs_), seconds(ours_)
        ratios.append((b + c) / (a + d))
    return ratios


def process_seconds(command: list[str]) -> tuple[float, float]:
    """Processor and wall seconds of a whole process."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def startup(model: Model, runs: int) -> dict[str, float]:
    """First token from the shell against importing torch, whole processes in turn: medians of the ratios."""
    artgen = [sys.executable, "-m", "artgen", "text", "generate", "--model", str(model.folder), "--seed", "1", "--length", "1"]
    other = [sys.executable, "-c", "import torch"]
    process_seconds(artgen)
    process_seconds(other)
    ratios = []
    for _ in range(runs):
        (a, wall_a), (b, wall_b), (c, wall_c), (d, wall_d) = map(process_seconds, (artgen, other, other, artgen))
        ratios.append(((a + d) / (b + c), (wall_a + wall_d) / (wall_b + wall_c)))
    processor, wall = (statistics.median(part) for part in zip(*ratios, strict=True))
    print(f"first token from the shell: {processor:.2f} of import torch in processor time, {wall:.2f} in wall time")
    return {"processor": processor, "wall": wall, "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in {"tokens": 200, "runs": 3, "layers": 4, "heads": 4, "width": 128, "context": 256}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--no-startup", action="store_true")
    parser.add_argument("--output", type=Path, help="file for the result as JSON")
    parser.add_argument("--engines", nargs="*", default=["compiled", "numpy", "torch"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = our_model(Path(folder) / "model", given)
        other = peer(given)
        for kind in given.engines:
            engine = open_engine(model, kind, print)
            for batch in (1, 16):
                count = given.tokens if kind == "compiled" or batch == 1 else max(10, given.tokens // 10)

                def run_ours(engine: Engine = engine, batch: int = batch, count: int = count) -> None:
                    ours(engine, batch, count)

                def run_theirs(batch: int = batch, count: int = count) -> None:
                    theirs(other, batch, count)

                ratios = compare(run_ours, run_theirs, given.runs)
                speed = batch * count / min(seconds(run_ours) for _ in range(3))
                print(f"{kind:9} B={batch:2}: {statistics.median(ratios):5.2f} times Hugging Face "
                      f"({min(ratios):.2f} to {max(ratios):.2f}), {speed:7.0f} tokens a second", flush=True)  # fmt: skip
                found[f"{kind}, batch {batch}"] = {"times": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
                                                   "tokens_per_second": speed}  # fmt: skip
        if not given.no_startup:
            found["first token"] = startup(model, given.runs)
    if given.output:
        given.output.write_text(json.dumps({"settings": {**vars(given), "output": None}, "found": found}, indent=1))


if __name__ == "__main__":
    main()
