"""From files to documents: sources, encodings, tables, the corpus."""

from __future__ import annotations

import csv
import hashlib
import io
import sys
import tarfile
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import Listen
from text_datasets import LONG, WORDS, made, texts

from artgen.errors import SourceError
from artgen.media import corpus
from artgen.media.corpus import Corpus, TokenFile
from artgen.media.documents import BLANK_LINE, LINE, split
from artgen.media.prepare_text import Prepare, prepare

LIMIT = csv.field_size_limit()


# --- sources


def test_folder_zip_tar_and_pattern_give_the_same_tokens(tmp_path: Path) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.txt").write_text(f"{number} {LONG}")
    (folder / "metadata.jsonl").write_text('{"file_name": "0.txt", "text": "a title"}\n')
    (folder / "LICENSE.txt").write_text("You may.")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive, tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"books/{path.name}")
            tar.add(path, f"books/{path.name}")
    sources = [folder, tmp_path / "b.zip", tmp_path / "b.tar.gz", str(folder / "*.txt")]
    datasets = [prepare([source], tmp_path / f"out{number}", Prepare()) for number, source in enumerate(sources)]
    assert {dataset.fingerprint for dataset in datasets} == {datasets[0].fingerprint}
    assert datasets[0].manifest.notes["documents"] == 3
    assert [(skip.file, skip.reason) for skip in datasets[0].manifest.skipped] == [
        ("books/LICENSE.txt", "a licence, not a text to learn from")
    ]


def test_one_file_is_that_file_and_not_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LONG)
    (tmp_path / "b.txt").write_text("other " * 100)
    dataset = prepare([tmp_path / "a.txt"], tmp_path / "out", Prepare())
    assert dataset.manifest.notes["documents"] == 1
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == LONG


def test_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stream:
        buffer = io.BytesIO(LONG.encode())

    monkeypatch.setattr(sys, "stdin", Stream)
    dataset = prepare(["-"], tmp_path / "out", Prepare())
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == LONG
    origin = dataset.manifest.sources[0]
    assert (origin["name"], origin["bytes"]) == ("standard input", len(LONG))
    assert origin["sha256"] == hashlib.sha256(LONG.encode()).hexdigest()
    monkeypatch.setattr(Stream, "buffer", io.BytesIO(b""))
    with pytest.raises(SourceError, match="standard input: empty"):
        prepare(["-"], tmp_path / "none", Prepare())


def test_a_prepared_dataset_is_no_source(tmp_path: Path) -> None:
    dataset, _ = made(tmp_path, LONG)
    with pytest.raises(SourceError, match="a prepared dataset already; give it to artgen text train as it is"):
        prepare([dataset.folder], tmp_path / "other", Prepare())


# --- encodings and forms


def test_encodings_are_found_for_each_file_and_reported(tmp_path: Path) -> None:
    french = "Les élèves étaient déjà arrivés à la forêt; où êtes-vous? " * 20
    (tmp_path / "1.txt").write_bytes(LONG.encode("utf-16"))
    (tmp_path / "2.txt").write_bytes(french.encode("cp1252"))
    progress = Listen()
    dataset = prepare([tmp_path], tmp_path / "out", Prepare(), progress)
    assert dataset.manifest.notes["encodings"] == {"utf-16": 1, "cp1252": 1}
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == LONG + french
    assert any("2.txt: not UTF-8; read as cp1252" in sentence for sentence in progress.sentences)
    assert "encodings: utf-16 (1 file), cp1252 (1 file)" in progress.sentences


@pytest.mark.parametrize("normal", ["NFC", "NFKC", "none"])
def test_the_normal_form(tmp_path: Path, normal: Any) -> None:
    content = "e\u0301 ﬁ\r\n" * 50
    dataset, _ = made(tmp_path, content, normalize=normal)
    expected = content if normal == "none" else unicodedata.normalize(normal, content.replace("\r\n", "\n"))
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == expected


def test_lowercase_and_a_declared_encoding(tmp_path: Path) -> None:
    dataset, _ = made(tmp_path, ("ÄÖÜ " * 60).encode("cp1252"), encoding="cp1252", lowercase=True)
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == "äöü " * 60
    assert dataset.manifest.notes["encodings"] == {"cp1252": 1}


# --- documents


@pytest.mark.parametrize(
    ("separator", "text", "parts"),
    [
        (LINE, "a\nb\n\nc", ["a", "b", "", "c"]),
        (BLANK_LINE, "a\nb\n\nc\n \t\n\n\nd\n", ["a\nb", "c", "d\n"]),
        (BLANK_LINE, "a\r\nb\r\n\r\nc", ["a\r\nb", "c"]),
        ("==", "a==b=c===d", ["a", "b=c", "=d"]),
        ("aab", "xaaabyaabaa", ["xa", "y", "aa"]),
        ("%", "50%", ["50", ""]),
    ],
)
def test_parts_do_not_depend_on_pieces(separator: str, text: str, parts: list[str]) -> None:
    for size in range(1, len(text) + 1):
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert ["".join(part) for part in split(pieces, separator)] == parts


def test_split_makes_documents_and_duplicates_are_left_out(tmp_path: Path) -> None:
    content = "\n\n".join([*(f"poem {number}\nby me {WORDS}" for number in range(12)), f"poem 3\nby me {WORDS}", "  "])
    dataset, progress = made(tmp_path / "a", content, split="blank-line")
    assert dataset.manifest.notes["documents"] == 12
    assert dataset.manifest.notes["duplicates"] == 1
    assert "1 duplicate left out; --duplicates keep keeps them" in progress.sentences
    kept, _ = made(tmp_path / "b", content, split="blank-line", duplicates="keep")
    assert (kept.manifest.notes["documents"], kept.manifest.notes["duplicates"]) == (13, 0)


