"""From options and budget to the tasks of a training; a run keeps its recipe, since a resume may have another budget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from artgen import codecs
from artgen.backend import SILENT, Progress
from artgen.backends.audio.rnn import presets
from artgen.backends.audio.rnn.presets import Recipe
from artgen.errors import ModelError, OptionError, TrainingError
from artgen.files import write_atomically
from artgen.media.prepare_audio import RATES
from artgen.model import Model
from artgen.training.budget import minutes_allowed
from artgen.training.run import STATE, Run
from artgen.training.state import generations

if TYPE_CHECKING:
    from artgen.backends.audio.rnn.backend import Rnn
    from artgen.backends.audio.rnn.tape import Moments
    from artgen.training.task import Task

RECIPE = "recipe.json"
CHANNELS = {1: "mono", 2: "stereo"}


def recall(run: Run, options: Rnn.Train) -> Recipe:
    """The recipe of ``run``: the one it began with, or one that is settled and written now.

    Raises:
        TrainingError: the run goes on, but its recipe is missing or damaged.
    """
    path = run.folder / RECIPE
    if run.resume and generations(run.folder / STATE):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Recipe)
        except (OSError, msgspec.DecodeError) as error:
            raise TrainingError(f"{path}: missing or damaged ({error}); start a new run") from None
    plan = settled(options)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(plan), indent=1))
    return plan


def settled(options: Rnn.Train) -> Recipe:
    """The recipe for ``options``.

    Raises:
        OptionError: the time set apart for the codec does not go with the rest.
    """
    minutes = minutes_allowed(options)
    if options.representation == "mulaw":
        for name in ("codec", "codec_minutes", "codes"):
            if getattr(options, name) is not None:
                raise OptionError(
                    f"--{name.replace('_', '-')} is about a codec, and --representation mulaw has none; leave one out"
                )
    if options.codec_minutes is not None:
        if options.codec is not None:
            raise OptionError("--codec brings a codec that is trained, --codec-minutes trains one; leave one of them out")
        if options.minutes is None:
            raise OptionError("--codec-minutes sets a part of --minutes apart; give --minutes too")
        if options.codec_minutes >= options.minutes:
            raise OptionError(f"--codec-minutes takes less than --minutes {options.minutes:g}, not {options.codec_minutes:g}")
    return presets.recipe(options, minutes)


def told(options: Rnn.Train) -> dict[str, object]:
    """What ``options`` come to, by their names."""
    plan, minutes = settled(options), minutes_allowed(options)
    found: dict[str, object] = {"batch_size": plan.batch, "dropout": plan.dropout}
    if options.representation == "mulaw":
        return found
    if options.preset == "auto":
        found["preset"] = presets.chosen(options.preset, minutes)
    if options.codec is None:
        found["codes"] = plan.codec["codebooks"]
        if minutes is not None:
            found["codec_minutes"] = plan.share * minutes
    return found


def make_tasks(moments: Moments, options: Rnn.Train, plan: Recipe, device: str, progress: Progress = SILENT) -> list[Task]:
    """The stages for a recipe: a codec, unless one is brought, and the composer of its codes; or the plain network alone."""
    from artgen.backends.audio.rnn.codec_task import CodecTask
    from artgen.backends.audio.rnn.composer_task import ComposerTask

    sound = {"sound": {"loudness": loudness_of(moments)}}
    if options.representation == "mulaw":
        from artgen.backends.audio.rnn.plain_task import PlainTask

        return [PlainTask(moments, options, plan, {"plain": {"width": plan.composer["width"]}, **sound})]
    if options.codec is not None:
        codec, network = brought(options.codec, moments, plan.codec["codebooks"])
        whole = {"codec": network, "composer": presets.composer_network(plan, network), **sound}
        return [ComposerTask(moments, options, plan, whole, codec=codec, device=device, progress=progress)]
    network = presets.codec_network(plan, moments.tape.rate, moments.tape.channels)
    whole = {"composer": presets.composer_network(plan, network), **sound}
    return [
        CodecTask(moments, options, plan, network),
        ComposerTask(moments, options, plan, whole, codec=None, device=device, progress=progress),
    ]


def demanded(options: Rnn.Train) -> dict[str, Any]:
    """What raw sounds have to be prepared as for ``options``: like those that a codec that is brought was made for.

    Raises:
        OptionError: the options do not go together.
        ModelError: there is no such codec, or sounds cannot be prepared for it.
    """
    plan = settled(options)
    if options.codec is None:
        return {}
    network, _ = lent(options.codec, plan.codec["codebooks"])
    if network["rate"] not in RATES or network["channels"] not in CHANNELS:
        rates = f"{', '.join(map(str, RATES[:-1]))} or {RATES[-1]} Hz, mono or stereo"
        raise ModelError(f"--codec {options.codec}: it codes {_sound(network['rate'], network['channels'])}; give one of {rates}")
    return {"rate": network["rate"], "channels": CHANNELS[network["channels"]]}


def brought(place: str, moments: Moments, codebooks: int) -> tuple[Any, dict[str, Any]]:
    """The codec of the model at ``place``, for sounds like those of the tape, and its part of the network.

    It is one that artgen trained, or one of another backend, of which the first ``codebooks`` are used.

    Raises:
        ModelError: there is no such model, it is no codec, or of sounds of another rate or number of channels.
    """
    from artgen.backends.audio.rnn.codec import Codec

    network, found = lent(place, codebooks)
    _require_sound(place, network, moments)
    if not isinstance(found, Model):
        return found, network
    codec: Any = codecs.build(network) if "backend" in network else Codec(**network)
    tensors = {name.removeprefix("codec."): tensor.float() for name, tensor in found.tensors().items() if name.startswith("codec.")}
    try:
        codec.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{found.folder}: config.json and weights do not belong together ({reason})") from None
    return codec, network


def lent(place: str, codebooks: int) -> tuple[dict[str, Any], Any]:
    """What the codec at ``place`` says of itself, and the model that it is part of, or the codec where another backend brings it.

    Raises:
        ModelError: there is no such model, or it is no codec.
    """
    try:
        found = Model.open(place)
    except ModelError:
        if not any(codecs.backends()):
            raise
        guest: Any = codecs.find(place, codebooks)
        return guest.network, guest
    if found.backend != "audio.rnn" or "codec" not in found.config.network:
        raise ModelError(f"--codec {place}: a model of {found.backend} without a codec; give one that artgen audio train made")
    return found.config.network["codec"], found


def _require_sound(place: str, network: dict[str, Any], moments: Moments) -> None:
    """Hold a codec to be one of sounds like those of the tape.

    Raises:
        ModelError: it is of another rate or number of channels.
    """
    tape, rate, channels = moments.tape, network["rate"], network["channels"]
    flags = [f"--rate {rate}"] if rate != tape.rate else []
    flags += [f"--channels {CHANNELS.get(channels, channels)}"] if channels != tape.channels else []
    if flags:
        raise ModelError(
            f"--codec {place}: it codes {_sound(rate, channels)}, the dataset is {_sound(tape.rate, tape.channels)}; "
            f"prepare with {' '.join(flags)}"
        )


def _sound(rate: int, channels: int) -> str:
    return f"{rate} Hz {CHANNELS.get(channels, f'with {channels} channels')}"


def loudness_of(moments: Moments) -> float | None:
    """The loudness in LUFS that the dataset was brought to; None where files kept their own."""
    told = moments.manifest.options
    found = told.get("loudness") if told.get("normalize") == "loudness" else None
    return None if found is None else float(found)
