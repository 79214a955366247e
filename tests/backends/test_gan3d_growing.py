"""``video.gan3d --progressive``: networks that begin with small clips and grow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_datasets import clips, shrink
from stopped import whole_and_cut
from torch.nn import functional as F

import artgen
from artgen.artwork import Video, open_artwork
from artgen.backends.video.gan3d import motion
from artgen.backends.video.gan3d.backend import Gan3d
from artgen.backends.video.gan3d.model import ClipDiscriminator, Generator
from artgen.dataset import Dataset
from artgen.errors import OptionError, TrainingError
from artgen.nn.augment import CLIP_DRAWS, DRAWS
from artgen.training import Batch, Position, Run, fit, seeded
from artgen.training.adversarial import PASSES
from artgen.training.schedule import growth

TINY: dict[str, Any] = {"batch_size": 4, "previews": 0, "best_by": "none", "precision": "fp32", "memory_format": "contiguous"}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sketch preset a few channels wide."""
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return clips(tmp_path_factory.mktemp("clips"), classes=2)


def made(generator: Generator, **grown: Any) -> torch.Tensor:
    """Two clips of 8 frames from fixed latents."""
    draws = torch.Generator().manual_seed(3)
    steps = generator.steps(8)
    moments = tuple(float(step) for step in range(steps.start, steps.stop))
    span = motion.Span.around(moments[0], moments[-1])
    noise = torch.randn(2, len(span), motion.NOISES, generator=draws)
    moving = motion.motion(noise, torch.rand(2, motion.OSCILLATORS, 2, generator=draws), moments, span.start)
    return generator(torch.randn(2, 8, generator=draws), moving, frames=8, **grown)


