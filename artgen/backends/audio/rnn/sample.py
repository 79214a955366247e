"""Sounds from a trained model: composed frame by frame, decoded when they are wanted, in constant memory."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Audio
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import OptionError
from artgen.media import audio, loudness
from artgen.model import Model
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.codec import Codec
    from artgen.backends.audio.rnn.plain_sampler import Writer
    from artgen.backends.audio.rnn.sampler import Listener, Weights

Samples = NDArray[np.float32]
Codes = NDArray[Any]
"""Codes int16 [K, T] of a codec, or levels uint8 [N]."""

LOOP_SECONDS = 1.0
"""How long what comes after a loop's end fades into its beginning; a quarter of a short loop."""

PROMPT_SECONDS = 60.0
"""So much of the end of a prompt the network hears."""

JOIN_SECONDS = 0.02
REPORTS = 50
"""How often progress is told of while a work is composed."""


class Sampling(Options, frozen=True):
    """Options of everything that composes."""

    rest: Annotated[
        float,
        Meta(
            ge=0, le=3600, extra={"unit": "seconds"},
            description="How long a sound may stand still, as in silence, before something new begins; 0: for as long as it does.",
        ),
    ] = 0.5  # fmt: skip
    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring: 0 always takes the likeliest, 1 composes as the model learned.")
    ] = 1.0
    top_k: Annotated[int, Meta(ge=0, description="Choose among this many likeliest codes only; 0 for all.")] = 0
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Choose among the likeliest codes that together have this probability.")
    ] = 0.95


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
        OptionError: it is to be shorter than a sample.
        SourceError: the prompt is no sound.
        ModelError: the weights are damaged.
    """
    voice = opened(backend, model)
    count = counted("--seconds", options.seconds, voice.rate)
    prompt = heard(voice, model, options.prompt_audio, progress) if options.prompt_audio else None
    overlap = round(min(LOOP_SECONDS, options.seconds / 4) * voice.rate) if options.loop else 0
    steps = voice.steps(count + overlap)
    if not compiled(voice.kernel):
        progress.say("compiling what composes, once on this machine")
    progress.start("Composing", len(seeds) * options.seconds, "seconds")
    try:
        for seed in seeds:
            state = voice.listener(seed)
            if prompt:
                state.read(prompt.codes)
            codes = composed(state, steps, options, resting(options, voice), progress, options.seconds)
            yield Audio.stream(_maker(voice, codes, count + overlap, overlap, prompt), voice.rate, voice.channels, seeds=(seed,))
    finally:
        progress.finish()


def counted(flag: str, seconds: float, rate: int) -> int:
    """The samples in ``seconds`` at ``rate`` Hz.

    Raises:
        OptionError: not even one, of what ``flag`` asks for.
    """
    count = round(seconds * rate)
    if not count:
        raise OptionError(f"{flag} {seconds:g}: shorter than one sample at {rate} Hz; give at least {1 / rate:.2g} seconds")
    return count


class CodecVoice:
    """A codec and a composer of its codes."""

    kernel = "kernel.composed"

    def __init__(self, codec: Codec, weights: Weights) -> None:
        self.codec, self.weights = codec, weights
        self.rate, self.channels, self.step, self.margin = codec.rate, codec.channels, codec.hop, codec.margin

    def steps(self, count: int) -> int:
        """Frames that hold ``count`` samples."""
        return -(-count // self.step)

    def listener(self, seed: int, stream: int = 0) -> Listener:
        """Nothing heard yet; each ``stream`` of a seed draws other numbers."""
        from artgen.backends.audio.rnn.sampler import Listener

        return Listener(self.weights, seed, stream)

    def encoded(self, samples: Samples) -> Codes:
        """The codes [K, T] of samples [T * step, C]."""
        from artgen.backends.audio.rnn import streams

        return streams.encoded(self.codec, [samples] if len(samples) else [])

    def decoded(self, codes: Codes) -> Iterator[Samples]:
        """The samples of codes [K, T] in blocks [n, C]."""
        from artgen.backends.audio.rnn import streams

        return streams.decoded(self.codec, codes)


class PlainVoice:
    """The plain network: its codes are samples of 8 bits."""

    kernel = "plain_kernel.written"
    channels, step, margin = 1, 1, 1024

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self._weights = weights
        self.rate = plain_rate()

    def steps(self, count: int) -> int:
        """A code a sample."""
        return count

    def listener(self, seed: int) -> Writer:
        """Nothing heard yet."""
        from artgen.backends.audio.rnn.plain_sampler import Writer

        return Writer(self._weights, seed)

    def encoded(self, samples: Samples) -> Codes:
        """The levels [N] of samples [N, 1]."""
        from artgen.backends.audio.rnn import plain

        return plain.compress(samples[:, 0])

    def decoded(self, codes: Codes) -> Iterator[Samples]:
        """The samples of levels [N] in blocks [n, 1]."""
        from artgen.backends.audio.rnn import plain

        for start in range(0, len(codes), 2**16):
            yield plain.expand(codes[start : start + 2**16])[:, None]


Voice = CodecVoice | PlainVoice
"""How a model sounds: what goes between samples and the codes that it composes, ``step`` samples each."""


def plain_rate() -> int:
    """Samples a second of the plain network."""
    from artgen.backends.audio.rnn import plain

    return plain.RATE


def resting(options: Sampling, voice: Voice) -> int:
    """Codes for which a sound may stand still; 0 for any number."""
    return max(1, round(options.rest * voice.rate / voice.step)) if options.rest else 0


def compiled(kernel: str) -> bool:
    """Whether the machine code of a function (``module.function`` beside this file) is kept already."""
    module, _, name = kernel.partition(".")
    function: Any = getattr(importlib.import_module(f"artgen.backends.audio.rnn.{module}"), name)
    place = function.stats.cache_path
    return bool(function.signatures) or bool(place and any(Path(place).glob(f"{module}.{name}-*.nbi")))


def opened(backend: Backend, model: Model) -> Voice:
    """What an open model composes with; kept with it.

    Raises:
        ModelError: the weights are damaged, or do not fit the configuration.
    """
    if "voice" not in model.cache:
        model.cache["voice"] = _voice(model.network(backend))
    voice: Any = model.cache["voice"]
    return voice  # type: ignore[no-any-return]  # what was put there above


def _voice(network: Any) -> Voice:
    if "plain" in network:
        from artgen.backends.audio.rnn import plain

        return PlainVoice(plain.weights_of(network["plain"]))
    from artgen.backends.audio.rnn.sampler import weights_of

    return CodecVoice(network["codec"], weights_of(network["composer"]))


def composed(
    state: Listener | Writer, steps: int, options: Sampling, rest: int = 0, progress: Progress = SILENT, seconds: float = 0.0
) -> Codes:  # fmt: skip
    """The next codes [..., steps] after what ``state`` has heard, which stand still for ``rest`` of them at most.

    ``progress`` advances by ``seconds`` in all.
    """
    made, size = [], max(1, -(-steps // REPORTS))
    for start in range(0, steps, size):
        count = min(size, steps - start)
        part = state.write(count, temperature=options.temperature, top_k=options.top_k, top_p=options.top_p, rest=rest)
        made.append(part)
        progress.advance(seconds * count / steps)
    return np.concatenate(made, -1)


class Prompt:
    """A sound to go on from: its ``samples`` [N, C] at the model's rate, and the ``codes`` [..., T] of its end."""

    def __init__(self, samples: Samples, codes: Codes) -> None:
        self.samples, self.codes = samples, codes


