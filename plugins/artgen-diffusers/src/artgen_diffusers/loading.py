"""From a model to a pipeline that is ready to run: what fits, number format, offloading, scheduler, LoRA."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch

from artgen.backend import Progress
from artgen.errors import ArtgenError, ModelError, OptionError, UsageError
from artgen.hub import HubModel, memory, require_memory
from artgen.model import WEIGHTS, Model
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.options import Loading, Prompted
from artgen_diffusers.places import pipeline_at

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "dpm++-karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "dpm++-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "flow-dpm++": ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    "flow-euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow-heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "flow-unipc": ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    "heun": ("HeunDiscreteScheduler", {}),
    "kdpm2": ("KDPM2DiscreteScheduler", {}),
    "kdpm2-a": ("KDPM2AncestralDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
"""The names of ``--scheduler``, with diffusers' class and what is set there."""

_SPARE = 1.1  # what is needed beside the weights, at the least
_UNETS = ("StableDiffusion", "LatentConsistency", "Kandinsky", "DDPM", "DDIM")  # made for fp16; what came later is made for bf16


def loaded(model: Model, options: Loading, progress: Progress, purpose: str, convert: Callable[[Any], Any]) -> Any:
    """The pipeline of ``model``, as ``convert`` turns it for ``purpose``; kept with the model, so that it is loaded once.

    Raises:
        UsageError: it does not fit, its licence is refused, or the options do not fit it.
        ModelError: it is damaged or of a kind that this version of diffusers does not know.
    """
    lora = (getattr(options, "lora", ()), getattr(options, "lora_scale", ()))
    switches = (options.offload, options.attention_slicing, options.vae_slicing, options.vae_tiling)
    base = _base_of(model)
    if isinstance(base, HubModel):
        base.accept(progress, commercial_only=options.commercial_only)
    elif options.commercial_only:
        raise UsageError(f"{model.name}: it states no licence; leave --commercial-only out if the pictures behind it are yours")
    # What lies in main memory until it is used hangs on the pipeline that uses it; otherwise all purposes share the parts of one.
    alone = purpose if options.offload != "none" else ""
    key = (dtype_of(options, base, model.device), model.device, lora, switches, alone)
    if model.cache.get("key") != key:
        for part in ("whole", "turned"):
            model.cache.pop(part, None)  # two at once may not fit
        with told(model.name), borrowed():
            whole = _built(model, base, options, progress)
            _add_loras(whole, model, options)
            turned = convert(whole)
            _switch(turned, model.device, options)
        model.cache.update(key=key, whole=whole, turned={purpose: turned}, schedulers={None: getattr(whole, "scheduler", None)})
    turned = cast(dict[str, Any], model.cache["turned"])
    if purpose not in turned:
        with told(model.name), borrowed():
            turned[purpose] = convert(model.cache["whole"])
    fresh = cast(dict[str | None, Any], model.cache["schedulers"])
    name: str | None = getattr(options, "scheduler", None)
    if name is not None and name not in fresh:
        with borrowed():
            fresh[name] = _scheduler(turned[purpose], fresh[None], name)
    if fresh[name] is not None:
        turned[purpose].scheduler = copy.deepcopy(fresh[name])  # as a call finds it: a scheduler counts its steps
    return turned[purpose]


def parameters(pipeline: Any) -> dict[str, inspect.Parameter]:
    """What a call of the pipeline takes, by name."""
    kind: Any = type(pipeline)
    return _parameters(kind)


@cache
def _parameters(kind: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(kind.__call__).parameters)


