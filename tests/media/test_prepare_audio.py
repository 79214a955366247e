"""Preparing sounds: what comes out, what is refused and why, what a stop costs (nothing), how little memory hours need."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import Listen, Stop, files
from PIL import Image
from sample_sounds import RATE, lying_wave, noise, notes, sine, write

from artgen import describe
from artgen.api import prepare as prepare_any
from artgen.backends.audio.rnn.backend import Rnn
from artgen.cli import main
from artgen.dataset import Dataset, Skipped
from artgen.errors import Interrupted, OptionError, OutputError, SourceError
from artgen.media import loudness, prepare_audio, soundwork
from artgen.media.partial import JOURNAL
from artgen.media.prepare_audio import Prepare, divided, prepare

ONE = Prepare(workers=1)
KEPT = Prepare(workers=1, normalize="none", held_out=0)


def piece(dataset: Dataset, number: int) -> Any:
    start, stop = dataset.array("pieces")[number]
    return dataset.array("samples")[start:stop]


def reasons(dataset: Dataset) -> dict[str, str]:
    return {Path(skip.file).name: skip.reason for skip in dataset.manifest.skipped}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight notes in two class folders, and a duplicate, a silent, a torn and a short file among them."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(8):
        write(folder / ("high" if number % 2 else "low") / f"{number}.wav", notes(0.6 + number / 20, seed=number))
    shutil.copy(folder / "low" / "0.wav", folder / "low" / "9.wav")
    write(folder / "low" / "silent.flac", np.zeros((RATE, 1), np.float32))
    (folder / "high" / "words.wav").write_text("no sound")
    write(folder / "high" / "click.wav", sine(seconds=0.005))
    return folder


@pytest.fixture(scope="module")
def made(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return prepare([many], tmp_path_factory.mktemp("made") / "d", ONE)


def test_every_file_is_a_piece_in_order_at_one_loudness(made: Dataset) -> None:
    samples, pieces = made.array("samples"), made.array("pieces")
    assert (samples.dtype, samples.shape[1], pieces.dtype, len(made)) == (np.int16, 1, np.int64, 8)
    assert pieces[0, 0] == 0
    assert pieces[-1, 1] == len(samples)
    assert np.array_equal(pieces[1:, 0], pieces[:-1, 1])
    assert [Path(name).name for name in made.names or []] == [f"{number}.wav" for number in (1, 3, 5, 7, 0, 2, 4, 6)]
    assert (made.classes, (made.labels if made.labels is not None else np.zeros(0)).tolist()) == (
        ["high", "low"],
        [0] * 4 + [1] * 4,
    )
    for number in range(len(made)):
        assert loudness.loudness(piece(made, number) / np.float32(32768), RATE) == pytest.approx(-20, abs=0.7)
    lengths = {0: 0.65, 4: 0.6}
    for number, seconds in lengths.items():
        assert len(piece(made, number)) == round(seconds * RATE)


def test_what_is_not_used_is_listed_with_its_reason(made: Dataset) -> None:
    told = reasons(made)
    assert told.pop("9.wav").startswith("duplicate of ")
    assert told == {
        "silent.flac": "silent: 1.0 seconds of digital silence",
        "words.wav": "not a sound of a known kind",
        "click.wav": "too short: 0.00499 seconds, needs 0.1 (--min-seconds)",
    }


def test_the_report_and_the_contact_sheet(many: Path, tmp_path: Path, made: Dataset) -> None:
    listen = Listen()
    again = prepare([many], tmp_path / "d", ONE, listen)
    said = "\n".join(listen.sentences)
    assert "6.2 seconds of sound from 8 files, 0." in said
    assert "LUFS before, -20.0 now" in said
    assert "2 classes" in said
    assert "spectrograms.png" in said
    notes_ = again.manifest.notes
    assert (notes_["rate"], notes_["channels"], notes_["files"], notes_["clipped"]) == (RATE, 1, 8, 0)
    assert notes_["loudness_after"]["median"] == pytest.approx(-20, abs=0.2)
    sheet = np.asarray(Image.open(tmp_path / "d" / "spectrograms.png"))
    assert sheet.shape == (8 + 2 * 120, 4 * 328 + 8, 3)
    assert sheet[:, :, 0].max() > 240
    told = describe.show(tmp_path / "d")
    assert (told["of"], told["count"], told["spectrograms"], told["seconds"]) == ("audio", 8, "spectrograms.png", notes_["seconds"])


def test_workers_a_stop_and_another_folder_give_the_same_bytes(
    many: Path, tmp_path: Path, made: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen = Stop(5)
    with pytest.raises(Interrupted, match="stopped after 5 of 12 files; the same command again goes on"):
        prepare([many], tmp_path / "stopped", ONE, listen)
    assert not list((tmp_path / "stopped").glob(".tmp*"))
    (tmp_path / "stopped" / ".tmp-prepare-killed").mkdir()
    listen = Listen()
    prepare([many], tmp_path / "stopped", ONE, listen)
    assert "going on after 5 of 12 files" in listen.sentences
    monkeypatch.setattr("artgen.media.workers.ALONE", 0.0)
    prepare([many], tmp_path / "two", Prepare(workers=2))
    assert files(tmp_path / "stopped") == files(made.folder) == files(tmp_path / "two")
    listen = Listen()
    prepare([many], tmp_path / "two", ONE, listen)
    assert listen.sentences == [f"{tmp_path / 'two'}: this dataset is there already, with 6.2 seconds"]
    with pytest.raises(OutputError, match="holds a dataset of other sources or options"):
        prepare([many], tmp_path / "two", KEPT)
    with pytest.raises(SourceError, match="a prepared dataset already; give it to artgen audio train as it is"):
        prepare([tmp_path / "two"], tmp_path / "three", ONE)


def test_a_journal_of_which_the_samples_are_lost_is_not_believed(many: Path, tmp_path: Path, made: Dataset) -> None:
    with pytest.raises(Interrupted):
        prepare([many], tmp_path / "d", ONE, Stop(6))
    growing = tmp_path / "d" / "samples.npy.part"
    with growing.open("r+b") as file:
        file.truncate(growing.stat().st_size - 1000)
    assert (tmp_path / "d" / JOURNAL).is_file()
    prepare([many], tmp_path / "d", ONE)
    assert files(tmp_path / "d") == files(made.folder)


def test_rate_and_channels(tmp_path: Path) -> None:
    both = np.concatenate([sine(440, 1.0, 44_100), sine(660, 1.0, 44_100)], 1)
    write(tmp_path / "in" / "a.wav", both, 44_100)
    found = prepare([tmp_path / "in"], tmp_path / "d", KEPT.replace(rate=16_000, channels="stereo"))
    assert found.array("samples").shape == (16_000, 2)
    spectra = np.abs(np.fft.rfft(found.array("samples").astype(float), axis=0))
    assert spectra.argmax(0).tolist() == [440, 660]
    mono = prepare([tmp_path / "in"], tmp_path / "e", KEPT)
    assert mono.array("samples").shape == (RATE, 1)
    spectrum = np.abs(np.fft.rfft(mono.array("samples")[:, 0].astype(float)))
    assert sorted(np.argsort(spectrum)[-2:].tolist()) == [440, 660]
    with pytest.raises(OptionError, match="--rate takes 16000, 22050, 24000, 32000 or 44100, not 20000; try 22050"):
        Prepare(rate=20_000)


def test_loudness_may_be_chosen_or_left(tmp_path: Path) -> None:
    write(tmp_path / "in" / "a.wav", noise(1.0, level=0.01))
    write(tmp_path / "in" / "b.wav", noise(1.0, level=0.1, seed=1))
    kept = prepare([tmp_path / "in"], tmp_path / "a", KEPT)
    assert np.abs(piece(kept, 0) - noise(1.0, level=0.01) * 32768).max() <= 1.5
    loud = prepare([tmp_path / "in"], tmp_path / "b", ONE.replace(loudness=-12.0, held_out=0))
    for number in range(2):
        sound = piece(loud, number) / np.float32(32768)
        assert loudness.loudness(sound, RATE) == pytest.approx(-12, abs=1)
        assert loudness.to_db(loudness.true_peak(sound)) <= -0.99
    spread = loud.manifest.notes["loudness_before"]
    assert spread["highest"] - spread["lowest"] == pytest.approx(20, abs=0.3)


def test_silent_ends_are_cut_off_on_request_and_only_they(tmp_path: Path) -> None:
    quiet = np.zeros((RATE, 1), np.float32)
    sound = np.concatenate([quiet, noise(0.5), quiet[:2000], noise(0.5), noise(1.0, level=1e-5), quiet])
    write(tmp_path / "in" / "a.wav", sound, coding="FLOAT")
    whole = prepare([tmp_path / "in"], tmp_path / "a", KEPT)
    assert len(piece(whole, 0)) == len(sound)
    assert not piece(whole, 0)[: RATE - 5].any()
    cut = prepare([tmp_path / "in"], tmp_path / "b", KEPT.replace(trim=-50.0))
    hundredth = round(0.01 * RATE)
    assert RATE + 2000 <= len(piece(cut, 0)) <= RATE + 2000 + 3 * hundredth
    assert np.abs(piece(cut, 0)[hundredth + 2 : hundredth + 1000]).max() > 3000


@pytest.mark.parametrize(("seconds", "wanted"), [(0.3, 1), (0.05, 0)])
def test_short_files_are_pieces_down_to_the_limit(tmp_path: Path, seconds: float, wanted: int) -> None:
    write(tmp_path / "in" / "long.wav", noise(1.0))
    write(tmp_path / "in" / "short.wav", noise(seconds, seed=3))
    found = prepare([tmp_path / "in"], tmp_path / "d", KEPT.replace(min_seconds=0.2))
    assert len(found) == 1 + wanted
    assert len(found.manifest.skipped) == 1 - wanted


def test_clipped_cancelling_lying_and_broken_numbers_are_used_with_a_remark(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder / "clip.wav", np.clip(sine(level=5.0), -1, 1))
    write(folder / "against.wav", np.concatenate([0.5 * sine(), -sine()], 1)[:, [0, 1]] * np.array([[1, 0.5]], np.float32))
    broken = noise()
    broken[5] = np.nan
    write(folder / "nan.wav", broken, coding="FLOAT")
    write(folder / "over.wav", noise(level=2.0, seed=2), coding="FLOAT")
    lying_wave(folder / "lie.wav", noise(seed=4), 10**7)
    torn = write(folder / "torn.flac", noise(6.0, seed=5))
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    listen = Listen()
    found = prepare([folder], tmp_path / "d", KEPT, listen)
    remarks = dict(found.manifest.notes["remarks"])
    told = {Path(name).name: remark for name, remark in remarks.items()}
    assert told["clip.wav"].startswith("clipped in ")
    assert told["clip.wav"].endswith("places; it is used all the same")
    assert told["against.wav"].startswith("its channels cancel each other out, so channel ")
    assert told["nan.wav"] == "1 sample that is not a finite number became silence"
    assert "over full scale, so it was turned down" in told["over.wav"]
    assert "it was cut off" in told["lie.wav"]
    assert told["torn.flac"].startswith("it breaks off after ")
    assert (len(found), found.manifest.notes["clipped"], found.manifest.skipped) == (6, 1, [])
    assert np.abs(piece(found, 0)).max() > 4000
    assert any("clip.wav: clipped in" in sentence for sentence in listen.sentences)


def test_a_normal_loud_sound_is_not_called_clipped() -> None:
    assert soundwork._flat_runs(np.float32(np.rint(sine(100, 1.0, level=1.0) * 32767) / 32768)) == 0
    assert soundwork._flat_runs(np.clip(sine(100, 1.0, level=1.5), -1, 1)) == 200


def test_duplicates_may_be_kept(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        write(tmp_path / "in" / name, notes())
    assert len(prepare([tmp_path / "in"], tmp_path / "a", KEPT)) == 1
    assert len(prepare([tmp_path / "in"], tmp_path / "b", KEPT.replace(duplicates="keep"))) == 2


def test_captions_come_from_metadata_and_labels_may_be_left_out(many: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(many, folder)
    rows = [{"file_name": f"low/{number}.wav", "text": f"low note {number}"} for number in (0, 2)]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    listen = Listen()
    found = prepare([folder], tmp_path / "d", ONE.replace(labels="none"), listen)
    assert found.classes == []
    assert found.labels is None
    assert [caption for caption in found.captions or [] if caption] == ["low note 0", "low note 2"]
    assert "2 of 8 pieces have a caption" in listen.sentences


# --- held out


def test_whole_files_are_held_out_by_their_content() -> None:
    rows, digests = [100] * 20, [f"{(number * 7) % 20:02}" for number in range(20)]
    pieces, of, held = divided(rows, digests, 0.1)
    assert (len(pieces), of, held.tolist()) == (20, list(range(20)), [0, 3])
    assert divided(rows, digests, 0.5)[2].size == 10
    assert divided(rows, digests, 0)[2].size == 0


@pytest.mark.parametrize(("rows", "at"), [([1000], 0), ([400, 600], 1), ([10, 10, 2000], 2)])
def test_the_end_of_the_longest_file_is_held_out_where_whole_files_would_be_too_much(rows: list[int], at: int) -> None:
    pieces, of, held = divided(rows, ["c", "b", "a"][: len(rows)], 0.1)
    total, lengths = sum(rows), np.diff(pieces, axis=1)[:, 0]
    assert (len(pieces), held.tolist()) == (len(rows) + 1, [at + 1])
    assert lengths[at + 1] == round(0.1 * total)
    assert of == [*range(at + 1), *range(at, len(rows))]
    assert (pieces[0, 0], pieces[-1, 1], np.array_equal(pieces[1:, 0], pieces[:-1, 1])) == (0, total, True)


def test_one_file_becomes_two_pieces_with_its_name(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", notes(1.0))
    found = prepare([tmp_path / "a.wav"], tmp_path / "d", ONE)
    assert (len(found), found.array("held_out").tolist()) == (2, [1])
    assert [Path(name).name for name in found.names or []] == ["a.wav", "a.wav"]
    assert np.diff(found.array("pieces"), axis=1)[:, 0].tolist() == [RATE - 2205, 2205]
    assert found.manifest.notes["held_out_seconds"] == pytest.approx(0.1)
    assert "held_out" not in prepare([tmp_path / "a.wav"], tmp_path / "e", KEPT).manifest.arrays


# --- refused


def test_a_file_whose_end_is_held_out_is_one_usable_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.wav", notes(1.0))
    assert main(["audio", "prepare", str(tmp_path / "a.wav"), "--output", str(tmp_path / "d"), "--workers", "1"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'd'}: 1 usable\n"


def test_nothing_usable_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_text("words")
    write(tmp_path / "in" / "b.wav", sine(seconds=0.001))
    with pytest.raises(SourceError, match=r"in: none of 2 files is a usable sound \(1 .*; the first: in/a\.wav: not a sound"):
        prepare([tmp_path / "in"], tmp_path / "d", ONE)
    assert not (tmp_path / "d").exists()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("x")
    with pytest.raises(SourceError, match="no sound in it, only other files"):
        prepare([tmp_path / "notes"], tmp_path / "d", ONE)
    write(tmp_path / "quiet" / "a.wav", noise(level=1e-6), coding="FLOAT")
    with pytest.raises(SourceError, match="silent: nowhere above -80 dB"):
        prepare([tmp_path / "quiet"], tmp_path / "d", ONE)
    write(tmp_path / "long" / "a.wav", noise(1.5))
    with pytest.raises(SourceError, match=r"too long: more than 0.02 minutes \(--max-minutes\)"):
        prepare([tmp_path / "long"], tmp_path / "d", ONE.replace(max_minutes=0.02))


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", notes())
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "samples.npy").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"holds a file samples.npy already but no dataset"):
        prepare([tmp_path / "a.wav"], tmp_path / "d", ONE)
    assert files(tmp_path / "d") == {"samples.npy": b"mine"}


def test_hours_of_silence_are_refused_in_little_memory(tmp_path: Path) -> None:
    # Ten hours as a WAV with a hole: no byte of it is on the disk.
    rate, seconds = 8000, 36_000
    lying_wave(tmp_path / "night.wav", np.zeros((0, 1), np.float32), 2 * rate * seconds, rate)
    with (tmp_path / "night.wav").open("r+b") as file:
        file.truncate(44 + 2 * rate * seconds)
    code = (
        "import sys, resource; from artgen.media.prepare_audio import Prepare, prepare\n"
        "from artgen.errors import SourceError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: prepare([sys.argv[1]], sys.argv[2], Prepare(workers=1))\n"
        "except SourceError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, 'torch' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "night.wav"), str(tmp_path / "d")], capture_output=True, text=True, check=True
    )
    sentence, facts = run.stdout.splitlines()
    assert "silent: 10.0 hours of digital silence" in sentence
    megabytes, torch = facts.split()
    assert (int(megabytes) < 200, torch) == (True, "False")


def test_silence_before_a_sound_is_kept_where_it_is_not_trimmed(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", np.concatenate([np.zeros((3 * 44_100, 1), np.float32), noise(0.5, 44_100)]), 44_100)
    kept = prepare([tmp_path / "a.wav"], tmp_path / "d", KEPT)
    assert len(piece(kept, 0)) == round(3.5 * RATE)
    cut = prepare([tmp_path / "a.wav"], tmp_path / "e", KEPT.replace(trim=-40.0))
    assert 0.5 * RATE <= len(piece(cut, 0)) <= 0.54 * RATE
    assert np.abs(piece(cut, 0)[-5000:].astype(int) - piece(kept, 0)[-5000:]).max() <= 1


def test_the_backend_offers_it(many: Path, tmp_path: Path, made: Dataset) -> None:
    assert "prepare" in Rnn.verbs()
    found = prepare_any("audio", [many], tmp_path / "d", workers=1)
    assert found.fingerprint == made.fingerprint
    assert isinstance(found.manifest.skipped[0], Skipped)
    assert prepare_audio.SOUNDS.noun == "sound"
