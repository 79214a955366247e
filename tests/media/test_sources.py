"""Sources: what is found where, in which order, with which labels and captions; archives read in place and within limits."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from artgen.errors import SourceError
from artgen.media import archives
from artgen.media.archives import Reader, list_archive
from artgen.media.prepare_audio import SOUNDS
from artgen.media.prepare_text import TEXTS
from artgen.media.prepare_video import CLIPS
from artgen.media.sources import PICTURES, Found, Media, find
from artgen.media.trees import natural

TREE = {"cat/2.png": b"c2", "cat/10.png": b"c10", "dog/1.png": b"d1"}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def names(found: Found) -> list[str]:
    return [item.source.name for item in found.items]


def contents(found: Found) -> list[bytes]:
    with Reader() as reader:
        return [reader.read(item.source) for item in found.items]


# --- order, junk and kinds of sources


def test_a_folder_is_walked_in_natural_order_without_junk(tmp_path: Path) -> None:
    junk = {
        ".hidden/a.png": b"",
        ".DS_Store": b"",
        "Thumbs.db": b"",
        "__MACOSX/cat/2.png": b"",
        "cat/._2.png": b"",
        "desktop.ini": b"",
    }
    found = find([write(tmp_path / "pets", TREE | junk)], PICTURES)
    assert names(found) == ["pets/cat/2.png", "pets/cat/10.png", "pets/dog/1.png"]
    assert contents(found) == [b"c2", b"c10", b"d1"]
    assert found.origins == [{"name": "pets", "kind": "folder", "files": 3}]


def test_natural_order_knows_numbers_case_and_absurd_lengths() -> None:
    absurd = "9" * 5000 + ".png"
    assert sorted(["b10", "B9", "a/1", "b09x", absurd, "10/1", "2/1"], key=natural) == [
        "2/1",
        "10/1",
        absurd,
        "a/1",
        "B9",
        "b09x",
        "b10",
    ]


@pytest.mark.parametrize("ending", ["zip", "cbz", "tar", "tar.gz", "tgz", "tar.bz2", "tar.xz"])
def test_archives_hold_what_the_folder_holds(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"pets.{ending}"
    inside = {f"pets/{name}": data for name, data in TREE.items()} | {"__MACOSX/pets/cat/._2.png": b"junk"}
    if ending in ("zip", "cbz"):
        zipped(path, inside)
    else:
        tarred(path, inside, {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}[ending])
    found = find([path], PICTURES)
    assert contents(found) == [b"c2", b"c10", b"d1"]
    assert [item.source.read() for item in found.items] == contents(found)
    assert [item.label for item in found.items] == ["cat", "cat", "dog"]
    assert names(found)[0] == f"pets.{ending}/pets/cat/2.png"
    assert len(found.origins[0]["sha256"]) == 64
    assert found.origins[0]["bytes"] == path.stat().st_size


def test_an_unsorted_plain_archive_is_sorted_and_a_compressed_tar_keeps_its_order(tmp_path: Path) -> None:
    unsorted = {"b.png": b"b", "a.png": b"a"}
    assert contents(find([zipped(tmp_path / "x.zip", unsorted)], PICTURES)) == [b"a", b"b"]
    assert contents(find([tarred(tmp_path / "x.tar", unsorted)], PICTURES)) == [b"a", b"b"]
    assert contents(find([tarred(tmp_path / "x.tar.gz", unsorted, "w:gz")], PICTURES)) == [b"b", b"a"]


def test_patterns_find_files_and_their_class_folders(tmp_path: Path) -> None:
    pets = write(tmp_path / "pets", TREE | {"cat/3.jpg": b"c3", "notes.md": b""})
    found = find([str(pets / "**" / "*.png")], PICTURES)
    assert names(found) == ["pets/cat/2.png", "pets/cat/10.png", "pets/dog/1.png"]
    assert [item.label for item in found.items] == ["cat", "cat", "dog"]
    assert names(find([str(pets / "cat" / "*.jpg")], PICTURES)) == ["cat/3.jpg"]
    assert names(find([str(pets / "*")], PICTURES)) == ["pets/cat/2.png", "pets/cat/3.jpg", "pets/cat/10.png", "pets/dog/1.png"]
    assert len(find([str(pets / "**")], PICTURES).items) == 4


def test_a_pattern_may_match_archives(tmp_path: Path) -> None:
    zipped(tmp_path / "one.zip", {"a.png": b"a"})
    tarred(tmp_path / "two.tar", {"b.png": b"b"})
    assert contents(find([str(tmp_path / "*")], PICTURES)) == [b"a", b"b"]


def test_a_file_whose_name_looks_like_a_pattern_is_taken_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, {"a[1].png": b"brackets", "a1.png": b"other"})
    assert contents(find([tmp_path / "a[1].png"], PICTURES)) == [b"brackets"]


def test_single_files_keep_the_order_in_which_they_were_typed(tmp_path: Path) -> None:
    write(tmp_path, TREE | {"b.png": b"b", "a.png": b"a"})
    found = find([tmp_path / "b.png", tmp_path / "a.png", tmp_path / "cat", tmp_path / "dog" / "1.png"], PICTURES)
    assert contents(found) == [b"b", b"a", b"c2", b"c10", b"d1"]
    assert [(origin["kind"], origin["files"]) for origin in found.origins] == [("files", 2), ("folder", 2), ("files", 1)]


def test_links_are_followed_once_and_pipes_left_alone(tmp_path: Path) -> None:
    pets = write(tmp_path / "pets", {"a.png": b"a"})
    write(tmp_path / "far", {"b.png": b"b"})
    (pets / "far").symlink_to(tmp_path / "far")
    (pets / "loop").symlink_to(pets)
    (pets / "gone.png").symlink_to(tmp_path / "nothing")
    os.mkfifo(pets / "pipe.png")
    found = find([pets], PICTURES)
    assert names(found) == ["pets/a.png", "pets/far/b.png", "pets/gone.png"]
    with pytest.raises(SourceError, match=r"pets/gone\.png: cannot be read \(No such file"):
        found.items[2].source.read()


def test_the_output_folder_inside_a_source_is_left_out(tmp_path: Path) -> None:
    pets = write(tmp_path / "pets", {"a.png": b"a", "out/images.npy": b"x", "deep/b.png": b"b"})
    assert names(find([pets], PICTURES, exclude=pets / "out")) == ["pets/a.png", "pets/deep/b.png"]
    assert names(find([str(pets / "**" / "*.*")], PICTURES, exclude=pets / "out")) == ["pets/a.png", "pets/deep/b.png"]


def test_names_that_are_no_utf8_are_made_printable(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(path)).write_bytes(b"latin")
    found = find([tmp_path], PICTURES)
    assert names(found) == [f"{tmp_path.name}/caf\ufffd.png"]
    assert contents(found) == [b"latin"]


# --- asides, licences, skipped archives


def test_texts_and_licences_are_no_items_but_unknown_files_are_tried(tmp_path: Path) -> None:
    asides = {"README": b"", "notes.txt": b"", "LICENSE": b"\n CC0 1.0 \nmore", "CREDITS.md": b"by Ada", "a.json": b"{}"}
    found = find([write(tmp_path / "p", {"a.png": b"", "picture": b"", "b.xyz": b""} | asides)], PICTURES)
    assert names(found) == ["p/a.png", "p/b.xyz", "p/picture"]
    assert found.licences == {"p/LICENSE": "CC0 1.0", "p/CREDITS.md": "by Ada"}
    assert found.skipped == []


MIXED = {
    "a.png": b"", "a.txt": b"a caption", "b.png": b"", "metadata.jsonl": b"", "LICENSE": b"CC0", ".DS_Store": b"", "Thumbs.db": b"",
    "notes.txt": b"", "more/old.TXT": b"", "film.mov": b"", "README": b"", "more.zip": b"PK", "odd.xyz": b"",
}  # fmt: skip


def test_files_that_are_none_by_their_names_are_counted_and_told_of_in_one_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "p", MIXED)
    for source in (folder, zipped(tmp_path / "p.zip", MIXED), str(folder / "*.[mpx]*")):
        found = find([source], PICTURES)
        assert [name.partition("/")[2] for name in names(found)] == ["a.png", "b.png", "odd.xyz"]
        told = {".txt": 2, ".mov": 1, "README": 1} if isinstance(source, Path) else {".mov": 1}
        assert (found.notes["left_out"], len(found.skipped)) == (told, isinstance(source, Path))
        listed = ", ".join(f"{kind} {count}" for kind, count in told.items())
        many = "4 files are no pictures by their names" if len(told) > 1 else "1 file is no picture by its name"
        assert found.remarks == [f"{many} ({listed}): left out"]
    assert find([folder / "a.png", folder / "b.png"], PICTURES).notes == {"licences": {"p/LICENSE": "CC0"}}
    typed = find([folder / "film.mov"], PICTURES)  # content tells
    assert (names(typed), typed.remarks) == (["p/film.mov"], [])


@pytest.mark.parametrize(
    ("media", "items", "told"),
    [
        (SOUNDS, ["a.wav", "film.mov", "odd.xyz"], {".jpg": 1, ".srt": 1, ".txt": 1}),
        (CLIPS, ["a.jpg", "film.mov", "odd.xyz"], {".srt": 1, ".txt": 1, ".wav": 1}),
        (TEXTS, ["film.srt", "odd.xyz", "words.txt"], {".jpg": 1, ".mov": 1, ".wav": 1}),
    ],
)
def test_what_is_left_out_by_name_hangs_on_the_modality(
    tmp_path: Path, media: Media, items: list[str], told: dict[str, int]
) -> None:
    files = ("a.jpg", "a.wav", "film.mov", "film.srt", "odd.xyz", "words.txt")
    found = find([write(tmp_path / "p", dict.fromkeys(files, b""))], media)
    assert ([name.removeprefix("p/") for name in names(found)], found.notes["left_out"]) == (items, told)


def test_an_archive_inside_a_source_is_skipped_with_advice(tmp_path: Path) -> None:
    found = find([write(tmp_path / "p", {"a.png": b"", "more.zip": b"PK"})], PICTURES)
    assert [(skip.file, skip.reason) for skip in found.skipped] == [
        ("p/more.zip", "an archive inside another source; give it as a source of its own")
    ]


def test_a_modality_of_texts_takes_texts_as_items(tmp_path: Path) -> None:
    texts = Media("text", "texts", frozenset({".txt", ".md"}))
    found = find([write(tmp_path / "p", {"a.txt": b"words", "b.md": b"more", "c.json": b"{}"})], texts)
    assert contents(found) == [b"words", b"more"]
    assert [item.caption for item in found.items] == ["", ""]


# --- captions


def test_captions_come_from_metadata_then_from_texts_then_not_at_all(tmp_path: Path) -> None:
    rows = b'{"file_name": "a.png", "text": "from the table", "year": 1909}\n\n{"file_name": "x/b.png", "caption": "below"}\n'
    files = {
        "a.png": b"",
        "a.txt": b"not used",
        "x/b.png": b"",
        "c.png": b"",
        "c.txt": " schön \n".encode(),
        "d.png": b"",
        "d.txt": b"",
    }
    expected = {"a.png": "from the table", "c.png": "schön", "d.png": "", "x/b.png": "below"}
    folder = write(tmp_path / "p", files | {"metadata.jsonl": rows})
    for source in (folder, zipped(tmp_path / "p.zip", files | {"metadata.jsonl": rows}), str(folder / "**" / "*.png")):
        found = find([source], PICTURES)
        assert {item.source.name.partition("/")[2]: item.caption for item in found.items} == expected
    single = find([folder / "a.png", folder / "c.png"], PICTURES)
    assert [item.caption for item in single.items] == ["from the table", "schön"]


def test_metadata_may_be_csv_and_lie_in_a_sub_folder(tmp_path: Path) -> None:
    table = '\ufefffile_name,text\n1.png,"a cat, sitting"\ngone.png,x\n'.encode()
    found = find([write(tmp_path / "p", {"cat/1.png": b"", "cat/metadata.csv": table})], PICTURES)
    assert [item.caption for item in found.items] == ["a cat, sitting"]
    assert found.remarks == ["p: files named in the metadata but not there: 1"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("metadata.jsonl", b'{"file_name": "a.png"}\nnot json\n', r"p/metadata\.jsonl: line 2 is not a JSON object"),
        ("metadata.jsonl", b"[1]\n", r"p/metadata\.jsonl: line 1 is not a JSON object"),
        ("metadata.jsonl", b"\xff\xfe\x00", r"p/metadata\.jsonl: not UTF-8 text; save it as UTF-8"),
        ("metadata.csv", b'file_name,text\na.png,"' + b"x" * 200_000 + b'"\n', r"p/metadata\.csv: not a CSV table \(field larger"),
    ],
)
def test_broken_metadata_get_a_sentence(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        find([write(tmp_path / "p", {"a.png": b"", name: data})], PICTURES)


# --- labels


@pytest.mark.parametrize(
    ("files", "auto", "folders"),
    [
        (["cat/1.png", "dog/1.png"], ["cat", "dog"], ["cat", "dog"]),
        (["cat/black/1.png", "dog/1.png"], ["cat", "dog"], ["cat", "dog"]),
        (["all/cat/1.png", "all/dog/1.png"], ["cat", "dog"], ["cat", "dog"]),
        (["test/cat/1.png", "train/dog/1.png"], ["cat", "dog"], ["cat", "dog"]),
        (["cat/1.png", "cat/2.png"], ["", ""], ["cat", "cat"]),
        (["1.png", "2.png"], ["", ""], ["p", "p"]),
        (["1.png", "cat/1.png", "dog/1.png"], ["", "", ""], ["p", "cat", "dog"]),
    ],
)
def test_folders_are_classes(tmp_path: Path, files: list[str], auto: list[str], folders: list[str]) -> None:
    source = write(tmp_path / "p", dict.fromkeys(files, b""))
    for labels, expected in (("auto", auto), ("folders", folders), ("none", [""] * len(files))):
        found = find([source], PICTURES, labels=labels)  # type: ignore[arg-type]
        assert [item.label for item in found.items] == expected, labels
    archive = zipped(tmp_path / "p.zip", {f"p/{name}": b"" for name in files})
    assert [item.label for item in find([archive], PICTURES, labels="folders").items] == folders


def test_files_outside_class_folders_are_remarked_on(tmp_path: Path) -> None:
    found = find([write(tmp_path / "p", {"1.png": b"", **TREE})], PICTURES)
    assert found.remarks == ["some files lie in no class folder, so there are no classes; --labels folders makes classes anyway"]


def test_several_sources_are_classes_only_when_insisted_on(tmp_path: Path) -> None:
    sources = [write(tmp_path / "cat", {"1.png": b""}), zipped(tmp_path / "dog.tar.zip", {"1.png": b""})]
    assert [item.label for item in find(sources, PICTURES).items] == ["", ""]
    assert [item.label for item in find(sources, PICTURES, labels="folders").items] == ["cat", "dog"]


def test_the_column_label_gives_classes_where_folders_do_not(tmp_path: Path) -> None:
    rows = b'{"file_name": "1.png", "label": "cat"}\n{"file_name": "2.png", "label": 7}\n'
    found = find([write(tmp_path / "p", {"1.png": b"", "2.png": b"", "metadata.jsonl": rows})], PICTURES)
    assert [item.label for item in found.items] == ["cat", "7"]
    folders = find([write(tmp_path / "q", TREE | {"metadata.jsonl": b'{"file_name": "cat/2.png", "label": "x"}'})], PICTURES)
    assert [item.label for item in folders.items] == ["cat", "cat", "dog"]


# --- sentences about sources


def test_what_is_missing_or_empty_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    texts = write(tmp_path / "texts", {"a.txt": b"", "b.txt": b"", "README": b"", "c.md": b""})
    zipped(tmp_path / "empty.zip", {})
    cases: list[tuple[list[str | Path], str]] = [
        ([], r"no source was given; name a folder"),
        ([tmp_path / "nothing"], r"nothing: no such file or folder; check the spelling"),
        ([tmp_path / "text"], r"text: no such file or folder; did you mean .*texts\?$"),
        ([str(tmp_path / "*.gif")], r"\*\.gif: no file matches this pattern; check it, and put it in quotes"),
        ([tmp_path / "empty"], r"empty: empty; give a folder, an archive or files with pictures"),
        ([tmp_path / "empty.zip"], r"empty\.zip: empty; give a folder"),
        ([texts], r"texts: no picture in it, only other files \(2 \.txt, 1 \.md, 1 README\); give one with pictures"),
        ([texts / "a.txt"], r"no picture in it, only other files"),
    ]
    for sources, message in cases:
        with pytest.raises(SourceError, match=message):
            find(sources, PICTURES)


def test_a_folder_that_may_not_be_read_gets_a_sentence(tmp_path: Path) -> None:
    locked = write(tmp_path / "p", {"a.png": b"", "locked/b.png": b""}) / "locked"
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(SourceError, match=r"locked: the folder cannot be read \(Permission denied\)"):
        find([tmp_path / "p"], PICTURES)


# --- archives that are damaged, locked or hostile


def test_damaged_archives_get_a_sentence(tmp_path: Path) -> None:
    whole = tarred(tmp_path / "whole.tar.gz", {"a.png": os.urandom(50_000)}, "w:gz").read_bytes()
    cases = {
        "broken.zip": (b"PK\x03\x04" + b"x" * 100, "File is not a zip file"),
        "broken.tar": (b"no tar at all" * 100, "truncated header|invalid header"),
        "short.tar.gz": (whole[:-2000], "ended before the end-of-stream"),
        "noise.tar.xz": (b"\xfd7zXZ\x00" + b"noise" * 50, "Corrupt|Unsupported|not supported"),
        "nothing.tar": (b"", "empty file"),
    }
    for name, (data, reason) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SourceError, match=rf"{name}: the archive cannot be read \(.*({reason}).*\); download or pack it again"):
            find([tmp_path / name], PICTURES)


@pytest.mark.parametrize("name", ["p.rar", "p.7z", "p.tar.zst"])
def test_foreign_archives_get_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(SourceError, match=r"archives of this kind are not read; unpack it, or pack it again as \.zip or \.tar\.gz"):
        find([tmp_path / name], PICTURES)


def encrypted(path: Path, name: str, data: bytes) -> Path:
    """A zip whose one member says that it is encrypted; zipfile cannot write real ones."""
    raw = bytearray(zipped(path, {name: data}).read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + flags] |= 1
    path.write_bytes(raw)
    return path


def test_encrypted_and_damaged_members_get_a_sentence(tmp_path: Path) -> None:
    locked = find([encrypted(tmp_path / "locked.zip", "a.png", b"data")], PICTURES)
    with pytest.raises(SourceError, match=r"locked\.zip/a\.png: encrypted; unpack the archive with its password first"):
        contents(locked)
    path = zipped(tmp_path / "bad.zip", {"a.png": b"the very data"})
    path.write_bytes(path.read_bytes().replace(b"the very data", b"other content"))
    with pytest.raises(SourceError, match=r"bad\.zip/a\.png: cannot be read \(Bad CRC-32"):
        contents(find([path], PICTURES))


def test_a_tar_cut_after_it_was_listed_gets_a_sentence(tmp_path: Path) -> None:
    path = tarred(tmp_path / "p.tar", {"a.png": b"x" * 5000})
    found = find([path], PICTURES)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"p\.tar/a\.png: cut short: 1488 of 5000 bytes"):
        contents(found)


def test_bombs_are_refused_by_their_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "TOTAL_LIMIT", 100_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(10**6))
    tarred(tmp_path / "bomb.tar.gz", {"a.png": bytes(10**6), "b.png": b""}, "w:gz")
    for name in ("bomb.zip", "bomb.tar.gz"):
        with pytest.raises(SourceError, match=rf"{name}: unpacks to more than 1 MB from 0\.0 MB, which no honest archive"):
            list_archive(tmp_path / name)
    # The same bytes are fine where the archive is as large as what it holds.
    assert len(list_archive(tarred(tmp_path / "honest.tar", {"a.png": bytes(10**6)}))) == 1


def test_a_member_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FILE_LIMIT", 2**20)
    found = find([zipped(tmp_path / "p.zip", {"a.png": bytes(3 * 2**20)})], PICTURES)
    with pytest.raises(SourceError, match=r"p\.zip/a\.png: too large: 3 MB, at most 1 are read"):
        contents(found)


def test_links_and_paths_in_a_tar_lead_nowhere(tmp_path: Path) -> None:
    secret = write(tmp_path, {"secret.png": b"secret"}) / "secret.png"
    path = tmp_path / "p.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
        out = tarfile.TarInfo("../out.png")
        out.size = 3
        archive.addfile(out, io.BytesIO(b"out"))
    assert contents(find([path], PICTURES)) == [b"out"]
    assert not (tmp_path.parent / "out.png").exists()


def test_a_reader_keeps_few_archives_open(tmp_path: Path) -> None:
    shards = [zipped(tmp_path / f"{number}.zip", {"a.png": bytes([number])}) for number in range(6)]
    found = find(shards, PICTURES)
    with Reader(keep=2) as reader:
        assert [reader.read(item.source)[0] for item in found.items * 2] == [*range(6), *range(6)]
        assert len(reader._open) == 2
    assert not reader._open
