from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from artgen.artwork import open_artwork
from artgen.errors import OutputError, SourceError, UsageError
from artgen.media import image, video
from artgen.recipe import GENERATED

ENDINGS = (".mp4", ".mov", ".webm", ".mkv", ".gif", ".webp")
WITH_SOUND = (".mp4", ".mov", ".webm", ".mkv")
RECIPE = json.dumps({"artgen": "0.1.0", "mark": GENERATED, "note": "жук 🪲" * 20_000}, ensure_ascii=False)


def moving(count: int = 12, height: int = 32, width: int = 48) -> NDArray[np.uint8]:
    """A soft blob that wanders over a gradient, uint8 [count, height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    frames = []
    for number in range(count):
        blob = np.exp(-((x - width * (0.2 + 0.05 * number)) ** 2 + (y - height / 2) ** 2) / 40)
        frames.append(np.stack([40 + 180 * blob, 60 + 2 * x, 200 - 3 * y], axis=-1))
    return np.stack(frames).clip(0, 255).astype(np.uint8)


FRAMES = moving()


def sound(seconds: float, rate: int = 16_000, channels: int = 1) -> tuple[NDArray[np.float32], int]:
    wave = 0.5 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * 440 / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32), rate


# --- there and back


@pytest.mark.parametrize(
    ("ending", "worst", "mean"),
    [(".mp4", 26, 2.5), (".mov", 26, 2.5), (".mkv", 26, 2.5), (".webm", 30, 2.5), (".gif", 30, 4), (".webp", 30, 3)],
)
def test_pixels_and_rate_come_back(tmp_path: Path, ending: str, worst: int, mean: float) -> None:
    path = tmp_path / f"a{ending}"
    video.encode(FRAMES, 25, path, "", "")
    decoded, fps = video.decode(path)
    assert fps == pytest.approx(25, rel=0.001)
    assert decoded.shape == FRAMES.shape
    assert decoded.dtype == np.uint8
    error = np.abs(decoded.astype(int) - FRAMES)
    assert error.max() <= worst
    assert error.mean() <= mean


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_strong_colours_keep_their_hue(tmp_path: Path, ending: str) -> None:
    """Wrong matrix coefficients or range shift these by 10 and more."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 0, 0], [255, 255, 255]], np.uint8)
    frames = np.repeat(np.broadcast_to(colours[:, None, None], (6, 32, 32, 3)), 2, axis=0)
    video.encode(frames, 10, tmp_path / f"a{ending}", "", "")
    decoded, _ = video.decode(tmp_path / f"a{ending}")
    assert np.abs(decoded[:, 16, 16].astype(int) - frames[:, 16, 16]).max() <= 5


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("height", "width"), [(33, 31), (1, 1), (17, 40)])
def test_odd_sizes_are_padded_by_their_edge(tmp_path: Path, ending: str, height: int, width: int) -> None:
    frames = moving(4, height, width)
    frames[1::2] = 255 - frames[1::2]  # GIF and WebP join frames that are equal
    video.encode(frames, 10, tmp_path / f"a{ending}", "", "")
    decoded, _ = video.decode(tmp_path / f"a{ending}")
    even = ending in WITH_SOUND
    assert decoded.shape == (4, height + (height % 2 if even else 0), width + (width % 2 if even else 0), 3)
    assert np.abs(decoded[:, :height, :width].astype(int) - frames).mean() < 6
    assert np.abs(decoded[:, -1].astype(int) - decoded[:, height - 1]).mean() < 6


@pytest.mark.parametrize("fps", [0.5, 7, 12.5, 24000 / 1001, 29.97, 60])
@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_any_rate(tmp_path: Path, ending: str, fps: float) -> None:
    video.encode(FRAMES[:5], fps, tmp_path / f"a{ending}", "", "")
    decoded, told = video.decode(tmp_path / f"a{ending}")
    assert told == pytest.approx(fps, rel=0.001)
    assert len(decoded) == 5


def test_frames_are_taken_one_by_one(tmp_path: Path) -> None:
    """A generator that remembers how far it was drawn: the encoder must not collect the clip first."""
    seen: list[int] = []

    def made() -> Iterator[NDArray[np.uint8]]:
        for number, frame in enumerate(FRAMES):
            seen.append(number)
            yield frame
        assert any(tmp_path.glob(".tmp-*")), "the file is written while frames are made"

    video.encode_stream(made(), 25, tmp_path / "stream.mp4", RECIPE, GENERATED)
    video.encode(FRAMES, 25, tmp_path / "whole.mp4", RECIPE, GENERATED)
    assert seen == list(range(len(FRAMES)))
    assert (tmp_path / "stream.mp4").read_bytes() == (tmp_path / "whole.mp4").read_bytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_same_input_same_bytes(tmp_path: Path, ending: str) -> None:
    frames = moving(20, 34, 130)
    versions = set()
    litter = []
    for number in range(4):
        # Memory is never twice in the same state, so that an encoder that reads what nobody set is found out.
        litter.append(np.random.default_rng(number).integers(0, 256, 50_000 + 7919 * number).astype(np.uint8).tobytes())
        video.encode(frames, 25, tmp_path / f"{number}{ending}", '{"seed":7}', GENERATED)
        versions.add((tmp_path / f"{number}{ending}").read_bytes())
    assert len(versions) == 1


