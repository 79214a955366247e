from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_edits import FEW, SIZE, apart, classed, corner, generated, model, modified, sampler, save, tiny  # noqa: F401 - fixtures

import artgen
from artgen.artwork import Image
from artgen.backend import Silent
from artgen.backends.image.gan.backend import Gan
from artgen.backends.image.gan.build import build
from artgen.backends.image.gan.modify import Modify
from artgen.backends.image.gan.project import Likeness, project, render
from artgen.backends.image.gan.sample import Sampler
from artgen.errors import OptionError, SourceError
from artgen.media.frame import Frame, Pixels, opaque, resized
from artgen.model import Config, Model, save_model
from artgen.nn.pixels import to_signal
from artgen.nn.projection import pyramid, ramp
from tests.conftest import picture

# ruff: noqa: F811 - fixtures are imported and then named as arguments


# Finding a picture


def test_a_picture_of_the_model_is_found(model: Model) -> None:
    own = generated(model, 5)
    first = apart(modified(model, own, strength=0.0, detail=0.0, iterations=1), own)
    found = apart(modified(model, own, strength=0.0, detail=0.0, iterations=80), own)
    assert found < first / 8, f"{found:.2f} grey levels apart, {first:.2f} at the start"
    assert found < 3


def test_the_search_stays_among_the_models_own_styles(model: Model, sampler: Sampler) -> None:
    target = to_signal(torch.from_numpy(picture(1, SIZE, SIZE))[None])
    found = project(sampler, target, seed=0, label=None, iterations=100)
    unusual = float(found.manifold.coordinates(found.styles).square().mean())
    assert unusual < 6, f"mean square of the coordinates {unusual:.2f}; those of the model's own styles are 1"


def test_more_iterations_are_never_worse(model: Model, sampler: Sampler) -> None:
    target = to_signal(torch.from_numpy(picture(2, SIZE, SIZE))[None])
    measure = Likeness(sampler.critic(), target, None, target)
    ends = [project(sampler, target, seed=0, label=None, iterations=n) for n in (1, 12, 60)]
    distances = [float(measure(render(sampler, end.styles))) for end in ends]
    assert distances == sorted(distances, reverse=True)


def test_likeness_is_zero_for_the_same_picture_and_sees_every_scale(sampler: Sampler) -> None:
    target, others = (to_signal(torch.from_numpy(np.stack([picture(n, SIZE, SIZE) for n in ns]))) for ns in ([1], [2, 3, 4]))
    measure = Likeness(sampler.critic(), target, None, others)
    fine = torch.where(torch.arange(SIZE) % 2 == 0, 0.1, -0.1)
    assert float(measure(target)) == 0
    assert float(measure(target + 0.1)) > 0.05
    assert float(measure(target + fine)) > 0.05
    assert measure(others).shape == (3,)


def test_likeness_does_not_look_at_what_is_unknown(sampler: Sampler) -> None:
    target, other = (to_signal(torch.from_numpy(picture(n, SIZE, SIZE))[None]) for n in (1, 2))
    known = torch.zeros(1, 1, SIZE, SIZE)
    known[..., :20] = 1
    measure = Likeness(sampler.critic(), target, known, other)
    mixed = torch.where(known > 0, target, other)
    assert float(measure(mixed)) == 0
    assert float(measure(other)) > 0
    assert torch.equal(measure.filled(other), mixed)


def test_the_pyramid_adds_up_to_the_picture() -> None:
    signal = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    bands = list(pyramid(signal))
    assert [band.shape[-1] for band in bands] == [32, 16, 8, 4]
    total = bands[-1]
    for band in bands[-2::-1]:
        total = band + torch.nn.functional.interpolate(total, scale_factor=2, mode="nearest")
    assert torch.allclose(total, signal, atol=1e-6)


