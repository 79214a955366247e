"""Preparing pictures: what comes out, in which order, what is skipped and why, and what a stop or a full disk costs (nothing)."""

from __future__ import annotations

import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from listening import Listen, files
from PIL import Image
from sample_pictures import many, picture, save

from artgen.dataset import Skipped
from artgen.errors import OptionError, SourceError
from artgen.media import workers
from artgen.media.prepare_image import Prepare, fitted, prepare

SMALL = Prepare(resolution=8)


# --- the dataset


def test_a_folder_becomes_a_dataset(pictures: Path, tmp_path: Path) -> None:
    progress = Listen()
    dataset = prepare([pictures], tmp_path / "out", Prepare(resolution=32), progress)
    images, labels, names = dataset.array("images"), dataset.labels, dataset.names
    assert labels is not None
    assert names is not None
    assert (images.dtype, images.shape, len(dataset)) == (np.uint8, (24, 32, 32, 3), 24)
    assert dataset.classes == ["round", "soft"]
    assert labels.tolist() == [0] * 12 + [1] * 12
    assert names[0] == f"{pictures.name}/round/01.png"
    expected = Image.fromarray(picture(1)).resize((32, 32), Image.Resampling.LANCZOS, reducing_gap=3.0)
    assert np.array_equal(images[0], np.asarray(expected))
    manifest = dataset.manifest
    assert (manifest.kind, manifest.skipped, manifest.captions) == ("image", [], "")
    assert manifest.sources == [{"name": pictures.name, "kind": "folder", "files": 24}]
    assert manifest.options["resolution"] == 32
    assert manifest.options["min_size"] == 16
    assert manifest.notes["resized"] == {"reduced": 24}
    assert sorted(files(tmp_path / "out")) == ["dataset.json", "images.npy", "labels.npy", "names.jsonl"]
    assert progress.started == [("Preparing pictures", 24, "files")]
    assert progress.amount == 24
    assert progress.sentences == ["2 classes"]


def test_folder_zip_tar_and_pattern_give_the_same_dataset(pictures: Path, tmp_path: Path) -> None:
    paths = sorted(pictures.rglob("*.png"))
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in reversed(paths):
            archive.write(path, f"p/{path.relative_to(pictures)}")
    with tarfile.open(tmp_path / "p.tar.gz", "w:gz") as tar:
        for path in paths:
            tar.add(path, path.relative_to(pictures))
    sources = [pictures, tmp_path / "p.zip", tmp_path / "p.tar.gz", str(pictures / "**" / "*.png")]
    made = [prepare([source], tmp_path / str(number), SMALL) for number, source in enumerate(sources)]
    for dataset in made[1:]:
        assert np.array_equal(dataset.array("images"), made[0].array("images"))
        assert dataset.classes == made[0].classes
        assert dataset.fingerprint == made[0].fingerprint
    other = prepare([pictures], tmp_path / "other", Prepare(resolution=8, labels="none"))
    assert other.fingerprint != made[0].fingerprint


def test_captions_and_licences_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    for number in range(3):
        save(folder / f"{number}.png", picture(number))
    (folder / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "one \u2028 two"}\n', encoding="utf-8")
    (folder / "LICENSE").write_text("CC0\n")
    progress = Listen()
    dataset = prepare([folder], tmp_path / "out", SMALL, progress)
    assert dataset.captions == ["", "one \u2028 two", ""]
    assert dataset.manifest.notes["licences"] == {"p/LICENSE": "CC0"}
    assert dataset.labels is None
    assert progress.sentences == ["1 of 3 pictures have a caption"]


def test_labels_none_and_folders(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / "p" / "cat" / f"{number}.png", picture(number))
    assert prepare([tmp_path / "p"], tmp_path / "auto", SMALL).classes == []
    insisted = prepare([tmp_path / "p"], tmp_path / "folders", SMALL.replace(labels="folders"))
    assert insisted.classes == ["cat"]
    assert insisted.array("labels").tolist() == [0, 0]
    many(tmp_path / "q", 6)
    assert "labels" not in prepare([tmp_path / "q"], tmp_path / "none", SMALL.replace(labels="none")).manifest.arrays


