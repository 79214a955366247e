"""Changed versions of a user's own sounds: gone on with, a span replaced, restyled, mixed with another, stretched, transposed.

A work keeps its rate, channels and loudness; what the change does not reach stays as it is, sample for sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Artwork, Audio
from artgen.backend import Backend, Progress
from artgen.backends.audio.rnn import sample
from artgen.errors import OptionError, SourceError, UsageError
from artgen.media import audio, loudness
from artgen.model import Model
from artgen.options import Meta

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.codec import Codec

Samples = NDArray[np.float32]

_WAYS = ("continue_", "inpaint", "restyle", "mix")
_FLAGS = "--continue SECONDS, --inpaint FROM-TO, --restyle, --mix FILE, or --stretch and --pitch"
_FADE = 0.02  # seconds over which old and new sound share a place, and over which an end fades
_BEGIN = 0.005  # seconds over which a beginning does: longer would take an onset away
_WINDOW = 2048  # librosa's: shorter sounds are filled with silence meanwhile
_AHEAD = 2.0  # seconds after a gap that tell how well a filling leads on
_SPAN = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)s?\s*-\s*(\d+(?:\.\d*)?|\.\d+)s?\s*")


class Modify(sample.Sampling, frozen=True):
    """Options of ``modify``: ``continue``, ``inpaint``, ``restyle``, ``mix``, or ``stretch`` and ``pitch`` say what is done."""

    continue_: Annotated[
        float | None, Meta(gt=0, le=86_400, description="Go on with the sound for this long.", extra={"unit": "seconds"})
    ] = None
    inpaint: Annotated[str | None, Meta(description="Replace this span by something new, for example 2.0-3.5 in seconds.")] = None
    restyle: Annotated[
        bool, Meta(description="Play the sound through this model's codec, its finest codes composed anew by --strength.")
    ] = False
    mix: Annotated[
        str | None, Meta(description="Blend with the sound in this file, in the latent space of the codec.", extra={"file": True})
    ] = None
    stretch: Annotated[float, Meta(ge=0.1, le=10, description="Make the sound this many times as long, at its pitch.")] = 1.0
    pitch: Annotated[
        float, Meta(ge=-36, le=36, description="Move the pitch, at its length.", extra={"unit": "semitones"})
    ] = 0.0  # fmt: skip
    strength: Annotated[
        float, Meta(ge=0, le=1, description="With --restyle the share of codes composed anew, with --mix the part of the other.")
    ] = 0.5
    candidates: Annotated[
        int, Meta(ge=1, le=256, description="Fillings to compose with --inpaint; the one that leads on best is kept.")
    ] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inpaint is not None:
            span_of(self.inpaint)

    @property
    def way(self) -> str:
        """What is done: ``continue``, ``inpaint``, ``restyle``, ``mix`` or ``bend``.

        Raises:
            UsageError: none of them is asked for, or several.
        """
        asked = [name.rstrip("_") for name in _WAYS if getattr(self, name) not in (None, False)]
        bends = [name for name, usual in (("stretch", 1.0), ("pitch", 0.0)) if getattr(self, name) != usual]
        if not asked and not bends:
            raise UsageError(f"say what to do with the sound: {_FLAGS}")
        if len(asked) + bool(bends) > 1:
            told = " and ".join(f"--{name}" for name in (*asked, *bends))
            raise UsageError(f"{told} contradict each other; give one of {_FLAGS}")
        return asked[0] if asked else "bend"


def span_of(text: str) -> tuple[float, float]:
    """The seconds that ``2.0-3.5`` names.

    Raises:
        OptionError: it names no span.
    """
    match = _SPAN.fullmatch(text)
    if not match or float(match[1]) >= float(match[2]):
        raise OptionError(f"--inpaint takes a span such as 2.0-3.5, from the first second to the last, not {text or 'nothing'}")
    return float(match[1]), float(match[2])


def modify(
    backend: Backend, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Modify, progress: Progress
) -> Iterator[Audio]:
    """A changed version of each sound.

    Raises:
        UsageError: not exactly one way is asked for, or the model has no codec for it.
        OptionError: a span lies beyond the end of a sound.
        SourceError: a work is no sound or empty, or the sound to mix with is none.
    """
    way = options.way
    voice = sample.opened(backend, model)
    if way not in ("continue", "bend") and isinstance(voice, sample.PlainVoice):
        raise UsageError(f"{model.name} has no codec, which --{way} needs; --continue works with it")
    level: Any = model.config.network.get("sound", {}).get("loudness")
    for artwork, seed in zip(artworks, seeds, strict=True):
        name = artwork.name or "the input"
        if not isinstance(artwork, Audio):
            raise SourceError(f"{name}: rnn modifies sounds, not {artwork.modality}")
        if not len(artwork.samples):
            raise SourceError(f"{name}: empty; use artgen audio generate to compose without a sound")
        made = getattr(_Desk(voice, options, level, seed, name, progress), way if way != "continue" else "go_on")(artwork)
        yield Audio(made, artwork.rate, seeds=(seed,))


class _Desk:
    """One sound being changed."""

    def __init__(
        self, voice: sample.Voice, options: Modify, level: float | None, seed: int, name: str, progress: Progress
    ) -> None:  # fmt: skip
        self.voice, self.options, self.level, self.seed, self.name, self.progress = voice, options, level, seed, name, progress

    # --- what can be done

    def go_on(self, work: Audio) -> Samples:
        """The sound, then what the model composes after it."""
        voice, rate = self.voice, work.rate
        seconds = self.options.continue_ or 0.0
        count = sample.counted("--continue", seconds, rate)
        heard, gain = self._heard(work)
        codes = voice.encoded(sample.ending(heard, voice))
        state = voice.listener(self.seed)
        state.read(codes)
        self.progress.start("Composing", seconds, "seconds")
        steps = voice.steps(round(seconds * voice.rate) + 1) + 1
        new = sample.composed(state, steps, self.options, sample.resting(self.options, voice), self.progress, seconds)
        self.progress.finish()
        known = codes[..., -4 * voice.margin :]
        made = self._own(voice.decoded(np.concatenate([known, new], -1)), work, gain)
        end = round(known.shape[-1] * voice.step * rate / voice.rate)
        fade = min(round(_FADE * rate), end, len(work.samples))
        tail = loudness.fade(made[end - fade : end + count], rate, 0.0, 0.03)
        return loudness.crossfade(work.samples, tail, fade)

    def inpaint(self, work: Audio) -> Samples:
        """The sound with a span of it composed anew; nothing outside the span changes."""
        voice, rate = self.voice, work.rate
        assert isinstance(voice, sample.CodecVoice)
        begin, end = span_of(self.options.inpaint or "")
        if end > len(work.samples) / rate + 1e-9:
            told = f"{int(1000 * len(work.samples) / rate) / 1000:.3f}"  # never rounded up: it is to be typed
            raise OptionError(f"--inpaint {self.options.inpaint}: {self.name} is {told} seconds long; give a span within 0-{told}")
        start, stop = round(begin * rate), min(round(end * rate), len(work.samples))
        if start == stop:
            raise OptionError(f"--inpaint {self.options.inpaint}: no sample of {self.name} lies in it; give a longer span")
        heard, gain = self._heard(work)
        codes = voice.encoded(heard)
        first = min(int(begin * voice.rate / voice.step), codes.shape[1] - 1)
        last = max(first + 1, min(codes.shape[1], -(-round(end * voice.rate) // voice.step)))
        codes = codes.copy()
        codes[:, first:last] = self._filling(codes, first, last)
        low, high = max(0, first - 2 * voice.margin), min(codes.shape[1], last + 2 * voice.margin)
        made = self._own(voice.decoded(codes[:, low:high]), work, gain)
        offset = round(low * voice.step * rate / voice.rate)
        piece = _exactly(made[start - offset : stop - offset], stop - start)
        # Old and new share a moment inside the span alone: outside every sample stays.
        fade = min(round(_FADE * rate), (stop - start) // 2)
        before, after = work.samples[start : start + fade], work.samples[stop - fade : stop]
        piece = loudness.crossfade(before, piece, fade, equal_power=True) if start else piece
        piece = loudness.crossfade(piece, after, fade, equal_power=True) if stop < len(work.samples) else piece
        piece = _ended(piece, work, begin=start == 0, end=stop == len(work.samples))
        return np.concatenate([work.samples[:start], np.clip(piece, -1, 1), work.samples[stop:]])

    def restyle(self, work: Audio) -> Samples:
        """The sound as this model's codec says it, the finest codes drawn anew: all of the last codebooks, some of one more."""
        voice = self.voice
        assert isinstance(voice, sample.CodecVoice)
        heard, gain = self._heard(work)
        codes = voice.encoded(heard)
        drawn = self.options.strength * len(codes)
        random = np.random.Generator(np.random.Philox(key=[self.seed, 1]))
        chance = np.clip(drawn - np.arange(len(codes))[::-1], 0, 1)  # of each codebook, the coarsest first
        asked = np.where(random.random(codes.shape) < chance[:, None], -1, codes).astype(np.int16)
        options = self.options
        filled = voice.listener(self.seed).fill(
            asked, temperature=options.temperature, top_k=options.top_k, top_p=options.top_p
        )  # fmt: skip
        return self._alike(voice.decoded(filled), work, gain)

    def mix(self, work: Audio) -> Samples:
        """The sound blended with another one in the latent space of the codec; a shorter other one comes again."""
        from artgen.backends.audio.rnn import streams

        voice = self.voice
        assert isinstance(voice, sample.CodecVoice)
        heard, gain = self._heard(work)
        other, rate = sample.told(self.options.mix or "", self.progress, channels=voice.channels)
        against, _ = self._heard(Audio(other, rate))
        if not len(against):
            raise SourceError(f"{self.options.mix}: empty; give a sound to mix with")
        against = np.resize(against, heard.shape)  # from its front again where it ends
        one, two = (_latents(voice.codec, side) for side in (heard, against))
        blended = one + self.options.strength * (two - one)
        return self._alike(streams.sounded(voice.codec, blended), work, gain)

    def bend(self, work: Audio) -> Samples:
        """The sound at another length and pitch, by librosa's phase vocoder."""
        self.progress.start("stretching or transposing")  # librosa's first use on a machine compiles for seconds
        from librosa import effects

        made = _exactly(work.samples, max(len(work.samples), _WINDOW)).T
        if self.options.pitch:
            made = effects.pitch_shift(made, sr=work.rate, n_steps=self.options.pitch)
        if self.options.stretch != 1:
            made = effects.time_stretch(made, rate=1 / self.options.stretch)
        self.progress.finish()
        count = max(1, round(len(work.samples) * self.options.stretch))
        return _level(_exactly(np.ascontiguousarray(made.T, np.float32), count), work)

    # --- between the user's sound and the voice

    def _heard(self, work: Audio) -> tuple[Samples, float]:
        """The sound as the voice hears it, and by how much it was made louder for that."""
        samples = audio.resample(audio.mix(work.samples, self.voice.channels), work.rate, self.voice.rate)
        gain = 1.0
        if self.level is not None:
            gain = loudness.gain_for(loudness.loudness(samples, self.voice.rate), self.level)
        return samples * np.float32(gain), gain

    def _own(self, blocks: Iterable[Samples], work: Audio, gain: float) -> Samples:
        """Samples of the voice at the rate, channels and level of the work."""
        made = np.concatenate([np.zeros((0, self.voice.channels), np.float32), *blocks])
        made = (made / np.float32(gain)).astype(np.float32)
        return _safe(audio.mix(audio.resample(made, self.voice.rate, work.rate), work.samples.shape[1]), work.rate)

    def _alike(self, blocks: Iterable[Samples], work: Audio, gain: float) -> Samples:
        """As :meth:`_own`, as long and as loud as the work."""
        return _level(_exactly(self._own(blocks, work, gain), len(work.samples)), work)

    def _filling(self, codes: sample.Codes, first: int, last: int) -> sample.Codes:
        """Of several fillings the one after which what follows is most likely, besides being likely itself."""
        voice = self.voice
        assert isinstance(voice, sample.CodecVoice)
        after = codes[:, last : last + round(_AHEAD * voice.rate / voice.step)]
        best: tuple[float, sample.Codes] | None = None
        self.progress.start("Composing", self.options.candidates, "fillings")
        for number in range(self.options.candidates):
            state = voice.listener(self.seed, number)
            state.read(codes[:, :first])
            before = state.nats
            options = self.options
            filling = state.write(
                last - first, temperature=options.temperature, top_k=options.top_k, top_p=options.top_p
            )  # fmt: skip
            state.read(after)
            if best is None or state.nats - before < best[0]:
                best = (state.nats - before, filling)
            self.progress.advance()
        self.progress.finish()
        assert best is not None
        return best[1]


