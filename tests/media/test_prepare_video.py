"""Preparing clips: what comes out of every kind of film, what is left out and why, and what a stop costs (nothing)."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from film_datasets import EXACT, SMALL, clip, greys, reasons
from listening import Listen, Stop, files
from PIL import Image
from sample_clips import lasting, levels, lossless, moving, numbered, only_sound, turned

from artgen import describe
from artgen.cli import main
from artgen.describe import show
from artgen.errors import Interrupted, OptionError, OutputError, SourceError
from artgen.media import planning, video, workers
from artgen.media.prepare_video import Prepare, prepare

# --- the dataset


def test_every_kind_of_film_becomes_clips(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    for number, ending in enumerate((".mp4", ".webm", ".mov", ".mkv", ".gif", ".webp")):
        clip(folder / f"{number}{ending}", number)
    pages = [Image.fromarray(pixels) for pixels in moving(6, 8)]
    pages[0].save(folder / "6.png", save_all=True, append_images=pages[1:], duration=100)
    lossless(folder / "7.avi", moving(7, 8), np.arange(8) / 10)
    numbered(folder / "8", moving(8, 8))
    progress = Listen()
    dataset = prepare([folder], tmp_path / "out", SMALL.replace(source_fps=10.0), progress)
    videos = dataset.array("videos")
    assert (videos.dtype, videos.shape, dataset.kind) == (np.uint8, (9, 8, 16, 16, 3), "video")
    assert dataset.manifest.skipped == []
    assert dataset.names == [
        f"p/{name}" for name in ("0.mp4", "1.webm", "2.mov", "3.mkv", "4.gif", "5.webp", "6.png", "7.avi", "8")
    ]
    for number, shown in enumerate(videos):
        wanted = np.stack(
            [np.asarray(Image.fromarray(pixels).resize((16, 16), Image.Resampling.LANCZOS)) for pixels in moving(number, 8)]
        )
        assert np.abs(shown.astype(int) - wanted).mean() < 6, number
    notes = dataset.manifest.notes
    assert (notes["fps"], notes["films"], notes["seconds"], notes["resized"]) == (10.0, 9, 7.2, {"reduced": 9})
    assert sorted(files(tmp_path / "out")) == ["clips.png", "dataset.json", "names.jsonl", "videos.npy"]
    assert progress.started == [("Preparing clips", 9, "files")]
    assert progress.sentences == [
        "9 clips of 8 frames from 9 films, 10 frames a second",
        f"a sheet of clips: {tmp_path / 'out' / 'clips.png'}",
    ]
    with Image.open(tmp_path / "out" / "clips.png") as sheet:
        assert sheet.size == (2 * (8 * 16 + 6) + 6, 5 * (16 + 6) + 6)


def test_captions_classes_and_licences_are_kept(tmp_path: Path) -> None:
    for number in range(4):
        clip(tmp_path / "p" / ("run" if number % 2 else "fly") / f"{number}.gif", number)
    numbered(tmp_path / "p" / "run" / "frames", moving(9, 8))
    (tmp_path / "p" / "metadata.jsonl").write_text('{"file_name": "run/1.gif", "text": "it runs"}\n')
    (tmp_path / "p" / "run" / "frames.txt").write_text("many pictures")
    (tmp_path / "p" / "LICENSE").write_text("CC0\n")
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(source_fps=10.0))
    assert dataset.classes == ["fly", "run"]
    assert dataset.labels is not None
    assert dataset.labels.tolist() == [0, 0, 1, 1, 1]
    assert dataset.captions == ["", "", "it runs", "", "many pictures"]
    assert dataset.manifest.notes["licences"] == {"p/LICENSE": "CC0"}


def test_folder_and_archive_give_the_same_dataset(tmp_path: Path) -> None:
    for number in range(3):
        clip(tmp_path / "p" / f"{number}.mp4", number)
    numbered(tmp_path / "p" / "n", moving(5, 9))
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in sorted((tmp_path / "p").rglob("*.*")):
            archive.write(path, path.relative_to(tmp_path / "p"))
    made = [prepare([tmp_path / name], tmp_path / f"out-{name}", SMALL) for name in ("p", "p.zip")]
    made.append(prepare([str(tmp_path / "p" / "**" / "*.*")], tmp_path / "out-glob", SMALL))
    for dataset in made[1:]:
        assert np.array_equal(dataset.array("videos"), made[0].array("videos"))
        assert dataset.fingerprint == made[0].fingerprint


# --- what is left out


def test_still_and_duplicate_clips_are_listed(tmp_path: Path) -> None:
    lossless(tmp_path / "p" / "1.mkv", np.concatenate([moving(1, 8), moving(1, 8)[:1].repeat(24, 0)]), np.arange(32) / 10)
    lossless(tmp_path / "p" / "2.mkv", moving(1, 8), np.arange(8) / 10)
    noise = np.random.default_rng(0).integers(-3, 4, (8, 24, 24, 3))
    lossless(tmp_path / "p" / "3.mkv", (moving(1, 1) + noise).clip(0, 255).astype(np.uint8), np.arange(8) / 10)
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL)
    assert dataset.names == ["p/1.mkv"]
    assert reasons(dataset) == {
        "1.mkv at 0.8 s": "still: nothing moves (--still)",
        "2.mkv": "duplicate of p/1.mkv",
        "3.mkv": "still: nothing moves (--still)",
    }
    assert len(prepare([tmp_path / "p"], tmp_path / "keep", SMALL.replace(still="keep", duplicates="keep"))) == 6


def test_every_bad_file_is_listed_with_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    clip(folder / "01good.mp4", 1)
    (folder / "02empty.mp4").write_bytes(b"")
    noise = np.random.default_rng(0).integers(0, 256, (40, 24, 24, 3)).astype(np.uint8)
    video.encode(noise, 10, folder / "03cut.mp4", "", "")
    (folder / "03cut.mp4").write_bytes((folder / "03cut.mp4").read_bytes()[:-9000])
    only_sound(folder / "04sound.mp4")
    Image.fromarray(moving(1)[0]).save(folder / "05one.gif")
    clip(folder / "06pixel.gif", 1, 8, height=1, width=1)
    lasting(clip(folder / "07hours.mkv", 2), 36_000)
    lasting(clip(folder / "08days.mkv", 3), 3_600_000)
    Image.fromarray(moving(1)[0]).save(folder / "09still.jpg")
    (folder / "10words.avi").write_text("Dear diary, " * 50)
    lossless(folder / "11brief.mkv", moving(4, 3), [0, 0.03, 0.06])
    dataset = prepare([folder], tmp_path / "out", SMALL)
    assert dataset.names == ["p/01good.mp4"]
    told = reasons(dataset)
    assert told.pop("03cut.mp4").startswith(("the clip is cut off after ", "the clip is damaged or incomplete ("))
    assert told == {
        "02empty.mp4": "the file is empty",
        "04sound.mp4": "the file has only sound",
        "05one.gif": "a single frame, nothing moves",
        "06pixel.gif": "too small: 1x1, needs 4 (--min-size)",
        "07hours.mkv": "the clip is cut off after 0.8 seconds of 36000.0",
        "08days.mkv": "too long: 1000.0 hours, at most 720 minutes (--max-minutes)",
        "09still.jpg": "a single picture (JPEG), nothing moves",
        "10words.avi": "not a clip of a known kind",
        "11brief.mkv": "too short: one frame at 10 a second (--fps)",
    }


def test_three_frames_and_odd_sizes_are_used(tmp_path: Path) -> None:
    clip(tmp_path / "p" / "1.gif", 1, 3)
    clip(tmp_path / "p" / "2.gif", 2, 8, height=33, width=47)
    clip(tmp_path / "p" / "3.webp", 3, 8, height=17, width=5)
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(fit="pad"))
    assert len(dataset) == 3
    assert dataset.array("videos")[2, 0, 0, 0].tolist() == [255, 255, 255]  # a bar


def test_limits_are_told_with_their_option(tmp_path: Path) -> None:
    clip(tmp_path / "p" / "1.mp4", 1)
    clip(tmp_path / "p" / "2.mp4", 2, 30)
    clip(tmp_path / "p" / "3.gif", 3, 30)
    clip(tmp_path / "p" / "4.mp4", 4, 8, height=40, width=40)
    clip(tmp_path / "p" / "5.gif", 5, 8, height=40, width=40)
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(max_minutes=0.02, max_pixels=900))
    assert dataset.names == ["p/1.mp4"]
    assert reasons(dataset) == {
        "2.mp4": "too long: 3.0 seconds, at most 0.02 minutes (--max-minutes)",
        "3.gif": "too long: more than 0.02 minutes (--max-minutes)",
        "4.mp4": "frames of 40x40, at most 900 pixels are read",
        "5.gif": "40x40 is 1,600 pixels, at most 900 are read",
    }
    with pytest.raises(SourceError, match=r"too large: 0\.0 GB, at most 1e-07 are read \(--max-gigabytes\)"):
        prepare([tmp_path / "p"], tmp_path / "none", SMALL.replace(max_gigabytes=1e-7))
    assert not (tmp_path / "none").exists()


def test_a_folder_with_gaps_is_several_films(tmp_path: Path) -> None:
    numbers = [*range(3, 12), *range(15, 24), 40]
    numbered(tmp_path / "p", levels([10] * 9 + [200] * 9 + [5]), numbers, "shot_{:03}.png")
    listen = Listen()
    dataset = prepare([tmp_path / "p"], tmp_path / "out", EXACT.replace(source_fps=10.0), listen)
    assert "p/shot: numbers are missing in between, so it is 3 films, not one" in listen.sentences
    assert dataset.names == ["p/shot 3-11", "p/shot 15-23"]
    assert greys(dataset) == [[10] * 8, [200] * 8]
    assert reasons(dataset) == {"shot 40-40": "a single frame, nothing moves"}
    every_tenth = numbered(tmp_path / "q", levels(list(range(8))), range(0, 80, 10), "{}.png")
    assert greys(prepare([every_tenth], tmp_path / "out2", EXACT.replace(source_fps=10.0))) == [list(range(8))]


def test_numbered_animations_are_no_frames(tmp_path: Path) -> None:
    for number in range(3):
        clip(tmp_path / "p" / f"{number}.webp", number)
    assert len(prepare([tmp_path / "p"], tmp_path / "out", SMALL)) == 3


def test_a_damaged_frame_of_a_folder_is_named(tmp_path: Path) -> None:
    numbered(tmp_path / "p" / "a", moving(1, 8))
    numbered(tmp_path / "p" / "b", moving(2, 8))
    (tmp_path / "p" / "b" / "0004.png").write_bytes((tmp_path / "p" / "b" / "0004.png").read_bytes()[:70])
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(source_fps=10.0))
    assert dataset.names == ["p/a"]
    assert reasons(dataset)["b"].startswith("p/b/0004.png: the picture is damaged or incomplete")


# --- options


def test_fit_crop_pad_and_stretch(tmp_path: Path) -> None:
    wide = np.zeros((8, 16, 32, 3), np.uint8)
    wide[:, :, 8:24] = (0, 255, 0)
    for number in range(8):
        wide[number, :2, 8 : 8 + 2 * number] = 99
    lossless(tmp_path / "p" / "a.mkv", wide, np.arange(8) / 10)
    made = {
        fit: prepare([tmp_path / "p"], tmp_path / fit, SMALL.replace(fit=fit, background="red")).array("videos")[0, 0]
        for fit in ("crop", "pad", "stretch")
    }
    assert made["crop"][8].min(0).tolist() == [0, 255, 0]
    assert made["pad"][0, 0].tolist() == [255, 0, 0]
    assert made["stretch"][8, 0].tolist() == [0, 0, 0]


def test_pixel_art_keeps_its_edges_through_a_clip(tmp_path: Path) -> None:
    frames = np.zeros((8, 8, 8, 3), np.uint8)
    for number in range(8):
        frames[number, number, number] = 255
    lossless(tmp_path / "p" / "a.mkv", frames, np.arange(8) / 10)
    auto = prepare([tmp_path / "p"], tmp_path / "auto", SMALL).array("videos")
    assert set(np.unique(auto)) == {0, 255}
    assert len(np.unique(prepare([tmp_path / "p"], tmp_path / "smooth", SMALL.replace(upscale="smooth")).array("videos"))) > 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"resolution": 20}, r"--resolution takes a multiple of 8 from 8 to 1024, not 20; try 16 or 24"),
        ({"background": "nocolour"}, r"--background takes a colour such as white"),
        ({"frames": 1}, "frames"),
        ({"fps": 0.0}, "fps"),
        ({"stride": 0}, "stride"),
    ],
)
def test_options_out_of_range_are_refused(given: dict[str, int], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Prepare(**given)  # type: ignore[arg-type]


# --- stopped, gone on with, in parts


def test_the_number_of_workers_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ALONE", 0)
    for number in range(6):
        clip(tmp_path / "p" / f"{number}.mp4", number, 20)
    for count in (1, 2):
        prepare([tmp_path / "p"], tmp_path / f"out{count}", SMALL.replace(workers=count))
    one, two = files(tmp_path / "out1"), files(tmp_path / "out2")
    assert one == two


def test_a_stopped_prepare_goes_on(tmp_path: Path) -> None:
    for number in range(5):
        clip(tmp_path / "p" / f"{number}.mp4", number if number != 3 else 1, 20)
    whole = prepare([tmp_path / "p"], tmp_path / "whole", SMALL)
    with pytest.raises(Interrupted, match="stopped after 2 of 5 files; the same command again goes on from there"):
        prepare([tmp_path / "p"], tmp_path / "out", SMALL, Stop(2))
    assert not (tmp_path / "out" / "dataset.json").exists()
    progress = Listen()
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL, progress)
    assert progress.sentences[0] == "going on after 2 of 5 files"
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    assert dataset.manifest.skipped == whole.manifest.skipped
    assert len(dataset.manifest.skipped) == 2  # both clips of the third file were in the first
    again = Listen()
    prepare([tmp_path / "p"], tmp_path / "out", SMALL, again)
    assert again.sentences == [f"{tmp_path / 'out'}: this dataset is there already, with 8 clips"]
    with pytest.raises(OutputError, match="holds a dataset of other sources or options"):
        prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(frames=4))
    with pytest.raises(SourceError, match="a prepared dataset already; give it to artgen video train as it is"):
        prepare([tmp_path / "out"], tmp_path / "more", SMALL)


@pytest.mark.parametrize("ending", [".mp4", ".mkv", ".avi"])
def test_long_films_are_cut_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Parts begin where decoding cannot: each must find its own frames, none twice and none lost."""
    count = 64
    frames = levels([4 * number for number in range(count)])
    (tmp_path / "p").mkdir()
    if ending == ".mp4":
        video.encode(frames, 10, tmp_path / "p" / "a.mp4", "", "")
    else:
        lossless(tmp_path / "p" / f"a{ending}", frames, np.arange(count) / 10)
    options = EXACT.replace(cut="stride")
    whole = prepare([tmp_path / "p"], tmp_path / "whole", options)
    monkeypatch.setattr(planning, "PART", 1.6)
    monkeypatch.setattr(planning, "_LARGE", 0)
    progress = Listen()
    dataset = prepare([tmp_path / "p"], tmp_path / "parts", options, progress)
    assert progress.started == [("Preparing clips", 4, "parts")]
    assert np.array_equal(dataset.array("videos"), whole.array("videos"))
    assert dataset.names == whole.names
    assert len(dataset) == 8


