"""Changing texts: what is kept is kept to the letter, gaps are filled, and every mistake gets a sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_models import RHYME, random_model, trained_model

import artgen
from artgen import api
from artgen.artwork import Image, Text
from artgen.backend import Silent
from artgen.backends.text.transformer import modify as modification
from artgen.backends.text.transformer.backend import Transformer
from artgen.backends.text.transformer.engine import open_engine
from artgen.backends.text.transformer.likelihood import likelihood
from artgen.backends.text.transformer.modify import Modify
from artgen.backends.text.transformer.sample import opening, tokenizer_of
from artgen.errors import OptionError, SourceError, UsageError
from artgen.media.difference import WORD, word_edits
from artgen.media.tokenizer import BpeTokenizer
from artgen.model import Model
from artgen.remake import replay


@pytest.fixture(scope="module")
def rhyme(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained_model(tmp_path_factory.mktemp("rhyme"))


def change(model: Model, text: str, seed: int = 1, **options: Any) -> Text:
    work = Text(text, name="mine.txt")
    (made,) = modification.modify(Transformer(), model, [work], [seed], Modify(**options), Silent())
    return made


def mean_likelihood(model: Model, text: str) -> float:
    tokenizer = tokenizer_of(model)
    engine = open_engine(model, "compiled", lambda sentence: None)
    return float(likelihood(engine, [tokenizer.encode(text).tolist()], opening(model, tokenizer))[0].mean())


def test_continue_goes_on_from_the_end(rhyme: Model) -> None:
    start = "Twinkle, twinkle, little star,\nHow I wonder"
    made = change(rhyme, start, continue_=30, temperature=0)
    assert made.characters.startswith(start + " what you are!\nUp")
    assert len(made.tokens) == 30 == len(made.characters) - len(start)
    assert change(rhyme, start, continue_=200, stop=("!",)).characters.count("!") == 0


def test_infill_fills_every_gap_and_keeps_the_rest(rhyme: Model) -> None:
    parts = ["Row, row, ", " boat,\nGently down the stream.\nMerrily, merrily, ", " merrily,\nLife is but a dream.\n"]
    made = change(rhyme, "[...]".join(parts), infill=True, length=20)
    assert re.fullmatch("(.*)".join(map(re.escape, parts)), made.characters, re.DOTALL)
    assert "[...]" not in made.characters
    other = change(rhyme, "<?>".join(parts), infill=True, length=20, gap="<?>")
    assert other.characters == made.characters
    assert change(rhyme, "[...]".join(parts), seed=2, infill=True, length=20, temperature=2.0).characters != made.characters


def test_the_likeliest_of_the_candidates_is_kept(rhyme: Model) -> None:
    text = "Row, row, row [...]\nGently down the stream."
    few = [change(rhyme, text, seed, infill=True, candidates=1, temperature=1.5, length=25).characters for seed in range(6)]
    many = [change(rhyme, text, seed, infill=True, candidates=16, temperature=1.5, length=25).characters for seed in range(6)]
    assert np.mean([mean_likelihood(rhyme, found) for found in many]) > np.mean([mean_likelihood(rhyme, found) for found in few])
    assert "your boat," in change(rhyme, text, infill=True, candidates=32, length=25).characters


def test_rewrite_changes_weak_words_and_no_others(rhyme: Model) -> None:
    odd = RHYME[:111].replace("boat", "zzqx").replace("dream", "hhw")
    made = change(rhyme, odd, rewrite=True, strength=0.12, candidates=16)
    assert made.characters != odd
    edits = word_edits(odd, made.characters)
    words = [word for word in WORD.findall(odd) if word[0].isalnum()]
    assert 1 <= len(edits) <= round(0.12 * len(words))
    at = 0
    for edit in edits:  # the text between the edits is there letter for letter
        kept = odd[at : edit.at]
        place = made.characters.index(kept)
        assert made.characters[place : place + len(kept)] == kept
        at = edit.at + len(edit.before)
    touched = {edit.before for edit in edits}
    assert touched & {"zzqx", "hhw"}
    assert mean_likelihood(rhyme, made.characters) > mean_likelihood(rhyme, odd)


def test_strength_is_the_share_of_words(rhyme: Model) -> None:
    assert change(rhyme, RHYME, rewrite=True, strength=0.0).characters == RHYME
    desk = modification._Desk(rhyme, open_engine(rhyme, "compiled", str), tokenizer_of(rhyme), Modify(strength=1.0), 0, Silent())
    covered = sum(stop - start for start, stop in desk.weak_spans(RHYME))
    assert covered >= sum(len(word) for word in WORD.findall(RHYME) if word[0].isalnum())
    few = modification._Desk(rhyme, desk.engine, desk.tokenizer, Modify(strength=0.2), 0, Silent()).weak_spans(RHYME)
    words = [word for word in WORD.findall(RHYME) if word[0].isalnum()]
    assert sum(len(re.findall(r"\w+", RHYME[start:stop])) for start, stop in few) == round(0.2 * len(words))


def test_a_place_that_nothing_fits_is_rewritten_by_halves(rhyme: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(desk: Any, prefix: str, suffix: str, instead_of: str) -> modification._Filling:
        text = "" if " " in instead_of or instead_of == "boat" else instead_of.upper()
        return modification._Filling(text, (1,), (-0.5,), bool(text))

    monkeypatch.setattr(modification._Desk, "fill", fill)
    made = change(rhyme, "Row, row, row your boat, gently down the stream", rewrite=True, strength=1.0)
    assert made.characters == "ROW, ROW, ROW YOUR boat, GENTLY DOWN THE STREAM"
    assert modification._halves("one") == []


def test_between_leads_from_one_text_to_another(rhyme: Model, tmp_path: Path) -> None:
    start, end = "Row, row, row your", "Gently down the stream.\n"
    (tmp_path / "a.txt").write_text(start, encoding="utf-8")
    made = change(rhyme, end, between=str(tmp_path / "a.txt"), length=20)
    assert made.characters.startswith(start)
    assert made.characters.endswith(end)
    assert len(made.tokens) <= 20
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    with pytest.raises(SourceError, match=r"empty\.txt: empty"):
        change(rhyme, end, between=str(tmp_path / "empty.txt"))


def test_a_filling_that_finds_no_end_stops_at_a_whole_line_sentence_or_word() -> None:
    def cut(text: str, suffix: str = "") -> str:
        return modification._cut_back(modification._Filling(text, (1,), (-0.5,), False), suffix).text

    assert cut("and the sea.\nThe wi") == "and the sea.\n"
    assert cut("He went. She st") == "He went. "
    assert cut("he went and she st") == "he went and she "
    assert cut("unbroken") == "unbroken"
    assert cut("he went and she st", " home") == "he went and she"


def test_a_filling_broken_off_by_the_length_ends_with_a_whole_word(rhyme: Model) -> None:
    made = change(rhyme, "Row, row, row [...]", infill=True, length=7, candidates=4, temperature=1.2)
    middle = made.characters.removeprefix("Row, row, row ")
    assert middle == "" or middle[-1].isspace() or " " not in middle


def test_long_texts_are_filled_from_what_is_near(rhyme: Model) -> None:
    made = change(rhyme, RHYME * 4 + "Row, [...] row your boat,\n" + RHYME * 4, infill=True)
    assert made.characters.startswith(RHYME * 4 + "Row, ")
    assert made.characters.endswith(" row your boat,\n" + RHYME * 4)


def test_byte_pairs_are_modified_too(tmp_path: Path) -> None:
    model = random_model(tmp_path, BpeTokenizer.train(RHYME * 3, 300), context=64)
    made = change(model, "Grüße aus [...] nach Süden", infill=True, length=6, candidates=2)
    assert made.characters.startswith("Grüße aus ")
    assert made.characters.endswith(" nach Süden")
    assert change(model, "Grüße aus dem Norden", rewrite=True, strength=0.5, candidates=2).characters


def test_the_same_seed_makes_the_same_change(rhyme: Model, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("Row, [...] boat", encoding="utf-8")
    (tmp_path / "two.txt").write_text("Life is [...] dream", encoding="utf-8")
    both = api.modify("text", [tmp_path / "one.txt", tmp_path / "two.txt"], model=rhyme, seed=5, infill=True)
    alone = api.modify("text", tmp_path / "two.txt", model=rhyme, seed=5, infill=True)
    assert isinstance(both[1], Text)
    assert isinstance(alone[0], Text)
    assert both[1].characters == alone[0].characters


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "say what to do with the text: --continue N, --infill, --rewrite or --between FILE"),
        ({"infill": True, "rewrite": True}, "--infill and --rewrite contradict each other; give one of --continue N"),
        ({"continue_": 3, "between": "x"}, "--continue and --between contradict each other"),
        ({"infill": True}, "mine.txt: has no gap [...]; mark one, or say with --gap how yours is marked"),
    ],
)
def test_what_to_do_must_be_said_once(rhyme: Model, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        change(rhyme, "a text", **options)


def test_mistakes_get_a_sentence(rhyme: Model, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"mine\.txt: empty; use artgen text generate"):
        change(rhyme, "", continue_=3)
    picture = Image(np.zeros((4, 4, 3), np.uint8), name="p.png")
    with pytest.raises(SourceError, match=r"p\.png: transformer modifies texts, not image"):
        list(modification.modify(Transformer(), rhyme, [picture], [0], Modify(continue_=1), Silent()))
    with pytest.raises(OptionError, match="--gap takes text of one character or more, not nothing"):
        Modify(gap="")
    plain = random_model(tmp_path / "plain", fim=0.0)
    with pytest.raises(UsageError, match=r"plain was trained without filling gaps \(--fim 0\), which --rewrite needs"):
        change(plain, "abc", rewrite=True)
    assert len(change(plain, "Row", continue_=5).tokens) == 5


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("strength", 2, "--strength takes 0 to 1, not 2"),
        ("continue_", 0, "--continue takes 1 to 10000000 tokens, not 0"),
        ("length", 0, "--length takes 1 to 100000 tokens, not 0"),
        ("candidates", 0, "--candidates takes 1 to 256, not 0"),
    ],
)
def test_values_out_of_range_get_the_sentence(option: str, value: Any, sentence: str) -> None:
    with pytest.raises(OptionError) as told:
        Modify(**{option: value})
    assert str(told.value) == sentence


def test_replay_makes_the_same_text(rhyme: Model, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Merrily, ", encoding="utf-8")
    made = artgen.generate("text", model=rhyme.folder, seed=3, prompt_file=tmp_path / "prompt.txt", length=50)
    path = made[0].save(tmp_path / "new.txt")
    assert replay(path).state == "identical"
    (tmp_path / "mine.txt").write_text("Row, [...] boat,\n", encoding="utf-8")
    for number, options in enumerate(({"infill": True}, {"continue_": 30}, {"between": tmp_path / "prompt.txt"})):
        (work,) = artgen.modify("text", tmp_path / "mine.txt", model=rhyme.folder, seed=2, **options)
        path = work.save(tmp_path / f"changed{number}.txt")
        found = replay(path)
        assert found.state == "identical", found.reason
        assert work.recipe is not None
        assert "compositeWithTrainedAlgorithmicMedia" in work.recipe.mark


# --- what changed


def test_edits_make_the_new_text_of_the_old() -> None:
    random = np.random.default_rng(0)
    words = ["one", " ", "two", "\n", "drei", ", ", "木", "山", "it's", " 42", "!"]
    for _ in range(200):
        before = "".join(random.choice(words, random.integers(0, 12)))
        after = "".join(random.choice(words, random.integers(0, 12)))
        result, at = [], 0
        for edit in word_edits(before, after):
            assert before[edit.at : edit.at + len(edit.before)] == edit.before
            result += [before[at : edit.at], edit.after]
            at = edit.at + len(edit.before)
        assert "".join([*result, before[at:]]) == after


def test_edits_are_of_whole_words() -> None:
    (edit,) = word_edits("We [...] home.", "We go. And come. And go home.")
    assert (edit.at, edit.before, edit.after) == (3, "[...]", "go. And come. And go")
    (edit,) = word_edits("the boat sails", "the boot sails")
    assert (edit.at, edit.before, edit.after, edit.kind) == (4, "boat", "boot", "replace")
    assert [(edit.kind, edit.before, edit.after) for edit in word_edits("a b", "a new b")] in (
        [("insert", "", "new ")],
        [("insert", "", " new")],
    )
    assert [edit.kind for edit in word_edits("a b c", "a c")] == ["delete"]
    assert word_edits("same", "same") == []
