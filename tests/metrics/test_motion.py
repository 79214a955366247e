"""The eye for motion: trained on real clips alone, kept with them, and hurt by what is wrong in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sample_clips import clips_of, moving, write_clips

from artgen.backend import Silent
from artgen.errors import DatasetError, UsageError
from artgen.metrics import motion as module
from artgen.metrics.frechet import frechet
from artgen.metrics.kept import FACTS, WEIGHTS
from artgen.metrics.motion import Extractor, disturbed, extractor_for, train

Clips = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARTGEN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def eye() -> Extractor:
    return Extractor(*train(clips_of(64), steps=25))


def test_training_is_a_function_of_the_clips() -> None:
    clips = clips_of(3)
    first = train(clips, steps=2)[1].sha256
    assert train(clips, steps=2)[1].sha256 == first
    assert train(clips, steps=1)[1].sha256 != first
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(clips, steps=1)
    assert torch.equal(torch.rand(3), expected)  # the caller's numbers are left alone


def test_features_of_the_real_clips_have_mean_0_and_a_set_variance(eye: Extractor) -> None:
    found = eye.features(clips_of(64))
    assert found.shape == (64, module.LEARNED + module.MEASURED)
    assert np.abs(found.mean(0)).max() < 0.05
    assert found.var(0).sum() == pytest.approx(module.VARIANCE, rel=0.01)
    assert found[:, module.LEARNED :].var(0).sum() == pytest.approx(module.VARIANCE * module.MEASURED_SHARE, rel=0.01)


def test_a_clips_features_do_not_depend_on_the_others(eye: Extractor) -> None:
    clips = clips_of(20)
    together = eye.features(clips)
    assert np.array_equal(eye.features(clips[3:4]), together[3:4])
    assert np.array_equal(eye.features(clips[::-1]), together[::-1])


def shuffled(clips: Clips) -> Clips:
    random = np.random.default_rng(0)
    return np.stack([clip[random.permutation(len(clip))] for clip in clips])


def jittered(clips: Clips) -> Clips:
    random = np.random.default_rng(0)
    return np.stack([np.stack([np.roll(frame, tuple(random.integers(-2, 3, 2)), (0, 1)) for frame in clip]) for clip in clips])


@pytest.mark.parametrize(
    ("hurt", "least"),
    [
        (shuffled, 10.0),
        (jittered, 10.0),
        (lambda clips: np.repeat(clips[:, :1], clips.shape[1], 1), 10.0),
        (lambda clips: np.repeat(clips[:, ::2], 2, 1), 3.0),
        (lambda clips: np.concatenate([clips[:4]] * 16), 3.0),
    ],
    ids=["shuffled", "jittered", "still", "half the rate", "four over and over"],
)
def test_what_is_wrong_in_time_is_far_from_real(eye: Extractor, hurt: Callable[[Clips], Clips], least: float) -> None:
    real, other = eye.features(clips_of(64)), clips_of(64, first=1000)
    floor = frechet(real, eye.features(other))
    assert frechet(real, eye.features(np.ascontiguousarray(hurt(other)))) > least * floor


def test_disturbances_are_what_they_are_called() -> None:
    clip = torch.from_numpy(moving(1, 12, 32, 32)).permute(3, 0, 1, 2).float()
    made, kinds = disturbed(clip.expand(60, -1, -1, -1, -1), torch.Generator().manual_seed(0))
    assert set(kinds.tolist()) == set(range(len(module.KINDS)))
    for name, number in zip(module.KINDS, range(5), strict=True):
        some = [shown for shown, kind in zip(made, kinds, strict=True) if kind == number]
        if name == "real":
            assert all(torch.equal(shown, clip) for shown in some)
        if name == "backwards":
            assert all(torch.equal(shown.flip(1), clip) for shown in some)
        if name == "frozen":
            stands = [int((shown.diff(dim=1).abs().sum((0, 2, 3)) == 0).sum()) for shown in some]
            assert min(stands) >= 4
        if name == "shuffled":
            for shown in some:
                assert sorted(frame.sum().item() for frame in shown.unbind(1)) == sorted(
                    frame.sum().item() for frame in clip.unbind(1)
                )
        if name == "jittered":
            assert any(not torch.equal(shown, clip) for shown in some)


@pytest.mark.parametrize("frames", [2, 3, 7, 16, 33])
def test_any_length_and_size_is_looked_at(eye: Extractor, frames: int) -> None:
    side = 9 if frames % 2 else 48
    assert np.isfinite(eye.features(moving(1, frames, side, side)[None])).all()


def test_it_is_kept_with_the_clips_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = write_clips(tmp_path / "d", clips_of(6))
    first = extractor_for(dataset, steps=2)
    [folder] = (tmp_path / "d").glob("motion-*")
    assert folder.name == f"motion-{first.name.removeprefix('mot-')}"
    assert sorted(path.name for path in folder.iterdir()) == [FACTS, WEIGHTS]

    def never(*_: object) -> None:
        raise AssertionError("trained although it is kept")

    with monkeypatch.context() as patched:
        patched.setattr(module, "train", never)
        again = extractor_for(dataset)
    assert again.facts == first.facts
    assert np.array_equal(again.features(clips_of(3)), first.features(clips_of(3)))
    (folder / WEIGHTS).write_bytes(b"damaged")
    assert extractor_for(dataset, steps=2).facts == first.facts
    other = write_clips(tmp_path / "e", clips_of(7))
    (tmp_path / "e" / folder.name).symlink_to(folder)
    assert extractor_for(other, steps=2).facts.fingerprint == other.fingerprint  # that of other clips is not taken


def test_where_the_dataset_cannot_be_written_it_goes_to_the_cache(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artgen.errors import OutputError
    from artgen.metrics import kept

    dataset = write_clips(tmp_path / "d", clips_of(4))
    real = kept.keep

    def refuse(folder: Path, network: object, facts: object) -> None:
        if folder.is_relative_to(tmp_path / "d"):
            raise OutputError("read-only")
        real(folder, network, facts)  # type: ignore[arg-type]

    monkeypatch.setattr(kept, "keep", refuse)
    extractor_for(dataset, steps=1)
    assert len(list((home / "extractors").glob(f"*/motion-*/{WEIGHTS}"))) == 1
    monkeypatch.setattr(kept, "keep", lambda *_: (_ for _ in ()).throw(OutputError("full")))

    class Said(Silent):
        sentences: ClassVar[list[str]] = []

        def say(self, sentence: str) -> None:
            self.sentences.append(sentence)

    (home / "extractors").rename(home / "gone")
    extractor_for(dataset, Said(), steps=1)
    assert Said.sentences == [
        "The motion extractor could not be kept and will be trained anew next time; set ARTGEN_HOME to a folder with space."
    ]


def test_what_holds_no_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no clips to measure motion against"):
        extractor_for(write_clips(tmp_path / "d", clips_of(3, frames=1)))
    with pytest.raises(UsageError, match=r"clips to measure are uint8 \[N, T, H, W, 3\], not float32 \[1, 2, 3, 3, 3\]"):
        module.shrunk(np.zeros((1, 2, 3, 3, 3), np.float32))  # type: ignore[arg-type]
