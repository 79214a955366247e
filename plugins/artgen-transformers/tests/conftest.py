"""What every test shares: no network, one thread, tiny models of the real classes saved as anyone saves them."""

from __future__ import annotations

import os

# Set before anything imports torch or huggingface_hub, which read them once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import pytest
from tiny_models import causal, prepared, tokenizer

from artgen.dataset import Dataset


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tiny models are kept for the session."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def gpt2(models: Path) -> Path:
    """A tiny GPT-2, with a tokenizer of byte pairs."""
    return causal("gpt2", models / "gpt2")


@pytest.fixture(scope="session")
def qwen(models: Path) -> Path:
    """A tiny Qwen 3 with a chat format."""
    return causal("qwen3", models / "qwen", chat=True)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A prepared page of rhymes."""
    return prepared(tmp_path_factory.mktemp("data"))


__all__ = ["tokenizer"]