def test_a_class_whose_files_are_all_skipped_is_none(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b", "c")):
        save(tmp_path / "p" / name / "1.png", picture(number, 40 if name != "b" else 2, 40))
    assert prepare([tmp_path / "p"], tmp_path / "out", SMALL).classes == ["a", "c"]


# --- what is skipped


def png_header(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in (head, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_every_file_that_is_not_usable_is_listed_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    save(folder / "1good.png", picture(1))
    save(folder / "2copy.bmp", picture(1))
    save(folder / "3tiny.png", np.zeros((1, 1, 3), np.uint8))
    save(folder / "4narrow.png", picture(2, 3, 40))
    jpeg = save(folder / "5cut.jpg", picture(3, 200, 200))
    jpeg.write_bytes(jpeg.read_bytes()[:1500])
    (folder / "6huge.png").write_bytes(png_header(50_000, 50_000))
    (folder / "7text.png").write_text("not a picture at all")
    (folder / "8empty.png").write_bytes(b"")
    dataset = prepare([folder], tmp_path / "out", SMALL)
    reasons = {skip.file.removeprefix("p/"): skip.reason for skip in dataset.manifest.skipped}
    assert (len(dataset), dataset.names) == (1, ["p/1good.png"])
    assert reasons.pop("5cut.jpg").startswith("the picture is damaged or incomplete (")
    assert reasons == {
        "2copy.bmp": "duplicate of p/1good.png",
        "3tiny.png": "too small: 1x1, needs 4 (--min-size)",
        "4narrow.png": "too small: 40x3, needs 4 (--min-size)",
        "6huge.png": "2,500,000,000 pixels, at most 100,000,000 are read (--max-pixels)",
        "7text.png": "not a picture of a known kind",
        "8empty.png": "the file is empty",
    }


def test_files_that_are_no_pictures_by_their_names_are_told_of_in_a_line_and_a_note(tmp_path: Path) -> None:
    save(tmp_path / "p" / "1.png", picture(1))
    for name in ("a.txt", "b.txt", "c.mp3"):
        (tmp_path / "p" / name).write_bytes(b"")
    heard = Listen()
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL, heard)
    assert "3 files are no pictures by their names (.txt 2, .mp3 1): left out" in heard.sentences
    assert (dataset.manifest.notes["left_out"], dataset.manifest.skipped) == ({".txt": 2, ".mp3": 1}, [])


def test_locked_and_nested_files_of_an_archive_are_listed(tmp_path: Path) -> None:
    good, locked = save(tmp_path / "a.png", picture(1)), save(tmp_path / "b.png", picture(2))
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(good, "a.png")
        archive.write(locked, "b.png")
        archive.writestr("more.zip", b"PK")
    raw = bytearray((tmp_path / "p.zip").read_bytes())
    for signature, name_at, flags in ((b"PK\x03\x04", 30, 6), (b"PK\x01\x02", 46, 8)):
        place = next(i for i in range(len(raw)) if raw[i : i + 4] == signature and raw[i + name_at : i + name_at + 5] == b"b.png")
        raw[place + flags] |= 1
    (tmp_path / "p.zip").write_bytes(raw)
    dataset = prepare([tmp_path / "p.zip"], tmp_path / "out", SMALL)
    assert dataset.names == ["p.zip/a.png"]
    assert dataset.manifest.skipped == [
        Skipped("p.zip/more.zip", "an archive inside another source; give it as a source of its own"),
        Skipped("p.zip/b.png", "encrypted"),
    ]


def test_min_size_is_for_the_shorter_edge_and_with_pad_for_the_longer(tmp_path: Path) -> None:
    save(tmp_path / "p" / "1.png", picture(1, 10, 40))
    save(tmp_path / "p" / "2.png", picture(2, 20, 20))
    for fit, least, count in (("crop", 20, 1), ("stretch", 20, 1), ("pad", 20, 2), ("crop", 10, 2), ("pad", 21, 1)):
        options = Prepare(resolution=8, fit=fit, min_size=least)  # type: ignore[arg-type]
        assert len(prepare([tmp_path / "p"], tmp_path / f"{fit}{least}", options)) == count, (fit, least)


def test_min_size_sees_the_true_size_of_a_large_jpeg(tmp_path: Path) -> None:
    save(tmp_path / "p" / "1.jpg", picture(1, 400, 400))
    assert len(prepare([tmp_path / "p"], tmp_path / "out", Prepare(resolution=8, min_size=400))) == 1


def test_max_pixels_is_a_limit(tmp_path: Path) -> None:
    save(tmp_path / "p" / "1.png", picture(1, 10, 10))
    save(tmp_path / "p" / "2.png", picture(2, 20, 20))
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(max_pixels=100))
    assert dataset.manifest.skipped == [Skipped("p/2.png", "20x20 is 400 pixels, at most 100 are read (--max-pixels)")]


def test_duplicates_may_be_kept(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 4)
    assert len(prepare([folder], tmp_path / "skip", SMALL)) == 4
    kept = prepare([folder], tmp_path / "keep", SMALL.replace(duplicates="keep"))
    assert kept.names == ["p/even/0.png", "p/even/2.png", "p/odd/1.png", "p/odd/3.png", "p/odd/50copy.png"]


def test_nothing_usable_is_an_error_that_tells_why_and_leaves_nothing(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "p" / f"{number}.png", picture(number, 2, 2))
    (tmp_path / "p" / "x.png").write_bytes(b"text")
    expected = (
        r"p: none of 4 files is a usable picture \(3 too small, 1 not a picture of a known kind\); "
        r"the first: p/0\.png: too small: 2x2, needs 4"
    )
    with pytest.raises(SourceError, match=expected):
        prepare([tmp_path / "p"], tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_one_file_that_is_not_usable_gets_its_own_reason(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(50_000, 50_000))
    told = "huge.png: not a usable picture: 2,500,000,000 pixels, at most 100,000,000 are read (--max-pixels)"
    with pytest.raises(SourceError) as caught:
        prepare([tmp_path / "huge.png"], tmp_path / "out", SMALL)
    assert str(caught.value).endswith(told)


def test_three_pictures_are_a_dataset_and_a_dataset_is_no_source(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / "p" / f"{number}.png", picture(number))
    assert len(prepare([tmp_path / "p"], tmp_path / "out", SMALL)) == 3
    with pytest.raises(SourceError, match="out: a prepared dataset already; give it to artgen image train as it is"):
        prepare([tmp_path / "out"], tmp_path / "again", SMALL)


# --- options


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resolution": 70}, "--resolution takes a multiple of 8 from 8 to 1024, not 70; try 64 or 72"),
        ({"resolution": 4}, "--resolution takes 8 to 1024 pixels, not 4"),
        ({"background": "blurple"}, "--background takes a colour such as white, black or #ffeedd, not 'blurple'"),
        ({"fit": "squash"}, "--fit takes crop, pad or stretch, not squash"),
        ({"upscale": "magic"}, "--upscale takes auto, nearest or smooth, not magic"),
        ({"labels": "yes"}, "--labels takes auto, folders or none, not yes"),
        ({"duplicates": "drop"}, "--duplicates takes skip or keep, not drop"),
        ({"workers": 0}, "--workers takes 1 to 1024 processes, not 0"),
        ({"min_size": 0}, "--min-size takes 1 to 65536 pixels, not 0"),
        ({"max_pixels": 0}, "--max-pixels takes 1 to 178956970 pixels, not 0"),
        ({"max_pixels": 200_000_000}, "--max-pixels takes 1 to 178956970 pixels, not 200000000"),  # Pillow would refuse them
    ],
)
def test_options_out_of_range_get_a_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Prepare(**values)  # type: ignore[arg-type]


