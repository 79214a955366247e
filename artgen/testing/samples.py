"""Tiny data that the kit makes itself: the same bytes every time, no download, for each built-in modality."""

from __future__ import annotations

import wave
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Artwork, Image, Text, Video

_WORDS = [
    "the", "sea", "a", "stone", "light", "over", "under", "quiet", "morning", "bird", "sings", "rain", "falls", "on", "old",
    "garden", "wall", "and", "river", "carries", "leaves", "toward", "evening", "while", "someone", "counts", "stars", "for",
    "no", "one", "window", "opens", "wind", "moves", "silver", "grass", "we", "walk", "home", "slowly",
]  # fmt: skip
MODALITIES = ("image", "audio", "text", "video")
"""Those that the kit makes data for."""

_RATE = 16_000  # samples a second of the sounds


def picture(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """A soft round or square spot on a coloured ground, uint8 [height, width, 3]; another one for every ``number``."""
    random = np.random.default_rng(number)
    y, x = np.mgrid[0:height, 0:width] / min(height, width) - random.uniform(0.35, 0.65, (2, 1, 1))
    ground, colour = random.uniform(100, 255, 3), random.uniform(0, 180, 3)
    distance = np.hypot(y, x) if number % 2 else np.maximum(abs(y), abs(x))
    spot = 1 / (1 + np.exp((distance - 0.25) * 30))[..., None]
    pixels: NDArray[np.uint8] = np.rint(ground + (colour - ground) * spot).astype(np.uint8)
    return pixels


def sources(modality: str, folder: Path) -> list[Path] | None:
    """Write what a user would train on into ``folder``; None for a modality that the kit has no data for."""
    return _written(_SOURCES, modality, folder)


def own_works(modality: str, folder: Path) -> list[Path] | None:
    """Write two works of a user, of different sizes, into ``folder``; None for a modality that the kit has none for."""
    return _written(_WORKS, modality, folder)


def odd_works(modality: str) -> list[Artwork]:
    """Works that a user may have and a method may not expect; each has a name that says what it is."""
    if modality == "image":
        grey, clear = picture(1, 9, 7)[..., :1], np.dstack([picture(2, 9, 7), np.full((9, 7), 99, np.uint8)])
        return [
            Image(grey, name="grey.png"),
            Image(clear, name="transparent.png"),
            Image(picture(3, 2, 2)[:1, :1], name="pixel.png"),
        ]
    if modality == "text":
        return [Text("", name="empty.txt"), Text("\U0001f41f e\u0301\r\n", name="fish.txt")]
    if modality == "video":
        return [Video(picture(4, 16, 18)[None], 8.0, name="one-frame.mp4")]
    return []


def _written(makers: Mapping[str, Callable[[Path], list[Path]]], modality: str, folder: Path) -> list[Path] | None:
    if modality not in makers:
        return None
    folder.mkdir(parents=True)
    return makers[modality](folder)


def _pictures(folder: Path) -> list[Path]:
    for number in range(10):
        _save(folder / ("round" if number % 2 else "square") / f"{number}.png", picture(number, 64, 64 if number else 80))
    return [folder]


def _sounds(folder: Path) -> list[Path]:
    for number in range(4):
        _sound(folder / f"{number}.wav", number, 3.0)
    return [folder]


def _page(folder: Path) -> list[Path]:
    place = folder / "page.txt"
    place.write_text("\n\n".join(_sentences(number, 12) for number in range(20)) + "\n", encoding="utf-8")
    return [place]


def _clips(folder: Path) -> list[Path]:
    for number in range(6):
        _clip(folder / f"{number}.mp4", number, 24, 64, 64)
    return [folder]


def _own_pictures(folder: Path) -> list[Path]:
    return [_save(folder / "portrait.png", picture(101, 53, 37)), _save(folder / "wide.png", picture(102, 40, 71))]


def _own_sounds(folder: Path) -> list[Path]:
    return [_sound(folder / "short.wav", 101, 1.0), _sound(folder / "longer.wav", 102, 1.5)]


def _own_texts(folder: Path) -> list[Path]:
    places = [folder / "line.txt", folder / "verse.txt"]
    for number, place in enumerate(places):
        place.write_text(_sentences(101 + number, 1 + 2 * number) + "\n", encoding="utf-8")
    return places


def _own_clips(folder: Path) -> list[Path]:
    return [_clip(folder / "tall.mp4", 101, 9, 52, 36), _clip(folder / "wide.mp4", 102, 12, 40, 72)]


def _save(place: Path, pixels: NDArray[np.uint8]) -> Path:
    from artgen.media import image

    image.encode(pixels, place, "", "")
    return place


def _sound(place: Path, number: int, seconds: float) -> Path:
    time = np.arange(round(seconds * _RATE)) / _RATE
    pitch = 220 * 2 ** (number % 12 / 12)
    tone = np.sin(2 * np.pi * pitch * time) * np.exp(-2 * (time % 0.5)) + 0.3 * np.sin(2 * np.pi * 2.5 * pitch * time)
    with wave.open(str(place), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes((tone * 16_000).astype("<i2").tobytes())
    return place


def _sentences(number: int, count: int) -> str:
    random = np.random.default_rng(number)
    made = (" ".join(random.choice(_WORDS, random.integers(5, 12))) for _ in range(count))
    return " ".join(sentence.capitalize() + "." for sentence in made)


def _clip(place: Path, number: int, length: int, height: int, width: int) -> Path:
    from artgen.media import video

    whole = picture(number, height, width + length)
    frames = np.stack([whole[:, start : start + width] for start in range(length)])
    video.encode(frames, 8.0, place, "", "")
    return place


_SOURCES = {"image": _pictures, "audio": _sounds, "text": _page, "video": _clips}
_WORKS = {"image": _own_pictures, "audio": _own_sounds, "text": _own_texts, "video": _own_clips}