def test_nothing_usable_tells_why_and_leaves_nothing(tmp_path: Path) -> None:
    for number in range(2):
        clip(tmp_path / "p" / f"{number}.gif", number, 3)
    with pytest.raises(
        SourceError, match=r"p: none of 2 files is a usable clip \(2 too short\); the first: p/0\.gif: too short: 3 frames"
    ):
        prepare([tmp_path / "p"], tmp_path / "out", SMALL.replace(short="skip"))
    assert not (tmp_path / "out").exists()


# --- told of


def test_show_tells_of_a_film_without_reading_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip(tmp_path / "a.mp4", 1, 30, height=48, width=32)
    told = show(turned(tmp_path / "a.mp4", (0, 1, -1, 0)))
    assert {name: told[name] for name in ("kind", "format", "width", "height", "frames", "fps", "seconds", "sound")} == {
        "kind": "video", "format": "mov", "width": 48, "height": 32, "frames": 30, "fps": 10.0, "seconds": 3.0, "sound": False,
    }  # fmt: skip
    monkeypatch.setattr(describe, "_COUNTED", 1.0)
    assert show(tmp_path / "a.mp4") == told
    clip(tmp_path / "b.gif", 2, 5)
    assert (show(tmp_path / "b.gif")["frames"], show(tmp_path / "b.gif")["fps"]) == (5, 10.0)


def test_the_command_prepares_and_shows_clips(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clip(tmp_path / "p" / "1.gif", 1, 9)
    (tmp_path / "p" / "2.mp4").write_bytes(b"")
    words = [
        "video",
        "prepare",
        str(tmp_path / "p"),
        "--output",
        str(tmp_path / "d"),
        "--resolution",
        "16",
        "--frames",
        "8",
        "--fps",
        "10",
    ]
    assert main(words) == 0
    said = capfd.readouterr()
    assert said.out == f"{tmp_path / 'd'}: 1 usable, 1 skipped\n"
    assert "the file is empty" in said.err
    told = show(tmp_path / "d")
    assert (told["of"], told["count"], told["fps"], told["films"], told["sheet"]) == ("video", 1, 10.0, 1, "clips.png")
    assert told["next"] == f"artgen video train {tmp_path / 'd'}"
    assert main([*words, "--background", "mud"]) == 2
    assert "--background takes a colour" in capfd.readouterr().err
