"""Fine-tuning tiny models: what is learned, saved, opened by the libraries themselves, and gone on with exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tiny_models import RHYME, causal
from transformers import AutoModelForCausalLM, AutoTokenizer

import artgen
from artgen.dataset import Dataset
from artgen.errors import DatasetError, ModelError, OptionError, TrainingError
from artgen.media import prepare_text
from artgen.model import Model
from artgen_transformers.text import corpus
from artgen_transformers.text.options import Train
from artgen_transformers.text.training import make_task

FIXED: dict[str, Any] = {
    "steps": 6, "batch_size": 4, "context": 24, "previews": 1, "precision": "fp32", "memory_format": "contiguous", "rank": 4,
    "learning_rate": 0.01, "save_steps": 2, "backend": "transformers", "device": "cpu",
}  # fmt: skip


def train(dataset: Dataset, folder: Path, base: Path, **options: Any) -> Model:
    return artgen.train("text", dataset.folder, folder, from_=base, **{**FIXED, **options})


@pytest.fixture(scope="module")
def lora(dataset: Dataset, gpt2: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(dataset, tmp_path_factory.mktemp("runs") / "lora", gpt2, steps=16, dropout=0.1)


@pytest.fixture(scope="module")
def full(dataset: Dataset, qwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    return train(dataset, tmp_path_factory.mktemp("runs") / "full", qwen, method="full", steps=16)


def losses(model: Model) -> list[float]:
    lines = (model.folder.parent / "metrics.jsonl").read_text().splitlines()
    return [record["loss/text"] for line in lines if "loss/text" in (record := json.loads(line))]


def logits(network: Any) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(torch.arange(5, 17)[None]).logits


def test_the_loss_falls(lora: Model, full: Model) -> None:
    for model in (lora, full):
        found = losses(model)
        assert np.mean(found[-3:]) < 0.95 * np.mean(found[:3])
        assert set(model.config.scores) == {"val/loss"}


def test_what_lora_learned_opens_in_peft(lora: Model, gpt2: Path) -> None:
    assert {path.name for path in lora.folder.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"}
    base = AutoModelForCausalLM.from_pretrained(gpt2)
    plain = logits(base)
    theirs = logits(PeftModel.from_pretrained(base, lora.folder))
    assert not torch.allclose(plain, theirs, atol=1e-3)
    whole = artgen_network(lora)
    assert (logits(whole) - theirs).abs().max() < 1e-4
    # Nothing but the small matrices is stored.
    assert all("lora_" in name for name in lora.tensors())
    assert json.loads((lora.folder / "adapter_config.json").read_text())["base_model_name_or_path"] == str(gpt2)


def test_a_wholly_trained_model_opens_in_transformers(full: Model, qwen: Path) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(full.folder)
    assert type(theirs).__name__ == "Qwen3ForCausalLM"
    assert not torch.allclose(logits(theirs), logits(AutoModelForCausalLM.from_pretrained(qwen)), atol=1e-3)
    assert torch.equal(logits(theirs), logits(artgen_network(full)))
    tokenizer = AutoTokenizer.from_pretrained(full.folder)
    assert tokenizer.chat_template
    work = artgen.generate("text", model=full.folder.parent, seed=1, temperature=0, length=9, prompt="Row", device="cpu")[0]
    ids = tokenizer("Row", return_tensors="pt")["input_ids"]
    found = theirs.generate(ids, do_sample=False, max_new_tokens=9, attention_mask=torch.ones_like(ids))
    assert list(work.tokens) == found[0, ids.shape[1] :].tolist()[: len(work.tokens)]


def artgen_network(model: Model) -> Any:
    from artgen_transformers.loading import Loading
    from artgen_transformers.text.opening import open_language

    return open_language(Model.open(model.folder), Loading()).network


@pytest.mark.parametrize("options", [{"dropout": 0.2}, {"method": "full", "checkpointing": True}])
def test_resume_is_exact(dataset: Dataset, gpt2: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    whole = train(dataset, tmp_path / "whole", gpt2, **options)
    one = load_file(whole.folder.parent / "model-last" / "model.safetensors")
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", cut)
    states = sorted((cut / "state").glob("[0-9]*"))
    assert int(states[0].name) < 6
    shutil.rmtree(states[1])
    again = artgen.train("text", output=cut, resume=True, backend="transformers", device="cpu")
    found = load_file(again.folder.parent / "model-last" / "model.safetensors")
    assert all(torch.equal(one[name], found[name]) for name in one)


def test_micro_batches_and_checkpointing_change_nothing(dataset: Dataset, gpt2: Path) -> None:
    from artgen.training import Batch, Position

    found = []
    for checkpointing in (False, True):
        task = make_task(dataset, Train(from_=str(gpt2), context=24, checkpointing=checkpointing, method="full"))
        task.train()
        batch = Batch(task.load(dataset, [0, 5, 9, 30]), 4, 0, 4, 7, torch.device("cpu"))
        loss = task("text", batch, Position(0, 10))["loss"]
        loss.backward()
        found.append([parameter.grad for parameter in task.learned.parameters() if parameter.grad is not None])
    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(*found, strict=True))


def test_frozen_weights_are_neither_moved_nor_copied(dataset: Dataset, gpt2: Path) -> None:
    import copy

    task = make_task(dataset, Train(from_=str(gpt2), context=24, rank=2))
    twin = copy.deepcopy(task)
    shared = {id(weight) for weight in task.whole.parameters()} & {id(weight) for weight in twin.whole.parameters()}
    learned = list(task.learned.parameters())
    assert len(shared) == len(list(task.whole.parameters())) - len(learned)
    assert not {id(weight) for weight in learned} & {id(weight) for weight in twin.learned.parameters()}
    # The twin's matrices are those in its own network.
    assert {id(weight) for weight in twin.learned.parameters()} <= {id(weight) for weight in twin.whole.parameters()}
    assert all(not weight.requires_grad for weight in task.whole.parameters() if id(weight) in shared)
    assert len(task.state_dict()) == len(learned)


def test_the_text_is_decoded_exactly_and_kept(dataset: Dataset, gpt2: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gpt2)
    found = corpus.corpus(dataset, tokenizer, tmp_path / "tokens")
    documents = list(corpus.documents(dataset, "train"))
    assert tokenizer.decode(found.train.tolist(), skip_special_tokens=False) == "<|end|>".join(documents)
    own = prepare_text.tokenizer_of(dataset)
    assert "".join(documents) == own.decode(dataset.array("train"))
    held = "".join(corpus.documents(dataset, "held_out"))
    assert (found.held_characters, found.held_bytes) == (len(held), len(held.encode()))
    again = corpus.corpus(dataset, tokenizer, tmp_path / "tokens")
    assert isinstance(again.train, np.memmap)
    assert np.array_equal(again.train, found.train)
    # Another tokenizer is another text in tokens.
    tokenizer.add_tokens(["boat"])
    assert len(tokenizer) - 1 in corpus.corpus(dataset, tokenizer, tmp_path / "tokens").train


def test_signs_that_look_like_marks_are_text(gpt2: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gpt2)
    (ids,) = corpus._ids("a <|end|> b", tokenizer)
    assert 0 not in ids
    assert tokenizer.decode(ids) == "a <|end|> b"


def test_long_documents_are_cut_before_a_line(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "_PIECE", 100)
    pieces = list(corpus._cut(RHYME))
    assert "".join(pieces) == RHYME
    assert len(pieces) == 3
    assert all(piece.endswith("\n") for piece in pieces)
    tokenizer = AutoTokenizer.from_pretrained(gpt2)
    assert tokenizer.decode([token for ids in corpus._ids(RHYME, tokenizer) for token in ids]) == RHYME


def test_many_ids_are_decoded_in_parts(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(corpus.documents(dataset, "train"))
    monkeypatch.setattr(corpus, "_AT_ONCE", 7)
    assert list(corpus.documents(dataset, "train")) == whole


def test_a_run_goes_on_only_with_its_model(dataset: Dataset, tmp_path: Path) -> None:
    base = causal("llama", tmp_path / "base")
    train(dataset, tmp_path / "run", base, steps=2)
    causal("llama", base, seed=9)
    with pytest.raises(TrainingError, match="not the model any more that the run began with"):
        artgen.train("text", output=tmp_path / "run", resume=True, steps=4, backend="transformers", device="cpu")
    with pytest.raises(ModelError, match="is not the model any more that it was trained with"):
        artgen.generate("text", model=tmp_path / "run", seed=1, length=3, device="cpu")


def test_what_was_learned_can_be_learned_from(dataset: Dataset, lora: Model, tmp_path: Path) -> None:
    later = train(dataset, tmp_path / "later", lora.folder.parent, steps=2)
    work = artgen.generate("text", model=later.folder, seed=1, length=5, device="cpu")[0]
    assert work.tokens


def test_the_licence_of_the_base_goes_on(dataset: Dataset, tmp_path: Path) -> None:
    base = causal("llama", tmp_path / "base", licence="cc-by-nc-4.0")
    model = train(dataset, tmp_path / "run", base, steps=1)
    assert model.config.licence == "cc-by-nc-4.0"
    assert model.config.network["base"]["name"] == "base"
    with pytest.raises(ValueError, match="forbids commercial use"):
        artgen.generate("text", model=model.folder, seed=1, length=3, device="cpu", commercial_only=True)
    with pytest.raises(ValueError, match="forbids commercial use"):
        train(dataset, tmp_path / "other", base, steps=1, commercial_only=True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"method": "full", "quantise": "int4"}, "--quantise int4 is for weights that stay as they are; give --method lora"),
        ({"method": "full", "dtype": "bf16"}, "--dtype bf16 is for weights that stay as they are"),
        ({"targets": ("nothing",)}, "--targets nothing: the network has no such part; it has"),
        ({"rank": 0}, "--rank takes 1 to 4096, not 0"),
    ],
)
def test_sentences_about_options(dataset: Dataset, gpt2: Path, tmp_path: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        train(dataset, tmp_path / "run", gpt2, **options)
    assert sentence in str(caught.value)


def test_without_a_base_the_option_is_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--from must be given"):
        artgen.train("text", dataset.folder, tmp_path / "run", backend="transformers", steps=1)


def test_too_little_text_is_said(gpt2: Path, tmp_path: Path) -> None:
    found = corpus.Corpus(np.zeros(3, np.uint16), np.zeros(0, np.uint16), 0, 0)
    with pytest.raises(DatasetError, match="3 tokens to train on are too few; give more text"):
        corpus.require_length(found, 24, tmp_path)


def test_evaluate_tells_bits_per_byte(dataset: Dataset, full: Model, qwen: Path) -> None:
    options: dict[str, Any] = {"backend": "transformers", "device": "cpu", "metrics": ("loss",)}
    before = artgen.evaluate("text", qwen, dataset.folder, **options)
    after = artgen.evaluate("text", full.folder, dataset.folder, **options)
    assert after["bpb"].value < before["bpb"].value
    text = "".join(corpus.documents(dataset, "held_out"))
    tokenizer, network = AutoTokenizer.from_pretrained(qwen), AutoModelForCausalLM.from_pretrained(qwen).eval()
    ids = [0, *tokenizer(text)["input_ids"]]
    bits = 0.0
    for start in range(0, len(ids) - 1, 128):
        part = torch.tensor(ids[start : start + 129])
        with torch.inference_mode():
            told = network(part[None, :-1]).logits[0].log_softmax(-1)
        bits -= float(told[range(len(part) - 1), part[1:]].sum()) / np.log(2)
    assert before["bpb"].value == pytest.approx(bits / len(text.encode()), rel=1e-4)
    short = artgen.evaluate("text", qwen, dataset.folder, **options, held_out=40, context=8)["bpb"]
    assert "context=8" in short.protocol
    assert short.value != before["bpb"].value
    with pytest.raises(ValueError, match="--context takes at most 128 for this model, not 500"):
        artgen.evaluate("text", qwen, dataset.folder, **options, context=500)


def test_evaluate_measures_what_is_written_too(dataset: Dataset, qwen: Path) -> None:
    options: dict[str, Any] = {"items": 2, "length": 40, "metrics": ("distinct_1", "longest_copy")}
    scores = artgen.evaluate("text", qwen, dataset.folder, backend="transformers", device="cpu", **options)
    assert set(scores) == {"distinct_1", "longest_copy"}
    assert all(score.floor is not None for score in scores.values())
