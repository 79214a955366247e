"""``artgen audio evaluate``: how well sound is rebuilt, how likely it is, and composed sound measured like real sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Audio, Image
from artgen.backend import SILENT, Backend, Progress, Score
from artgen.backends.audio.rnn import sample
from artgen.errors import UsageError
from artgen.media import audio, loudness, spectrogram
from artgen.metrics import sounds
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.tape import Moments, Tape
    from artgen.dataset import Dataset
    from artgen.model import Model

Samples = NDArray[np.float32]
Name = Literal["rebuilt", "codes", "bits", "fd", "copies"]

LEVEL = -20.0
"""LUFS at which clips are compared: how loud they are is no matter of likeness."""

_EXCERPTS = 8
_BITS_SECONDS = 60.0
_SHOWN = 12


class Evaluate(Options, frozen=True, kw_only=True):
    """The options of ``artgen audio evaluate``."""

    items: Annotated[
        int, Meta(ge=2, le=10_000, description="Clips to compose and to compare with as many real ones.", extra={"unit": "items"})
    ] = 60
    seconds: Annotated[float, Meta(ge=0.1, le=600, description="Length of each clip.", extra={"unit": "seconds"})] = 4.0
    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring of the composed clips; 1 measures the model as it is.")
    ] = 1.0  # fmt: skip
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Choose among the likeliest codes that together have this probability.")
    ] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Seed of the first clip; the others follow it.")] = 0
    metrics: Annotated[
        tuple[Name, ...],
        Meta(description="Measure only these: rebuilt, codes, bits, fd, copies; all that the model has when not given."),
    ] = ()


@dataclass
class _Case:
    """What is measured: a voice, the sounds it learned from and those held out."""

    voice: sample.Voice
    moments: Moments
    options: Evaluate
    backend: Backend
    model: Model
    progress: Progress
    _made: list[Samples] | None = None

    @property
    def held(self) -> Tape:
        """The held-out sound, or where there is none, what was learned from."""
        return self.moments.held or self.moments.tape

    def clips(self, tape: Tape, count: int) -> list[Samples]:
        """``count`` clips [N, C] of a tape, evenly spread, as the voice has them."""
        size = min(round(self.options.seconds * tape.rate), tape.length)
        starts = np.linspace(0, tape.length - size, count).astype(int)
        return [self.as_voice(tape.read(int(start), size), tape.rate) for start in starts]

    def as_voice(self, samples: Samples, rate: int) -> Samples:
        """Samples at the voice's rate with its channels."""
        return audio.resample(audio.mix(samples, self.voice.channels), rate, self.voice.rate)

    def made(self) -> list[Samples]:
        """The composed clips; made once."""
        if self._made is None:
            asked = sample.Generate(seconds=self.options.seconds, temperature=self.options.temperature, top_p=self.options.top_p)
            seeds = range(self.options.seed, self.options.seed + self.options.items)
            works = sample.generate(self.backend, self.model, seeds, asked, self.progress)
            self._made = [work.samples for work in works]
        return self._made


def evaluate(
    backend: Backend, model: Model, dataset: Dataset, options: Evaluate, progress: Progress = SILENT
) -> dict[str, Score]:  # fmt: skip
    """Every score that ``options.metrics`` asks for (all when empty), with the same of real sound.

    Raises:
        UsageError: a measure of a codec is asked of a model that has none.
        DatasetError: the dataset is damaged.
    """
    from artgen.backends.audio.rnn.tape import Moments

    case = _Case(sample.opened(backend, model), Moments(dataset), options, backend, model, progress)
    has_codec = isinstance(case.voice, sample.CodecVoice)
    wanted: tuple[str, ...] = options.metrics or tuple(name for name in _MEASURES if has_codec or name not in _OF_A_CODEC)
    if not has_codec and (refused := [name for name in wanted if name in _OF_A_CODEC]):
        raise UsageError(f"{model.name} has no codec, so --metrics {refused[0]} says nothing of it; leave it out")
    if case.moments.held is None:
        progress.say("nothing of this dataset is held out: what was learned from is measured in its place")
    scores: dict[str, Score] = {}
    for name, measure in _MEASURES.items():
        if name in wanted:
            scores |= measure(case)
    return scores


