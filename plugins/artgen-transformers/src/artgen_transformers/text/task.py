"""What one training step of ``text.transformers`` computes: the loss of the next token, through lora's matrices or all weights."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.artwork import Text
from artgen.dataset import Dataset
from artgen.errors import OptionError, UsageError
from artgen.training import Batch, Layout, Phase, Position, Task
from artgen.training.adam import Adam
from artgen.training.order import mix
from artgen.training.schedule import warm_up
from artgen_transformers.loading import device_of, first_line, quiet
from artgen_transformers.text.corpus import Corpus
from artgen_transformers.text.opening import Language
from artgen_transformers.text.options import Generate, Train
from artgen_transformers.text.prompts import Start
from artgen_transformers.text.writing import texts

# B windows, L tokens of one, V vocabulary

WARM = 0.03
"""The share of the plan over which the learning rate rises."""

LAST = 0.01
PREVIEW = 120
"""Tokens of a preview."""

_SEPARATOR = "|"  # stands for the dots of a weight's name, which a module's own name cannot have


class LanguageTask(Task):
    """Predict every token of a window of the text from those before it.

    With ``--method lora`` only small matrices beside the weights are learned: they alone are trained, saved and averaged, and the
    network that they belong to is no submodule.
    """

    def __init__(self, language: Language, corpus: Corpus, options: Train, base: dict[str, str], files: dict[str, bytes]) -> None:
        super().__init__()
        self.language, self.corpus, self.options = language, corpus, options
        self.context = min(options.context, language.context or options.context, len(corpus.train) - 1)
        self.lora = options.method == "lora"
        self.licence = base.pop("licence", "")
        self.network = {"method": options.method, "base": base}
        network = language.network
        network.config.use_cache = False
        if self.lora:
            network = adapted(network, options)
            learned = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
            self.learned = nn.ParameterDict({name.replace(".", _SEPARATOR): weight for name, weight in learned.items()})
            self.kept = {"learned": self.learned}  # type: ignore[misc]  # each task has its own
        else:
            network.requires_grad_(True)
            self.learned = network
            self.kept = {"network": network}  # type: ignore[misc]
        if options.checkpointing:
            with quiet():
                network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        self._hidden = (network,)  # a tuple, so that the weights that stay as they are do not count as the task's
        self.averaged = {}
        self.files = files  # type: ignore[misc]
        self.metrics = {"val/loss": "lower", "bpb": "lower"} if len(corpus.held) > 1 else {}  # type: ignore[misc]
        rate = options.rate
        self.phases = (
            Phase("text", list(self.learned.parameters()), _adam(options.weight_decay), lambda at: schedule(at, rate)),
        )  # fmt: skip

    @property
    def whole(self) -> Any:
        """The network with what is learned in it."""
        return self._hidden[0]

    def describe(self) -> str:
        """What is trained, in one sentence."""
        learned = sum(weight.numel() for weight in self.learned.parameters())
        whole = sum(weight.numel() for weight in self.whole.parameters())
        return (
            f"{self.options.method}: {learned / 1e6:.3g} of {whole / 1e6:.3g} million weights learn, in windows of "
            f"{self.context} tokens; {len(self.corpus.train):,} tokens to learn from"
        )

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Windows int64 [b, L + 1]; the items of the dataset are spread evenly over the tokens that the model has for them."""
        last = len(self.corpus.train) - self.context - 1
        starts = np.asarray(indices, np.int64) * (last + 1) // max(1, len(dataset))
        windows = self.corpus.train[starts[:, None] + np.arange(self.context + 1)].astype(np.int64)
        return {"windows": torch.from_numpy(windows)}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean negative log-likelihood of every token in nats."""
        windows = batch["windows"]
        with _drawn(mix(batch.seed, batch.start), batch.device):
            logits = self.whole(input_ids=windows[:, :-1], use_cache=False).logits  # [B, L, V]
        return {"loss": F.cross_entropy(logits.flatten(0, 1).float(), windows[:, 1:].flatten())}

    def look_cost(self, size: int) -> float:
        """Reading the held-out text and writing a preview, in steps."""
        return (len(self.corpus.held) / 3 + 2 * PREVIEW) / (size * self.context)

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """Loss of the first of the held-out text in nats a token and in bits a byte."""
        total = nats(self.whole, self.corpus.held.astype(np.int64), self.context)
        return {
            "val/loss": total / (len(self.corpus.held) - 1),
            "bpb": total / math.log(2) / max(1, self.corpus.held_bytes),
        }

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Text]:
        """A text that begins as the held-out text (or that to learn from) does."""
        begun = self.corpus.held if len(self.corpus.held) else self.corpus.train
        ids = [int(token) for token in begun[: min(16, self.context)]]
        from artgen.backend import SILENT

        language = Language(self.whole, self.language.tokenizer, frozenset(), self.context)
        start = Start(language.decode(ids), ids)
        yield from texts(language, start, [0], Generate(temperature=0.8), PREVIEW, 1, SILENT)

    def layout(self, tensors: dict[str, Tensor]) -> Layout:
        """As transformers stores a model, or peft what lora learned: both open the folder as it is."""
        if self.lora:
            learned = {_plain(name): tensor.cpu().contiguous() for name, tensor in tensors.items()}
            config = self.whole.peft_config["default"]
            told = {**config.to_dict(), "inference_mode": True, "base_model_name_or_path": self.network["base"]["place"]}
            files = {"adapter_config.json": _json(told), "adapter_model.safetensors": save(learned, {"format": "pt"})}
            return Layout(learned, {}, files)
        config = self.whole.config
        config.architectures = [type(self.whole).__name__]
        plain = json.loads(config.to_json_string(use_diff=False))
        told = {**plain, "use_cache": True, "dtype": _named(next(iter(tensors.values())).dtype)}
        return Layout(_apart({name.removeprefix("network."): tensor for name, tensor in tensors.items()}), told)

    def train(self, mode: bool = True) -> LanguageTask:
        """Training or evaluation, of the whole network too."""
        super().train(mode)
        self.whole.train(mode)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LanguageTask:
        if self.lora:
            self.whole._apply(fn)  # moves to a device what the loop does not see
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LanguageTask:
        # The loop measures its first steps on a copy: what stays as it is can be the very same.
        frozen = [*self.whole.buffers(), *(weight for weight in self.whole.parameters() if not weight.requires_grad)]
        memo |= {id(tensor): tensor for tensor in frozen} | {id(self.corpus): self.corpus, id(self.language): self.language}
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        for name, value in vars(self).items():
            object.__setattr__(new, name, copy.deepcopy(value, memo))
        return new


def adapted(network: Any, options: Train) -> Any:
    """The network with new matrices of lora beside its own; the first of each pair is drawn, the second is zero.

    Raises:
        OptionError: ``--targets`` names a part that the network has not.
    """
    import peft

    for module in network.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # A compressed layer packs itself for a CPU when it is first measured, and then passes no gradient on any more.
            module.support_avx512bf16_for_cpu = False
    config = peft.LoraConfig(
        r=options.rank, lora_alpha=options.alpha or 2 * options.rank, lora_dropout=options.dropout, task_type="CAUSAL_LM",
        target_modules=list(options.targets) or "all-linear",
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in network.modules()),
    )  # fmt: skip
    try:
        with quiet():
            return peft.get_peft_model(network, config)
    except ValueError as error:
        parts = sorted({name.rpartition(".")[2] for name, module in network.named_modules() if hasattr(module, "weight")})
        if options.targets:
            told = f"{', '.join(options.targets)}: the network has no such part; it has {', '.join(parts)}"
            raise OptionError(f"--targets {told}") from None
        raise UsageError(f"lora does not fit this network ({first_line(error)}); give --targets or --method full") from None


def schedule(at: Position, rate: float) -> float:
    """The learning rate: a short rise, then straight down to 1 % of ``rate``."""
    return rate * (1 - (1 - LAST) * at.fraction) * warm_up(at.seen, max(1, round(WARM * at.total)))


@torch.no_grad()
def nats(
    network: Any, ids: np.ndarray[Any, np.dtype[np.int64]], context: int, each: Callable[[int], None] = lambda count: None
) -> float:
    """The summed loss of every token but the first, each from those before it in its window of ``context`` tokens."""
    total = 0.0
    device = device_of(network.get_input_embeddings())
    for start in range(0, len(ids) - 1, context):
        part = torch.from_numpy(ids[start : start + context + 1]).to(device)
        logits = network(input_ids=part[None, :-1], use_cache=False).logits[0].float()
        total += float(F.cross_entropy(logits, part[1:], reduction="sum"))
        each(len(part) - 1)
    return total


@contextlib.contextmanager
def _drawn(seed: int, device: torch.device) -> Iterator[None]:
    """Draw from ``seed`` inside, for the dropout of networks that know no generators, and give the global state back."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _adam(weight_decay: float) -> Callable[[Sequence[nn.Parameter]], Any]:
    """AdamW in which only matrices decay."""

    def make(parameters: Sequence[nn.Parameter]) -> Adam:
        groups = [
            {"params": [one for one in parameters if one.ndim >= 2], "weight_decay": weight_decay},
            {"params": [one for one in parameters if one.ndim < 2], "weight_decay": 0.0},
        ]
        return Adam([group for group in groups if group["params"]], betas=(0.9, 0.95))

    return make


def _plain(name: str) -> str:
    """The name of one of lora's matrices as peft stores it."""
    return name.removeprefix("learned.").replace(_SEPARATOR, ".").replace(".default.", ".").removesuffix(".default")


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the second names of tied weights, which transformers ties again."""
    seen: set[int] = set()
    result = {}
    for name, tensor in tensors.items():
        if tensor.data_ptr() not in seen or not tensor.numel():
            result[name] = tensor
        seen.add(tensor.data_ptr())
    return result


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(
        told, indent=2, sort_keys=True, default=lambda value: sorted(value) if isinstance(value, set) else str(value)
    ).encode()
