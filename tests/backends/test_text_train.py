from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from text_trainings import dataset, prepared, small, task_of, train, verses  # noqa: F401 - fixtures

import artgen
from artgen.backends.text.transformer import presets
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.settle import settled
from artgen.backends.text.transformer.task import noised
from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError, OptionError, TrainingError
from artgen.media.tokenizer import FILE, CharTokenizer, open_tokenizer
from artgen.model import Model
from artgen.training import Run
from artgen.training.task import Batch, Position

# ruff: noqa: F811 - fixtures are imported and then named as arguments


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("words"), verses(200), tokenizer="bpe", vocabulary=400)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model-last" / "model.safetensors")


def records(folder: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line[name] for line in lines if name in line]


def test_loss_falls_and_the_model_is_whole(dataset: Dataset, tmp_path: Path) -> None:
    model = train(dataset, tmp_path / "run", steps=120, previews=2)
    losses = records(tmp_path / "run", "loss/text")
    assert losses[0] > 2.8
    assert np.mean(losses[-10:]) < 1.6
    scores = records(tmp_path / "run", "val/loss")
    assert scores[-1] < 1.6
    assert model.config.scores["val/loss"] == min(scores)
    assert records(tmp_path / "run", "bpc")[-1] == pytest.approx(scores[-1] / math.log(2))
    assert model.file(FILE) == (dataset.folder / FILE).read_bytes()
    network = model.config.network
    assert {name: network[name] for name in ("layers", "heads", "width", "context", "fim")} == {
        "layers": 2, "heads": 2, "width": 16, "context": 16, "fim": 0.1
    }  # fmt: skip
    previews = sorted((tmp_path / "run" / "previews").glob("*.txt"))
    assert previews[0].name == "0000000000.txt"
    # Written by the trained network: words of the text, unlike the first preview.
    assert sum(word in previews[-1].read_text() for word in ("the", "moon", "river", "wind", "sea", "stone", "crow")) >= 3
    Transformer().build(network).load_state_dict(model.tensors())


