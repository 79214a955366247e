"""The next token by torch, for large models on GPUs: the network's own layers, with keys and values kept."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from artgen.backends.text.transformer.build import build
from artgen.backends.text.transformer.engine import ROWS, Engine, Rows
from artgen.backends.text.transformer.model import LOGIT_CAP, Writer
from artgen.backends.text.transformer.weights import Floats, read_arrays
from artgen.errors import ModelError
from artgen.model import Model
from artgen.nn.transformer import ATTENTION_SCALE, Block, norm, rotate, squared_relu

Cache = tuple[Tensor, Tensor]


class TorchEngine(Engine):
    """Rows in blocks of a fixed size, the last one padded: then what stands beside a row cannot change its bits.

    A block is :data:`.engine.ROWS` rows on a GPU and one on a CPU, whose matrix products depend on the place in a block.
    """

    name = "torch"

    def __init__(self, model: Model) -> None:
        network = model.config.network
        super().__init__(network["context"], network["vocabulary"], 1 + len(network.get("runs", ())))
        with torch.random.fork_rng(devices=[]):
            modules = build(network)
        tensors = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in read_arrays(model).items()}
        try:
            modules.load_state_dict(tensors)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ModelError(f"{model.folder}: config.json and weights do not belong together ({reason})") from None
        self.device = torch.device(model.device)
        writer = modules["writer"].eval().requires_grad_(False).to(self.device)
        assert isinstance(writer, Writer)
        self.writer = writer
        self.rows = 1 if self.device.type == "cpu" else ROWS

    def open(self, sequences: int) -> Cache:
        """Keys and values [L, S + 1, C, H, E]; the last sequence takes what pads a block."""
        first = self.writer.blocks[0]
        assert isinstance(first, Block)
        head = self.writer.embedding.embedding_dim // first.heads
        shape = (len(self.writer.blocks), sequences + 1, self.context, first.heads, head)
        return torch.zeros(shape, device=self.device), torch.zeros(shape, device=self.device)

    @torch.no_grad()
    def compute(self, cache: Cache, rows: Rows) -> tuple[Floats, Floats]:
        """In blocks of a fixed size."""
        parts = []
        for start in range(0, len(rows), self.rows):
            part = rows.part(start, min(start + self.rows, len(rows)))
            logits = self._block(cache, part)
            parts.append(logits[torch.from_numpy(part.wanted).to(self.device)])
        found = torch.cat(parts)
        return found.cpu().numpy(), torch.logsumexp(found.double(), -1).float().cpu().numpy()

    def _block(self, cache: Cache, rows: Rows) -> Tensor:
        missing = self.rows - len(rows)
        spare = cache[0].shape[1] - 1

        def full(values: np.ndarray[tuple[int], np.dtype[np.int64]], filler: int) -> Tensor:
            return torch.from_numpy(np.pad(values, (0, missing), constant_values=filler)).to(self.device)

        tokens = full(rows.tokens, 0)
        sequences, positions = full(rows.sequences, spare), full(rows.positions, 0)
        writer = self.writer
        x = first = norm(writer.embed([tokens, *(full(column, 0) for column in rows.before.T)]))
        for layer, block in enumerate(writer.blocks):
            assert isinstance(block, Block)
            values = writer.values[layer](tokens) if len(writer.values) else None
            x = block.mix[0] * x + block.mix[1] * first
            x = x + block.out(self._attend(block, norm(x), values, (cache[0][layer], cache[1][layer]), sequences, positions))
            x = x + block.down(squared_relu(block.up(norm(x))))
        head = writer.embedding if writer.head is None else writer.head
        logits: Tensor = LOGIT_CAP * torch.tanh(F.linear(norm(x), head.weight) / LOGIT_CAP)
        return logits

    def _attend(self, block: Block, x: Tensor, values: Tensor | None, cache: Cache, sequences: Tensor, positions: Tensor) -> Tensor:
        rows, width = x.shape
        head = width // block.heads
        both, value = block.qkv(x).split([2 * width, width], -1)
        if values is not None:
            value = value + values
        both = norm(both.view(1, rows, 2 * block.heads, head))
        query, key = rotate(both, self.writer.turns[positions])[0].chunk(2, 1)  # [R, H, E]
        cache[0][sequences, positions] = key
        cache[1][sequences, positions] = value.view(rows, block.heads, head)
        scores = torch.einsum("rhe,rche->rhc", query, cache[0][sequences]) * (ATTENTION_SCALE / head**0.5)
        later = torch.arange(self.context, device=self.device) > positions[:, None, None]
        weights = torch.softmax(scores.masked_fill(later, -torch.inf), -1)
        return torch.einsum("rhc,rche->rhe", weights, cache[1][sequences]).reshape(rows, width)
