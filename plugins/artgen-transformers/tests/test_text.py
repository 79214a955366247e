"""Writing with tiny models of the real classes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from tiny_models import causal
from transformers import AutoModelForCausalLM, AutoTokenizer

import artgen
from artgen.artwork import Text
from artgen.errors import UsageError
from artgen.remake import replay
from artgen_transformers.choosing import weights
from artgen_transformers.text import changing, choosing
from artgen_transformers.text.options import Generate

KINDS = ("gpt2", "llama", "qwen2", "qwen3", "mistral", "mamba")


def write(model: Path, **options: Any) -> list[Any]:
    chosen = {"seed": 3, "length": 20, "device": "cpu", **options}
    return artgen.generate("text", model=model, backend="transformers", **chosen)


def plain(folder: Path, prompt: str, length: int) -> list[int]:
    """What transformers itself writes."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        found = network.generate(ids, do_sample=False, max_new_tokens=length, attention_mask=torch.ones_like(ids))
    return found[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_likeliest_tokens_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = causal(kind, tmp_path / kind)
    work = write(folder, prompt="Row, row", temperature=0, length=30)[0]
    theirs = plain(folder, "Row, row", 30)
    assert list(work.tokens) == theirs[: len(work.tokens)]
    assert len(work.tokens) == 30 or theirs[len(work.tokens)] == 0
    tokenizer = AutoTokenizer.from_pretrained(folder)
    whole = tokenizer.decode([*tokenizer("Row, row")["input_ids"], *work.tokens])
    assert whole.startswith(str(work))
    assert set(whole[len(str(work)) :]) <= {"�"}


def test_a_work_depends_on_its_seed_alone(qwen: Path) -> None:
    for rows in (1, 4):
        whole = write(qwen, seed=None, seeds=[5, 6, 7, 9], batch_size=rows, prompt="Row", length=12)
        assert len({str(work) for work in whole}) == 4
        for work in whole:
            alone = write(qwen, seed=work.seeds[0], batch_size=rows, prompt="Row", length=12)[0]
            assert (str(alone), alone.tokens, alone.log_probabilities) == (str(work), work.tokens, work.log_probabilities)


def test_log_probabilities_are_those_of_the_model(gpt2: Path) -> None:
    work = write(gpt2, prompt="Merrily", temperature=1.3, top_k=5, length=9)[0]
    tokenizer, network = AutoTokenizer.from_pretrained(gpt2), AutoModelForCausalLM.from_pretrained(gpt2).eval()
    ids = tokenizer("Merrily")["input_ids"]
    with torch.inference_mode():
        told = network(torch.tensor([[*ids, *work.tokens]])).logits[0].log_softmax(-1)
    wanted = [float(told[len(ids) - 1 + place, token]) for place, token in enumerate(work.tokens)]
    assert work.log_probabilities == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}])
def test_the_narrowest_filters_take_the_likeliest(gpt2: Path, options: dict[str, float]) -> None:
    likeliest = write(gpt2, prompt="Row", temperature=0)[0]
    assert write(gpt2, prompt="Row", temperature=5, **options)[0].tokens == likeliest.tokens


def test_weights_follow_the_numpy_of_text_transformer() -> None:
    from artgen.backends.text.transformer import sampling

    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * 3
    for values in ({"top_k": 7}, {"top_p": 0.6}, {"min_p": 0.1}, {"temperature": 0.3, "top_k": 9, "top_p": 0.8, "min_p": 0.02}):
        ours = weights(logits, Generate(**{"top_p": 1.0, **values}))
        theirs = sampling.weights(logits.numpy(), sampling.Sampling(**values))
        assert ours.numpy() == pytest.approx(theirs, abs=1e-12)
    draws = [0.0, 0.5, 0.999999999]
    options = Generate(top_p=1.0, repetition_penalty=2.0)
    mine = choosing.choose(logits, draws, [[1, 2], [3], [49]], options)[0]
    known = [np.array([1, 2]), np.array([3]), np.array([49])]
    theirs = sampling.penalised(logits.numpy(), known, 2.0)
    assert mine == sampling.choose(theirs, draws, sampling.Sampling(repetition_penalty=2.0))


def test_a_stop_text_ends_the_work_and_is_left_out(gpt2: Path) -> None:
    whole = str(write(gpt2, prompt="Row", length=40)[0])
    stop = whole[10:12]
    cut = write(gpt2, prompt="Row", length=40, stop=(stop,))[0]
    assert str(cut) == whole[: whole.index(stop, 3)]
    assert len(cut.tokens) == len(cut.log_probabilities) < 40