def test_an_mp4_plays_before_it_is_whole(tmp_path: Path) -> None:
    video.encode(FRAMES, 25, tmp_path / "a.mp4", RECIPE, GENERATED)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert "creation_time" not in container.metadata


# --- GIF and WebP


def test_a_gif_of_few_colours_is_exact(tmp_path: Path) -> None:
    frames = (np.random.default_rng(0).integers(0, 6, (5, 12, 14, 3)) * 51).astype(np.uint8)
    frames[3:] = frames[3]
    video.encode(frames, 10, tmp_path / "a.gif", "", "")
    decoded, fps = video.decode(tmp_path / "a.gif")
    assert len(np.unique(frames.reshape(-1, 3), axis=0)) > 200
    np.testing.assert_array_equal(decoded, frames)
    assert fps == pytest.approx(10)


@pytest.mark.parametrize(("fps", "times"), [(25, {40}), (30, {30, 40}), (12, {80, 90}), (50, {20}), (1, {1000})])
def test_gif_times_follow_the_rate_without_drift(tmp_path: Path, fps: int, times: set[int]) -> None:
    video.encode(moving(30, 8, 8), fps, tmp_path / "a.gif", "", "")
    found = []
    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.info["loop"] == 0
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            found.append(picture.info["duration"])
    assert set(found) == times
    assert sum(found) == pytest.approx(30_000 / fps, abs=5)


def test_frames_that_are_shown_longer_are_repeated(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], duration=[100, 300, 200])
    frames, fps = video.decode(tmp_path / "a.gif")
    assert fps == pytest.approx(10)
    assert frames[:, 0, 0].argmax(axis=1).tolist() == [0, 1, 1, 1, 2, 2]


def test_a_frame_shown_for_very_long_does_not_fill_the_memory(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime")]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], duration=[10, 600_000])
    frames, _ = video.decode(tmp_path / "a.gif")
    assert len(frames) == 2


def test_a_gif_without_times_is_shown_as_browsers_do(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime")]
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    assert video.decode(tmp_path / "a.gif")[1] == pytest.approx(10)


@pytest.mark.parametrize("default", [False, True])
def test_an_animated_png(tmp_path: Path, default: bool) -> None:
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    pages[0].save(tmp_path / "a.png", save_all=True, append_images=pages[1:], duration=50, default_image=default)
    frames, fps = video.decode(tmp_path / "a.png")
    assert video.is_video(tmp_path / "a.png")
    assert frames[:, 0, 0].argmax(axis=1).tolist() == ([1, 2] if default else [0, 1, 2])
    assert fps == pytest.approx(20)


def test_a_transparent_gif_is_laid_on_white(tmp_path: Path) -> None:
    pages = []
    for place in (0, 1):
        page = Image.new("P", (4, 4), 0)
        page.putpalette([7, 7, 7, 255, 0, 0])
        page.paste(1, (2 * place, 0, 2 * place + 2, 4))
        pages.append(page)
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:], disposal=2, duration=100, transparency=0)
    frames, _ = video.decode(tmp_path / "a.gif")
    red, white = [255, 0, 0], [255, 255, 255]
    assert frames[:, 2].tolist() == [[red, red, white, white], [white, white, red, red]]


