"""Fixtures around the noise plugin; a test file imports those it uses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import noise_plugin
import numpy as np
import pytest
from noise_plugin import save_noise

import artgen

TESTS = Path(__file__).resolve().parent
POINTS = {"image.noise": "noise_plugin:Noise", "image.preparer": "noise_plugin:OnlyPrepares"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the module path with the noise plugin installed in it; the working folder is another, empty one."""
    folder = tmp_path / "packages"
    noise_plugin.install(folder, POINTS)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH", "")])]))
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "ARTGEN_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return folder


@pytest.fixture
def model(place: Path, tmp_path: Path) -> Path:
    """A model of the noise backend, 8x8."""
    return save_noise(tmp_path / "hum", [120, 130, 140], 30.0, 8).folder


@pytest.fixture
def dataset(place: Path, tmp_path: Path, pictures: Path) -> Path:
    """A dataset of the noise backend."""
    return noise_plugin.Noise().prepare([pictures], tmp_path / "data", noise_plugin.Noise.Prepare()).folder


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    """A picture of the user's own, 8x6."""
    from PIL import Image

    path = tmp_path / "cat.png"
    Image.fromarray(np.arange(8 * 6 * 3, dtype=np.uint8).reshape(6, 8, 3)).save(path)
    return path


def made(model: Path, path: Path, **options: Any) -> Path:
    """A work of seed 5, saved at ``path``."""
    return artgen.generate("image", model=model, seed=5, **options)[0].save(path)