def test_crop_takes_the_middle() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    square, how = fitted(pixels, SMALL)
    assert how == "kept"
    assert np.array_equal(square, np.full((8, 8, 3), 200))
    assert np.array_equal(fitted(pixels.transpose(1, 0, 2), SMALL)[0], square)


def test_pad_adds_bars_of_the_background() -> None:
    square, how = fitted(np.full((4, 8, 3), 7, np.uint8), SMALL.replace(fit="pad", background="#ff0000"))
    assert how == "kept"
    assert np.array_equal(square[2:6], np.full((4, 8, 3), 7))
    assert np.array_equal(square[[0, 1, 6, 7]], np.broadcast_to([255, 0, 0], (4, 8, 3)))
    thin, _ = fitted(np.zeros((1, 1000, 3), np.uint8), SMALL.replace(fit="pad"))
    assert (thin == 0).any(axis=(1, 2)).sum() == 1


def test_stretch_keeps_all_of_the_picture() -> None:
    pixels = np.repeat(np.repeat(np.arange(8, dtype=np.uint8)[None, :, None] * 30, 4, axis=0), 3, axis=2)
    square, how = fitted(pixels, SMALL.replace(fit="stretch"))
    assert how == "enlarged"
    assert np.array_equal(square, np.repeat(pixels, 2, axis=0))
    assert fitted(np.zeros((4, 32, 3), np.uint8), SMALL.replace(fit="stretch"))[1] == "reduced"


