"""What artgen adds to transformers: CPU seconds of the same works made through ``artgen.generate`` and by transformers itself.

python plugins/artgen-transformers/benchmarks/overhead.py [--works 3] [--rounds 7] [--tokens 180] [NAME ...]

Both make the same works of the same tiny models, in turns, one work a call, on one thread; for each work the smallest of the
rounds counts, since other work on the machine only ever adds. With ``--streamed`` transformers decodes every token for a streamer
too, as artgen always does. Tokens and codes are held to be the same: drawn ones by having transformers draw, in a call that is not
timed, with artgen's numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
warnings.simplefilter("ignore")

import numpy as np
import tiny_models
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, MusicgenForConditionalGeneration, TextStreamer
from transformers.utils import logging

import artgen
from artgen import api
from artgen.backends.text.transformer.sampling import uniforms
from artgen_transformers.music import composing

PROMPT = "Row, row, row your boat"
WAYS: dict[str, dict[str, Any]] = {"greedy": {"temperature": 0.0}, "drawn": {"temperature": 0.8, "top_p": 0.95}}
KINDS = ("gpt2", "llama", "qwen3", "musicgen")
_ENDS = {"config.json": "eos_token_id", "generation_config.json": "eos_token_id", "tokenizer_config.json": "eos_token"}

Maker = Callable[[int], Any]  # a work of a seed: its tokens [N], or its codes [K, T]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


@contextlib.contextmanager
def drawing(seed: int) -> Iterator[None]:
    """Within it ``torch.multinomial`` draws as artgen does, with the numbers of ``seed``, one a row."""
    draws = uniforms(seed)

    def drawn(likely: torch.Tensor, num_samples: int, **_: Any) -> torch.Tensor:
        heaps = likely.double().cumsum(1)
        numbers = torch.tensor([next(draws) for _ in range(len(heaps))], dtype=heaps.dtype)[:, None]
        return (heaps <= numbers * heaps[:, -1:]).sum(1, keepdim=True).clamp(max=heaps.shape[1] - 1)

    with mock.patch.object(torch, "multinomial", drawn):
        yield


def settings(options: dict[str, Any]) -> dict[str, Any]:
    """The options of artgen in the words of transformers."""
    if options["temperature"] == 0:
        return {"do_sample": False}
    return {"do_sample": True, "top_k": 0, **options}


class Shown(TextStreamer):  # type: ignore[misc]
    """A streamer that shows the text to nobody."""

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        pass


def endless(kind: str, folder: Path, vocabulary: int) -> Path:
    """A tiny language model without a token that ends a text, so that all works are of one length."""
    longest = "n_positions" if kind == "gpt2" else "max_position_embeddings"
    tiny_models.causal(kind, folder, vocab_size=vocabulary, **{longest: 1024})
    for name, key in _ENDS.items():
        told = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps({**told, key: None}))
    return folder


def texts(folder: Path, options: dict[str, Any], given: argparse.Namespace) -> tuple[Maker, Maker]:
    """What makes the tokens of a text: transformers, and artgen."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    model = api.choose("text", "generate", model=str(folder), backend="transformers")[1]

    def direct(seed: int) -> Any:
        inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
        streamer = Shown(tokenizer, skip_prompt=True) if given.streamed else None
        found = network.generate(**inputs, max_new_tokens=given.tokens, streamer=streamer, **settings(options))[0]
        tokenizer.decode(found, skip_special_tokens=True)
        return found[inputs["input_ids"].shape[1] :].numpy()

    def ours(seed: int) -> Any:
        common: dict[str, Any] = {"model": model, "backend": "transformers", "device": "cpu", "prompt": PROMPT}
        return np.array(artgen.generate("text", seed=seed, length=given.tokens, **common, **options)[0].tokens)

    return direct, ours


def sounds(folder: Path, options: dict[str, Any], given: argparse.Namespace) -> tuple[Maker, Maker]:
    """What makes the codes of a sound and the sound: transformers, and artgen, which brings it to one loudness too."""
    tokenizer, network = AutoTokenizer.from_pretrained(folder), MusicgenForConditionalGeneration.from_pretrained(folder).eval()
    model = api.choose("audio", "generate", model=str(folder), backend="musicgen")[1]
    codes: list[Any] = []
    decode, decoded = network.audio_encoder.decode, composing.Musician.decoded

    def heard(audio_codes: Any, *others: Any, **named: Any) -> Any:
        codes.append(audio_codes[0, 0].numpy())
        return decode(audio_codes, *others, **named)

    def heard_by_us(musician: Any, found: Any) -> Any:
        codes.append(found.numpy())
        return decoded(musician, found)

    def direct(seed: int) -> Any:
        inputs = tokenizer(PROMPT, return_tensors="pt", return_token_type_ids=False)
        network.generate(**inputs, max_new_tokens=given.tokens + 3, guidance_scale=3.0, **settings(options))[0].numpy()
        return codes.pop()

    def ours(seed: int) -> Any:
        common: dict[str, Any] = {"model": model, "backend": "musicgen", "device": "cpu", "prompt": PROMPT, "top_k": 0}
        artgen.generate("audio", seed=seed, seconds=given.tokens / 100, **common, **options)
        return codes.pop()

    network.audio_encoder.decode, composing.Musician.decoded = heard, heard_by_us  # type: ignore[method-assign]
    return direct, ours


def compared(kind: str, way: str, makers: tuple[Maker, Maker], given: argparse.Namespace) -> str:
    direct, ours = makers
    for seed in range(given.works):
        with drawing(seed):
            expected = direct(seed)
        if not np.array_equal(expected, ours(seed)):
            raise SystemExit(f"{kind}, {way}: other tokens than transformers")
    plain, mine = np.full(given.works, np.inf), np.full(given.works, np.inf)
    for turn in range(given.rounds * given.works):
        seed = turn % given.works
        torch.manual_seed(seed)
        plain[seed] = min(plain[seed], timed(lambda seed=seed: direct(seed))[0])  # type: ignore[misc]
        mine[seed] = min(mine[seed], timed(lambda seed=seed: ours(seed))[0])  # type: ignore[misc]
    whole, own = plain.sum(), mine.sum()
    return f"{kind}, {way}: transformers {whole:.3f} s, artgen {own:.3f} s: {own / whole - 1:+.1%}; every token the same"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", default=list(KINDS))
    parser.add_argument("--works", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=180, help="tokens of a text, frames of a sound (at most 190)")
    parser.add_argument("--vocabulary", type=int, default=tiny_models.SIZE, help="tokens that a language model can choose among")
    parser.add_argument("--streamed", action="store_true", help="have transformers decode every token too")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as place:
        for kind in given.name:
            folder = (
                tiny_models.musicgen(Path(place) / kind)
                if kind == "musicgen"
                else endless(kind, Path(place) / kind, given.vocabulary)
            )
            for way, options in WAYS.items():
                makers = (sounds if kind == "musicgen" else texts)(folder, options, given)
                print(compared(kind, way, makers, given), flush=True)


if __name__ == "__main__":
    main()
