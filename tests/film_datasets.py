"""Films for tests of preparing clips, and what became of them."""

from __future__ import annotations

from pathlib import Path

from sample_clips import moving

from artgen.dataset import Dataset
from artgen.media import video
from artgen.media.prepare_video import Prepare

SMALL = Prepare(resolution=16, frames=8, fps=10.0)

EXACT = SMALL.replace(duplicates="keep", still="keep")


def clip(path: Path, number: int = 1, count: int = 8, fps: float = 10.0, height: int = 24, width: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    video.encode(moving(number, count, height, width), fps, path, "", "")
    return path


def greys(dataset: Dataset) -> list[list[int]]:
    """The grey of every frame of every clip."""
    return dataset.array("videos")[:, :, 0, 0, 0].tolist()


def reasons(dataset: Dataset) -> dict[str, str]:
    return {skip.file.partition("/")[2]: skip.reason for skip in dataset.manifest.skipped}
