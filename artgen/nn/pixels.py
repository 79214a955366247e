"""Between pixels and signals, for tensors: the neighbours of ``artgen.media.image``'s pair for arrays."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_signal(pixels: Tensor) -> Tensor:
    """Pixels uint8 [B, H, W, C] as a signal float32 [B, C, H, W] in -1..1, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)


def to_pixels(signal: Tensor) -> NDArray[np.uint8]:
    """A signal [B, C, H, W] as pixels uint8 [B, H, W, C]; values outside -1..1 are cut off."""
    scaled = signal.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).cpu().contiguous().numpy()


def clip_pixels(clips: Tensor) -> NDArray[np.uint8]:
    """Clips [B, C, T, H, W] as pixels uint8 [B, T, H, W, C], as :func:`to_pixels` does with pictures."""
    frames = clips.transpose(1, 2)  # [B, T, C, H, W]
    pixels = to_pixels(frames.flatten(0, 1))
    return pixels.reshape(*frames.shape[:2], *pixels.shape[1:])


def clip_signal(clips: Tensor) -> Tensor:
    """Clips of bytes as a signal float32 in -1..1, their shape as it is."""
    return clips.to(torch.float32).div_(127.5).sub_(1.0)
