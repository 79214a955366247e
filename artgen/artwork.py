"""What artgen makes: pixels, samples or characters together with the recipe that made them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from artgen.errors import SourceError, UsageError
from artgen.files import free_name
from artgen.media import image as image_media
from artgen.media import video as video_media
from artgen.recipe import Detail, Recipe, read_json

if TYPE_CHECKING:
    import PIL.Image


@dataclass(eq=False)
class Artwork:
    """Base of :class:`Image` and :class:`Video`.

    ``seeds`` are the seeds that made it, ``recipe`` how (None until :mod:`artgen.api` stamps it),
    ``name`` the name of the file it came from when it is the user's own.
    """

    modality: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    recipe: Recipe | None = field(default=None, kw_only=True)
    seeds: tuple[int, ...] = field(default=(), kw_only=True)
    name: str = field(default="", kw_only=True)

    def numpy(self) -> NDArray[Any]:
        """The content as an array."""
        raise NotImplementedError

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write the content to ``path`` with the recipe ``text`` and the digital source type ``mark``."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str], *, recipe: Detail = "full", overwrite: bool = False) -> Path:
        """Write a file whose kind is given by its ending; returns where it is.

        A file that exists is kept and the new one gets another name, unless ``overwrite``.

        Raises:
            UsageError: the ending is not one this kind of work can have.
            OutputError: the place cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in self.endings:
            raise UsageError(f"{path}: {self.modality} is saved as {', '.join(self.endings)}, not {path.suffix or 'no ending'}")
        path = path if overwrite else free_name(path)
        text = self.recipe.to_json(recipe) if self.recipe else ""
        self.encode(path, text, self.recipe.mark if self.recipe else "")
        return path


@dataclass(eq=False)
class Image(Artwork):
    """A picture: ``pixels`` uint8 [H, W, C] with C 1 (grey), 3 (RGB) or 4 (RGBA)."""

    pixels: NDArray[np.uint8]
    modality: ClassVar[str] = "image"
    endings: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")

    def numpy(self) -> NDArray[np.uint8]:
        """The pixels, uint8 [H, W, C]."""
        return self.pixels

    def to_pil(self) -> PIL.Image.Image:
        """The picture as a Pillow image."""
        return image_media.to_pil(self.pixels)

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write PNG, JPEG, WebP or TIFF by the ending of ``path``."""
        image_media.encode(self.pixels, path, text, mark)

    def _repr_png_(self) -> bytes:
        return image_media.png_bytes(self.pixels)


@dataclass(eq=False)
class Video(Artwork):
    """Moving pictures: ``frames`` uint8 [T, H, W, 3] shown at ``fps`` frames a second."""

    frames: NDArray[np.uint8]
    fps: float = 25.0
    modality: ClassVar[str] = "video"
    endings: ClassVar[tuple[str, ...]] = (".mp4", ".webm", ".gif", ".webp")

    def numpy(self) -> NDArray[np.uint8]:
        """The frames, uint8 [T, H, W, 3]."""
        return self.frames

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write MP4 (H.264, yuv420p), WebM, GIF or animated WebP by the ending of ``path``."""
        video_media.encode(self.frames, self.fps, path, text, mark)

    def _repr_html_(self) -> str:
        return video_media.html(self.frames, self.fps)


def grid(images: list[Image], columns: int, rows: int) -> Image:
    """Lay pictures of one size side by side, row by row; places left over stay white.

    Raises:
        UsageError: there are more pictures than places, none, or pictures of different sizes.
    """
    if not images:
        raise UsageError("a grid needs at least one picture")
    if len(images) > columns * rows:
        raise UsageError(f"a grid of {columns}x{rows} holds {columns * rows} pictures, not {len(images)}")
    shapes = {image.pixels.shape for image in images}
    if len(shapes) > 1:
        sizes = ", ".join(sorted(f"{width}x{height}x{channels}" for height, width, channels in shapes))
        raise UsageError(f"a grid holds pictures of one size, not {sizes}")
    height, width, channels = images[0].pixels.shape
    sheet = np.full((rows * height, columns * width, channels), 255, np.uint8)
    for place, image in enumerate(images):
        y, x = place // columns * height, place % columns * width
        sheet[y : y + height, x : x + width] = image.pixels
    return Image(sheet, seeds=tuple(seed for image in images for seed in image.seeds))


def open_artwork(path: str | os.PathLike[str]) -> Artwork:
    """Open a picture or a clip, with its recipe when it carries one.

    Raises:
        SourceError: there is no such file, or it is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    if video_media.is_video(path):
        frames, fps = video_media.decode(path)
        return Video(frames, fps, recipe=read_recipe(path), name=path.name)
    return Image(image_media.decode(path), recipe=read_recipe(path), name=path.name)


def read_text(path: str | os.PathLike[str]) -> str | None:
    """The recipe text that a file carries, whatever its kind, or None."""
    return video_media.read_text(Path(path))


def read_recipe(path: str | os.PathLike[str]) -> Recipe | None:
    """The recipe that a file carries, or None when it carries none or only the mark."""
    text = read_text(path)
    return read_json(text) if text else None
