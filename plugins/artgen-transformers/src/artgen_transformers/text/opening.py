"""The network and the tokenizer of a language model, whoever saved it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artgen.backend import SILENT, Progress
from artgen.errors import ModelError, UsageError
from artgen.model import Model
from artgen_transformers import places
from artgen_transformers.loading import Loading, Network, opened, told

BACKEND = "text.transformers"
EXAMPLE = "Qwen/Qwen3-0.6B"

_LENGTHS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")


@dataclass(frozen=True)
class Language:
    """A model that can write: ``network``, ``tokenizer``, the ids that ``ends`` a text, and what it can look back on at most."""

    network: Network
    tokenizer: Any  # one of transformers' many classes
    ends: frozenset[int]
    context: int | None

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of ``text``, with what the model expects before a text where ``special``.

        Raises:
            UsageError: the text holds half of a character, which no tokenizer can say.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            code = ord(text[error.start])
            raise UsageError(f"the text holds half of a character (lone surrogate U+{code:04X}); delete it") from None
        ids: list[int] = self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        return ids

    def decode(self, ids: list[int]) -> str:
        """The text of ids, without special ones."""
        fast = getattr(self.tokenizer, "backend_tokenizer", None)  # the wrapper around it takes longer than the work
        if fast is not None:
            return str(fast.decode(ids, skip_special_tokens=True))
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    @property
    def opening(self) -> int:
        """What a text without a prompt follows: the mark before or after a text where there is one, else a line break.

        Raises:
            ModelError: the tokenizer knows none of them.
        """
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, *self.encode("\n", special=False)[:1]):
            if token is not None:
                return int(token)
        raise ModelError("the model's tokenizer has no token to begin a text with; give --prompt")


def open_language(model: Model, options: Loading, progress: Progress = SILENT) -> Language:
    """The language model of ``model``; see :func:`artgen_transformers.loading.opened`."""
    network = opened(model, options, progress, lambda folder, arguments: _load(model, options, folder, arguments))
    if "tokenizer" not in model.cache:
        model.cache["tokenizer"] = open_tokenizer(model)
    tokenizer: Any = model.cache["tokenizer"]
    return Language(network, tokenizer, frozenset(_ends(network, tokenizer)), context_of(network))


def open_tokenizer(model: Model) -> Any:
    """The tokenizer beside the weights; with what lora learned, that of the whole model is stored too.

    Raises:
        ModelError: there is none, or it needs a package that is missing.
    """
    from transformers import AutoTokenizer

    with told(f"{model.place or model.folder}: its tokenizer"):
        return AutoTokenizer.from_pretrained(str(model.folder), local_files_only=True, trust_remote_code=False)


def base_of(model: Model, progress: Progress = SILENT) -> Model:
    """The model that an adapter belongs to.

    Raises:
        ModelError: it is not where it was, or is another one now.
    """
    base = model.config.network["base"]
    if "base" not in model.cache:
        found = places.find(str(base["place"]), BACKEND)
        if found.sha256 != base["sha256"]:
            raise ModelError(f"{model.folder}: {base['place']} is not the model any more that it was trained with; restore it")
        model.cache["base"] = found
    found = model.cache["base"]  # type: ignore[assignment]
    found.device = model.device
    return found


def context_of(network: Network) -> int | None:
    """How many tokens the network can look back on; None where it has no limit."""
    config = network.config.get_text_config()
    found = [int(value) for name in _LENGTHS if (value := getattr(config, name, None))]
    return found[0] if found else None


def _load(model: Model, options: Loading, folder: Path, arguments: dict[str, Any]) -> Network:
    if model.config.network.get("method") == "lora":
        return _adapted(model, options)
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    places.require_kind(model, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, "causal language model")
    return AutoModelForCausalLM.from_pretrained(str(folder), trust_remote_code=False, **arguments)


def _adapted(model: Model, options: Loading) -> Network:
    """The base with what was learned beside its weights; added to them where they are plain numbers, which is faster."""
    import peft

    base = base_of(model)
    network = open_language(base, options).network
    config = peft.PeftConfig.from_pretrained(str(model.folder))
    adapted = peft.get_peft_model(network, config)
    found = peft.set_peft_model_state_dict(adapted, model.tensors())
    if found.unexpected_keys:
        raise ModelError(f"{model.folder}: config.json and weights do not belong together ({found.unexpected_keys[0]})")
    base.cache.clear()  # the base itself is changed by what follows
    return adapted.merge_and_unload() if options.quantise == "none" else adapted


def _ends(network: Network, tokenizer: Any) -> Iterator[int]:
    settings = getattr(network, "generation_config", None)
    for found in (getattr(settings, "eos_token_id", None), tokenizer.eos_token_id):
        yield from (found if isinstance(found, list) else [found] if found is not None else [])
