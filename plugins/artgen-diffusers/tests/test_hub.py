"""From a name on a Hub of this machine to a picture: what is fetched, what the recipe tells, what is refused before that."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants

from artgen import api
from artgen.errors import ModelError, UsageError
from artgen.hub import memory
from artgen.remake import replay

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "tests"))  # artgen's own tests have the Hub
from hub_server import COMMIT, Hub

PLACE = "owner/thing"


@pytest.fixture
def hub(pipelines: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with a tiny pipeline, among files that nobody needs."""
    server = Hub()
    folder = pipelines("ddpm")
    server.files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    server.files |= {"whole.safetensors": b"x" * 999, "whole.ckpt": b"x", "unet/run.py": b"x", "sample.png": b"x"}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    try:
        yield server
    finally:
        server.close()


def made(place: str = PLACE, **options: Any) -> Any:
    return api.generate("image", model=place, backend="diffusers", seed=7, steps=2, device="cpu", **options)[0]


def fetched(hub: Hub) -> set[str]:
    return {path.partition(COMMIT + "/")[2] for _, path, _ in hub.asked if "/resolve/" in path}


def test_a_name_becomes_a_picture_and_its_recipe_a_picture_again(
    hub: Hub, pipelines: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = made()
    assert fetched(hub) == {
        "README.md", "model_index.json", "scheduler/scheduler_config.json", "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    }  # fmt: skip
    assert np.array_equal(work.numpy(), made(str(pipelines("ddpm"))).numpy())
    told = {name: work.recipe.model[name] for name in ("name", "repository", "revision", "place")}
    assert told == {"name": "thing", "repository": PLACE, "revision": COMMIT, "place": f"{PLACE}@{COMMIT}"}
    assert work.recipe.licence == "apache-2.0"
    path = work.save(tmp_path / "work.png")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    assert replay(path, device="cpu").state == "identical"
    assert np.array_equal(work.numpy(), made().numpy())
    assert hub.asked == []


def test_a_recipe_fetches_its_very_commit_where_the_model_is_gone(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made().save(tmp_path / "work.png")
    shutil.rmtree(tmp_path / "cache")
    hub.asked.clear()
    assert replay(path, device="cpu").state == "identical"
    assert any(f"/revision/{COMMIT}" in asked for _, asked, _ in hub.asked)


def test_what_is_refused_is_refused_before_it_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = "unet/diffusion_pytorch_model.safetensors"
    hub.card = {"license": "cc-by-nc-4.0"}
    with pytest.raises(UsageError, match=r"owner/thing: its licence cc-by-nc-4\.0 forbids commercial use"):
        made(commercial_only=True)
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    with pytest.raises(UsageError, match=r"thing needs .* on cpu, and 1e-06 GB are free; give --dtype bf16 or a smaller model"):
        made()
    hub.files["unet/diffusion_pytorch_model.bin"] = hub.files.pop(weights)
    with pytest.raises(ModelError, match=r"owner/thing: the weights in unet/diffusion_pytorch_model\.bin are a pickle"):
        made()
    assert weights not in fetched(hub)
    assert "unet/diffusion_pytorch_model.bin" not in fetched(hub)
