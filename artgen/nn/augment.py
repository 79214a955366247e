"""Differentiable augmentation of what the discriminator sees.

Every augmentation is linear in the pixels or a product with constants, so that gradient penalties may pass twice.
Geometry is two batched matrix products (one along y, one along x), which is exact for whole-pixel shifts and mirrors,
interpolates for scales, and costs next to nothing on matrix units.
Sources: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training"; Karras et al. 2020,
"Training Generative Adversarial Networks with Limited Data", appendix B.
"""

from __future__ import annotations

import torch
from torch import Tensor

# B batch, C channels, H height, W width

DRAWS = 14


def augment(images: Tensor, numbers: Tensor, strength: Tensor, *, mirror: bool = True) -> Tensor:
    """Shift, scale, mirror, recolour and cut out parts of pictures, each with probability ``strength``.

    Shapes: images [B, C, H, W] in -1..1, numbers uniform [B, DRAWS] -> [B, C, H, W].
    ``strength`` is a tensor of one element in 0..1.
    """
    images = _geometry(images, numbers[:, :7], strength, mirror)
    images = _colour(images, numbers[:, 7:11], strength)
    return _cutout(images, numbers[:, 11:14], strength)


def _geometry(images: Tensor, u: Tensor, strength: Tensor, mirror: bool) -> Tensor:
    height, width = images.shape[-2:]
    move = (u[:, 0] < strength).float()
    zoom = (u[:, 1] < strength * 0.5).float()
    shift_y = torch.round((u[:, 2] * 2 - 1) * 0.125 * height) * move
    shift_x = torch.round((u[:, 3] * 2 - 1) * 0.125 * width) * move
    scale = torch.exp2((u[:, 4] * 2 - 1) * 0.4 * zoom)
    flip = (u[:, 5] < strength * 0.5).float() if mirror else torch.zeros_like(move)
    rows = _resample(height, scale, shift_y, torch.zeros_like(flip))
    columns = _resample(width, scale, shift_x, flip)
    dtype = images.dtype
    return torch.einsum("byh,bchw,bxw->bcyx", rows.to(dtype), images, columns.to(dtype))


def _resample(size: int, scale: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
    """Matrices [B, size, size] that read an axis at scaled and shifted places; outside is zero (mid-grey)."""
    centre = (size - 1) / 2
    place = torch.arange(size, device=scale.device, dtype=torch.float32)
    source = (place[None] - centre) / scale[:, None] + centre - shift[:, None]  # [B, size]
    source = torch.where(flip[:, None] > 0, size - 1 - source, source)
    return (1 - (source[:, :, None] - place).abs()).clamp_min(0)


def _colour(images: Tensor, u: Tensor, strength: Tensor) -> Tensor:
    u = u.to(images.dtype)[:, :, None, None, None]
    on = strength.to(images.dtype)
    # One number decides and is stretched back to 0..1 for the amount: u < p becomes u / p.
    chosen = (u[:, :3] < on).to(images.dtype)
    amount = (u[:, :3] / on.clamp_min(1e-6) * 2 - 1).clamp(-1, 1) * chosen
    images = images + amount[:, 0] * 0.5
    if images.shape[1] == 3:
        grey = images.mean(1, keepdim=True)
        images = grey + (images - grey) * (1 + amount[:, 1])
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (1 + amount[:, 2] * 0.5)


def _cutout(images: Tensor, u: Tensor, strength: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    on = u[:, 0] < strength * 0.5
    y = torch.arange(height, device=images.device)[None] + 0.5
    x = torch.arange(width, device=images.device)[None] + 0.5
    inside_y = (y - u[:, 1:2] * height).abs() < height * 0.25  # [B, H]
    inside_x = (x - u[:, 2:3] * width).abs() < width * 0.25
    hole = inside_y[:, None, :, None] & inside_x[:, None, None, :] & on[:, None, None, None]
    return images.masked_fill(hole, 0.0)
