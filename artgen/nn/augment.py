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

# B batch, C channels, T frames, H height, W width

DRAWS = 14
CLIP_DRAWS = DRAWS + 8
"""Of them the last 8 are about time."""


def augment(images: Tensor, numbers: Tensor, strength: Tensor, *, mirror: bool = True) -> Tensor:
    """Shift, scale, mirror, recolour and cut out parts of pictures, each with probability ``strength``.

    Shapes: images [B, C, H, W] in -1..1, numbers uniform [B, DRAWS] -> [B, C, H, W]. Clips have frames before height and width.
    ``strength`` is a tensor of one element in 0..1.
    """
    return Augmentation(numbers, strength, *images.shape[-2:], mirror=mirror)(images)


def augment_clips(clips: Tensor, numbers: Tensor, strength: Tensor, *, mirror: bool = True, reverse: bool = True) -> Tensor:
    """:func:`augment` with one draw for all frames of a clip, and changes of its time.

    In time a clip is reversed, begins earlier or later, runs faster or slower (its first and last frame stand as long as
    nothing else is there), and loses a frame (the one before stands instead); all of it is one matrix product along time.
    Shapes: clips [B, C, T, H, W] in -1..1, numbers uniform [B, CLIP_DRAWS] -> [B, C, T, H, W].
    """
    return ClipAugmentation(numbers, strength, *clips.shape[-3:], mirror=mirror, reverse=reverse)(clips)


class Augmentation:
    """What :func:`augment` does to each of B pictures of one size, worked out once for all that look through it.

    It changes all frames of a clip [b, C, T, H, W] alike. Without ``recolour`` colours stay what they are.
    """

    def __init__(
        self, numbers: Tensor, strength: Tensor, height: int, width: int, *, mirror: bool = True, recolour: bool = True
    ) -> None:
        self.rows, self.columns = _geometry(numbers[:, :7], strength, height, width, mirror)
        self.colours = _colours(numbers[:, 7:11], strength) if recolour else None
        self.holes = _holes(numbers[:, 11:14], strength, height, width)

    def __call__(self, images: Tensor, places: Tensor | None = None) -> Tensor:
        """Pictures [b, C, H, W] as they are seen; ``places`` [b] says which of the B they are, all when not given."""
        rows, columns, colours, holes = self.rows, self.columns, self.colours, self.holes
        if places is not None:
            rows, columns, holes = rows[places], columns[places], holes[places]
            colours = None if colours is None else colours[places]
        dtype = images.dtype
        flat = images.flatten(1, -3)  # the frames of a clip beside each other
        moved = torch.einsum("byh,bchw,bxw->bcyx", rows.to(dtype), flat, columns.to(dtype)).reshape(images.shape)
        holes = holes if images.ndim == 4 else holes[:, :, None]
        if colours is not None:
            moved = _recoloured(moved, colours.to(moved.dtype))
        return moved.masked_fill(holes, 0.0)


class ClipAugmentation(Augmentation):
    """What :func:`augment_clips` does to each of B clips of one size."""

    def __init__(
        self, numbers: Tensor, strength: Tensor, frames: int, height: int, width: int, *, mirror: bool = True, reverse: bool = True,
        recolour: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(numbers[:, :DRAWS], strength, height, width, mirror=mirror, recolour=recolour)
        self.times = _times(frames, numbers[:, DRAWS:], strength, reverse)

    def __call__(self, images: Tensor, places: Tensor | None = None) -> Tensor:
        """Clips [b, C, T, H, W] as they are seen; ``places`` [b] says which of the B they are, all when not given."""
        times = (self.times if places is None else self.times[places]).to(images.dtype)
        moved = torch.einsum("bst,bctn->bcsn", times, images.flatten(3)).reshape(images.shape)
        return super().__call__(moved, places)


def _times(frames: int, u: Tensor, strength: Tensor, reverse: bool) -> Tensor:
    """Matrices [B, T, T] that read a clip at other times."""
    place = torch.arange(frames, device=u.device, dtype=torch.float32)
    start = torch.round((u[:, 0] * 2 - 1) * 0.25 * frames) * (u[:, 1] < strength * 0.5)
    stride = torch.exp2((u[:, 2] * 2 - 1) * (u[:, 3] < strength * 0.5))  # 0.5 to 2
    centre = (frames - 1) / 2
    source = (place - centre) * stride[:, None] + centre + start[:, None]  # [B, T]
    if reverse:
        source = torch.where(u[:, 4:5] < strength * 0.5, frames - 1 - source, source)
    source = source.clamp(0, frames - 1)
    # A dropped frame shows what the one before it shows.
    lost = 1 + (u[:, 5:6] * (frames - 1)).floor()
    here = (place == lost) & (u[:, 6:7] < strength * 0.5)
    source = torch.where(here, source.roll(1, 1), source)
    return (1 - (source[:, :, None] - place).abs()).clamp_min(0)


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
    brighter, colourful, contrast = amounts.reshape(*amounts.shape, *[1] * (images.ndim - 1)).unbind(1)
    brighter, contrast = brighter * 0.5, contrast * 0.5
    grey = images.mean(1, keepdim=True)
    mean = grey.mean(tuple(range(2, images.ndim)), keepdim=True)
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
