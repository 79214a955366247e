"""Music from MusicGen, frame by frame over its own cache: a work depends on its seed alone, bit for bit.

Source: Copet et al. 2023, "Simple and Controllable Music Generation": codebook k is written k steps late, so that one step
writes a code of every codebook; guidance is that of Ho and Salimans 2022, section 3.2.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artgen.backends.text.transformer.sampling import uniforms
from artgen.errors import UsageError
from artgen_transformers.choosing import pick
from artgen_transformers.loading import device_of
from artgen_transformers.music.options import Composing

# K codebooks (of both channels), T frames, S tokens of a prompt, H width, V codes, N samples, C channels

LONGEST_SECONDS = 30.0
"""What the models learned at once; longer music is composed in windows, each of which hears the last part of the one before."""

STRIDE = 0.6
"""The share of a window that is new."""

_CACHES = {"cache", "past_key_values"}

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Musician:
    """A model of MusicGen with what it needs: ``network``, ``tokenizer``, and of a melody model the ``listener``."""

    network: Any
    tokenizer: Any
    listener: Any = None

    @property
    def rate(self) -> int:
        """Samples a second."""
        return int(self.network.audio_encoder.config.sampling_rate)

    @property
    def hop(self) -> int:
        """Samples of a frame."""
        return int(np.prod(self.network.audio_encoder.config.upsampling_ratios))

    @property
    def channels(self) -> int:
        """One, or two for stereo models."""
        return int(self.network.decoder.config.audio_channels)

    @property
    def codebooks(self) -> int:
        """Codes a frame, of all channels."""
        return int(self.network.decoder.num_codebooks)

    @property
    def longest(self) -> int:
        """Frames of a window."""
        late = self.codebooks // self.channels
        return min(int(LONGEST_SECONDS * self.rate / self.hop), int(self.network.decoder.config.max_position_embeddings) - late)

    @property
    def device(self) -> torch.device:
        """Where the decoder is."""
        return device_of(self.network.decoder.get_input_embeddings()[0])

    @torch.inference_mode()
    def encoded(self, samples: Samples) -> Tensor:
        """Codes int64 [K, T] of samples [N, C]."""
        wave = torch.from_numpy(np.ascontiguousarray(samples.T)).to(self.device, self.network.dtype)
        parts = [self.network.audio_encoder.encode(side[None, None]).audio_codes[0, 0] for side in wave]  # each [K / C, T]
        return torch.stack(parts, 1).flatten(0, 1)  # left and right lie side by side

    @torch.inference_mode()
    def decoded(self, codes: Tensor) -> Samples:
        """Samples float32 [N, C] of codes [K, T]."""
        parts = []
        for side in range(self.channels):
            own = codes[side :: self.channels][None, None]
            parts.append(self.network.audio_encoder.decode(own, audio_scales=[None]).audio_values[0, 0])
        return torch.stack(parts, 1).float().cpu().numpy()


@dataclass(frozen=True)
class Wish:
    """What is asked of the music: a ``prompt`` (empty for none) and a ``melody`` [N, 1] at the model's rate."""

    prompt: str = ""
    melody: Samples | None = None


@torch.inference_mode()
def compose(
    musician: Musician, wish: Wish, frames: int, seed: int, options: Composing, *, before: Tensor | None = None,
    each: Callable[[], None] = lambda: None,
) -> Tensor:  # fmt: skip
    """``frames`` of codes int64 [K, frames] that follow ``before`` [K, T]; ``each`` is called for every frame."""
    draws = uniforms(seed)
    known = torch.zeros(musician.codebooks, 0, dtype=torch.long, device=musician.device) if before is None else before
    start = known.shape[1]
    keep = max(1, round((1 - STRIDE) * musician.longest))
    with _untouched():
        while known.shape[1] - start < frames:
            left = frames - (known.shape[1] - start)
            heard = known[:, -min(keep, musician.longest - 1) :] if known.shape[1] else known
            if known.shape[1] <= keep:
                heard = known
            count = min(left, musician.longest - heard.shape[1])
            offset = (known.shape[1] - heard.shape[1]) * musician.hop
            new = _window(musician, _conditions(musician, wish, options, offset), heard, count, options, draws, each)
            known = torch.cat([known, new], 1)
    return known[:, start:]