def _latents(codec: Codec, samples: Samples) -> Any:
    import torch

    from artgen.backends.audio.rnn import streams

    return torch.cat(list(streams.latents(codec, [samples])))


def _exactly(samples: Samples, count: int) -> Samples:
    """The first ``count`` samples, with silence where there are fewer."""
    return np.pad(samples[:count], ((0, max(0, count - len(samples))), (0, 0)))


def _level(made: Samples, work: Audio) -> Samples:
    """``made`` [N, C] as loud as the work."""
    wanted = loudness.loudness(work.samples, work.rate)
    gain = loudness.gain_for(loudness.loudness(made, work.rate), wanted)
    return _safe(_ended(made * np.float32(gain), work), work.rate)


def _ended(made: Samples, work: Audio, *, begin: bool = True, end: bool = True) -> Samples:
    """``made`` [N, C] faded at each end where it is louder than the work, so that it clicks nowhere where the work did not."""
    own = work.samples
    begin = begin and np.abs(made[0]).max() > np.abs(own[0]).max()
    end = end and np.abs(made[-1]).max() > np.abs(own[-1]).max()
    return loudness.fade(made, work.rate, _BEGIN if begin else 0.0, _FADE if end else 0.0)


def _safe(samples: Samples, rate: int) -> Samples:
    """Samples [N, C], turned down around peaks over full scale."""
    if not len(samples):
        return samples
    return np.concatenate(list(loudness.limited([samples], rate, samples.shape[1], 0.0, true=False)))
