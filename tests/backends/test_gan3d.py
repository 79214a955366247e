"""``video.gan3d``: its networks and what a step of training computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from clip_datasets import clips, shrink
from torch.nn import functional as F

from artgen.artwork import Video, open_artwork
from artgen.backend import SILENT
from artgen.backends.video.gan3d import motion, presets
from artgen.backends.video.gan3d.backend import Gan3d
from artgen.backends.video.gan3d.build import build
from artgen.backends.video.gan3d.model import ClipDiscriminator, Generator
from artgen.backends.video.gan3d.timeline import Span, passages
from artgen.errors import DatasetError, OptionError
from artgen.nn.classic3d import ClassicDiscriminator, ClassicGenerator
from artgen.nn.convolution import doubled
from artgen.training import Batch, Position, Run, seeded


def small(**changes: Any) -> Generator:
    torch.manual_seed(1)
    return Generator((12, 8, 8, 6), refined=2, latent=8, style=12, motion_style=8, **changes)


def latents(generator: Generator, frames: int, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(3)
    steps = generator.steps(frames)
    moments = tuple(float(step) for step in range(steps.start, steps.stop))
    span = motion.Span.around(moments[0], moments[-1])
    noise = torch.randn(count, len(span), motion.NOISES, generator=draws)
    turns = torch.rand(count, motion.OSCILLATORS, 2, generator=draws)
    return torch.randn(count, 8, generator=draws), motion.motion(noise, turns, moments, span.start)


@pytest.mark.parametrize("background", [(), (8, 8, 8, 6)])
def test_windows_of_a_long_clip_meet_exactly(background: tuple[int, ...]) -> None:
    generator = small(background=background)
    content, moving = latents(generator, 24)
    whole = generator(content, moving, frames=24)
    short = len(generator.steps(8))
    windows = [generator(content, moving[:, start : start + short], frames=8) for start in (0, 2, 4)]
    assert whole.shape == (2, 3, 24, 32, 32)
    torch.testing.assert_close(torch.cat(windows, 2), whole, rtol=0, atol=2e-6)


@pytest.mark.parametrize("background", [(), (8, 8, 8, 6)])
def test_one_content_is_the_same_given_for_every_stage_and_step(background: tuple[int, ...]) -> None:
    generator = small(background=background)
    content, moving = latents(generator, 8)
    styles = generator.mapping(content)
    spread = styles[:, None, None].expand(-1, generator.levels, moving.shape[1], -1).clone()
    torch.testing.assert_close(generator.synthesise(spread, moving, 8), generator.synthesise(styles, moving, 8), rtol=0, atol=2e-6)
    spread[:, :, moving.shape[1] // 2 :] *= -1
    changed = generator.synthesise(spread, moving, 8)
    assert (changed[:, :, -1] - generator.synthesise(styles, moving, 8)[:, :, -1]).abs().mean() > 1e-3


def test_content_and_motion_both_matter() -> None:
    generator = small()
    content, moving = latents(generator, 8)
    made = generator(content, moving, frames=8)
    assert made[:, :, 1:].sub(made[:, :, :-1]).abs().mean() > 1e-4
    assert generator(content, moving.flip(0), frames=8).sub(made).abs().mean() > 1e-3
    assert generator(content.flip(0), moving, frames=8).sub(made).abs().mean() > 1e-3


def test_a_background_stands_still_where_nothing_lies_before_it() -> None:
    generator = small(background=(8, 8, 8, 6))
    torch.nn.init.zeros_(generator.output.weight[-1:].data)
    generator.output.bias.data[-1] = -60.0  # the mask is shut
    made = generator(*latents(generator, 8), frames=8)
    assert torch.equal(made[:, :, 0], made[:, :, -1])
    assert made[0].sub(made[1]).abs().mean() > 1e-3


def test_passages_widen_towards_the_latents() -> None:
    first, second = passages(8, (False, True), (True, False))
    assert (second.refined, second.entered, second.entering) == (Span(0, 8, 4), Span(0, 8, 4), Span(-1, 9, 4))
    assert (first.refined, first.entered, first.entering) == (Span(-1, 5, 2), Span(-2, 6, 2), Span(-3, 7, 2))
    with pytest.raises(OptionError, match="a clip has a multiple of 4 frames, not 10"):
        passages(10, (False,), (False,))


def test_doubling_of_clips_is_upsampling_and_a_convolution() -> None:
    draws = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 5, 4, 6, 6, generator=draws), torch.randn(7, 5, 3, 3, 3, generator=draws)
    expected = F.conv3d(F.interpolate(x, scale_factor=(1, 2, 2)), weight, padding=(0, 1, 1))
    torch.testing.assert_close(doubled(x, weight), expected, rtol=0, atol=1e-4)


MOMENTS = tuple(float(step) for step in range(-3, 7))


def motions(moments: tuple[float, ...], count: int = 400, period: int | None = None) -> torch.Tensor:
    """Latents of the same draws at ``moments``."""
    draws = torch.Generator().manual_seed(0)
    span = motion.Span.around(-3, 14) if period is None else motion.Span(0, period)
    turns = torch.rand(count, motion.OSCILLATORS, 2, generator=draws)
    return motion.motion(torch.randn(count, len(span), motion.NOISES, generator=draws), turns, moments, span.start, period)


@pytest.mark.parametrize(("moments", "period"), [(MOMENTS, None), ((0.0, 0.3, 4.5, 5.25), None), (MOMENTS, 6), (MOMENTS, 2)])
def test_motion_latents_have_unit_variance_wherever_they_are_read(moments: tuple[float, ...], period: int | None) -> None:
    found = motions(moments, 2000, period)
    assert found.shape == (2000, len(moments), motion.SIZE)
    assert found.mean((0, 1)).abs().max() < 0.15
    torch.testing.assert_close(found.square().mean((0, 1)), torch.ones(motion.SIZE), rtol=0, atol=0.12)


def test_motion_latents_are_smooth_and_some_are_slower() -> None:
    whole = motions(MOMENTS)
    fast, slow = whole[..., 0].diff(dim=1), whole[..., motion.NOISES - 1].diff(dim=1)
    assert fast.square().mean() > 4 * slow.square().mean()
    near = motions((2.0, 2.05))
    assert (near[:, 1] - near[:, 0]).square().mean() < 0.03
    between = motions((2.0, 2.5, 3.0))
    torch.testing.assert_close(between[:, ::2], motions((2.0, 3.0)))


def test_a_period_returns() -> None:
    torch.testing.assert_close(motions((1.25, 2.0), period=5), motions((6.25, 12.0), period=5), rtol=0, atol=1e-4)
    assert (motions((1.0, 3.0), period=5).diff(dim=1)).abs().mean() > 0.1


def test_more_noises_begin_with_the_same() -> None:
    short, long = (motion.draw(motion.Span(0, count), torch.Generator().manual_seed(2)) for count in (70, 300))
    assert torch.equal(short[0], long[0])
    assert torch.equal(short[1], long[1][:, :70])


@pytest.mark.parametrize(("frames", "size"), [(16, 64), (16, 32), (8, 32), (12, 32), (32, 32)])
def test_the_classic_networks_fit_clips_and_solids(frames: int, size: int) -> None:
    generator = ClassicGenerator(frames, size, latent=10, width=4, channels=1).eval()
    made = generator(torch.randn(2, 10))
    assert made.shape == (2, 1, frames, size, size)
    assert ClassicDiscriminator(frames, size, width=4, channels=1)(made).shape == (2,)


@pytest.mark.parametrize("frames", [8, 12, 16, 64])
def test_the_discriminator_sees_the_order_of_frames(frames: int) -> None:
    torch.manual_seed(0)
    judge = ClipDiscriminator((8, 8, 6), frames=frames, refined=1)
    seen = torch.rand(2, 3, frames, 32, 32) * 2 - 1
    assert judge(seen).shape == (2,)
    assert (judge(seen) - judge(seen.flip(2))).abs().max() > 1e-4


def test_a_preset_grows_with_its_name() -> None:
    def parameters(preset: str) -> int:
        network = presets.network(preset, 32, 16, classes=[], background=False)
        return sum(each.numel() for each in build(network).parameters())

    sketch, standard, large = map(parameters, ("sketch", "standard", "large"))
    assert sketch < standard < large
    assert standard * 2 <= 8_000_000  # as half floats: what a starter may weigh


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sketch preset a few channels wide."""
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return clips(tmp_path_factory.mktemp("clips"), classes=2)


