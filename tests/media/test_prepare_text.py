"""Preparing texts: what comes out, where it is cut, what is left out and why, and what a stop costs (the time alone)."""

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

from artgen.backend import Silent
from artgen.dataset import Dataset
from artgen.errors import ArtgenError, DatasetError, Interrupted, OptionError, OutputError, SourceError
from artgen.media import corpus, prepare_text
from artgen.media.corpus import Corpus, TokenFile
from artgen.media.documents import BLANK_LINE, LINE, split
from artgen.media.prepare_text import Prepare, advice, prepare, tokenizer_of
from artgen.media.tokenizer import END

WORDS = "the quick brown fox jumps over the lazy dog and runs away from the bear. "
LONG = WORDS * 20
LIMIT = csv.field_size_limit()


class Listen(Silent):
    def __init__(self, stop_at: str = "") -> None:
        self.sentences: list[str] = []
        self.started: list[str] = []
        self.stop_at = stop_at

    def start(self, description: str, total: float | None = None, unit: str = "") -> None:
        self.started.append(description)
        if description == self.stop_at:
            raise KeyboardInterrupt

    def say(self, sentence: str) -> None:
        self.sentences.append(sentence)


def made(folder: Path, content: str | bytes, name: str = "a.txt", **options: Any) -> tuple[Dataset, Listen]:
    """The dataset of one file with this content."""
    folder.mkdir(exist_ok=True)
    source = folder / name
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    progress = Listen()
    return prepare([source], folder / "out", Prepare(**options), progress), progress


def texts(dataset: Dataset, name: str) -> list[str]:
    """The documents in one array."""
    ids = dataset.array(name)
    tokenizer = tokenizer_of(dataset)
    return [tokenizer.decode(part) for part in np.split(ids, np.flatnonzero(ids == END) + 1)]


# --- the dataset


def test_a_single_file_is_cut_exactly_at_nine_tenths_and_has_no_end(tmp_path: Path) -> None:
    text = LONG[:1237]
    dataset, progress = made(tmp_path, text)
    cut = int(len(text) * 0.9)
    assert texts(dataset, "train") == [text[:cut]]
    assert texts(dataset, "held_out") == [text[cut:]]
    assert dataset.array("train").dtype == np.uint16
    assert (len(dataset), dataset.kind, dataset.manifest.skipped) == (cut, "text", [])
    assert dataset.manifest.shapes == {"train": [cut], "held_out": [len(text) - cut]}
    assert sorted(path.name for path in dataset.folder.iterdir()) == ["dataset.json", "held_out.npy", "tokenizer.json", "train.npy"]
    notes = dataset.manifest.notes
    expected = {
        "tokenizer": "char", "vocabulary": 20 + len(set(text)), "characters": 1237, "bytes": 1237, "documents": 1,
        "held_out_characters": 1237 - cut, "encodings": {"utf-8": 1}, "duplicates": 0, "too_short": 0,
    }  # fmt: skip
    assert {name: notes[name] for name in expected} == expected
    assert progress.started == ["Reading texts", "Writing tokens"]
    assert progress.sentences[0] == "1,237 characters in 1 document; 124 held out (10.0 %)"
    assert progress.sentences[-1] == f"to train: {advice(cut)}"


