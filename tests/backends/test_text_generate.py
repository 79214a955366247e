"""Writing text: the same tokens from every engine, bits that no neighbour changes, and each option's exact effect."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from text_models import RHYME, random_model, save
from text_writing import KINDS, Watch, engine_of, rhyme, write  # noqa: F401 - fixtures

from artgen.backends.text.transformer.build import build
from artgen.backends.text.transformer.likelihood import likelihood
from artgen.backends.text.transformer.sample import Generate, Writing
from artgen.backends.text.transformer.sampling import allowed, penalised, uniforms, weights
from artgen.errors import OptionError, UsageError
from artgen.media.tokenizer import END, MIDDLE, PREFIX, SUFFIX, BpeTokenizer, CharTokenizer
from artgen.model import Model

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def test_streaming_grows_into_the_final_text(rhyme: Model) -> None:
    watch = Watch()
    texts = write(rhyme, [1, 2, 3], watch, stop=("\n\n", "dream"), length=120)
    shown = [(text.seeds, text.characters) for text in watch.shown]
    assert [seed for seed, _ in itertools.groupby(seeds[0] for seeds, _ in shown)] == [1, 2, 3]  # one work after the other
    for text in texts:
        mine = [characters for seeds, characters in shown if seeds == text.seeds]
        for before, after in itertools.pairwise([*mine, text.characters]):
            assert after.startswith(before)
    assert sum(seeds == (1,) for seeds, _ in shown) > len(texts[0].tokens) // 2  # the others are further when their turn comes


def test_the_prompt_is_part_of_the_text(rhyme: Model, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Twinkle, \n", encoding="utf-8")
    typed = write(rhyme, [4], prompt="Twinkle, ")[0]
    assert typed.characters.startswith("Twinkle, ")
    assert len(typed.tokens) == 40 == len(typed.log_probabilities) == len(typed.characters) - len("Twinkle, ")
    assert write(rhyme, [4], prompt=None, prompt_file=str(tmp_path / "prompt.txt"))[0].characters == typed.characters
    with pytest.raises(UsageError, match="--prompt and --prompt-file both say how the text begins; leave one out"):
        Generate(prompt="a", prompt_file="b")


def test_a_prompt_in_another_script_is_spelled(rhyme: Model) -> None:
    text = write(rhyme, [1], prompt="山中 🙂 ")[0]
    assert text.characters.startswith("山中 🙂 ")
    assert len(text.tokens) == 40


def test_without_a_prompt_a_text_begins_a_line(rhyme: Model) -> None:
    text = write(rhyme, [0], prompt=None, temperature=0)[0]
    assert any(line and text.characters.startswith(line[:8]) for line in RHYME.splitlines())


def test_a_prompt_beyond_the_context_counts_with_its_end(rhyme: Model) -> None:
    watch = Watch()
    context = rhyme.config.network["context"]
    long = RHYME[:100]
    text = write(rhyme, [0], watch, prompt="m" * 200 + long, temperature=0)[0]
    assert any(f"300 tokens and the model sees {context}: it is kept whole, its end alone counts" in said for said in watch.said)
    assert text.characters.startswith("m" * 200 + long)
    assert text.characters[300:] == write(rhyme, [0], prompt="r" * 150 + long, temperature=0)[0].characters[250:]


def test_log_probabilities_are_the_models_own(rhyme: Model) -> None:
    text = write(rhyme, [5], temperature=2.0, top_k=5, length=30)[0]
    tokenizer = CharTokenizer.train(RHYME)
    ids = tokenizer.encode("Row").tolist()
    modules = build(rhyme.config.network)
    modules.load_state_dict(rhyme.tensors())
    with torch.no_grad():
        logits = modules["writer"](torch.tensor([[*ids, *text.tokens]]))[0]
    told = torch.log_softmax(logits, -1)[range(len(ids) - 1, len(ids) + 29), list(text.tokens)]
    np.testing.assert_allclose(text.log_probabilities, told.numpy(), atol=1e-4)


def test_likelihood_is_that_of_the_network_also_beyond_the_context(rhyme: Model) -> None:
    tokenizer = CharTokenizer.train(RHYME)
    ids = tokenizer.encode(RHYME).tolist()
    short, long, none = likelihood(engine_of(rhyme), [ids[:10], ids, []], opening=tokenizer.encode("\n")[0])
    assert (len(short), len(long), len(none)) == (10, len(ids), 0)
    np.testing.assert_array_equal(short, long[:10])
    modules = build(rhyme.config.network)
    modules.load_state_dict(rhyme.tensors())
    context = rhyme.config.network["context"]
    at = context + context // 2 - 1  # the last token of the second window, which begins half a context before
    with torch.no_grad():
        logits = modules["writer"](torch.tensor([ids[at - context : at]]))[0, -1]
    assert long[at] == pytest.approx(float(torch.log_softmax(logits, -1)[ids[at]]), abs=1e-4)
    assert long.mean() > -1.0  # it has learned the rhyme


# --- options


def greedy(model: Model, **options: Any) -> str:
    return write(model, [9], temperature=0, **options)[0].characters


def test_one_choice_is_the_likeliest(rhyme: Model) -> None:
    expected = greedy(rhyme)
    assert write(rhyme, [9], temperature=2.0)[0].characters != expected
    for options in ({"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}):
        assert write(rhyme, [9], temperature=2.0, **options)[0].characters == expected


def test_filters_keep_exactly_what_they_say() -> None:
    chances = np.array([[0.5, 0.25, 0.15, 0.07, 0.03]])
    logits = np.log(chances).astype(np.float32)

    def kept(**options: Any) -> list[int]:
        return np.flatnonzero(weights(logits, Generate(temperature=1.0, **options))[0]).tolist()

    assert kept() == [0, 1, 2, 3, 4]
    assert kept(top_k=2) == [0, 1]
    assert kept(top_k=99) == [0, 1, 2, 3, 4]
    assert kept(top_p=0.74) == [0, 1]
    assert kept(top_p=0.76) == [0, 1, 2]
    assert kept(min_p=0.29) == [0, 1, 2]
    assert kept(top_k=3, top_p=0.8) == [0, 1]  # the share is of what top-k left
    np.testing.assert_allclose(weights(logits, Generate(temperature=2.0))[0], (chances[0] / 0.5) ** 0.5, rtol=1e-5)


def test_draws_follow_the_probabilities() -> None:
    from artgen.backends.text.transformer.sampling import choose as pick

    chances = np.array([0.6, 0.3, 0.0, 0.1])
    with np.errstate(divide="ignore"):
        logits = np.log(chances).astype(np.float32)[None].repeat(5000, 0)
    draws = list(itertools.islice(uniforms(3), 5000))
    counts = np.bincount(pick(logits, draws, Generate(temperature=1.0)), minlength=4) / 5000
    np.testing.assert_allclose(counts, chances, atol=0.03)
    assert counts[2] == 0
    assert draws[:3] != list(itertools.islice(uniforms(3, stream=1), 3))


def test_repetition_penalty_lowers_what_was_written(rhyme: Model) -> None:
    logits = np.array([[2.0, -2.0, 1.0]], np.float32)
    np.testing.assert_array_equal(penalised(logits, [np.array([0, 1])], 2.0), [[1.0, -4.0, 1.0]])
    np.testing.assert_array_equal(logits, [[2.0, -2.0, 1.0]])
    free, held = greedy(rhyme, length=60), greedy(rhyme, length=60, repetition_penalty=3.0)
    assert len(set(held)) > len(set(free))


def test_a_stop_text_ends_the_work_before_it(rhyme: Model) -> None:
    text = write(rhyme, [0], temperature=0, stop=("nowhere", "down"), length=200)[0]
    whole = greedy(rhyme, length=200)
    assert text.characters == whole[: whole.index("down")]
    assert len(text.tokens) == len(text.characters) - len("Row") == len(text.log_probabilities)
    kept = write(rhyme, [0], temperature=0, prompt="Row, row down", stop=("down",), length=30)[0]
    assert len(kept.tokens) == 30  # what the prompt says stops nothing
    with pytest.raises(OptionError, match="--stop takes text of one character or more, not nothing"):
        Generate(stop=("",))


def test_special_ids_are_not_text(tmp_path: Path, rhyme: Model) -> None:
    assert np.flatnonzero(~allowed(10, end=True)).tolist() == [PREFIX, SUFFIX, MIDDLE]
    assert np.flatnonzero(~allowed(10, end=False)).tolist() == [END, PREFIX, SUFFIX, MIDDLE]
    modules = build(rhyme.config.network)
    modules.load_state_dict(rhyme.tensors())
    writer: Any = modules["writer"]
    with torch.no_grad():  # a head for which only special ids are likely
        writer.head.weight[20:] = 0
        writer.head.weight[:4] = writer.head.weight[:4] * 50
    tokenizer = CharTokenizer.train(RHYME)
    one = save(tmp_path / "one", tokenizer, rhyme.config.network, modules)
    assert len(write(one, [1, 2], length=50)[0].tokens) == 50  # it never saw a document end
    many = save(tmp_path / "many", tokenizer, rhyme.config.network, modules, data={"documents": 2})
    texts = write(many, range(12), length=50)
    assert all(1 <= len(text.tokens) <= 50 for text in texts)
    assert all(token >= 4 for text in texts for token in text.tokens)


def test_a_text_ends_where_the_model_ends_it(rhyme: Model) -> None:
    writing = Writing("a", CharTokenizer.train(RHYME), uniforms(0), Generate(), 9)
    writing.add(20, -0.5)
    writing.add(END, -0.1)
    assert writing.finished
    assert (len(writing.tokens), len(writing.text)) == (1, 2)


def test_half_characters_wait_and_are_shown_whole() -> None:
    tokenizer = CharTokenizer.train("ab")
    writing = Writing("", tokenizer, uniforms(0), Generate(), 7)
    seen = []
    for token in tokenizer.encode("é\N{EURO SIGN}")[:7]:
        writing.add(int(token), 0.0)
        seen.append(writing.shown())
    assert seen == ["", "", "", "é", "é", "é", "é"]
    assert writing.finished


def test_a_possible_stop_is_held_back() -> None:
    tokenizer = CharTokenizer.train("abcd")
    writing = Writing("ab", tokenizer, uniforms(0), Generate(stop=("abd", "cc")), 9)
    seen = []
    for token in tokenizer.encode("aabc"):
        writing.add(int(token), 0.0)
        seen.append(writing.shown())
    assert seen == ["ab", "aba", "aba", "abaab"]
    assert not writing.finished
    writing.add(int(tokenizer.encode("c")[0]), 0.0)
    assert (writing.text, writing.shown(), writing.finished, len(writing.tokens)) == ("abaab", "abaab", True, 3)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("top_p", 0, "--top-p takes more than 0 and at most 1, not 0"),
        ("temperature", -1, "--temperature takes 0 to 10, not -1"),
        ("top_k", -1, "--top-k takes 0 or more, not -1"),
        ("min_p", 2, "--min-p takes 0 to 1, not 2"),
        ("repetition_penalty", 0.5, "--repetition-penalty takes 1 to 10, not 0.5"),
        ("length", 0, "--length takes 1 to 10000000 tokens, not 0"),
        ("engine", "fast", "--engine takes auto, compiled, numpy or torch, not fast"),
    ],
)
def test_values_out_of_range_get_the_sentence(option: str, value: Any, sentence: str) -> None:
    with pytest.raises(OptionError) as told:
        Generate(**{option: value})
    assert str(told.value) == sentence


def test_byte_pairs_write_too(tmp_path: Path) -> None:
    model = random_model(tmp_path, BpeTokenizer.train(RHYME * 3, 300))
    texts = {kind: write(model, [2], prompt="Grüße, 山", engine=kind, temperature=0)[0] for kind in KINDS}
    assert texts["compiled"].tokens == texts["numpy"].tokens == texts["torch"].tokens
    assert texts["compiled"].characters.startswith("Grüße, 山")
