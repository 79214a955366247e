"""Any mode of Pillow picture to 8-bit sRGB: depth, colour profile, transparency, orientation."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import UsageError

if TYPE_CHECKING:
    from PIL import Image

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_ORIENTATION = 0x0112


def paper(background: str) -> tuple[int, int, int]:
    """The red, green and blue of a colour name or ``#rrggbb``.

    Raises:
        UsageError: there is no such colour.
    """
    if background == "white":  # the default, which every start of a command checks; Pillow would take longer than all the rest
        return 255, 255, 255
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(background)[:3]
    except ValueError:
        raise UsageError(f"--background takes a colour name (white, navy) or #rrggbb, not {background}") from None
    return red, green, blue


def to_rgb(picture: Image.Image, background: tuple[int, int, int], *, keep_alpha: bool = False) -> Image.Image:
    """The picture as RGB on ``background``; with ``keep_alpha`` a picture with transparency stays RGBA."""
    from PIL import Image

    colour, alpha = _split(picture)
    colour = _to_srgb(colour, picture.info.get("icc_profile"))
    if alpha is None:
        return colour
    if keep_alpha:
        colour.putalpha(alpha)
        return colour
    canvas = Image.new("RGB", colour.size, background)
    canvas.paste(colour, mask=alpha)
    return canvas


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says; an orientation that cannot be read is none."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = None
    # Pillow parses EXIF from arbitrary bytes and raises whatever it trips over; the pixels are good all the same.
    with contextlib.suppress(Exception):
        turn = turns.get(int(picture.getexif().get(_ORIENTATION) or 1))
    return picture if turn is None else picture.transpose(turn)


def _split(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colour (mode L, RGB, CMYK or LAB) and, where the picture has transparency, its alpha (mode L)."""
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _deep(picture)
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert(picture.mode.upper())
    if picture.mode not in ("LA", "RGBA") and picture.has_transparency_data:
        picture = picture.convert("RGBA")
    if picture.mode in ("LA", "RGBA"):
        return picture.convert(picture.mode[:-1]), picture.getchannel("A")
    if picture.mode in ("L", "RGB", "CMYK", "LAB"):
        return picture, None
    return picture.convert("L" if picture.mode == "1" else "RGB"), None


def _deep(picture: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of more than 8 bits as mode L, scaled and never clipped, with the alpha of its transparent value."""
    from PIL import Image

    values = np.asarray(picture)
    alpha = None
    key = picture.info.get("transparency")
    if isinstance(key, int):
        alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8))
    return Image.fromarray(_to_8_bits(values, 16 if picture.mode.startswith("I;16") else 0)), alpha


def _to_8_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Grey values as uint8, scaled from 0 to 65535 where ``bits`` is 16.

    Files of 32 bits do not say their range, so it is the smallest usual one that holds them: 0 to 1 (float alone),
    0 to 255, 0 to 65535, else from the least to the greatest value.
    """
    numbers = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(numbers.min()), float(numbers.max())
    usual = [65535.0] if bits else [1.0, 255.0, 65535.0] if values.dtype.kind == "f" else [255.0, 65535.0]
    top = next((top for top in usual if low >= 0 and high <= top), None)
    if top is None:
        numbers, top = numbers - low, high - low or 1.0
    pixels: NDArray[np.uint8] = np.rint(numbers * (255.0 / top)).astype(np.uint8)
    return pixels


def _to_srgb(colour: Image.Image, icc: bytes | None) -> Image.Image:
    """RGB in sRGB; a profile that is broken or belongs to another kind of colour is left out of account."""
    if not icc and colour.mode != "LAB":  # most pictures: making a profile would take longer than decoding a small one
        return colour.convert("RGB")
    from PIL import ImageCms

    srgb = ImageCms.createProfile("sRGB")
    if colour.mode == "LAB":
        converted = ImageCms.profileToProfile(colour, ImageCms.createProfile("LAB"), srgb, outputMode="RGB")
        if converted is not None:
            return converted
    if icc:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            name = ImageCms.getProfileDescription(profile).strip().lower()
            same = name.startswith("srgb") and "linear" not in name  # converting would only round
            if not same and profile.profile.xcolor_space.strip() == _SPACES[colour.mode]:
                converted = ImageCms.profileToProfile(colour, profile, srgb, outputMode="RGB")
                if converted is not None:
                    return converted
    return colour.convert("RGB")
