"""``artgen video modify`` with ``video.gan3d``: a clip is found, changed, and in the result where it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_datasets import clip, tiny_model

from artgen.artwork import Image, Video
from artgen.backends.video.gan3d.backend import Gan3d
from artgen.backends.video.gan3d.project import Found, Likeness, continued, project, turned
from artgen.backends.video.gan3d.sample import Sampler
from artgen.errors import OptionError, SourceError, UsageError
from artgen.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return tiny_model(tmp_path_factory.mktemp("gan3d"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    other = Video(clip(51, 9, 32), fps=5.0).save(folder / "other.gif")
    picture = Image(clip(3)[0, :, :20]).save(folder / "picture.png")
    return {"other": str(other), "picture": str(picture)}


def own() -> Video:
    """A portrait clip of 12 frames, 8 a second."""
    return Video(np.ascontiguousarray(clip(50, 12, 40)[:, :, :24]), fps=8.0, name="own.mp4")


def changed(model: Model, seed: int = 4, work: Video | None = None, **options: Any) -> Video:
    (made,) = Gan3d().modify(model, [work or own()], [seed], Gan3d.Modify(iterations=3, **options))
    assert isinstance(made, Video)
    return made


def test_a_new_motion_is_drawn_by_the_seed_and_keeps_size_and_rate(model: Model) -> None:
    made, again, other = changed(model), changed(model, remotion=True), changed(model, seed=5)
    assert (made.frames.shape, made.fps, made.seeds) == ((12, 40, 24, 3), 8.0, (4,))
    assert np.array_equal(made.frames, again.frames)
    assert not np.array_equal(made.frames, other.frames)


def test_mixing_takes_the_motion_and_its_length_from_the_other_clip(model: Model, files: dict[str, str]) -> None:
    made = changed(model, mix=files["other"])
    assert made.frames.shape == (14, 40, 24, 3)  # 1.8 seconds


def test_a_picture_is_moved_in_its_own_size(model: Model, files: dict[str, str]) -> None:
    made = changed(model, animate=files["picture"])
    assert made.frames.shape == (12, 32, 20, 3)
    assert np.abs(np.diff(made.frames.astype(int), axis=0)).mean() > 0.1


def test_a_clip_goes_on_after_its_own_frames(model: Model) -> None:
    made = changed(model, extend=1.0)
    assert made.frames.shape[0] == 20
    assert np.array_equal(made.frames[:12], own().frames)
    steps = np.abs(np.diff(made.frames.astype(int), axis=0)).mean((1, 2, 3))
    assert steps[11] < 3 * max(steps[:11].max(), steps[12:].max())
    assert steps[12:].min() > 0


def test_slow_motion_keeps_the_frames_and_puts_others_between(model: Model) -> None:
    made = changed(model, slow=3)
    assert made.frames.shape[0] == 34
    assert np.array_equal(made.frames[::3], own().frames)
    moving = np.abs(np.diff(own().frames.astype(int), axis=0)).mean((1, 2, 3)).argmax()
    between, before, after = (made.frames[3 * moving + place].astype(int) for place in (1, 0, 3))
    assert 0 < np.abs(between - before).sum() < np.abs(after - before).sum() * 1.2


def test_a_clip_turns_into_another(model: Model, files: dict[str, str]) -> None:
    made = changed(model, interpolate=files["other"])
    assert made.frames.shape == (12, 40, 24, 3)
    assert np.abs(made.frames[0].astype(int) - own().frames[0]).max() <= 1
    ends = np.abs(made.frames[-1].astype(int) - own().frames[-1]).mean()
    assert ends > np.abs(made.frames[3].astype(int) - own().frames[3]).mean()
    bare = changed(model, interpolate=files["other"], detail=0.0)
    assert not np.array_equal(bare.frames[0], own().frames[0])


def test_detail_puts_back_what_the_model_cannot_draw(model: Model) -> None:
    assert not np.array_equal(changed(model, detail=1.0).frames, changed(model).frames)
    assert not np.array_equal(changed(model, extend=1.0, detail=0.0).frames[0], own().frames[0])


def test_the_search_comes_nearer(model: Model) -> None:
    sampler = Sampler.of(model, Gan3d())
    target = sampler.styled(torch.randn(1, 64, generator=torch.Generator().manual_seed(9)), *_motion(sampler), frames=8)

    def distance(iterations: int) -> float:
        found = project(sampler, target, seed=0, label=0, iterations=iterations)
        with torch.no_grad():
            clips = sampler.styled.synthesise(found.styles, found.moving, 8)
        return float((clips - target).square().mean())

    assert distance(25) < 0.7 * distance(1)


def _motion(sampler: Sampler) -> tuple[torch.Tensor, torch.Tensor]:
    plan = sampler.plan(10.0, 0.8)
    return sampler.moving(plan, torch.Generator().manual_seed(9)), torch.zeros(1, dtype=torch.long)


def test_likeness_is_least_for_the_target_itself(model: Model) -> None:
    sampler = Sampler.of(model, Gan3d())
    draws = torch.Generator().manual_seed(0)
    clips = torch.rand(3, 3, 20, 32, 32, generator=draws) * 2 - 1
    likeness = Likeness(sampler.critic(still=False), clips[:1], 8, clips[:, :, :20])
    found = likeness(clips)
    assert found[0] < 1e-5 < found[1:].min()
    middle = clips[:, :, 10:11]
    still = Likeness(sampler.critic(still=True), middle[:1], 8, clips)
    assert still(clips)[0] < 1e-5 < still(clips)[1:].min()


def test_motions_are_read_and_joined_between_their_steps() -> None:
    found = Found(torch.zeros(1, 1, 1), torch.tensor([[[0.0], [2.0], [4.0]]]), -1, None)
    assert found.motion([-5.0, -1.0, 0.5, 1.0, 9.0]).flatten().tolist() == [0, 0, 3, 4, 4]
    fresh = torch.full((1, 4, 1), 7.0)
    joined = continued(found, fresh, [0.0, 1.0, 1.5, 30.0], 1.0).flatten()
    assert joined[:2].tolist() == [2, 4]
    assert abs(float(joined[2]) - 4) < 1
    assert joined[3] == pytest.approx(7)
    ends = turned(torch.zeros(1, 2, 1), fresh[:, :2], torch.tensor([0.0, 1.0])).flatten()
    assert ends.tolist() == [0, 7]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"slow": 2, "extend": 1.0}, "--extend and --slow are changes of their own; give one of them"),
        ({"remotion": True, "mix": "x.gif"}, "--remotion and --mix are changes of their own; give one of them"),
        ({"class_": "zebra"}, "--class takes a name or 0 to 1, not zebra"),
    ],
)
def test_what_cannot_be_followed_is_said(model: Model, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        changed(model, **options)


def test_only_clips_are_changed_and_files_must_be_there(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gan3d modifies clips, not image"):
        list(Gan3d().modify(model, [Image(clip(1)[0])], [1], Gan3d.Modify()))
    with pytest.raises(SourceError, match=r"gone.mp4"):
        changed(model, mix=str(tmp_path / "gone.mp4"))


def test_a_long_clip_is_looked_at_as_far_as_is_said(model: Model) -> None:
    said: list[str] = []

    class Told:
        def __getattr__(self, name: str) -> Any:
            return said.append if name == "say" else lambda *_: None

    long = Video(np.repeat(clip(1), 11, 0), fps=10.0, name="long.mp4")
    (made,) = Gan3d().modify(model, [long], [1], Gan3d.Modify(iterations=1), Told())
    assert made.numpy().shape[0] == 88
    assert said == ["long.mp4: the motion of its first 6.4 seconds is looked at"]


def test_a_classic_model_cannot_modify(tmp_path: Path) -> None:
    classic = tiny_model(tmp_path, architecture="vgan")
    with pytest.raises(OptionError, match="a model of --architecture vgan cannot modify clips; train one of --architecture style"):
        changed(classic)
