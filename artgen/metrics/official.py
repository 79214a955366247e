"""FID, KID and IS: the names that belong to the Inception network of 2015, computed by torch-fidelity with its very weights.

artgen brings no such weights and downloads none; the user gives the file.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from artgen.errors import UsageError
from artgen.metrics.arrays import Pixels, checked
from artgen.recipe import file_sha256

FILE = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INSTALL = 'pip install "artgen[fid]"'
INCEPTION = "inception-v3-compat"
NAMES = ("FID", "KID", "IS")

_KEYS = {
    "FID": "frechet_inception_distance",
    "KID": "kernel_inception_distance_mean",
    "IS": "inception_score_mean",
}


def check_inception(path: str | os.PathLike[str]) -> Path:
    """``path``, when it is the Inception file that the names FID, KID and IS stand for.

    The whole hash is compared: the file is a pickle, which can run code when it is loaded, and only the known one may.

    Raises:
        UsageError: another file, or torch-fidelity is not installed.
        SourceError: the file cannot be read.
    """
    path = Path(path)
    found = file_sha256(path)
    if found != SHA256:
        raise UsageError(
            f"--inception {path}: is not the Inception network of FID (sha256 {found[:8]}…, not {SHA256[:8]}…);"
            f" give the file {FILE} of the torch-fidelity project"
        )
    _torch_fidelity()
    return path


def official(samples: Pixels, real: Pixels, inception: str | os.PathLike[str]) -> dict[str, float]:
    """FID, KID (times 1000) and IS of ``samples``, measured with the weights in the file ``inception``.

    Raises:
        UsageError: the file is another one, or torch-fidelity is not installed.
    """
    return measure(samples, real, feature_extractor=INCEPTION, feature_extractor_weights_path=str(check_inception(inception)))


def measure(samples: Pixels, real: Pixels, **extractor: Any) -> dict[str, float]:  # torch-fidelity's own keywords
    """The three measures with any extractor that torch-fidelity knows; only with Inception may they bear the official names."""
    calculate = _torch_fidelity()
    smaller = min(len(samples), len(real))
    if smaller < 2:
        return dict.fromkeys(NAMES, float("nan"))
    # stdout holds artgen's results alone; warnings are about torch-fidelity's own use of torch.
    with contextlib.redirect_stdout(None), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = calculate(
            input1=_Pictures(samples), input2=_Pictures(real), fid=True, kid=True, isc=True, kid_subset_size=min(1000, smaller),
            cuda=torch.cuda.is_available(), batch_size=32, cache=False, verbose=False, save_cpu_ram=True, **extractor,
        )  # fmt: skip
    values = {name: float(found[key]) for name, key in _KEYS.items()}
    return {**values, "KID": 1000 * values["KID"]}


class _Pictures(TorchDataset[Tensor]):
    """Pictures as torch-fidelity reads them: uint8 [3, H, W] each."""

    def __init__(self, images: Pixels) -> None:
        self.images = checked(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.images[index].transpose(2, 0, 1)))


def _torch_fidelity() -> Callable[..., dict[str, Any]]:
    try:
        from torch_fidelity import calculate_metrics
    except ImportError as error:
        raise UsageError(f"--inception needs torch-fidelity, which cannot be used here ({error}); type: {INSTALL}") from None
    return calculate_metrics  # type: ignore[no-any-return]  # the package has no types
