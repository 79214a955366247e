"""``artgen text evaluate``: the loss of held-out text, and written text measured like human text of the same length."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Text
from artgen.backend import SILENT, Backend, Progress, Score
from artgen.errors import ModelError, UsageError
from artgen.media.prepare_text import tokenizer_of
from artgen.media.tokenizer import END, Tokenizer, open_tokenizer
from artgen.metrics import texts
from artgen.options import Meta, Options, resolve

if TYPE_CHECKING:
    from artgen.dataset import Dataset
    from artgen.model import Model

Name = Literal["loss", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "longest_copy", "copied_20"]

_CORPUS = 50_000_000
_AT_ONCE = 16384
_WORKS = 64
_AROUND = 60


class Evaluate(Options, frozen=True, kw_only=True):
    """The options of ``artgen text evaluate``."""

    items: Annotated[int, Meta(ge=2, le=10_000, description="Pieces of text to write and to compare.", extra={"unit": "items"})] = (
        16
    )
    length: Annotated[
        int, Meta(ge=20, le=1_000_000, description="Length of each piece; short works are put one after another.",
                  extra={"unit": "characters"}),
    ] = 1000  # fmt: skip
    temperature: Annotated[
        float, Meta(ge=0, le=10, description="Daring of the written text; 1 measures the model as it is.")
    ] = 1.0  # fmt: skip
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Seed of the first work; the others follow it.")] = 0
    metrics: Annotated[tuple[Name, ...], Meta(description="Measure only these; all when not given.")] = ()


@dataclass(frozen=True)
class _Pieces:
    """``written`` and ``human`` texts, as many and as long, and the ``corpus`` that the model learned from."""

    written: list[str]
    human: list[str]
    corpus: texts.Copies
    protocol: str

    def score(self, measure: Callable[[list[str]], float], better: Literal["lower", "near floor"], description: str) -> Score:
        return Score(measure(self.written), measure(self.human), better, description, self.protocol)


def evaluate(backend: Backend, model: Model, dataset: Dataset, options: Evaluate, progress: Progress = SILENT) -> dict[str, Score]:
    """Measure ``model`` on the held-out text of ``dataset``, and what it writes against that text.

    Raises:
        ModelError: weights or tokenizer are damaged.
        UsageError: the dataset holds out too little text to compare with.
    """
    asked = options.metrics or ("loss", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "longest_copy", "copied_20")
    scores: dict[str, Score] = {}
    if "loss" in asked:
        scores.update(_losses(backend, model, dataset, progress))
    if set(asked) - {"loss"}:
        pieces = _pieces(backend, model, dataset, options, progress)
        scores.update({name: _score(name, pieces) for name in asked if name != "loss"})
    return scores


def _score(name: str, pieces: _Pieces) -> Score:
    if name.startswith("distinct"):
        n = int(name[-1])
        told = "Share of different words" if n == 1 else f"Share of different sequences of {n} words"
        return pieces.score(lambda found: texts.distinct(found, n), "near floor", f"{told}: variety.")
    if name == "self_bleu":
        told = "How much the pieces repeat one another; above the floor: less varied."
        return pieces.score(texts.self_bleu, "near floor", told)
    if name == "copied_20":
        told = f"Share of all sequences of {texts.GRAM} characters that stand in the training text."
        return pieces.score(pieces.corpus.share, "near floor", told)
    span, human = pieces.corpus.longest(pieces.written), pieces.corpus.longest(pieces.human)
    told = "Characters of the longest span that stands in the training text; far above the floor: learned by heart."
    return Score(float(len(span)), float(len(human)), "near floor", told, pieces.protocol, _sheet(pieces, span))


def _sheet(pieces: _Pieces, span: texts.Span) -> Text:
    """The longest copied span where it was written, marked, and where it stands in the training text."""
    if not len(span):
        return Text("No character of the written text stands in the training text.\n", name="longest copied span")
    written = pieces.written[span.text]
    return Text(
        f"The longest span copied from the training text has {len(span)} characters.\n\n"
        f"Written (piece {span.text + 1}):\n\n{_marked(written, span.start, len(span))}\n\n"
        f"In the training text (character {span.place + 1}):\n\n{pieces.corpus.marked(span, _AROUND)}\n",
        name="longest copied span",
    )


def _marked(text: str, start: int, size: int) -> str:
    before, after = text[max(0, start - _AROUND) : start], text[start + size : start + size + _AROUND]
    return f"…{before}[[{text[start : start + size]}]]{after}…"


# --- loss


def _losses(backend: Backend, model: Model, dataset: Dataset, progress: Progress) -> dict[str, Score]:
    tokenizer = open_tokenizer(model.folder)
    held = _held_out(dataset, tokenizer)
    if len(held) < 2:
        raise UsageError(f"{dataset.folder}: holds out {len(held)} tokens; prepare it with a larger --held-out")
    context = int(model.config.network["context"])
    bits = _nats(_network(backend, model), held, context, model.device, progress) / math.log(2)
    characters, size = tokenizer.units(held[1:])
    protocol = f"artgen-loss@context={context}, {len(held) - 1} tokens, windows side by side"
    if tokenizer.kind == "char":
        told = "Bits per character of the held-out text: how well the model foresees what it never read."
        return {"bpc": Score(bits / max(1, characters), None, "lower", told, protocol)}
    told = "Bits per byte (UTF-8) of the held-out text: how well the model foresees what it never read."
    return {"bpb": Score(bits / max(1, size), None, "lower", told, protocol)}


def _network(backend: Backend, model: Model) -> Any:  # Any: torch is imported inside functions
    import torch

    with torch.random.fork_rng(devices=[]):  # the first weights, which the file replaces, are drawn from the global generator
        network = backend.build(dict(model.config.network))
    try:
        network.load_state_dict(model.tensors())
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{model.folder}: config.json and weights do not belong together ({reason})") from None
    return network["writer"].float().to(model.device).eval()  # type: ignore[index]  # a ModuleDict


def _nats(writer: Any, held: NDArray[Any], context: int, device: str, progress: Progress) -> float:
    """The summed loss of every token but the first, each from those before it in its window of ``context`` tokens."""
    import torch
    from torch.nn import functional as F

    total = 0.0
    rows = max(1, _AT_ONCE // context)
    progress.start("Reading the held-out text", len(held) - 1, "tokens")
    with torch.inference_mode():
        for start in range(0, len(held) - 1, rows * context):
            part = torch.from_numpy(held[start : start + rows * context + 1].astype(np.int64)).to(device)
            whole = (len(part) - 1) // context * context
            for before, after in ((part[:whole], part[1 : whole + 1]), (part[whole:-1], part[whole + 1 :])):
                if len(before):
                    logits = writer(before.view(-1, min(context, len(before)))).flatten(0, 1).float()
                    total += float(F.cross_entropy(logits, after, reduction="sum"))
            progress.advance(len(part) - 1)
    progress.finish()
    return total


def _held_out(dataset: Dataset, tokenizer: Tokenizer) -> NDArray[Any]:
    """The held-out tokens, as ``tokenizer`` (the model's) has them."""
    own = tokenizer_of(dataset)
    held = dataset.array("held_out")
    if own.to_bytes() == tokenizer.to_bytes():
        return held
    parts: list[NDArray[np.int64]] = []
    for number, document in enumerate(_documents(held, own)):
        parts.extend([np.array([END])] * (number > 0))
        parts.append(tokenizer.encode(document))
    return np.concatenate(parts)


def _documents(ids: NDArray[Any], tokenizer: Tokenizer) -> list[str]:
    """The texts between the ends of documents."""
    return [tokenizer.decode(part) for part in np.split(ids, np.flatnonzero(ids == END) + 1)]


# --- written text


def _pieces(backend: Backend, model: Model, dataset: Dataset, options: Evaluate, progress: Progress) -> _Pieces:
    own = tokenizer_of(dataset)
    held = "\n".join(_documents(dataset.array("held_out"), own))
    count = max(2, min(options.items, len(held) // options.length))
    length = min(options.length, len(held) // count)
    if length < texts.GRAM:
        raise UsageError(f"{dataset.folder}: holds out {len(held)} characters, too few to compare with; give a larger dataset")
    human = [held[place : place + length] for place in np.linspace(0, len(held) - length, count).astype(int).tolist()]
    written = _written(backend, model, options, count, length, progress)
    progress.start("Looking for copies")
    train = dataset.array("train")
    corpus = texts.Copies("\n".join(_documents(np.asarray(train[:_CORPUS]), own)))
    progress.finish()
    remark = f" ({options.items}x{options.length} asked for)" if (count, length) != (options.items, options.length) else ""
    remark += f", first {_CORPUS} tokens of the training text" if len(train) > _CORPUS else ""
    protocol = f"artgen-text@{count}x{length} characters, temperature {options.temperature:g}, seed {options.seed}{remark}"
    return _Pieces(written, human, corpus, protocol)


def _written(
    backend: Backend, model: Model, options: Evaluate, count: int, length: int, progress: Progress
) -> list[str]:  # fmt: skip
    """What the model writes without a prompt, cut into ``count`` pieces of ``length`` characters."""
    kind = type(backend).Generate
    settings = resolve(kind, model.config.generate, {"temperature": options.temperature, "length": length})
    settings = settings.replace(prompt=None, prompt_file=None, stop=())
    works: list[str] = []
    size = 0
    progress.start("Writing", count * length, "characters")
    while size < count * length and len(works) < _WORKS * count:
        first = options.seed + len(works)
        seeds: Sequence[int] = range(first, first + count)
        for work in backend.generate(model, seeds, settings):
            works.append(str(work))
            size += len(works[-1]) + 1
            progress.advance(len(works[-1]) + 1)
    progress.finish()
    whole = "\n".join(works)
    return [whole[place : place + length] for place in range(0, count * length, length)]
