"""What artgen makes: pixels, samples or characters together with the recipe that made them."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from artgen import discovery, quarantine
from artgen.errors import ArtgenError, UnusableBackendError, UsageError
from artgen.files import free_name, present, write_atomically
from artgen.media import audio as audio_media
from artgen.media import image as image_media
from artgen.media import text as text_media
from artgen.media import video as video_media
from artgen.media.clips import Sound
from artgen.media.difference import Edit, word_edits
from artgen.recipe import Detail, Recipe, read_json

if TYPE_CHECKING:
    import PIL.Image

    from artgen.signing import Signature

OWN_MODALITIES = ("image", "audio", "text", "video")
"""The modalities that come with artgen."""


@dataclass(eq=False)
class Artwork:
    """Base of every kind of work: :class:`Image`, :class:`Audio`, :class:`Text`, :class:`Video`, and what plugins add.

    A plugin that adds a modality subclasses it, sets ``modality`` and ``endings`` (the default one first), implements
    :meth:`numpy`, :meth:`encode` and :meth:`decode`, and names the class in the entry-point group ``artgen.modalities``.

    ``seeds`` are the seeds that made it, ``recipe`` how (None until :mod:`artgen.api` stamps it),
    ``name`` the name of the file it came from when it is the user's own, ``remarks`` what was odd about that file and what was made
    of it. ``options`` are the options, by name, that hold for this work alone where several were made in one go (the prompt of a
    batch); its recipe tells them instead of those that were asked for, and None takes one out.
    """

    modality: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    recipe: Recipe | None = field(default=None, kw_only=True)
    seeds: tuple[int, ...] = field(default=(), kw_only=True)
    name: str = field(default="", kw_only=True)
    options: dict[str, Any] = field(default_factory=dict, kw_only=True)
    remarks: tuple[str, ...] = field(default=(), kw_only=True)

    def numpy(self) -> NDArray[Any]:
        """The content as an array."""
        raise NotImplementedError

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write the content to ``path`` with the recipe ``text`` and the digital source type ``mark``."""
        raise NotImplementedError

    @classmethod
    def decode(cls, path: Path) -> Self:
        """The content of a file that :meth:`encode` wrote, or another program; without recipe and name.

        Raises:
            SourceError: the file is not of this kind, or damaged.
        """
        raise NotImplementedError

    @classmethod
    def read_text(cls, path: Path) -> str | None:
        """The recipe text that a file carries, or None; by default what :func:`write_sidecar` put beside it."""
        sidecar = path.with_name(f"{path.name}.json")
        return sidecar.read_text(encoding="utf-8", errors="replace") if sidecar.is_file() else None

    def facts(self) -> dict[str, Any]:
        """What ``artgen show`` tells of the content, by name."""
        array = self.numpy()
        return {"shape": list(array.shape), "numbers": str(array.dtype)}

    def portrait(self) -> Image | None:
        """A picture that stands for the work where it is shown small, or None."""
        return None

    def vacant(self, path: Path) -> Path:
        """``path`` where nothing would be overwritten, else a name like it."""
        return free_name(path)

    def save(
        self, path: str | os.PathLike[str], *, recipe: Detail = "full", overwrite: bool = False, sign: Signature | None = None
    ) -> Path:
        """Write a file whose kind is given by its ending; returns where it is.

        A file that exists is kept and the new one gets another name, unless ``overwrite``. ``sign`` adds a signature
        (:class:`artgen.signing.Signature`) that tells who made it and that it is unchanged.

        Raises:
            UsageError: the ending is not one this kind of work can have.
            OutputError: the place cannot be written.
        """
        path = Path(path)
        if path.suffix.lower() not in self.endings:
            raise UsageError(f"{path}: {self.modality} is saved as {', '.join(self.endings)}, not {path.suffix or 'no ending'}")
        if sign is not None:
            sign.check(path.suffix)
        path = path if overwrite else self.vacant(path)
        text = self.recipe.to_json(recipe) if self.recipe else ""
        self.encode(path, text, self.recipe.mark if self.recipe else "")
        if sign is not None:
            sign.sign(path, text, self.recipe.mark if self.recipe else "")
        from artgen import history  # help and listings import this module, and remember nothing

        history.record(self.recipe, path)
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

    def portrait(self) -> Image:
        """Itself."""
        return self

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
    """Moving pictures: ``frames`` uint8 [T, H, W, 3] shown at ``fps`` frames a second.

    ``audio`` is the sound that goes with them, (samples float32 [N, C], rate in Hz): MP4 and WebM alone can hold it.
    """

    frames: NDArray[np.uint8]
    fps: float = 25.0
    audio: Sound | None = None
    modality: ClassVar[str] = "video"
    endings: ClassVar[tuple[str, ...]] = (".mp4", ".webm", ".gif", ".webp")

    def numpy(self) -> NDArray[np.uint8]:
        """The frames, uint8 [T, H, W, 3]."""
        return self.frames

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write MP4 (H.264, yuv420p), WebM, GIF or animated WebP by the ending of ``path``."""
        video_media.encode(self.frames, self.fps, path, text, mark, audio=self.audio)

    def portrait(self) -> Image:
        """Its middle frame."""
        return Image(self.frames[len(self.frames) // 2])

    def _repr_html_(self) -> str:
        return video_media.html(self.frames, self.fps)


class Audio(Artwork):
    """A sound: ``samples`` float32 [N, C], full scale from -1 to 1, at ``rate`` Hz.

    The samples may be there, or be made when they are asked for: see :meth:`stream`.
    """

    modality: ClassVar[str] = "audio"
    endings: ClassVar[tuple[str, ...]] = (".wav", ".flac", ".ogg")

    def __init__(
        self, samples: NDArray[np.float32], rate: int, *, recipe: Recipe | None = None, seeds: tuple[int, ...] = (), name: str = "",
        remarks: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__(recipe=recipe, seeds=seeds, name=name, remarks=remarks)
        if samples.ndim != 2:
            raise UsageError(f"the samples of a sound are an array [samples, channels], not one of shape {list(samples.shape)}")
        self._samples: NDArray[np.float32] | None = samples
        self._make: Callable[[], Iterable[NDArray[np.float32]]] | None = None
        self.rate = rate
        self.channels = samples.shape[1]

    @classmethod
    def stream(
        cls, make: Callable[[], Iterable[NDArray[np.float32]]], rate: int, channels: int = 1, *, seeds: tuple[int, ...] = ()
    ) -> Self:
        """A sound of any length whose blocks float32 [n, C] ``make`` gives, the same ones on each call, when they are needed.

        Saving writes them as they come, in constant memory; ``samples`` makes and keeps all of them.
        """
        work = cls(np.zeros((0, channels), np.float32), rate, seeds=seeds)
        work._samples, work._make = None, make
        return work

    @property
    def samples(self) -> NDArray[np.float32]:
        """All samples, float32 [N, C]."""
        if self._samples is None:
            self._samples = np.concatenate([np.zeros((0, self.channels), np.float32), *self.blocks()])
        return self._samples

    @property
    def seconds(self) -> float:
        """How long it is; a sound that is not made yet is made for it."""
        return len(self.samples) / self.rate

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples in blocks [n, C], made now where they are not there."""
        if self._samples is None and self._make is not None:
            yield from self._make()
        elif self._samples is not None:
            yield from (self._samples[start : start + 2**16] for start in range(0, len(self._samples), 2**16))

    def numpy(self) -> NDArray[np.float32]:
        """The samples, float32 [N, C]."""
        return self.samples

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write WAV or FLAC of 16 bits, or Ogg Vorbis, by the ending of ``path``."""
        audio_media.encode(self.blocks(), self.rate, self.channels, path, text, mark)

    @classmethod
    def decode(cls, path: Path) -> Self:
        """The sound of a file, or of a clip."""
        remarks: list[str] = []
        samples, rate = audio_media.decode(path, remarks=remarks)
        return cls(samples, rate, remarks=tuple(remarks))

    @classmethod
    def read_text(cls, path: Path) -> str | None:
        """The recipe text that a sound file carries, or None."""
        return audio_media.read_text(path)

    def facts(self) -> dict[str, Any]:
        """Its seconds, rate, channels, peak and loudness."""
        return audio_media.measured(self.blocks(), self.rate, self.channels)

    def portrait(self) -> Image:
        """Its waveform above its spectrogram."""
        from artgen.media import spectrogram

        return Image(spectrogram.portrait(self.blocks(), self.rate))

    def _repr_html_(self) -> str:
        return audio_media.html(self.samples, self.rate)


@dataclass(eq=False)
class Text(Artwork):
    """A text: its ``characters``, and where a model wrote it the ``tokens`` with their ``log_probabilities`` (natural).

    Both are empty where they are not known. The recipe of ``poem.txt`` is saved beside it as ``poem.txt.json``.
    """

    characters: str
    tokens: tuple[int, ...] = ()
    log_probabilities: tuple[float, ...] = ()
    modality: ClassVar[str] = "text"
    endings: ClassVar[tuple[str, ...]] = text_media.ENDINGS

    def numpy(self) -> NDArray[np.uint8]:
        """The bytes of the characters in UTF-8, uint8 [N]."""
        return np.frombuffer(self.characters.encode("utf-8", "replace"), np.uint8)

    def vacant(self, path: Path) -> Path:
        """``path`` where there is neither a text nor a recipe of that name, else a name like it."""
        return text_media.free_pair(path)

    def encode(self, path: Path, text: str, mark: str) -> None:
        """Write UTF-8 with line feeds, and the recipe, which holds the mark, beside it."""
        text_media.encode(self.characters, path, text)

    @classmethod
    def decode(cls, path: Path) -> Self:
        """The text of a file in whatever encoding it is found to be."""
        return cls(text_media.decode(path))

    def facts(self) -> dict[str, Any]:
        """Its characters, lines and words (what stands between blanks)."""
        lines = self.characters.count("\n") + (self.characters[-1:] not in ("", "\n"))
        return {"characters": len(self.characters), "lines": lines, "words": len(self.characters.split())}

    def edits(self, before: Text) -> list[Edit]:
        """The changes, word by word, that made this text of ``before``."""
        return word_edits(before.characters, self.characters)

    def __str__(self) -> str:
        return self.characters

    def _repr_html_(self) -> str:
        return f'<pre style="white-space: pre-wrap">{html.escape(self.characters)}</pre>'


def grid(images: list[Image], columns: int, rows: int) -> Image:
    """Lay pictures of one size side by side, row by row; places left over stay white.

    Raises:
        UsageError: there are more pictures than places, none, or pictures of different sizes.
    """
    sheet = image_media.sheet([image.pixels for image in images], columns, rows)
    return Image(sheet, seeds=tuple(seed for image in images for seed in image.seeds))


def moving_grid(clips: list[Video], columns: int, rows: int) -> Video:
    """:func:`grid` of clips that have one length and rate too, as one clip; it has their sound where all have the same."""
    if len({(len(clip.frames), clip.fps) for clip in clips}) != 1:
        raise UsageError("a grid holds clips of one length and rate")
    sheets = [grid([Image(clip.frames[at]) for clip in clips], columns, rows).pixels for at in range(len(clips[0].frames))]
    sounds = {(clip.audio[0].tobytes(), clip.audio[1]) if clip.audio else None for clip in clips}
    audio = clips[0].audio if len(sounds) == 1 else None
    return Video(np.stack(sheets), clips[0].fps, audio, seeds=tuple(seed for clip in clips for seed in clip.seeds))


def kind(modality: str) -> type[Artwork]:
    """The class of works of ``modality``, a plugin's included.

    Raises:
        UnusableBackendError: the plugin that adds it cannot be imported or names something else.
        UsageError: there is no such modality.
    """
    own: dict[str, type[Artwork]] = {cls.modality: cls for cls in (Image, Audio, Text, Video)}
    if modality in own:
        return own[modality]
    for distribution, point in discovery.points(discovery.MODALITIES):
        if point.name == modality:
            return _added(point.name, point.value, distribution.name)
    raise UsageError(f"no works of modality {modality!r} can be opened or saved; installed: {', '.join(own)}")


@cache
def _added(modality: str, value: str, package: str) -> type[Artwork]:
    try:
        cls, _ = quarantine.load(value)
    except UnusableBackendError as error:
        raise UnusableBackendError(f"the modality {modality} of {package} cannot be used: {error}") from error
    fault = ""
    if not (isinstance(cls, type) and issubclass(cls, Artwork)):
        fault = f"{value} is not a subclass of artgen.artwork.Artwork"
    elif getattr(cls, "modality", "") != modality:
        fault = f"its class says modality {getattr(cls, 'modality', '')!r}"
    elif not getattr(cls, "endings", ()) or not all(ending.startswith(".") and ending == ending.lower() for ending in cls.endings):
        fault = f"{cls.__name__}.endings is a tuple of endings such as ('.{modality}',), in small letters with the dot"
    else:
        missing = [name for name in ("numpy", "encode", "decode") if name not in _given(cls)]
        fault = f"{cls.__name__} does not implement {', '.join(missing)}" if missing else ""
    if fault:
        raise UnusableBackendError(f"the modality {modality} of {package} cannot be used: {fault}")
    return cast("type[Artwork]", cls)


def _given(cls: type) -> set[str]:
    return {name for base in cls.__mro__ if base not in (Artwork, object) for name in vars(base)}


def _added_by_ending(path: Path) -> type[Artwork] | None:
    """The plugin's class for a file whose ending is none of artgen's own; a plugin that cannot be used is passed over."""
    ending = path.suffix.lower()
    if not ending or ending in (*Image.endings, *audio_media.ENDINGS, *Text.endings, *Video.endings):
        return None
    for _, point in discovery.points(discovery.MODALITIES):
        try:
            cls = kind(point.name)
        except ArtgenError:
            continue
        if ending in cls.endings:
            return cls
    return None


def open_artwork(path: str | os.PathLike[str], modality: str | None = None) -> Artwork:
    """Open a picture, a sound, a clip, a text or a work of a plugin's modality, with its recipe when it carries one.

    The content tells what it is; ``modality`` helps where the files of a plugin end like others, and ``audio`` takes the sound of
    a clip.

    Raises:
        SourceError: there is no such file, or it is none of these.
    """
    path = Path(path)
    present(path)
    if (added := _added_kind(path, modality)) is not None:
        work, text = added.decode(path), added.read_text(path)
        work.recipe, work.name = read_json(text) if text else None, path.name
        return work
    if _is_audio(path) or (modality == "audio" and video_media.is_video(path)):
        sound = Audio.decode(path)
        sound.recipe, sound.name = read_recipe(path), path.name
        return sound
    if _is_text(path):
        return Text(text_media.decode(path), recipe=read_recipe(path), name=path.name)
    if video_media.is_video(path):
        return Video(*video_media.decode(path), recipe=read_recipe(path), name=path.name)
    return Image(image_media.decode(path), recipe=read_recipe(path), name=path.name)


def _added_kind(path: Path, modality: str | None = None) -> type[Artwork] | None:
    """The plugin's class that opens ``path``, or None where artgen's own do."""
    if modality is not None and modality not in OWN_MODALITIES:
        return kind(modality)
    return _added_by_ending(path)


def read_text(path: str | os.PathLike[str], modality: str | None = None) -> str | None:
    """The recipe text that a file carries (a text: beside it), whatever its kind, or None."""
    path = Path(path)
    if (added := _added_kind(path, modality)) is not None:
        return added.read_text(path)
    if _is_audio(path):
        return audio_media.read_text(path)
    return text_media.read_text(path) if _is_text(path) else video_media.read_text(path)


def write_sidecar(path: Path, text: str, mark: str) -> None:
    """Write the recipe ``text`` (or at least the ``mark``) beside a work whose format has no place for it, as ``NAME.json``."""
    if text or mark:
        write_atomically(path.with_name(f"{path.name}.json"), (text or json.dumps({"mark": mark})).encode())


def _is_audio(path: Path) -> bool:
    """Whether a file is a sound by its content, or named as one: words or a picture in such a file are a damaged sound."""
    return audio_media.is_sound(path) or path.suffix.lower() in audio_media.ENDINGS


def _is_text(path: Path) -> bool:
    """Whether a file is a text by its content; words in a file named as a picture or clip are a damaged picture or clip."""
    return path.suffix.lower() not in (*Image.endings, *Video.endings) and text_media.is_text(path)


def read_recipe(path: str | os.PathLike[str]) -> Recipe | None:
    """The recipe that a file carries, or None when it carries none or only the mark."""
    return read_json(text) if (text := read_text(path)) else None