def test_the_rate_rises_holds_and_falls() -> None:
    shares = [ramp(step / 200) for step in range(200)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == 1 == shares[20] == shares[140]
    assert 0 < shares[-1] < 0.01


def test_progress_is_told(model: Model) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.events: list[object] = []

        def start(self, description: str, total: float | None = None, unit: str = "") -> None:
            self.events.append((description, total, unit))

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.events.append(amount)

        def finish(self) -> None:
            self.events.append("finish")

    told = Told()
    list(Gan().modify(model, [Image(picture(1))], [0], Gan.Modify(iterations=3), told))
    assert told.events == [("finding your picture", 3, "steps"), 1.0, 1.0, 1.0, "finish"]


# Strength and detail


@pytest.mark.parametrize("shape", [(32, 32), (45, 31), (7, 90), (1, 1), (100, 64)])
def test_strength_0_returns_the_picture_itself(model: Model, shape: tuple[int, int]) -> None:
    own = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert np.array_equal(modified(model, own, strength=0.0), own)


def test_strength_1_is_the_picture_that_generate_makes(model: Model) -> None:
    assert np.array_equal(modified(model, picture(1, SIZE, SIZE), 9, strength=1.0), generated(model, 9))


def test_strength_leads_from_one_to_the_other(model: Model) -> None:
    own, new = picture(1, SIZE, SIZE), generated(model, 9)
    works = [modified(model, own, 9, strength=strength) for strength in (0.0, 0.25, 0.5, 0.75, 1.0)]
    left = [apart(work, own) for work in works]
    assert left == sorted(left)
    to_go = [apart(work, new) for work in works]
    assert to_go == sorted(to_go, reverse=True)


def test_strength_by_default_and_beside_other_edits() -> None:
    assert Modify().leaving == 0.3
    assert Modify(direction=1).leaving == Modify(mix="a.png").leaving == Modify(mask="a.png").leaving == 0
    assert Modify(direction=1, strength=0.4).leaving == 0.4
    assert Modify(strength=0.4).kept == pytest.approx(0.6)
    assert Modify(strength=0.4, detail=0.9).kept == 0.9


def test_detail_keeps_what_the_model_cannot_draw(model: Model) -> None:
    large = np.kron(picture(1, SIZE, SIZE), np.ones((4, 4, 1), np.uint8))
    sign = (np.indices(large.shape[:2]).sum(0) % 2 * 2 - 1)[..., None]
    fine = (large.astype(int) // 2 + 60 + 10 * sign).astype(np.uint8)

    def contrast(pixels: Pixels) -> float:
        return float((sign * pixels.astype(float)).mean())

    whole, half, none = (modified(model, fine, strength=0.5, detail=detail) for detail in (1.0, 0.5, 0.0))
    assert [contrast(whole), contrast(half), contrast(none)] == pytest.approx([10, 5, 0], abs=0.5)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(model: Model) -> None:
    own = picture(3, 40, 30)
    first = modified(model, own, 4)
    modified(model, picture(4), 8)  # what was made before must not matter
    torch.manual_seed(99)
    assert np.array_equal(first, modified(model, own, 4))
    assert not np.array_equal(first, modified(model, own, 5))
    assert not np.array_equal(first, own)


def test_each_of_several_pictures_comes_out_as_if_alone(model: Model) -> None:
    owns = [picture(1, 20, 50), picture(2, 50, 20)]
    works = list(Gan().modify(model, [Image(own) for own in owns], [3, 3], Gan.Modify(iterations=FEW)))
    for own, work in zip(owns, works, strict=True):
        assert work.numpy().shape == own.shape
        assert np.array_equal(work.numpy(), modified(model, own, 3))


def test_grey_and_transparent_pictures_become_rgb(model: Model) -> None:
    own = picture(1, SIZE, SIZE)
    grey = own[..., :1]
    assert np.array_equal(modified(model, grey, strength=0.0), np.repeat(grey, 3, 2))
    clear = np.dstack([own, np.zeros((SIZE, SIZE), np.uint8)])
    assert np.array_equal(modified(model, clear, strength=0.0), np.full_like(own, 255))
    assert np.array_equal(opaque(np.dstack([own, np.full((SIZE, SIZE), 255, np.uint8)])), own)


def test_a_progressive_model_modifies_too(tmp_path: Path) -> None:
    assert modified(tiny(tmp_path / "model", progressive=True), picture(1, 30, 30)).shape == (30, 30, 3)


# Pictures of any size


@pytest.mark.parametrize("shape", [(33, 32), (5, 200), (200, 5), (1, 3), (32, 31), (300, 211)])
def test_the_result_has_the_size_of_the_picture(model: Model, shape: tuple[int, int]) -> None:
    own = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert modified(model, own, iterations=1, strength=0.7).shape == own.shape


def test_a_picture_keeps_its_proportions_in_the_square() -> None:
    frame = Frame(30, 60, 32)
    assert frame.inner == (16, 32)
    assert frame.place == (slice(8, 24), slice(0, 32))
    square = frame.fit(np.full((30, 60, 3), 7, np.uint8))
    assert square.shape == (32, 32, 3)
    assert (square == 7).all()
    known = frame.known(None)
    assert known is not None
    assert (known[8:24] == 1).all()
    assert known.sum() == 16 * 32
    assert Frame(30, 30, 32).known(None) is None
    assert frame.back(known).shape == (30, 60)


def test_fitting_and_putting_back_keep_a_gradient() -> None:
    frame = Frame(100, 70, 32)
    ramped = np.repeat(np.linspace(0, 255, 100).astype(np.uint8)[:, None, None], 70, 1).repeat(3, 2)
    returned = frame.back(frame.fit(ramped)[..., 1])
    assert np.abs(returned - ramped[..., 1]).max() < 8
    assert np.array_equal(resized(returned, 100, 70), returned)


# Mistakes


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"strength": 1.5}, "--strength takes 0 to 1, not 1.5"),
        ({"detail": -0.1}, "--detail takes 0 to 1, not -0.1"),
        ({"iterations": 0}, "--iterations takes 1 to 10000, not 0"),
        ({"direction": 65}, "--direction takes 1 to 64, not 65"),
        ({"direction": 1, "amount": 10.5}, "--amount takes -10 to 10, not 10.5"),
        ({"direction": 1, "directions": "ica"}, "--directions takes sefa or pca, not ica; did you mean pca?"),
        ({"layers": "2-4"}, "--layers 2-4 says what --mix takes; give --mix with a second picture too"),
        ({"mix": "a.png", "layers": "fine"}, "--layers takes text, not fine"),
        ({"amount": 1.0}, "--amount 1.0 is about --direction; give --direction 1 too"),
        ({"directions": "pca"}, "--directions pca is about --direction; give --direction 1 too"),
        ({"mask": "a.png", "detail": 0.5}, "--mask keeps all of your picture outside the mask and none inside; leave --detail out"),
    ],
)
def test_options_outside_their_range_or_without_their_partner(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError) as error:
        Gan.Modify(**options)
    assert str(error.value) == sentence


