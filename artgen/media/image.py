"""Pictures: any file that Pillow reads to uint8 pixels, pixels to files that carry their recipe, and value ranges."""

from __future__ import annotations

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from artgen.errors import ArtgenError, OutputError, SourceError, UsageError
from artgen.files import similar, write_atomically
from artgen.media import colour, foreign, marks

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 100_000_000
MOST_PIXELS = 178_956_970
"""Pillow itself refuses more, whatever is asked for."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
_LONGEST = {"JPEG": 65_500, "WEBP": 16_383}  # pixels a side that the format can hold

# catch_warnings changes the filters of the whole process: two threads inside it at once would leave them changed.
_warnings = threading.Lock()


class TooManyPixelsError(SourceError):
    """A picture has more pixels than may be decoded."""


def decode(
    source: str | Path | bytes,
    *,
    background: str = "white",
    name: str = "",
    max_pixels: int = MAX_PIXELS,
    keep_alpha: bool = False,
    target: int | None = None,
) -> NDArray[np.uint8]:
    """The pixels of a picture, uint8 [H, W, 3] in sRGB, upright, the first frame where there are several.

    Transparency is laid on ``background``; with ``keep_alpha`` a picture that has some gives [H, W, 4]. ``name`` stands in
    messages (default: the path). ``target`` is the smallest edge wanted: a large JPEG is then decoded at a fraction of its
    size, for speed, with edges never below ``target`` unless they were to begin with.

    Raises:
        SourceError: no such file, not a picture, or damaged.
        TooManyPixelsError: more than ``max_pixels`` (by its header, before decoding), or than ``MOST_PIXELS``.
        UsageError: there is no such background colour.
    """
    label = name or ("the picture" if isinstance(source, bytes) else str(source))
    rgb = colour.paper(background)
    with opened(source, name=label, max_pixels=max_pixels) as picture:
        if target:
            picture.draft(None, (target, target))
        picture.load()
        with quiet():
            turned = colour.upright(picture)
        return np.array(colour.to_rgb(turned, rgb, keep_alpha=keep_alpha))


@contextlib.contextmanager
def opened(source: str | Path | bytes, *, name: str, max_pixels: int) -> Iterator[Image.Image]:
    """Open a picture with Pillow, its header read and its size within ``max_pixels``, its pixels not yet decoded.

    Whatever Pillow raises inside the block becomes a SourceError, because the bytes are anybody's: its readers
    raise OSError, SyntaxError, ValueError, struct.error and more.
    """
    from PIL import Image, UnidentifiedImageError

    head = b""
    if Image.MAX_IMAGE_PIXELS:
        max_pixels = min(max_pixels, 2 * Image.MAX_IMAGE_PIXELS)  # what Pillow refuses itself
    try:
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(io.BytesIO(source) if isinstance(source, bytes) else _open(Path(source), name))
            head = file.read(foreign.HEAD)
            file.seek(0)
            if foreign.is_heic(head):
                foreign.learn_heic()
            if foreign.is_raw(head, name):  # Pillow would take the small preview at its beginning
                raise SourceError(f"{name}: {foreign.camera_raw()}")
            with quiet():
                picture = stack.enter_context(Image.open(file))
            width, height = picture.size
            if width * height > max_pixels:
                raise TooManyPixelsError(_too_large(name, f"{width}x{height} is {width * height:,} pixels", max_pixels))
            yield picture
    except ArtgenError:
        raise
    except Image.DecompressionBombError as error:
        count = re.search(r"\d{6,}", str(error))
        told = f"{int(count[0]):,} pixels" if count else "too many pixels"
        raise TooManyPixelsError(_too_large(name, told, max_pixels)) from None
    except UnidentifiedImageError:
        told = foreign.told(head, name)
        if told:
            raise SourceError(f"{name}: {told}") from None
        told = "not a picture of a known kind" if head else "the file is empty"
        raise SourceError(f"{name}: {told}; give a picture such as PNG, JPEG, WebP, TIFF or GIF") from None
    except Exception as error:
        reason = str(error).strip().rstrip(".") or type(error).__name__
        raise SourceError(f"{name}: the picture is damaged or incomplete ({reason}); replace the file or leave it out") from None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's remarks about odd files from the user (and from turning into errors) while a header is read."""
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def to_pil(pixels: NDArray[np.uint8]) -> Image.Image:
    """The Pillow image of ``pixels`` uint8 [H, W, C] with C 1 (grey), 3 (RGB) or 4 (RGBA)."""
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """The picture as the bytes of a PNG file without metadata."""
    return _encoded(pixels, "PNG", "", "", 0)