def options(**changes: Any) -> Any:
    return Gan3d.Train(
        **{"steps": 2, "batch_size": 4, "previews": 0, "precision": "fp32", "memory_format": "contiguous", **changes}
    )


def gradients(data: Any, cut: int, **changes: Any) -> dict[str, torch.Tensor]:
    """The gradients of both phases for a batch of 4, in slices of ``cut``."""
    with seeded(0):
        task = Gan3d().task(data, options(**changes))
    loaded = task.load(data, [0, 3, 5, 8])
    for number, phase in enumerate(task.phases):
        for start in range(0, 4, cut):
            part = {name: tensor[start : start + cut] for name, tensor in loaded.items()}
            batch = Batch(part, 4, start, start + cut, number, torch.device("cpu"))
            (task(phase.name, batch, Position(0, 100))["loss"] * cut / 4).backward(inputs=list(phase.parameters))
    return {name: parameter.grad for name, parameter in task.named_parameters()}


def test_each_network_meets_the_other_as_it_is_now(data: Any) -> None:
    """Updates at once, each against the other of the step before, collapse to few works: the phases take turns."""
    with seeded(0):
        task = Gan3d().task(data, options())
    assert [phase.name for phase in task.phases] == ["discriminator", "generator"]
    made: list[torch.Tensor] = []
    task.generator.register_forward_hook(lambda module, given, result: made.append(result))
    loaded = task.load(data, [0, 3, 5, 8])
    for phase, seed in (("discriminator", 1), ("generator", 2), ("discriminator", 3)):
        task(phase, Batch(loaded, 4, 0, 4, seed, torch.device("cpu")), Position(0, 100))
    assert [clips.requires_grad for clips in made] == [False, True, False]
    assert not torch.equal(made[0], made[2])


