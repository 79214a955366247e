"""Clips of a trained ``video.gan3d``: seeds, lengths, rates, loops, sound, sheets."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from clip_datasets import tiny_model
from numpy.typing import NDArray

import artgen
from artgen.artwork import Video, moving_grid, open_artwork
from artgen.backends.video.gan3d.backend import Gan3d
from artgen.backends.video.gan3d.sample import Sampler
from artgen.errors import OptionError, UsageError
from artgen.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("gan3d"))


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("vgan"), architecture="vgan")


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds: three of silence, three of beats."""
    path = tmp_path_factory.mktemp("music") / "beats.wav"
    time = np.arange(6 * 22_050) / 22_050
    beats = np.sin(2 * np.pi * 440 * time) * np.exp(-((time * 8) % 1) * 6) * (time > 3)
    soundfile.write(path, beats.astype(np.float32), 22_050)
    return path


def made(model: Model, seeds: Sequence[int], **options: Any) -> list[Video]:
    works = list(Gan3d().generate(model, seeds, Gan3d.Generate(**options)))
    assert all(isinstance(work, Video) for work in works)
    return works  # type: ignore[return-value]  # asserted


def changes(frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much each frame differs from the one before; the first from the last."""
    wide = frames.astype(np.float64)
    return np.abs(wide - np.roll(wide, 1, 0)).mean((1, 2, 3))


def test_a_clip_is_as_long_and_as_fast_as_those_of_the_training(model: Model) -> None:
    (clip,) = made(model, [1])
    assert (clip.frames.shape, clip.fps, clip.seeds) == ((8, 32, 32, 3), 10.0, (1,))


@pytest.mark.parametrize("options", [{}, {"seconds": 1.2}, {"loop": True, "seconds": 1.6}])
def test_a_clip_depends_on_its_seed_alone(model: Model, options: dict[str, Any]) -> None:
    together = made(model, [5, 6, 7, 8, 9], **options)
    for number in (0, 2, 4):
        (alone,) = made(model, [5 + number], **options)
        assert np.array_equal(alone.frames, together[number].frames)
    assert not np.array_equal(together[0].frames, together[1].frames)


def test_a_longer_clip_begins_like_a_shorter_one_and_goes_on_smoothly(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    (short,), (long,) = made(model, [3]), made(model, [3], seconds=3.1)
    assert long.frames.shape[0] == 31
    assert np.array_equal(long.frames[:8], short.frames)
    steps = changes(long.frames)[1:]
    seams, inside = steps[7::8], np.delete(steps, np.s_[7::8])
    assert seams.max() <= inside.max() * 1.3
    # In fp32, for in bf16, which a CPU with matrix units takes, windows and the whole are rounded otherwise.
    monkeypatch.setattr(Sampler, "format", lambda self: contextlib.nullcontext())
    (long,) = made(model, [3], seconds=3.1)
    whole = Sampler.of(model, Gan3d())
    plan = whole.plan(10.0, 3.2)
    latent, moving, number = whole.draw(3, None, plan)
    with torch.no_grad():
        once = whole.styled.synthesise(whole.styles(latent, number, 0.8), moving, 32)
    assert np.abs(once[0].permute(1, 2, 3, 0).clamp(-1, 1).numpy()[:31] * 127.5 + 127.5 - long.frames).max() < 0.51


def test_a_loop_ends_where_it_began(model: Model) -> None:
    (loop,) = made(model, [4], seconds=1.5, loop=True)
    assert loop.frames.shape[0] == 16  # a multiple of four
    steps = changes(loop.frames)
    assert steps[0] <= steps[1:].max() * 1.2
    (straight,) = made(model, [4], seconds=1.6)
    assert changes(straight.frames)[0] > 0


def test_more_frames_a_second_make_the_same_time_smoother(model: Model) -> None:
    (usual,), (fine,) = made(model, [3], seconds=1.6), made(model, [3], seconds=1.6, fps=20)
    assert (len(usual.frames), len(fine.frames), fine.fps) == (16, 32, 20)
    assert changes(fine.frames)[1:].mean() < 0.75 * changes(usual.frames)[1:].mean()


def test_truncation_pulls_to_the_mean(model: Model) -> None:
    means = made(model, [1, 2], truncation=0.0, class_="way1")
    far = made(model, [1, 2], truncation=1.5, class_="way1")

    def apart(pair: list[Video]) -> float:
        return float(np.abs(pair[0].frames.astype(float) - pair[1].frames).mean())

    assert apart(means) < apart(far)


def test_a_class_is_asked_for_by_name_or_number(model: Model) -> None:
    (named,), (numbered,), (other,) = (made(model, [2], class_=name) for name in ("way1", "1", "way0"))
    assert np.array_equal(named.frames, numbered.frames)
    assert not np.array_equal(named.frames, other.frames)
    with pytest.raises(OptionError, match="--class takes a name or 0 to 1, not way2; did you mean way1"):
        made(model, [2], class_="way2")


def test_sound_drives_the_motion_and_is_kept(model: Model, music: Path) -> None:
    (clip,) = made(model, [3], audio=str(music))
    assert (clip.frames.shape[0], clip.audio is not None) == (60, True)
    steps = changes(clip.frames)[1:]
    assert steps[:20].mean() < 0.7 * steps[40:].mean()
    (even,) = made(model, [3], audio=str(music), reactivity=0.0)
    (plain,) = made(model, [3], seconds=6.0)
    # Two ways to the same moments; where films are made in bf16 its rounding adds to that.
    close = 1 if isinstance(Sampler.of(model, Gan3d()).format(), contextlib.nullcontext) else 4
    assert np.abs(even.frames.astype(int) - plain.frames).max() <= close
    (short,) = made(model, [3], audio=str(music), seconds=1.0)
    assert len(short.frames) == 10


def test_the_classic_network_makes_clips_of_one_length(classic: Model) -> None:
    together = made(classic, [1, 2, 3, 4, 5])
    assert together[0].frames.shape == (8, 32, 32, 3)
    assert np.array_equal(made(classic, [5])[0].frames, together[4].frames)
    for options, flag in [({"seconds": 2.0}, "--seconds"), ({"loop": True}, "--loop"), ({"audio": "x.wav"}, "--audio")]:
        with pytest.raises(OptionError, match=f"{flag}: a model of --architecture vgan makes clips of 8 frames and no others"):
            made(classic, [1], **options)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loop": True, "audio": "x.wav"}, "--loop ends where it began, --audio when the sound does; leave one of them out"),
        ({"seconds": 0.05}, "--seconds 0.05 at 10 frames a second is less than two frames; ask for more"),
    ],
)
def test_what_does_not_go_together_is_said(model: Model, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        made(model, [1], **options)


@pytest.mark.parametrize("ending", ["mp4", "gif", "webm", "webp"])
def test_files_are_the_same_bytes_each_time_and_are_made_again(model: Model, tmp_path: Path, ending: str) -> None:
    first, again = (artgen.generate("video", model=model.folder, seed=7)[0].save(tmp_path / f"{name}.{ending}") for name in "ab")
    assert first.read_bytes() == again.read_bytes()
    assert artgen.replay(first).state == "identical"


def test_a_sheet_of_clips_is_one_clip(model: Model, tmp_path: Path) -> None:
    clips = made(model, [1, 2, 3])
    sheet = moving_grid(clips, 2, 2)
    assert (sheet.frames.shape, sheet.seeds) == ((8, 64, 64, 3), (1, 2, 3))
    assert np.array_equal(sheet.frames[:, :32, 32:], clips[1].frames)
    assert (sheet.frames[:, 32:, 32:] == 255).all()
    with pytest.raises(UsageError, match="a grid holds clips of one length and rate"):
        moving_grid([clips[0], made(model, [1], seconds=1.6)[0]], 2, 2)
    # All were driven by one sound, which the sheet keeps; of several it keeps none.
    sound = np.ones((400, 1), np.float32), 8000
    assert sheet.audio is None
    heard = [Video(clip.frames, clip.fps, audio=(sound[0].copy(), sound[1])) for clip in clips]
    kept = moving_grid(heard, 2, 2).audio
    assert kept is not None
    np.testing.assert_array_equal(kept[0], sound[0])
    assert moving_grid([*heard[:-1], clips[-1]], 2, 2).audio is None
    from artgen.cli import main

    main(["video", "generate", "--model", str(model.folder), "--seed", "1", "--grid", "2x1", "-o", str(tmp_path / "s.gif")])
    opened = open_artwork(tmp_path / "s.gif", "video")
    assert opened.numpy().shape == (8, 32, 64, 3)
    assert artgen.replay(tmp_path / "s.gif").state == "identical"
