"""The Transformer that writes the codes of a picture after the tokens of its caption."""

# B batch, T tokens of a caption, N codes of a picture, G edge of its grid, W width

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from artgen.nn.transformer import Block, Drop, Past, keep, norm, rotary

LOGIT_CAP = 15.0


class Painter(nn.Module):
    """Logits of the next code from a caption and the codes before it, with the blocks of ``text.transformer``.

    A sequence is the T tokens of the caption, then what stands before each code: the code to its left in reading order (a START
    before the first), the code above it, and which row and column comes next.
    Source: Ramesh et al. 2021, "Zero-shot text-to-image generation", section 2.2.
    """

    turns: Tensor
    rows: Tensor
    columns: Tensor

    def __init__(self, *, vocabulary: int, length: int, codes: int, edge: int, layers: int, heads: int, width: int) -> None:
        super().__init__()
        self.length, self.edge, self.codes = length, edge, codes
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.left, self.above = nn.Embedding(codes + 1, width), nn.Embedding(codes + 1, width)
        self.row, self.column = nn.Embedding(edge, width), nn.Embedding(edge, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.head = nn.Linear(width, codes, bias=False)
        for table in (self.words, self.places, self.left, self.above, self.row, self.column):
            nn.init.normal_(table.weight, std=0.5)
        nn.init.zeros_(self.head.weight)
        self.register_buffer("turns", rotary(length + edge**2, width // heads), persistent=False)
        self.register_buffer("rows", torch.arange(edge).repeat_interleave(edge), persistent=False)
        self.register_buffer("columns", torch.arange(edge).repeat(edge), persistent=False)

    def forward(self, captions: Tensor, codes: Tensor, drop: Drop = keep) -> Tensor:
        """Logits [B, N, codes] of every code, for captions int64 [B, T] and codes int64 [B, N]."""
        before = nn.functional.pad(codes[:, :-1], (1, 0), value=self.codes)
        above = nn.functional.pad(codes[:, : -self.edge], (self.edge, 0), value=self.codes)
        x = torch.cat([self.read(captions), self.led(before, above, 0)], 1)
        x = first = drop(norm(x))
        for block in self.blocks:
            x = block(x, first, None, self.turns[: x.shape[1]], drop)
        return self.capped(x[:, self.length :])

    def read(self, captions: Tensor) -> Tensor:
        """Embeddings [B, T, W] of captions [B, T]."""
        found: Tensor = self.words(captions) + self.places.weight
        return found

    def led(self, before: Tensor, above: Tensor, start: int) -> Tensor:
        """Embeddings [B, n, W] of what stands before the codes ``start`` to ``start + n``: the code before and that above each."""
        part = slice(start, start + before.shape[1])
        where = self.row(self.rows[part]) + self.column(self.columns[part])
        found: Tensor = self.left(before) + self.above(above) + where
        return found

    def capped(self, x: Tensor) -> Tensor:
        """Logits between -15 and 15 from the stream."""
        logits: Tensor = LOGIT_CAP * torch.tanh(self.head(norm(x)) / LOGIT_CAP)
        return logits


class Sitting:
    """A batch of pictures being written code by code: what was read is kept, so a code costs one position."""

    def __init__(self, painter: Painter, captions: Tensor) -> None:
        self.painter = painter
        self.past = [Past() for _ in painter.blocks]
        self.written: list[Tensor] = []  # each [B]
        self.captions = captions

    def logits(self) -> Tensor:
        """Logits [B, codes] of the next code."""
        painter, place = self.painter, len(self.written)
        start = torch.full_like(self.captions[:, 0], painter.codes)
        before = self.written[-1] if place else start
        above = self.written[place - painter.edge] if place >= painter.edge else start
        led = painter.led(before[:, None], above[:, None], place)
        x = led if place else torch.cat([painter.read(self.captions), led], 1)
        end = painter.length + place + 1
        turns = painter.turns[end - x.shape[1] : end]
        x = first = norm(x)
        for block, past in zip(painter.blocks, self.past, strict=True):
            assert isinstance(block, Block)
            x = block.grow(x, first, turns, past)
        return painter.capped(x[:, -1])

    def write(self, codes: Tensor) -> None:
        """Go on with ``codes`` [B]."""
        self.written.append(codes)

    def codes(self) -> Tensor:
        """Everything written [B, N]."""
        return torch.stack(self.written, 1)


def build_painter(config: dict[str, Any]) -> Painter:
    """The Transformer that ``config`` describes."""
    return Painter(**{name: config[name] for name in ("vocabulary", "length", "codes", "edge", "layers", "heads", "width")})
