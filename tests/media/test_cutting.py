"""Films in time: variable and even rates, changes of scene, short films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from film_datasets import EXACT, SMALL, clip, greys, reasons
from listening import Listen
from PIL import Image
from sample_clips import levels, lossless, moving

from artgen.media import cutting, planning
from artgen.media.prepare_video import prepare

# --- time


def test_a_variable_rate_is_resampled_by_its_times(tmp_path: Path) -> None:
    lossless(tmp_path / "p" / "a.mkv", levels([10, 60, 110, 160, 210]), [0, 0.1, 0.4, 0.5, 0.7])
    assert greys(prepare([tmp_path / "p"], tmp_path / "out", EXACT)) == [[10, 60, 60, 60, 110, 160, 160, 210]]
    assert greys(prepare([tmp_path / "p"], tmp_path / "half", EXACT.replace(fps=5.0, frames=4))) == [[10, 60, 110, 160]]
    assert greys(prepare([tmp_path / "p"], tmp_path / "twice", EXACT.replace(fps=20.0, frames=4)))[0] == [10, 10, 60, 60]


@pytest.mark.parametrize("ending", [".gif", ".webp", ".png"])
def test_animated_pictures_keep_their_times(tmp_path: Path, ending: str) -> None:
    pages = [Image.fromarray(pixels) for pixels in levels([0, 85, 170, 255])]
    (tmp_path / "p").mkdir()
    kind = {"lossless": True} if ending == ".webp" else {}
    pages[0].save(tmp_path / "p" / f"a{ending}", save_all=True, append_images=pages[1:], duration=[100, 300, 200, 200], **kind)
    assert greys(prepare([tmp_path / "p"], tmp_path / "out", EXACT)) == [[0, 85, 85, 85, 170, 170, 255, 255]]


@pytest.mark.parametrize(("native", "fps"), [(30.0, 10.0), (24.0, 12.0), (25.0, 25.0), (29.97, 9.99), (12.0, 24.0)])
def test_an_even_part_of_the_rate_takes_every_so_manieth_frame(tmp_path: Path, native: float, fps: float) -> None:
    """Times in MKV are rounded to thousandths: no frame may be taken twice or left out for that."""
    count = 60
    lossless(tmp_path / "p" / "a.mkv", levels(list(range(0, 4 * count, 4))), np.arange(count) / native)
    made = greys(prepare([tmp_path / "p"], tmp_path / "out", EXACT.replace(fps=fps, cut="stride")))
    step = native / fps
    flat = [grey for clip in made for grey in clip]
    assert flat == [4 * int(index * step + 1e-6) for index in range(len(flat))]
    assert len(flat) == round(count / step) // 8 * 8


def test_the_rate_is_chosen_so_that_a_clip_lasts_two_seconds_at_most(tmp_path: Path) -> None:
    assert planning.rate_for([25.0], [60.0], 16) == 25 / 3
    assert planning.rate_for([33.0, 33.0, 60.0], [1.5, 1.6, 9.0], 16) == 11.0
    assert planning.rate_for([30.0], [0.5], 16) == 30.0
    assert planning.rate_for([10.0], [20.0], 8) == 10.0  # never below 8
    assert planning.rate_for([], [], 16) == 25.0
    clip(tmp_path / "p" / "1.mp4", 1, 64, 32.0)
    (tmp_path / "p" / "2.mp4").write_bytes(b"")
    progress = Listen()
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(fps=None, frames=16), progress)
    assert dataset.manifest.notes["fps"] == 8.0
    assert progress.sentences[0] == "8 frames a second (the films have 32): a clip of 16 lasts 2 seconds; --fps sets another rate"
    prepare([tmp_path / "p"], tmp_path / "other", SMALL.replace(fps=None, frames=8), progress)
    assert any("a clip of 8 lasts 1 second; --fps sets another rate" in sentence for sentence in progress.sentences)


# --- where films are cut


def scenes() -> list[int]:
    return [20] * 9 + [200] * 3 + [90] * 17


def test_long_films_are_cut_at_changes_of_scene(tmp_path: Path) -> None:
    lossless(tmp_path / "p" / "a.mkv", levels(scenes()), np.arange(29) / 10)
    dataset = prepare([tmp_path / "p"], tmp_path / "out", EXACT)
    assert greys(dataset) == [[20] * 8, [90] * 8, [90] * 8]
    assert dataset.names == ["p/a.mkv", "p/a.mkv at 1.2 s", "p/a.mkv at 2 s"]
    assert reasons(dataset) == {"a.mkv at 0.9 s": "a scene of 3 frames, needs 8 (--cut)"}


def test_stride_alone_cuts_anywhere(tmp_path: Path) -> None:
    lossless(tmp_path / "p" / "a.mkv", levels(scenes()), np.arange(29) / 10)
    for stride in (3, 8, 11):
        dataset = prepare([tmp_path / "p"], tmp_path / str(stride), EXACT.replace(cut="stride", stride=stride))
        assert greys(dataset) == [scenes()[start : start + 8] for start in range(0, 22, stride)], stride


def test_flicker_and_fast_motion_are_no_change_of_scene(tmp_path: Path) -> None:
    flicker = [20, 200] * 12
    squares = list(levels(flicker))
    assert [piece.start for piece in cutting.cut_up(squares, 8, cut="scenes", stride=8, short="skip", keep_still=True)] == [
        0,
        8,
        16,
    ]
    wandering = moving(3, 24, 16, 16)
    pieces = list(cutting.cut_up(list(wandering), 8, cut="scenes", stride=8, short="skip", keep_still=False))
    assert [piece.reason for piece in pieces] == ["", "", ""]


@pytest.mark.parametrize(
    ("short", "expected"),
    [("loop", [[0, 90, 180, 0, 90, 180, 0, 90]]), ("mirror", [[0, 90, 180, 90, 0, 90, 180, 90]]), ("skip", [])],
)
def test_short_films_are_looped_mirrored_or_skipped(tmp_path: Path, short: cutting.Short, expected: list[list[int]]) -> None:
    lossless(tmp_path / "p" / "a.mkv", levels([0, 90, 180]), [0, 0.1, 0.2])
    lossless(tmp_path / "p" / "b.mkv", levels([5] * 8), np.arange(8) / 10)
    dataset = prepare([tmp_path / "p"], tmp_path / "out", EXACT.replace(short=short, fps=9.99))
    assert greys(dataset) == [*expected, [5] * 8]
    assert reasons(dataset) == ({} if expected else {"a.mkv": "too short: 3 frames, needs 8 (--short)"})
