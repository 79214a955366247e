"""Clips of high dynamic range as ordinary pictures: light measured in candela to 8-bit sRGB.

Sources: SMPTE ST 2084 (PQ) and ITU-R BT.2100 (HLG) for what a code means, BT.2408 for 203 cd/m² as the white of paper,
BT.2087 for the primaries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18
"""The transfer functions of high dynamic range, by the number that H.273 gives them."""

WHITE = 203.0
"""Candela a square metre that become white paper."""

_KNEE = 0.7  # of white: what is darker stays as it is, what is brighter is led softly towards the brightest pixel
_PRIMARIES = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124551, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)
_ROWS = 256  # at once, so that a large frame needs little memory


def to_sdr(codes: NDArray[np.uint16], transfer: int) -> NDArray[np.uint8]:
    """Codes uint16 [H, W, 3] of BT.2020 primaries and full range as pixels uint8 [H, W, 3] in sRGB; ``transfer`` is PQ or HLG."""
    light = _pq if transfer == PQ else _hlg
    return np.concatenate([_shown(light(codes[row : row + _ROWS])) for row in range(0, len(codes), _ROWS)])


def _pq(codes: NDArray[np.uint16]) -> NDArray[Any]:
    """Candela a square metre."""
    power = (codes.astype(np.float32) / 65535) ** np.float32(1 / 78.84375)
    return 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** np.float32(1 / 0.1593017578125)


def _hlg(codes: NDArray[np.uint16]) -> NDArray[Any]:
    """Candela a square metre on a screen of 1000."""
    signal = codes.astype(np.float32) / 65535
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12)
    luminance = scene @ _LUMINANCE
    return 1000 * scene * np.maximum(luminance, 1e-6)[..., None] ** np.float32(0.2)


def _shown(light: NDArray[Any]) -> NDArray[np.uint8]:
    linear = np.maximum((light / np.float32(WHITE)) @ _PRIMARIES.T, 0)
    brightest = linear.max(-1, keepdims=True)
    over = np.maximum(brightest - _KNEE, 0) / (1 - _KNEE)
    # All three channels by one factor: a bright red stays red.
    linear *= np.where(over > 0, (_KNEE + (1 - _KNEE) * (1 - np.exp(-over))) / np.maximum(brightest, 1e-6), 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055)
    pixels: NDArray[np.uint8] = np.rint(coded * 255).clip(0, 255).astype(np.uint8)
    return pixels
