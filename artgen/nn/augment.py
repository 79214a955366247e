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
    return Augmentation(numbers, strength, *images.shape[-2:], mirror=mirror)(images)


class Augmentation:
    """What :func:`augment` does to each of B pictures of one size, worked out once for all that look through it."""

    def __init__(self, numbers: Tensor, strength: Tensor, height: int, width: int, *, mirror: bool = True) -> None:
        self.rows, self.columns = _geometry(numbers[:, :7], strength, height, width, mirror)
        self.colours = _colours(numbers[:, 7:11], strength)
        self.holes = _holes(numbers[:, 11:14], strength, height, width)

    def __call__(self, images: Tensor, places: Tensor | None = None) -> Tensor:
        """Pictures [b, C, H, W] as they are seen; ``places`` [b] says which of the B they are, all when not given."""
        rows, columns, colours, holes = self.rows, self.columns, self.colours, self.holes
        if places is not None:
            rows, columns, colours, holes = rows[places], columns[places], colours[places], holes[places]
        dtype = images.dtype
        images = torch.einsum("byh,bchw,bxw->bcyx", rows.to(dtype), images, columns.to(dtype))
        return _recoloured(images, colours.to(images.dtype)).masked_fill(holes, 0.0)


def _geometry(u: Tensor, strength: Tensor, height: int, width: int, mirror: bool) -> tuple[Tensor, Tensor]:
    """Matrices [B, H, H] and [B, W, W] that read rows and columns at other places."""
    move = (u[:, 0] < strength).float()
    zoom = (u[:, 1] < strength * 0.5).float()
    shift_y = torch.round((u[:, 2] * 2 - 1) * 0.125 * height) * move
    shift_x = torch.round((u[:, 3] * 2 - 1) * 0.125 * width) * move
    scale = torch.exp2((u[:, 4] * 2 - 1) * 0.4 * zoom)
    flip = u[:, 5] < strength * 0.5 if mirror else None
    return _resample(height, scale, shift_y, None), _resample(width, scale, shift_x, flip)


def _resample(size: int, scale: Tensor, shift: Tensor, flip: Tensor | None) -> Tensor:
    """Matrices [B, size, size] that read an axis at scaled and shifted places; outside is zero (mid-grey)."""
    centre = (size - 1) / 2
    place = torch.arange(size, device=scale.device, dtype=torch.float32)
    source = (place - centre) / scale[:, None] + (centre - shift[:, None])  # [B, size]
    if flip is not None:
        source = torch.where(flip[:, None], size - 1 - source, source)
    return (1 - (source[:, :, None] - place).abs()).clamp_min(0)


def _colours(u: Tensor, strength: Tensor) -> Tensor:
    """How much brighter, more colourful and richer in contrast each picture gets: [B, 3], 0 where nothing changes."""
    # One number decides and is stretched back to 0..1 for the amount: u < p becomes u / p.
    amount = (u[:, :3] / strength.clamp_min(1e-6) * 2 - 1).clamp(-1, 1)
    return amount * (u[:, :3] < strength)


def _recoloured(images: Tensor, amounts: Tensor) -> Tensor:
    """Brightness moves all pixels, saturation pulls them from their grey, contrast from the mean; as one product and one sum."""
    brighter, colourful, contrast = amounts[:, :, None, None, None].unbind(1)
    brighter, contrast = brighter * 0.5, contrast * 0.5
    grey = images.mean(1, keepdim=True)
    mean = grey.mean((2, 3), keepdim=True)
    if images.shape[1] != 3:
        colourful = torch.zeros_like(colourful)
    factor = (1 + contrast) * (1 + colourful)
    rest = grey * (-(1 + contrast) * colourful) + (brighter - contrast * mean)
    return torch.addcmul(rest, images, factor)


def _holes(u: Tensor, strength: Tensor, height: int, width: int) -> Tensor:
    """Where each picture is covered: [B, 1, H, W]."""
    on = u[:, 0] < strength * 0.5
    y = torch.arange(height, device=u.device) + 0.5
    x = torch.arange(width, device=u.device) + 0.5
    inside_y = (y - u[:, 1:2] * height).abs() < height * 0.25  # [B, H]
    inside_x = (x - u[:, 2:3] * width).abs() < width * 0.25
    return inside_y[:, None, :, None] & inside_x[:, None, None, :] & on[:, None, None, None]