def test_a_gif_cannot_be_fast(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a GIF shows at most 50 frames a second, not 60; save as \.mp4 or lower the rate"):
        video.encode(FRAMES, 60, tmp_path / "a.gif", "", "")


# --- sound


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("ending", WITH_SOUND)
def test_sound_is_written_and_cut_to_the_pictures(tmp_path: Path, ending: str, channels: int) -> None:
    path = tmp_path / f"a{ending}"
    for name in (path, tmp_path / f"b{ending}"):
        video.encode(FRAMES, 12, name, RECIPE, GENERATED, audio=sound(3, channels=channels))
    assert path.read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        pieces = [frame.to_ndarray() for frame in container.decode(stream)]
        samples = np.concatenate([piece if piece.ndim == 2 else piece[None] for piece in pieces], axis=1)
        assert stream.codec_context.channels == channels
        assert samples.shape[1] / stream.codec_context.sample_rate == pytest.approx(1, abs=0.1)
        assert np.abs(samples).max() == pytest.approx(0.5, abs=0.1)
    assert video.decode(path)[0].shape == FRAMES.shape
    assert video.read_text(path) == RECIPE


def test_sound_shorter_than_the_pictures(tmp_path: Path) -> None:
    video.encode(FRAMES, 12, tmp_path / "a.mp4", "", "", audio=sound(0.3))
    assert len(video.decode(tmp_path / "a.mp4")[0]) == len(FRAMES)


@pytest.mark.parametrize("ending", [".gif", ".webp"])
def test_formats_without_sound_say_so(tmp_path: Path, ending: str) -> None:
    with pytest.raises(UsageError, match=rf"a\{ending}: \{ending} has no sound; save as \.mp4 or \.webm"):
        video.encode(FRAMES, 12, tmp_path / f"a{ending}", "", "", audio=sound(1))
    assert not list(tmp_path.iterdir())


# --- recipe


@pytest.mark.parametrize(
    ("before", "after"), [(".mp4", ".mp4"), (".mp4", ".mkv"), (".webm", ".webm"), (".webm", ".mkv"), (".mkv", ".mp4")]
)
def test_the_recipe_survives_a_copy_into_another_container(tmp_path: Path, before: str, after: str) -> None:
    """What ``ffmpeg -c copy`` does: packets and tags are handed on, nothing is decoded."""
    video.encode(FRAMES, 25, tmp_path / f"a{before}", RECIPE, GENERATED)
    with av.open(str(tmp_path / f"a{before}")) as source, av.open(str(tmp_path / f"b{after}"), "w") as copy:
        copy.metadata.update(source.metadata)
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    assert video.read_text(tmp_path / f"b{after}") == RECIPE
    assert video.read_mark(tmp_path / f"b{after}") == GENERATED


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_the_recipe_of_a_film_with_sound_survives_a_copy(tmp_path: Path, ending: str) -> None:
    video.encode(FRAMES, 25, tmp_path / f"a{ending}", RECIPE, GENERATED, audio=sound(0.48))
    with av.open(str(tmp_path / f"a{ending}")) as source, av.open(str(tmp_path / f"b{ending}"), "w") as copy:
        copy.metadata.update(source.metadata)
        streams = {stream.index: copy.add_stream_from_template(stream) for stream in source.streams}
        assert sorted(stream.type for stream in source.streams) == ["audio", "video"]
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                copy.mux(packet)
    assert video.read_text(tmp_path / f"b{ending}") == RECIPE
    assert video.read_mark(tmp_path / f"b{ending}") == GENERATED
    assert len(video.decode(tmp_path / f"b{ending}")[0]) == len(FRAMES)


# --- what is given back of odd files


def rotated(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Write a turn into the track header of an MP4, as a phone held upright does."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = (value * 65_536).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize(("matrix", "clockwise"), [((1, 0, 0, 1), 0), ((0, 1, -1, 0), 1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 3)])
def test_rotation_tags_are_followed(tmp_path: Path, matrix: tuple[int, int, int, int], clockwise: int) -> None:
    video.encode(FRAMES, 25, tmp_path / "a.mp4", "", "")
    decoded, _ = video.decode(rotated(tmp_path / "a.mp4", matrix))
    expected = np.rot90(FRAMES, -clockwise, axes=(1, 2))
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).mean() < 3


@pytest.mark.parametrize("ending", ENDINGS)
def test_limits(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    video.encode(FRAMES, 25, path, "", "")
    assert len(video.decode(path, max_frames=12, max_pixels=12 * 32 * 48)[0]) == 12
    with pytest.raises(SourceError, match=rf"a\{ending}: more than 11 frames of 48x32; cut the clip shorter or make it smaller"):
        video.decode(path, max_frames=11)
    with pytest.raises(SourceError, match="more than 11 frames of 48x32"):
        video.decode(path, max_pixels=12 * 32 * 48 - 1)


@pytest.mark.parametrize(
    ("ending", "share"),
    # WebM and MKV do not say how many frames they hold, so what is missing must be longer than half a second.
    [(ending, share) for ending in ENDINGS for share in (0.2, 0.5, 0.8, 0.95) if share < 0.9 or ending not in (".webm", ".mkv")],
)
def test_a_clip_cut_off_is_refused_in_one_sentence(tmp_path: Path, ending: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 32, 48, 3)).astype(np.uint8)
    path = tmp_path / f"cut{ending}"
    video.encode(noise, 10, path, "", "")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SourceError, match=rf"cut\{ending}: ") as caught:
        video.decode(path)
    assert "\n" not in str(caught.value)


