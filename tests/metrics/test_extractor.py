from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from figures import MakeDataset, figures, write_dataset

from artgen.backend import Silent
from artgen.errors import DatasetError, OutputError, UsageError
from artgen.files import cache_folder
from artgen.metrics import extractor as module
from artgen.metrics import kept
from artgen.metrics.extractor import VARIANCE, Extractor, extractor_for, train
from artgen.metrics.frechet import frechet
from artgen.metrics.kept import FACTS, WEIGHTS


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARTGEN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class Said(Silent):
    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.steps = 0.0

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        self.steps += amount


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("trained although it is kept")

    monkeypatch.setattr(module, "train", never)


@pytest.mark.parametrize("labelled", [False, True])
def test_training_is_a_function_of_the_data(labelled: bool) -> None:
    images, labels = figures(20)
    given = labels if labelled else None
    one, two = train(images, given, steps=3), train(images, given, steps=3)
    assert one[1].sha256 == two[1].sha256
    assert one[1].kind == ("cls" if labelled else "ssl")
    assert train(images, given, steps=4)[1].sha256 != one[1].sha256
    assert train(figures(20, 50)[0], given, steps=3)[1].sha256 != one[1].sha256


def test_training_leaves_the_callers_random_numbers_alone() -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(figures(8)[0], None, steps=1)
    assert torch.equal(torch.rand(3), expected)


def test_texture_is_the_spread_of_neighbouring_differences() -> None:
    import torch

    ramp = torch.zeros(1, 3, 8, 8)
    ramp[0, 0] = torch.arange(8) * 0.1  # steps of one size: no spread
    ramp[0, 1, :, ::2] = 1.0  # bars: differences of 1 and -1 across, none down
    found = module._texture(ramp)[0].reshape(3, 3)
    plain, bars = math.log(0.02), math.log(0.02 + torch.tensor([-1.0, 1, -1, 1, -1, 1, -1]).repeat(8).std())
    torch.testing.assert_close(found, torch.tensor([[plain, bars, plain], [plain] * 3, [plain] * 3]), atol=1e-4, rtol=1e-4)


def test_both_kinds_of_features_have_their_share() -> None:
    images, _ = figures(40)
    variance = Extractor(*train(images, None, steps=3)).features(images).var(0)
    assert variance[:128].sum() == pytest.approx(VARIANCE * 63 / 64, rel=1e-3)
    assert variance[128:].sum() == pytest.approx(VARIANCE / 64, rel=1e-3)


def test_one_class_is_no_class() -> None:
    images, _ = figures(8)
    assert train(images, np.zeros(8, np.int64), steps=1)[1].kind == "ssl"
    assert train(images, np.array([-1, 0] * 4), steps=1)[1].kind == "ssl"
    assert train(images, np.array([-1, 0, 1, -1] * 2), steps=1)[1].kind == "cls"


def test_the_number_of_steps_follows_the_number_of_pictures(make_dataset: MakeDataset) -> None:
    dataset, said = make_dataset(6), Said()
    found = extractor_for(dataset, said)
    assert (found.facts.steps, found.facts.pictures, said.steps) == (60, 6, 60)


def test_features_do_not_depend_on_the_company() -> None:
    images, _ = figures(70)  # more than a micro-batch
    network = Extractor(*train(images[:10], None, steps=2))
    together = network.features(images)
    assert together.shape == (70, 137)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(network.features(images[66:67])[0], together[66])
    np.testing.assert_array_equal(network.features(images[3:40]), together[3:40])
    np.testing.assert_array_equal(network.features(images[::-1])[::-1], together)


@pytest.mark.parametrize(("size", "seen"), [(8, 32), (32, 32), (48, 64), (64, 64), (96, 64)])
def test_pictures_of_any_size_are_seen_at_32_or_64(size: int, seen: int) -> None:
    images, _ = figures(4, size=size)
    network, facts = train(images, None, steps=1)
    assert facts.size == seen
    assert np.isfinite(Extractor(network, facts).features(images)).all()


def test_a_large_picture_is_averaged_over_areas() -> None:
    from artgen.metrics.arrays import to_square

    large = figures(1, size=128)[0]
    means = large.reshape(1, 64, 2, 64, 2, 3).mean((2, 4)).transpose(0, 3, 1, 2) / 127.5 - 1
    np.testing.assert_allclose(to_square(large, 64).numpy(), means, atol=1e-5)


def test_the_real_data_has_the_stated_variance() -> None:
    images, _ = figures(40)
    found = Extractor(*train(images, None, steps=5)).features(images)
    assert found.var(0).sum() == pytest.approx(VARIANCE, rel=1e-3)
    constant = np.repeat(found.mean(0, keepdims=True), 40, 0)
    assert frechet(found, constant) == pytest.approx(VARIANCE * 40 / 39, rel=1e-2)


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8), np.zeros((2, 8, 8, 1), np.uint8)]
)
def test_what_is_not_pictures_is_refused(wrong: np.ndarray) -> None:
    network = Extractor(*train(figures(4)[0], None, steps=1))
    with pytest.raises(UsageError, match=r"pictures to measure are uint8 \[N, H, W, 3\], not"):
        network.features(wrong)


