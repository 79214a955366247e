"""The network of ``text.transformer``: token and pair embeddings, blocks, a capped head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from artgen.nn.transformer import Block, Drop, keep, norm, rotary

LOGIT_CAP = 15.0
PAIR_HASH = (1000003, 8191)
"""Where the pairs of a large vocabulary share rows: row = (before * 1000003 + token * 8191) mod rows, in 64 bits."""


class Writer(nn.Module):
    """Logits of the next token from the tokens before it.

    The first embedding is that of the token plus that of the pair it forms with the token before it (0, END, before the
    first). ``pairs`` rows of zero switch pair embeddings off; with ``vocabulary²`` rows every pair has its own, with fewer
    they share rows by a hash. Each block adds an embedding of the token to the values of its attention.
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
        values: bool = True,
        tied: bool = False,
    ) -> None:
        super().__init__()
        self.vocabulary, self.context = vocabulary, context
        self.embedding = nn.Embedding(vocabulary, width)
        self.pair = nn.Embedding(pairs, width) if pairs else None
        self.values = nn.ModuleList(nn.Embedding(vocabulary, width) for _ in range(layers if values else 0))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head = None if tied else nn.Linear(width, vocabulary, bias=False)
        self._start(width)
        self.register_buffer("turns", rotary(context, width // heads), persistent=False)

    def _start(self, width: int) -> None:
        nn.init.normal_(self.embedding.weight, std=0.02 if self.head is None else 1.0)
        if self.pair is not None:
            nn.init.zeros_(self.pair.weight)
        for table in self.values:
            nn.init.zeros_(table.weight)  # type: ignore[arg-type]  # ModuleList forgets the type of its modules
        if self.head is not None:
            nn.init.zeros_(self.head.weight)

    def forward(self, tokens: Tensor, drop: Drop = keep) -> Tensor:
        """Logits [B, T, vocabulary] between -15 and 15 for ``tokens`` int64 [B, T], T at most the context.

        ``x = norm(embedding[token] + pair[row(before, token)])``, blocks, ``15 tanh(head(norm(x)) / 15)``.
        """
        length = tokens.shape[1]
        x = self.embedding(tokens)
        if self.pair is not None:
            x = x + self.pair(self.rows(tokens))
        x = first = drop(norm(x))
        for number, block in enumerate(self.blocks):
            values = self.values[number](tokens) if len(self.values) else None
            x = block(x, first, values, self.turns[:length], drop)
        head = self.embedding if self.head is None else self.head
        logits = nn.functional.linear(norm(x), head.weight)
        return LOGIT_CAP * torch.tanh(logits / LOGIT_CAP)

    def rows(self, tokens: Tensor) -> Tensor:
        """The row of the pair table for every token [B, T] and the one before it."""
        assert self.pair is not None
        before = nn.functional.pad(tokens[:, :-1], (1, 0))
        return pair_rows(before, tokens, self.vocabulary, self.pair.num_embeddings)


def pair_rows(before: Tensor, token: Tensor, vocabulary: int, rows: int) -> Tensor:
    """Rows of a pair table: ``before * vocabulary + token`` where there are that many rows, else their hash."""
    if rows == vocabulary * vocabulary:
        return before * vocabulary + token
    return (before * PAIR_HASH[0] + token * PAIR_HASH[1]) % rows
