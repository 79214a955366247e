"""Frames as they are meant to be seen: rotation, wide pixels, transparency, high dynamic range."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from film_datasets import EXACT, SMALL, greys
from PIL import Image
from sample_clips import hdr, levels, turned

from artgen.media import tonemap, video
from artgen.media.prepare_video import prepare


def test_rotation_tags_of_mixed_clips_are_followed(tmp_path: Path) -> None:
    frames = np.full((8, 48, 32, 3), 255, np.uint8)
    for number in range(8):
        frames[number, : 8 + 2 * number] = (200, 30, 30)  # red comes down from the top
    (tmp_path / "p").mkdir()
    video.encode(frames, 10, tmp_path / "p" / "1.mp4", "", "")
    video.encode(np.rot90(frames, 1, axes=(1, 2)), 10, tmp_path / "p" / "2.mp4", "", "")
    turned(tmp_path / "p" / "2.mp4", (0, 1, -1, 0))
    upright, phone = (
        prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(fit="stretch", duplicates="keep")).array("videos").astype(int)
    )
    assert upright[0, 0, 8, 1] < 60
    assert upright[0, 15, 8, 1] > 240
    assert np.abs(upright - phone).mean() < 4


def test_pixels_that_are_wider_than_high_are_shown_so(tmp_path: Path) -> None:
    frames = np.full((8, 16, 16, 4), 255, np.uint8)
    for number in range(8):
        frames[number, number : number + 4, 4:12, :3] = 0
    (tmp_path / "p").mkdir()
    with av.open(str(tmp_path / "p" / "a.mov"), "w") as container:
        stream = container.add_stream("qtrle", rate=10)
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        _encode_clear(stream, "argb", frames, container)
    shown = prepare([tmp_path / "p"], tmp_path / "out", SMALL).array("videos")[0, 0]
    assert (shown[1:3, 1:15] < 60).all()  # the middle square of 32x16: the bar goes from edge to edge


def test_transparency_is_laid_on_the_background(tmp_path: Path) -> None:
    clear = np.zeros((8, 24, 24, 4), np.uint8)
    for number in range(8):
        clear[number, :, 2 * number : 2 * number + 8] = (255, 0, 0, 255)
    pages = [Image.fromarray(pixels) for pixels in clear]
    (tmp_path / "p").mkdir()
    for ending in (".gif", ".png", ".webp"):
        kind = {"disposal": 2} if ending == ".gif" else {}
        pages[0].save(tmp_path / "p" / f"a{ending}", save_all=True, append_images=pages[1:], duration=100, **kind)
    with av.open(str(tmp_path / "p" / "b.mov"), "w") as container:
        _encode_clear(container.add_stream("qtrle", rate=10), "argb", clear, container)
    with av.open(str(tmp_path / "p" / "c.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10)
        stream.metadata["alpha_mode"] = "1"
        _encode_clear(stream, "yuva420p", clear, container)
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(background="#0000ff", duplicates="keep"))
    assert len(dataset) == 5
    for name, shown in zip(dataset.names or (), dataset.array("videos"), strict=True):
        assert np.abs(shown[0, 8, 14].astype(int) - (0, 0, 255)).max() < 12, name
        assert np.abs(shown[0, 8, 2].astype(int) - (255, 0, 0)).max() < 12, name


def _encode_clear(stream, kind, frames, container) -> None:  # type: ignore[no-untyped-def]  # PyAV's streams have many types
    stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], kind
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(pixels, format="rgba").reformat(format=kind)
        frame.pts = number
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


@pytest.mark.parametrize("transfer", [tonemap.PQ, tonemap.HLG])
def test_high_dynamic_range_becomes_ordinary(tmp_path: Path, transfer: int) -> None:
    white = {tonemap.PQ: 148, tonemap.HLG: 191}[transfer]  # the code of white paper, 203 cd/m2
    (tmp_path / "p").mkdir()
    hdr(tmp_path / "p" / "a.mp4", levels([0, 30, 60, 90, 120, white, 220, 255]), transfer)
    [shown] = greys(prepare([tmp_path / "p"], tmp_path / "out", EXACT))
    assert shown == sorted(shown)
    assert shown[0] <= 2
    assert 232 <= shown[5] <= 248  # read as if it were ordinary it would be the code itself
    assert shown[7] >= 250


def test_colours_of_high_dynamic_range_keep_their_hue() -> None:
    red = np.zeros((1, 1, 3), np.uint16)
    red[..., 0] = 50_000
    shown = tonemap.to_sdr(red, tonemap.PQ)[0, 0].tolist()
    assert shown[0] > 200
    assert max(shown[1:]) < 10
