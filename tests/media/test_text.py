"""Text files and text artworks: encodings, normal forms, sidecars, what opens as a text and how two texts compare."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from sample_pictures import picture

from artgen.artwork import Image, Text, open_artwork, read_recipe, read_text
from artgen.describe import show
from artgen.errors import OutputError, SourceError, UsageError
from artgen.media import text
from artgen.media.text import Encoding, detect, likeness, normalised, pieces, sidecar
from artgen.recipe import GENERATED, Recipe
from artgen.remake import _compare

FRENCH = "Les élèves étaient déjà arrivés à la forêt; où êtes-vous, garçon? " * 30
POLISH = "Zażółć gęślą jaźń. Wczoraj poszedłem do sklepu, żeby kupić chleb i mleko dla całej rodziny. " * 20
RUSSIAN = "Однажды вечером старый человек вышел из дома и пошёл к морю. " * 30
CHINESE = "床前明月光，疑是地上霜。举头望明月，低头思故乡。\n" * 30
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。\n" * 30
RECIPE = Recipe(artgen="1", verb="generate", backend="text.transformer", seeds=(3,), model={"name": "poet"}, options={"length": 9})


def found(data: bytes, declared: str = "auto") -> Encoding:
    return detect(lambda: io.BytesIO(data), "f.txt", declared)


# --- encodings


@pytest.mark.parametrize(
    ("characters", "encoding", "name"),
    [
        ("plain words", "ascii", "utf-8"),
        (CHINESE, "utf-8", "utf-8"),
        (FRENCH, "utf-8-sig", "utf-8-sig"),
        (CHINESE, "utf-16", "utf-16"),
        (RUSSIAN, "utf-32", "utf-32"),
        (RUSSIAN, "utf-16-le", "utf-16-le"),
        ("Hello there.\n" * 20, "utf-16-be", "utf-16-be"),
        (CHINESE, "utf-16-be", "utf-16-be"),
        (FRENCH, "cp1252", "cp1252"),
        (POLISH, "cp1250", "cp1250"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8_r", "koi8_r"),
        (CHINESE, "gb18030", "gb18030"),
        (JAPANESE, "euc_jp", "euc_jp"),
    ],
)
def test_the_encoding_is_found(characters: str, encoding: str, name: str) -> None:
    data = characters.encode(encoding)
    how = found(data)
    assert how.name == name
    assert "".join(pieces(io.BytesIO(data), how, "none")) == characters
    guessed = encoding in ("cp1252", "cp1250", "cp1251", "koi8_r", "gb18030", "euc_jp")
    assert ("which is a guess: --encoding says another" in how.remark) == guessed


def test_a_declared_encoding_is_taken_and_checked() -> None:
    assert found(FRENCH.encode("cp1250", "ignore"), "cp1250") == Encoding("cp1250")
    with pytest.raises(SourceError, match=r"f\.txt: not in the encoding utf-8 \(invalid start byte\); choose another --encoding"):
        found(b"caf\xff\xff", "utf-8")


def test_a_few_broken_places_do_not_make_a_text_another_encoding() -> None:
    how = found(FRENCH.encode() + b"\xff" + FRENCH.encode())
    assert (how.name, how.errors, how.remark) == ("utf-8", "replace", "f.txt: 1 place is not UTF-8 and became U+FFFD")


def test_a_byte_order_mark_that_lies_gets_a_sentence() -> None:
    with pytest.raises(SourceError, match="not in the encoding utf-16"):
        found(b"\xff\xfeabc")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "empty; give a file with text"),
        (b"%PDF-1.4 words", r"a binary file \(PDF\), no text"),
        (b"{\\rtf1 words}", r"a binary file \(RTF document\)"),
        (b"\x89PNG\r\n\x1a\n\0\0", r"a binary file \(PNG picture\)"),
        (bytes(range(256)) * 40, r"a binary file \(40 zero bytes at its start\)"),
        (b"a\x01\x02\x03\x04" * 100, r"a binary file \(400 control characters\)"),
        (b"\x80\x81\x02\x03\x04\x05\x06" * 100, r"a binary file \(not UTF-8, \d+ control characters\)"),
    ],
)
def test_what_is_no_text_gets_a_sentence(data: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=f"f.txt: {told}"):
        found(data)


def test_words_that_begin_like_a_signature_are_words() -> None:
    assert found(b"RIFFRAFF lived here").name == "utf-8"
    assert found(b"ID3 tags tell of songs").name == "utf-8"


# --- normal forms


@pytest.mark.parametrize("normal", ["NFC", "NFKC"])
def test_pieces_together_are_normalised_as_the_whole(normal: text.Normal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_PIECE", 7)
    whole = (
        "e\u0301a\u0308\u0323 \r\nx\r\r\ny\r"
        + "\u1112\u1161\u11ab" * 9
        + "ｶﾞ"
        + "ক\u09c7\u09be" * 5
        + "ﬁn 床"
        + "a\u0301" * 20
        + "\r"
    )
    expected = unicodedata.normalize(normal, whole.replace("\r\n", "\n").replace("\r", "\n"))
    for stop in range(len(whole) - 12, len(whole) + 1):
        part = whole[:stop]
        expected = unicodedata.normalize(normal, part.replace("\r\n", "\n").replace("\r", "\n"))
        assert "".join(pieces(io.BytesIO(part.encode()), Encoding("utf-8"), normal)) == expected


def test_none_leaves_a_text_as_it_is_and_lowercase_makes_letters_small() -> None:
    assert normalised("A\r\ne\u0301", "none") == "A\r\ne\u0301"
    assert normalised("A\r\nE\u0301", "none", lowercase=True) == "a\r\ne\u0301"
    assert normalised("A\r\nE\u0301", "NFC", lowercase=True) == "a\né"


# --- works


def test_a_text_is_saved_and_opened_with_its_recipe(tmp_path: Path) -> None:
    work = Text("床前\r\nmoon\r", (5, 6), (-1.0, -2.0), recipe=RECIPE, seeds=(3,))
    path = work.save(tmp_path / "poem.txt")
    assert path.read_bytes() == "床前\nmoon\n".encode()
    assert sidecar(path) == tmp_path / "poem.txt.json"
    again = open_artwork(path)
    assert isinstance(again, Text)
    assert (again.characters, again.recipe, again.name, again.tokens) == ("床前\nmoon\n", RECIPE, "poem.txt", ())
    assert np.array_equal(again.numpy(), np.frombuffer(path.read_bytes(), np.uint8))


@pytest.mark.parametrize("detail", ["minimal", "none"])
def test_the_mark_stays(tmp_path: Path, detail: str) -> None:
    path = Text("a", recipe=RECIPE).save(tmp_path / "a.md", recipe=detail)  # type: ignore[arg-type]
    assert GENERATED in (read_text(path) or "")
    assert read_recipe(path) is None
    assert show(path)["mark"] == GENERATED


def test_neither_text_nor_sidecar_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.txt.json").write_text("mine")
    (tmp_path / "a-2.txt").write_text("mine too")
    path = Text("new", recipe=RECIPE).save(tmp_path / "a.txt")
    assert path.name == "a-3.txt"
    assert (tmp_path / "a.txt.json").read_text() == "mine"
    assert (tmp_path / "a-2.txt").read_text() == "mine too"


def test_a_text_without_recipe_has_no_sidecar_and_overwriting_takes_the_old_one_away(tmp_path: Path) -> None:
    path = Text("one", recipe=RECIPE).save(tmp_path / "a.txt")
    assert Text("two").save(path, overwrite=True) == path
    assert not sidecar(path).exists()
    assert path.read_text() == "two"


def test_other_endings_half_characters_and_bad_places_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"text is saved as \.txt, \.md, not \.png"):
        Text("a").save(tmp_path / "a.png")
    with pytest.raises(SourceError, match=r"half of a character .lone surrogate at character 2"):
        Text("a\ud800").save(tmp_path / "a.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        Text("a", recipe=RECIPE).save(tmp_path / "file" / "a.txt")


def test_what_opens_as_a_text(tmp_path: Path) -> None:
    for name, data in [
        ("a.txt", b"words"),
        ("b.md", "é".encode("cp1252") * 3 + b" words"),
        ("README", b"The free man"),
        ("e.txt", b""),
    ]:
        (tmp_path / name).write_bytes(data)
        assert isinstance(open_artwork(tmp_path / name), Text)
    Image(picture(1)).save(tmp_path / "p.png")
    (tmp_path / "picture.txt").write_bytes((tmp_path / "p.png").read_bytes())
    assert isinstance(open_artwork(tmp_path / "picture.txt"), Image)
    for name, data in [("words.png", b"words"), ("bin.txt", bytes(range(256)) * 9)]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError):
            open_artwork(tmp_path / name)


def test_too_large_a_text_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "LIMIT", 10)
    (tmp_path / "a.txt").write_text("eleven char")
    with pytest.raises(SourceError, match="too large for one work"):
        open_artwork(tmp_path / "a.txt")


def test_show_tells_characters_lines_and_words(tmp_path: Path) -> None:
    path = Text("one two\nthree", recipe=RECIPE).save(tmp_path / "a.txt")
    told = show(path)
    assert {name: told[name] for name in ("kind", "characters", "lines", "words", "bytes", "mark")} == {
        "kind": "text", "characters": 13, "lines": 2, "words": 3, "bytes": 13, "mark": GENERATED,
    }  # fmt: skip
    assert told["recipe"]["seeds"] == [3]


def test_a_notebook_shows_the_characters_themselves() -> None:
    assert str(Text("a<b>")) == "a<b>"
    assert "a&lt;b&gt;" in Text("a<b>")._repr_html_()


# --- likeness and replay


def test_likeness_is_the_share_that_is_the_same_in_order() -> None:
    assert likeness("", "") == 1
    assert likeness("abc", "abc") == 1
    assert likeness("abcd", "abxd") == 0.75
    assert likeness("abc", "xyz") == 0
    long = "the cat sat on the mat " * 400
    assert 0.99 < likeness(long, long.replace("mat", "rug", 1)) < 1


@pytest.mark.parametrize(
    ("made", "state", "told"),
    [
        ("the cat sat on the mat\n", "identical", "identical, every byte"),
        ("the cat sat on the hat\n", "close", "close, 95.7% of the text is the same"),
        ("a dog ran home\n", "impossible", "made again, but far from it"),
    ],
)
def test_a_remake_is_compared_by_its_text(tmp_path: Path, made: str, state: str, told: str) -> None:
    path = Text("the cat sat on the mat\n", recipe=RECIPE).save(tmp_path / "a.txt")
    result = _compare(path, Text(made), RECIPE, "")
    assert result.state == state
    assert told in result.reason


def test_a_file_with_other_line_ends_is_identical_in_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    assert _compare(tmp_path / "a.txt", Text("one\ntwo\n"), RECIPE, "").reason.endswith(
        "the file around it was written differently"
    )
