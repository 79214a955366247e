"""The small parts of the command line: seeds, places, progress, scanning, flags."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest

from artgen.artwork import Image, Video
from artgen.cli import main
from artgen.cli.flags import command, flag_names
from artgen.cli.places import Places, safe, seed_text
from artgen.cli.progress import Bars, Lines, digits, duration
from artgen.cli.scan import scan, words_to_complete
from artgen.cli.seeds import parse_seeds
from artgen.cli.voice import Voice, bytes_text, shortened
from artgen.errors import OptionError, OutputError, UnusableBackendError
from artgen.options import Meta, Options

PICTURE = Image(np.zeros((2, 2, 3), np.uint8), seeds=(7,))
CLIP = Video(np.zeros((2, 2, 2, 3), np.uint8), seeds=(7, 8))


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("7", [7]),
        ("0,1,4-6", [0, 1, 4, 5, 6]),
        ("6-4", [6, 5, 4]),
        (" 3 , 1 - 2 ", [3, 1, 2]),
        ("1,1,0-2", [1, 0, 2]),
        ("5-5", [5]),
    ],
)
def test_seeds_as_typed(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1,,2", "-1", "1-", "1.5", "0-99999999999"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="--seeds takes"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("output", "format_", "extra", "expected"),
    [
        (None, None, "", "hum-seed0007.png"),
        (None, "webp", "0007", "hum-seed0007.webp"),
        ("out/", None, "0007", "out/hum-seed0007.png"),
        ("there", None, "", "there/hum-seed0007.png"),
        ("cat.png", None, "", "cat.png"),
        ("cat.png", None, "0007", "cat-0007.png"),
        ("cat", "jpg", "", "cat.jpg"),
        ("cat.JPG", "jpg", "", "cat.JPG"),
        ("x/{model}_{seed}.webp", None, "0007", "x/hum_0007.webp"),
    ],
)
def test_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str | None, format_: str | None, extra: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    places = Places.chosen(output, format_, known=("seed", "model"))
    assert places.path(PICTURE, label="hum-seed0007", extra=extra, model="hum") == Path(expected)


def test_a_clip_in_a_folder_is_a_film(tmp_path: Path) -> None:
    path = Places.chosen(f"{tmp_path}/", None).path(CLIP, label="hum")
    assert path == tmp_path / "hum.mp4"


@pytest.mark.parametrize(
    ("output", "format_", "sentence"),
    [
        (None, "bmp", "--format takes png, .*, not bmp"),
        ("cat.txt", None, "--output cat.txt: works are saved as .png, .*, not .txt; a folder ends in /"),
        ("cat", None, "--output cat: works are saved as .*, not no ending"),
        ("cat.png", "jpg", "--output cat.png and --format jpg contradict each other; leave one out"),
        ("{colour}.png", None, r"--output \{colour\}.png: knows \{seed\}, not \{colour\}"),
    ],
)
def test_places_that_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str | None, format_: str | None, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=sentence):
        Places.chosen(output, format_, known=("seed",))


def test_a_clip_is_no_picture_file_and_that_is_said_before_it_is_made(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"works are saved as \.mp4, \.webm, \.gif, \.webp, not \.png; a folder ends in /"):
        Places.chosen(f"{tmp_path}/a.png", None, modality="video")
    assert Places.chosen(f"{tmp_path}/a.mp4", None, modality="image").path(CLIP, label="walk") == tmp_path / "a.mp4"


def test_a_folder_below_a_file_and_one_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, not a folder; choose another --output"):
        Places.chosen(f"{tmp_path}/file/below/", None)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="no permission to write there; choose another --output"):
        Places.chosen(f"{tmp_path}/new/", None)


def test_names_cannot_leave_their_folder() -> None:
    assert safe("../../etc/passwd") == "_.._etc_passwd"
    assert safe("..") == "work"
    assert [seed_text(seeds) for seeds in ((), (7,), (7, 9))] == ["none", "0007", "0007-0009"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_seldom_and_tell_rate_and_rest() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.start("training", 100, "steps")
    for _ in range(40):
        clock.now += 0.25
        lines.advance(1, "loss 0.5")
    assert stream.getvalue().splitlines() == [
        "training: 20 of 100 steps, 4 a second, 20 s left, loss 0.5",
        "training: 40 of 100 steps, 4 a second, 15 s left, loss 0.5",
    ]
    lines.finish()
    assert stream.getvalue().splitlines()[-1].startswith("training: 40 of 100 steps")
    assert len(stream.getvalue().splitlines()) == 3
    lines.start("short")
    lines.advance()
    lines.partial(PICTURE)
    lines.finish()
    lines.say("done")
    assert stream.getvalue().splitlines()[3:] == ["done"]
    # One piece inside another: the outer one counts on.
    lines.start("outer", 3_000_000, "bytes")
    lines.advance(1_000_000)
    lines.start("inner")
    lines.advance()
    lines.finish()
    clock.now += 10
    lines.advance(1_000_000)
    lines.start("inner")
    clock.now += 1000  # which are not the outer's
    lines.finish()
    lines.finish()
    lines.advance()
    assert stream.getvalue().splitlines()[4:] == 2 * ["outer: 2,000,000 of 3,000,000 bytes, 200,000 a second, 5 s left"]


def test_what_was_done_before_counts_for_no_rate() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.expect(5)  # of nothing
    lines.start("training", 1000, "items")
    lines.expect(1000, before=600)
    for _ in range(10):
        clock.now += 1
        lines.advance(10)
    lines.expect(900)
    clock.now += 5
    lines.advance(50)
    assert stream.getvalue().splitlines() == [
        "training: 650 of 1,000 items, 10 a second, 35 s left",
        "training: 700 of 1,000 items, 10 a second, 30 s left",
        "training: 750 of 900 items, 10 a second, 15 s left",
    ]


def test_the_end_is_told_once() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.start("composing", 0.3, "seconds")
    for _ in range(3):
        clock.now += 6
        lines.advance(0.1)  # three of these are a little more or less than 0.3
    lines.finish()
    assert [line.split(" seconds")[0] for line in stream.getvalue().splitlines()] == [
        "composing: 0.1 of 0.3",
        "composing: 0.2 of 0.3",
        "composing: 0.3 of 0.3",
    ]


def test_a_rate_is_of_the_last_minute() -> None:
    stream, clock = io.StringIO(), Clock()
    lines = Lines(stream, clock)
    lines.start("growing", 2000, "items")
    for step in range(400):
        clock.now += 0.5
        lines.advance(10 if step < 100 else 1)  # 20 a second, then 2
    assert stream.getvalue().splitlines()[9] == "growing: 1,000 of 2,000 items, 20 a second, 50 s left"
    assert stream.getvalue().splitlines()[-1] == "growing: 1,300 of 2,000 items, 2 a second, 6 min left"


@pytest.mark.parametrize(
    ("number", "told"), [(0.3829, "0.383"), (12.0, "12"), (59.44, "59.4"), (581.054, "581"), (1.24e8, "124,000,000"), (0, "0")]
)
def test_numbers_of_progress_are_written_out(number: float, told: str) -> None:
    assert digits(number) == told


def test_bars_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    bars = Bars()
    bars.say("before [bold]")
    bars.advance()
    bars.finish()
    bars.start("outer [x]", 3, "pictures")
    bars.start("inner")
    bars.advance(1, "[note]")
    bars.say("between [bold]")
    bars.partial(PICTURE)
    bars.finish()
    bars.advance(2)
    bars.finish()
    bars.expect(7)
    bars.start("left open", 2)
    bars.expect(9, before=4)
    bars.advance()
    bars.say("over")
    bars.close()
    written = capsys.readouterr()
    assert written.out == ""
    assert "before [bold]" in written.err
    assert "between [bold]" in written.err


def test_durations_and_sizes() -> None:
    assert [duration(seconds) for seconds in (45, 89.6, 720, 11100)] == ["45 s", "90 s", "12 min", "3 h 5 min"]
    assert [bytes_text(size) for size in (512, 3200, 1_400_000, 2_000_000_000)] == ["512 bytes", "3.2 kB", "1.4 MB", "2 GB"]


def test_long_lists_are_shortened() -> None:
    rows, rest = shortened([(str(number), "why") for number in range(25)], "dataset.json")
    assert (len(rows), rest) == (20, "… and 5 more; dataset.json lists all")
    assert shortened([("a", "b")], "x") == ([("a", "b")], "")


def test_a_voice_on_a_terminal_draws_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(Voice().progress, Bars)


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("", {"command": "", "verb": "", "completion": True, "helps": (True, True)}),
        ("image generate --json", {"command": "image", "verb": "generate", "json": True, "helps": (False, False)}),
        ("image --help generate", {"helps": (False, True)}),
        ("-h image generate", {"helps": (True, False)}),
        ("image generate --backend noise --debug", {"backend": "noise", "debug": True, "completion": False}),
        ("image generate --backend=noise", {"backend": "noise"}),
        ("image generate --backend", {"backend": None}),
        ("image train x --config gone.toml", {"backend": None}),
        ("image evaluate gone here", {"backend": None}),
        ("--show-completion bash", {"completion": True}),
    ],
)
def test_scan(line: str, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("_ARTGEN_COMPLETE", raising=False)
    found = scan(line.split())
    assert {name: getattr(found, name) for name in facts} == facts


def test_scan_reads_the_backend_of_models_and_configurations(tmp_path: Path) -> None:
    from noise_plugin import save_noise

    model = str(save_noise(tmp_path / "hum", [1, 2, 3], 1.0, 4).folder)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.toml").write_text('backend = "image.noise"\n')
    for words in (
        ["image", "generate", "--model", model],
        ["image", "evaluate", "--output", model, model, "data"],
        ["image", "train", "x", "--config", str(run / "config.toml")],
        ["image", "train", "--resume", "-o", str(run)],
    ):
        assert scan(words).backend == "noise", words
    assert scan(["image", "evaluate", "--output", model, "data"]).backend is None
    (run / "config.toml").write_text("backend = 3")
    assert scan(["image", "train", "--resume", "--output", str(run)]).backend is None


def test_words_that_a_shell_completes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_WORDS", "artgen\nimage\ngenerate\n--tr")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert words_to_complete() == ["image", "generate"]
    monkeypatch.delenv("COMP_WORDS")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "artgen image 'open quote")
    assert words_to_complete() == ["image", "'open", "quote"]


def test_a_flag_of_artgens_own_cannot_be_taken() -> None:
    class Own(Options):
        output: Annotated[str, Meta(description="Ours.")] = ""

    class Theirs(Options):
        output: Annotated[str, Meta(description="Mine.")] = ""

    with pytest.raises(UnusableBackendError, match="declares --output, which is one of artgen's own flags; rename it"):
        command([], Own, [Theirs], lambda own, options, arguments: None)
    assert flag_names(Own, [Theirs]) == ["--output", "--output"]


@pytest.mark.parametrize(("output", "format_"), [("a.gif", None), ("a.webp", None), ("art/", "gif"), ("{seed}.gif", None)])
def test_films_with_sound_need_a_format_for_it(output: str, format_: str | None) -> None:
    with pytest.raises(OptionError, match=r"--audio: \.(gif|webp) has no sound; save as \.mp4 or \.webm"):
        Places.chosen(output, format_, known=("seed",), sound=True)
    Places.chosen(output, format_, known=("seed",))
    for fitting in ("a.mp4", "a.webm", "art/"):
        Places.chosen(fitting, None, sound=True)


def test_a_format_without_sound_is_refused_before_any_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "generate", "--audio", "nowhere.wav", "--output", str(tmp_path / "a.gif")]) == 2
    assert "--audio: .gif has no sound" in capfd.readouterr().err
