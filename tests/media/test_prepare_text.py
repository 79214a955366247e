"""Preparing texts: what comes out, where it is cut, what is left out and why, and what a stop costs (the time alone)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import Listen, Stop
from text_datasets import LONG, WORDS, made, texts

from artgen.errors import ArtgenError, DatasetError, Interrupted, OptionError, OutputError, SourceError
from artgen.media import corpus, prepare_text
from artgen.media.documents import BLANK_LINE
from artgen.media.prepare_text import Prepare, advice, prepare, tokenizer_of
from artgen.media.tokenizer import END

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
    assert [description for description, _, _ in progress.started] == ["Reading texts", "Writing tokens"]
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
    for name in ("picture.png", "picture"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    dataset = prepare([tmp_path], tmp_path / "out", Prepare())
    reasons = {Path(skip.file).name: skip.reason for skip in dataset.manifest.skipped}
    assert reasons == {"empty.txt": "empty", "picture": "a binary file (PNG picture), no text"}
    assert dataset.manifest.notes["left_out"] == {".png": 1}


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
        prepare([tmp_path / "a.txt"], out, Prepare(tokenizer="bpe"), Stop(at=stage))
    assert not out.exists()
    assert len(prepare([tmp_path / "a.txt"], out, Prepare(tokenizer="bpe"))) > 0


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.npy").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"holds a file train\.npy already but no dataset"):
        made(tmp_path, LONG)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train.npy"]
    assert (tmp_path / "out" / "train.npy").read_bytes() == b"mine"


def test_advice_grows_with_the_text() -> None:
    assert "--preset sketch" in advice(10_000)
    assert "standard" in advice(10**6)
    assert "large with a GPU" in advice(10**8)


def test_every_error_is_one_of_artgens(tmp_path: Path) -> None:
    for data in (b"\xff\xfe", b"\x00" * 300, b"\xef\xbb\xbf", b"\x07" * 200):
        with pytest.raises(ArtgenError):
            made(tmp_path, data)
