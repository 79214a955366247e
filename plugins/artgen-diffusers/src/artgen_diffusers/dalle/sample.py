"""Pictures from a trained model, code by code: a work depends on its seed alone, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artgen.artwork import Image
from artgen.backend import Backend, Progress
from artgen.errors import ModelError
from artgen.media.tokenizer import open_tokenizer
from artgen.model import Model
from artgen.nn.pixels import to_pixels
from artgen.options import nearest
from artgen_diffusers.dalle import captions as wording
from artgen_diffusers.dalle.codec import DiscreteVAE
from artgen_diffusers.dalle.painter import Painter, Sitting

if TYPE_CHECKING:
    from artgen_diffusers.dalle.options import Generate

MICRO_BATCH = 8
"""Networks always run on this many pictures at once, the last ones padded: then the batch cannot change the bits."""


class Studio:
    """A model's networks and words, ready to draw; kept with the open model."""

    def __init__(self, model: Model, backend: Backend) -> None:
        network = model.network(backend)
        codec, painter = network.get_submodule("codec"), network.get_submodule("painter")
        assert isinstance(codec, DiscreteVAE)
        assert isinstance(painter, Painter)
        self.codec, self.painter = codec, painter
        self.tokenizer = open_tokenizer(model.folder)
        wanted = painter.words.num_embeddings
        if self.tokenizer.size != wanted:
            raise ModelError(
                f"{model.folder}: tokenizer.json has {self.tokenizer.size} tokens, the network {wanted}; restore the file"
            )
        self.words = wording.read_vocabulary(model.file(wording.WORDS))
        self.device = torch.device(model.device)

    @classmethod
    def of(cls, model: Model, backend: Backend) -> Studio:
        """The studio of an open model, made at its first use."""
        if "studio" not in model.cache:
            model.cache["studio"] = cls(model, backend)
        found = model.cache["studio"]
        assert isinstance(found, cls)
        return found

    def caption(self, prompt: str | None, progress: Progress) -> Tensor:
        """The ids int64 [T] of a prompt; says which of its words the model has never read."""
        words = wording.normalised(prompt or "").split()
        known = set(self.words)
        for word in dict.fromkeys(words):
            if word not in known:
                progress.say(f"the model has never read the word {word!r}{nearest(word, self.words)}")
        ids = wording.encode(self.tokenizer, words, self.painter.length)
        if words and len(self.tokenizer.encode("".join(f" {word}" for word in words))) > self.painter.length:
            progress.say(f"the prompt is longer than the {self.painter.length} tokens that the model reads: its end does not count")
        return torch.from_numpy(ids)

    def pictures(self, seeds: Sequence[int], options: Generate, progress: Progress) -> Iterator[Image]:
        """One picture a seed."""
        caption = self.caption(options.prompt, progress)
        jobs = [(seed, number) for seed in seeds for number in range(options.candidates)]
        count = self.painter.edge**2
        best: tuple[float, NDArray[np.uint8]] | None = None
        progress.start("drawing", len(jobs), "pictures")
        for start in range(0, len(jobs), MICRO_BATCH):
            part = jobs[start : start + MICRO_BATCH]
            numbers = torch.stack([numbers_of(seed, candidate, count) for seed, candidate in part])
            pixels, fits = self.draw(caption, numbers, options)
            progress.advance(len(part))
            for (seed, candidate), picture, fit in zip(part, pixels, fits, strict=True):
                if best is None or fit > best[0]:
                    best = (fit, picture)
                if candidate == options.candidates - 1:
                    yield Image(best[1], seeds=(seed,))
                    best = None
        progress.finish()

    def draw(self, caption: Tensor, numbers: Tensor, options: Generate) -> tuple[NDArray[np.uint8], list[float]]:
        """Pictures uint8 [B, H, W, 3] for one caption and numbers [B, N], and how well each fits it."""
        rows = len(numbers)
        padded = torch.cat([numbers, numbers[-1:].expand(MICRO_BATCH - rows, -1)])
        captions = caption.to(self.device).expand(MICRO_BATCH, -1)
        codes, fits = draw(
            self.painter, captions, padded, temperature=options.temperature, top_k=options.top_k, top_p=options.top_p,
            guidance=options.guidance,
        )  # fmt: skip
        return to_pixels(self.codec.decode(codes))[:rows], fits[:rows].tolist()


def numbers_of(seed: int, candidate: int, count: int) -> Tensor:
    """The uniform numbers float64 [count] that candidate ``candidate`` of a seed draws, one a code."""
    drawn = np.random.Generator(np.random.Philox(key=[seed, candidate])).random(count)
    return torch.from_numpy(drawn)


@torch.no_grad()
def draw(
    painter: Painter, captions: Tensor, numbers: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
    guidance: float = 1.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Codes int64 [B, N] for captions [B, T] from uniform numbers [B, N], and how much each caption explains its picture [B].

    With guidance g the logits are ``free + g (told - free)``, told with the caption and free without.
    The fit is the mean over the codes of ``log p(code | caption) - log p(code)``, in nats.
    Source: Ho and Salimans 2022, "Classifier-free diffusion guidance"; for codes, Gafni et al. 2022, "Make-A-Scene".
    """
    size = len(captions)
    sitting = Sitting(painter, torch.cat([captions, torch.zeros_like(captions)]))
    fits = torch.zeros(size, dtype=torch.float64)
    for place in range(painter.edge**2):
        both = sitting.logits().double().cpu()
        told, free = both[:size], both[size:]
        codes = choose(free + guidance * (told - free), numbers[:, place], temperature, top_k, top_p)
        picked = codes[:, None]
        fits += (told.log_softmax(1).gather(1, picked) - free.log_softmax(1).gather(1, picked))[:, 0]
        sitting.write(torch.cat([codes, codes]).to(captions.device))
    return sitting.codes()[:size], fits / painter.edge**2


def choose(logits: Tensor, numbers: Tensor, temperature: float, top_k: int, top_p: float) -> Tensor:
    """One code a row [B] of logits float64 [B, V]: the likeliest at temperature 0, else the one where ``numbers`` [B] falls."""
    if temperature == 0:
        return logits.argmax(1)
    ordered, order = logits.sort(dim=1, descending=True, stable=True)
    chances = (ordered / temperature).softmax(1)
    if top_k:
        chances[:, top_k:] = 0.0
    if top_p < 1:
        chances = torch.where(chances.cumsum(1) - chances < top_p * chances.sum(1, keepdim=True), chances, 0.0)
    sums = chances.cumsum(1)
    place = (sums <= numbers[:, None] * sums[:, -1:]).sum(1).clamp(max=logits.shape[1] - 1)
    return order.gather(1, place[:, None])[:, 0]
