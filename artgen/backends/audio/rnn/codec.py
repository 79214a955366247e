"""The neural codec: a sound to a few codes a frame and back, in the domain of short spectra.

Frames are ``hop`` samples long. The encoder reads the logarithm of each frame's spectrum and, of low frequencies, where the phase
is heard, its complex values; ConvNeXt blocks carry it to latents, which are quantised to K codes. The decoder makes magnitude and
phase of a spectrum and goes back to samples by overlap and add. Nothing looks further than a few frames ahead, so that sounds of
any length are coded in pieces: see :mod:`.streams`.

Source: Siuzdak 2023, "Vocos: closing the gap between time-domain and Fourier-based neural vocoders"; Liu et al. 2022 (ConvNeXt).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.backends.audio.rnn import spectral
from artgen.backends.audio.rnn.quantiser import Quantised, Quantiser

# B sounds, C channels, N samples, T frames, F frequencies, D width, L numbers of a latent, K codebooks.

REACH = 3
"""Frames on either side that a block sees."""

_LOUDEST = 3.0  # natural logarithm of the largest magnitude the decoder may say
_QUIET = 1e-5


class Block(nn.Module):
    """A ConvNeXt block on [B, T, D]: every channel over seven frames, then every frame over all channels."""

    def __init__(self, width: int, expansion: int, depth: int) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(width, 1, 2 * REACH + 1) * (2 * REACH + 1) ** -0.5)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 1.0 / depth))

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        # As a picture of one row: on CPUs several times faster than a convolution over one dimension.
        picture = x.transpose(1, 2).unsqueeze(2)  # [B, D, 1, T]
        mixed = F.conv2d(picture, self.kernel.unsqueeze(2), padding=(0, REACH), groups=x.shape[2]).squeeze(2).transpose(1, 2)
        made: Tensor = self.scale * self.down(F.gelu(self.up(self.norm(mixed))))
        return x + made


class Codec(nn.Module):
    """``rate`` Hz and ``channels`` are of the sounds it codes; all other arguments shape the network.

    ``encoder`` and ``decoder`` are numbers of blocks, ``latent`` the numbers of a latent vector, ``codebooks`` K with ``size``
    entries each.
    """

    def __init__(
        self, *, rate: int, channels: int, hop: int, width: int, encoder: int, decoder: int, expansion: int, latent: int,
        codebooks: int, size: int,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rate, self.channels, self.hop = rate, channels, hop
        self.codebooks, self.size = codebooks, size
        self.frequencies = 2 * hop + 1
        self.low = self.frequencies // 4
        self.enter = nn.Linear(channels * (self.frequencies + 2 * self.low), width)
        self.encoder = nn.Sequential(*(Block(width, expansion, encoder) for _ in range(encoder)))
        self.narrow = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, latent))
        self.quantiser = Quantiser(codebooks, size, latent)
        self.widen = nn.Linear(latent, width)
        self.decoder = nn.Sequential(*(Block(width, expansion, decoder) for _ in range(decoder)))
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, channels * 2 * self.frequencies))
        self.margin = REACH * max(encoder, decoder) + spectral.OVERLAP
        """Frames on either side from which on nothing changes a frame's codes, or the samples of a frame."""

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.rate / self.hop

    def encode(self, wave: Tensor) -> Tensor:
        """Codes int64 [B, K, T] of sounds [B, C, T * hop]; a last frame that is not whole is filled with silence."""
        codes: Tensor = self.quantiser(self.latents(wave)).codes
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Sounds [B, C, T * hop] of codes [B, K, T], or of the first few codebooks of them."""
        return self.sound(self.quantiser.decode(codes))

    def latents(self, wave: Tensor) -> Tensor:
        """Latents [B, T, L], before quantisation, of sounds [B, C, T * hop]."""
        over = -wave.shape[2] % self.hop
        wave = F.pad(wave, (0, over)) if over else wave
        sides = _mid_side(wave.float())
        found = spectral.spectra(sides.flatten(0, 1), self.hop)  # [B * C, T, F]
        found = found.view(*sides.shape[:2], *found.shape[1:])  # [B, C, T, F]
        size = found.abs()
        logs = torch.log10(size + _QUIET) / 2.5 + 1  # from -1 for silence to 1
        low = found[..., : self.low] / (size[..., : self.low] + 1e-4).sqrt() * 2
        features = torch.cat([logs, low.real, low.imag], -1)  # [B, C, T, F + 2 low]
        x = self.encoder(self.enter(features.transpose(1, 2).flatten(2)))
        latents: Tensor = self.narrow(x).float()
        return latents

    def quantise(self, latents: Tensor) -> Quantised:
        """Latents [B, T, L] as the codebooks can say them, with their codes [B, K, T]."""
        found: Quantised = self.quantiser(latents)
        return found

    def sound(self, latents: Tensor) -> Tensor:
        """Sounds [B, C, T * hop] of latents [B, T, L]."""
        x = self.leave(self.decoder(self.widen(latents))).float()
        logs, phase = x.view(*x.shape[:2], self.channels, 2, -1).unbind(3)  # each [B, T, C, F]
        # Magnitudes in natural logarithms around those of quiet music.
        spectrum = torch.polar((logs - 5).clamp_max(_LOUDEST).exp(), phase).transpose(1, 2)  # [B, C, T, F]
        wave = spectral.wave_of(spectrum.flatten(0, 1), self.hop)
        return _mid_side(wave.view(*spectrum.shape[:2], -1))


def _mid_side(wave: Tensor) -> Tensor:
    """Left and right [B, 2, N] as middle and side, and back; one channel stays as it is."""
    if wave.shape[1] == 1:
        return wave
    left, right = wave[:, 0], wave[:, 1]
    sides: Tensor = torch.stack([left + right, left - right], 1) * 0.5**0.5
    return sides
