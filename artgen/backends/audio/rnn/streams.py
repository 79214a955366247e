"""Sounds of any length through the codec piece by piece, with the very codes and samples that the whole at once would give.

Every piece is given the frames around it that reach into it, so where a sound is cut has no say, and memory stays constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from artgen.backends.audio.rnn.codec import Codec

PIECE = 512
"""Frames that are coded at once, besides those around them."""

Samples = NDArray[np.float32]
Codes = NDArray[np.int16]
"""Codes int16 [K, T]."""


@torch.no_grad()
def latents(codec: Codec, blocks: Iterable[Samples]) -> Iterator[torch.Tensor]:
    """The latents [t, L] of a sound given in blocks [n, C], before quantisation; a last frame is filled with silence."""
    hop, margin = codec.hop, codec.margin
    device = next(codec.parameters()).device
    held = np.zeros((0, codec.channels), np.float32)
    before, done, total = 0, 0, 0  # frames held ahead of the next piece; frames handed out; samples heard

    def run(count: int) -> torch.Tensor:
        nonlocal held, before, done
        after = min(margin, -(-len(held) // hop) - before - count)
        stop = before + count + after
        part = held[: stop * hop]
        part = np.pad(part, ((0, stop * hop - len(part)), (0, 0)))
        made = codec.latents(torch.from_numpy(np.ascontiguousarray(part.T))[None].to(device))[0, before : before + count]
        keep = max(0, before + count - margin)
        held, before, done = held[keep * hop :], before + count - keep, done + count
        return made

    for block in blocks:
        held, total = np.concatenate([held, block]), total + len(block)
        while len(held) >= (before + PIECE + margin) * hop:
            yield run(PIECE)
    while (left := -(-total // hop) - done) > 0:
        yield run(min(PIECE, left))


@torch.no_grad()
def encoded(codec: Codec, blocks: Iterable[Samples]) -> Codes:
    """The codes int16 [K, T] of a sound given in blocks [n, C]; a last frame that is not whole is filled with silence."""
    made = [codec.quantise(piece[None]).codes[0].cpu().numpy().astype(np.int16) for piece in latents(codec, blocks)]
    return np.concatenate([np.zeros((codec.codebooks, 0), np.int16), *made], 1)


@torch.no_grad()
def decoded(codec: Codec, codes: Codes) -> Iterator[Samples]:
    """The samples of codes [K, T] in blocks [n, C], T * hop in all."""
    device = next(codec.parameters()).device

    def part(low: int, high: int) -> torch.Tensor:
        return codec.decode(torch.from_numpy(codes[:, low:high].astype(np.int64))[None].to(device))

    return _pieces(codec, codes.shape[1], part)


def sounded(codec: Codec, latents: torch.Tensor) -> Iterator[Samples]:
    """The samples of latents [T, L] in blocks [n, C], T * hop in all."""
    return _pieces(codec, len(latents), lambda low, high: codec.sound(latents[None, low:high]))


@torch.no_grad()
def _pieces(codec: Codec, count: int, made: Callable[[int, int], torch.Tensor]) -> Iterator[Samples]:
    margin, hop = codec.margin, codec.hop
    for start in range(0, count, PIECE):
        stop = min(count, start + PIECE)
        low, high = max(0, start - margin), min(count, stop + margin)
        wave = made(low, high)[0]
        yield wave[:, (start - low) * hop : (stop - low) * hop].cpu().numpy().T.copy()
