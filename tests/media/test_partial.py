"""What a stop, a kill, a damaged journal or a full disk costs a prepare: nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from listening import Listen, Stop, files
from sample_pictures import many, picture, save

from artgen.errors import Interrupted, OutputError
from artgen.media import workers
from artgen.media.partial import JOURNAL, Partial, Record
from artgen.media.prepare_image import Prepare, fitted, prepare

SMALL = Prepare(resolution=8)


@pytest.mark.parametrize("count", [1, 2])
def test_a_stopped_prepare_goes_on_and_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(workers, "ALONE", 0)
    folder = many(tmp_path / "p", 110)
    options = SMALL.replace(workers=count)
    prepare([folder], tmp_path / "whole", SMALL.replace(workers=1))
    out = tmp_path / "out"
    for seen in (32, 64)[2 - count :]:
        with pytest.raises(Interrupted, match=f"stopped after {seen} of 113 files; the same command again goes on from there"):
            prepare([folder], out, options, Stop(seen))
        assert sorted(files(out)) == ["images.npy.part", JOURNAL]
    progress = Listen()
    prepare([folder], out, options, progress)
    assert progress.sentences[0] == "going on after 64 of 113 files"
    assert progress.amount == 113
    assert files(out) == files(tmp_path / "whole")


def test_a_kill_costs_only_what_the_journal_does_not_tell(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 50)
    prepare([folder], tmp_path / "whole", SMALL)
    for cut_journal, extra in ((7, b""), (0, b"half an item"), (400, b"x" * 1000)):
        out = tmp_path / f"cut{cut_journal}"
        with pytest.raises(Interrupted):
            prepare([folder], out, SMALL, Stop(32))
        journal, part = out / JOURNAL, out / "images.npy.part"
        journal.write_bytes(journal.read_bytes()[: -cut_journal or None])
        part.write_bytes(part.read_bytes() + extra)
        prepare([folder], out, SMALL)
        assert files(out) == files(tmp_path / "whole")


def test_a_journal_that_tells_of_missing_bytes_is_not_believed(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 50)
    prepare([folder], tmp_path / "whole", SMALL)
    out = tmp_path / "out"
    for damage in ("short", "gone", "nonsense"):
        with pytest.raises(Interrupted):
            prepare([folder], out, SMALL, Stop(32))
        part = out / "images.npy.part"
        if damage == "short":
            part.write_bytes(part.read_bytes()[:1000])
        elif damage == "gone":
            part.unlink()
        else:
            lines = (out / JOURNAL).read_bytes().split(b"\n")
            (out / JOURNAL).write_bytes(b"\n".join([lines[0], lines[1], b"{nonsense", *lines[2:]]))
        prepare([folder], out, SMALL)
        assert files(out) == files(tmp_path / "whole"), damage
        shutil.rmtree(out)


def test_a_stop_before_the_manifest_costs_nothing(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 50)
    prepare([folder], tmp_path / "whole", SMALL)
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        prepare([folder], out, SMALL, Stop(53))
    (out / "images.npy.part").replace(out / "images.npy")  # as if finish had named it and then power had gone
    prepare([folder], out, SMALL)
    assert files(out) == files(tmp_path / "whole")


def test_changed_sources_or_options_begin_afresh(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 50)
    out = tmp_path / "out"
    with pytest.raises(Interrupted):
        prepare([folder], out, SMALL, Stop(32))
    save(folder / "even" / "0.png", picture(1000))
    progress = Listen()
    dataset = prepare([folder], out, SMALL.replace(background="black"), progress)
    assert not any("going on" in sentence for sentence in progress.sentences)
    assert np.array_equal(dataset.array("images")[0], fitted(picture(1000), SMALL)[0])
    assert len(dataset) == 51  # the copy is none any more


def test_a_dataset_that_is_there_is_given_back_or_left_alone(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 6)
    prepare([folder], tmp_path / "out", SMALL)
    before, progress = files(tmp_path / "out"), Listen()
    (tmp_path / "out" / JOURNAL).write_bytes(b"left by a power cut")
    again = prepare([folder], tmp_path / "out", SMALL.replace(workers=1), progress)
    assert len(again) == 6
    assert progress.sentences == [f"{tmp_path / 'out'}: this dataset is there already, with 6 pictures"]
    with pytest.raises(OutputError, match="out: holds a dataset of other sources or options; choose another --output"):
        prepare([folder], tmp_path / "out", SMALL.replace(fit="pad"))
    assert files(tmp_path / "out") == before


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 6)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "images.npy").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"out: holds a file images\.npy already but no dataset; choose another --output"):
        prepare([folder], tmp_path / "out", SMALL)
    assert files(tmp_path / "out") == {"images.npy": b"precious"}


def test_an_output_that_cannot_be_written_gets_a_sentence(tmp_path: Path) -> None:
    folder = many(tmp_path / "p", 6)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"file/out: a file is there, where a folder is to be; choose another --output"):
        prepare([folder], tmp_path / "file" / "out", SMALL)


@pytest.mark.skipif(os.name == "nt", reason="limits of file sizes are POSIX")
def test_a_disk_that_takes_no_more_gets_a_sentence_and_a_later_run_goes_on(tmp_path: Path) -> None:
    import resource

    folder = many(tmp_path / "p", 110)
    prepare([folder], tmp_path / "whole", SMALL)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, limit[1]))  # 78 of 110 items
    try:
        with pytest.raises(OutputError, match=r"images\.npy(\.part)?: File too large"):
            prepare([folder], tmp_path / "out", SMALL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not (tmp_path / "out" / "dataset.json").exists()
    prepare([folder], tmp_path / "out", SMALL)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with Partial(tmp_path, (8, 8, 3), "key") as partial:
        partial._array.close()
        partial._array = Path("/dev/full").open("r+b", buffering=0)  # noqa: SIM115 - closed by Partial
        with pytest.raises(OutputError, match=r"images\.npy\.part: the disk is full; free some space or choose another --output"):
            partial.add([Record(True, "d", "kept")], [bytes(192)])
    assert (tmp_path / JOURNAL).read_bytes() == b'"key"\n'
