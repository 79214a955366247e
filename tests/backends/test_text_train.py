from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import artgen
from artgen.backend import Silent
from artgen.backends.text.transformer import fim, presets
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.engine import Session, open_engine
from artgen.backends.text.transformer.model import Writer, pair_rows
from artgen.backends.text.transformer.settle import make_task, settled
from artgen.backends.text.transformer.task import HOLD, LAST, WriterTask, noised, schedule
from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError, OptionError, TrainingError
from artgen.media.prepare_text import Prepare, prepare
from artgen.media.tokenizer import END, FILE, MIDDLE, PREFIX, SUFFIX, BpeTokenizer, CharTokenizer, Tokenizer, open_tokenizer
from artgen.model import Config, Model, save_model
from artgen.training.task import Batch, Position

WORDS = ["the river", "a stone", "the wind", "my lady", "the moon", "a crow", "old time", "the sea"]
DEEDS = ["sings of", "will bear", "forgets", "has seen", "loves", "carries", "turns to", "breaks"]
TINY: dict[str, Any] = {"context": 16, "batch_size": 4, "precision": "fp32", "previews": 0, "seed": 3}


def verses(lines: int, seed: int = 0) -> str:
    random = np.random.default_rng(seed)
    return "".join(f"{WORDS[a]} {DEEDS[b]} {WORDS[c]}.\n" for a, b, c in random.integers(0, 8, (lines, 3)))


