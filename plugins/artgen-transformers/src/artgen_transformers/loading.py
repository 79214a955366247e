"""Opening models of transformers: number format, place, compressed weights; every way it can fail is a sentence."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from artgen import hub
from artgen.backend import Progress
from artgen.errors import ArtgenError, ModelError, UsageError
from artgen.hub.licences import require_commercial
from artgen.hub.memory import loaded_bytes
from artgen.model import Model
from artgen.options import Meta, Options

if TYPE_CHECKING:
    import torch

Network = Any  # transformers has no types that would help here
DType = Literal["auto", "fp32", "bf16", "fp16"]
Offload = Literal["none", "auto", "disk"]
Quantise = Literal["none", "int8", "int4"]

_ROOM = 1.1  # memory beside the weights themselves
_CHATTY = ("bitsandbytes.autograd._functions", "bitsandbytes.backends.cpu.ops")
"""Loggers that warn with every token and every layer that numbers are turned into 16 bits, which is what was asked for, and of a
kernel that would be fetched from elsewhere."""


class Loading(Options, frozen=True, kw_only=True):
    """How a model is loaded: options that every verb of this package shares."""

    dtype: Annotated[
        DType, Meta(description="Number format of the weights; auto is fp32 on a CPU, and what the file holds on a GPU.")
    ] = "auto"
    offload: Annotated[
        Offload,
        Meta(
            description="auto spreads the model over all GPUs and what does not fit over main memory, disk over a disk too: "
            "slower, but it fits."
        ),
    ] = "none"
    quantise: Annotated[
        Quantise, Meta(description="Compress the weights while loading: int8 takes a quarter of fp32's memory, int4 an eighth.")
    ] = "none"
    commercial_only: Annotated[bool, Meta(description="Refuse a model whose licence does not allow commercial use.")] = False


def opened(model: Model, options: Loading, progress: Progress, load: Callable[[Path, dict[str, Any]], Network]) -> Network:
    """The network of an open model, loaded at its first use and kept with it; ``load`` takes folder and arguments.

    Raises:
        ModelError: the folder is damaged, or transformers cannot open it.
        UsageError: it does not fit into memory, its licence is not allowed, or a package is missing.
    """
    key = f"network {options.dtype} {options.offload} {options.quantise} {model.device}"
    if isinstance(model, hub.HubModel):
        model.accept(progress, commercial_only=options.commercial_only)
        model.fetch(progress)
    elif options.commercial_only:
        require_commercial(model.name, model.config.licence)
    if key not in model.cache:
        model.cache[key] = _load(model, options, load)
    return model.cache[key]


def _load(model: Model, options: Loading, load: Callable[[Path, dict[str, Any]], Network]) -> Network:
    import torch

    for name in _CHATTY:
        logging.getLogger(name).addFilter(_grave)  # the same one twice is one
    _check_memory(model, options)
    arguments = {**_format(options, model.device), "local_files_only": True, "use_safetensors": True}
    if options.offload != "none":
        arguments["device_map"] = "auto"
    folder = tempfile.mkdtemp(prefix="artgen-offload-") if options.offload == "disk" else ""
    if folder:
        arguments["offload_folder"] = folder
    try:
        # Weights are drawn before those of the file replace them, which must not move the caller's random numbers.
        with told(model.place or str(model.folder)), torch.random.fork_rng(devices=[]):
            network = load(model.folder, arguments)
            network.eval().requires_grad_(False)
            if "device_map" not in arguments:
                network.to(model.device)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    if folder:  # which goes with the network that reads from it
        weakref.finalize(network, shutil.rmtree, folder, ignore_errors=True)
    return network


def _format(options: Loading, device: str) -> dict[str, Any]:
    import torch

    formats: dict[str, Any] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    auto: torch.dtype | str = torch.float32 if device == "cpu" else "auto"
    arguments: dict[str, Any] = {"dtype": formats.get(options.dtype, auto)}
    if options.quantise != "none":
        arguments |= {"quantization_config": quantisation(options.quantise, arguments["dtype"]), "device_map": {"": device}}
    return arguments


def device_of(part: Any) -> torch.device:
    """Where ``part`` of a network with a ``weight`` computes; its weight may wait on a disk, and then is nowhere."""
    import torch

    found: torch.device = part.weight.device
    return torch.device(part._hf_hook.execution_device) if found.type == "meta" else found


def quantisation(kind: Quantise, dtype: torch.dtype | str) -> Any:
    """What transformers takes to compress weights with bitsandbytes.

    Raises:
        UsageError: bitsandbytes is not installed.
    """
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(
            f"--quantise {kind} needs the package bitsandbytes; install it with: pip install 'artgen-transformers[quantised]'"
        )
    import torch
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = dtype if isinstance(dtype, torch.dtype) else torch.bfloat16
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)


def _grave(record: logging.LogRecord) -> bool:
    """Whether a remark is more than a warning."""
    return record.levelno > logging.WARNING


def _check_memory(model: Model, options: Loading) -> None:
    """Hold the weights to fit before any of them is read."""
    if options.offload != "none":
        return
    each = {"int8": 1.0, "int4": 0.5}.get(options.quantise) or {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0}.get(options.dtype)
    if each is None and model.device == "cpu":
        each = 4.0
    paths = sorted(model.folder.glob("*.safetensors"))
    weights = loaded_bytes(paths, 1) * each if each else loaded_bytes(paths)
    advice = "give --dtype bf16 (half the memory), --quantise int4, or --offload auto or disk, or choose a smaller model"
    hub.require_memory(int(weights * _ROOM), model.device, model.name, advice)


@contextlib.contextmanager
def told(place: str) -> Iterator[None]:
    """Keep remarks and bars of transformers to itself, and turn what goes wrong into a sentence.

    Raises:
        ModelError: transformers cannot open the model at ``place``.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            yield
    except ArtgenError:
        raise
    except ImportError as error:
        raise ModelError(f"{place}: needs a package that is not installed ({first_line(error)})") from None
    except (OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError, SafetensorError) as error:
        raise ModelError(
            f"{place}: transformers cannot open it ({first_line(error)}); restore it or choose another model"
        ) from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Leave the settings of transformers as they were, and let it say nothing meanwhile."""
    import warnings

    from tqdm.std import tqdm
    from transformers.utils import logging as theirs

    settings: Any = theirs  # its functions have no annotations
    before, shown, watched = settings.get_verbosity(), settings.is_progress_bar_enabled(), tqdm.monitor_interval
    spread = logging.getLogger("accelerate")  # says of a model that is spread over a disk that it is
    propagated, spread.propagate = spread.propagate, False
    spread.addHandler(nowhere := logging.NullHandler())
    settings.set_verbosity(50)
    settings.disable_progress_bar()
    tqdm.monitor_interval = 0  # a bar that is not shown would leave a thread that watches it
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        settings.set_verbosity(before)
        spread.propagate = propagated
        spread.removeHandler(nowhere)
        tqdm.monitor_interval = watched
        if shown:
            settings.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """What an error says, in one line and without a full stop."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].strip().rstrip(".:")