def dtype_of(options: Loading, model: Model, device: str) -> torch.dtype:
    """The number format that the weights get."""
    if options.dtype != "auto":
        return DTYPES[options.dtype]
    if device == "cpu":
        return torch.float32  # 16 bits are not faster on most CPUs, and several layers lack them
    if str(model.config.network.get("class", "")).startswith(_UNETS) or device == "mps":
        return torch.float16
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@contextlib.contextmanager
def told(name: str) -> Iterator[None]:
    """Turn what a pipeline says of its arguments, or a machine of its memory, into one sentence.

    Raises:
        UsageError: the pipeline refuses, or memory is short.
    """
    try:
        yield
    except (ArtgenError, NotImplementedError):
        raise
    except torch.OutOfMemoryError:
        advice = "give --offload model, --vae-tiling, --dtype fp16 or a smaller size"
        raise UsageError(f"{name}: the memory of the GPU is not enough; {advice}") from None
    except (ValueError, TypeError, RuntimeError, KeyError, OSError, AttributeError, ImportError, AssertionError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        if "unsupported ScalarType BFloat16" in line:  # NumPy, in which the oldest pipelines end, has no bf16
            raise UsageError(f"{name}: this pipeline cannot give its work out in bf16; give --dtype fp16 or fp32") from None
        raise UsageError(f"{name}: the pipeline says: {line}; --debug shows where") from error


def _base_of(model: Model) -> Model:
    """The pipeline that a LoRA trained by artgen lies on, else the model itself.

    Raises:
        ModelError: it is not where it was.
    """
    if model.config.network.get("kind") != "lora":
        return model
    if "base" not in model.cache:
        network = model.config.network
        for place in (network["base_path"], network["base"]):
            with contextlib.suppress(ModelError):
                model.cache["base"] = pipeline_at(place, model.backend)
                break
        else:
            raise ModelError(f"{model.folder}: the pipeline {network['base']} that this LoRA was trained for is gone; restore it")
    base = model.cache["base"]
    assert isinstance(base, HubModel)
    model.provenance = {f"base_{name}": value for name, value in {**base.provenance, "sha256": base.sha256}.items()}
    return base


def _built(model: Model, base: Model, options: Loading, progress: Progress) -> Any:
    if not isinstance(base, HubModel):
        from artgen_diffusers.scratch import pipeline_of

        return pipeline_of(model, dtype_of(options, base, model.device))
    dtype = dtype_of(options, base, model.device)
    _require_fit(base, options, dtype, model.device)
    base.fetch(progress)
    _require_fit(base, options, dtype, model.device)
    progress.start(f"loading {base.name}")
    try:
        return from_folder(base, dtype)
    finally:
        progress.finish()


def from_folder(model: HubModel, dtype: torch.dtype) -> Any:
    """The pipeline of a fetched model as diffusers loads it: safetensors alone, no code, no network.

    Raises:
        ModelError: this version of diffusers does not know its class.
    """
    import diffusers

    kind = model.config.network["class"]
    if not hasattr(diffusers, kind):
        raise ModelError(f"{model.name}: its pipeline {kind} is not one of diffusers {diffusers.__version__}; update diffusers")
    # The decoder of Wan loses too much in 16 bits, and is small.
    dtypes = {"default": dtype, "vae": torch.float32} if kind.startswith("Wan") else dtype
    pipeline = getattr(diffusers, kind).from_pretrained(
        model.folder, torch_dtype=dtypes, variant=model.variant or None, use_safetensors=True, local_files_only=True,
    )  # fmt: skip
    encoder = getattr(pipeline, "text_encoder", None)
    if hasattr(encoder, "final_layer_norm") and not hasattr(encoder, "text_model"):
        # diffusers looks for the last norm in a part that transformers 5 merged with the whole. Past nn.Module, which would
        # take it for a part of itself.
        object.__setattr__(encoder, "text_model", encoder)
    return pipeline


def _require_fit(model: HubModel, options: Loading, dtype: torch.dtype, device: str) -> None:
    """Say what will not fit: before the download by the size of the files, then by what is in them.

    Raises:
        UsageError: main memory or that of the GPU is too small.
    """
    each = torch.empty((), dtype=dtype).element_size()
    parts: dict[str, int] = {}
    for name in model.needed:
        if name.endswith(".safetensors"):
            # Before the download the files may hold numbers of 32 bits that become 16: the least is counted.
            size = (
                model.files[name] // (2 if each == 2 else 1) if model.remote else memory.loaded_bytes([model.folder / name], each)
            )
            parts[name.partition("/")[0]] = parts.get(name.partition("/")[0], 0) + size
    whole = round(sum(parts.values()) * _SPARE)
    if device == "cpu" or options.offload != "none":
        advice = "give --dtype bf16 or a smaller model" if each == 4 else "close other programs, or give a smaller model"
        require_memory(whole, "cpu", model.name, advice)
    if device != "cpu" and options.offload != "sequential":
        at_once = max(parts.values()) if options.offload == "model" else sum(parts.values())
        advice = "give --offload sequential" if options.offload == "model" else "give --offload model or --dtype fp16"
        require_memory(round(at_once * _SPARE), device, model.name, advice)


def _add_loras(pipeline: Any, model: Model, options: Loading) -> None:
    own = [(model.folder / WEIGHTS, 1.0)] if model.config.network.get("kind") == "lora" else []
    given = options if isinstance(options, Prompted) else Prompted()
    scales = given.lora_scale + (1.0,) * len(given.lora)
    files = own + [(Path(path), scale) for path, scale in zip(given.lora, scales, strict=False)]
    if not files:
        return
    if not hasattr(pipeline, "load_lora_weights"):
        raise OptionError(f"--lora: {type(pipeline).__name__} takes no LoRA; leave it out")
    for number, (path, _) in enumerate(files):
        if path.suffix != ".safetensors":
            raise OptionError(f"--lora {path}: only .safetensors files are read (others can run code when they are opened)")
        _add_lora(pipeline, path, f"lora{number}")
    pipeline.set_adapters([f"lora{number}" for number in range(len(files))], [scale for _, scale in files])


def _add_lora(pipeline: Any, path: Path, name: str) -> None:
    """Load a LoRA file.

    Raises:
        UsageError: it is damaged, or made for another kind of pipeline.
    """
    from safetensors import SafetensorError

    try:
        pipeline.load_lora_weights(path.parent, weight_name=path.name, adapter_name=name, local_files_only=True)
    except SafetensorError as error:
        raise UsageError(f"--lora {path}: damaged ({error}); fetch or restore the file") from None
    except (ValueError, RuntimeError, KeyError, IndexError, AttributeError, OSError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        kind = type(pipeline).__name__
        raise UsageError(f"--lora {path}: does not fit {kind} ({line}); give one made for this kind of model") from error
    if name not in {adapter for adapters in pipeline.get_list_adapters().values() for adapter in adapters}:
        raise UsageError(f"--lora {path}: holds no LoRA for {type(pipeline).__name__}; give one made for this kind of model")


def _switch(pipeline: Any, device: str, options: Loading) -> None:
    kind = type(pipeline).__name__
    if options.offload != "none":
        if device == "cpu":
            raise OptionError(f"--offload {options.offload} is for a GPU, and the device is the CPU; leave it out")
        offload = pipeline.enable_model_cpu_offload if options.offload == "model" else pipeline.enable_sequential_cpu_offload
        offload(device=device)
    else:
        pipeline.to(device)
    if options.attention_slicing:
        # diffusers would pass over it in silence.
        if not any(hasattr(part, "set_attention_slice") for part in pipeline.components.values()):
            raise OptionError(f"--attention-slicing: {kind} has no attention that can do so; leave it out")
        pipeline.enable_attention_slicing()
    for given, flag, method in (
        (options.vae_slicing, "--vae-slicing", "enable_slicing"), (options.vae_tiling, "--vae-tiling", "enable_tiling"),
    ):  # fmt: skip
        if given and not hasattr(getattr(pipeline, "vae", None), method):
            raise OptionError(f"{flag}: {kind} has no decoder that can do so; leave it out")
        if given:
            getattr(pipeline.vae, method)()


def _scheduler(pipeline: Any, original: Any, name: str) -> Any:
    """The scheduler called ``name``, with what the ``original`` one of the pipeline knows of its noise.

    Raises:
        OptionError: the pipeline was not trained for it.
    """
    import diffusers

    if original is None:  # a pipeline of pipelines
        raise OptionError(f"--scheduler: {type(pipeline).__name__} has none of its own to change; leave it out")
    kind, settings = SCHEDULERS[name]
    flows = "FlowMatch" in type(original).__name__ or bool(original.config.get("use_flow_sigmas"))
    if flows != name.startswith("flow-") or not hasattr(original, "_compatibles"):
        fit = [known for known in SCHEDULERS if known.startswith("flow-") == flows]
        does = "flow matching" if flows else "noise"
        raise OptionError(f"--scheduler {name}: {type(pipeline).__name__} was trained with {does}; give {', '.join(fit)}")
    return getattr(diffusers, kind).from_config(original.config, **settings)
