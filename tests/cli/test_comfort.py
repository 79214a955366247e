"""What makes the command line pleasant: the nearest name, a look at results, thumbnails, a summary of training, completion."""

from __future__ import annotations

import base64
import io
import json
import os
import pty
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noise_plugin
import numpy as np
import pytest
from noise_fixtures import cat, dataset, model, place  # noqa: F401 - fixtures
from PIL import Image as Pillow
from typed import run  # noqa: F401 - fixtures

from artgen import registry
from artgen.artwork import Audio, Image, Text, Video
from artgen.backend import VERBS
from artgen.cli import main, own, verbs, viewing
from artgen.cli.progress import Bars
from artgen.errors import OutputError, UsageError
from artgen.files import similar
from artgen.settings import setting, thumbnails

pytestmark = pytest.mark.usefixtures("place")
# ruff: noqa: F811 - fixtures are imported and then named as arguments


# help


@pytest.mark.parametrize("words", [name.split() for name, _ in own.documented()], ids=" ".join)
def test_every_command_of_its_own_has_examples_that_are_understood(run: Any, words: list[str]) -> None:
    code, out, _ = run(*words, "--help")
    assert code == 0
    assert "Examples:\n    artgen " in out
    each = dict(own.documented())[" ".join(words)]
    for example in each.examples:
        assert example.split()[1 : 1 + len(words)] == words
        assert example in out


# the nearest name


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("image generate --backend noise --tone wram", "did you mean warm?"),
        ("image train x --backend gan --preset skech", "did you mean sketch?"),
        ("image generate --backend noise --recipe mininal", "did you mean minimal?"),
        ("image generate --backend noise --format pgn", "did you mean png?"),
        ("image generate --backend nois", "did you mean noise?"),
        ("image generate --model watercolors", "did you mean watercolours?"),
        ("image generate --model moddel", "did you mean model?"),
        ("image modify foto.png --backend noise --model model", "did you mean photo.png?"),
        ("show foto.png", "did you mean photo.png?"),
        ("replay foto.png", "did you mean photo.png?"),
        ("image train picturs --backend noise", "did you mean pictures?"),
        ("image prepare picturs/a -o x --backend gan", "did you mean pictures?"),
        ("image evaluate model dateset --backend noise", "did you mean dataset?"),
        ("models pictrues", "did you mean pictures?"),
        ("doctor --only deviecs", "did you mean devices?"),
        ("hystory", "did you mean history?"),
        ("show watercolors", "did you mean watercolours?"),
        ("models watercolors", "did you mean watercolours?"),
        ("models watercolours", "watercolours is a starter"),
        ("image gen", "no command 'gen' of artgen image; did you mean generate?"),
        ("image Generate", "did you mean generate?"),
        ("image create", "did you mean generate?"),
        ("image xyz", "no command 'xyz' of artgen image; it has prepare, train, generate, modify, evaluate"),
        ("img generate", "no command 'img' of artgen; did you mean image?"),
        ("music generate", "did you mean audio?"),
        ("gen", "gen is what to do with works of one kind: artgen image generate"),
        ("history ls", "artgen history alone lists the works"),
        ("history 12", "one work: artgen history show 12"),
        ("plugin instal x", "did you mean install?"),
        ("image --backend noise generate", "options stand behind the verb: artgen image generate --backend …"),
        ("--seed 7 image generate", "options stand behind the command: artgen image generate --seed …"),
        ("image generate --version", "--version stands alone: artgen --version"),
        ("image generate --backend noise 3", "for so many works type artgen image generate -n 3"),
        ("text generate Once", "artgen text generate --prompt Once"),
        ("doctor devices", "artgen doctor --only devices"),
        ("show a b", "artgen show has no place for b; see artgen show --help"),
        ("generate", "generate is what to do with works of one kind: artgen image generate"),
    ],
)
def test_a_mistyped_name_brings_the_nearest(run: Any, line: str, hint: str) -> None:
    noise_plugin.save_noise(Path("model"), [1, 2, 3], 30.0, 8)
    Path("pictures").mkdir()
    Path("dataset").mkdir()
    Pillow.new("RGB", (8, 8)).save("photo.png")
    code, out, err = run(*line.split())
    assert (code, out) == (2, "")
    assert hint in err


