from __future__ import annotations

import pytest
import torch

from artgen.nn.adversarial import cross_entropy, gradient_penalty, relativistic
from artgen.nn.augment import CLIP_DRAWS, DRAWS, Augmentation, ClipAugmentation, augment, augment_clips
from artgen.nn.mapping import Mapping, unit
from artgen.nn.pixels import to_pixels, to_signal


def draws(count: int, **chosen: float) -> torch.Tensor:
    """Draws that choose nothing but what is named by its place: ``u0=0.0``."""
    numbers = torch.full((count, DRAWS), 0.999)
    for name, value in chosen.items():
        numbers[:, int(name[1:])] = value
    return numbers


def image() -> torch.Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_strength_zero_changes_nothing() -> None:
    picture = image()
    numbers = torch.rand(2, DRAWS, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(augment(picture, numbers, torch.tensor(0.0)), picture, rtol=0, atol=1e-6)


def test_a_mirror_is_exact_and_can_be_switched_off() -> None:
    picture, numbers = image(), draws(2, u5=0.0)
    torch.testing.assert_close(augment(picture, numbers, torch.tensor(0.5)), picture.flip(3), rtol=0, atol=1e-6)
    torch.testing.assert_close(augment(picture, numbers, torch.tensor(0.5), mirror=False), picture, rtol=0, atol=1e-6)


def test_a_shift_moves_whole_pixels_and_fills_with_grey() -> None:
    picture = image()
    moved = augment(picture, draws(2, u0=0.0, u2=1.0, u3=0.5), torch.tensor(0.5))
    torch.testing.assert_close(moved[:, :, 2:], picture[:, :, :-2], rtol=0, atol=1e-6)
    assert moved[:, :, :2].abs().max() < 1e-6


def test_a_zoom_keeps_the_centre_and_changes_the_rest() -> None:
    picture = torch.zeros(1, 1, 17, 17)
    picture[:, :, 8, 8] = 1
    picture[:, :, 8, 12] = 1
    wide = augment(picture, draws(1, u1=0.0, u4=1.0), torch.tensor(0.5))
    assert wide[0, 0, 8, 8] == pytest.approx(1, abs=1e-5)
    assert wide[0, 0, 8, 12] < 0.9


@pytest.mark.parametrize(("place", "kind"), [(7, "brightness"), (8, "saturation"), (9, "contrast")])
def test_colours_change_one_thing_each(place: int, kind: str) -> None:
    picture = image()
    changed = augment(picture, draws(2, **{f"u{place}": 0.49}), torch.tensor(0.5))
    assert (changed - picture).abs().max() > 0.1
    grey, was = changed.mean(1), picture.mean(1)
    if kind == "brightness":
        difference = changed - picture
        torch.testing.assert_close(difference, difference.mean().expand_as(difference))
    elif kind == "saturation":
        torch.testing.assert_close(grey, was, rtol=0, atol=1e-5)
    else:
        torch.testing.assert_close(changed.mean((1, 2, 3)), picture.mean((1, 2, 3)), rtol=0, atol=1e-5)


def test_cutout_makes_a_hole_and_leaves_the_rest() -> None:
    picture = image() + 2
    cut = augment(picture, draws(2, u11=0.0, u12=0.5, u13=0.5), torch.tensor(0.5))
    hole = cut.abs().sum(1) == 0
    assert hole.sum() == 2 * 8 * 8
    assert hole[:, 4:12, 4:12].all()
    torch.testing.assert_close(cut[:, :, 0], picture[:, :, 0])


def test_gradients_pass_twice_and_reach_the_pixels() -> None:
    picture = image().requires_grad_(True)
    numbers = torch.rand(2, DRAWS, generator=torch.Generator().manual_seed(3))
    weight = torch.ones((), requires_grad=True)
    logits = (augment(picture, numbers, torch.tensor(0.8)).square() * weight).sum((1, 2, 3))
    gradient_penalty(logits, picture).mean().backward()
    assert weight.grad is not None
    assert weight.grad.abs() > 0


def test_gradient_penalty_of_a_known_slope() -> None:
    inputs = torch.randn(4, 3, 2, 2, requires_grad=True)
    slope = torch.arange(12.0).reshape(3, 2, 2)
    penalty = gradient_penalty((inputs * slope).sum((1, 2, 3)), inputs)
    torch.testing.assert_close(penalty, torch.full((4,), float(slope.square().sum())))


def test_the_pairing_loss_looks_at_differences_alone() -> None:
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([0.0, 5.0])
    torch.testing.assert_close(relativistic(real, fake), relativistic(real + 7, fake + 7))
    expected = torch.log1p(torch.exp(torch.tensor([-1.0, 3.0]))).mean()
    torch.testing.assert_close(relativistic(real, fake), expected)
    assert relativistic(real, fake) != relativistic(fake, real)


def test_cross_entropy_knows_both_sides() -> None:
    logits = torch.tensor([10.0, 10.0])
    assert cross_entropy(logits, True) < 1e-3 < 9 < cross_entropy(logits, False)


def test_pixels_come_back_from_signals() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert (to_pixels(to_signal(pixels)) == pixels.numpy()).all()
    assert to_pixels(torch.tensor([[[[9.0, -9.0]]]])).flatten().tolist() == [255, 0]


def test_styles_have_unit_size_and_depend_on_the_class() -> None:
    torch.manual_seed(0)
    mapping = Mapping(8, 16, classes=3)
    latents = torch.randn(5, 8)
    styles = mapping(latents, torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(styles.square().mean(1), torch.ones(5), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(styles, mapping(latents, torch.ones(5, dtype=torch.long)))
    torch.testing.assert_close(mapping.mean(1), mapping.mean(1), rtol=0, atol=0)
    with pytest.raises(ValueError, match="needs labels"):
        mapping(latents)
    assert unit(torch.zeros(1, 4)).isfinite().all()


def clip_draws(count: int, **chosen: float) -> torch.Tensor:
    numbers = torch.full((count, CLIP_DRAWS), 0.999)
    for name, value in chosen.items():
        numbers[:, int(name[1:])] = value
    return numbers


def clip() -> torch.Tensor:
    return torch.rand(2, 3, 6, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_all_frames_of_a_clip_are_changed_alike() -> None:
    still = clip()[:, :, :1].expand(-1, -1, 6, -1, -1)
    numbers = torch.rand(2, CLIP_DRAWS, generator=torch.Generator().manual_seed(5))
    changed = augment_clips(still, numbers, torch.tensor(1.0))
    torch.testing.assert_close(changed, changed[:, :, :1].expand_as(changed), rtol=0, atol=1e-5)
    torch.testing.assert_close(changed[:, :, 0], augment(still[:, :, 0], numbers[:, :DRAWS], torch.tensor(1.0)), rtol=0, atol=1e-5)
    assert (changed - still).abs().mean() > 0.05


def test_a_clip_left_alone_is_the_same() -> None:
    torch.testing.assert_close(augment_clips(clip(), clip_draws(2), torch.tensor(0.5)), clip(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", [Augmentation, ClipAugmentation])
def test_colours_are_left_alone_where_that_is_asked(kind: type[Augmentation]) -> None:
    works = image() if kind is Augmentation else clip()
    shape, strength = works.shape[2:], torch.tensor(0.5)
    brighter, moved = (
        torch.full((2, CLIP_DRAWS if kind is ClipAugmentation else DRAWS), 0.999).index_fill(1, torch.tensor(places), 0.3)
        for places in ([7], [0, 2, 3])
    )
    torch.testing.assert_close(kind(brighter, strength, *shape, recolour=False)(works), works, rtol=0, atol=1e-6)
    assert (kind(brighter, strength, *shape)(works) - works).abs().max() > 0.05
    for places in (None, torch.tensor([1])):
        seen, whole = kind(moved, strength, *shape, recolour=False), works if places is None else works[places]
        assert (seen(whole, places) - whole).abs().max() > 0.5


def test_time_runs_backwards_and_that_can_be_switched_off() -> None:
    numbers = clip_draws(2, u18=0.0)
    torch.testing.assert_close(augment_clips(clip(), numbers, torch.tensor(0.5)), clip().flip(2), rtol=0, atol=1e-6)
    torch.testing.assert_close(augment_clips(clip(), numbers, torch.tensor(0.5), reverse=False), clip(), rtol=0, atol=1e-6)


def test_a_clip_begins_later_and_its_last_frame_stands() -> None:
    later = augment_clips(clip(), clip_draws(2, u14=0.9, u15=0.0), torch.tensor(0.5))
    torch.testing.assert_close(later[:, :, :5], clip()[:, :, 1:], rtol=0, atol=1e-6)
    torch.testing.assert_close(later[:, :, 5], clip()[:, :, 5], rtol=0, atol=1e-6)


def test_a_clip_runs_at_half_speed_about_its_middle() -> None:
    slow = augment_clips(clip(), clip_draws(2, u16=0.0, u17=0.0), torch.tensor(0.5))
    between = clip()[:, :, 2] * 0.25 + clip()[:, :, 3] * 0.75
    torch.testing.assert_close(slow[:, :, 3], between, rtol=0, atol=1e-6)


def test_a_lost_frame_shows_the_one_before() -> None:
    lost = augment_clips(clip(), clip_draws(2, u19=0.5, u20=0.0), torch.tensor(0.5))
    torch.testing.assert_close(lost[:, :, 3], clip()[:, :, 2], rtol=0, atol=1e-6)
    torch.testing.assert_close(lost[:, :, 4:], clip()[:, :, 4:], rtol=0, atol=1e-6)
