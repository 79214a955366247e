"""Laws of the dream: what it changes, what it keeps, and that the same seed gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import blob

import artgen
from artgen.artwork import Image, Video, open_artwork
from artgen.backend import Silent
from artgen.errors import OptionError, SourceError, UsageError
from artgen.model import Model
from artgen.remake import replay
from artgen_deepdream import pyramid
from artgen_deepdream.backend import DeepDream
from artgen_deepdream.dream import MARGIN, Dreamer
from artgen_deepdream.options import Dream, Generate, Modify
from artgen_deepdream.readers import reader_of
from artgen_deepdream.targets import GUIDE_PLACES, Objective, Part, Tally, Target, parse
from artgen_deepdream.works import noise

QUICK: dict[str, Any] = {"octaves": 2, "steps": 2, "jitter": 4}


def dreamed(model: Model, picture: Image, seed: int = 0, **options: Any) -> np.ndarray:
    work = artgen.modify("image", picture, model=model, seed=seed, device="cpu", **{**QUICK, **options})[0]
    return work.numpy()


@pytest.mark.parametrize("shape", [(40, 40, 3), (33, 51, 3), (40, 47, 1), (35, 40, 4), (16, 16, 3)])
def test_a_picture_keeps_its_size_and_kind(shape: tuple[int, int, int], tiny: Model):
    picture = Image(blob(1, *shape))
    kept = picture.pixels.copy()
    pixels = dreamed(tiny, picture)
    assert pixels.shape == shape
    assert pixels.dtype == np.uint8
    assert not np.array_equal(pixels, picture.pixels)
    assert np.array_equal(picture.pixels, kept)
    if shape[2] == 4:
        assert np.array_equal(pixels[..., 3], picture.pixels[..., 3])


def test_strength_says_how_far(tiny: Model):
    picture = Image(blob(2, 48, 40))
    assert np.array_equal(dreamed(tiny, picture, strength=0.0), picture.pixels)
    far = [np.abs(dreamed(tiny, picture, strength=s).astype(int) - picture.pixels).mean() for s in (0.3, 1.0, 3.0)]
    assert 0 < far[0] < far[1] < far[2]


def test_same_seed_same_bytes_and_another_seed_others(tiny: Model):
    picture = Image(blob(3))
    assert np.array_equal(dreamed(tiny, picture, 5), dreamed(tiny, picture, 5))
    assert not np.array_equal(dreamed(tiny, picture, 5), dreamed(tiny, picture, 6))


def test_a_dream_makes_its_target_stronger(tiny: Model):
    reader = reader_of(tiny)
    for layer, channel in (("conv2a", 1), ("mixed4a", 5)):
        objective = Objective(reader, [Target(layer, (channel,))])
        dreamer = Dreamer(reader, objective, Dream(layer=layer, channel=channel))
        before = noise(48, 1)
        after = dreamer.dream(before, torch.Generator().manual_seed(0), steps=6, octaves=1)
        first, second = (reader.answers(picture, [layer])[0][:, channel].mean() for picture in (before, after))
        assert second > first


def test_every_option_changes_the_dream(tiny: Model, tmp_path: Path):
    guide = Image(blob(9, 50, 50)).save(tmp_path / "guide.png")
    picture = Image(blob(4, 64, 60))
    plain = dreamed(tiny, picture)
    changes: list[dict[str, Any]] = [
        {"layer": "conv1a"}, {"layer": "mixed4a", "channel": 3}, {"layer": "mixed4a:3+4"}, {"layer": "mixed3a,mixed4a"},
        {"strength": 2.0}, {"steps": 3}, {"octaves": 1}, {"octave_scale": 2.0}, {"jitter": 0}, {"smoothing": "gaussian"},
        {"smoothing": "none"}, {"colour": 0.0}, {"guide": guide},
    ]  # fmt: skip
    for change in changes:
        assert not np.array_equal(dreamed(tiny, picture, **change), plain), change


def test_without_colour_only_lightness_changes(tiny: Model):
    picture = Image(np.full((40, 40, 3), 120, np.uint8) + blob(5, 40, 40, 1) // 8)
    pixels = dreamed(tiny, picture, colour=0.0).astype(int)
    assert np.abs(pixels - pixels.mean(2, keepdims=True)).max() <= 1
    assert np.abs(pixels - picture.pixels).max() > 1


def test_parts_give_the_gradient_of_the_whole(tiny: Model):
    """Cuts are hidden by the margin: only what a layer sees beyond it may differ."""
    reader = reader_of(tiny)
    picture = noise(288, 2)
    found = {}
    for tile in (64, 1024):
        dreamer = Dreamer(reader, Objective(reader, [Target("mixed3a")]), Dream(layer="mixed3a", tile=tile, jitter=0))
        dreamer.objective.settle([Part(picture)])
        found[tile] = dreamer.gradient(picture, torch.Generator().manual_seed(0))
    assert torch.allclose(found[64], found[1024], atol=1e-5 * float(found[1024].abs().max()))


@pytest.mark.parametrize("length", [64, 64 + 2 * MARGIN, 65 + 2 * MARGIN, 500, 1000])
def test_parts_cover_an_edge_once_and_none_is_too_large(length: int, tiny: Model):
    dreamer = Dreamer(reader_of(tiny), Objective(reader_of(tiny), [Target("mixed3a")]), Dream(tile=64))
    for seed in range(20):
        spans = dreamer._spans(length, torch.Generator().manual_seed(seed))
        covered = [place for rows, _ in spans for place in range(rows.start, rows.stop)]
        assert covered == list(range(length))
        assert all(wide.stop - wide.start <= 64 + 32 + 2 * MARGIN for _, wide in spans)


def test_a_large_picture_is_dreamed_in_parts(tiny: Model):
    picture = Image(blob(6, 210, 190))
    whole, parts = dreamed(tiny, picture, octaves=1, jitter=0), dreamed(tiny, picture, octaves=1, jitter=0, tile=64)
    added, in_parts = (pixels.astype(int) - picture.pixels for pixels in (whole, parts))
    assert np.abs(added).mean() > 5
    assert np.corrcoef(added.ravel(), in_parts.ravel())[0, 1] > 0.9


def test_octaves_grow_to_the_full_size_and_are_never_too_small():
    assert pyramid.octave_sizes(100, 50, 3, 2.0, 10) == [(25, 12), (50, 25), (100, 50)]
    assert pyramid.octave_sizes(100, 50, 5, 2.0, 20) == [(50, 25), (100, 50)]
    assert pyramid.octave_sizes(16, 16, 5, 1.4, 16) == [(16, 16)]


def test_smoothing_makes_coarse_and_fine_equally_strong():
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    coarse, fine = torch.sin(x / 10), torch.sin(y * 2.5)
    mixed = (coarse + 0.05 * fine).expand(1, 3, 64, 64).contiguous()

    def shares(gradient: torch.Tensor) -> float:
        plane = gradient[0, 0]
        return float((plane * fine).mean() / (plane * coarse).mean())

    assert shares(pyramid.laplacian(mixed)) > 5 * shares(mixed)
    assert shares(pyramid.gaussian(mixed)) < 0.5 * shares(mixed)


def test_the_grid_of_strides_is_gone():
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    for period in (2, 4):
        grid = torch.cos(2 * torch.pi * (x + y) / period).expand(1, 3, 32, 32)
        assert pyramid.without_grid(grid)[..., 4:-4, 4:-4].abs().max() < 1e-5
    flat = torch.ones(1, 3, 32, 32)
    assert torch.allclose(pyramid.without_grid(flat), flat)


def test_unit_of_nothing_is_nothing():
    assert torch.equal(pyramid.unit(torch.zeros(1, 3, 4, 4)), torch.zeros(1, 3, 4, 4))
    assert float(pyramid.unit(torch.full((1, 3, 4, 4), 1e-20)).mean()) == pytest.approx(1)


def test_a_guide_draws_the_dream_towards_itself(tiny: Model):
    reader = reader_of(tiny)
    guide = noise(40, 7)
    objective = Objective(reader, [Target("conv2a")], guide)
    dreamer = Dreamer(reader, objective, Dream(layer="conv2a", jitter=0))
    before = noise(40, 8)
    after = dreamer.dream(before, torch.Generator().manual_seed(0), steps=8, octaves=1)
    assert float(objective(after)) > float(objective(before))
    assert len(Objective(reader, [Target("conv1a")], noise(64, 1)).guides[0]) <= GUIDE_PLACES


def test_a_guide_that_is_missing_or_too_small(tiny: Model, tmp_path: Path):
    with pytest.raises(SourceError, match=r"(?i)no such file"):
        dreamed(tiny, Image(blob(1)), guide=str(tmp_path / "none.png"))
    small = Image(blob(1, 8, 8)).save(tmp_path / "small.png")
    with pytest.raises(SourceError, match="8x8 is too small for this network; give at least 16x16"):
        dreamed(tiny, Image(blob(1)), guide=small)


@pytest.mark.parametrize("shape", [(41, 39, 3), (40, 40, 1), (40, 40, 4)])
def test_zoom_makes_a_film_that_falls_in(shape: tuple[int, int, int], tiny: Model, tmp_path: Path):
    options = {"zoom": 1.0, "fps": 4.0, "zoom_steps": 1, "zoom_speed": 2.0}
    film = artgen.modify("image", Image(blob(1, *shape)), model=tiny, device="cpu", **QUICK, **options)[0]
    assert isinstance(film, Video)
    assert film.frames.shape == (4, *shape[:2], 3)
    assert film.fps == 4.0
    assert len({frame.tobytes() for frame in film.frames}) == 4
    again = artgen.modify("image", Image(blob(1, *shape)), model=tiny, device="cpu", **QUICK, **options)[0]
    assert np.array_equal(film.frames, again.numpy())
    assert film.save(tmp_path / "film.mp4").is_file()


def test_zoom_options_change_the_film_and_a_film_has_a_bound(tiny: Model):
    picture = Image(blob(1))
    plain = dreamed(tiny, picture, zoom=0.5, fps=4.0)
    assert not np.array_equal(dreamed(tiny, picture, zoom=0.5, fps=4.0, zoom_speed=4.0), plain)
    assert not np.array_equal(dreamed(tiny, picture, zoom=0.5, fps=4.0, zoom_steps=1), plain)
    assert len(dreamed(tiny, picture, zoom=0.25)) == 3  # twelve frames a second
    with pytest.raises(SourceError, match="432000 frames of 40x40 are more than a film may hold"):
        dreamed(tiny, picture, zoom=3600.0, fps=120.0)


def test_zoom_without_a_dream_only_enlarges(tiny: Model):
    picture = Image(np.full((40, 40, 3), 200, np.uint8))
    picture.pixels[15:25, 15:25] = 20
    film = dreamed(tiny, picture, zoom=1.0, fps=2.0, zoom_speed=4.0, strength=0.0)
    assert np.array_equal(film[0], picture.pixels)
    dark = [int((frame < 100).all(2).sum()) for frame in film]
    assert dark[1] == pytest.approx(4 * dark[0], rel=0.2)  # twice as wide and as high after one frame of two a second


def test_replay_of_a_dream_is_identical(run: Path, tmp_path: Path):
    mine = Image(blob(11, 44, 40)).save(tmp_path / "mine.png")
    guide = Image(blob(12, 40, 40)).save(tmp_path / "guide.png")
    work = artgen.modify(
        "image", mine, backend="deepdream", model=run, seed=3, layer="mixed3a", guide=guide, device="cpu", **QUICK
    )[0]
    path = work.save(tmp_path / "dream.png")
    assert replay(path, device="cpu").state == "identical"
    assert open_artwork(path).recipe.options["layer"] == "mixed3a"  # type: ignore[union-attr]


def test_dreams_from_noise_depend_on_their_seed_alone(tiny: Model):
    options: dict[str, Any] = {**QUICK, "resolution": 40, "device": "cpu", "model": tiny}
    several = artgen.generate("image", seeds=[4, 9], **options)
    alone = artgen.generate("image", seeds=[9], **options)
    assert np.array_equal(several[1].numpy(), alone[0].numpy())
    assert not np.array_equal(several[0].numpy(), several[1].numpy())
    assert several[0].numpy().shape == (40, 40, 3)


def test_noise_is_grey_clouds_of_every_size():
    clouds = noise(64, 1)
    assert clouds.shape == (1, 3, 64, 64)
    assert 0.1 < float(clouds.square().mean().sqrt()) < 0.2
    assert float(torch.nn.functional.avg_pool2d(clouds, 16).std()) > 0.03


def test_the_sheet_shows_every_layer(tiny: Model):
    told: list[str] = []

    class Hearing(Silent):
        def say(self, sentence: str) -> None:
            told.append(sentence)

    options: dict[str, Any] = {"list_layers": True, "columns": 3, "steps": 1, "model": tiny, "device": "cpu"}
    sheets = artgen.generate("image", seeds=[1, 2], progress=Hearing(), **options)
    assert len(sheets) == 1
    height, width, _ = sheets[0].numpy().shape
    assert height > 4 * 96
    assert width > 3 * 96
    assert any("conv1a (8 channels)" in sentence and "mixed4a (24 channels)" in sentence for sentence in told)


def test_progress_counts_every_step_and_shows_every_octave(tiny: Model):
    class Counting(Silent):
        total, done, shown, finished = 0.0, 0.0, 0, 0

        def start(self, description: str, total: float | None = None, unit: str = "") -> None:
            self.total = total or 0

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.done += amount

        def partial(self, artwork: Any) -> None:
            self.shown += 1

        def finish(self) -> None:
            self.finished += 1

    counting = Counting()
    artgen.modify("image", Image(blob(1)), model=tiny, device="cpu", progress=counting, **QUICK)
    assert (counting.total, counting.done, counting.shown, counting.finished) == (4, 4, 2, 1)


def test_targets_are_read_from_the_layer_option(tiny: Model):
    reader = reader_of(tiny)
    assert parse(reader, Dream()) == [Target(reader.default)]
    assert parse(reader, Dream(layer="conv1a", channel=2)) == [Target("conv1a", (2,))]
    assert parse(reader, Dream(layer="conv1a:1+3,mixed4a")) == [Target("conv1a", (1, 3)), Target("mixed4a")]


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        (Dream, {"channel": 3}, "--channel 3 is one of a layer; give --layer too"),
        (Dream, {"channel": 3, "layer": "a:1"}, "--channel 3 beside --layer a:1"),
        (Dream, {"channel": 3, "layer": "a,b"}, "--channel 3 beside --layer a,b"),
        (Dream, {"layer": "a:"}, "--layer takes"),
        (Modify, {"fps": 9.0}, "--fps 9.0 is about --zoom; give --zoom 10s too"),
        (Modify, {"zoom_speed": 2.0}, "--zoom-speed 2.0 is about --zoom"),
        (Modify, {"zoom_steps": 2}, "--zoom-steps 2 is about --zoom"),
        (Modify, {"guide": "g.png", "layer": "a:2"}, "--guide says what to dream of in all channels"),
        (Modify, {"guide": "g.png", "layer": "a", "channel": 2}, "--guide says what to dream of in all channels"),
        (Generate, {"resolution": 8}, "--resolution takes 32 to 4096 pixels, not 8"),
        (Dream, {"octave_scale": 1.0}, "--octave-scale takes more than 1"),
        (Dream, {"smoothing": "both"}, "--smoothing takes laplacian, gaussian or none, not both"),
    ],
)
def test_options_that_do_not_go_together(kind: type[Dream], options: dict[str, Any], error: str):
    with pytest.raises(OptionError, match=error):
        kind(**options)


def test_only_pictures_are_dreamed_on(tiny: Model):
    film = Video(np.zeros((2, 32, 32, 3), np.uint8), name="film.mp4")
    with pytest.raises(UsageError, match=r"film\.mp4: deepdream modifies pictures, not video"):
        list(DeepDream().modify(tiny, [film], [0], Modify()))


def test_what_is_usual_is_counted_over_all_parts():
    answer, pictures = torch.randn(1, 5, 8, 8) * 3 + 1, torch.zeros(1, 3, 32, 32)
    whole = Tally().add(answer, Part(pictures)).usual()
    parts = Tally()
    parts.add(answer[:, :, :6], Part(pictures[:, :, :24], rows=slice(0, 16)))  # the last eight rows are margin
    parts.add(answer[:, :, 2:], Part(pictures[:, :, 8:], rows=slice(8, 24)))
    assert torch.allclose(whole.mean, parts.usual().mean, atol=1e-6)
    assert torch.allclose(whole.spread, parts.usual().spread, atol=1e-6)
    assert whole.area == parts.usual().area == 16
    assert torch.allclose(whole.mean, answer.mean((0, 2, 3), keepdim=True), atol=1e-5)


def test_a_layer_dreams_of_what_is_more_than_usual(tiny: Model):
    reader = reader_of(tiny)
    objective, before = Objective(reader, [Target("conv2a")]), noise(48, 3)
    objective.settle([Part(before)])
    after = Dreamer(reader, objective, Dream(layer="conv2a")).dream(before, torch.Generator().manual_seed(0), steps=6, octaves=1)
    objective.settle([Part(before)])
    assert float(objective(after)) > float(objective(before))