def test_same_seed_same_weights_and_another_seed_others(dataset: Dataset, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train(dataset, tmp_path / name, steps=5, seed=seed, dropout=0.1)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not all(torch.equal(a[name], c[name]) for name in a)


def test_resume_is_exact_with_averaged_weights_and_noise(dataset: Dataset, tmp_path: Path) -> None:
    options = {"average": 0.2, "noise": 0.3, "layers": 1, "width": 32, "pairs": 0}
    train(dataset, tmp_path / "whole", steps=8, **options)
    train(dataset, tmp_path / "half", steps=8, save_steps=4, **options)
    last = tmp_path / "half" / "state" / max(path.name for path in (tmp_path / "half" / "state").iterdir())
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    artgen.train("text", output=tmp_path / "half", resume=True, device="cpu")
    whole, half = weights(tmp_path / "whole"), weights(tmp_path / "half")
    assert max(float((whole[name] - half[name]).abs().max()) for name in whole) == 0
    network = Model.open(tmp_path / "half").config.network
    assert (network["layers"], network["width"], network["heads"]) == (1, 32, 1)
    assert whole["writer.embedding.weight"].shape[1] == 32
    assert "writer.pair.weight" not in whole
    train(dataset, tmp_path / "plain", steps=8, **{**options, "average": 0.0})
    plain = weights(tmp_path / "plain")
    # The averages lag behind: the same training, other weights.
    assert not all(torch.equal(whole[name], plain[name]) for name in whole)


def test_noise_swaps_the_share_of_tokens_for_others_of_the_batch_and_only_while_learning(dataset: Dataset) -> None:
    tokens = torch.arange(20, 60).repeat(50, 5)
    swapped = noised(tokens, 0.25, seed=1)
    assert torch.equal(swapped, noised(tokens, 0.25, seed=1))
    assert not torch.equal(swapped, noised(tokens, 0.25, seed=2))
    assert float((swapped != tokens).float().mean()) == pytest.approx(0.25, abs=0.02)
    assert set(swapped.unique().tolist()) <= set(range(20, 60))
    task = task_of(dataset, noise=0.5)
    batch = Batch(task.load(dataset, [0, 1]), 2, 0, 2, 5, torch.device("cpu"))
    torch.nn.init.normal_(task.writer.head.weight)  # type: ignore[union-attr]  # it has one
    noisy = float(task.train()("text", batch, Position(0, 10))["loss"].detach())
    clean = float(task.eval()("text", batch, Position(0, 10))["loss"].detach())
    assert noisy != clean


def test_resume_is_exact(dataset: Dataset, tmp_path: Path) -> None:
    options = {"dropout": 0.1, "fim": 0.5}
    train(dataset, tmp_path / "whole", steps=12, **options)
    # The first half is of the plan of the whole: a run of 12 steps that is cut off after the state of step 6.
    train(dataset, tmp_path / "half", steps=12, save_steps=6, **options)
    states = sorted((tmp_path / "half" / "state").iterdir())
    assert [int(state.name) for state in states] == [6, 12]
    for path in states[1].iterdir():
        path.unlink()
    states[1].rmdir()
    artgen.train("text", output=tmp_path / "half", resume=True, device="cpu")
    whole, half = weights(tmp_path / "whole"), weights(tmp_path / "half")
    worst = max(float((whole[name] - half[name]).abs().max()) for name in whole)
    assert worst == 0


def test_a_run_that_goes_on_keeps_its_recipe(dataset: Dataset, tmp_path: Path) -> None:
    train(dataset, tmp_path / "run", steps=2, batch_size=0, context=None)
    before = (tmp_path / "run" / "recipe.json").read_bytes()
    # More time would make auto choose a larger network.
    artgen.train("text", output=tmp_path / "run", resume=True, device="cpu", minutes=600.0, steps=3)
    assert (tmp_path / "run" / "recipe.json").read_bytes() == before
    (tmp_path / "run" / "recipe.json").write_text("{")
    with pytest.raises(TrainingError, match=r"recipe\.json: missing or damaged .*; start a new run"):
        artgen.train("text", output=tmp_path / "run", resume=True, device="cpu", steps=4)


def test_val_loss_is_the_mean_over_every_held_out_token(dataset: Dataset) -> None:
    task = task_of(dataset).eval()
    torch.nn.init.normal_(task.writer.head.weight, std=0.5)
    held = task.held.astype(np.int64)
    assert (len(held) - 1) % 16 != 0  # the last window is a shorter one
    total = 0.0
    with torch.no_grad():
        for place in range(1, len(held)):
            begin = (place - 1) // 16 * 16
            logits = task.writer(torch.from_numpy(held[None, begin:place]))[0, -1]
            total -= float(torch.log_softmax(logits, 0)[held[place]])
    found = task.measure(dataset, ["val/loss"])
    assert found["val/loss"] == pytest.approx(total / (len(held) - 1), rel=1e-5)
    assert found["bpc"] == pytest.approx(total / math.log(2) / (len(held) - 1), rel=1e-5)
    # Shorter than a window, and exactly one: there are no whole windows, or no rest.
    for length in (9, 17):
        task.held = held[:length]
        with torch.no_grad():
            logits = task.writer(torch.from_numpy(held[None, : length - 1]))[0]
        expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(held[1:length])).item()
        assert task.measure(dataset, ["val/loss"])["val/loss"] == pytest.approx(expected, rel=1e-5)


def test_bits_of_byte_pairs_count_characters_and_bytes(tmp_path: Path) -> None:
    data = prepared(tmp_path, verses(100).replace("o", "ö"), tokenizer="bpe", vocabulary=300)
    task = task_of(data).eval()
    found = task.measure(data, ["bpb"])
    text = task.tokenizer.decode(task.held[1:])
    bits = found["val/loss"] * (len(task.held) - 1) / math.log(2)
    assert found["bpb"] == pytest.approx(bits / len(text.encode()))
    assert found["bpc"] == pytest.approx(bits / len(text))
    assert found["bpb"] < found["bpc"]


