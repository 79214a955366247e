"""The network of ``text.transformer``, its presets, and what its training sees of a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from text_trainings import dataset, small, task_of, train, verses  # noqa: F401 - fixtures

from artgen.backend import Silent
from artgen.backends.text.transformer import fim, presets
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.engine import Session, open_engine
from artgen.backends.text.transformer.model import Writer, pair_rows
from artgen.backends.text.transformer.task import HOLD, LAST, schedule
from artgen.dataset import Dataset
from artgen.errors import OptionError
from artgen.media.tokenizer import END, MIDDLE, PREFIX, SUFFIX, BpeTokenizer, CharTokenizer, Tokenizer
from artgen.model import Config, save_model
from artgen.training.task import Batch, Position

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def test_width_splits_into_heads_of_about_64() -> None:
    assert [presets.heads(width) for width in (16, 64, 128, 320, 384, 400)] == [1, 1, 2, 5, 6, 5]
    with pytest.raises(OptionError, match="--width takes a multiple of 16, not 40; 32 is one"):
        presets.recipe(Transformer.Train(width=40), 10**6, None)


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
