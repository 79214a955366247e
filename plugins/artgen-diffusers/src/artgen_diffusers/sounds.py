"""Sounds from pipelines: from words, and from the user's own sounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from artgen.artwork import Audio
from artgen.backend import Progress
from artgen.errors import UsageError
from artgen.model import Model
from artgen_diffusers import calls
from artgen_diffusers.loading import loaded, parameters
from artgen_diffusers.options import GenerateAudio, ModifyAudio

LENGTHS = ("audio_end_in_s", "audio_length_in_s", "audio_duration")
"""What pipelines call the length, in seconds."""

Samples = NDArray[np.float32]


def generate(model: Model, seeds: Sequence[int], options: GenerateAudio, progress: Progress) -> Iterator[Audio]:
    """A sound for every prompt and seed; each depends on its own seed alone, since it is made alone.

    Raises:
        OptionError: the pipeline does not know an option.
    """
    pipeline = loaded(model, options, progress, "generate", _for_sounds)
    length = _length(pipeline)
    for prompt in calls.prompts(options.prompt, options.prompts):
        more = {length: ("--seconds", options.seconds), "lyrics": ("--lyrics", options.lyrics)}
        values = calls.arguments(pipeline, options, prompt, **more)
        for seed in seeds:
            work = Audio(_made(pipeline, model, seed, progress, values), rate_of(pipeline), seeds=(seed,))
            if options.prompts:
                work.options = {"prompt": prompt, "prompts": None}
            yield work


def modify(model: Model, artwork: Audio, seed: int, options: ModifyAudio, progress: Progress) -> Audio:
    """The user's sound made anew after the prompt, in its own length, rate and channels.

    Raises:
        UsageError: the pipeline takes no sound.
    """
    import soxr

    pipeline = loaded(model, options, progress, "change", _for_sounds)
    if "initial_audio_waveforms" not in parameters(pipeline):
        raise UsageError(f"{type(pipeline).__name__} makes sounds and cannot change one; use artgen audio generate")
    rate, length = rate_of(pipeline), len(artwork.samples)
    given = soxr.resample(artwork.samples, artwork.rate, rate)
    values = calls.arguments(
        pipeline, options, options.prompt, initial_audio_waveforms=("the sound", _waveform(given, pipeline)),
        initial_audio_sampling_rate=("its rate", rate), **{_length(pipeline): ("its length", len(given) / rate)},
    )  # fmt: skip
    made = soxr.resample(_made(pipeline, model, seed, progress, values), rate, artwork.rate)
    kept = np.zeros((length, made.shape[1]), np.float32)
    kept[: min(length, len(made))] = made[:length]
    kept = kept if artwork.channels == kept.shape[1] else kept.mean(1, keepdims=True).repeat(artwork.channels, 1)
    return Audio(kept, artwork.rate, seeds=(seed,))


def rate_of(pipeline: Any) -> int:
    """The samples a second that the pipeline makes.

    Raises:
        UsageError: it does not say.
    """
    for part in (pipeline, getattr(pipeline, "vae", None), getattr(pipeline, "vocoder", None)):
        for place in (part, getattr(part, "config", None)):
            for name in ("sampling_rate", "sample_rate"):
                if isinstance(rate := getattr(place, name, None), int):
                    return rate
    raise UsageError(f"{type(pipeline).__name__} does not say its sample rate; update diffusers, or choose another model")


def _made(pipeline: Any, model: Model, seed: int, progress: Progress, values: dict[str, Any]) -> Samples:
    """Samples float32 [N, C] in -1..1; what is louder is cut off, as every player would."""
    result = calls.called(pipeline, model.name, seed, progress, {**values, "output_type": "np"})
    sound = result.audios[0]
    samples = calls.finite(np.asarray(sound.float().cpu() if isinstance(sound, torch.Tensor) else sound, np.float32), model.name)
    return np.ascontiguousarray(np.atleast_2d(samples).T.clip(-1, 1))


def _waveform(samples: Samples, pipeline: Any) -> torch.Tensor:
    """[1, C, N] with as many channels as the pipeline has."""
    config: Any = pipeline.vae.config
    channels = int(config.audio_channels) if "audio_channels" in config else samples.shape[1]
    if samples.shape[1] != channels:
        samples = samples.mean(1, keepdims=True).repeat(channels, 1)
    return torch.from_numpy(np.ascontiguousarray(samples.T))[None].to(pipeline.vae.dtype)


def _length(pipeline: Any) -> str:
    return next((name for name in LENGTHS if name in parameters(pipeline)), LENGTHS[0])


def _for_sounds(pipeline: Any) -> Any:
    if not set(LENGTHS) & parameters(pipeline).keys():
        raise UsageError(f"{type(pipeline).__name__} makes no sounds; use artgen image or video generate --backend diffusers")
    return pipeline