def test_until_and_patience_stop_a_run(dataset: Dataset, tmp_path: Path) -> None:
    train(dataset, tmp_path / "until", steps=400, until="bpc<=3.4", previews=20)
    assert records(tmp_path / "until", "bpc")[-1] <= 3.4
    assert records(tmp_path / "until", "bpc")[-2:-1] == [] or records(tmp_path / "until", "bpc")[-2] > 3.4
    assert max(records(tmp_path / "until", "step")) < 400
    with pytest.raises(OptionError, match="--until takes val/loss, bpc, bpb, not"):
        train(dataset, tmp_path / "wrong", steps=1, until="fd<=3")
    # Far too hot: it cannot get better for long.
    train(dataset, tmp_path / "patience", steps=400, learning_rate=0.5, patience=1, until="val/loss<=0.01")
    assert max(records(tmp_path / "patience", "step")) < 400


def test_without_a_budget_a_text_is_read_a_few_times(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[list[float | None]] = []

    class StopError(Exception):
        pass

    def fit(task: object, data: Dataset, run: Run, progress: object) -> Model:
        budgets.append([run.options.minutes, run.options.items, run.options.steps])
        raise StopError

    monkeypatch.setattr("artgen.training.fit", fit)
    monkeypatch.setattr(presets, "LEAST_STEPS", 5)
    for number, given in enumerate(({}, {"preset": "large"}, {"minutes": 2.0}, {"items": 7}, {"steps": 9}, {"until": "bpc<=1"})):
        with pytest.raises(StopError):
            train(dataset, tmp_path / str(number), **given)
    windows = len(dataset) // 16
    assert budgets[0] == [30.0, pytest.approx(3 * windows, abs=3), None]
    assert budgets[1] == [30.0, pytest.approx(15 * windows, abs=15), None]
    assert budgets[2:] == [[2.0, None, None], [None, 7, None], [None, None, 9], [None, None, None]]
    assert presets.enough("sketch", 100, presets.SKETCH) == 5 * presets.SKETCH.batch


def test_few_evaluations_where_each_costs_much(dataset: Dataset, tmp_path: Path) -> None:
    train(dataset, tmp_path / "run", steps=40, previews=20)
    # One look costs as much as half of these steps: the last is the only one.
    assert len(records(tmp_path / "run", "val/loss")) == 1
    assert task_of(dataset).look_cost(4) == pytest.approx(len(dataset.array("held_out")) / (1.5 * 64))


def test_items_are_windows_of_the_text(dataset: Dataset) -> None:
    task = task_of(dataset, fim=0.0)
    tokens = dataset.array("train").astype(np.int64)
    found = task.load(dataset, [0, 7, len(tokens) - 17, len(tokens) - 16, len(tokens) - 1])["windows"].numpy()
    last = len(tokens) - 17
    for row, begin in zip(found, (0, 7, last, 0, 15), strict=True):
        assert row.tolist() == tokens[begin : begin + 17].tolist()


def test_fine_tuning_keeps_network_and_tokenizer(dataset: Dataset, words: Dataset, tmp_path: Path) -> None:
    train(dataset, tmp_path / "first", steps=60)
    begun = weights(tmp_path / "first")
    tuned = train(words, tmp_path / "tuned", steps=1, from_=str(tmp_path / "first"), context=None, learning_rate=1e-9)
    after = weights(tmp_path / "tuned")
    assert all(torch.allclose(begun[name], after[name], atol=1e-6) for name in begun)
    assert tuned.file(FILE) == (dataset.folder / FILE).read_bytes()
    task = task_of(words, from_=str(tmp_path / "first"), context=None)
    assert task.tokenizer.decode(task.tokens[:300]) == open_tokenizer(words.folder).decode(words.array("train"))[:300]
    assert task.tokenizer.kind == "char"
    # A quarter of the rate of the preset unless one is given.
    assert task.phases[0].learning_rate(Position(200, 1000)) == pytest.approx(0.005 / 4)


def test_fine_tuning_refuses_what_does_not_fit(dataset: Dataset, tmp_path: Path) -> None:
    train(dataset, tmp_path / "first", steps=1)
    with pytest.raises(ModelError, match=r"--from .*: its context is 16; leave --context out"):
        train(dataset, tmp_path / "a", steps=1, from_=str(tmp_path / "first"), context=32)
    with pytest.raises(ModelError, match="no such model"):
        train(dataset, tmp_path / "b", steps=1, from_=str(tmp_path / "nowhere"), context=None)
    config = tmp_path / "first" / "model" / "config.json"
    told = config.read_text()
    config.write_text(told.replace("text.transformer", "image.gan"))
    with pytest.raises(ModelError, match=r"a model of image\.gan, not of text\.transformer"):
        train(dataset, tmp_path / "c", steps=1, from_=str(tmp_path / "first"), context=None)
    config.write_text(told.replace('"vocabulary": ', '"vocabulary": 1'))
    with pytest.raises(ModelError, match=r"tokenizer\.json is not the one it was trained with"):
        train(dataset, tmp_path / "d", steps=1, from_=str(tmp_path / "first"), context=None)
    config.write_text(told.replace('"width": 16', '"width": 32'))
    with pytest.raises(ModelError, match=r"config\.json and weights do not belong together"):
        train(dataset, tmp_path / "e", steps=1, from_=str(tmp_path / "first"), context=None)
    config.write_text(told)
    (tmp_path / "first" / "model" / FILE).unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        train(dataset, tmp_path / "f", steps=1, from_=str(tmp_path / "first"), context=None)
    with pytest.raises(ModelError, match=r"tokenizer\.json: No such file.*; restore the file"):
        Model.open(tmp_path / "first").file(FILE)


def test_too_little_text_and_a_damaged_tokenizer(tmp_path: Path) -> None:
    data = prepared(tmp_path, verses(8), tokenizer="char")
    count = len(data)
    with pytest.raises(DatasetError, match=f"{count} tokens .* too few for a context of 1024; give --context 32 or less"):
        task_of(data, context=1024)
    # Without a context of the user, one that fits is chosen.
    assert task_of(data, context=None).network["context"] == presets.fitting(count) == 32
    with pytest.raises(DatasetError, match="10 tokens to train on are too few for a context of 256; give more text"):
        presets.recipe(Transformer.Train(), 10, None)
    (data.folder / FILE).write_bytes(b"{")
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        task_of(data, context=None)
    CharTokenizer("ab").save(data.folder / FILE)
    with pytest.raises(DatasetError, match="prepare it again"):
        task_of(data, context=None)


@pytest.mark.parametrize("given", [{}, {"minutes": 20.0}, {"steps": 5, "width": 32, "batch_size": 3, "preset": "standard"}])
def test_what_is_settled_is_what_is_trained(dataset: Dataset, given: dict[str, Any]) -> None:
    options = Transformer.Train(**{"context": 16, **given})
    told, plan = Transformer().settled(options, dataset), settled(dataset, options)
    for name in ("layers", "width", "context", "learning_rate", "dropout", "weight_decay"):
        assert told[name] == getattr(plan, name)
    assert told["batch_size"] == plan.batch == given.get("batch_size", plan.batch)
    assert (told["minutes"], told["items"] is None) == (given.get("minutes", None if "steps" in given else 30.0), bool(given))
    assert ("preset" in told) == ("preset" not in given)
    assert Transformer().settled(options) == {}  # everything hangs on the text
