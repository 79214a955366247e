"""Between a picture of the user, of any size, and the square that a model works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError
from artgen.media import image as image_media

if TYPE_CHECKING:
    from PIL.Image import Resampling

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Frame:
    """Where a picture of ``height`` x ``width`` lies in a square of ``side`` pixels: whole, in the middle, in its proportions."""

    height: int
    width: int
    side: int

    @property
    def inner(self) -> tuple[int, int]:
        """Height and width of the picture inside the square."""
        longest = max(self.height, self.width)
        return max(1, round(self.side * self.height / longest)), max(1, round(self.side * self.width / longest))

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns of the square that the picture covers."""
        (height, width), (top, left) = self.inner, self._corner
        return slice(top, top + height), slice(left, left + width)

    @property
    def _corner(self) -> tuple[int, int]:
        height, width = self.inner
        return (self.side - height) // 2, (self.side - width) // 2

    def fit(self, pixels: Pixels) -> Floats:
        """The square [S, S, 3], 0 to 255; beside the picture its edge pixels go on."""
        if (self.height, self.width) == (self.side, self.side):
            return pixels.astype(np.float32)
        height, width = self.inner
        small = np.asarray(image_media.to_pil(pixels).resize((width, height), _bicubic()), np.float32)
        top, left = self._corner
        around = ((top, self.side - height - top), (left, self.side - width - left), (0, 0))
        return np.pad(small, around, mode="edge")

    def known(self, repaint: Floats | None) -> Floats | None:
        """How much each pixel [S, S] of the square counts, 0 to 1: nothing beside the picture and where ``repaint`` [H, W] is 1.

        None when the picture covers the square and all of it counts.
        """
        if repaint is None and self.inner == (self.side, self.side):
            return None
        kept = np.zeros((self.side, self.side), np.float32)
        kept[self.place] = 1.0 if repaint is None else 1 - resized(repaint, *self.inner, smooth=False)
        return kept

    def back(self, plane: Floats) -> Floats:
        """One channel [S, S] of the square as it lies over the picture, [H, W]."""
        return resized(plane[self.place], self.height, self.width)


def resized(plane: Floats, height: int, width: int, *, smooth: bool = True) -> Floats:
    """One channel at another size: bicubic where ``smooth``, else the mean of what a pixel covers, which stays in range."""
    from PIL import Image

    if plane.shape == (height, width):
        return plane
    how = _bicubic() if smooth else Image.Resampling.BOX
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), how), np.float32)


def opaque(pixels: Pixels) -> Pixels:
    """Pixels [H, W, 1, 3 or 4] as [H, W, 3]: grey repeated, transparency laid on white as pictures from files are."""
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[..., 3:].astype(np.float32) / 255
    laid: Pixels = np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return laid


def read_mask(path: str, height: int, width: int) -> Floats:
    """How much of each pixel [height, width] a mask repaints, 0 to 1; a mask of another size is resized.

    Raises:
        SourceError: it cannot be read, or is all black or all white.
    """
    from PIL import Image

    grey = image_media.to_pil(image_media.decode(path)).convert("L")
    if grey.size != (width, height):
        grey = grey.resize((width, height), Image.Resampling.NEAREST)
    mask: Floats = np.asarray(grey, np.float32) / np.float32(255)
    if not mask.any():
        raise SourceError(f"{path}: all black, so nothing would change; paint white what --mask shall repaint")
    if mask.min() == 1:
        raise SourceError(f"{path}: all white, so nothing would be kept; leave --mask out and give --strength 1 for a new picture")
    return mask


def spread(values: Floats, known: Floats) -> Floats:
    """A smooth surface [S, S] through ``values`` where they are ``known`` (0 to 1), carried on where they are not.

    S is a power of two. Source: Gortler et al. 1996, "The Lumigraph", section 3.4 (pull and push).
    """
    if len(values) == 1:
        return values
    weight = _halved(known)
    means = np.divide(_halved(values * known), weight, out=np.zeros_like(weight), where=weight > 1e-6)
    coarse = resized(spread(means, np.minimum(1, 4 * weight)), *values.shape, smooth=True)
    whole: Floats = known * values + (1 - known) * coarse
    return whole


def _halved(plane: Floats) -> Floats:
    halves: Floats = plane.reshape(len(plane) // 2, 2, -1, 2).mean((1, 3), dtype=np.float32)
    return halves


def _bicubic() -> Resampling:
    from PIL import Image

    return Image.Resampling.BICUBIC
