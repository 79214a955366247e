"""What a run writes for people and programs: metrics.jsonl, TensorBoard events, previews, the time-lapse."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Artwork, Audio, Image, Text, Video
from artgen.files import sentences, write_atomically

METRICS = "metrics.jsonl"
EVENTS = "events"
PREVIEWS = "previews"
TIMELAPSE = "timelapse.gif"


class Record:
    """The open logs of a run; a resumed run first drops the lines that its state does not know yet.

    ``stage`` names one of several stages that comes before the last, ``before`` those before it: each counts its own steps.
    """

    def __init__(self, folder: Path, step: int, stage: str = "", before: Sequence[str] = ()) -> None:
        self.folder, self._stage = folder, stage
        _cut(folder / METRICS, step, stage, before)
        with sentences(folder):
            self._file: IO[str] = (folder / METRICS).open("a", encoding="utf-8")
        self._events = _event_writer(folder / EVENTS / stage, step)

    def numbers(self, step: int, items: int, seconds: float, values: dict[str, float]) -> None:
        """Add one record: ``step``, ``items``, ``seconds``, then the values by name."""
        stage = {"stage": self._stage} if self._stage else {}
        line = {**stage, "step": step, "items": items, "seconds": round(seconds, 3), **values}
        with sentences(self.folder / METRICS):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        with sentences(self.folder / EVENTS):
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def previews(self, step: int, items: int, works: Iterable[Artwork]) -> None:
        """Write previews as ``previews/<items>.png`` (or another ending), after the name of a stage; and to TensorBoard."""
        prefix = f"{self._stage}-" if self._stage else ""
        for number, work in enumerate(works):
            ending = {"image": ".png", "text": ".txt", "audio": ".ogg"}.get(work.modality, ".gif")
            suffix = f"-{number + 1}" if number else ""
            work.save(self.folder / PREVIEWS / f"{prefix}{items:010d}{suffix}{ending}", overwrite=True)
            with sentences(self.folder / EVENTS):
                self._preview_event(step, work)

    def close(self) -> None:
        """Flush and close the files."""
        for file in (self._file, self._events):
            with contextlib.suppress(OSError):  # a full disk was told of by the write that met it
                file.close()

    def _preview_event(self, step: int, work: Artwork) -> None:
        if isinstance(work, Image):
            self._events.add_image("preview", work.pixels, step, dataformats="HWC")
        elif isinstance(work, Video):
            self._events.add_image("preview", np.concatenate(list(work.frames[:8]), 1), step, dataformats="HWC")
        elif isinstance(work, Audio):
            self._events.add_audio("preview", work.samples.mean(1)[None], step, sample_rate=work.rate)
        elif isinstance(work, Text):
            self._events.add_text("preview", work.characters, step)


def time_lapse(folder: Path, longest: int = 100) -> Path | None:
    """Join the picture previews of a run to an animated GIF, the last one held; None when there are fewer than two."""
    pictures = sorted((folder / PREVIEWS).glob("[0-9]*[0-9].png"))
    if len(pictures) < 2:
        return None
    keep = sorted({round(index * (len(pictures) - 1) / (longest - 1)) for index in range(longest)})
    frames = [_pixels(pictures[index]) for index in (keep if len(pictures) > longest else range(len(pictures)))]
    work = Video(np.stack([*frames, *itertools.repeat(frames[-1], 6)]), fps=6)
    return work.save(folder / TIMELAPSE, overwrite=True)


def last_numbers(folder: Path) -> dict[str, Any]:
    """The newest value of every name in a run's ``metrics.jsonl``."""
    found: dict[str, Any] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in _records((folder / METRICS).read_text(encoding="utf-8")):
            found.update(line)
    return found


def _records(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        with contextlib.suppress(json.JSONDecodeError):  # a killed run may leave half a line
            yield json.loads(line)


def _cut(path: Path, step: int, stage: str, before: Sequence[str]) -> None:
    def known(record: dict[str, Any]) -> bool:
        told = record.get("stage", "")
        return told in before or (told == stage and record["step"] <= step)

    if path.is_file():
        kept = [record for record in _records(path.read_text(encoding="utf-8")) if known(record)]
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in kept).encode())


def _pixels(path: Path) -> NDArray[np.uint8]:
    from PIL import Image as Pillow

    with Pillow.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _event_writer(folder: Path, step: int) -> Any:  # SummaryWriter, whose module is imported only when a run starts
    # TensorBoard looks for TensorFlow and, without this, says on stderr what it did not find.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.redirect_stderr(io.StringIO()):
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