def test_pixel_art_grows_with_hard_edges_and_other_pictures_smoothly() -> None:
    random = np.random.default_rng(0)
    art = random.choice(np.array([0, 90, 255], np.uint8), (8, 8, 3))
    blocks = art.repeat(2, axis=0).repeat(2, axis=1)
    photo = random.integers(0, 256, (20, 20, 3), np.uint8)
    options = Prepare(resolution=16)
    assert np.array_equal(fitted(art, options)[0], blocks)
    assert not np.array_equal(fitted(art, options.replace(upscale="smooth"))[0], blocks)
    uneven = fitted(art[:6, :6], options)[0]
    assert len(np.unique(uneven)) > 3  # 16 is no multiple of 6: smooth
    assert set(np.unique(fitted(art[:6, :6], options.replace(upscale="nearest"))[0])) == {0, 90, 255}
    grown = fitted(photo, Prepare(resolution=40))[0]
    assert not np.array_equal(grown, photo.repeat(2, axis=0).repeat(2, axis=1))
    assert np.abs(grown[::2, ::2].astype(int) - photo).mean() < 40


def test_reducing_does_not_alias() -> None:
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::2] = 255
    square, how = fitted(lines, SMALL)
    assert how == "reduced"
    assert abs(square.astype(int) - 127).max() <= 6


def test_transparency_lies_on_the_background(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "p" / "1.png")
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(background="lime"))
    assert np.array_equal(dataset.array("images")[0], np.broadcast_to([0, 255, 0], (8, 8, 3)))


# --- workers, chunks, stopping and going on


def test_the_number_of_workers_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ALONE", 0)
    folder = many(tmp_path / "p", 100)  # more than three chunks
    first = prepare([folder], tmp_path / "one", SMALL.replace(workers=1))
    prepare([folder], tmp_path / "two", SMALL.replace(workers=2))
    assert len(first) == 100
    assert [skip.file for skip in first.manifest.skipped] == ["p/even/3bad.png", "p/odd/40bad.png", "p/odd/50copy.png"]
    assert files(tmp_path / "one") == files(tmp_path / "two")
