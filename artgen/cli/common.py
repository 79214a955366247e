"""The flags that belong to artgen itself, declared like a backend's own, a class a command."""

from __future__ import annotations

from typing import Annotated, Literal

from artgen.options import Meta, Options

_SHORT_OUTPUT = {"short": "-o"}


_Thumbnail = Annotated[
    Literal["auto", "kitty", "iterm", "sixel", "never"] | None,
    Meta(description="Show pictures in the terminal; auto where it can, by its own kind of pictures."),
]


class Everywhere(Options, frozen=True):
    """Flags of every command."""

    json: Annotated[bool, Meta(description="Print the result (or the error) as JSON.")] = False
    debug: Annotated[bool, Meta(description="Show the traceback of an error.")] = False


class Verb(Everywhere, frozen=True):
    """Flags of every verb."""

    backend: Annotated[str | None, Meta(description="Backend by name; else the model's own, else the default.")] = None


class Device(Verb, frozen=True):
    """Flags of the verbs that compute."""

    device: Annotated[str, Meta(description="auto, cpu, cuda, cuda:NUMBER or mps.")] = "auto"


class Prepare(Verb, frozen=True):
    """Flags of ``prepare``."""

    output: Annotated[str | None, Meta(description="Folder of the new dataset; required.", extra=_SHORT_OUTPUT)] = None


class Train(Device, frozen=True):
    """Flags of ``train``."""

    output: Annotated[
        str | None, Meta(description="Folder of the run; a new one below runs/ when not given.", extra=_SHORT_OUTPUT)
    ] = None
    config: Annotated[str | None, Meta(description="TOML file of options; flags win over it.")] = None
    resume: Annotated[bool, Meta(description="Go on with the run in --output, exactly where it stopped.")] = False
    dry_run: Annotated[bool, Meta(description="Print the resolved configuration as TOML and stop.")] = False


class Works(Device, frozen=True):
    """Flags of the verbs that save works."""

    model: Annotated[str | None, Meta(description="Folder of a model or run, or a starter's name.")] = None
    output: Annotated[
        str | None,
        Meta(description="File, folder (ending in /) or pattern with {seed}, {model}, {name}.", extra=_SHORT_OUTPUT),
    ] = None
    format: Annotated[str | None, Meta(description="Kind of file in a folder, such as png, jpg, wav, flac, mp4 or gif.")] = None
    recipe: Annotated[
        Literal["full", "minimal", "none"], Meta(description="How much the file tells of its making; the AI mark always stays.")
    ] = "full"
    sign: Annotated[
        str | None, Meta(description="Certificate in PEM to sign the file with (C2PA); needs --sign-key and the extra c2pa.")
    ] = None
    sign_key: Annotated[str | None, Meta(description="Key in PEM of the certificate.")] = None
    open: Annotated[bool, Meta(description="Show the results in the system's viewer.")] = False
    thumbnail: _Thumbnail = None


class Generate(Works, frozen=True):
    """Flags of ``generate``."""

    count: Annotated[int | None, Meta(ge=1, description="How many works.", extra={"short": "-n"})] = None
    seed: Annotated[
        int | None, Meta(ge=0, le=2**63 - 1, description="Seed of the first work; the next have the next seeds. Else drawn.")
    ] = None
    seeds: Annotated[str | None, Meta(description="Seeds one by one: 0,1,4-6.")] = None
    grid: Annotated[str | None, Meta(description="One sheet of COLUMNSxROWS works, for example 4x2.")] = None


class Modify(Works, frozen=True):
    """Flags of ``modify``."""

    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Fixes every random draw.")] = 0
    compare: Annotated[bool, Meta(description="Of pictures: write a second one, before and after side by side.")] = False


class Evaluate(Device, frozen=True):
    """Flags of ``evaluate``."""

    output: Annotated[str | None, Meta(description="Folder for sheets and scores.json.", extra=_SHORT_OUTPUT)] = None


class Show(Everywhere, frozen=True):
    """Flags of ``show``."""

    picture: Annotated[
        str | None, Meta(description="Draw a sound, as waveform and spectrogram, into this picture (.png, .jpg …).")
    ] = None
    open: Annotated[bool, Meta(description="Show it in the system's viewer.")] = False
    thumbnail: _Thumbnail = None


