"""The plainest recurrent network for sound: a GRU that reads one 8-bit sample after the other and predicts the next.

It is what codecs are compared with. Source: Mehri et al. 2017, "SampleRNN", section 3 (its one-tier baseline); ITU-T G.711 for the
coding of samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

# B sequences, N samples, V levels, D width.

RATE = 8000
LEVELS = 256
_MU = LEVELS - 1


def compress(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Samples -1 to 1 as one of 256 levels, finer around 0 (mu-law)."""
    bent = np.sign(samples) * np.log1p(_MU * np.minimum(np.abs(samples), 1)) / np.log1p(_MU)
    levels: NDArray[np.uint8] = np.rint((bent + 1) / 2 * _MU).astype(np.uint8)
    return levels


def expand(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The sample in the middle of what each level stands for: :func:`compress` gives the level back."""
    bent = levels.astype(np.float64) / _MU * 2 - 1
    samples: NDArray[np.float32] = (np.sign(bent) * np.expm1(np.abs(bent) * np.log1p(_MU)) / _MU).astype(np.float32)
    return samples


class Plain(nn.Module):
    """One gated recurrent unit of ``width`` between an embedding of the last sample and the chances of the next."""

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(LEVELS, width)
        self.unit = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, LEVELS)

    def forward(self, levels: Tensor) -> Tensor:
        """Logits [B, N, V] of the level after each of ``levels`` [B, N]."""
        states, _ = self.unit(self.embedding(levels))
        logits: Tensor = self.head(states)
        return logits

    def loss(self, levels: Tensor) -> Tensor:
        """The negative log-likelihood [B, N - 1] in nats of all levels [B, N] but the first."""
        logits = self(levels[:, :-1]).float()
        wanted = levels[:, 1:]
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)


def silence() -> int:
    """The level of a sample of 0, which a sound follows at its beginning."""
    return int(compress(np.zeros(1, np.float32))[0])


def weights_of(network: Plain) -> dict[str, NDArray[np.float32]]:
    """The weights as :mod:`.plain_kernel` takes them: what each level adds to the gates [V, 3D], matrices as [in, out]."""
    with torch.no_grad():
        unit: Any = network.unit  # torch does not say that these are tensors
        told = network.embedding.weight @ unit.weight_ih_l0.T + unit.bias_ih_l0
        found = {
            "told": told, "gates_w": unit.weight_hh_l0.T, "gates_b": unit.bias_hh_l0, "head_w": network.head.weight.T,
            "head_b": network.head.bias,
        }  # fmt: skip
        return {name: np.ascontiguousarray(tensor.float().cpu().numpy()) for name, tensor in found.items()}
