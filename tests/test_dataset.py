"""Opening datasets: what is there is mapped, what is missing, damaged, newer or of another modality gets a sentence."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from artgen.dataset import FORMAT, MANIFEST, Dataset, Manifest, Skipped, fingerprint, is_dataset, write_manifest
from artgen.errors import DatasetError, OutputError

IMAGES = np.arange(3 * 8 * 8 * 3, dtype=np.uint8).reshape(3, 8, 8, 3)


def manifest(**changes: object) -> Manifest:
    values: dict[str, object] = {
        "artgen": "0.1.0",
        "kind": "image",
        "count": 3,
        "arrays": {"images": "images.npy", "labels": "labels.npy"},
        "shapes": {"images": [3, 8, 8, 3], "labels": [3]},
        "classes": ["cat", "dog"],
        "captions": "captions.jsonl",
        "notes": {"names": "names.jsonl"},
        "skipped": [Skipped("p/x.png", "too small")],
        "fingerprint": "f",
    }
    return msgspec.convert({**values, **changes}, Manifest)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "labels.npy", np.array([0, 1, 1], np.uint8))
    (tmp_path / "captions.jsonl").write_text('"one \u2028 line"\n""\n"three"\n', encoding="utf-8")
    (tmp_path / "names.jsonl").write_text('"a.png"\n"b.png"\n"c.png"\n', encoding="utf-8")
    write_manifest(tmp_path, manifest())
    return tmp_path


def test_a_dataset_opens_as_it_was_written(folder: Path) -> None:
    dataset = Dataset.open(folder, "image")
    assert dataset.manifest == manifest()
    assert (dataset.kind, dataset.classes, dataset.fingerprint, len(dataset)) == ("image", ["cat", "dog"], "f", 3)
    assert isinstance(dataset.array("images"), np.memmap)
    assert np.array_equal(dataset.array("images"), IMAGES)
    assert dataset.labels is not None
    assert (dataset.labels.dtype, dataset.labels.tolist()) == (np.int64, [0, 1, 1])
    assert dataset.captions == ["one \u2028 line", "", "three"]
    assert dataset.names == ["a.png", "b.png", "c.png"]
    assert is_dataset(folder)


def test_mapped_arrays_cannot_be_written(folder: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Dataset.open(folder).array("images")[0] = 0


def test_what_a_dataset_does_not_have_is_none(folder: Path) -> None:
    plain = manifest(arrays={"images": "images.npy"}, shapes={"images": [3, 8, 8, 3]}, captions="", notes={}, classes=[])
    dataset = write_manifest(folder, plain)
    assert (dataset.labels, dataset.captions, dataset.names, dataset.classes) == (None, None, None, [])
    with pytest.raises(DatasetError, match="has no array 'labels'; it has images"):
        dataset.array("labels")


def test_a_list_of_labels_of_another_program_is_no_dataset(tmp_path: Path) -> None:
    assert not is_dataset(tmp_path)
    for text, ours in (
        ('{"labels": [["0/a.png", 6]]}', False),
        ("[1]", False),
        ('{"format": 1, "labels": 0}', True),
        ('{"form', True),
    ):
        (tmp_path / "dataset.json").write_text(text)
        assert is_dataset(tmp_path) is ours, text


def test_a_folder_without_a_dataset_gets_a_sentence(tmp_path: Path) -> None:
    assert not is_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"no dataset there \(no dataset\.json\); make one with artgen video prepare"):
        Dataset.open(tmp_path, "video")


def test_another_modality_gets_a_sentence(folder: Path) -> None:
    with pytest.raises(DatasetError, match="a dataset of image, not of audio; use artgen image"):
        Dataset.open(folder, "audio")


def test_a_newer_format_is_told_even_if_it_cannot_be_read(folder: Path) -> None:
    (folder / MANIFEST).write_bytes(msgspec.json.encode({"format": FORMAT + 1, "artgen": "9.0", "parts": []}))
    with pytest.raises(DatasetError, match=r"made by a newer artgen \(9\.0\); update artgen or prepare it again"):
        Dataset.open(folder)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 1, "artgen": "0.1.0"}', b"\xff"])
def test_a_damaged_manifest_gets_a_sentence(folder: Path, data: bytes) -> None:
    (folder / MANIFEST).write_bytes(data)
    with pytest.raises(DatasetError, match=r"dataset\.json: damaged \(.+\); prepare it again"):
        Dataset.open(folder)


def test_damaged_arrays_get_a_sentence(folder: Path) -> None:
    path = folder / "images.npy"
    whole = path.read_bytes()
    for data in (whole[:-10], b"", b"no array", whole[:60]):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=r"images\.npy: damaged \(.+\); prepare the dataset again"):
            Dataset.open(folder)
    path.unlink()
    with pytest.raises(DatasetError, match=r"images\.npy: missing; prepare the dataset again"):
        Dataset.open(folder)


def test_an_array_of_objects_is_never_unpickled(folder: Path) -> None:
    np.save(folder / "images.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"images\.npy: damaged \(.*(pickle|object).*\)"):
        Dataset.open(folder)


def test_an_array_of_another_shape_gets_a_sentence(folder: Path) -> None:
    np.save(folder / "images.npy", IMAGES[:2])
    expected = r"images\.npy: holds \[2, 8, 8, 3\], dataset\.json says \[3, 8, 8, 3\]; prepare the dataset again"
    with pytest.raises(DatasetError, match=expected):
        Dataset.open(folder)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest(shapes={})))
    with pytest.raises(DatasetError, match=r"dataset\.json says None"):
        Dataset.open(folder)


@pytest.mark.parametrize("name", ["captions", "names"])
def test_damaged_texts_get_a_sentence(folder: Path, name: str) -> None:
    path = folder / f"{name}.jsonl"
    for data, message in (
        (b'"one"\n"two"\n', r"has 2 lines for 3 items"),
        (b'"one"\n2\n"three"\n', r"damaged \(Expected `str`, got `int`\)"),
        (b'"one"\n"two\n"three"\n', r"damaged \("),
    ):
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=rf"{name}\.jsonl: {message}.*; prepare the dataset again"):
            getattr(Dataset.open(folder), name)
    path.unlink()
    with pytest.raises(DatasetError, match=rf"{name}\.jsonl: missing; prepare the dataset again"):
        getattr(Dataset.open(folder), name)


def test_a_place_that_cannot_be_written_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"a file is there, where a folder is to be"):
        write_manifest(tmp_path / "file", manifest())


def test_fingerprints_tell_parts_apart() -> None:
    assert fingerprint(b"ab", b"c") != fingerprint(b"a", b"bc")
    assert fingerprint(b"ab") == fingerprint(b"ab")
    assert len(fingerprint()) == 64
