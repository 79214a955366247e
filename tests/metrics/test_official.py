from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from figures import figures

from artgen.errors import SourceError, UsageError
from artgen.metrics import official


def test_another_file_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / official.FILE  # the right name is not enough
    file.write_bytes(b"not the weights")
    with pytest.raises(UsageError) as error:
        official.official(figures(4)[0], figures(4)[0], file)
    digest = hashlib.sha256(b"not the weights").hexdigest()[:8]
    assert str(error.value) == (
        f"--inception {file}: is not the Inception network of FID (sha256 {digest}…, not 6726825d…); "
        "give the file weights-inception-2015-12-05-6726825d.pth of the torch-fidelity project"
    )


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        official.check_inception(tmp_path / "none.pth")


def test_a_missing_package_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"weights")
    monkeypatch.setattr(official, "SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(UsageError, match=r'needs torch-fidelity, which cannot be used here .*; type: pip install "artgen\[fid\]"'):
        official.check_inception(file)


def test_the_official_call_hands_over_the_file_that_was_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(b"weights")
    monkeypatch.setattr(official, "SHA256", hashlib.sha256(b"weights").hexdigest())
    asked: dict[str, object] = {}

    def calculate(**keywords: object) -> dict[str, float]:
        asked.update(keywords)
        return {"frechet_inception_distance": 7.0, "kernel_inception_distance_mean": 0.002, "inception_score_mean": 3.0}

    monkeypatch.setattr(official, "_torch_fidelity", lambda: calculate)
    samples, real = figures(5)[0], figures(6, 50)[0]
    assert official.official(samples, real, file) == pytest.approx({"FID": 7.0, "KID": 2.0, "IS": 3.0})
    assert asked["feature_extractor"] == "inception-v3-compat"
    assert asked["feature_extractor_weights_path"] == str(file)
    assert asked["kid_subset_size"] == 5
    np.testing.assert_array_equal(asked["input1"][2].numpy(), samples[2].transpose(2, 0, 1))  # type: ignore[index]
    assert len(asked["input2"]) == 6  # type: ignore[arg-type]


def test_one_picture_is_not_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "_torch_fidelity", lambda: None)
    assert np.isnan(list(official.measure(figures(1)[0], figures(5)[0]).values())).all()


def test_torch_fidelity_measures_with_an_extractor_of_our_own() -> None:
    torch_fidelity = pytest.importorskip("torch_fidelity", reason='needs pip install "artgen[fid]"')
    import torch

    from artgen.metrics.frechet import frechet

    class Means(torch_fidelity.FeatureExtractorBase):  # type: ignore[misc, name-defined]
        """The mean colour of each quarter as features, so that the distance can be computed by hand."""

        def __init__(self, name: str, features_list: list[str], **_: object) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return ("means",)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return "means"

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (torch.nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1),)

    torch_fidelity.register_feature_extractor("quarter-means", Means)
    samples, real = figures(40)[0], figures(40, 100)[0]
    found = official.measure(samples, real, feature_extractor="quarter-means")
    means = [
        Means("quarter-means", ["means"])(torch.from_numpy(images.transpose(0, 3, 1, 2)))[0].numpy() for images in (samples, real)
    ]
    assert found["FID"] == pytest.approx(frechet(*means), rel=1e-3)
    assert set(found) == {"FID", "KID", "IS"}
