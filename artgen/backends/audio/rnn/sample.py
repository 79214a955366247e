"""Sounds from a trained model: composed frame by frame, decoded when they are wanted, in constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Audio
from artgen.backend import Backend, Progress
from artgen.media import audio, loudness
from artgen.model import Model
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.codec import Codec
    from artgen.backends.audio.rnn.sampler import Codes, Listener, Weights

Samples = NDArray[np.float32]

LOOP_SECONDS = 1.0
"""How long what comes after a loop's end fades into its beginning; a quarter of a short loop."""

PROMPT_SECONDS = 60.0
"""So much of the end of a prompt the network hears."""

JOIN_SECONDS = 0.02
_FRAMES = 512  # composed between two reports


class Sampling(Options, frozen=True):
    """Options of everything that composes."""

    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring: 0 always takes the likeliest, 1 composes as the model learned.")
    ] = 1.0
    top_k: Annotated[int, Meta(ge=0, description="Choose among this many likeliest codes only; 0 for all.")] = 0
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Choose among the likeliest codes that together have this probability.")
    ] = 1.0


class Generate(Sampling, frozen=True):
    """Options of ``generate``."""

    seconds: Annotated[
        float,
        Meta(gt=0, le=86_400, description="How long the sound is; after a prompt, how much is added.", extra={"unit": "seconds"}),
    ] = 10.0
    loop: Annotated[bool, Meta(description="Make a loop without a seam.")] = False
    prompt_audio: Annotated[
        str | None, Meta(description="File with a sound to go on from; the work begins with it.", extra={"file": True})
    ] = None


def generate(backend: Backend, model: Model, seeds: Sequence[int], options: Generate, progress: Progress) -> Iterator[Audio]:
    """One sound a seed, in order.

    Raises:
        SourceError: the prompt is no sound.
        ModelError: the weights are damaged.
    """
    codec, weights = opened(backend, model)
    prompt = heard(codec, weights, model, options.prompt_audio) if options.prompt_audio else None
    count = round(options.seconds * codec.rate)
    overlap = round(min(LOOP_SECONDS, options.seconds / 4) * codec.rate) if options.loop else 0
    frames = -(-(count + overlap) // codec.hop)
    progress.start("Composing", len(seeds) * frames / codec.frame_rate, "seconds")
    try:
        for seed in seeds:
            codes = composed(prompt.listener(seed) if prompt else listener(weights, seed), frames, options, codec, progress)
            make = _maker(codec, codes, count + overlap, overlap, prompt)
            yield Audio.stream(make, codec.rate, codec.channels, seeds=(seed,))
    finally:
        progress.finish()


def opened(backend: Backend, model: Model) -> tuple[Codec, Weights]:
    """The codec of an open model, and the weights of its composer; kept with it."""
    from artgen.backends.audio.rnn.sampler import weights_of

    network: Any = model.network(backend)
    if "weights" not in model.cache:
        model.cache["weights"] = weights_of(network["composer"])
    weights: Any = model.cache["weights"]
    return network["codec"], weights


def listener(weights: Weights, seed: int) -> Listener:
    """Nothing heard yet."""
    from artgen.backends.audio.rnn.sampler import Listener

    return Listener(weights, seed)


def composed(state: Listener, frames: int, options: Sampling, codec: Codec, progress: Progress) -> Codes:
    """The next ``frames`` of codes, int16 [K, frames], after what ``state`` has heard."""
    made = []
    for start in range(0, frames, _FRAMES):
        count = min(_FRAMES, frames - start)
        made.append(state.write(count, temperature=options.temperature, top_k=options.top_k, top_p=options.top_p))
        progress.advance(count / codec.frame_rate)
    return np.concatenate(made, 1)


class Prompt:
    """A sound to go on from: its ``samples`` [N, C] at the codec's rate, and the ``codes`` [K, T] of its end."""

    def __init__(self, samples: Samples, codes: Codes, weights: Weights) -> None:
        self.samples, self.codes, self._weights = samples, codes, weights

    def listener(self, seed: int) -> Listener:
        """One that has heard the prompt."""
        state = listener(self._weights, seed)
        state.read(self.codes)
        return state


def heard(codec: Codec, weights: Weights, model: Model, path: str) -> Prompt:
    """The prompt in file ``path``, at the loudness that the model learned from."""
    from artgen.backends.audio.rnn.streams import encoded

    samples, _ = audio.decode(path, rate=codec.rate, channels=codec.channels)
    wanted: Any = model.config.network.get("sound", {}).get("loudness")
    if wanted is not None:
        samples = samples * np.float32(loudness.gain_for(loudness.loudness(samples, codec.rate), wanted))
    # Whole frames that end where the sound does: what is composed follows its very last sample.
    taken = min(len(samples), round(PROMPT_SECONDS * codec.rate)) // codec.hop * codec.hop
    codes = encoded(codec, [samples[len(samples) - taken :]]) if taken else encoded(codec, [])
    return Prompt(samples, codes, weights)


def _maker(codec: Codec, codes: Codes, count: int, overlap: int, prompt: Prompt | None) -> Callable[[], Iterator[Samples]]:
    """What makes the finished samples of ``codes``, as often as it is called."""
    from artgen.backends.audio.rnn import mastering

    def make() -> Iterator[Samples]:
        raw = joined(codec, prompt, codes) if prompt else decoded(codec, codes)
        whole = count + (len(prompt.samples) if prompt else 0)
        return mastering.mastered(first(raw, whole), codec.rate, codec.channels, overlap=overlap)

    return make


def decoded(codec: Codec, codes: Codes) -> Iterator[Samples]:
    """The samples of ``codes`` [K, T] in blocks [n, C]."""
    from artgen.backends.audio.rnn import streams

    return streams.decoded(codec, codes)


def joined(codec: Codec, prompt: Prompt, codes: Codes) -> Iterator[Samples]:
    """The prompt as it was, then what follows: the prompt as the codec has it takes over during its last moment."""
    known = prompt.codes[:, -4 * codec.margin :]
    fade = min(round(JOIN_SECONDS * codec.rate), known.shape[1] * codec.hop, len(prompt.samples))
    yield prompt.samples[: len(prompt.samples) - fade]
    end = prompt.samples[len(prompt.samples) - fade :]
    skip = known.shape[1] * codec.hop - fade
    at = 0
    for block in decoded(codec, np.concatenate([known, codes], 1)):
        part = block[max(0, skip - at) :]
        place = max(0, at - skip)  # of the part, after the fade began
        at += len(block)
        if place < fade and len(part):
            shared = min(fade - place, len(part))
            rise = ((np.arange(place, place + shared) + 0.5) / fade)[:, None].astype(np.float32)
            part = np.concatenate([end[place : place + shared] * (1 - rise) + part[:shared] * rise, part[shared:]])
        if len(part):
            yield part


def first(blocks: Iterator[Samples], count: int) -> Iterator[Samples]:
    """The first ``count`` samples of ``blocks``."""
    for block in blocks:
        if count <= 0:
            return
        yield block[:count]
        count -= len(block)
