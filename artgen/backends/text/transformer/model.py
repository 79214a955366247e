"""The network of ``text.transformer``: token and pair embeddings, blocks, a capped head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from artgen.nn.transformer import Block, Drop, keep, norm, rotary

LOGIT_CAP = 15.0
PAIR_HASH = (1000003, 8191)
"""Where the pairs of a large vocabulary share rows: row = (before * 1000003 + token * 8191) mod rows, in 64 bits."""

RUN_HASH = (1000003, 2147483647)
"""How runs of three and more tokens share rows: from the newest token to the oldest, h = (h * 1000003 + token + 1) mod 2^31-1."""


class Writer(nn.Module):
    """Logits of the next token from the tokens before it.

    The first embedding is that of the token, plus that of the pair it forms with the token before it, plus those of the runs
    of three, four … tokens that end with it (0, END, stands before the first token). ``pairs`` rows of zero switch pair
    embeddings off; with ``vocabulary²`` rows every pair has its own, with fewer they share rows by a hash; ``runs`` are the
    rows for runs of three, four …, shared by a hash. With ``values`` each block adds an embedding of the token to the values
    of its attention.
    Source: the pair (bigram) and value embeddings, the scalars and the cap follow the modded-nanogpt records.
    """

    turns: Tensor

    def __init__(
        self,
        *,
        vocabulary: int,
        layers: int,
        heads: int,
        width: int,
        context: int,
        pairs: int,
        runs: Sequence[int] = (),
        values: bool = True,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.vocabulary, self.context = vocabulary, context
        self.embedding = nn.Embedding(vocabulary, width)
        self.pair = nn.Embedding(pairs, width) if pairs else None
        self.runs = nn.ModuleList(nn.Embedding(rows, width) for rows in runs)
        self.values = nn.ModuleList(nn.Embedding(vocabulary, width) for _ in range(layers if values else 0))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head = None if tied else nn.Linear(width, vocabulary, bias=False)
        self._start(width)
        self.register_buffer("turns", rotary(context, width // heads), persistent=False)

    def _start(self, width: int) -> None:
        nn.init.normal_(self.embedding.weight, std=0.02 if self.head is None else 1.0)
        if self.pair is not None:
            nn.init.zeros_(self.pair.weight)
        for table in (*self.runs, *self.values):
            nn.init.zeros_(table.weight)
        if self.head is not None:
            nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor, drop: Drop = keep) -> Tensor:
        """Logits [B, T, vocabulary] between -15 and 15 for ``tokens`` int64 [B, T], T at most the context.

        ``x = norm(embedding[token] + pair[row(before, token)] + …)``, blocks, ``15 tanh(head(norm(x)) / 15)``.
        """
        length = tokens.shape[1]
        history = [nn.functional.pad(tokens[:, : length - back], (back, 0))[:, :length] for back in range(2 + len(self.runs))]
        x = first = drop(norm(self.embed(history)))
        for number, block in enumerate(self.blocks):
            values = self.values[number](tokens) if len(self.values) else None
            x = block(x, first, values, self.turns[:length], drop)
        head = self.embedding if self.head is None else self.head
        logits = nn.functional.linear(norm(x), head.weight)
        return LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)

    def embed(self, history: Sequence[Tensor]) -> Tensor:
        """The sum of the embeddings of token, pair and runs [..., width]; ``history`` is the token, the one before it, and so on.

        Gradients of the tables of pairs and runs hold only the rows that were used.
        """
        x: Tensor = self.embedding(history[0])
        if self.pair is not None:
            rows = pair_rows(history[1], history[0], self.vocabulary, self.pair.num_embeddings)
            x = x + looked_up(self.pair, rows)
        for number, table in enumerate(self.runs):
            assert isinstance(table, nn.Embedding)
            x = x + looked_up(table, run_rows(history[: 3 + number], table.num_embeddings))
        return x


def looked_up(table: nn.Embedding, rows: Tensor) -> Tensor:
    """The ``rows`` [...] of a table as [..., width]; their gradient is sparse where the device knows such."""
    return nn.functional.embedding(rows, table.weight, sparse=rows.device.type != "mps")


def pair_rows(before: Tensor, token: Tensor, vocabulary: int, rows: int) -> Tensor:
    """Rows of a pair table: ``before * vocabulary + token`` where there are that many rows, else their hash."""
    if rows == vocabulary * vocabulary:
        return before * vocabulary + token
    return (before * PAIR_HASH[0] + token * PAIR_HASH[1]) % rows


def run_rows(history: Sequence[Tensor], rows: int) -> Tensor:
    """Rows of the table for runs of ``len(history)`` tokens, the newest first."""
    row = torch.zeros_like(history[0])
    for token in history:
        row = (row * RUN_HASH[0] + token + 1) % RUN_HASH[1]
    return row % rows