def test_similar_names_of_files(tmp_path: Path) -> None:
    (tmp_path / "photos" / "summer").mkdir(parents=True)
    assert similar(tmp_path / "fotos") == f"; did you mean {tmp_path / 'photos'}?"
    assert similar(tmp_path / "fotos" / "summer") == f"; did you mean {tmp_path / 'photos' / 'summer'}?"
    assert similar(tmp_path / "fotos" / "winter") == f"; did you mean {tmp_path / 'photos'}?"
    assert similar(tmp_path / "zebra") == ""
    assert similar("/") == ""


# the system's viewer


@pytest.fixture
def viewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A viewer that writes down what it is given."""
    folder, log = tmp_path / "programs", tmp_path / "opened.txt"
    folder.mkdir()
    script = folder / "xdg-open"
    script.write_text(f'#!/bin/sh\necho "$1" >> "{log}"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    yield log
    for process in viewing._started:
        process.wait()


def opened(log: Path, count: int) -> list[str]:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        lines = log.read_text().splitlines() if log.is_file() else []
        if len(lines) >= count:
            return sorted(lines)
        time.sleep(0.02)
    return []


def test_open_shows_each_result_or_the_folder_of_many(run: Any, model: Path, viewer: Path) -> None:
    assert run("image", "generate", "--model", model, "--seeds", "1,2", "--open", "-o", "a/")[0] == 0
    here = Path.cwd()
    assert opened(viewer, 2) == [str(here / "a" / f"hum-seed000{number}.png") for number in (1, 2)]
    viewer.unlink()
    assert run("image", "generate", "--model", model, "-n", "5", "--seed", "1", "--open", "-o", "b/", "--json")[0] == 0
    assert opened(viewer, 1) == [str(here / "b")]
    viewer.unlink()
    assert run("show", "a/hum-seed0001.png", "--open")[0] == 0
    assert opened(viewer, 1) == [str(here / "a" / "hum-seed0001.png")]


def test_a_machine_without_a_viewer_keeps_the_work(run: Any, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewing.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", "linux")
    code, out, err = run("image", "generate", "--model", model, "--seed", "1", "--open", "-o", "a.png")
    assert (code, out) == (0, "a.png\n")
    assert err.startswith("no viewer found (xdg-open is not installed); open ")
    with pytest.raises(OutputError):
        viewing.open_files(["a.png"])


def test_open_needs_a_file_of_a_text(run: Any) -> None:
    code, _, err = run("text", "generate", "--model", "x", "--open")
    assert (code, err) == (2, "artgen: --open shows a file; give --output too, or leave --open out\n")


# thumbnails


PICTURE = Image(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def seen_by_kitty(text: str) -> Pillow.Image:
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert [head.rpartition("m=")[2] for head, _ in pieces] == ["1"] * (len(pieces) - 1) + ["0"]
    assert all(len(data) <= 4096 for _, data in pieces)
    assert "a=T,f=100" in pieces[0][0]
    return Pillow.open(io.BytesIO(base64.b64decode("".join(data for _, data in pieces))))


def seen_by_sixel(text: str) -> np.ndarray[Any, Any]:
    """The pixels that a terminal would draw, by the DEC manual."""
    head, body = re.fullmatch(r'\x1bPq"1;1;(\d+;\d+)(.*)\x1b\\', text, re.DOTALL).groups()  # type: ignore[union-attr]
    width, height = map(int, head.split(";"))
    pixels = np.zeros((height + 6, width, 3), int)
    palette: dict[str, tuple[int, ...]] = {}
    x = y = 0
    colour = "0"
    for token in re.finditer(r"#(\d+);2;(\d+);(\d+);(\d+)|#(\d+)|!(\d+)(.)|([?-~])|(\$)|(-)", body):
        define, red, green, blue, use, count, repeated, plain, back, line = token.groups()
        if define:
            palette[define] = (int(red), int(green), int(blue))
        elif use:
            colour = use
        elif back or line:
            x, y = 0, y + (6 if line else 0)
        else:
            bits, run = ord(repeated or plain) - 63, int(count or 1)
            for row in range(6):
                if bits >> row & 1:
                    pixels[y + row, x : x + run] = palette[colour]
            x += run
    return pixels[:height]


def test_each_protocol_carries_the_picture() -> None:
    picture = viewing.portrait(PICTURE)
    assert picture is not None
    assert picture.size == (240, 160)  # 8 times, and its pixels kept sharp
    assert np.array_equal(np.asarray(picture)[::8, ::8], PICTURE.pixels)
    assert np.array_equal(np.asarray(seen_by_kitty(viewing.kitty(picture))), np.asarray(picture))
    found = re.fullmatch(r"\x1b\]1337;File=inline=1;size=(\d+);width=240px:(.+)\x07", viewing.iterm(picture))
    assert found is not None
    data = base64.b64decode(found[2])
    assert len(data) == int(found[1])
    assert np.array_equal(np.asarray(Pillow.open(io.BytesIO(data))), np.asarray(picture))
    few = Pillow.new("RGB", (13, 9), (255, 0, 0))
    few.paste((0, 51, 255), (3, 2, 9, 8))
    drawn = seen_by_sixel(viewing.sixel(few))
    assert np.array_equal(drawn, np.asarray(few).astype(int) * 100 // 255)


def test_every_kind_of_work_has_a_portrait_or_none() -> None:
    clip = viewing.portrait(Video(np.zeros((3, 600, 300, 3), np.uint8)))
    assert clip is not None
    assert clip.size == (128, 256)
    assert viewing.portrait(Audio(np.zeros((8000, 1), np.float32), 8000)) is not None
    assert viewing.portrait(Text("words")) is None


@pytest.mark.parametrize(
    ("environment", "answer", "kind"),
    [
        ({"TERM": "xterm-kitty"}, [], "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, [], "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, [], "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, [], "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, [], "iterm"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, [], "iterm"),
        ({"TERM": "foot"}, ["22", "4"], "sixel"),
        ({"TERM": "xterm-256color"}, ["1", "2", "14"], ""),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x"}, [], ""),
        ({"TERM": "dumb"}, ["4"], ""),
        ({}, ["4"], ""),
    ],
)
def test_terminals_are_told_apart(
    environment: dict[str, str], answer: list[str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "LC_TERMINAL", "TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(viewing, "_knows_sixel", lambda: "4" in answer)
    assert viewing.terminal() == kind


def test_a_terminal_is_asked_and_left_as_it_was() -> None:
    import termios

    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)

    def answer() -> None:
        assert os.read(master, 16) == b"\x1b[c"
        os.write(master, b"\x1b[?62;4;22c")

    thread = threading.Thread(target=answer)
    thread.start()
    assert viewing.ask(slave) == ["4", "22"]
    thread.join()
    assert viewing.ask(slave) == []  # nobody answers
    assert termios.tcgetattr(slave) == before
    os.close(slave)
    os.close(master)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_thumbnails_stand_below_names_on_terminals_alone(
    run: Any, model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["image", "generate", "--model", str(model), "--seed", "1", "-o", "out/"]
    monkeypatch.setenv("TERM", "xterm-kitty")
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("ARTGEN_CONFIG", str(tmp_path))
    assert "\x1b" not in run(*words)[1]  # a pipe

    def shown(*more: str) -> str:
        screen = Terminal()
        monkeypatch.setattr(sys, "stdout", screen)
        assert main([*words, *more]) == 0
        return screen.getvalue()

    assert shown().startswith("out/hum-seed0001-2.png\n\x1b_G")
    assert "\x1bPq" in shown("--thumbnail", "sixel")
    assert "\x1b" not in shown("--thumbnail", "never")
    assert "\x1b" not in shown("--json")
    monkeypatch.setenv("ARTGEN_THUMBNAILS", "iterm")
    assert "\x1b]1337" in shown()
    monkeypatch.delenv("ARTGEN_THUMBNAILS")
    (tmp_path / "settings.toml").write_text('thumbnails = "never"\n')
    assert "\x1b" not in shown()
    (tmp_path / "settings.toml").unlink()
    assert shown("-n", "20").count("\x1b_G") >= 12
    assert shown("-n", "20").count("a=T") == 12
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert main(["show", "out/hum-seed0001.png"]) == 0
    assert screen.getvalue().startswith("\x1b_G")


def test_wrong_settings_get_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARTGEN_CONFIG", str(tmp_path))
    assert setting("thumbnails") is None
    monkeypatch.setenv("ARTGEN_THUMBNAILS", "big")
    with pytest.raises(UsageError, match="ARTGEN_THUMBNAILS takes auto, kitty, iterm, sixel, never, not big"):
        thumbnails()
    monkeypatch.delenv("ARTGEN_THUMBNAILS")
    (tmp_path / "settings.toml").write_text("thumbnails = 3\n")
    with pytest.raises(UsageError, match="thumbnails takes auto, kitty, iterm, sixel, never, not 3"):
        thumbnails()


# progress and summary


def test_bars_show_rate_and_remaining_time() -> None:
    now = [10.0]
    bars = Bars(lambda: now[0])
    bars.start("counting", 10, "items")
    try:
        columns = [type(column).__name__ for column in bars._bars.columns]
        assert "TimeElapsedColumn" in columns
        task = bars._bars.tasks[0]
        now[0] += 2
        bars.advance(4)
        assert task.fields["times"] == "2 a second, 3 s left"
        bars.expect(20, before=6)
        now[0] += 2
        bars.advance(2)
        assert (task.completed, task.total, task.fields["times"]) == (12, 20, "1.5 a second, 5 s left")
        bars.expect(30, seconds=100)
        now[0] += 1
        bars.advance(1)
        assert task.fields["times"] == "1.4 a second, 2 min left"
    finally:
        bars.finish()


def test_a_training_ends_in_a_summary(run: Any, dataset: Path) -> None:
    words = ["image", "train", dataset, "--backend", "noise", "--steps", "6", "--batch-size", "4", "--previews", "3"]
    code, out, err = run(*words, "-o", "run")
    assert (code, out) == (0, f"{Path('run/model').resolve()}\n")
    assert err.startswith("run: run\n")
    assert "next: artgen image generate --model run\n" in err
    assert f"next: artgen image evaluate run {dataset.resolve()}\n" in err
    assert "next: artgen image train --resume --output run\n" in err
    told = json.loads(run(*words, "-o", "again", "--json")[1])["summary"]
    assert (told["improved"], told["previews"]) == ([], "")  # a backend with a loop of its own need not tell


def test_the_summary_tells_what_improved_and_the_best_step(tmp_path: Path) -> None:
    from artgen.describe import summary

    run = tmp_path / "run"
    noise_plugin.save_noise(run / "model", [1, 2, 3], 30.0, 8)
    (run / "previews").mkdir()
    for name in ("0000000000.png", "0000000000-2.ogg", "codec-0000000000.png", "codec-0000000000-2.ogg", "notes.txt"):
        (run / "previews" / name).touch()  # a picture and a sound are one look
    (run / "timelapse.gif").touch()
    (run / "config.toml").write_text('backend = "image.noise"\ndataset = "/data"\n')
    fds = {2: 90.5, 4: 40.25, 6: 55.0}
    lines = [{"step": step, "items": step * 8, "seconds": step, "fd": value} for step, value in fds.items()]
    lines.insert(1, {"step": 3, "items": 24, "seconds": 3, "loss": 1.5})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = summary(run)
    assert found["improved"] == [{"name": "loss", "first": 1.5, "first_step": 3, "last": 1.5}]  # nothing chose the best
    config = run / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scores": {"fd": 40.25}}))
    found = summary(run)
    assert found["improved"] == [{"name": "fd", "first": 90.5, "first_step": 2, "last": 55.0, "best": 40.25, "best_step": 4}]
    assert (found["steps"], found["items"], found["count"], found["timelapse"]) == (6, 48, 2, str(run / "timelapse.gif"))
    assert verbs._summary_lines(found) == [
        "fd: 90.5 at step 2, 55 at the end, the best 40.25 at step 4",
        "seen: 48 items in 6 steps, 6 s",
        f"previews: {run}/previews (2), {run}/timelapse.gif",
        f"next: artgen image generate --model {run}",
        f"next: artgen image evaluate {run} /data",
        f"next: artgen image train --resume --output {run}",
    ]


def test_what_is_not_given_is_not_shown() -> None:
    assert verbs._fact_lines({"recipe": {"options": {"class_": "soft", "mask": None, "amount": 0}}}) == [
        "recipe:",
        "  options: class soft, amount 0",
    ]


# completion


def test_completion_of_every_shell_and_of_artgens_own_commands(tmp_path: Path) -> None:
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}

    def complete(shell: str, line: str) -> str:
        count = len(line.split()) - (not line.endswith(" "))
        more = {"_ARTGEN_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(count), "_TYPER_COMPLETE_ARGS": line}
        done = subprocess.run([sys.executable, "-m", "artgen"], env={**environment, **more}, capture_output=True, text=True)
        return done.stdout

    for shell in ("bash", "zsh"):
        assert "export" in complete(shell, "artgen history e")
        assert "--only" in complete(shell, "artgen doctor --on")
    assert "--sample" in complete("bash", "artgen models --sa")
    assert "deepdream" not in complete("bash", "artgen history ")


def test_all_commands_are_named(run: Any) -> None:
    out = run("--help")[1]
    for name in (*registry.MODALITIES, "backends", "models", "show", "replay", "history", "doctor", "plugin"):
        assert re.search(rf"^  {name} ", out, re.MULTILINE)
    assert all(verb in run("image", "--help")[1] for verb in VERBS)
