"""``audio.encodec``: neural audio codecs, alone and for what composes over their codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from artgen.artwork import Artwork, Audio
from artgen.backend import SILENT, Backend, Progress, Score
from artgen.errors import SourceError, UsageError
from artgen.media import audio
from artgen.options import Options
from artgen_transformers.codec import options as declared
from artgen_transformers.loading import Loading

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen_transformers.codec.network import Guest

BACKEND = "audio.encodec"
EXAMPLE = "facebook/encodec_24khz"

_WAYS = {
    "mr-stft": "Distance of spectra at several resolutions between sounds and what the codec makes of them.",
    "lsd": "The same distance of logarithmic spectra, in decibels.",
}


class Encodec(Backend):
    """EnCodec or DAC: a sound to a few codes a frame and back; ``audio.rnn`` composes over them with ``--codec``."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "audio"
    name: ClassVar[str] = "encodec"
    summary: ClassVar[str] = "EnCodec or DAC: your sounds through a neural codec, and its codes for audio.rnn (--codec)."
    source: ClassVar[str] = "Défossez et al. 2022, 'High Fidelity Neural Audio Compression'; Kumar et al. 2023 (DAC)"

    Modify: ClassVar[type[Options]] = declared.Modify
    Evaluate: ClassVar[type[Options]] = declared.Evaluate

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """A folder in Hugging Face layout, or a name on the Hub."""
        from artgen_transformers import places

        if place is None:
            raise places.none_given(BACKEND, EXAMPLE)
        return places.find(place, BACKEND)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """The codec that ``config`` (its own ``network``) describes, with weights still to be loaded."""
        from artgen_transformers.codec.network import Guest

        return Guest(config["kind"], config["config"], config["codebooks"])

    def codec(self, model: Model, codebooks: int) -> Any:
        """The codec, with its first ``codebooks`` codebooks or all it has, if those are fewer."""
        return open_codec(model, Loading(), None, most=codebooks)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Each sound as the codec says it, at its own rate and length; channels that the codec has not one by one."""
        codec = open_codec(model, options, options.codes, progress)
        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Audio):
                raise SourceError(f"{artwork.name or 'the input'}: encodec takes sounds, not {artwork.modality}")
            samples = artwork.samples
            whole = np.zeros_like(samples)
            parts = range(samples.shape[1]) if codec.channels == 1 else [slice(None)]
            progress.start("coding", len(parts), "channels")
            try:
                for part in parts:
                    own = samples[:, part].reshape(len(samples), -1)
                    made = _through(codec, own, artwork.rate)[: len(samples)]
                    whole[: len(made), part] = made[:, 0] if codec.channels == 1 else made
                    progress.advance()
            finally:
                progress.finish()
            yield Audio(whole.clip(-1, 1), artwork.rate, seeds=(seed,))

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """How far excerpts of the dataset are from what the codec makes of them."""
        from artgen.backends.audio.rnn.codec_task import measured, rebuilt
        from artgen.backends.audio.rnn.tape import Moments

        codec = open_codec(model, options.loading, options.codes, progress)
        moments = Moments(dataset)
        tape = moments.tape
        if (codec.rate, codec.channels) != (tape.rate, tape.channels):
            raise UsageError(
                f"{dataset.folder}: sounds of {tape.rate} Hz and {tape.channels} channels; the codec takes {codec.rate} Hz and "
                f"{codec.channels}; prepare with --rate {codec.rate}"
            )
        progress.start("rebuilding", options.items, "excerpts")
        try:
            pairs = list(rebuilt(codec, moments, options.items))  # type: ignore[arg-type]  # a codec like artgen's own
        finally:
            progress.finish()
        found = measured(pairs, list(_WAYS))
        protocol = f"artgen-rebuilt@{options.items}x4 s, {codec.codebooks} codes a frame"
        return {name: Score(value, None, "lower", _WAYS[name], protocol) for name, value in found.items()}


def open_codec(model: Model, loading: Loading, codes: int | None, progress: Progress = SILENT, *, most: int | None = None) -> Guest:
    """The codec of ``model`` with ``codes`` codebooks; with all it has, or of those ``most``, when not given.

    Raises:
        ModelError: it is no codec that can be used.
        OptionError: it has fewer codebooks.
    """
    import json

    from artgen_transformers import places
    from artgen_transformers.codec.network import KINDS, Guest
    from artgen_transformers.loading import opened

    def load(folder: Path, arguments: dict[str, Any]) -> Any:
        import transformers

        places.require_kind(model, KINDS, "EnCodec or DAC")
        return getattr(transformers, KINDS[places.kind(model)]).from_pretrained(str(folder), **arguments)

    network = opened(model, loading, progress, load)
    kind = places.kind(model)
    has = int(network.quantizer.num_quantizers if kind == "encodec" else network.config.n_codebooks)
    config = json.loads(network.config.to_json_string(use_diff=False))
    return Guest(kind, config, codes or min(has, most or has), network)


def _through(codec: Guest, samples: Any, rate: int) -> Any:
    """Samples [N, C] at ``rate`` through the codec, piece by piece."""
    from artgen.backends.audio.rnn import streams

    own = audio.mix(audio.resample(samples, rate, codec.rate), codec.channels)
    codes = streams.encoded(codec, [own])  # type: ignore[arg-type]  # a codec like artgen's own
    made = list(streams.decoded(codec, codes))  # type: ignore[arg-type]
    whole = np.concatenate([np.zeros((0, codec.channels), np.float32), *made])[: len(own)]
    return audio.mix(audio.resample(whole, codec.rate, rate), samples.shape[1])