def encode(pixels: NDArray[np.uint8], path: str | Path, text: str, mark: str, *, quality: int = 92) -> None:
    """Write PNG, JPEG, WebP or TIFF by the ending of ``path``, with the recipe ``text`` and the digital source type ``mark``.

    The same input gives the same bytes. ``quality`` (1 to 100) is for JPEG and WebP; WebP of quality 100 is lossless.
    JPEG has no transparency: it is laid on white.

    Raises:
        OutputError: the place cannot be written, or the format cannot hold a picture of this size.
    """
    path = Path(path)
    kind = FORMATS[path.suffix.lower()]
    longest = _LONGEST.get(kind, 2**31)
    if max(pixels.shape[:2]) > longest:
        height, width = pixels.shape[:2]
        raise OutputError(f"{path}: {path.suffix} holds at most {longest:,} pixels a side, not {width}x{height}; save as .png")
    write_atomically(path, _encoded(pixels, kind, text, mark, quality))


def sheet(pictures: Sequence[NDArray[np.uint8]], columns: int, rows: int) -> NDArray[np.uint8]:
    """Pictures [H, W, C] of one size side by side, row by row, [rows H, columns W, C]; places left over stay white.

    Raises:
        UsageError: there are more pictures than places, none, or pictures of different sizes.
    """
    if not pictures:
        raise UsageError("a grid needs at least one picture")
    if len(pictures) > columns * rows:
        raise UsageError(f"a grid of {columns}x{rows} holds {columns * rows} pictures, not {len(pictures)}")
    shapes = {pixels.shape for pixels in pictures}
    if len(shapes) > 1:
        sizes = ", ".join(sorted(f"{width}x{height}x{channels}" for height, width, channels in shapes))
        raise UsageError(f"a grid holds pictures of one size, not {sizes}")
    height, width, channels = pictures[0].shape
    whole = np.full((rows * height, columns * width, channels), 255, np.uint8)
    for place, pixels in enumerate(pictures):
        y, x = place // columns * height, place % columns * width
        whole[y : y + height, x : x + width] = pixels
    return whole


def read_marks(path: str | Path) -> marks.Marks:
    """The recipe text and the digital source type of a picture file.

    Raises:
        SourceError: there is no such file, or it is no picture.
    """
    path = Path(path)
    with _open(path, str(path)) as file:
        head = file.read(8)
        file.seek(0)
        if head == b"\x89PNG\r\n\x1a\n":
            return marks.from_png(file)
        if head.startswith(b"GIF8"):
            return marks.from_gif(file.read())
    with opened(path, name=str(path), max_pixels=2**62) as picture:
        if picture.format in ("JPEG", "MPO"):
            segments: list[tuple[str, bytes]] = getattr(picture, "applist", [])
            return marks.from_jpeg(segments)
        xmp = picture.info.get("xmp", b"")
        return marks.from_xmp(xmp) if isinstance(xmp, (bytes, str)) else marks.Marks()


def read_text(path: str | Path) -> str | None:
    """The recipe text in a picture file, or None where it carries none.

    Raises:
        SourceError: there is no such file, or it is no picture.
    """
    return read_marks(path).text


def read_mark(path: str | Path) -> str | None:
    """The IPTC digital source type in a picture file, or None where it carries none.

    Raises:
        SourceError: there is no such file, or it is no picture.
    """
    return read_marks(path).mark


def to_signal(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pixels 0 to 255 as float32 -1 to 1."""
    return pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_pixels(signal: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """A signal -1 to 1 as pixels 0 to 255, rounded and clipped: the exact inverse of :func:`to_signal`."""
    pixels: NDArray[np.uint8] = np.clip(np.rint((signal + 1) * 127.5), 0, 255).astype(np.uint8)
    return pixels


def _encoded(pixels: NDArray[np.uint8], kind: str, text: str, mark: str, quality: int) -> bytes:
    picture = to_pil(pixels)
    if kind == "JPEG" and picture.mode == "RGBA":
        picture = colour.to_rgb(picture, (255, 255, 255))
    xmp = marks.packet(mark, text) if text or mark else b""
    settings: dict[str, Any]
    if kind == "PNG":
        settings = {"pnginfo": marks.png_info(text, mark)}
    elif kind == "JPEG":
        settings = {"quality": quality, "subsampling": 0, "optimize": True}
    elif kind == "WEBP":
        settings = {"quality": quality, "lossless": quality == 100, "method": 4, "xmp": xmp}
    else:
        settings = {"compression": "tiff_adobe_deflate", "tiffinfo": {700: xmp} if xmp else {}}
    buffer = io.BytesIO()
    picture.save(buffer, kind, **settings)
    data = buffer.getvalue()
    return marks.into_jpeg(data, text, mark) if kind == "JPEG" else data


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise SourceError(f"{name}: no such file{similar(path)}") from None
    except IsADirectoryError:
        raise SourceError(f"{name}: a folder, not a picture; give a file") from None
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}") from None


def _too_large(name: str, told: str, max_pixels: int) -> str:
    return f"{name}: {told}, at most {max_pixels:,} are read; make the picture smaller first"
