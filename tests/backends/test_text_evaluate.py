"""``artgen text evaluate`` on a real network of a few thousand weights and on models whose answers are known."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from artgen.artwork import Text
from artgen.backend import SILENT, Progress
from artgen.backends.text.transformer import evaluate as evaluation
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.evaluate import Evaluate, evaluate
from artgen.dataset import Dataset
from artgen.errors import ModelError, OptionError, UsageError
from artgen.media.prepare_text import Prepare, prepare, tokenizer_of
from artgen.media.tokenizer import END, CharTokenizer, Tokenizer
from artgen.metrics.texts import Copies, distinct
from artgen.model import Model

WORDS = "the quick brown fox jumps over the lazy dog and runs away from a bear in the wood. "
NETWORK = {"layers": 1, "heads": 2, "width": 16, "context": 8, "values": False, "tied": False, "fim": 0.0}


def model_of(folder: Path, tokenizer: Tokenizer) -> Model:
    """An untrained model with random weights."""
    torch.manual_seed(0)
    network = NETWORK | {"vocabulary": tokenizer.size, "pairs": tokenizer.size**2}
    module = Transformer().build(network)
    with torch.no_grad():
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    folder.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in module.state_dict().items()}, folder / "model.safetensors")
    config = {"artgen": "1", "backend": "text.transformer", "network": network, "data": {}, "generate": {"engine": "numpy"}}
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    tokenizer.save(folder / "tokenizer.json")
    return Model.open(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    vocabulary = WORDS.split()
    (folder / "a.txt").write_text(" ".join(rng.choice(vocabulary, 900)))
    return prepare([folder / "a.txt"], folder / "data", Prepare())


@pytest.fixture(scope="module")
def model(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return model_of(tmp_path_factory.mktemp("models") / "m", tokenizer_of(dataset))


class Says(Transformer):
    """Writes the texts it is given, one a seed."""

    def __init__(self, *works: str) -> None:
        self.works = works
        self.seen: list[int] = []
        self.lengths: set[int] = set()

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Text]:
        self.seen += seeds
        self.lengths.add(options.length)
        yield from (Text(self.works[seed % len(self.works)]) for seed in seeds)


def test_bits_are_those_of_every_held_out_token_in_its_window(dataset: Dataset, model: Model) -> None:
    writer = Transformer().build(dict(model.config.network))
    writer.load_state_dict(model.tensors())
    held = torch.from_numpy(dataset.array("held_out").astype(np.int64))
    nats = 0.0
    with torch.no_grad():
        for place in range(1, len(held)):
            start = (place - 1) // 8 * 8
            logits = writer["writer"](held[None, start:place])[0, -1].float()
            nats -= float(torch.log_softmax(logits, 0)[held[place]])
    score = evaluate(Transformer(), model, dataset, Evaluate(metrics=("loss",)))["bpc"]
    assert score.value == pytest.approx(nats / math.log(2) / (len(held) - 1), rel=1e-5)
    assert (score.better, score.floor) == ("lower", None)
    assert f"context=8, {len(held) - 1} tokens" in score.protocol


def test_a_model_with_other_characters_reads_the_same_text(dataset: Dataset, tmp_path: Path) -> None:
    other = CharTokenizer("zyxwvutsrqponmlkjihgfedc. ")  # without a and b
    found = evaluate(Transformer(), model_of(tmp_path / "m", other), dataset, Evaluate(metrics=("loss",)))["bpc"]
    text = tokenizer_of(dataset).decode(dataset.array("held_out"))
    ids = other.encode(text)
    assert len(ids) > len(text)
    assert f"{len(ids) - 1} tokens" in found.protocol
    assert math.isfinite(found.value)


def test_bytes_are_counted_for_byte_pairs(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(("é" + WORDS) * 20)
    pairs = prepare([tmp_path / "a.txt"], tmp_path / "data", Prepare(tokenizer="bpe", vocabulary=280))
    scores = evaluate(Transformer(), model_of(tmp_path / "m", tokenizer_of(pairs)), pairs, Evaluate(metrics=("loss",)))
    assert list(scores) == ["bpb"]
    assert 0 < scores["bpb"].value < 30


def test_ends_of_documents_are_read_between_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"{number} {WORDS}" for number in range(30)))
    lines = prepare([tmp_path / "a.txt"], tmp_path / "data", Prepare(split="line"))
    same = evaluation._held_out(lines, tokenizer_of(lines))
    assert np.array_equal(same, lines.array("held_out"))
    other = CharTokenizer(tokenizer_of(lines).characters[::-1])  # type: ignore[attr-defined]  # characters, since it is small
    anew = evaluation._held_out(lines, other)
    assert np.array_equal(np.flatnonzero(anew == END), np.flatnonzero(same == END))
    assert other.decode(anew) == tokenizer_of(lines).decode(same)


def test_written_text_is_measured_beside_as_much_human_text(dataset: Dataset, model: Model) -> None:
    train = tokenizer_of(dataset).decode(dataset.array("train"))
    backend = Says(train[100:180] + "#" * 20, "x")
    scores = evaluate(backend, model, dataset, Evaluate(items=4, length=100, seed=0))
    assert list(scores) == ["bpc", "distinct_1", "distinct_2", "distinct_3", "self_bleu", "longest_copy", "copied_20"]
    assert scores["longest_copy"].value == len(Copies(train).longest([backend.works[0]])) >= 80
    held = tokenizer_of(dataset).decode(dataset.array("held_out"))
    assert scores["longest_copy"].floor == len(Copies(train).longest([held[p : p + 100] for p in _places(len(held))]))
    assert scores["copied_20"].value > 0.3
    assert scores["self_bleu"].value > 0.5
    assert scores["distinct_3"].value < (scores["distinct_3"].floor or 0)
    assert all("4x100 characters, temperature 1, seed 0" in score.protocol for name, score in scores.items() if name != "bpc")
    sheet = scores["longest_copy"].sheet
    assert isinstance(sheet, Text)
    assert f"[[{Copies(train).longest([backend.works[0]]).characters}]]" in sheet.characters
    assert sheet.characters.count("[[") == 2


def _places(size: int) -> list[int]:
    return [int(place) for place in np.linspace(0, size - 100, 4)]


def test_short_works_are_put_one_after_another(dataset: Dataset, model: Model) -> None:
    backend = Says("emma", "olivia", "ava")
    scores = evaluate(backend, model, dataset, Evaluate(items=2, length=50, seed=9, metrics=("distinct_1",)))
    assert backend.seen[0] == 9
    assert backend.seen == list(range(9, 9 + len(backend.seen)))
    assert 18 <= len(backend.seen) <= 26
    whole = "\n".join(backend.works[seed % 3] for seed in backend.seen)
    assert scores["distinct_1"].value == distinct([whole[:50], whole[50:100]], 1)
    assert backend.lengths == {50}


def test_a_model_that_writes_nothing_ends(dataset: Dataset, model: Model) -> None:
    scores = evaluate(Says(""), model, dataset, Evaluate(items=2, length=200, metrics=("distinct_1", "longest_copy")))
    assert math.isnan(scores["distinct_1"].value)
    assert scores["longest_copy"].value == 0
    assert scores["longest_copy"].sheet is not None


def test_a_real_model_writes_and_is_measured(dataset: Dataset, model: Model) -> None:
    scores = evaluate(Transformer(), model, dataset, Evaluate(items=2, length=40))
    assert all(math.isfinite(score.value) for score in scores.values())
    again = evaluate(Transformer(), model, dataset, Evaluate(items=2, length=40))
    assert {name: score.value for name, score in again.items()} == {name: score.value for name, score in scores.items()}


def test_fewer_and_shorter_pieces_are_told(dataset: Dataset, model: Model) -> None:
    scores = evaluate(Says(WORDS * 20), model, dataset, Evaluate(items=100, length=200, metrics=("distinct_1",)))
    assert "(100x200 asked for)" in scores["distinct_1"].protocol


def test_mistakes_get_a_sentence(dataset: Dataset, model: Model, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(WORDS * 3)
    small = prepare([tmp_path / "a.txt"], tmp_path / "small", Prepare())
    with pytest.raises(UsageError, match="holds out 25 characters, too few to compare with"):
        evaluate(Says("x"), model, small, Evaluate(metrics=("distinct_1",)))
    (tmp_path / "b.txt").write_text(WORDS * 2)
    tiny = prepare([tmp_path / "b.txt"], tmp_path / "tiny", Prepare(held_out=0.006))
    with pytest.raises(UsageError, match="holds out 1 tokens; prepare it with a larger --held-out"):
        evaluate(Transformer(), model, tiny, Evaluate(metrics=("loss",)))
    broken = model_of(tmp_path / "m", tokenizer_of(dataset))
    save_file({"writer.embedding.weight": torch.zeros(2, 2)}, broken.folder / "model.safetensors")
    with pytest.raises(ModelError, match=r"config\.json and weights do not belong together"):
        evaluate(Transformer(), broken, dataset, Evaluate(metrics=("loss",)))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"items": 1}, "--items takes 2 to 10000 items, not 1"),
        ({"length": 10}, "--length takes 20 to 1000000 characters, not 10"),
        ({"temperature": -1.0}, "--temperature takes 0 to 10, not -1"),
        ({"metrics": ("beauty",)}, "--metrics takes loss, distinct_1"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        Evaluate(**options)
    assert told in str(caught.value)
