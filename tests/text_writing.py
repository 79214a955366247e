"""Texts written by a tiny model of ``text.transformer``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from text_models import trained_model

from artgen.artwork import Artwork, Text
from artgen.backend import Silent
from artgen.backends.text.transformer import engine as engines
from artgen.backends.text.transformer import sample
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.engine import Engine, open_engine
from artgen.backends.text.transformer.sample import Generate
from artgen.model import Model

KINDS: tuple[engines.Kind, ...] = ("compiled", "numpy", "torch")


class Watch(Silent):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.shown: list[Text] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def partial(self, artwork: Artwork) -> None:
        assert isinstance(artwork, Text)
        self.shown.append(artwork)


@pytest.fixture(scope="module")
def rhyme(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained_model(tmp_path_factory.mktemp("rhyme"))


def engine_of(model: Model, kind: engines.Kind = "compiled") -> Engine:
    return open_engine(model, kind, lambda sentence: None)


def write(model: Model, seeds: Sequence[int], watch: Watch | None = None, **options: Any) -> list[Text]:
    options = {"length": 40, "prompt": "Row"} | options
    return list(sample.generate(Transformer(), model, seeds, Generate(**options), watch or Watch()))