@pytest.mark.usefixtures("tiny")
def test_slices_of_a_batch_add_up_and_every_weight_learns(data: Any) -> None:
    whole, sliced = gradients(data, 4, background=True), gradients(data, 2, background=True)
    for name, expected in whole.items():
        assert expected is not None, name
        torch.testing.assert_close(sliced[name], expected, rtol=2e-3, atol=2e-5, msg=lambda text, name=name: f"{name}: {text}")
    still = {name for name, found in whole.items() if not found.abs().sum()}
    # A bias moves both logits of a pair alike.
    assert still == {"clip_discriminator.head.bias", "picture_discriminator.head.bias"}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("architecture", ["style", "vgan"])
def test_training_writes_a_model_and_a_moving_preview(data: Any, tmp_path: Path, architecture: str) -> None:
    train = options(architecture=architecture, previews=1, best_by="none")
    model = Gan3d().train(data, Run(tmp_path, "video.gan3d", train, "cpu", False), train, SILENT)
    assert model.config.network["architecture"] == architecture
    assert {name.partition(".")[0] for name in model.tensors()} >= {"generator", "clip_discriminator"}
    preview = open_artwork(max((tmp_path / "previews").glob("*.gif")), "video")
    assert isinstance(preview, Video)
    assert preview.frames.shape == (8, 4 * 32, 6 * 32, 3)
    assert preview.fps == pytest.approx(10)


def test_the_metrics_tell_still_clips_from_moving_ones(data: Any) -> None:
    task = Gan3d().task(data, options())
    task.clips = lambda count, seed: data.array("videos")[[number % 12 for number in range(48)]]  # type: ignore[method-assign]
    names = ("fd_clip", "fd_frame", "fd_change")
    real = task.measure(data, names)
    task.clips = lambda count, seed: data.array("videos")[[number % 12 for number in range(48)], :1].repeat(8, 1)
    still = task.measure(data, names)
    assert still["fd_change"] > 10 * max(real["fd_change"], 0.1)
    assert still["fd_clip"] == pytest.approx((still["fd_frame"] + still["fd_change"]) / 2)


@pytest.mark.parametrize(
    ("frames", "size", "sentence"),
    [
        (8, 48, r"clips of 48x48; gan3d learns 32, 64, 128 pixels: prepare them with --resolution 64"),
        (10, 32, r"clips of 10 frames; gan3d learns multiples of 4 from 8 to 64: prepare them with --frames 16"),
    ],
)
def test_clips_of_another_shape_are_refused(tmp_path: Path, frames: int, size: int, sentence: str) -> None:
    odd = clips(tmp_path, count=2, frames=frames, size=size)
    with pytest.raises(DatasetError, match=sentence):
        Gan3d().task(odd, options())


@pytest.mark.parametrize(
    "given", [{}, {"preset": "large"}, {"architecture": "vgan"}, {"batch_size": 6, "learning_rate": 0.01}, {"progressive": True}]
)
def test_what_is_settled_is_what_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]) -> None:
    fitted: list[Any] = []
    monkeypatch.setattr("artgen.training.fit", lambda task, data, run, progress: fitted.append((task, run)))
    data, options, backend = clips(tmp_path / "data"), Gan3d.Train(**given), Gan3d()
    backend.train(data, Run.create(tmp_path / "run", backend="video.gan3d", options=options, dataset=data), options)
    task, run = fitted[0]
    told = backend.settled(options, data)
    assert run.options.batch_size == told["batch_size"] == given.get("batch_size", told["batch_size"])
    rates = {phase.name: phase.learning_rate(Position(10**4, 10**12)) for phase in task.phases}
    judges = presets.JUDGES if given.get("progressive") else 1.0
    assert rates == {"generator": pytest.approx(told["learning_rate"]), "discriminator": pytest.approx(judges * rates["generator"])}
    assert len({phase.learning_rate(Position(10**6, 10**6)) for phase in task.phases}) == 1  # they are alike again at the end
    halfway = task.phases[1].learning_rate(Position(presets.WARMING * told["batch_size"] // 2 - 1, 10**12))
    assert halfway == pytest.approx(rates["generator"] * (1.0 if given.get("architecture") == "vgan" else 0.5), rel=0.02)


def test_only_growing_generators_begin_at_the_higher_rate() -> None:
    told = [
        Gan3d().settled(Gan3d.Train(preset=preset, progressive=growing))["learning_rate"]
        for preset in ("sketch", "standard", "large")
        for growing in (False, True)
    ]
    assert told == [5e-4, 1e-3, 5e-4, 1e-3, 5e-4, 5e-4]