def test_a_text_longer_than_the_model_sees_goes_on(gpt2: Path) -> None:
    work = write(gpt2, prompt="Row", length=100)[0]
    assert len(work.tokens) == 100 or str(work).startswith("Row")
    assert str(write(gpt2, prompt="Row", length=100)[0]) == str(work)


def test_a_prompt_longer_than_the_model_sees_is_kept_and_said(gpt2: Path) -> None:
    talk = Talk()
    prompt = "Row, row, row your boat, " * 20
    work = write(gpt2, prompt=prompt, length=5, progress=talk)[0]
    assert str(work).startswith(prompt)
    assert any("tokens and the model sees 64: its end alone counts" in said for said in talk.said)


def test_partial_texts_grow_and_never_take_back(gpt2: Path) -> None:
    talk = Talk()
    work = write(gpt2, prompt="Row", length=40, stop=("zz", "qq"), progress=talk)[0]
    shown = [str(part) for part in talk.parts]
    assert len(shown) > 5
    assert all(later.startswith(earlier) for earlier, later in pairwise([*shown, str(work)]))


def test_prompts_from_a_file_make_one_text_each_that_can_be_made_again_alone(gpt2: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("Row\n\nLife is\n", encoding="utf-8")
    works = write(gpt2, prompts=file, seed=4, n=2, length=8)
    assert [(str(work)[:3], work.seeds) for work in works] == [("Row", (4,)), ("Row", (5,)), ("Lif", (4,)), ("Lif", (5,))]
    for work in works:
        assert str(write(gpt2, prompt=work.recipe.options["prompt"], seed=work.seeds[0], length=8)[0]) == str(work)
        assert replay(work.save(tmp_path / "work.txt"), device="cpu").state == "identical"


def test_a_prompt_file_and_no_prompt(gpt2: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("Twinkle\n", encoding="utf-8")
    assert str(write(gpt2, prompt_file=file)[0]) == str(write(gpt2, prompt="Twinkle")[0])
    assert write(gpt2)[0].tokens


def test_chat_reads_the_format_of_the_model(qwen: Path) -> None:
    spoken = "<|start|>system\nA poet.<|end|>\n<|start|>user\nRow?<|end|>\n<|start|>assistant\n<think></think>"
    answer = write(qwen, prompt="Row?", chat=True, system="A poet.", temperature=0)[0]
    assert answer.tokens == write(qwen, prompt=spoken, temperature=0)[0].tokens
    assert not str(answer).startswith("<")
    thinking = write(qwen, prompt="Row?", chat=True, system="A poet.", temperature=0, thinking=True)[0]
    assert thinking.tokens == write(qwen, prompt=spoken.removesuffix("<think></think>"), temperature=0)[0].tokens


def test_examples_stand_before_the_prompt(qwen: Path, tmp_path: Path) -> None:
    texts, pairs, lines = tmp_path / "texts.txt", tmp_path / "pairs.txt", tmp_path / "pairs.jsonl"
    texts.write_text("Row, row\n---\nLife is\n", encoding="utf-8")
    pairs.write_text("boat\n=>\nrow\n---\nstar\n=>\nshine\n", encoding="utf-8")
    lines.write_text('{"prompt": "boat", "answer": "row"}\n{"prompt": "star", "answer": "shine"}\n', encoding="utf-8")
    work = write(qwen, prompt="Twin", shots=texts, temperature=0)[0]
    assert work.tokens == write(qwen, prompt="Row, row\n---\nLife is\n---\nTwin", temperature=0)[0].tokens
    assert str(work).startswith("Twin")
    whole = "boat\n=>\nrow\n---\nstar\n=>\nshine\n---\ndream\n=>\n"
    for file in (pairs, lines):
        work = write(qwen, prompt="dream", shots=file, temperature=0)[0]
        assert work.tokens == write(qwen, prompt=whole, temperature=0)[0].tokens
        assert not str(work).startswith("boat")
        assert work.recipe.inputs[0].role == "shots"
    spoken = "".join(
        f"<|start|>{who}\n{said}<|end|>\n"
        for who, said in (("user", "boat"), ("assistant", "row"), ("user", "star"), ("assistant", "shine"), ("user", "dream"))
    )
    work = write(qwen, prompt="dream", shots=pairs, chat=True, temperature=0)[0]
    assert work.tokens == write(qwen, prompt=spoken + "<|start|>assistant\n<think></think>", temperature=0)[0].tokens


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"prompt": "a", "prompts": "b"}, "--prompt and --prompts all say how the text begins; give one of them"),
        ({"system": "x"}, "--system says what the model's part in a chat is; give --chat too"),
        ({"chat": True}, "--chat needs something to answer; give --prompt, --prompt-file or --prompts"),
        ({"stop": ("",)}, "--stop takes text of one character or more, not nothing"),
        ({"prompt": "a", "chat": True}, "this model has no chat format; leave --chat out"),
        ({"prompt": "\ud800"}, "lone surrogate U+D800"),
        ({"temperature": 11}, "--temperature takes 0 to 10, not 11"),
    ],
)
def test_sentences_about_options(gpt2: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        write(gpt2, **options)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", "---\n", "no example in it; write texts with a line of --- between them"),
        ("b.txt", "a\n=>\nb\n---\nc\n", "some examples have a line of => and some have none"),
        ("c.jsonl", '{"prompt": 3}\n', "line 1 is no example"),
        ("d.txt", "a\n---\nb\n", "examples for a chat have a question and an answer"),
    ],
)
def test_sentences_about_examples(qwen: Path, tmp_path: Path, name: str, content: str, sentence: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        write(qwen, prompt="x", chat=True, shots=tmp_path / name)
    assert sentence in str(caught.value)


def test_an_empty_file_of_prompts_is_said(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(UsageError, match="no prompt in it; write one a line"):
        write(gpt2, prompts=tmp_path / "p.txt")


def test_a_chat_format_that_refuses_is_said(tmp_path: Path) -> None:
    folder = causal("llama", tmp_path / "llama")
    tokenizer = tiny_models.tokenizer(chat=True, template="{{ raise_exception('System role not supported') }}")
    tokenizer.save_pretrained(folder)
    with pytest.raises(UsageError, match=r"does not take this .System role not supported.; leave --system out"):
        write(folder, prompt="x", chat=True, system="y")


def test_instruction_and_continue(qwen: Path, gpt2: Path) -> None:
    poem = Text("Row, row your boat\n", name="poem.txt")
    spoken = (
        "<|start|>system\nYou change texts as you are told. Answer with the whole changed text and nothing else.<|end|>\n"
        "<|start|>user\nMake it sad.\n\nRow, row your boat<|end|>\n<|start|>assistant\n<think></think>"
    )
    changed = modify(qwen, poem, instruction="Make it sad.", temperature=0, length=15)
    assert changed.tokens == write(qwen, prompt=spoken, temperature=0, length=15)[0].tokens
    assert str(changed).endswith("\n")
    assert changed.recipe.options["instruction"] == "Make it sad."
    # A model without a chat format goes on in the form of questions and answers.
    changed = modify(gpt2, poem, instruction="Make it sad.", temperature=0, length=15)
    asked = "Make it sad.\n\nRow, row your boat\n=>\n"
    assert changed.tokens == write(gpt2, prompt=asked, temperature=0, length=15)[0].tokens
    longer = modify(gpt2, poem, continue_=9)
    assert str(longer).startswith(str(poem))
    assert 0 < len(longer.tokens) <= 9


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, 'say what to do with the text: --instruction "…" or --continue N'),
        ({"instruction": "x", "continue_": 3}, "--instruction and --continue contradict each other"),
    ],
)
def test_sentences_of_modify(gpt2: Path, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        modify(gpt2, Text("Row"), **options)
    assert sentence in str(caught.value)


def test_an_answer_loses_its_thoughts_and_ends_as_the_text_did() -> None:
    assert changing._answer("<think>hm</think>\n\n Boat. \n", "Row.\n\n") == "Boat.\n\n"
    assert changing._answer(" Boat.", "Row.") == "Boat."


def modify(folder: Path, work: Text, **options: Any) -> Any:
    return artgen.modify("text", work, model=folder, backend="transformers", device="cpu", **options)[0]


class Talk:
    """A progress object that keeps what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.parts: list[Any] = []

    def start(self, description: str, total: float | None = None, unit: str = "") -> None: ...
    def advance(self, amount: float = 1.0, note: str = "") -> None: ...
    def finish(self) -> None: ...

    def partial(self, artwork: Any) -> None:
        self.parts.append(artwork)

    def say(self, sentence: str) -> None:
        self.said.append(sentence)