def test_a_clip_cut_off_says_where(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 32, 48, 3)).astype(np.uint8)
    video.encode(noise, 10, tmp_path / "a.mp4", "", "")
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(
        SourceError, match=r"a\.mp4: the clip is (cut off after \d\.\d seconds of 5\.0|damaged or incomplete .*); replace"
    ):
        video.decode(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.mp4", b"", r"a\.mp4: the file is empty; give a clip such as MP4, WebM or GIF"),
        ("a.mp4", b"Dear diary,\n" * 90, r"a\.mp4: not a clip of a known kind"),
        ("a.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", r"a\.m3u8: not a clip of a known kind"),
        ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(400), r"a\.mp4: the clip is damaged or incomplete"),
        ("a.gif", b"GIF89a", r"a\.gif: "),
    ],
)
def test_what_is_no_clip(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=told):
        video.decode(tmp_path / name)
    if name == "a.mp4":  # so that who opens a work of any kind is told of a clip too
        with pytest.raises(SourceError, match=told):
            open_artwork(tmp_path / name)


def test_what_is_not_there(tmp_path: Path) -> None:
    for read in (video.decode, video.read_text):
        with pytest.raises(SourceError, match=r"gone\.mp4: no such file"):
            read(tmp_path / "gone.mp4")
    assert not video.is_video(tmp_path / "gone.mp4")
    assert not video.is_video(tmp_path)


def test_a_file_of_sound_alone(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound(1)[0].T.copy(), "fltp", "mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match=r"a\.mp4: the file has only sound; give a clip with pictures"):
        video.decode(tmp_path / "a.mp4")


def test_a_file_without_any_stream_is_damaged(tmp_path: Path) -> None:
    """An MP4 that is cut off within its table of contents: FFmpeg opens it and finds nothing to play."""
    path = tmp_path / "a.mp4"
    video.encode(np.zeros((8, 32, 32, 3), np.uint8), 10, path, "", "")
    data = path.read_bytes()
    contents = data.index(b"moov") - 4
    path.write_bytes(data[: contents + 4] + b"moov" + data[contents + 8 : contents + 300])
    with pytest.raises(SourceError, match=r"a\.mp4: the clip is damaged or incomplete \("):
        video.decode(path)


def test_is_video_goes_by_content(tmp_path: Path) -> None:
    for ending in ENDINGS:
        video.encode(FRAMES, 25, tmp_path / f"a{ending}", "", "")
        disguised = (tmp_path / f"a{ending}").rename(tmp_path / f"{ending[1:]}.jpg")
        assert video.is_video(disguised)
        assert video.is_video(str(disguised))
    for ending in (".gif", ".png", ".webp", ".avif", ".jpg"):
        Image.fromarray(FRAMES[0]).save(tmp_path / f"still{ending}")
        assert not video.is_video((tmp_path / f"still{ending}").rename(tmp_path / "still.mp4"))
    # Words are no clip, but a damaged one where the name says clip.
    for ending, named in ((".txt", False), (".gif", False), (".mp4", True)):
        (tmp_path / f"text{ending}").write_text("Dear diary")
        assert video.is_video(tmp_path / f"text{ending}") is named


# --- writing


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_clip_without_frames(tmp_path: Path, ending: str) -> None:
    with pytest.raises(UsageError, match=rf"a\{ending}: a clip has at least one frame"):
        video.encode(FRAMES[:0], 25, tmp_path / f"a{ending}", "", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("fps", "shown"), [(0, "0"), (-1, "-1"), (1001, "1001"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_a_rate_that_cannot_be_shown(tmp_path: Path, fps: float, shown: str) -> None:
    with pytest.raises(UsageError, match=rf"a clip shows 0\.01 to 1000 frames a second, not {shown}"):
        video.encode(FRAMES, fps, tmp_path / "a.mp4", "", "")


@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_a_place_that_cannot_be_written(tmp_path: Path, ending: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/a"):
        video.encode(FRAMES, 25, tmp_path / "file" / f"a{ending}", "", "")


def test_a_fault_while_frames_are_made_leaves_the_old_clip(tmp_path: Path) -> None:
    video.encode(FRAMES, 25, tmp_path / "a.mp4", "", "")
    before = (tmp_path / "a.mp4").read_bytes()

    def made() -> Iterator[NDArray[np.uint8]]:
        yield FRAMES[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.encode_stream(made(), 25, tmp_path / "a.mp4", "", "")
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_html_holds_the_clip(tmp_path: Path) -> None:
    tag = video.html(FRAMES, 25)
    found = re.fullmatch(r'<video [^>]*width="48" height="32" src="data:video/mp4;base64,([A-Za-z0-9+/=]+)"></video>', tag)
    assert found is not None
    (tmp_path / "a.mp4").write_bytes(base64.b64decode(found[1]))
    assert video.decode(tmp_path / "a.mp4")[0].shape == FRAMES.shape


def test_the_first_frame_of_a_clip_in_picture_form(tmp_path: Path) -> None:
    video.encode(FRAMES, 10, tmp_path / "a.webp", "", "")
    assert np.abs(image.decode(tmp_path / "a.webp").astype(int) - FRAMES[0]).mean() < 3
