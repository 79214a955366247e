"""Preparing, training, generating, changing and measuring shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import artgen
from artgen.dataset import Dataset
from artgen.errors import DatasetError, Interrupted, OptionError, OutputError, SourceError, UsageError
from artgen.model import Model
from artgen_voxel import grids, measures, samples
from artgen_voxel.backend import Gan3d
from artgen_voxel.prepare import Prepare, prepare
from artgen_voxel.shape import Shape
from artgen_voxel.task import build, latents_of, make_task

TINY: dict[str, Any] = {
    "steps": 2, "batch_size": 4, "precision": "fp32", "memory_format": "contiguous", "previews": 0, "best_by": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("shapes")
    samples.write_samples(folder / "raw", 12)
    return prepare([folder / "raw"], folder / "dataset", Prepare(workers=1))


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return artgen.train("shape", dataset.folder, tmp_path_factory.mktemp("voxel") / "run", **TINY)


# --- prepare


def test_voxels_become_a_dataset_with_classes(dataset: Dataset) -> None:
    voxels = dataset.array("voxels")
    assert (voxels.dtype, voxels.shape, dataset.kind, dataset.classes) == (np.uint8, (12, 32, 32, 32), "shape", ["chair", "table"])
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0] * 6 + [1] * 6
    assert np.array_equal(voxels[0], samples.chair(0))
    assert (dataset.folder / "shapes.png").stat().st_size > 500
    told = artgen.show(dataset.folder)
    assert (told["of"], told["count"], told["next"]) == ("shape", 12, f"artgen shape train {dataset.folder}")


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    samples.write_samples(folder, 2)
    tiny = np.zeros((32,) * 3)
    tiny[3, 3, :20] = 1
    for name, array in (("empty", np.zeros((32,) * 3)), ("full", np.ones((32,) * 3)), ("tiny", tiny)):
        np.save(folder / f"{name}.npy", array.astype(bool))
    np.save(folder / "same.npy", samples.chair(0))
    (folder / "words.binvox").write_text("no voxels")
    dataset = prepare([folder], tmp_path / "out", Prepare(workers=1, min_voxels=40))
    reasons = {skip.file.removeprefix("p/"): skip.reason for skip in dataset.manifest.skipped}
    assert reasons == {
        "tiny.npy": "too small: 20 voxels, needs 40 (--min-voxels)",
        "empty.npy": "empty: 0 voxels, needs 40 (--min-voxels)",
        "full.npy": "full: no voxel is outside",
        "same.npy": "duplicate of p/chair/0.binvox",
        "words.binvox": "no shape of a known kind",
    }
    assert len(prepare([folder], tmp_path / "kept", Prepare(workers=1, min_voxels=40, duplicates="keep"))) == 3


def test_a_stopped_prepare_goes_on_and_a_finished_one_is_found(tmp_path: Path) -> None:
    from artgen.backend import Silent

    class Stop(Silent):
        left = 3

        def advance(self, amount: float = 1.0, note: str = "") -> None:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    samples.write_samples(tmp_path / "p", 8)
    with pytest.raises(Interrupted, match="stopped after 3 of 8 files; the same command again goes on from there"):
        prepare([tmp_path / "p"], tmp_path / "out", Prepare(workers=1), Stop())
    whole = prepare([tmp_path / "p"], tmp_path / "whole", Prepare(workers=1))
    again = prepare([tmp_path / "p"], tmp_path / "out", Prepare(workers=1))
    assert (tmp_path / "out" / "voxels.npy").read_bytes() == (tmp_path / "whole" / "voxels.npy").read_bytes()
    assert again.fingerprint == whole.fingerprint
    assert prepare([tmp_path / "p"], tmp_path / "out", Prepare(workers=1)).fingerprint == whole.fingerprint
    with pytest.raises(OutputError, match="holds a dataset of other sources or options"):
        prepare([tmp_path / "p"], tmp_path / "out", Prepare(workers=1, fill=False))
    with pytest.raises(SourceError, match="a prepared dataset already; give it to artgen shape train as it is"):
        prepare([tmp_path / "out"], tmp_path / "more", Prepare())
    with pytest.raises(OptionError, match="--resolution takes 32 or 64, not 48"):
        Prepare(resolution=48)


def test_nothing_usable_tells_why(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    np.save(tmp_path / "p" / "a.npy", np.zeros((8, 8, 8), bool))
    with pytest.raises(SourceError, match=r"a\.npy: not a usable shape: empty: 0 voxels, needs 20 \(--min-voxels\)"):
        prepare([tmp_path / "p"], tmp_path / "out", Prepare(workers=1))
    np.save(tmp_path / "p" / "b.npy", np.zeros((8, 8, 8), bool))
    with pytest.raises(SourceError, match="none of 2 files is a usable shape"):
        prepare([tmp_path / "p"], tmp_path / "out", Prepare(workers=1))
    assert not (tmp_path / "out").exists()


# --- networks and training


@pytest.mark.parametrize("architecture", ["modern", "wu2016"])
@pytest.mark.parametrize("side", [32, 64])
def test_networks_of_every_size(architecture: str, side: int) -> None:
    with torch.device("meta"):
        modules = build({"architecture": architecture, "resolution": side, "latent": 10, "width": 4})
        solids = modules["generator"](torch.zeros(2, 10))
        assert solids.shape == (2, 1, side, side, side)
        assert modules["discriminator"](solids).shape == (2,)


def test_the_modern_network_looks_at_each_shape_alone() -> None:
    torch.manual_seed(0)
    modules = build({"architecture": "modern", "resolution": 32, "latent": 8, "width": 4})
    latents = torch.randn(3, 8)
    torch.testing.assert_close(modules["generator"](latents)[:1], modules["generator"](latents[:1]), rtol=1e-4, atol=1e-5)


def test_latents_are_normal_or_as_the_paper_has_them() -> None:
    uniform = torch.rand(4000, 4, generator=torch.Generator().manual_seed(0))
    normal = latents_of({"architecture": "modern"}, uniform)
    assert abs(float(normal.mean())) < 0.05
    assert float(normal.std()) == pytest.approx(1, abs=0.05)
    assert latents_of({"architecture": "wu2016"}, uniform) is uniform


def test_the_classic_discriminator_rests_while_it_is_sure(dataset: Dataset) -> None:
    from artgen.training.task import Batch, Position

    task = make_task(dataset, Gan3d.Train(architecture="wu2016"))
    task.options = task.options.replace(mirror=False)
    batch = Batch(task.load(dataset, range(4)), 4, 0, 4, 7, torch.device("cpu"))
    awake = task("discriminator", batch, Position(0, 100))
    task.after("discriminator", {"right": torch.tensor(0.95)}, Position(4, 100), 4)
    assert awake["loss"].item() > 0
    assert task("discriminator", batch, Position(4, 100))["loss"].item() == 0


def test_both_recipes_train(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from artgen_voxel import task

    monkeypatch.setitem(task.WIDTHS, "large", 4)
    classic = artgen.train(
        "shape", dataset.folder, tmp_path / "run", architecture="wu2016", **{**TINY, "previews": 1, "best_by": "auto"}
    )
    assert classic.config.network["latent"] == 200
    assert list((tmp_path / "run" / "previews").glob("*.png"))
    (work,) = artgen.generate("shape", model=classic.folder, seed=1)
    assert work.numpy().shape == (32, 32, 32)


def test_what_cannot_be_learned_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    import shutil

    import msgspec

    shutil.copytree(dataset.folder, tmp_path / "d")
    np.save(tmp_path / "d" / "voxels.npy", np.zeros((12, 16, 16, 16), np.uint8))
    facts = msgspec.json.decode((tmp_path / "d" / "dataset.json").read_bytes())
    facts["shapes"]["voxels"] = [12, 16, 16, 16]
    (tmp_path / "d" / "dataset.json").write_bytes(msgspec.json.encode(facts))
    with pytest.raises(DatasetError, match=r"voxels \[16, 16, 16\]; gan3d learns cubes of 32 or 64"):
        make_task(Dataset.open(tmp_path / "d"), Gan3d.Train())


# --- generate, modify, evaluate


def test_a_shape_depends_on_its_seed_alone(model: Model) -> None:
    many = artgen.generate("shape", model=model.folder, n=6, seed=0, pieces="all")
    (alone,) = artgen.generate("shape", model=model.folder, seed=4, pieces="all")
    assert np.array_equal(many[4].numpy(), alone.numpy())
    assert not np.array_equal(many[3].numpy(), alone.numpy())
    still = artgen.generate("shape", model=model.folder, n=2, truncation=0.0, pieces="all")
    assert np.array_equal(still[0].numpy(), still[1].numpy())


def test_a_shape_of_the_users_is_found_and_changed(model: Model, tmp_path: Path) -> None:
    place = tmp_path / "mine.npy"
    np.save(place, samples.chair(3, 48))
    (near,) = artgen.modify("shape", [place], model=model.folder, iterations=3, strength=0.0, seed=1, pieces="all")
    (same,) = artgen.modify("shape", [place], model=model.folder, iterations=3, strength=0.0, seed=2, pieces="all")
    (far,) = artgen.modify("shape", [place], model=model.folder, iterations=3, strength=1.0, seed=2, pieces="all")
    assert near.numpy().shape == (32, 32, 32)
    assert np.array_equal(near.numpy(), same.numpy())
    (other,) = artgen.generate("shape", model=model.folder, seed=2, pieces="all")
    assert np.array_equal(far.numpy(), other.numpy())
    np.save(place, np.zeros((8, 8, 8), bool))
    with pytest.raises(UsageError, match=r"mine\.npy: an empty shape"):
        artgen.modify("shape", [place], model=model.folder)


def test_scores_have_floors_and_a_sheet(model: Model, dataset: Dataset) -> None:
    scores = artgen.evaluate("shape", model.folder, dataset.folder, items=6)
    assert list(scores) == ["one_nna", "coverage", "matching", "copies"]
    for score in scores.values():
        assert score.floor is not None
        assert np.isfinite(score.value)
        assert "artgen-IoU@N=6 (too few shapes for a steady number)" in score.protocol
    assert scores["copies"].sheet is not None


def test_measures_tell_good_sets_from_bad_ones() -> None:
    real = np.stack([samples.chair(number) for number in range(20)])
    good = np.stack([samples.chair(number) for number in range(20, 40)])
    one = np.repeat(good[:1], 20, 0)
    assert measures.one_nna(real, good) < 0.3
    assert measures.one_nna(real, one) > 0.4
    assert measures.coverage(real, good) > 3 * measures.coverage(real, one)
    assert measures.matching(real, real) == 1
    assert measures.matching(real, good) > measures.matching(real, one)
    assert measures.nearest(real[3:5], real)[0].tolist() == [3, 4]
    empty = np.zeros((2, 4, 4, 4), bool)
    assert measures.overlaps(empty, empty).tolist() == [[1, 1], [1, 1]]
    assert np.isnan(measures.one_nna(real[:1], good))
    assert np.isnan(measures.coverage(real[:0], good))


def test_the_command_line_knows_shapes(model: Model, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from artgen.cli import main

    assert main(["shape", "generate", "--model", str(model.folder), "--seed", "3", "--output", str(tmp_path / "a.obj")]) == 0
    assert main(["show", str(tmp_path / "a.obj")]) == 0
    said = capfd.readouterr().out
    assert "kind: shape" in said
    assert "voxels: 32, 32, 32" in said
    assert main(["replay", str(tmp_path / "a.obj")]) == 0
    assert "identical, every byte" in capfd.readouterr().out
    assert isinstance(artgen.open_artwork(tmp_path / "a.obj"), Shape)
    assert grids.to_solid(artgen.open_artwork(tmp_path / "a.obj").numpy()).shape == (32, 32, 32)