class Replay(Everywhere, frozen=True):
    """Flags of ``replay``."""

    model: Annotated[str | None, Meta(description="Where the model is now, when it is not where the recipe says.")] = None
    device: Annotated[str, Meta(description="auto, cpu, cuda, cuda:NUMBER or mps.")] = "auto"
    output: Annotated[str | None, Meta(description="Keep the remake in this file or folder.", extra=_SHORT_OUTPUT)] = None


class Backends(Everywhere, frozen=True):
    """Flags of ``backends``."""

    modality: Annotated[str | None, Meta(description="Only those of one modality.")] = None


class Plugins(Everywhere, frozen=True):
    """Flags of ``plugin list``."""

    load: Annotated[bool, Meta(description="Import each plugin, to find those that cannot be used.")] = False


class PluginNew(Everywhere, frozen=True):
    """Flags of ``plugin new``."""

    modality: Annotated[
        str, Meta(description="What the backend makes: image, audio, text or video; with --kind wrap, image or text.")
    ] = "image"
    kind: Annotated[
        Literal["train", "wrap"],
        Meta(description="train learns from the user's own works; wrap uses a model or algorithm that is there."),
    ] = "train"
    output: Annotated[str | None, Meta(description="Folder to write into; artgen-NAME when not given.", extra=_SHORT_OUTPUT)] = None


class PluginCheck(Everywhere, frozen=True):
    """Flags of ``plugin check``."""

    only: Annotated[tuple[str, ...], Meta(description="Run this check alone; may be given several times.")] = ()
    model: Annotated[str | None, Meta(description="Model to check with, for a backend that does not train.")] = None


class PluginInstall(Everywhere, frozen=True):
    """Flags of ``plugin install``, ``plugin uninstall`` and ``plugin restore``."""

    yes: Annotated[bool, Meta(description="Do not ask.", extra={"short": "-y"})] = False
    dry_run: Annotated[bool, Meta(description="Show what would change and stop.")] = False


class Doctor(Everywhere, frozen=True):
    """Flags of ``doctor``."""

    only: Annotated[
        tuple[str, ...],
        Meta(description="Run this check alone, for example formats or devices; may be given several times."),
    ] = ()


class Models(Everywhere, frozen=True):
    """Flags of ``models``."""

    sample: Annotated[str | None, Meta(description="Make a work with each model, seed 7, into this folder.")] = None


class Found(Everywhere, frozen=True):
    """Flags that choose works of the history."""

    prompt: Annotated[str | None, Meta(description="Only works whose prompt holds these words.")] = None
    model: Annotated[str | None, Meta(description="Only works of models whose name holds this, or by the start of the sha256.")] = (
        None
    )
    seed: Annotated[int | None, Meta(ge=0, le=2**63 - 1, description="Only works of this seed.")] = None
    since: Annotated[str | None, Meta(description="Only works made from then on: 2026-11-26, today, yesterday, 3d, 12h.")] = None
    until: Annotated[str | None, Meta(description="Only works made up to then, in the same words.")] = None
    modality: Annotated[str | None, Meta(description="Only works of one modality.")] = None
    backend: Annotated[str | None, Meta(description="Only works of one backend: gan or image.gan.")] = None


class History(Found, frozen=True):
    """Flags of ``history``."""

    limit: Annotated[int, Meta(ge=1, description="How many works to list, newest first.", extra={"short": "-n"})] = 20


class HistoryReplay(Everywhere, frozen=True):
    """Flags of ``history replay``."""

    model: Annotated[str | None, Meta(description="Where the model is now, when it is not where it was.")] = None
    device: Annotated[str, Meta(description="auto, cpu, cuda, cuda:NUMBER or mps.")] = "auto"
    output: Annotated[
        str | None,
        Meta(
            description="Keep the remake in this file or folder; here, under its old name, where the file is gone.",
            extra=_SHORT_OUTPUT,
        ),
    ] = None


class HistoryForget(Everywhere, frozen=True):
    """Flags of ``history forget``."""

    all: Annotated[bool, Meta(description="Forget every work.")] = False