def test_it_is_kept_with_the_dataset_and_opened_again(make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(12, labelled=True)
    first = extractor_for(dataset, steps=2)
    folder = dataset.folder / f"extractor-{first.facts.sha256[:8]}"
    assert sorted(path.name for path in folder.iterdir()) == [FACTS, WEIGHTS]
    assert [path.name for path in dataset.folder.glob(".tmp*")] == []
    forbid_training(monkeypatch)
    again = extractor_for(dataset)
    assert again.name == first.name == f"cls-{first.facts.sha256[:8]}"
    assert again.protocol("FD", 2000) == f"artgen-FD@{first.name}@N=2000"
    images = dataset.array("images")
    np.testing.assert_array_equal(again.features(images), first.features(images))


def test_other_pictures_get_another_extractor(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(12)
    first = extractor_for(dataset, steps=2)
    other = write_dataset(dataset.folder.parent / "other", figures(12, 40)[0])
    (other.folder / "extractor-0").symlink_to(dataset.folder / f"extractor-{first.facts.sha256[:8]}")
    assert extractor_for(other, steps=2).name != first.name


@pytest.mark.parametrize("name", [FACTS, WEIGHTS])
def test_a_damaged_one_is_replaced(name: str, make_dataset: MakeDataset) -> None:
    dataset = make_dataset(12)
    first = extractor_for(dataset, steps=2)
    file = dataset.folder / f"extractor-{first.facts.sha256[:8]}" / name
    whole = file.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-8] + b"\0\1\2\3\4\5\6\7"):
        file.write_bytes(damaged)
        assert extractor_for(dataset, steps=2).name == first.name
        assert file.read_bytes() == whole


def test_a_dataset_that_cannot_be_written_has_it_in_the_users_cache(
    make_dataset: MakeDataset, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(12)
    refuse_writing(monkeypatch, dataset.folder)
    first = extractor_for(dataset, steps=2)
    assert not list(dataset.folder.glob("extractor-*"))
    assert len(list((home / "extractors").glob(f"*/extractor-*/{WEIGHTS}"))) == 1
    forbid_training(monkeypatch)
    assert extractor_for(dataset).name == first.name


def test_where_nothing_can_be_written_it_works_and_says_so(make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, said = make_dataset(12), Said()
    refuse_writing(monkeypatch, dataset.folder.parent)
    assert extractor_for(dataset, said, steps=2).facts.kind == "ssl"
    assert said.sentences == [
        "The feature extractor could not be kept and will be trained anew next time; set ARTGEN_HOME to a folder with space."
    ]


def refuse_writing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """The disk refuses files below ``folder``; permissions would not do for a test that runs as root."""
    import tempfile

    real = tempfile.mkdtemp

    def mkdtemp(*args: object, dir: Path, **rest: object) -> str:  # noqa: A002 - the name of the real one
        if Path(dir).is_relative_to(folder):
            raise PermissionError(13, "Permission denied")
        return str(real(*args, dir=dir, **rest))  # type: ignore[call-overload]

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)


def test_a_full_disk_leaves_nothing_behind(make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(12)

    def full(*_: object) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(kept, "write_atomically", full)
    assert extractor_for(dataset, steps=2).facts.kind == "ssl"
    assert sorted(path.name for path in dataset.folder.iterdir()) == ["dataset.json", "images.npy"]


def test_an_empty_dataset_is_a_sentence(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "empty", np.zeros((0, 8, 8, 3), np.uint8))
    with pytest.raises(DatasetError, match="holds no pictures to measure against; prepare it again"):
        extractor_for(dataset)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_pictures_is_enough_to_run(count: int) -> None:
    images, labels = figures(count)
    for given in (None, labels):
        assert np.isfinite(Extractor(*train(images, given, steps=2)).features(images)).all()


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == Path(os.environ["ARTGEN_HOME"])
    monkeypatch.delenv("ARTGEN_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "artgen"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "artgen"


def test_batches_go_through_all_pictures() -> None:
    batches = list(module._batches(130, 4))
    assert [len(batch) for batch in batches] == [64] * 4
    assert len(set(np.concatenate(batches[:2]))) == 128  # no picture twice in a round
    assert set(batches[2]) - set(np.concatenate(batches[:2])) or set(batches[3])
    assert len(next(module._batches(5, 1))) == 5


def test_damages_do_what_they_are_called() -> None:
    import torch

    x = torch.from_numpy(figures(60)[0]).permute(0, 3, 1, 2).float() / 127.5 - 1
    damaged, kinds = module._damaged(x, torch.Generator().manual_seed(0), first_clean=10)
    assert (kinds[:10] == 0).all()
    assert set(kinds.tolist()) == set(range(module.DAMAGES))
    for picture, before, kind in zip(damaged, x, kinds, strict=True):
        assert torch.equal(picture, before) == (int(kind) == 0)
