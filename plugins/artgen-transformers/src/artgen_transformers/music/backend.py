"""``audio.musicgen``: music from words, along a melody, or on from a sound."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from artgen.artwork import Artwork, Audio
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import SourceError
from artgen.media import audio
from artgen.media.text import decode as read_text
from artgen.options import Options
from artgen_transformers.music import options as declared

if TYPE_CHECKING:
    from artgen.model import Model
    from artgen_transformers.music.composing import Musician, Wish

BACKEND = "audio.musicgen"
EXAMPLE = "facebook/musicgen-small"
KINDS = {"musicgen": "MusicgenForConditionalGeneration", "musicgen_melody": "MusicgenMelodyForConditionalGeneration"}

JOIN_SECONDS = 0.02


class MusicGen(Backend):
    """A Transformer over the codes of a neural codec, told what to play by words and by a melody."""

    api_version: ClassVar[int] = 1
    modality: ClassVar[str] = "audio"
    name: ClassVar[str] = "musicgen"
    summary: ClassVar[str] = "MusicGen: music from a description, along a melody, or on from your own sound."
    source: ClassVar[str] = "Copet et al. 2023, 'Simple and Controllable Music Generation'"

    Generate: ClassVar[type[Options]] = declared.Generate
    Modify: ClassVar[type[Options]] = declared.Modify

    @classmethod
    def find_model(cls, place: str | None = None) -> Model:
        """A folder in Hugging Face layout, or a name on the Hub."""
        from artgen_transformers import places

        if place is None:
            raise places.none_given(BACKEND, EXAMPLE)
        return places.find(place, BACKEND)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One sound a seed, or with ``prompts`` one a seed and prompt."""
        from artgen_transformers.music.composing import Wish, require_melody

        musician = open_musician(model, options, progress)
        if options.melody is not None:
            require_melody(musician, "--melody")
        melody = _heard(musician, options.melody, 1) if options.melody else None
        before = _heard(musician, options.prompt_audio, musician.channels) if options.prompt_audio else None
        count = round(options.seconds * musician.rate)
        for prompt in _prompts(options):
            for seed in seeds:
                work = _played(musician, Wish(prompt, melody), count, seed, options, progress, before)
                if options.prompts is not None:
                    work.options = {"prompt": prompt, "prompts": None}
                yield work

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """The melody of each sound, played anew."""
        from artgen_transformers.music.composing import Wish, require_melody

        musician = open_musician(model, options, progress)
        require_melody(musician, "modify")
        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Audio):
                raise SourceError(f"{artwork.name or 'the input'}: musicgen plays sounds anew, not {artwork.modality}")
            if not len(artwork.samples):
                raise SourceError(f"{artwork.name or 'the input'}: empty; give a sound")
            melody = audio.resample(audio.mix(artwork.samples, 1), artwork.rate, musician.rate)
            work = _played(musician, Wish(options.prompt or "", melody), len(melody), seed, options, progress)
            made = audio.mix(audio.resample(work.samples, musician.rate, artwork.rate), artwork.channels)
            whole = np.zeros_like(artwork.samples)
            whole[: len(made)] = made[: len(whole)]
            yield Audio(whole, artwork.rate, seeds=(seed,))


def open_musician(model: Model, options: Any, progress: Progress = SILENT) -> Musician:
    """The model with its tokenizer, and of a melody model what hears melodies.

    Raises:
        ModelError: it is no MusicGen, or cannot be opened.
    """
    from artgen_transformers import places
    from artgen_transformers.loading import opened, told
    from artgen_transformers.music.composing import Musician

    def load(folder: Path, arguments: dict[str, Any]) -> Any:
        import transformers

        places.require_kind(model, KINDS, "MusicGen")
        return getattr(transformers, KINDS[places.kind(model)]).from_pretrained(str(folder), **arguments)

    network = opened(model, options, progress, load)
    if "musician" not in model.cache:
        from transformers import AutoTokenizer, MusicgenMelodyFeatureExtractor

        with told(f"{model.place or model.folder}: its tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(str(model.folder), local_files_only=True, trust_remote_code=False)
            listener = None
            if places.kind(model) == "musicgen_melody":
                listener = MusicgenMelodyFeatureExtractor.from_pretrained(str(model.folder), local_files_only=True)
        model.cache["musician"] = (tokenizer, listener)
    tokenizer, listener = model.cache["musician"]  # type: ignore[misc]
    return Musician(network, tokenizer, listener)


def _prompts(options: Any) -> list[str]:
    """The prompts that are asked for, an empty one where none is.

    Raises:
        SourceError: the file of prompts holds none.
    """
    if options.prompts is None:
        return [options.prompt or ""]
    lines = [line for line in read_text(Path(options.prompts)).splitlines() if line.strip()]
    if not lines:
        raise SourceError(f"{options.prompts}: no prompt in it; write one a line")
    return lines


def _heard(musician: Musician, path: str, channels: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The sound in a file at the model's rate, float32 [N, C].

    Raises:
        SourceError: it is no sound, or an empty one.
    """
    samples, _ = audio.decode(Path(path), rate=musician.rate, channels=channels)
    if len(samples) < musician.hop:
        raise SourceError(f"{path}: shorter than {musician.hop} samples at {musician.rate} Hz; give a longer sound")
    return samples


def _played(
    musician: Musician, wish: Wish, count: int, seed: int, options: Any, progress: Progress, before: Any = None
) -> Audio:  # fmt: skip
    """A finished sound of ``count`` samples, after the sound ``before`` [N, C] where there is one."""
    from artgen.backends.audio.rnn import mastering
    from artgen_transformers.music.composing import compose

    frames = -(-count // musician.hop)
    codes = None if before is None else musician.encoded(before[-musician.longest * musician.hop :])
    moment = musician.hop / musician.rate
    progress.start("composing", frames * moment, "seconds")
    try:
        made = compose(musician, wish, frames, seed, options, before=codes, each=lambda: progress.advance(moment))
    finally:
        progress.finish()
    samples = musician.decoded(made)[:count] if codes is None else _joined(musician, before, codes, made, count)
    whole = np.concatenate(list(mastering.mastered([samples], musician.rate, musician.channels)))
    return Audio(whole, musician.rate, seeds=(seed,))


def _joined(musician: Musician, before: Any, codes: Any, made: Any, count: int) -> Any:
    """The sound as it was, then what follows: the sound as the codec has it takes over during its last moment."""
    import torch

    from artgen.media import loudness

    decoded = musician.decoded(torch.cat([codes, made], 1))
    after = len(decoded) - made.shape[1] * musician.hop
    fade = min(round(JOIN_SECONDS * musician.rate), after, len(before))
    return loudness.crossfade(before, decoded[after - fade :][: count + fade], fade)
