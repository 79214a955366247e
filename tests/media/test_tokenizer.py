"""Tokenizers: any text comes back, a stream gives what the whole gives, and a damaged file gets a sentence."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from artgen.errors import ModelError, OptionError, UsageError
from artgen.media.tokenizer import (
    END,
    FILE,
    MIDDLE,
    PREFIX,
    SPECIALS,
    SUFFIX,
    BpeTokenizer,
    CharTokenizer,
    Tokenizer,
    open_tokenizer,
    vocabulary_for,
)

CORPUS = "the cat sat on the mat, and the rat that the cat sat on ran.\n" * 40

STRANGE = [
    "",
    "a",
    "\0",
    "\r\n\r \n\n\n",
    "naïve e\u0301 a\u0308\u0323",
    "床前明月光，疑是地上霜。",
    "😀👩\u200d👩\u200d👧🏽🇫🇷",
    "\U0010ffff\ufffe\ufeff\ufffd",
    "<|endoftext|> <s> [END] Ġ Ā",
    "the cat 床 sat é on 😀",
    "     \t\t  x  ",
    "a" * 5000,
    "0123456789" * 9,
    "!?" * 80,
]


@pytest.fixture(scope="module", params=["char", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return CharTokenizer.train(CORPUS) if request.param == "char" else BpeTokenizer.train(CORPUS, 300)


def streamed(tokenizer: Tokenizer, ids: list[int]) -> str:
    decoder = tokenizer.stream()
    return "".join(map(decoder.feed, ids)) + decoder.flush()


def test_the_special_ids_are_the_first_four() -> None:
    assert (END, PREFIX, SUFFIX, MIDDLE, SPECIALS) == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("text", STRANGE)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int64
    assert not len(ids) or (ids.min() >= SPECIALS and ids.max() < tokenizer.size)
    assert tokenizer.decode(ids) == text
    assert streamed(tokenizer, ids.tolist()) == text
    assert tokenizer.units(ids) == (len(text), len(text.encode()))


def test_random_unicode_comes_back(tokenizer: Tokenizer) -> None:
    rng = random.Random(3)
    for _ in range(50):
        letters = (rng.choice([rng.randrange(128), rng.randrange(0x800), rng.randrange(0x110000)]) for _ in range(40))
        text = "".join(chr(code) for code in letters if not 0xD800 <= code < 0xE000)
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_stream_of_any_ids_gives_what_the_whole_gives(tokenizer: Tokenizer) -> None:
    rng = random.Random(5)
    for turn in range(300):
        top = tokenizer.size if turn % 2 else 20  # half bytes alone are the hardest
        ids = [rng.randrange(top) for _ in range(rng.randrange(1, 25))]
        assert streamed(tokenizer, ids) == tokenizer.decode(ids)


def test_a_stream_never_gives_half_a_character(tokenizer: Tokenizer) -> None:
    decoder = tokenizer.stream()
    given = [decoder.feed(int(token)) for token in tokenizer.encode("a😀b")]
    assert [part for part in given if part] == ["a", "😀", "b"]
    assert decoder.flush() == ""


def test_a_character_cut_short_is_flushed_as_broken_and_the_decoder_goes_on(tokenizer: Tokenizer) -> None:
    decoder = tokenizer.stream()
    ids = tokenizer.encode("😀").tolist()
    assert "".join(map(decoder.feed, ids[:-1])) == ""
    assert set(decoder.flush()) == {"�"}
    assert decoder.flush() == ""
    assert "".join(map(decoder.feed, ids)) == "😀"


def test_special_ids_vanish(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("cat").tolist()
    assert tokenizer.decode([END, *ids, MIDDLE, SUFFIX, PREFIX]) == "cat"
    assert streamed(tokenizer, [PREFIX, *ids, END]) == "cat"


@pytest.mark.parametrize("wrong", [-1, 10**6])
def test_a_foreign_id_gets_a_sentence(tokenizer: Tokenizer, wrong: int) -> None:
    told = f"token {wrong} is none of this tokenizer's, which go from 0 to {tokenizer.size - 1}"
    with pytest.raises(UsageError, match=told):
        tokenizer.decode([wrong])
    with pytest.raises(UsageError, match=told):
        tokenizer.stream().feed(wrong)


def test_half_a_character_gets_a_sentence(tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match=r"lone surrogate U\+D83D at character 3.*delete it"):
        tokenizer.encode("ab\ud83dc")


def test_lengths_are_the_bytes_of_each_id(tokenizer: Tokenizer) -> None:
    lengths = tokenizer.lengths()
    assert (lengths.dtype, len(lengths)) == (np.int64, tokenizer.size)
    assert lengths[:SPECIALS].tolist() == [0] * SPECIALS
    assert lengths[tokenizer.encode(CORPUS)].sum() == len(CORPUS.encode())


def test_many_texts_are_encoded_as_one_by_one(tokenizer: Tokenizer) -> None:
    texts = ["the cat", "", "床", "sat on"]
    for ids, text in zip(tokenizer.encode_all(texts), texts, strict=True):
        assert ids.tolist() == tokenizer.encode(text).tolist()


def test_a_saved_tokenizer_is_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / FILE)
    for place in (tmp_path, tmp_path / FILE):
        again = open_tokenizer(place)
        assert (again.kind, again.size, again.to_bytes()) == (tokenizer.kind, tokenizer.size, tokenizer.to_bytes())
        assert again.encode(CORPUS[:200] + "é").tolist() == tokenizer.encode(CORPUS[:200] + "é").tolist()


# --- characters


def test_characters_are_ordered_by_frequency_and_unseen_ones_spelled() -> None:
    tokenizer = CharTokenizer.train("bbbaac")
    assert tokenizer.characters == "bac"
    assert tokenizer.size == 23
    assert tokenizer.encode("abc").tolist() == [21, 20, 22]
    assert tokenizer.encode("é").tolist() == [4 + 0xC, 4 + 0x3, 4 + 0xA, 4 + 0x9]


def test_a_small_alphabet_is_kept_whole_and_of_a_large_one_what_was_seen_twice() -> None:
    assert CharTokenizer.train("aab").characters == "ab"
    many = "".join(chr(0x4E00 + number) for number in range(1500))
    assert len(CharTokenizer.train(many + many[:900]).characters) == 900
    assert CharTokenizer.from_counts(dict.fromkeys(range(0x4E00, 0x4E00 + 9000), 5)).size == 8020


def test_a_given_vocabulary_keeps_the_most_frequent() -> None:
    tokenizer = CharTokenizer.train("aaabbc", size=22)
    assert tokenizer.characters == "ab"
    assert tokenizer.decode(tokenizer.encode("cab")) == "cab"
    with pytest.raises(OptionError, match="--vocabulary takes 21 or more for the tokenizer char, not 20"):
        CharTokenizer.train("abc", size=20)


def test_a_character_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="occurs twice"):
        CharTokenizer("aba")


# --- byte pairs


def test_frequent_runs_become_one_token() -> None:
    tokenizer = BpeTokenizer.train(CORPUS, 300)
    assert 260 < tokenizer.size <= 300  # fewer where the text has no more pairs
    assert len(tokenizer.encode(" the")) == 1
    assert len(tokenizer.encode(CORPUS)) < len(CORPUS) / 2


def test_training_twice_gives_the_same() -> None:
    pieces = [CORPUS[:500], CORPUS[500:]]
    assert BpeTokenizer.train(iter(pieces), 320).to_bytes() == BpeTokenizer.train(iter(pieces), 320).to_bytes()


def test_a_long_text_is_encoded_in_pieces_that_come_back() -> None:
    tokenizer = BpeTokenizer.train(CORPUS, 300)
    text = "the cat 床 " * 20_000 + "x" * 70_000
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_the_vocabulary_is_the_square_root_of_the_bytes() -> None:
    assert [vocabulary_for(size) for size in (0, 10**6, 2**24, 10**9, 10**12)] == [512, 1024, 4096, 32768, 32768]
    assert BpeTokenizer.train("ab " * 10).size <= 512


def test_too_small_a_vocabulary_is_refused() -> None:
    with pytest.raises(OptionError, match="--vocabulary takes 260 or more for the tokenizer bpe, not 259"):
        BpeTokenizer.train(CORPUS, 259)


# --- files


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "damaged"),
        (b"{", "damaged"),
        (b'{"format":1,"kind":"words"}', "damaged"),
        (b'{"format":1,"kind":"char","characters":"aa"}', "damaged .a character occurs twice"),
        (b'{"format":1,"kind":"bpe","tokens":["a"],"merges":[]}', "damaged .the tokens are not unique, lack a byte"),
        ('{"format":1,"kind":"bpe","tokens":["床"],"merges":[]}'.encode(), "damaged .'床' is no sign"),
        (b'{"format":9,"kind":"char"}', "made by a newer artgen; update artgen"),
    ],
)
def test_a_damaged_file_gets_a_sentence(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ModelError, match=f"{FILE}: {told}"):
        open_tokenizer(tmp_path)


def test_a_missing_file_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"tokenizer\.json: missing; restore the file"):
        open_tokenizer(tmp_path)