def heard(voice: Voice, model: Model, path: str, progress: Progress) -> Prompt:
    """The prompt in file ``path``, at the loudness that the model learned from.

    Raises:
        SourceError: it is no sound.
    """
    samples = told(path, progress, rate=voice.rate, channels=voice.channels)[0]
    wanted: Any = model.config.network.get("sound", {}).get("loudness")
    if wanted is not None:
        samples = samples * np.float32(loudness.gain_for(loudness.loudness(samples, voice.rate), wanted))
    return Prompt(samples, voice.encoded(ending(samples, voice)))


def told(path: str, progress: Progress, *, channels: int, rate: int | None = None) -> tuple[Samples, int]:
    """The samples of a file that an option names, and their rate; what is odd about it is said.

    Raises:
        SourceError: it is no sound.
    """
    remarks: list[str] = []
    found = audio.decode(path, rate=rate, channels=channels, remarks=remarks)
    for remark in remarks:
        progress.say(f"{path}: {remark}")
    return found


def ending(samples: Samples, voice: Voice) -> Samples:
    """What the network hears of ``samples`` [N, C]: whole frames that end where the sound does, so that it goes on from there.

    A sound that is shorter than a frame has silence before it.
    """
    taken = min(len(samples), round(PROMPT_SECONDS * voice.rate)) // voice.step * voice.step
    if taken or not len(samples):
        return samples[len(samples) - taken :]
    return np.pad(samples, ((voice.step - len(samples), 0), (0, 0)))


def _maker(
    voice: Voice, codes: Codes, count: int, overlap: int, prompt: Prompt | None
) -> Callable[[], Iterator[Samples]]:  # fmt: skip
    """What makes the finished samples of ``codes``, as often as it is called."""
    from artgen.backends.audio.rnn import mastering

    def make() -> Iterator[Samples]:
        raw = joined(voice, prompt, codes) if prompt else voice.decoded(codes)
        whole = count + (len(prompt.samples) if prompt else 0)
        return mastering.mastered(first(raw, whole), voice.rate, voice.channels, overlap=overlap)

    return make


def joined(voice: Voice, prompt: Prompt, codes: Codes) -> Iterator[Samples]:
    """The prompt as it was, then what follows: the prompt as the model has it takes over during its last moment."""
    known = prompt.codes[..., -4 * voice.margin :]
    fade = min(round(JOIN_SECONDS * voice.rate), known.shape[-1] * voice.step, len(prompt.samples))
    yield prompt.samples[: len(prompt.samples) - fade]
    end = prompt.samples[len(prompt.samples) - fade :]
    skip = known.shape[-1] * voice.step - fade
    at = 0
    for block in voice.decoded(np.concatenate([known, codes], -1)):
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
