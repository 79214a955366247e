"""The engines of ``text.transformer``: all compute the network, one is chosen, code is kept, damaged models are told of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from text_models import RHYME, random_model, save
from text_writing import KINDS, Watch, engine_of, rhyme, write  # noqa: F401 - fixtures

from artgen.backend import Silent
from artgen.backends.text.transformer import engine as engines
from artgen.backends.text.transformer import machine
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.build import build
from artgen.backends.text.transformer.engine import Session, choose
from artgen.backends.text.transformer.sample import Generate
from artgen.backends.text.transformer.weights import ATTENTION_SCALE, LOGIT_CAP, PAIR_HASH, ROTARY_BASE, read_weights
from artgen.errors import ModelError, UsageError
from artgen.media.tokenizer import CharTokenizer
from artgen.model import Config, Model, save_model

# ruff: noqa: F811 - fixtures are imported and then named as arguments


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return random_model(tmp_path_factory.mktemp("loud"))


def test_constants_are_those_of_the_network() -> None:
    from artgen.backends.text.transformer import model
    from artgen.nn import transformer

    assert (model.LOGIT_CAP, model.PAIR_HASH) == (LOGIT_CAP, PAIR_HASH)
    assert (transformer.ATTENTION_SCALE, transformer.ROTARY_BASE) == (ATTENTION_SCALE, ROTARY_BASE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "changes", [{}, {"tied": True}, {"values": False}, {"pairs": 0}, {"pairs": 101}, {"heads": 4, "layers": 3}]
)
def test_every_engine_computes_the_network(tmp_path: Path, kind: engines.Kind, changes: dict[str, int]) -> None:
    model = random_model(tmp_path, **changes)
    modules = build(model.config.network)
    modules.load_state_dict(model.tensors())
    ids = torch.randint(4, model.config.network["vocabulary"], (3, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = modules["writer"](ids).numpy()
    session = Session(engine_of(model, kind), 3)
    logits, totals = session.read([0, 1, 2], ids.tolist(), every=True)
    np.testing.assert_allclose(logits.reshape(wanted.shape), wanted, atol=2e-4)
    np.testing.assert_allclose(totals, np.log(np.exp(logits.astype(np.float64)).sum(-1)), atol=1e-5)


@pytest.mark.parametrize("which", ["rhyme", "loud"])
def test_all_engines_write_the_same_greedy_tokens(which: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(which)
    texts = [write(model, [0], temperature=0, length=150, engine=kind)[0] for kind in KINDS]
    assert len(texts[0].tokens) == 150  # beyond the context, so that sliding is part of it
    assert texts[0].tokens == texts[1].tokens == texts[2].tokens
    if which == "rhyme":
        assert "Gently down the stream.\nMerrily, merrily" in texts[0].characters
    for text in texts[1:]:
        np.testing.assert_allclose(text.log_probabilities, texts[0].log_probabilities, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_the_same_in_any_company(rhyme: Model, kind: engines.Kind) -> None:
    options = {"engine": kind, "temperature": 1.3, "length": 80 if kind == "compiled" else 20}
    alone = {seed: write(rhyme, [seed], **options)[0] for seed in (3, 7, 11)}
    assert len({text.characters for text in alone.values()}) == 3
    for seeds in ([3, 7, 11], [11, 3, 7], list(range(16)), [*range(20, 36), 7]):
        for text in write(rhyme, seeds, **options):
            if text.seeds[0] in alone:
                assert text.tokens == alone[text.seeds[0]].tokens
                assert text.log_probabilities == alone[text.seeds[0]].log_probabilities  # every bit


@pytest.mark.parametrize("kind", ["compiled", "numpy"])
def test_reading_in_blocks_is_reading_token_by_token(loud: Model, kind: engines.Kind) -> None:
    ids = CharTokenizer.train(RHYME).encode(RHYME)[:30].tolist()
    whole = Session(engine_of(loud, kind), 1).read([0], [ids], every=True)[0]
    session = Session(engine_of(loud, kind), 1)
    single = np.concatenate([session.write([0], [token])[0] for token in ids])
    np.testing.assert_array_equal(whole, single)


def test_beyond_the_context_the_last_half_is_read_again(loud: Model) -> None:
    context = loud.config.network["context"]
    ids = np.random.default_rng(0).integers(4, 40, context + 1).tolist()
    session = Session(engine_of(loud), 1)
    for token in ids[:-1]:
        session.write([0], [token])
    after = session.write([0], [ids[-1]])[0]
    half = ids[-context // 2 :]
    again = Session(engine_of(loud), 1)
    again.tokens[0] = ids[: -context // 2]  # what stands before the window is known to its first pair
    np.testing.assert_array_equal(after, again.read([0], [half])[0])


def test_equal_beginnings_are_read_once(loud: Model) -> None:
    session = Session(engine_of(loud), 3)
    read: list[int] = []
    compute = session.engine.compute
    session.engine.compute = lambda cache, rows: read.append(len(rows)) or compute(cache, rows)  # type: ignore[func-returns-value, method-assign]
    try:
        logits, _ = session.begin([[20, 21, 22], [30, 31], [20, 21, 22]])
        assert read == [5]
        np.testing.assert_array_equal(logits[0], logits[2])
        later = session.write([0, 1, 2], [25, 25, 25])[0]
        np.testing.assert_array_equal(later[0], later[2])
        assert (later[0] != later[1]).any()
    finally:
        del session.engine.compute


# --- engines


def test_the_choice_of_engine_is_a_pure_function() -> None:
    few, many = 100_000, engines.TORCH_FROM
    assert [choose("auto", device, size) for device in ("cpu", "cuda:0") for size in (few, many)] == [
        "compiled", "compiled", "compiled", "torch",
    ]  # fmt: skip
    assert [choose(kind, "cuda:0", few) for kind in KINDS] == list(KINDS)


def test_without_a_compiler_numpy_writes_and_says_so(
    loud: Model, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    expected = write(loud, [0], temperature=0)[0].tokens

    def broken(say: Callable[[str], None]) -> None:
        raise ImportError("No module named 'llvmlite'")

    monkeypatch.setattr(machine, "load", broken)
    model = Model.open(loud.folder)
    watch = Watch()
    assert write(model, [0], watch, temperature=0)[0].tokens == expected
    assert watch.said == ["the text engine cannot be compiled here (No module named 'llvmlite'); NumPy is used, which is slower"]
    with pytest.raises(UsageError, match=r"--engine compiled cannot be used here .*; give --engine numpy or torch"):
        write(Model.open(loud.folder), [0], engine="compiled")


def test_compiled_code_is_kept_and_a_damaged_one_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARTGEN_HOME", str(tmp_path))
    made: list[int] = []
    monkeypatch.setattr(machine, "_compile", lambda llvm, target: made.append(1) or b"code")
    monkeypatch.setattr(machine, "_link", lambda llvm, target, code: code)
    said: list[str] = []
    for _ in range(2):
        assert machine.load.__wrapped__(said.append) == b"code"  # type: ignore[comparison-overlap]
    assert (len(made), said) == (1, ["compiling the text engine, once on this machine"])
    (kept,) = (tmp_path / "compiled").glob("text-*.o")
    kept.write_bytes(kept.read_bytes()[:-1])
    machine.load.__wrapped__(said.append)
    assert len(made) == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ARTGEN_HOME", str(tmp_path / "file"))  # no folder: nothing can be kept, all goes on
    assert machine.load.__wrapped__(said.append) == b"code"  # type: ignore[comparison-overlap]


@pytest.mark.gpu
def test_a_gpu_shares_the_tokens(loud: Model) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    model = Model.open(loud.folder)
    model.device = "cuda:0"
    assert write(model, [0], temperature=0, engine="torch")[0].tokens == write(loud, [0], temperature=0)[0].tokens


# --- models


@pytest.mark.parametrize(("kind", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_half_precision_weights_are_widened(loud: Model, tmp_path: Path, kind: torch.dtype, tolerance: float) -> None:
    tensors = {name: tensor.to(kind) for name, tensor in loud.tensors().items()}
    save_model(tmp_path / "half", loud.config, tensors, "# half")
    (tmp_path / "half" / "tokenizer.json").write_bytes((loud.folder / "tokenizer.json").read_bytes())
    half = Model.open(tmp_path / "half")
    found, wanted = read_weights(half), read_weights(loud)
    assert found.matrices.dtype == np.float32
    np.testing.assert_allclose(found.matrices, wanted.matrices, atol=tolerance)
    np.testing.assert_array_equal(found.embedding, tensors["writer.embedding.weight"].float().numpy())
    texts = [write(half, [0], temperature=0, engine=kind)[0].tokens for kind in KINDS]
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_models_get_a_sentence(loud: Model, tmp_path: Path, kind: engines.Kind) -> None:
    other = Config(artgen="0", backend="text.transformer", network=loud.config.network | {"width": 64, "layers": 1})
    save_model(tmp_path / "other", other, loud.tensors(), "# wrong")
    (tmp_path / "other" / "tokenizer.json").write_bytes((loud.folder / "tokenizer.json").read_bytes())
    with pytest.raises(ModelError, match=r"other: config\.json and weights do not belong together"):
        write(Model.open(tmp_path / "other"), [0], engine=kind)
    (tmp_path / "other" / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ModelError, match=r"model\.safetensors: damaged"):
        write(Model.open(tmp_path / "other"), [0], engine=kind)
    save_model(tmp_path / "other", other, loud.tensors(), "# wrong")
    (tmp_path / "other" / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"tokenizer\.json: damaged"):
        write(Model.open(tmp_path / "other"), [0], engine=kind)


def test_a_tokenizer_of_another_model_is_refused(rhyme: Model, tmp_path: Path) -> None:
    model = save(tmp_path / "model", CharTokenizer.train(RHYME), rhyme.config.network, Transformer().build(rhyme.config.network))
    CharTokenizer("ab").save(model.folder / "tokenizer.json")
    said = r"tokenizer\.json: has 22 tokens, the network \d+: it is another model's; restore the file"
    with pytest.raises(ModelError, match=said):
        list(Transformer().generate(Model.open(model.folder), [1], Generate(length=3), Silent()))
