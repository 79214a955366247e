"""Codecs of other backends: what composes over codes (``audio.rnn``) takes those of any installed backend that is one.

A backend is a codec when it implements :meth:`artgen.backend.Backend.codec`, and makes it again in
:meth:`~artgen.backend.Backend.build` from the codec's own ``network``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from artgen import registry
from artgen.backend import Backend
from artgen.errors import ArtgenError, ModelError, UnusableBackendError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Quantised(Protocol):
    """What :meth:`Codec.quantise` gives."""

    @property
    def codes(self) -> Tensor:
        """Codes int64 [B, K, T], each less than the codec's ``size``."""


class Codec(Protocol):
    """A module that turns sounds into a few codes a frame and back; the attributes never change.

    ``rate`` (Hz) and ``channels`` are of the sounds, ``hop`` the samples of a frame, ``codebooks`` K with ``size`` entries each (at
    most 32,767), ``margin`` the frames on either side from which on nothing changes a frame. ``network`` is what
    :func:`build` makes the module again from: ``backend`` names the backend, the rest is that backend's.
    """

    rate: int
    channels: int
    hop: int
    codebooks: int
    size: int
    margin: int
    frame_rate: float
    network: dict[str, Any]

    def encode(self, wave: Tensor) -> Tensor:
        """Codes int64 [B, K, T] of sounds [B, C, T * hop]."""

    def decode(self, codes: Tensor) -> Tensor:
        """Sounds [B, C, T * hop] of codes [B, K, T]."""

    def latents(self, wave: Tensor) -> Tensor:
        """Latents [B, T, L], before quantisation, of sounds [B, C, T * hop]."""

    def quantise(self, latents: Tensor) -> Quantised:
        """The codes of latents [B, T, L]."""


def find(place: str, codebooks: int) -> nn.Module:
    """The codec at ``place``, with its first ``codebooks`` codebooks, from whichever backend knows it.

    Raises:
        ModelError: no installed backend finds a codec there; the message is that of the one that came closest.
    """
    reasons: list[str] = []
    for cls in backends():
        try:
            return cast("nn.Module", cls().codec(cls.find_model(place), codebooks))
        except ArtgenError as error:
            reasons.append(str(error))
    if not reasons:
        raise ModelError(f"{place}: no codec of artgen, and no installed backend brings codecs of others")
    raise ModelError(reasons[-1])


def build(network: dict[str, Any]) -> nn.Module:
    """The codec that ``network`` describes, with weights still to be loaded.

    Raises:
        ArtgenError: its backend is not installed.
    """
    modality, _, name = str(network["backend"]).partition(".")
    return registry.get(modality, name)().build({key: value for key, value in network.items() if key != "backend"})


def backends() -> Iterator[type[Backend]]:
    """The installed backends that are codecs; one that cannot be used is passed over."""
    for entry in registry.entries():
        if entry.modality != "audio" or entry.reason:
            continue
        try:
            cls = registry.load(entry)
        except UnusableBackendError:
            continue
        if cls.codec is not Backend.codec:
            yield cls
