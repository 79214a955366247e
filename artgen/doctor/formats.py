"""Does every format work here? Each is written and read back, with its recipe and its mark; what is only read, is read."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgen import history
from artgen.artwork import Artwork, Audio, Image, Text, Video, open_artwork, read_text
from artgen.describe import show
from artgen.doctor.finding import Finding, cause, installing
from artgen.errors import ArtgenError
from artgen.recipe import GENERATED, Recipe, read_json

_RATE = 48_000
_LOSSY = 0.06
"""The root mean square, of a range of 1, by which a lossy format may change the sample."""


@dataclass(frozen=True)
class Medium:
    """The formats of one kind of work, the largest change that each may make, and the package that reads and writes them."""

    name: str
    work: Callable[[], Artwork]
    written: dict[str, float]
    read: dict[str, Callable[[Path], None]]
    package: str


def check_formats() -> Iterator[Finding]:
    """Write and read every format; one finding a kind of work, and one for each format that does not work."""
    for medium in media():
        good: list[tuple[str, str]] = []
        faults: list[tuple[str, str]] = []
        with tempfile.TemporaryDirectory() as folder, history.paused():
            for ending, largest in medium.written.items():
                fault = _round_trip(medium.work(), Path(folder) / f"work{ending}", largest)
                (faults if fault else good).append((ending, fault))
            for ending, write in medium.read.items():
                fault = _reading(medium.work(), Path(folder) / f"other{ending}", write)
                (faults if fault else good).append((ending, fault))
        if good:
            endings = [ending for ending, _ in good]
            written = ", ".join(ending[1:] for ending in endings if ending in medium.written)
            read = ", ".join(ending[1:] for ending in endings if ending not in medium.written)
            told = f"written and read back with recipe and mark: {written}" + (f"; read: {read}" if read else "")
            yield Finding(f"{medium.name}", "good", told, facts={"formats": endings})
        for ending, fault in faults:
            remedy = installing(medium.package, again=True)
            yield Finding(f"{medium.name}", "problem", f"{ending[1:]}: {fault}", remedy, {"formats": [ending]})


def media() -> list[Medium]:
    """Every kind of work with its formats; the samples are small and the same each time."""
    return [
        Medium("pictures", _picture, {".png": 0, ".tif": 0, ".tiff": 0, ".jpg": _LOSSY, ".jpeg": _LOSSY, ".webp": _LOSSY},
               {f".{kind}": _pillow(kind) for kind in ("bmp", "gif", "ppm", "tga", "jp2")}, "pillow"),
        Medium("sounds", _sound, {".wav": 2**-15, ".flac": 2**-15, ".ogg": _LOSSY},
               {".mp3": _sndfile("MP3"), ".aiff": _sndfile("AIFF"), ".m4a": _aac}, "soundfile"),
        Medium("clips", _clip, {".mp4": _LOSSY, ".webm": _LOSSY, ".gif": 2 * _LOSSY, ".webp": _LOSSY},
               dict.fromkeys((".mov", ".mkv"), _container), "av"),
        Medium("texts", lambda: Text("Füchse, лисы, 狐\nand a second line\n"), {".txt": 0, ".md": 0}, {}, "charset-normalizer"),
    ]  # fmt: skip


def _round_trip(work: Artwork, path: Path, largest: float) -> str:
    """What is wrong with writing ``work`` to ``path`` and reading it again, or nothing."""
    work.recipe = Recipe(artgen="0", verb="generate", backend=f"{work.modality}.doctor", seeds=(7,), options={"sign": "ä\u0001"})
    try:
        work.save(path)
        fault = _difference(work, open_artwork(path), largest)
        if fault:
            return fault
        if read_json(read_text(path) or "") != work.recipe:
            return "the recipe does not come back as it was written"
        return "" if show(path)["mark"] == GENERATED else "the mark of AI-made media does not come back"
    except Exception as error:  # whatever a decoder of a broken installation raises
        return cause(error)


def _reading(work: Artwork, path: Path, write: Callable[[Path], None]) -> str:
    """What is wrong with reading ``path``, which another program's encoder wrote, or nothing."""
    try:
        write(path)
    except Exception as error:
        return f"no sample of it can be made here ({cause(error)})"
    try:
        return _difference(work, _aligned(work, open_artwork(path)), 2 * _LOSSY)
    except Exception as error:
        return cause(error)


def _difference(before: Artwork, after: Artwork, largest: float) -> str:
    first, second = _plain(before), _plain(after)
    length = min(len(first), len(second))
    if before.modality != after.modality or first.shape[1:] != second.shape[1:] or length < 0.9 * len(first):
        return f"{before.modality} {list(first.shape)} comes back as {after.modality} {list(second.shape)}"
    apart = first[:length] - second[:length]
    error = float(np.sqrt(np.mean(apart**2))) if largest else float(np.abs(apart).max(initial=0.0))
    return f"what is read differs from what was written by {error:.3g} of the range" if error > largest else ""


def _aligned(work: Artwork, found: Artwork) -> Artwork:
    """A sound without what its encoder put before it: AAC begins with some blocks of silence."""
    if not isinstance(work, Audio) or not isinstance(found, Audio) or len(found.samples) < len(work.samples):
        return found
    match = np.correlate(found.samples[:, 0], work.samples[: _RATE // 20, 0], "valid")
    start = int(match[: _RATE // 10].argmax())
    return Audio(found.samples[start:], found.rate)


def _plain(work: Artwork) -> NDArray[np.float64]:
    """The content as numbers of a range of about 1."""
    array = work.numpy()
    return array.astype(np.float64) / (255 if array.dtype == np.uint8 else 1)


def _picture() -> Image:
    y, x = np.mgrid[0:48, 0:64]
    return Image(np.stack([4 * x, 5 * y, 255 - 2 * (x + y)], -1).clip(0, 255).astype(np.uint8))


def _clip() -> Video:
    frames = [np.roll(_picture().pixels[:, 8:56], 2 * shift, 0) for shift in range(6)]
    return Video(np.stack([np.ascontiguousarray(frame[:32]) for frame in frames]), 10.0)


def _sound() -> Audio:
    time = np.arange(_RATE // 4) / _RATE
    return Audio((0.4 * np.sin(2 * np.pi * 440 * time))[:, None].astype(np.float32), _RATE)


def _pillow(kind: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        buffer = io.BytesIO()
        _picture().to_pil().save(buffer, {"jp2": "JPEG2000"}.get(kind, kind.upper()))
        path.write_bytes(buffer.getvalue())

    return write


def _sndfile(kind: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        import soundfile

        soundfile.write(path, _sound().samples, _RATE, format=kind)

    return write


def _aac(path: Path) -> None:
    import av

    with av.open(str(path), "w", format="ipod") as container:
        stream: Any = container.add_stream("aac", rate=_RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(_sound().samples.T), "fltp", "mono")
        frame.sample_rate = _RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])


def _container(path: Path) -> None:
    from artgen.media import video

    clip = _clip()
    video.encode(clip.frames, clip.fps, path, "", "")


def check_history() -> Iterator[Finding]:
    """Whether the history of works can be read and written; switched off is no problem."""
    if not history.enabled():
        yield Finding("history", "note", "switched off: works are not remembered")
        return
    place = history.place()
    try:
        count = history.verify()
    except ArtgenError as error:
        yield Finding("history", "problem", str(error), f"mv '{place}' '{place}.old'")
        return
    yield Finding("history", "good", f"{count} works remembered in {place}", facts={"path": str(place), "works": count})