def test_split_takes_line_ends_as_they_are_typed_and_short_documents_can_be_left_out(tmp_path: Path) -> None:
    dataset, progress = made(tmp_path, f"{LONG}\n--\nab\n--\n{WORDS}", split="\\n--\\n", min_length=3, held_out=0.05)
    assert dataset.manifest.notes["documents"] == 2
    assert dataset.manifest.notes["too_short"] == 1
    assert "1 document shorter than --min-length left out" in progress.sentences


def test_rows_of_jsonl(tmp_path: Path) -> None:
    rows = [f'{{"text": "row {number} {WORDS}", "n": {number}}}' for number in range(10)]
    content = "\n".join([*rows[:5], "", "not json", '{"text": 5}', '{"n": 1}', *rows[5:], f'"bare {WORDS}"'])
    dataset, progress = made(tmp_path, content, "rows.jsonl")
    assert dataset.manifest.notes["documents"] == 11
    reasons = {skip.file.rpartition(": ")[2]: skip.reason for skip in dataset.manifest.skipped}
    assert list(reasons) == ["row 7", "row 8", "row 9"]
    assert reasons["row 7"].startswith("not a JSON object or text")
    assert reasons["row 8"] == "its column text holds int, not text"
    assert reasons["row 9"] == "its column text holds nothing, not text"
    assert any(sentence.startswith("3 skipped; the first: ") for sentence in progress.sentences)


def test_many_bad_rows_are_told_in_one_line(tmp_path: Path) -> None:
    content = "\n".join(["bad"] * 50 + [f'{{"text": "{number} {WORDS}"}}' for number in range(10)])
    dataset, _ = made(tmp_path, content, "rows.ndjson")
    assert len(dataset.manifest.skipped) == 21
    assert dataset.manifest.skipped[-1].reason == "30 more rows for such reasons"


@pytest.mark.parametrize(("name", "comma"), [("t.csv", ","), ("t.tsv", "\t")])
def test_rows_of_tables(tmp_path: Path, name: str, comma: str) -> None:
    content = f"id{comma}poem\n" + "".join(f'{number}{comma}"line {number},\n{WORDS}"\n' for number in range(10))
    dataset, _ = made(tmp_path / "a", content, name, column="poem")
    assert texts(dataset, "train")[0] == f"line 0,\n{WORDS}"
    assert dataset.manifest.notes["documents"] == 10
    with pytest.raises(SourceError, match=f"{name}: no column 'words'; --column takes one of: id, poem"):
        made(tmp_path / "b", content, name, column="words")
    with pytest.raises(SourceError, match=f"{name}: which column holds the text. --column takes one of: id, poem"):
        made(tmp_path / "c", content, name)
    assert csv.field_size_limit() == LIMIT
    long = f'text\n"{"x y " * 50_000}"\n'
    assert made(tmp_path / "d", long, name)[0].manifest.notes["characters"] == 200_000
    assert csv.field_size_limit() == LIMIT  # of the process, so it is put back


def test_a_table_among_other_texts_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "page.txt").write_text(f"{WORDS} " * 40)
    (folder / "names.csv").write_text(f"id,name\n1,{WORDS}\n")
    (folder / "chat.jsonl").write_text(f'{{"text": "{WORDS}"}}\n')

    def skipped(place: str, **options: Any) -> dict[str, str]:
        dataset = prepare([folder], tmp_path / place, Prepare(**options))
        return {item.file.rpartition("/")[2]: item.reason for item in dataset.manifest.skipped}

    assert skipped("a") == {"names.csv": "which column holds the text? --column takes one of: id, name"}
    assert skipped("b", column="name") == {"chat.jsonl": "no column 'name'"}
    with pytest.raises(SourceError, match=r"chat\.jsonl: no column .nome.; --column takes one of: text"):
        skipped("c", column="nome")  # no table has it: it was mistyped


def test_a_table_without_rows_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no row in it can be read"):
        made(tmp_path, "bad\nworse\n", "t.jsonl")


# --- the parts


def test_a_corpus_takes_back_the_documents_of_a_damaged_file(tmp_path: Path) -> None:
    with Corpus(tmp_path / "c", 0.5) as documents:
        for text in ("one", "two", "three"):
            documents.add(iter([text]))
        documents.drop(1)
        documents.add(iter(["t", "wo"]))
        assert list(documents.documents) == [3, 3]
        documents.cut()
        assert [(name, batch) for name, batch in documents.batches()] == [("train", [("one", True)]), ("held_out", [("two", True)])]


def test_much_text_is_thinned_for_the_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BATCH", 100)
    with Corpus(tmp_path / "c", 0.1) as documents:
        for number in range(40):
            documents.add(iter([f"{number:03} " + "x" * 96]))
        documents.cut()
        seen = list(documents.training_text(1200))
        assert [text[:3] for text in seen] == ["000", "003", "006", "009", "012", "015", "018", "021", "024", "027", "030", "033"]


def test_a_token_file_is_an_npy_file(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "t.npy", np.dtype(np.uint16))
    for start in range(0, 3000, 1000):
        file.add(np.arange(start, start + 1000))
    assert file.finish() == 3000
    assert np.array_equal(np.load(tmp_path / "t.npy"), np.arange(3000, dtype=np.uint16))