@pytest.mark.parametrize("background", [(), (8, 8, 8, 6, 6)])
def test_the_generator_fades_from_one_stage_to_the_next(background: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    generator = Generator((8, 8, 8, 6, 6), refined=2, latent=8, style=12, motion_style=8, background=background, progressive=True)
    small, middle, whole = (made(generator, level=level) for level in (2, 3, 4))
    assert [clip.shape for clip in (small, middle, whole)] == [(2, 3, 8, size, size) for size in (16, 32, 64)]
    torch.testing.assert_close(whole, made(generator))
    if not background:  # the one behind is as sharp as the clip, whatever has faded in
        torch.testing.assert_close(made(generator, level=3, fade=0.0), F.interpolate(small, scale_factor=(1, 2, 2)))
    half = made(generator, level=3, fade=0.5)
    assert (half - middle).abs().max() > 1e-4
    assert (half - made(generator, level=3, fade=0.0)).abs().max() > 1e-4


def test_a_small_background_is_the_whole_one_averaged() -> None:
    torch.manual_seed(0)
    generator = Generator((8, 8, 8, 6), refined=2, latent=8, style=12, motion_style=8, background=(8, 8, 8, 6), progressive=True)
    with torch.no_grad():  # the mask lets everything through
        for output in (generator.output, generator.smaller["2"]):
            output.weight[-1] = 0
            output.bias[-1] = -100
    torch.testing.assert_close(made(generator, level=2), F.avg_pool3d(made(generator), (1, 2, 2)))


@pytest.mark.parametrize("frames", [8, 12, 16, 20, 28, 36, 64])
def test_the_discriminator_takes_clips_of_every_size_it_grows_through(frames: int) -> None:
    torch.manual_seed(0)
    judge = ClipDiscriminator((8, 8, 6, 6), frames=frames, refined=1, progressive=True)
    for size in (16, 32, 64):
        seen = torch.rand(2, 3, frames, size, size) * 2 - 1
        assert judge(seen).shape == (2,)
        assert (judge(seen) - judge(seen.flip(2))).abs().max() > 1e-5  # the order of frames is seen at every size
    for size in (32, 64):
        seen = torch.rand(2, 3, frames, size, size) * 2 - 1
        torch.testing.assert_close(judge(seen, fade=0.0), judge(F.avg_pool3d(seen, (1, 2, 2))))
        assert not torch.allclose(judge(seen, fade=0.5), judge(seen))


@pytest.mark.parametrize(("first", "last"), [(1, 3), (2, 4), (2, 3), (2, 2)])
def test_every_stage_gets_its_part_and_the_last_ends_whole(first: int, last: int) -> None:
    places = [growth(number / 1000, first, last) for number in range(1001)]
    levels = [level for level, _ in places]
    assert levels == sorted(levels)
    assert set(levels) == set(range(first, last + 1))
    assert places[-1] == (last, 1.0)
    assert all(0 < fade <= 1 for _, fade in places)
    if first < last:
        parts = [levels.count(level) for level in range(first, last)]
        assert all(part == pytest.approx(600 / (last - first), abs=1) for part in parts)


def test_a_training_begins_small_and_ends_large(data: Dataset) -> None:
    """Both networks see clips of 16 pixels first, of 32 at the end."""
    with seeded(0):
        task: Any = Gan3d().task(data, Gan3d.Train(progressive=True, **TINY))
    seen: list[tuple[int, ...]] = []
    task.clip_discriminator.register_forward_pre_hook(lambda module, given: seen.append(tuple(given[0].shape[-3:])))
    batch = Batch(task.load(data, [0, 3, 5, 8]), 4, 0, 4, 0, torch.device("cpu"))
    for place in (0, 100):
        for phase in ("discriminator", "generator"):
            found = task(phase, batch, Position(place, 100))
            found["loss"].backward()
    assert set(seen[: len(seen) // 2]) == {(8, 16, 16)}
    assert set(seen[len(seen) // 2 :]) == {(8, 32, 32)}
    small = {"generator.smaller.2.weight", "clip_discriminator.inputs.2.weight", "picture_discriminator.inputs.2.weight"}
    grads = {name: parameter.grad for name, parameter in task.named_parameters()}
    assert all(grads[name] is not None and grads[name].abs().sum() > 0 for name in small)


def test_small_clips_get_a_lighter_penalty(data: Dataset) -> None:
    """At 16 of 32 pixels it weighs as much as in a training of 16 pixels."""
    with seeded(0):
        task: Any = Gan3d().task(data, Gan3d.Train(progressive=True, penalty_every=1, **TINY))
    task.gammas = (1.0, 0.0)
    batch = Batch(task.load(data, [0, 3, 5, 8]), 4, 0, 4, 0, torch.device("cpu"))
    weights = {}
    for place, fade in ((0, 1.0), (100, 0.1)):
        found = {name: float(number.detach()) for name, number in task("discriminator", batch, Position(place, 100)).items()}
        adversarial = found["adversarial"] + 0.5 * found["adversarial_pictures"]
        weights[place] = (found["loss"] - adversarial) / found["penalty"] / fade
    assert weights == {0: pytest.approx(0.5**1.5, rel=1e-3), 100: pytest.approx(1.0, rel=1e-3)}


def test_previews_show_the_size_that_is_reached_and_measures_the_whole(data: Dataset) -> None:
    with seeded(0):
        task: Any = Gan3d().task(data, Gan3d.Train(progressive=True, **TINY))
    grown, whole = task.clips(2, 0, grown=True), task.clips(2, 0)
    assert grown.shape == whole.shape == (2, 8, 32, 32, 3)
    blocks = grown.reshape(2, 8, 16, 2, 16, 2, 3)
    assert (blocks == blocks[:, :, :, :1, :, :1]).all()
    assert not (whole == grown).all()
    sheet = next(iter(task.preview(data)))
    assert isinstance(sheet, Video)


def test_resume_is_exact_across_the_growth(data: Dataset, tmp_path: Path) -> None:
    """Stopped while it is small and while the larger stage fades in, and gone on with."""
    options = Gan3d.Train(**{**TINY, "steps": 8, "save_steps": 1, "progressive": True})
    whole, cut = whole_and_cut(Gan3d(), data, options, tmp_path, (3, 6))
    assert set(cut) == set(whole)
    for name, tensor in whole.items():
        assert torch.equal(tensor, cut[name]), name


def test_a_grown_model_generates_and_modifies(data: Dataset, tmp_path: Path) -> None:
    model = artgen.train("video", data.folder, tmp_path / "run", steps=2, progressive=True, **TINY)
    assert model.config.network["progressive"] is True
    clip = artgen.generate("video", model=model, seeds=[1])[0]
    clip.save(tmp_path / "clip.gif")
    changed = artgen.modify("video", open_artwork(tmp_path / "clip.gif", "video"), model=model, remotion=True, iterations=1)
    assert isinstance(changed[0], Video)
    assert changed[0].frames.shape == (8, 32, 32, 3)


def test_the_classic_network_does_not_grow(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--progressive is an option of --architecture style, not of vgan; leave one of them out"):
        artgen.train("video", data.folder, tmp_path / "run", architecture="vgan", progressive=True, steps=1, **TINY)


@pytest.mark.parametrize("given", [{"progressive": True}, {"background": True}, {"augment": 0.5}, {"gamma": 1.0}])
def test_options_of_the_other_architecture_are_refused_before_anything_begins(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"--{next(iter(given))} is an option of --architecture style, not of vgan"):
        Gan3d.Train(architecture="vgan", **given)


def test_networks_are_measured_once_they_have_grown(data: Dataset, tmp_path: Path) -> None:
    """Noise of the stages to come must not be what --patience waits for."""
    options = {**TINY, "steps": 10, "previews": 10, "best_by": "auto", "until": "fd_clip<=0"}
    artgen.train("video", data.folder, tmp_path / "run", progressive=True, **options)
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    measured = [record["step"] for record in records if "fd_clip" in record]
    assert measured[-1] == 10
    assert all(step >= 6 for step in measured)


def test_a_resumed_run_previews_what_it_has_grown_to(data: Dataset, tmp_path: Path) -> None:
    """A run that was finished already takes no step before its preview."""
    options = Gan3d.Train(**{**TINY, "steps": 3, "previews": 1, "progressive": True})
    shown: list[bool] = []
    for resume in (False, True):
        with seeded(0):
            task: Any = Gan3d().task(data, options)
        clips_of = task.clips

        def listening(count: int, seed: int, grown: bool = False, clips_of: Any = clips_of) -> Any:
            found = clips_of(count, seed, grown)
            blocks = found.reshape(count, 8, 16, 2, 16, 2, 3)
            shown.append(bool((blocks == blocks[:, :, :, :1, :, :1]).all()))
            return found

        task.clips = listening
        fit(task, data, Run.create(tmp_path, backend="video.gan3d", options=options, dataset=data, resume=resume))
    assert shown == [True, False, False]


@pytest.mark.parametrize("clips", [True, False])
def test_augmentation_comes_in_over_the_first_passes_unless_it_is_asked_for(data: Dataset, clips: bool) -> None:
    judged = {"numbers": torch.full((1, 2, CLIP_DRAWS if clips else DRAWS), 0.3), "labels": None, "clips": clips}

    def moved(passes: float, **given: float) -> bool:
        task: Any = Gan3d().task(data, Gan3d.Train(**{**TINY, **given}))
        seen = task._side(judge=task.clip_discriminator, position=Position(int(passes * len(data)), 10**5), **judged).seen
        return not torch.equal(seen.rows[0], torch.eye(32))

    assert [moved(passes) for passes in (0, PASSES / 2, PASSES)] == [False, False, True]  # begins at 0.5; 0.3 is drawn
    assert moved(0, augment=0.5)


def test_the_average_of_growing_networks_remembers_less_while_the_rate_is_high(data: Dataset) -> None:
    def remembered(progressive: bool, fraction: float) -> float:
        task: Any = Gan3d().task(data, Gan3d.Train(**{**TINY, "progressive": progressive, "ema": 0.02}))
        return float(task.half_life(Position(int(fraction * 10**6), 10**6)))

    assert [remembered(False, fraction) for fraction in (0.5, 1.0)] == [20_000, 20_000]
    assert remembered(True, 1.0) == pytest.approx(20_000)
    assert remembered(True, 0.5) == pytest.approx(20_000 / 5.5)  # there the rate is 0.55 of its first, at the end 0.1


@pytest.mark.parametrize("clips", [True, False])
def test_judges_see_clips_moved_but_never_in_other_colours(data: Dataset, clips: bool) -> None:
    task: Any = Gan3d().task(data, Gan3d.Train(**{**TINY, "augment": 0.6}))
    judge = task.clip_discriminator if clips else task.picture_discriminator
    grey = torch.full((2, 3, *((task.frames,) if clips else ()), 32, 32), 0.25)

    def seen(places: list[int]) -> torch.Tensor:
        numbers = torch.full((1, 2, CLIP_DRAWS if clips else DRAWS), 0.999).index_fill(2, torch.tensor(places), 0.1)
        view: torch.Tensor = task._side(numbers, judge, None, Position(0, 100), clips=clips).seen(grey)
        return view

    torch.testing.assert_close(seen([7, 8, 9]), grey, rtol=0, atol=1e-6)
    assert not torch.equal(seen([0, 2, 3]), grey)


def test_a_run_of_before_there_was_growing_goes_on(data: Dataset, tmp_path: Path) -> None:
    artgen.train("video", data.folder, tmp_path / "run", steps=1, **TINY)
    settings = tmp_path / "run" / "config.toml"
    settings.write_text(settings.read_text().replace("progressive = false\n", ""))
    model = artgen.train("video", data.folder, tmp_path / "run", resume=True, steps=2, **TINY)
    assert model.config.train["items_seen"] == 8
    with pytest.raises(TrainingError, match="was started with --no-progressive, not --progressive; leave it out"):
        artgen.train("video", data.folder, tmp_path / "run", resume=True, progressive=True, steps=3, **TINY)


def test_a_model_of_before_opens(data: Dataset) -> None:
    """Configurations that do not say whether they grow are of networks that do not."""
    task: Any = Gan3d().task(data, Gan3d.Train(**TINY))
    network = dict(task.network)
    assert network.pop("progressive") is False
    assert set(Gan3d().build(network).state_dict()) == {name for name in task.state_dict() if name != "strength"}