@pytest.mark.parametrize("layers", ["0", "0-2", "5", "2-5", "3-2"])
def test_layers_that_the_model_does_not_have(model: Model, save: Callable[..., str], layers: str) -> None:
    with pytest.raises(OptionError) as error:
        modified(model, picture(1), mix=save(picture(2)), layers=layers)
    assert str(error.value) == f"--layers takes stages 1 to 4 of this model, for example 3-4, not {layers}"


def test_a_direction_that_the_model_does_not_have(model: Model) -> None:
    with pytest.raises(OptionError, match=r"^--direction takes 1 to 24 for this model, not 25$"):
        modified(model, picture(1), direction=25)


def test_a_class_that_the_model_does_not_have(model: Model, classed: Model) -> None:
    with pytest.raises(OptionError, match=r"--class kind: this model was trained without classes; leave --class out"):
        modified(model, picture(1), class_="kind")
    with pytest.raises(OptionError, match=r"--class takes a name or 0 to 2, not kind 7"):
        modified(classed, picture(1), class_="kind 7")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0, "all black, so nothing would change; paint white what --mask shall repaint"),
        (255, "all white, so nothing would be kept; leave --mask out and give --strength 1 for a new picture"),
    ],
)
def test_a_mask_of_one_colour(model: Model, save: Callable[..., str], value: int, sentence: str) -> None:
    path = save(np.full((9, 9), value, np.uint8), "mask.png")
    with pytest.raises(SourceError) as error:
        modified(model, picture(1), mask=path)
    assert str(error.value) == f"{path}: {sentence}"


@pytest.mark.parametrize("option", ["mix", "mask"])
def test_a_second_file_that_is_missing_or_no_picture(model: Model, tmp_path: Path, option: str) -> None:
    with pytest.raises(SourceError, match="no such file"):
        modified(model, picture(1), **{option: str(tmp_path / "none.png")})
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(SourceError, match="not a picture of a known kind"):
        modified(model, picture(1), **{option: str(tmp_path / "text.png")})


def test_a_classic_model_cannot_modify(tmp_path: Path) -> None:
    network = {"architecture": "dcgan", "resolution": 32, "latent": 100, "class_counts": []}
    config = Config(artgen="0", backend="image.gan", network=network)
    model = save_model(tmp_path / "model", config, build(network).state_dict(), "A card.")
    with pytest.raises(OptionError, match=r"a model of --architecture dcgan cannot modify pictures"):
        modified(model, picture(1))


# Through the front door


def test_modify_keeps_what_the_recipe_needs(model: Model, save: Callable[..., str], corner: str) -> None:
    path = save(picture(1), "mine.png")
    (work,) = artgen.modify("image", path, model=model, seed=3, iterations=FEW, mask=corner, strength=0.2)
    assert work.recipe is not None
    assert {given.role for given in work.recipe.inputs} == {"input", "mask"}
    assert work.recipe.options["strength"] == 0.2
    assert np.array_equal(work.numpy(), modified(model, picture(1), 3, mask=corner, strength=0.2))
