"""EnCodec and DAC as artgen's codecs: sounds to a few codes a frame and back.

Sources: Défossez et al. 2022, "High Fidelity Neural Audio Compression" (EnCodec); Kumar et al. 2023, "High-Fidelity Audio
Compression with Improved RVQGAN" (DAC).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.errors import ModelError, OptionError

# B sounds, C channels, N samples, T frames, L numbers of a latent, K codebooks

BACKEND = "audio.encodec"
KINDS = {"encodec": "EncodecModel", "dac": "DacModel"}

MARGINS = {"encodec": 64, "dac": 16}
"""Frames around a piece that are coded with it. DAC sees no further; EnCodec's recurrent layers forget nearly all within them."""


class Quantised(NamedTuple):
    """The codes int64 [B, K, T]."""

    codes: Tensor


class Guest(nn.Module):
    """A codec of transformers, with its first ``codebooks`` codebooks; :class:`artgen.codecs.Codec` tells the attributes.

    Raises:
        ModelError: it is a codec that tells the loudness of each piece apart from its codes.
        OptionError: it has fewer codebooks.
    """

    def __init__(self, kind: str, config: dict[str, Any], codebooks: int, model: Any = None) -> None:
        super().__init__()
        self.kind = kind
        self.model = model if model is not None else _built(kind, config)
        told = self.model.config
        if getattr(told, "normalize", False):
            raise ModelError(
                "this EnCodec tells the loudness apart from its codes; choose one that does not, such as the one of 24 kHz"
            )
        most = int(self.model.quantizer.num_quantizers if kind == "encodec" else told.n_codebooks)
        if codebooks > most:
            raise OptionError(f"--codes takes at most {most} for this codec, not {codebooks}")
        self.rate, self.channels = int(told.sampling_rate), int(getattr(told, "audio_channels", 1))
        self.hop = int(told.hop_length)
        self.codebooks, self.size = codebooks, int(told.codebook_size)
        self.margin = MARGINS[kind]
        self.network = {
            "backend": BACKEND, "kind": kind, "config": config, "rate": self.rate, "channels": self.channels, "hop": self.hop,
            "codebooks": codebooks, "size": self.size,
        }  # fmt: skip

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.rate / self.hop

    def train(self, mode: bool = True) -> Guest:
        """Always evaluation: it is never trained here, and its codes must not be drawn at random."""
        super().train(False)
        return self

    def encode(self, wave: Tensor) -> Tensor:
        """Codes int64 [B, K, T] of sounds [B, C, T * hop]; a last frame that is not whole is filled with silence."""
        return self.quantise(self.latents(wave)).codes

    def latents(self, wave: Tensor) -> Tensor:
        """Latents [B, T, L], before quantisation, of sounds [B, C, T * hop]."""
        over = -wave.shape[2] % self.hop
        wave = F.pad(wave, (0, over)) if over else wave
        found: Tensor = self.model.encoder(wave.float())
        return found.transpose(1, 2)[:, : wave.shape[2] // self.hop]

    def quantise(self, latents: Tensor) -> Quantised:
        """The codes of latents [B, T, L]."""
        rest = latents.transpose(1, 2)  # [B, L, T]
        if self.kind == "dac":
            return Quantised(self.model.quantizer(rest, self.codebooks)[1])
        codes = []
        for layer in self.model.quantizer.layers[: self.codebooks]:
            codes.append(layer.encode(rest))  # [B, T]
            rest = rest - layer.decode(codes[-1])
        return Quantised(torch.stack(codes, 1))

    def decode(self, codes: Tensor) -> Tensor:
        """Sounds [B, C, T * hop] of codes [B, K, T], or of the first few codebooks of them."""
        quantizer = self.model.quantizer
        latents = quantizer.from_codes(codes)[0] if self.kind == "dac" else quantizer.decode(codes.transpose(0, 1))
        wave: Tensor = self.model.decoder(latents)  # [B, C, N]
        length = codes.shape[2] * self.hop
        # Strides that are odd numbers lose a sample or two at the end.
        return F.pad(wave, (0, max(0, length - wave.shape[2])))[..., :length]


def _built(kind: str, config: dict[str, Any]) -> Any:
    import transformers

    made: Any = getattr(transformers, KINDS[kind])
    return made(made.config_class(**config)).eval()
