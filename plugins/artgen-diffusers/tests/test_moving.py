"""Clips and sounds from tiny builds of the real pipelines: what diffusers makes, every option, every refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from conftest import blob
from diffusers import DiffusionPipeline, LTXImageToVideoPipeline, WanVideoToVideoPipeline
from PIL import Image as Pillow

from artgen import api
from artgen.artwork import Audio, Text, Video
from artgen.errors import ArtgenError, ModelError, OptionError, UsageError
from artgen_diffusers.audio import AudioDiffusers
from artgen_diffusers.borrowed import borrowed
from artgen_diffusers.video import VideoDiffusers

Pipelines = Callable[[str], Path]
CLIP: dict[str, Any] = {"width": 32, "height": 32}


def direct(folder: Path, kind: Any = DiffusionPipeline, **values: Any) -> Any:
    with borrowed(7):
        pipeline = kind.from_pretrained(folder, use_safetensors=True)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(**values, num_inference_steps=2, generator=torch.Generator().manual_seed(7), output_type="np")


def made(modality: str, folder: Path, **options: Any) -> Any:
    return api.generate(modality, model=folder, backend="diffusers", device="cpu", **{"seed": 7, "steps": 2, **options})[0]


def pixels(frames: np.ndarray) -> np.ndarray:
    return (frames[0] * 255).round().astype(np.uint8)


@pytest.mark.parametrize(("name", "fps"), [("wan", 16.0), ("ltx", 25.0)])
def test_words_become_the_very_frames_of_diffusers(pipelines: Pipelines, name: str, fps: float) -> None:
    found = made("video", pipelines(name), prompt="a red cat", frames=9, **CLIP)
    expected = direct(pipelines(name), prompt="a red cat", num_frames=9, **CLIP).frames
    assert np.array_equal(found.frames, pixels(expected))
    assert (found.frames.shape, found.fps) == ((9, 32, 32, 3), fps)
    for other in ({"prompt": "blue"}, {"seed": 8}, {"guidance": 1.5}, {"steps": 3}, {"negative_prompt": "x"}):
        options = {"prompt": "a red cat", "frames": 9, **CLIP, **other}
        assert not np.array_equal(found.frames, made("video", pipelines(name), **options).frames)
    assert made("video", pipelines(name), prompt="x", frames=1, fps=8, **CLIP).fps == 8


def test_a_picture_begins_a_clip(pipelines: Pipelines, picture: Path) -> None:
    first = Pillow.fromarray(blob(1))
    found = made("video", pipelines("svd"), image=picture, frames=3, **CLIP)
    expected = direct(pipelines("svd"), image=first, num_frames=3, **CLIP).frames
    assert np.array_equal(found.frames, pixels(expected))
    assert found.fps == 7
    with_words = made("video", pipelines("ltx"), image=picture, prompt="a cat", frames=9, **CLIP)
    expected = direct(pipelines("ltx"), LTXImageToVideoPipeline, image=first, prompt="a cat", num_frames=9, **CLIP).frames
    assert np.array_equal(with_words.frames, pixels(expected))


def test_a_clip_is_changed_at_its_own_size_and_length(pipelines: Pipelines) -> None:
    frames = np.stack([blob(number, 40, 48) for number in range(7)])
    common: dict[str, Any] = {"model": pipelines("wan"), "backend": "diffusers", "seed": 7, "device": "cpu", "steps": 2}
    given = Video(frames, fps=12, name="own.mp4")
    work = api.modify("video", given, prompt="a cat", strength=0.9, resolution=32, **common)[0]
    assert isinstance(work, Video)
    assert (work.frames.shape, work.fps) == ((7, 40, 48, 3), 12)
    small = [Pillow.fromarray(frame).resize((32, 32), Pillow.Resampling.LANCZOS) for frame in [*frames, frames[-1], frames[-1]]]
    expected = direct(pipelines("wan"), WanVideoToVideoPipeline, video=small, prompt="a cat", strength=0.9, width=32, height=32)
    back = [Pillow.fromarray(frame).resize((48, 40), Pillow.Resampling.LANCZOS) for frame in pixels(expected.frames)[:7]]
    assert np.array_equal(work.frames, np.stack([np.asarray(frame) for frame in back]))


def test_words_become_the_very_samples_of_diffusers(pipelines: Pipelines) -> None:
    found = made("audio", pipelines("stable_audio"), prompt="a bell", seconds=0.1)
    expected = direct(pipelines("stable_audio"), prompt="a bell", audio_end_in_s=0.1).audios[0]
    assert np.array_equal(found.samples, np.asarray(expected).T.clip(-1, 1))
    assert (found.rate, found.samples.shape) == (4000, (400, 2))
    for other in ({"prompt": "a dog"}, {"seed": 8}, {"guidance": 1.5}, {"negative_prompt": "x"}, {"seconds": 0.05}):
        options = {"prompt": "a bell", "seconds": 0.1, **other}
        assert not np.array_equal(found.samples, made("audio", pipelines("stable_audio"), **options).samples)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_sound_is_changed_at_its_own_length_and_rate(pipelines: Pipelines, channels: int) -> None:
    time = np.arange(800)[:, None] / 8000
    own = Audio(np.sin(2 * np.pi * 300 * time).astype(np.float32).repeat(channels, 1), 8000, name="own.wav")
    common: dict[str, Any] = {"model": pipelines("stable_audio"), "backend": "diffusers", "seed": 7, "device": "cpu", "steps": 2}
    work = api.modify("audio", own, prompt="a bell", **common)[0]
    assert isinstance(work, Audio)
    assert (work.samples.shape, work.rate) == ((800, channels), 8000)
    silence = Audio(np.zeros((800, channels), np.float32), 8000, name="silence.wav")
    assert not np.array_equal(work.samples, api.modify("audio", silence, prompt="a bell", **common)[0].samples)


@pytest.mark.parametrize(("modality", "name"), [("video", "wan"), ("audio", "stable_audio")])
def test_a_file_of_prompts_gives_a_work_for_each(pipelines: Pipelines, tmp_path: Path, modality: str, name: str) -> None:
    (tmp_path / "prompts.txt").write_text("red\nblue\n")
    size = {"frames": 1, **CLIP} if modality == "video" else {"seconds": 0.05}
    common: dict[str, Any] = {"model": pipelines(name), "backend": "diffusers", "device": "cpu", "steps": 2, "seed": 3, **size}
    works = api.generate(modality, prompts=tmp_path / "prompts.txt", **common)
    assert [work.options["prompt"] for work in works] == ["red", "blue"]
    assert np.array_equal(works[1].numpy(), api.generate(modality, prompt="blue", **common)[0].numpy())


def test_a_sister_keeps_the_number_format_and_shares_all_parts(pipelines: Pipelines) -> None:
    model = VideoDiffusers.find_model(str(pipelines("wan")))
    common: dict[str, Any] = {"model": model, "backend": "diffusers", "prompt": "x", "device": "cpu", "steps": 2, "dtype": "bf16"}
    api.generate("video", seed=1, frames=1, **common, **CLIP)
    api.modify("video", Video(np.stack([blob(1)] * 5), fps=8, name="own.mp4"), strength=0.9, resolution=32, **common)
    turned = cast(dict[str, Any], model.cache["turned"])
    words, clips = turned["generate"], turned["change"]
    assert type(clips).__name__ == "WanVideoToVideoPipeline"
    assert all(clips.components[name] is part for name, part in words.components.items() if isinstance(part, torch.nn.Module))
    assert (clips.transformer.dtype, clips.text_encoder.dtype, clips.vae.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)


REFUSED: list[tuple[str, str, dict[str, Any], type[ArtgenError], str]] = [
    ("video", "svd", {}, OptionError, "--image must be given: StableVideoDiffusionPipeline begins with a picture"),
    ("video", "svd", {"prompt": "x", "image": "own"}, OptionError, "--prompt: StableVideoDiffusionPipeline takes none"),
    ("video", "wan", {}, OptionError, "--prompt must be given: WanPipeline makes what a text says"),
    ("video", "wan", {"prompt": "x", "image": "own"}, UsageError, "this WanPipeline was not trained to begin with a picture"),
    ("video", "sd", {"prompt": "x"}, UsageError, "StableDiffusionPipeline makes no clips; use artgen image or audio generate"),
    ("audio", "sd", {"prompt": "x"}, UsageError, "StableDiffusionPipeline makes no sounds; use artgen image or video generate"),
    ("image", "wan", {"prompt": "x"}, UsageError, "WanPipeline makes video; use artgen video generate --backend diffusers"),
    ("image", "stable_audio", {"prompt": "x"}, UsageError, "StableAudioPipeline makes audio; use artgen audio generate"),
    ("audio", "stable_audio", {"prompt": "x", "lyrics": "la"}, OptionError, "--lyrics: StableAudioPipeline takes none"),
    ("video", "wan", {"prompt": "x", "prompts": "own"}, OptionError, "--prompt and --prompts both say what to make"),
    ("audio", "stable_audio", {"prompt": "x", "prompts": "own"}, OptionError, "--prompt and --prompts both say what to make"),
    ("audio", "stable_audio", {"prompt": "x", "seconds": 99}, UsageError, r"the pipeline says: .*; --debug shows where"),
]  # fmt: skip


@pytest.mark.parametrize(("modality", "name", "options", "kind", "told"), REFUSED)
def test_what_a_pipeline_cannot_do_is_told(
    pipelines: Pipelines, picture: Path, modality: str, name: str, options: dict[str, Any], kind: type[ArtgenError], told: str
) -> None:
    chosen = {key: picture if value == "own" else value for key, value in options.items()}
    with pytest.raises(kind, match=told):
        made(modality, pipelines(name), **chosen)


def test_what_cannot_be_changed_is_told(pipelines: Pipelines) -> None:
    clip = Video(np.stack([blob(1)] * 2), fps=8, name="own.mp4")
    with pytest.raises(UsageError, match="StableVideoDiffusionPipeline has no way to change a clip; use artgen video gen"):
        api.modify("video", clip, model=pipelines("svd"), backend="diffusers", prompt="x", device="cpu")


@pytest.mark.parametrize(("modality", "example"), [("video", "Wan-AI/"), ("audio", "stabilityai/stable-audio")])
def test_a_model_must_be_given(modality: str, example: str) -> None:
    with pytest.raises(ModelError, match=f"--model must be given: .* such as {example}"):
        api.generate(modality, backend="diffusers", prompt="x", seed=1, device="cpu")


def test_other_kinds_of_work_are_not_modified() -> None:
    for cls, told in ((VideoDiffusers, "video.diffusers modifies clips"), (AudioDiffusers, "audio.diffusers modifies sounds")):
        with pytest.raises(UsageError, match=f"the input: {told}, not text"):
            next(cls().modify(None, [Text("x")], [0], None))  # type: ignore[arg-type]
