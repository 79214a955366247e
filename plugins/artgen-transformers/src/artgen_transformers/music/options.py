"""What ``audio.musicgen`` can be asked for."""

from __future__ import annotations

from typing import Annotated

from artgen.errors import UsageError
from artgen.options import Meta
from artgen_transformers.loading import Loading


class Composing(Loading, frozen=True, kw_only=True):
    """Options of everything that composes."""

    guidance: Annotated[
        float, Meta(ge=1, le=20, description="How closely the music keeps to prompt and melody; 1 leaves the model free.")
    ] = 3.0
    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring: 0 always takes the likeliest, 1 composes as the model learned.")
    ] = 1.0
    top_k: Annotated[int, Meta(ge=0, description="Choose among this many likeliest codes only; 0 for all.")] = 250
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Choose among the likeliest codes that together have this probability.")
    ] = 1.0


class Generate(Composing, frozen=True, kw_only=True):
    """Options of ``generate``."""

    prompt: Annotated[
        str | None, Meta(description="What the music is like: 'slow piano, rain, tape hiss'.", extra={"short": "-p"})
    ] = None
    prompts: Annotated[
        str | None, Meta(description="File with a prompt a line: one sound for each, with every seed.", extra={"file": True})
    ] = None
    melody: Annotated[
        str | None, Meta(description="File with a sound whose melody is followed; needs a melody model.", extra={"file": True})
    ] = None
    prompt_audio: Annotated[
        str | None, Meta(description="File with a sound to go on from; the work begins with it.", extra={"file": True})
    ] = None
    seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="How long the sound is; after --prompt-audio, what is added.", extra={"unit": "seconds"}),
    ] = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompts is not None:
            raise UsageError("--prompt and --prompts both say what the music is like; leave one out")


class Modify(Composing, frozen=True, kw_only=True):
    """Options of ``modify``: the melody of your sound, played anew."""

    prompt: Annotated[str | None, Meta(description="What it is played like: 'brass band, outdoors'.", extra={"short": "-p"})] = None
