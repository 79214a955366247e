"""The recurrent network over the codes of a codec: what comes next, frame by frame, and inside a frame codebook by codebook.

A frame is read as the sum of its codes' embeddings. Layers of minimal gated units, whose gates see the last four frames but not the
state, carry what was heard; training runs over all frames at once (see :mod:`.recurrence`), composing keeps one state. Inside a
frame each codebook is told what the codebooks before it said, so that a frame is drawn from the whole distribution of its codes.

Source: Feng et al. 2024, "Were RNNs all we needed?"; Lee et al. 2022, "Autoregressive image generation using residual
quantization", section 3.2.2, for the order inside a frame.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.backends.audio.rnn.recurrence import scan

# B sequences, T frames, K codebooks, V codes of each, D width, E entries of a state, P numbers of an embedding.

TAPS = 4
"""Frames that gates and candidates see."""

SLOWEST, FASTEST = 512.0, 2.0
"""Frames over which a new network's states forget."""


class State(NamedTuple):
    """What a layer keeps between frames: ``recent`` [B, TAPS - 1, D] and ``memory`` [B, E]."""

    recent: Tensor
    memory: Tensor


class Cell(nn.Module):
    """A minimal gated unit with a short convolution before it and a gate after it, on [B, T, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.taps = nn.Parameter(torch.zeros(TAPS, width))
        self.enter = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)
        with torch.no_grad():
            self.taps[-1] = 1.0
            # Update gates so that the states forget over 2 to 512 frames, evenly in the logarithm.
            spans = torch.logspace(math.log10(FASTEST), math.log10(SLOWEST), width)
            self.enter.bias[:width] = -torch.log(spans - 1 + 1e-3)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """[B, T, D] -> [B, T, D], and the state after the last frame."""
        y = self.norm(x)
        recent = y.new_zeros(len(y), TAPS - 1, y.shape[2]) if state is None else state.recent.to(y.dtype)
        padded = torch.cat([recent, y], 1)
        # As a picture of one row: on CPUs several times faster than a convolution over one dimension.
        picture = padded.transpose(1, 2).unsqueeze(2)  # [B, D, 1, TAPS - 1 + T]
        mixed = F.conv2d(picture, self.taps.T[:, None, None], groups=x.shape[2]).squeeze(2).transpose(1, 2)
        gate, new, out = self.enter(mixed).chunk(3, -1)
        first = torch.zeros_like(gate[:, 0]) if state is None else state.memory
        states = scan(gate, new, first)
        made: Tensor = self.leave(states.to(out.dtype) * F.silu(out))
        return made, State(padded[:, -(TAPS - 1) :].detach(), states[:, -1].detach())


class Gru(nn.Module):
    """torch's gated recurrent unit in the place of :class:`Cell`: what it is compared with."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.unit = nn.GRU(width, width, batch_first=True)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """[B, T, D] -> [B, T, D], and the state after the last frame."""
        y = self.norm(x)
        made, last = self.unit(y, None if state is None else state.memory[None].to(y.dtype))
        return made, State(y[:, :0], last[0])


class Composer(nn.Module):
    """``layers`` of ``width``; ``narrow`` is the width of embeddings, ``inner`` that of what is decided inside a frame.

    ``cell`` is ``mingru`` or, to compare, ``gru``.
    """

    def __init__(
        self, *, codebooks: int, size: int, width: int, layers: int, narrow: int, inner: int, cell: str = "mingru"
    ) -> None:  # fmt: skip
        super().__init__()
        self.codebooks, self.size, self.width, self.layers = codebooks, size, width, layers
        self.embedding = nn.Parameter(torch.randn(codebooks, size, narrow) * codebooks**-0.5)
        self.begin = nn.Parameter(torch.zeros(narrow))
        self.enter = nn.Linear(narrow, width)
        kind = {"mingru": Cell, "gru": Gru}[cell]
        self.cells = nn.ModuleList(kind(width) for _ in range(layers))
        self.last = nn.LayerNorm(width)
        self.aim = nn.Linear(width, inner)
        self.said = nn.Parameter(torch.randn(codebooks - 1, size, inner) * 0.3)
        self.places = nn.Parameter(torch.zeros(codebooks, inner))
        self.heads = nn.Parameter(torch.randn(codebooks, inner, size) * 0.1 * inner**-0.5)
        self.biases = nn.Parameter(torch.zeros(codebooks, size))

    def forward(self, codes: Tensor, state: list[State] | None = None, dropout: float = 0.0) -> Tensor:
        """Logits [K, B * T, V] of every code of [B, K, T], from the frames before it and the codebooks before it in its frame.

        The first frame follows nothing; with ``state`` (of :meth:`listen`) the first frame of ``codes`` is only read, what follows
        the state, and logits are of the frames after it.
        """
        frames = self.embedded(codes)[:, :-1]
        if state is None:
            frames = torch.cat([self.begin.to(frames.dtype).expand(len(codes), 1, -1), frames], 1)
        known, _ = self._heard(frames, state, dropout)
        return self._inside(known, codes if state is None else codes[:, :, 1:])

    def loss(self, codes: Tensor, state: list[State] | None = None, dropout: float = 0.0) -> Tensor:
        """The negative log-likelihood [B, K, T] in nats of codes [B, K, T]; with ``state`` of all frames but the first."""
        logits = self(codes, state, dropout).float()  # [K, B * T, V]
        wanted = codes if state is None else codes[:, :, 1:]
        flat = wanted.transpose(0, 1).reshape(-1)
        found = F.cross_entropy(logits.flatten(0, 1), flat, reduction="none")
        return found.view(self.codebooks, len(codes), -1).transpose(0, 1)

    def embedded(self, codes: Tensor) -> Tensor:
        """The embeddings [B, T, P] of frames of codes [B, K, T]: the sum over codebooks."""
        return sum(F.embedding(codes[:, book], self.embedding[book]) for book in range(self.codebooks))  # type: ignore[return-value]

    def listen(self, codes: Tensor, state: list[State] | None = None) -> list[State]:
        """The state before the last frame of codes [B, K, T] is read; ``state`` is that of an earlier call, whose last frame is
        the first of ``codes``."""
        frames = self.embedded(codes)[:, :-1]
        if state is None:
            frames = torch.cat([self.begin.expand(len(codes), 1, -1), frames], 1)
        return self._heard(frames, state, 0.0)[1]

    def _heard(self, frames: Tensor, state: list[State] | None, dropout: float) -> tuple[Tensor, list[State]]:
        """What is known [B, T, I] after each of the embedded ``frames`` [B, T, P], and the states after the last."""
        x = F.dropout(self.enter(frames), dropout, self.training)
        after = []
        for number, cell in enumerate(self.cells):
            made, kept = cell(x, state[number] if state else None)
            after.append(kept)
            x = x + F.dropout(made, dropout, self.training)
        return self.aim(self.last(x)), after

    def _inside(self, known: Tensor, codes: Tensor) -> Tensor:
        """Logits [K, B * T, V] from what is ``known`` [B, T, I] and the codes said before in the frame."""
        told = [known + self.places[0]]
        for book in range(1, self.codebooks):
            told.append(told[-1] + F.embedding(codes[:, book - 1], self.said[book - 1]) + self.places[book])
        hidden = F.silu(torch.stack(told).flatten(1, 2))  # [K, B * T, I]
        return torch.baddbmm(self.biases[:, None].to(hidden.dtype), hidden, self.heads.to(hidden.dtype))
