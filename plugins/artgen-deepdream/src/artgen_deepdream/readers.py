"""Networks to dream through: what each answers to a picture, layer by layer, whoever made it.

A reader takes pictures in -1..1 and gives the answers of one layer. Nothing of a model folder is executed: configuration is
JSON, weights are safetensors.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.errors import ModelError, OptionError
from artgen.model import Model
from artgen.options import nearest
from artgen.training.precision import Choice
from artgen_deepdream.network import Eye

# B batch, C channels, H height, W width, T tokens

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pictures in 0..1: what vision networks expect where their folder does not say."""

ZOO_CLASSES = 1000
"""What the networks of torchvision tell apart where nothing else is said."""

PROBE = 64
"""Edge of the picture that tells the layers and channels of a network that does not list them."""


class Reader:
    """A network to dream through.

    ``layers`` maps the name of every layer to its channels, in the order of their depth; ``default`` is the one that dreams
    best; ``smallest`` the edge of the smallest picture that the network takes, ``multiple`` what edges must be multiples of.
    """

    layers: Mapping[str, int]
    default: str
    smallest: int = 16
    multiple: int = 1

    def __init__(self, network: nn.Module, device: str) -> None:
        self.device = torch.device(device)
        self.network = network.float().eval().requires_grad_(False).to(self.device)
        Choice("fp32", "channels-last").place(self.network)

    def answers(self, pictures: Tensor, names: list[str]) -> list[Tensor]:
        """What the layers ``names`` answer to pictures [B, 3, H, W] in -1..1, each [B, C, H', W'].

        Edges that are no multiple of ``multiple`` are carried on by their mirror image.
        """
        height, width = pictures.shape[-2:]
        down, right = -height % self.multiple, -width % self.multiple
        if down or right:
            pictures = F.pad(pictures, (0, right, 0, down), mode="replicate")
        found = self._answers(pictures.contiguous(memory_format=torch.channels_last), names)
        return [found[name] for name in names]

    def _answers(self, pictures: Tensor, names: list[str]) -> dict[str, Tensor]:
        raise NotImplementedError

    def check(self, layer: str) -> int:
        """The channels of ``layer``.

        Raises:
            OptionError: the network has no such layer; the message lists those it has.
        """
        if layer not in self.layers:
            known = ", ".join(self.layers)
            raise OptionError(f"--layer {layer}: this network has no such layer; it has {known}{nearest(layer, self.layers)}")
        return self.layers[layer]

    def _probe(self) -> None:
        """Find ``layers`` by showing the network a grey picture."""
        edge = -(-max(PROBE, self.smallest) // self.multiple) * self.multiple
        with torch.no_grad():
            found = self._answers(torch.zeros(1, 3, edge, edge, device=self.device), [])
        self.layers = {name: answer.shape[1] for name, answer in found.items()}
        names = list(self.layers)
        self.default = names[min(len(names) - 1, round(0.6 * (len(names) - 1)))]


class EyeReader(Reader):
    """The network that the package trains."""

    def __init__(self, model: Model) -> None:
        facts = model.config.network
        eye = Eye(facts["widths"], facts["classes"])
        load(eye, {name.removeprefix("eye."): tensor for name, tensor in model.tensors().items()}, model)
        super().__init__(eye, model.device)
        eye.fold()
        self.eye = eye
        widths = [width for row in facts["widths"] for width in row]
        self.layers = dict(zip(eye.names, widths, strict=True))
        self.default = eye.names[max(0, len(eye.names) - 3)]

    def _answers(self, pictures: Tensor, names: list[str]) -> dict[str, Tensor]:
        last = max(names, key=self.eye.names.index) if names else None
        return dict(zip(self.eye.names, self.eye.features(pictures, last), strict=False))


class CriticReader(Reader):
    """The discriminator of an ``image.gan`` model: what it looks for in pictures that are like its own."""

    def __init__(self, model: Model) -> None:
        from artgen.backends.image.gan.build import build
        from artgen.nn.critic import Discriminator

        modules = build(model.config.network)
        load(modules, model.tensors(), model)
        critic = modules["discriminator"]
        super().__init__(critic, model.device)
        self.steps: Callable[[Tensor], dict[str, Tensor]]
        self.steps = self._styled if isinstance(critic, Discriminator) else self._classic
        self.critic: Any = critic  # one of two classes whose parts differ
        self._probe()

    def _answers(self, pictures: Tensor, names: list[str]) -> dict[str, Tensor]:
        return self.steps(pictures)

    def _styled(self, pictures: Tensor) -> dict[str, Tensor]:
        # Not its own trunk(): that chooses the stages by the size of the picture, and a dream has any size.
        critic = self.critic
        level = max(int(key) for key in critic.inputs)
        x = critic.inputs[str(level)](pictures)
        found: dict[str, Tensor] = {}
        for index in range(level - 1, -1, -1):
            x = F.leaky_relu(x, 0.2)
            x = x + F.leaky_relu(critic.refine[index](x), 0.2) if index < critic.refined else x
            found[f"stage{level - index}"] = x
            x = critic.shrink[index - 1](x) if index else x
        return found

    def _classic(self, pictures: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        x = pictures
        for layer in self.critic.layers[:-1]:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found[f"stage{len(found) + 1}"] = x
        return found


class HubReader(Reader):
    """A vision model of transformers, from a folder: its hidden states."""

    def __init__(self, model: Model) -> None:
        network = _from_pretrained(model)
        super().__init__(network, model.device)
        self.mean, self.spread = (
            torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in _normalisation(model.folder)
        )
        self.patch = _patch(network.config)
        self.multiple = self.patch or 1
        self.smallest = max(32, self.multiple)
        self.extra = {"interpolate_pos_encoding": True} if _has_positions(network) else {}
        self._probe()

    def _answers(self, pictures: Tensor, names: list[str]) -> dict[str, Tensor]:
        normal = ((pictures + 1) / 2 - self.mean) / self.spread
        out = self.network(pixel_values=normal, output_hidden_states=True, return_dict=True, **self.extra)
        # Swin and its kin also give their states as planes.
        states = getattr(out, "reshaped_hidden_states", None) or out.hidden_states
        height, width = (edge // self.patch for edge in pictures.shape[-2:]) if self.patch else (0, 0)
        return {f"stage{index}": _plane(state, height, width) for index, state in enumerate(states)}


class ZooReader(Reader):
    """A network of torchvision: its blocks, by their names in the network."""

    def __init__(self, model: Model) -> None:
        network = _from_zoo(model)
        super().__init__(network, model.device)
        self.mean, self.spread = (torch.tensor(values, device=self.device).view(1, 3, 1, 1) for values in (MEAN, SPREAD))
        self.smallest = 64
        self._probe()

    def _answers(self, pictures: Tensor, names: list[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, given: Any, answer: Any) -> None:
                if isinstance(answer, Tensor) and answer.ndim == 4 and answer.shape[-1] > 1:
                    found[name] = answer

            return hook

        handles = [module.register_forward_hook(keep(name)) for name, module in _blocks(self.network)]
        try:
            self.network(((pictures + 1) / 2 - self.mean) / self.spread)
        finally:
            for handle in handles:
                handle.remove()
        return found


def reader_of(model: Model) -> Reader:
    """The reader of an open model, made at its first use and kept with it.

    Raises:
        ModelError: the folder is damaged, or holds a network that cannot be dreamed through.
    """
    if "reader" not in model.cache:
        model.cache["reader"] = _make(model)
    reader = model.cache["reader"]
    assert isinstance(reader, Reader)
    return reader


def load(network: nn.Module, tensors: Mapping[str, Tensor], model: Model) -> None:
    """Give ``network`` its weights in float32.

    Raises:
        ModelError: they are not those of this network.
    """
    weights = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{model.folder}: config.json and weights do not belong together ({reason})") from None


def _make(model: Model) -> Reader:
    kind = "critic" if model.backend == "image.gan" else model.config.network.get("kind", "")
    readers: dict[str, Callable[[Model], Reader]] = {
        "eye": EyeReader, "critic": CriticReader, "transformers": HubReader, "torchvision": ZooReader,
    }  # fmt: skip
    if kind not in readers:
        raise ModelError(f"{model.folder}: a network of kind {kind!r}; deepdream dreams through {', '.join(readers)}")
    # A network is built with random weights first, which must not move the caller's random numbers.
    with torch.random.fork_rng(devices=[]):
        return readers[kind](model)


def _from_pretrained(model: Model) -> Any:
    from transformers import AutoModel

    try:
        with _quiet():
            network = AutoModel.from_pretrained(
                str(model.folder), local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
            )
    except (OSError, ValueError, ImportError, RuntimeError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(f"{model.place or model.folder}: transformers cannot open it ({reason})") from None
    # CLIP and its kin: the half that sees.
    network = getattr(network, "vision_model", network)
    if getattr(network, "main_input_name", "pixel_values") != "pixel_values":
        raise ModelError(f"{model.place or model.folder}: a model of {type(network).__name__}, which does not look at pictures")
    return network


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the remarks and the progress bar of transformers to itself, and leave its settings as they were."""
    from transformers.utils import logging

    settings: Any = logging  # its functions have no annotations
    before, shown = settings.get_verbosity(), settings.is_progress_bar_enabled()
    settings.set_verbosity_error()
    settings.disable_progress_bar()
    try:
        yield
    finally:
        settings.set_verbosity(before)
        if shown:
            settings.enable_progress_bar()


def _normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    path = folder / "preprocessor_config.json"
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return tuple(facts.get("image_mean") or MEAN), tuple(facts.get("image_std") or SPREAD)


def _patch(config: Any) -> int:
    """The edge of a token of a network that answers with rows of tokens from its first layer on; 0 for all others."""
    size = getattr(config, "patch_size", 0)
    plain = getattr(config, "num_attention_heads", None) is not None and isinstance(size, int)
    return size if plain else 0


def _has_positions(network: nn.Module) -> bool:
    import inspect

    return "interpolate_pos_encoding" in inspect.signature(network.forward).parameters


def _plane(state: Tensor, height: int, width: int) -> Tensor:
    """Tokens [B, T, C] as a plane [B, C, H', W'], without those that stand before the picture; planes pass."""
    if state.ndim == 4:
        return state
    tokens = state[:, -height * width :].transpose(1, 2)
    return tokens.reshape(*tokens.shape[:2], height, width)


def _from_zoo(model: Model) -> nn.Module:
    try:
        from torchvision.models import get_model, list_models
    except ImportError:
        told = "its networks need torchvision: pip install 'artgen-deepdream[torchvision]'"
        raise ModelError(f"{model.folder}: a network of torchvision; {told}") from None
    name = model.config.network["architecture"]
    if name not in list_models():
        raise ModelError(f"{model.folder}: torchvision has no network {name!r}{nearest(str(name), list_models())}")
    tensors = model.tensors()
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network: nn.Module = get_model(name, weights=None, **extra)
    # The head is the one part whose size is the data's and not the architecture's.
    heads = [key for key, own in network.state_dict().items() if own.ndim and len(own) == ZOO_CLASSES and key in tensors]
    counts = {len(tensors[key]) for key in heads if tensors[key].ndim} - {ZOO_CLASSES}
    if len(counts) == 1:
        network = get_model(name, weights=None, num_classes=counts.pop(), **extra)
    load(network, tensors, model)
    return network


def _blocks(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """The parts of a network and the parts of its sequences."""
    found: list[tuple[str, nn.Module]] = []
    for name, child in network.named_children():
        if isinstance(child, nn.Sequential):
            found += [(f"{name}.{inner}", part) for inner, part in child.named_children()]
        else:
            found.append((name, child))
    return found
