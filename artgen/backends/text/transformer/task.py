"""What one training step of ``text.transformer`` computes: the loss of the next token, the loss of the held-out text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.artwork import Text
from artgen.backends.text.transformer import fim, presets
from artgen.backends.text.transformer.build import build
from artgen.backends.text.transformer.presets import Recipe
from artgen.errors import DatasetError, ModelError
from artgen.media.tokenizer import END, FILE, SPECIALS, Tokenizer, open_tokenizer
from artgen.nn.transformer import dropout, keep
from artgen.training.adam import Adam
from artgen.training.schedule import warm_up
from artgen.training.task import Batch, Optimizer, Phase, Position, Task

if TYPE_CHECKING:
    from artgen.backends.text.transformer.backend import Transformer
    from artgen.backends.text.transformer.model import Writer
    from artgen.dataset import Dataset
    from artgen.model import Model

HOLD = 0.25
"""The share of the plan at the full learning rate; then it falls in a straight line to :data:`LAST` of it."""

LAST = 0.01
WARM_STEPS = 15
GROWN = 0.75
"""The share of the plan after which windows have their full length."""

TUNED = 0.25
"""Fine-tuning learns at this part of the learning rate: the weights are near where they should be."""

SCALES = {"embedding": 8.0, "pair": 8.0, "runs": 8.0, "values": 8.0, "head": 6.0}
"""Learning rates of tables and head as multiples of that of the matrices: a row is met only where its token is."""

SELDOM = ("pair", "runs")
"""Tables of which a step uses few rows."""

PREVIEW = 240
"""Tokens of a preview."""

TEMPERATURE = 0.8
CHUNK = 16384
"""Tokens that are measured at once, fewer where the vocabulary is large: :data:`LOGITS` numbers at most."""

LOGITS = 2**22


class WriterTask(Task):
    """Predict every token of a window from those before it; some windows are laid out for filling the middle.

    Item ``k`` of the text is the window that begins at token ``k``, so that every epoch cuts the text anew.
    """

    def __init__(self, dataset: Dataset, options: Transformer.Train, plan: Recipe, start: Model | None = None) -> None:
        super().__init__()
        self.options, self.plan = options, plan
        self.tokenizer = open_tokenizer((start or dataset).folder)
        self.tokens, self.held = token_arrays(dataset, self.tokenizer)
        self.network = start.config.network | {"fim": options.fim} if start else presets.network(
            plan, self.tokenizer.size, options.fim
        )  # fmt: skip
        if start and self.network["vocabulary"] != self.tokenizer.size:
            raise ModelError(f"{start.folder}: {FILE} is not the one it was trained with; restore the file")
        self.writer: Writer = build(self.network)["writer"]  # type: ignore[assignment]  # ModuleDict forgets types
        if start:
            _take(self.writer, start)
        self.averaged = {"writer": self.writer}
        self.files = {FILE: self.tokenizer.to_bytes()}  # type: ignore[misc]  # each task has its own
        self.metrics = {"val/loss": "lower", "bpc": "lower", "bpb": "lower"} if len(self.held) > 1 else {}  # type: ignore[misc]
        rate = plan.learning_rate * (TUNED if start and options.learning_rate is None else 1.0)
        named = list(self.writer.named_parameters())
        self.phases = (
            Phase("text", [parameter for _, parameter in named], _adam([name for name, _ in named], plan.weight_decay),
                  lambda at: schedule(at, rate, plan.batch)),
        )  # fmt: skip

    def describe(self) -> str:
        """The network in one sentence."""
        size = sum(parameter.numel() for parameter in self.writer.parameters()) / 1e6
        network, held = self.network, len(self.held)
        return (
            f"{network['layers']} layers of width {network['width']}, context {network['context']}, {size:.2g} million weights; "
            f"{len(self.tokens):,} tokens to learn from, {held:,} held out"
        )

    def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
        """Windows int64 [b, context + 1] that begin at the tokens ``indices`` (from the front again beyond the last one)."""
        context = self.network["context"]
        starts = np.asarray(indices, np.int64) % (len(self.tokens) - context)
        windows = self.tokens[starts[:, None] + np.arange(context + 1)].astype(np.int64)
        for row, index in enumerate(indices):
            if self.options.fim:
                random = np.random.default_rng((self.options.seed, index))
                if random.random() < self.options.fim:
                    windows[row] = fim.window(windows[row], self.tokenizer, random)
        return {"windows": torch.from_numpy(windows)}

    def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
        """The mean negative log-likelihood of every token in nats; early windows are cut into several short ones."""
        windows = batch["windows"]
        length = self.length(position)
        before, after = (part.reshape(-1, length) for part in (windows[:, :-1], windows[:, 1:]))
        drop = dropout(self.plan.dropout, batch.seed + batch.start, batch.device) if self.training else keep
        if self.training and self.plan.noise:
            before = noised(before, self.plan.noise, batch.seed + batch.start + 1)
        logits = self.writer(before, drop)
        return {"loss": F.cross_entropy(logits.flatten(0, 1).float(), after.flatten())}

    def length(self, position: Position) -> int:
        """The length of windows at ``position``: doubled from the first context to the full one in equal stages."""
        full, first = self.network["context"], math.gcd(self.plan.first_context, self.network["context"])
        stages = int(math.log2(full // first))
        done = min(stages, int(position.fraction / GROWN * stages)) if stages else 0
        return int(full if done == stages else first * 2**done)

    def look_cost(self, size: int) -> float:
        """An evaluation in steps: reading costs a third of learning, and as much again for all that goes with it."""
        return len(self.held) / (1.5 * size * int(self.network["context"]))

    @torch.no_grad()
    def measure(self, dataset: Dataset, names: Sequence[str]) -> dict[str, float]:
        """Loss of the whole held-out text in nats a token, in bits a character and in bits a byte.

        Every token but the first is predicted once, from those before it in windows of the context that do not overlap.
        """
        context, device = self.network["context"], next(self.parameters()).device
        held = torch.from_numpy(self.held.astype(np.int64))
        whole = (len(held) - 1) // context * context
        rows = max(1, min(CHUNK, LOGITS // self.tokenizer.size) // context)
        cut = [torch.split(part.view(-1, context), rows) for part in (held[:whole], held[1 : whole + 1])]
        rest = held[None, whole:-1], held[None, whole + 1 :]
        total = 0.0
        for before, after in (*zip(*cut, strict=True), rest):
            if not len(before.flatten()):  # a held-out text shorter than a window has none, one that fills them no rest
                continue
            logits = self.writer(before.to(device)).flatten(0, 1).float()
            total += F.cross_entropy(logits, after.to(device).flatten(), reduction="sum").item()
        characters, size = self.tokenizer.units(self.held[1:])
        bits = total / math.log(2)
        return {"val/loss": total / (len(held) - 1), "bpc": bits / max(1, characters), "bpb": bits / max(1, size)}

    @torch.no_grad()
    def preview(self, dataset: Dataset) -> Iterator[Text]:
        """A text of :data:`PREVIEW` tokens that begins as the held-out text (or that to learn from) does."""
        device = next(self.parameters()).device
        generator = torch.Generator().manual_seed(0)
        context = self.network["context"]
        begun = (self.held if len(self.held) else self.tokens)[: min(16, context)]
        ids: list[int] = [int(token) for token in begun]
        for _ in range(PREVIEW):
            logits = self.writer(torch.tensor([ids[-context:]], device=device))[0, -1].float().cpu()
            logits[END:SPECIALS] = -math.inf
            chances = torch.softmax(logits / TEMPERATURE, 0)
            ids.append(int(torch.multinomial(chances, 1, generator=generator)))
        yield Text(self.tokenizer.decode(ids))


class AveragedTask(WriterTask):
    """The same with averaged weights; a class of its own, because a task that never averages is spared the copying."""

    def half_life(self, position: Position) -> float:
        """Windows over which the averaged weights forget half: a share of the plan, less while little of it is done."""
        return self.plan.average * min(position.total, 4 * position.seen)


def noised(tokens: Tensor, share: float, seed: int) -> Tensor:
    """``tokens`` [B, T] with a ``share`` of them swapped for tokens from anywhere in the batch: as frequent ones as the text has.

    Source: Xie et al. 2017, "Data noising as smoothing in neural network language models" (unigram noise).
    """
    generator = torch.Generator(tokens.device).manual_seed(seed)
    swapped = torch.empty(tokens.shape, device=tokens.device).uniform_(generator=generator) < share
    places = torch.randint(tokens.numel(), tokens.shape, device=tokens.device, generator=generator)
    return torch.where(swapped, tokens.flatten()[places], tokens)


def schedule(at: Position, rate: float, batch: int) -> float:
    """The learning rate: a short warm-up, ``rate`` for a quarter of the plan, then straight down to 1 % of it.

    Source: Hu et al. 2024, "MiniCPM" (warm-up, stable, decay): the end fits any budget, because only the last part knows it.
    """
    falling = max(0.0, (at.fraction - HOLD) / (1 - HOLD))
    return rate * (1 - (1 - LAST) * falling) * warm_up(at.seen, min(WARM_STEPS * batch, max(1, at.total // 10)))


def token_arrays(dataset: Dataset, tokenizer: Tokenizer) -> tuple[NDArray[Any], NDArray[Any]]:
    """The tokens to learn from and those held out [N], encoded anew where the dataset was made with another tokenizer.

    Raises:
        ModelError: the dataset's tokenizer is missing or damaged.
        DatasetError: a token is none of the tokenizer's.
    """
    own = open_tokenizer(dataset.folder)
    arrays = dataset.array("train"), dataset.array("held_out")
    if own.to_bytes() != tokenizer.to_bytes():
        arrays = _encoded(arrays[0], own, tokenizer), _encoded(arrays[1], own, tokenizer)
    for array in arrays:
        if len(array) and int(array.max()) >= tokenizer.size:
            raise DatasetError(f"{dataset.folder}: has token {int(array.max())}, {FILE} {tokenizer.size}; prepare it again")
    return arrays


def _encoded(ids: NDArray[Any], own: Tokenizer, tokenizer: Tokenizer) -> NDArray[Any]:
    """``ids`` of one tokenizer as those of another, document by document."""
    ends = np.flatnonzero(ids == END)
    pieces: list[NDArray[np.int64]] = []
    for document in np.split(ids, ends + 1):
        text = document[document >= SPECIALS]
        pieces.append(tokenizer.encode(own.decode(text)))
        if len(document) and document[-1] == END:
            pieces.append(np.array([END]))
    return np.concatenate(pieces).astype(np.uint16 if tokenizer.size <= 2**16 else np.uint32)


def _take(writer: Writer, model: Model) -> None:
    tensors = {name.removeprefix("writer."): tensor for name, tensor in model.tensors().items()}
    try:
        writer.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ModelError(f"{model.folder}: config.json and weights do not belong together ({reason})") from None


def _adam(names: Sequence[str], weight_decay: float) -> Callable[[Sequence[nn.Parameter]], Optimizer]:
    """AdamW whose tables learn faster than its matrices; only matrices inside blocks decay."""

    def make(parameters: Sequence[nn.Parameter]) -> Optimizer:
        groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
        for name, parameter in zip(names, parameters, strict=True):
            decay = weight_decay if name.startswith("blocks.") and parameter.ndim == 2 else 0.0
            part = name.partition(".")[0]
            groups.setdefault((SCALES.get(part, 1.0), decay, part in SELDOM), []).append(parameter)
        told = [
            {"params": group, "scale": scale, "weight_decay": decay, "rows": rows} for (scale, decay, rows), group in groups.items()
        ]
        return Adam(told, betas=(0.9, 0.98))

    return make