def test_documents_end_with_the_end_id_and_are_not_cut(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text(f"Document {number}: {WORDS}")
    dataset = prepare([tmp_path], tmp_path / "out", Prepare())
    assert texts(dataset, "train") == [*(f"Document {number}: {WORDS}" for number in range(18)), ""]
    assert texts(dataset, "held_out") == [f"Document {number}: {WORDS}" for number in (18, 19)] + [""]


def test_a_long_last_document_is_cut_inside(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("short " + WORDS)
    (tmp_path / "2.txt").write_text(LONG)
    progress = Listen()
    dataset = prepare([tmp_path], tmp_path / "out", Prepare(held_out=0.2), progress)
    total = len("short " + WORDS) + len(LONG)
    assert texts(dataset, "train")[0] == "short " + WORDS
    assert len("".join(texts(dataset, "train"))) == int(total * 0.8)
    assert "".join(texts(dataset, "train")[1:] + texts(dataset, "held_out")) == LONG
    assert (dataset.array("train") == END).sum() == 1
    assert any("begins inside a document" in sentence for sentence in progress.sentences)


def test_the_same_sources_give_the_same_bytes_and_are_not_prepared_twice(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(LONG)
    first, second = (prepare([tmp_path / "a.txt"], tmp_path / name, Prepare(tokenizer="bpe")) for name in ("one", "two"))
    for name in ("train.npy", "held_out.npy", "tokenizer.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
    assert first.fingerprint == second.fingerprint
    progress = Listen()
    prepare([tmp_path / "a.txt"], tmp_path / "one", Prepare(tokenizer="bpe"), progress)
    assert progress.sentences == [f"{tmp_path / 'one'}: this dataset is there already, with {len(first):,} tokens"]
    assert progress.started == []
    with pytest.raises(OutputError, match="holds a dataset of other sources or options; choose another --output"):
        prepare([tmp_path / "a.txt"], tmp_path / "one", Prepare())


def test_small_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "\n\n".join(f"{number} {WORDS}床 é😀" for number in range(30))
    options: dict[str, Any] = {"split": BLANK_LINE}
    whole, _ = made(tmp_path / "a", content, **options)
    monkeypatch.setattr(corpus, "BATCH", 50)
    monkeypatch.setattr(corpus, "_PIECE", 64)
    monkeypatch.setattr("artgen.media.text._PIECE", 31)
    pieces, _ = made(tmp_path / "b", content, **options)
    assert pieces.fingerprint == whole.fingerprint
    assert texts(pieces, "train")[0] == f"0 {WORDS}床 é😀"


# --- tokenizers


def test_bpe_is_learned_from_the_training_part_alone(tmp_path: Path) -> None:
    dataset, _ = made(tmp_path, WORDS * 50 + "zzyzx " * 60, tokenizer="bpe", vocabulary=300)
    tokenizer = tokenizer_of(dataset)
    assert tokenizer.kind == "bpe"
    assert tokenizer.size <= 300
    assert len(tokenizer.encode(" the")) == 1
    assert len(tokenizer.encode("zzyzx")) == 5
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == WORDS * 50 + "zzyzx " * 60


def test_characters_of_the_whole_text_have_an_id(tmp_path: Path) -> None:
    dataset, _ = made(tmp_path, LONG + "Ω")
    assert len(tokenizer_of(dataset).encode("Ω")) == 1


def test_auto_takes_bpe_for_much_text_and_vocabulary_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, _ = made(tmp_path / "a", LONG, vocabulary=25)
    assert (tokenizer_of(dataset).kind, tokenizer_of(dataset).size) == ("char", 25)
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == LONG
    monkeypatch.setattr(prepare_text, "_CHAR_UP_TO", 1000)
    dataset, _ = made(tmp_path / "b", LONG)
    assert tokenizer_of(dataset).kind == "bpe"


def test_many_ids_need_wider_numbers(tmp_path: Path) -> None:
    content = "".join(chr(0x10000 + number) for number in range(65_600)) * 2
    dataset, _ = made(tmp_path, content, vocabulary=70_000, normalize="none")
    assert dataset.array("train").dtype == np.uint32
    assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == content


@pytest.mark.parametrize("damage", [b"{", None])
def test_a_damaged_tokenizer_beside_the_dataset_gets_a_sentence(tmp_path: Path, damage: bytes | None) -> None:
    dataset, _ = made(tmp_path, LONG)
    path = dataset.folder / "tokenizer.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    with pytest.raises(DatasetError, match=r"tokenizer\.json: (missing|damaged.*); prepare the dataset again"):
        tokenizer_of(dataset)


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


def test_a_table_without_rows_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no row in it can be read"):
        made(tmp_path, "bad\nworse\n", "t.jsonl")


# --- bad input


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty; give a file with text"),
        (bytes(range(256)) * 30, "a binary file"),
        (b" \n\n\t ", "no text in it, only blanks; give a text"),
        (b"only a few words", "16 characters are too few to hold some out; give 100 at least"),
    ],
)
def test_unusable_sources_get_a_sentence_and_leave_nothing(tmp_path: Path, content: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        made(tmp_path, content)
    assert not (tmp_path / "out").exists()


def test_bad_files_among_good_ones_are_listed(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text(LONG)
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    dataset = prepare([tmp_path], tmp_path / "out", Prepare())
    reasons = {Path(skip.file).name: skip.reason for skip in dataset.manifest.skipped}
    assert reasons == {"empty.txt": "empty", "picture.png": "a binary file (PNG picture), no text"}


def test_nothing_usable_among_many_gets_a_sentence(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(SourceError, match=r"none of 2 files holds a usable text; the first: .*a.txt: empty"):
        prepare([tmp_path], tmp_path / "out", Prepare())


def test_one_character_repeated_works_with_a_remark(tmp_path: Path) -> None:
    for tokenizer in ("char", "bpe"):
        dataset, progress = made(tmp_path / tokenizer, "a" * 5000, tokenizer=tokenizer)
        assert "the text is one character repeated: a model of it can say nothing else" in progress.sentences
        assert "".join(texts(dataset, "train") + texts(dataset, "held_out")) == "a" * 5000


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"encoding": "klingon"}, "--encoding takes auto or the name of an encoding such as utf-8, cp1252 or gb18030, not klingon"),
        ({"encoding": "base64"}, "--encoding takes auto or the name of an encoding"),
        ({"encoding": ""}, "not nothing"),
        ({"split": ""}, "--split takes line, blank-line or the characters between documents, not nothing"),
        ({"held_out": 0.0}, "--held-out takes 0.001 to 0.5, not 0"),
        ({"vocabulary": 3}, "--vocabulary takes 21 to 1048576 tokens, not 3"),
        ({"tokenizer": "words"}, "--tokenizer takes auto, char or bpe, not words"),
        ({"min_length": 0}, "--min-length takes"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as caught:
        Prepare(**options)
    assert told in str(caught.value)


@pytest.mark.parametrize("stage", ["Reading texts", "Learning byte pairs", "Writing tokens"])
def test_a_stop_leaves_nothing_and_the_same_command_begins_anew(tmp_path: Path, stage: str) -> None:
    (tmp_path / "a.txt").write_text(LONG)
    out = tmp_path / "out"
    with pytest.raises(Interrupted, match="stopped; nothing was kept, and the same command begins anew"):
        prepare([tmp_path / "a.txt"], out, Prepare(tokenizer="bpe"), Listen(stage))
    assert not out.exists()
    assert len(prepare([tmp_path / "a.txt"], out, Prepare(tokenizer="bpe"))) > 0


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.npy").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"holds a file train\.npy already but no dataset"):
        made(tmp_path, LONG)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train.npy"]
    assert (tmp_path / "out" / "train.npy").read_bytes() == b"mine"


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


def test_advice_grows_with_the_text() -> None:
    assert "--preset sketch" in advice(10_000)
    assert "standard" in advice(10**6)
    assert "large with a GPU" in advice(10**8)


def test_every_error_is_one_of_artgens(tmp_path: Path) -> None:
    for data in (b"\xff\xfe", b"\x00" * 300, b"\xef\xbb\xbf", b"\x07" * 200):
        with pytest.raises(ArtgenError):
            made(tmp_path, data)