def prepared(folder: Path, text: str, **options: Any) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return prepare([folder / "text.txt"], folder / "dataset", Prepare(**options), Silent())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("verses"), verses(200), tokenizer="char")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepared(tmp_path_factory.mktemp("words"), verses(200), tokenizer="bpe", vocabulary=400)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets of the real kinds at sizes that train in seconds."""
    for name in ("BRIEF", "SKETCH", "STANDARD", "LARGE"):
        plan = getattr(presets, name)
        layers = {"BRIEF": 1, "SKETCH": 2, "STANDARD": 3, "LARGE": 4}[name]
        changed = msgspec.structs.replace(plan, layers=layers, heads=2, width=16, learning_rate=0.005)
        monkeypatch.setattr(presets, name, changed)


def train(dataset: Dataset, output: Path, **options: Any) -> Model:
    return artgen.train("text", dataset.folder, output, device="cpu", **{**TINY, **options})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model-last" / "model.safetensors")


def task_of(dataset: Dataset, **options: Any) -> WriterTask:
    chosen = Transformer.Train(**{**TINY, **options})
    return make_task(dataset, chosen, settled(dataset, chosen))


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


def test_width_splits_into_heads_of_about_64() -> None:
    assert [presets.heads(width) for width in (16, 64, 128, 320, 384, 400)] == [1, 1, 2, 5, 6, 5]
    with pytest.raises(OptionError, match="--width takes a multiple of 16, not 40; 32 is one"):
        presets.recipe(Transformer.Train(width=40), 10**6, None)


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
    with pytest.raises(OptionError, match="this backend measures: val/loss, bpc, bpb"):
        train(dataset, tmp_path / "wrong", steps=1, until="fd<=3")
    # Far too hot: it cannot get better for long.
    train(dataset, tmp_path / "patience", steps=400, learning_rate=0.5, patience=1, until="val/loss<=0.01")
    assert max(records(tmp_path / "patience", "step")) < 400


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


def undone(ids: list[int], tokenizer: Tokenizer) -> tuple[str, str, str]:
    """The three parts of an example, whatever its order."""
    assert ids[0] == PREFIX
    end = ids.index(END)
    suffix, middle = ids.index(SUFFIX), ids.index(MIDDLE)
    if suffix == 1:  # suffix first: the prefix and the middle follow each other without a mark
        return "", tokenizer.decode(ids[middle + 1 : end]), tokenizer.decode(ids[2:middle])
    return tokenizer.decode(ids[1:suffix]), tokenizer.decode(ids[middle + 1 : end]), tokenizer.decode(ids[suffix + 1 : middle])


@pytest.mark.parametrize("kind", ["char", "bpe", "spelled"])
def test_gaps_decode_to_the_text_they_were_cut_from(kind: str) -> None:
    text = verses(40)
    tokenizer: Tokenizer = CharTokenizer.train(text)
    if kind == "bpe":
        tokenizer = BpeTokenizer.train(text, 320)
    if kind == "spelled":
        text = text.replace("o", "ø")  # no token of its own: four half bytes
    ids = tokenizer.encode(text)
    orders, whole = [], 0
    for seed in range(60):
        window = ids[seed * 3 : seed * 3 + 49]
        given = tokenizer.decode(window[: 49 - fim.MARKS])
        found = fim.window(window, tokenizer, np.random.default_rng(seed))
        assert len(found) == 49
        example = found.tolist()
        if kind == "bpe" and example == window.tolist():  # so much longer that not even the prefix and the middle fit
            whole += 1
            continue
        orders.append(example[1] == SUFFIX)
        joined = "".join(undone(example, tokenizer)).strip("\N{REPLACEMENT CHARACTER}")
        if kind == "bpe":  # encoded anew it may be longer; what does not fit is left out at the end
            assert given.strip("\N{REPLACEMENT CHARACTER}").startswith(joined)
            assert len(joined) > 0.7 * len(given)
        else:
            assert joined == given.strip("\N{REPLACEMENT CHARACTER}")
    assert whole < 3
    assert 30 < sum(orders) < 58
    short = ids[:6]
    assert fim.window(short, tokenizer, np.random.default_rng(0)).tolist() == short.tolist()


def test_prompt_is_how_an_example_begins() -> None:
    a, b, c = np.array([30, 31]), np.array([40]), np.array([50, 51])
    assert fim.laid_out(a, b, c).tolist() == [PREFIX, SUFFIX, 50, 51, MIDDLE, 30, 31, 40, END]
    assert fim.laid_out(a, b, c, "psm").tolist() == [PREFIX, 30, 31, SUFFIX, 50, 51, MIDDLE, 40, END]
    assert fim.prompt(a, c).tolist() == [PREFIX, SUFFIX, 50, 51, MIDDLE, 30, 31]


def test_share_of_gaps_is_as_asked(dataset: Dataset) -> None:
    found = task_of(dataset, fim=0.3).load(dataset, list(range(1000)))["windows"]
    assert abs(float((found[:, 0] == PREFIX).float().mean()) - 0.3) < 0.04
    again = task_of(dataset, fim=0.3).load(dataset, list(range(1000)))["windows"]
    assert torch.equal(found, again)
    other = task_of(dataset, fim=0.3, seed=4).load(dataset, list(range(1000)))["windows"]
    assert not torch.equal(found, other)


def test_windows_grow_to_the_full_context(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = msgspec.structs.replace(presets.SKETCH, first_context=16)
    monkeypatch.setattr(presets, "SKETCH", plan)
    task = task_of(dataset, context=64)
    assert [task.length(Position(seen, 100)) for seen in (0, 37, 38, 74, 75, 100)] == [16, 16, 32, 32, 64, 64]
    shapes = []
    task.writer.register_forward_pre_hook(lambda module, given: shapes.append(tuple(given[0].shape)))
    data = task.load(dataset, [1, 2])
    for seen in (0, 100):
        task("text", Batch(data, 2, 0, 2, 0, torch.device("cpu")), Position(seen, 100))
    assert shapes == [(8, 16), (2, 64)]


def test_schedule_warms_up_holds_and_falls() -> None:
    at = [schedule(Position(seen, 10_000), 0.5, 4) for seen in (0, 29, 59, 2500, 6250, 10_000)]
    assert at[0] == pytest.approx(0.5 / 60)
    assert at[1] == pytest.approx(0.25)
    assert at[2] == at[3] == 0.5
    assert HOLD == 0.25
    assert at[4] == pytest.approx(0.5 * (1 - (1 - LAST) / 2))
    assert at[5] == pytest.approx(0.5 * LAST)


def test_logits_are_causal_and_capped() -> None:
    torch.manual_seed(0)
    writer = Writer(vocabulary=30, layers=2, heads=2, width=16, context=24, pairs=900)
    for parameter in writer.parameters():
        torch.nn.init.normal_(parameter, std=3.0)
    tokens = torch.randint(30, (2, 24))
    logits = writer(tokens)
    assert logits.shape == (2, 24, 30)
    assert logits.abs().max() <= 15
    changed = tokens.clone()
    changed[:, 10] = (changed[:, 10] + 1) % 30
    after = writer(changed)
    assert torch.equal(after[:, :10], logits[:, :10])
    assert not torch.equal(after[:, 10], logits[:, 10])


def test_pairs_have_rows_of_their_own_or_share_them() -> None:
    before, token = torch.tensor([[0, 3, 29]]), torch.tensor([[3, 29, 1]])
    assert pair_rows(before, token, 30, 900).tolist() == [[3, 119, 871]]
    assert pair_rows(before, token, 30, 64).tolist() == [[(b * 1000003 + t * 8191) % 64 for b, t in ((0, 3), (3, 29), (29, 1))]]


def test_runs_of_the_newest_tokens_share_rows_by_a_hash() -> None:
    writer = Writer(vocabulary=30, layers=1, heads=2, width=16, context=24, pairs=900, runs=(50, 70))
    for table in (writer.pair, *writer.runs):
        assert table is not None
        torch.nn.init.normal_(table.weight)
    tokens = [7, 3, 29, 3]

    def row(newest_first: list[int], rows: int) -> int:
        found = 0
        for token in newest_first:
            found = (found * 1000003 + token + 1) % (2**31 - 1)
        return found % rows

    history = [torch.tensor([token]) for token in reversed(tokens)]
    wanted = writer.embedding.weight[3] + writer.pair.weight[29 * 30 + 3]
    wanted = wanted + writer.runs[0].weight[row([3, 29, 3], 50)] + writer.runs[1].weight[row([3, 29, 3, 7], 70)]
    torch.testing.assert_close(writer.embed(history)[0], wanted)
    # In a text, END stands before the first token: what comes later changes nothing.
    assert torch.equal(writer(torch.tensor([tokens]))[:, :2], writer(torch.tensor([tokens[:2]])))


@pytest.mark.parametrize("kind", ["numpy", "compiled", "torch"])
@pytest.mark.parametrize("shape", [{"pairs": 900, "runs": [50, 70]}, {"pairs": 0, "runs": [50]}, {"pairs": 64, "runs": []}])
def test_engines_compute_what_the_network_computes(kind: Any, shape: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = {"vocabulary": 30, "layers": 2, "heads": 2, "width": 32, "context": 24, "values": False, "tied": False, **shape}
    modules = Transformer().build(network)
    for parameter in modules.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    config = Config(artgen="0", backend="text.transformer", network=network)
    model = save_model(tmp_path / "model", config, modules.state_dict(), "")
    tokens = torch.randint(4, 30, (2, 20))
    session = Session(open_engine(model, kind, Silent().say), 2)
    session.read([0, 1], [tokens[0, :7].tolist(), tokens[1, :3].tolist()])
    found, _ = session.read([0, 1], [tokens[0, 7:].tolist(), tokens[1, 3:].tolist()])
    with torch.no_grad():
        wanted = modules["writer"](tokens)[:, -1].numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_parts_can_be_left_out() -> None:
    writer = Writer(vocabulary=30, layers=1, heads=2, width=16, context=24, pairs=0, values=False, tied=True)
    assert {name.partition(".")[0] for name, _ in writer.named_parameters()} == {"embedding", "blocks"}
    assert writer(torch.randint(30, (1, 5))).shape == (1, 5, 30)


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


@pytest.mark.parametrize(
    ("minutes", "tokens", "layers"),
    [(0.2, 10**6, 1), (1.0, 10**6, 2), (None, 10**6, 2), (60.0, 10**6, 3), (60.0, 10**5, 2)],
)
def test_auto_fits_the_network_to_time_and_text(minutes: float | None, tokens: int, layers: int) -> None:
    assert presets.recipe(Transformer.Train(), tokens, minutes).layers == layers


@pytest.mark.parametrize(("preset", "layers"), [("sketch", 2), ("standard", 3), ("large", 4)])
def test_preset_is_one_dial_and_options_override_it(preset: Any, layers: int) -> None:
    plan = presets.recipe(Transformer.Train(preset=preset), 10**6, 60.0)
    assert plan.layers == layers
    own = Transformer.Train(preset=preset, batch_size=5, learning_rate=0.1, dropout=0.3, weight_decay=0.7, context=48, runs=90)
    changed = presets.recipe(own, 10**6, 60.0)
    assert (changed.batch, changed.learning_rate, changed.dropout, changed.weight_decay) == (5, 0.1, 0.3, 0.7)
    assert (changed.context, changed.layers, changed.runs) == (48, layers, (90, 90))
    assert presets.recipe(own.replace(runs=0), 10**6, 60.0).runs == ()


def test_large_stays_below_eleven_million_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    plan = presets.recipe(Transformer.Train(preset="large"), 10**6, 600.0)
    module = Transformer().build(presets.network(plan, 85, 0.1))
    assert 9e6 < sum(parameter.numel() for parameter in module.parameters()) <= 11e6


def test_large_vocabularies_share_pairs_and_tie_the_head() -> None:
    plan = presets.recipe(Transformer.Train(), 10**6, 1.0)
    assert presets.network(plan, 85, 0.0)["pairs"] == 85**2
    assert presets.network(msgspec.structs.replace(plan, pairs=0), 85, 0.0)["pairs"] == 0
    told = presets.network(plan, 5000, 0.0)
    assert (told["pairs"], told["values"], told["tied"]) == (presets.EXACT_PAIRS, False, True)


def test_decay_pulls_matrices_alone(dataset: Dataset) -> None:
    task = task_of(dataset, weight_decay=0.5)
    (phase,) = task.phases
    optimizer = phase.optimizer(list(phase.parameters))
    decayed = {id(parameter) for group in optimizer.param_groups if group["weight_decay"] for parameter in group["params"]}
    names = {name for name, parameter in task.writer.named_parameters() if id(parameter) in decayed}
    assert names == {f"blocks.{layer}.{part}.weight" for layer in range(2) for part in ("qkv", "out", "up", "down")}


def test_dropout_changes_the_loss_of_learning_alone(dataset: Dataset) -> None:
    task = task_of(dataset, dropout=0.5)
    for parameter in task.writer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    data = task.load(dataset, [1, 2])
    losses = []
    for seed, training in ((1, True), (1, True), (2, True), (1, False), (2, False)):
        task.train(training)
        losses.append(task("text", Batch(data, 2, 0, 2, seed, torch.device("cpu")), Position(1, 1))["loss"].item())
    assert losses[0] == losses[1] != losses[2]
    assert losses[3] == losses[4]