def _window(
    musician: Musician, conditions: dict[str, Any], heard: Tensor, count: int, options: Composing, draws: Iterator[float],
    each: Callable[[], None],
) -> Tensor:  # fmt: skip
    """The next ``count`` frames of codes [K, count] after ``heard`` [K, T], within what the model learned at once."""
    decoder = musician.network.decoder
    late = musician.codebooks // musician.channels
    pad = int(decoder.config.pad_token_id if decoder.config.pad_token_id is not None else decoder.config.vocab_size)
    begun = torch.cat([torch.full((musician.codebooks, 1), pad, device=heard.device), heard], 1)
    length = max(begun.shape[1] + count + late - 1, 2 * late - 1)
    ids, plan = decoder.build_delay_pattern_mask(begun, pad_token_id=pad, max_length=length)  # both [K, …]; -1 is to be written
    guided = options.guidance > 1 and conditions.pop("guided")
    conditions.pop("guided", None)
    kept: dict[str, Any] = {}
    new = ids
    while ids.shape[1] < length:
        found = decoder(input_ids=new.repeat(2, 1) if guided else new, use_cache=True, **conditions, **kept)
        kept = {name: found[name] for name in found.keys() & _CACHES}
        conditions = _later(conditions, musician)
        logits = found.logits[:, -1].float()  # [K or 2 K, V]
        if guided:
            with_, without = logits.chunk(2)
            logits = without + (with_ - without) * options.guidance
        chosen = pick(logits, [next(draws) for _ in range(musician.codebooks)], options)
        place = plan[:, ids.shape[1]]
        new = torch.where(place == -1, chosen.to(ids.device), place)[:, None]
        ids = torch.cat([ids, new], 1)
        each()
    rows = [ids[number, 1 + number // musician.channels :][: heard.shape[1] + count] for number in range(musician.codebooks)]
    return torch.stack(rows)[:, heard.shape[1] :]


def _conditions(musician: Musician, wish: Wish, options: Composing, offset: int) -> dict[str, Any]:
    """What the decoder is told, as its arguments, and whether there is anything to be ``guided`` by."""
    network = musician.network
    ids = musician.tokenizer(wish.prompt, verbose=False)["input_ids"] or [musician.tokenizer.eos_token_id or 0]
    coded = torch.tensor([ids], device=musician.device)
    mask = torch.full_like(coded, int(bool(wish.prompt)))
    told = network.text_encoder(input_ids=coded, attention_mask=torch.ones_like(coded)).last_hidden_state
    if hasattr(network, "enc_to_dec_proj"):
        told = network.enc_to_dec_proj(told)
    told = told * mask[..., None].to(told.dtype)  # [1, S, H]
    guided = bool(wish.prompt) or wish.melody is not None
    both = options.guidance > 1 and guided
    told = torch.cat([told, torch.zeros_like(told)]) if both else told
    if musician.listener is None:
        mask = torch.cat([mask, torch.zeros_like(mask)]) if both else mask
        return {"encoder_hidden_states": told, "encoder_attention_mask": mask, "guided": guided}
    return {"encoder_hidden_states": torch.cat([_chroma(musician, wish, offset, both), told], 1), "guided": guided}


def _chroma(musician: Musician, wish: Wish, offset: int, both: bool) -> Tensor:
    """The melody from sample ``offset`` on, from its beginning again after its end, as states [1 or 2, T, H]."""
    network = musician.network
    if wish.melody is None:
        features = torch.zeros(1, 1, network.config.num_chroma)
        features[..., 0] = 1
    else:
        sound = np.roll(wish.melody[:, 0], -(offset % len(wish.melody)))
        features = musician.listener(sound, sampling_rate=musician.rate, return_tensors="pt")["input_features"]
    nothing = torch.zeros_like(features)
    nothing[..., 0] = 1
    features = torch.cat([features, nothing]) if both else features
    states = network.audio_enc_to_dec_proj(features.to(musician.device, network.dtype))
    repeats = -(-network.config.chroma_length // states.shape[1])
    return states.repeat(1, repeats, 1)[:, : network.config.chroma_length]  # type: ignore[no-any-return]


def _later(conditions: dict[str, Any], musician: Musician) -> dict[str, Any]:
    """What the decoder is told from its second step on: a melody model has it all in its cache."""
    return conditions if musician.listener is None else {}


@contextlib.contextmanager
def _untouched() -> Iterator[None]:
    """Give the state of ``random`` back: the decoders draw from it for a layer drop that they do not use."""
    before = random.getstate()
    try:
        yield
    finally:
        random.setstate(before)


def require_melody(musician: Musician, what: str) -> None:
    """Hold the model to be one that hears melodies.

    Raises:
        UsageError: it is not.
    """
    if musician.listener is None:
        raise UsageError(f"{what} needs a model that hears melodies, such as facebook/musicgen-melody; give it with --model")