def rebuilt_scores(case: _Case) -> dict[str, Score]:
    """How far excerpts of held-out sound are from what the codec makes of them."""
    pairs = []
    for real in case.clips(case.held, _EXCERPTS):
        whole = real[: len(real) // case.voice.step * case.voice.step]
        if len(whole):
            pairs.append((whole, np.concatenate(list(case.voice.decoded(case.voice.encoded(whole))))))
    if not pairs:
        return {}
    rate = case.voice.rate
    shown = [(name, side) for pair in pairs[:6] for name, side in zip(("original", "rebuilt"), pair, strict=True)]
    sheet = Image(spectrogram.contact_sheet(shown, rate, columns=2))
    told = f"{len(pairs)} excerpts of held-out sound through the codec"
    gaps = [gap for pair in pairs if math.isfinite(gap := sounds.loudness_error(*pair, rate))]
    return {
        "mr_stft": Score(
            float(np.mean([sounds.stft_distance(*pair) for pair in pairs])), 0.0,
            description="Multi-resolution STFT distance of rebuilt sound.", protocol=told, sheet=sheet,
        ),
        "lsd": Score(
            float(np.mean([sounds.log_spectral_distance(*pair) for pair in pairs])), 0.0,
            description="Log-spectral distance of rebuilt sound, in dB.", protocol=told,
        ),
        "loudness_error": Score(
            float(np.mean(gaps)) if gaps else 0.0, 0.0, description="How far off the loudness of rebuilt sound is, in LU.",
            protocol=told,
        ),
    }  # fmt: skip


def code_scores(case: _Case) -> dict[str, Score]:
    """How much of the codebooks is in use."""
    voice = case.voice
    assert isinstance(voice, sample.CodecVoice)
    codes = np.concatenate([voice.encoded(clip) for clip in case.clips(case.held, 4 * _EXCERPTS)], 1)
    found = [sounds.code_use(book, voice.codec.size) for book in codes]
    told = f"{codes.shape[1]} frames of held-out sound, the mean of {len(codes)} codebooks of {voice.codec.size}"
    size = float(voice.codec.size)
    return {
        "perplexity": Score(
            float(np.mean([use.perplexity for use in found])), size, better="higher", protocol=told,
            description="As many equally frequent codes would be as varied.",
        ),
        "codes_used": Score(
            float(np.mean([use.share for use in found])), 1.0, better="higher", protocol=told,
            description="Share of a codebook's entries that are met.",
        ),
    }  # fmt: skip


def bit_scores(case: _Case) -> dict[str, Score]:
    """How many bits a second the network needs to tell held-out sound, and sound it learned from."""

    def bits(tape: Tape) -> float:
        count = min(tape.length, round(_BITS_SECONDS * tape.rate))
        samples = case.as_voice(tape.read((tape.length - count) // 2, count), tape.rate)
        samples = samples[: len(samples) // case.voice.step * case.voice.step]
        nats = case.voice.listener(0).read(case.voice.encoded(samples))
        return nats / math.log(2) / max(len(samples) / case.voice.rate, 1e-9)

    told = f"up to {_BITS_SECONDS:g} seconds of held-out sound; the floor is of sound that was learned from"
    return {
        "bits_per_second": Score(
            bits(case.held), bits(case.moments.tape), description="Bits that tell a second of held-out sound, given the past.",
            protocol=told,
        )
    }  # fmt: skip


def likeness_scores(case: _Case) -> dict[str, Score]:
    """The distance of composed clips from real ones on log-mel statistics."""
    rate, count = case.voice.rate, case.options.items
    made = sounds.mel_features(_levelled(case.made(), rate), rate)
    real = sounds.mel_features(_levelled(case.clips(case.moments.tape, 2 * count), rate), rate)
    first, second = real[::2], real[1::2]
    values, floors = sounds.mel_distances(first, made), sounds.mel_distances(first, second)
    told = f"{count} clips of {case.options.seconds:g} s against as many real ones, at {LEVEL:g} LUFS and {rate} Hz"
    if 2 * count * case.options.seconds > case.moments.tape.length / case.moments.tape.rate:
        told += " (the real ones overlap, as there is less sound than that: their floor is too low)"
    shown = [(f"seed {case.options.seed + number}", clip) for number, clip in enumerate(case.made()[:_SHOWN])]
    sheet = Image(spectrogram.contact_sheet(shown, rate))
    names = ("fd_mel", "kd_mel")
    means = ("Fréchet distance of log-mel statistics.", "Kernel distance of log-mel statistics.")
    return {
        name: Score(value, floor, description=meaning, protocol=told, sheet=sheet if name == "fd_mel" else None)
        for name, value, floor, meaning in zip(names, values, floors, means, strict=True)
        if math.isfinite(value)
    }


def copy_scores(case: _Case) -> dict[str, Score]:
    """How alike the composed clips are to any place of the sound that was learned from."""
    tape, rate = case.moments.tape, case.voice.rate
    look = sounds.Copies(tape.samples, tape.pieces, tape.rate)

    def highest(clips: Sequence[Samples]) -> list[sounds.Match]:
        return look.highest([audio.resample(clip, rate, tape.rate) for clip in clips])

    found = highest(case.made())
    known = [number for number, match in enumerate(found) if not math.isnan(match.value)]
    if not known:
        return {}
    worst = max(known, key=lambda number: found[number].value)
    value = found[worst].value
    floor = None
    if case.moments.held is not None:
        real = [match.value for match in highest(case.clips(case.held, min(case.options.items, 30)))]
        floor = max((value for value in real if not math.isnan(value)), default=None)
    match = found[worst]
    start = int(tape.pieces[match.piece][0]) + round(match.place * tape.rate)
    source = audio.from_pcm(np.asarray(tape.samples[start : start + tape.rate]))
    clip = case.made()[worst]
    copy = clip[round(match.start * rate) : round((match.start + 1) * rate)]
    both = np.concatenate([_mono(copy, rate), _mono(source, tape.rate)])
    return {
        "copied": Score(
            value, floor, better="near floor", description="Highest correlation of a second of a clip with the sound learned from.",
            protocol=f"{len(found)} clips, every offset, at 4 kHz; the floor is held-out sound. The sheet: clip, then its like.",
            sheet=Audio(both, 22_050),
        )
    }  # fmt: skip


_OF_A_CODEC = ("rebuilt", "codes")
_MEASURES: dict[str, Callable[[_Case], dict[str, Score]]] = {
    "rebuilt": rebuilt_scores, "codes": code_scores, "bits": bit_scores, "fd": likeness_scores, "copies": copy_scores,
}  # fmt: skip


def _levelled(clips: Sequence[Samples], rate: int) -> list[Samples]:
    return [loudness.normalise(clip, rate, LEVEL) for clip in clips]


def _mono(samples: Samples, rate: int) -> Samples:
    return audio.resample(samples.mean(1, keepdims=True, dtype=np.float32), rate, 22_050)
