"""Measures of text: against counts by hand, against slow searches, and on texts whose answer is known."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from artgen.metrics import texts
from artgen.metrics.texts import Copies, codes, distinct, hashes, self_bleu, words


def test_words_and_signs_and_scripts_without_spaces() -> None:
    assert words("Don't stop, 3 cats!") == ["don't", "stop", ",", "3", "cats", "!"]
    assert words("床前moon月") == ["床", "前", "moon", "月"]
    assert words("ราตรี") == list("ราตรี")
    assert words(" \n") == []


def test_distinct_counts_over_all_texts() -> None:
    assert distinct(["a b a b", "a c"], 1) == 3 / 6
    assert distinct(["a b a b", "a c"], 2) == 3 / 4
    assert distinct(["a b a b", "a c"], 3) == 1
    assert math.isnan(distinct(["a b"], 3))


def test_self_bleu_is_one_for_equal_texts_and_zero_without_a_common_word() -> None:
    assert self_bleu(["a b c d e"] * 3) == pytest.approx(1)
    assert self_bleu(["a b c", "d e f"]) == 0
    assert math.isnan(self_bleu(["a b c"]))
    assert math.isnan(self_bleu(["a b c", "  "]))


def test_self_bleu_by_hand() -> None:
    # "a b c" against "a b d e": words 2 of 3, pairs (1 + 1) of (2 + 1), triples (0 + 1) of (1 + 1), fours 1 of 1; brevity 1 - 4/3.
    first = math.exp((math.log(2 / 3) + math.log(2 / 3) + math.log(1 / 2) + math.log(1)) / 4 + 1 - 4 / 3)
    # The other way round: words 2 of 4, pairs 2 of 4, triples 1 of 3, fours 1 of 2; longer, so no brevity penalty.
    second = math.exp((math.log(2 / 4) + math.log(2 / 4) + math.log(1 / 3) + math.log(1 / 2)) / 4)
    assert self_bleu(["a b c", "a b d e"]) == pytest.approx((first + second) / 2)


def test_self_bleu_clips_by_the_most_in_any_other_text() -> None:
    # "a a a" finds two "a" at most in another text; taking its own count as well would give 3 of 3.
    first = math.exp((math.log(2 / 3) + math.log(2 / 3) + math.log(1 / 2) + math.log(1)) / 4)
    others = self_bleu(["a a a", "a a b", "a b b"])
    alone = texts._two_largest([texts.Counter([("a",)] * 3), texts.Counter([("a",)] * 2)])
    assert alone == {("a",): (3, 2, 0)}
    assert 0 < first < 1
    assert 0 < others < 1


def slow_longest(corpus: str, pieces: list[str]) -> int:
    best = 0
    for piece in pieces:
        for start in range(len(piece)):
            while start + best + 1 <= len(piece) and piece[start : start + best + 1] in corpus:
                best += 1
    return best


@pytest.mark.parametrize("block", [1, 7, 2**17])
def test_copies_agree_with_a_slow_search(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "_BLOCK", block)
    rng = random.Random(block)
    for _ in range(40):
        corpus = "".join(rng.choice("ab床") for _ in range(rng.randrange(60)))
        pieces = ["".join(rng.choice("ab床c") for _ in range(rng.randrange(30))) for _ in range(3)]
        copies = Copies(corpus)
        span = copies.longest(pieces)
        assert len(span) == slow_longest(corpus, pieces)
        assert corpus[span.place : span.place + len(span)] == span.characters
        assert pieces[span.text][span.start : span.start + len(span)] == span.characters
        n = rng.randrange(1, 6)
        grams = [piece[start : start + n] for piece in pieces for start in range(len(piece) - n + 1)]
        share = copies.share(pieces, n)
        if grams:
            assert share == pytest.approx(sum(gram in corpus for gram in grams) / len(grams))
        else:
            assert math.isnan(share)


def test_a_long_copy_is_found_among_much_text() -> None:
    rng = random.Random(1)
    corpus = "".join(rng.choice("abcdefgh ") for _ in range(300_000))
    written = "".join(rng.choice("abcdefgh ") for _ in range(3000))
    copied = written[:1000] + corpus[123_456:123_956] + written[1000:]
    copies = Copies(corpus)
    span = copies.longest([written, copied])
    assert (span.text, span.place) == (1, span.place)
    assert 500 <= len(span) <= 504
    assert 480 / len(copied) < copies.share([copied]) < 500 / len(copied)
    assert copies.share([written]) == 0
    assert copies.marked(span, 5).count("[[" + span.characters + "]]") == 1


def test_a_text_that_is_the_corpus_or_one_letter_repeated() -> None:
    assert len(Copies("ab" * 50).longest(["ab" * 50])) == 100
    assert len(Copies("a" * 3000).longest(["a" * 200])) == 200
    assert Copies("a" * 3000).share(["a" * 200]) == 1
    assert len(Copies("").longest(["abc"])) == 0
    assert len(Copies("abc").longest([])) == 0
    assert len(Copies("abc").longest(["xyz"])) == 0


def test_equal_pieces_have_equal_hashes_and_others_do_not() -> None:
    text = codes("the cat and the cat")
    found = hashes(text, 7)
    assert len(found) == len(text) - 6
    assert found[0] == found[12]
    assert len(np.unique(found)) == len(found) - 1
    assert len(hashes(text, 20)) == len(hashes(text, 0)) == 0


def test_half_characters_are_counted_as_broken_ones() -> None:
    assert codes("a\ud800").tolist() == [97, ord("?")]
