"""Sizes: scaling pictures, the octaves of a dream, and gradients made even over fine and coarse shapes."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# B batch, C channels, H height, W width

LEVELS = 3
"""Bands that a gradient is split into, beside the coarse rest."""

REST = 0.25
"""Weight of the coarse rest: octaves draw the large shapes, and at full weight it bleaches and blackens whole regions."""

REGION = 16
"""Edge of the regions that are made equally strong, in pixels of a band."""

QUIET = 0.1
"""Share of the mean power below which a region counts as empty and stays so."""

COARSEST = 8
"""Edge below which a band is not split further, in pixels."""


def octave_sizes(height: int, width: int, count: int, scale: float, smallest: int) -> list[tuple[int, int]]:
    """The sizes of up to ``count`` octaves, the full one last, none with an edge below ``smallest``."""
    sizes = [(round(height / scale**power), round(width / scale**power)) for power in reversed(range(count))]
    return [size for size in sizes[:-1] if min(size) >= smallest] + [(height, width)]


def resized(pictures: Tensor, height: int, width: int) -> Tensor:
    """Pictures [B, C, H, W] at another size, smoothly, within -1..1; of the same size they pass untouched."""
    if pictures.shape[-2:] == (height, width):
        return pictures
    return F.interpolate(pictures, (height, width), mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)


def enlarged(detail: Tensor, height: int, width: int) -> Tensor:
    """What a dream added, [B, C, H, W], at a larger size; unlike a picture it has no bounds."""
    return F.interpolate(detail, (height, width), mode="bicubic", align_corners=False)


def laplacian(gradient: Tensor) -> Tensor:
    """The gradient [B, C, H, W] with its bands, fine to coarse, equally strong.

    Source: Mordvintsev 2016, "DeepDreaming with TensorFlow" (Laplacian pyramid gradient normalisation).
    """
    bands = []
    for _ in range(LEVELS):
        if min(gradient.shape[-2:]) < 2 * COARSEST:
            break
        small = _halved(gradient)
        bands.append(gradient - _grown(small, gradient))
        gradient = small
    even = REST * level(gradient)
    for band in reversed(bands):
        even = _grown(even, band) + level(band)
    return even


def gaussian(gradient: Tensor) -> Tensor:
    """The gradient [B, C, H, W] plus itself at every coarser size: what is coarse counts more often."""
    total, small = gradient, gradient
    for _ in range(LEVELS):
        if min(small.shape[-2:]) < 2 * COARSEST:
            break
        small = _halved(small)
        total = total + _grown(small, gradient)
    return total


def without_grid(gradient: Tensor) -> Tensor:
    """The gradient [B, C, H, W] without patterns that repeat every two or four pixels.

    Strides and pools answer for some pixels more often than for others, which draws a grid into every gradient.
    Source: Odena et al. 2016, "Deconvolution and checkerboard artifacts".
    """
    taps = torch.tensor([0.25, 0.5, 0.25], device=gradient.device)
    channels = gradient.shape[1]
    for gap in (1, 2):
        gradient = F.pad(gradient, (gap, gap, gap, gap), mode="replicate")
        for shape in ((1, 1, 3, 1), (1, 1, 1, 3)):
            kernel = taps.view(shape).expand(channels, -1, -1, -1)
            gradient = F.conv2d(gradient, kernel, dilation=gap, groups=channels)
    return gradient


def level(band: Tensor) -> Tensor:
    """A band [B, C, H, W] made as strong in its quiet regions as in its loud ones, half of the way.

    Otherwise a dream grows where the picture is busy and leaves the rest empty.
    """
    power = band.square().mean(1, keepdim=True)
    height, width = (-(-edge // REGION) for edge in band.shape[-2:])
    near = F.interpolate(power, (height, width), mode="bilinear", antialias=True, align_corners=False)
    floor = QUIET * power.mean((1, 2, 3), keepdim=True)
    return unit(band / (_grown(near, band) + floor).clamp_min(1e-30).sqrt())


def unit(values: Tensor) -> Tensor:
    """``values`` [B, ...] with a root mean square of 1 in every item; zeros stay zeros."""
    # float64: squares of gradients as small as 1e-20 are still told from zero.
    scale = values.double().square().mean(tuple(range(1, values.ndim)), keepdim=True).sqrt()
    return torch.where(scale > 0, values / scale.clamp_min(1e-300), torch.zeros_like(values, dtype=torch.float64)).float()


def _halved(values: Tensor) -> Tensor:
    height, width = ((edge + 1) // 2 for edge in values.shape[-2:])
    return F.interpolate(values, (height, width), mode="bilinear", antialias=True, align_corners=False)


def _grown(values: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(values, like.shape[-2:], mode="bilinear", align_corners=False)
