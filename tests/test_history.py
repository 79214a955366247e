"""The history: what was made is found again, and nothing that happens to it costs a work."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise_fixtures import model, place  # noqa: F401 - fixtures
from typed import run  # noqa: F401 - fixtures

import artgen
from artgen import history
from artgen.artwork import Image
from artgen.errors import ArtgenError, OptionError, UsageError
from artgen.recipe import Recipe

# ruff: noqa: F811 - fixtures are imported and then named as arguments


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The history of this test, switched on, and settings that nobody made."""
    path = tmp_path / "data" / "history.sqlite"
    monkeypatch.setenv("ARTGEN_HISTORY", str(path))
    monkeypatch.setenv("ARTGEN_CONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(history, "_given_up", False)
    return path


def recipe(**changes: Any) -> Recipe:
    facts: dict[str, Any] = {"artgen": "1", "verb": "generate", "backend": "image.noise", "seeds": (7,)}
    return Recipe(**{**facts, "model": {"name": "hum", "sha256": "abc123"}, **changes})


def picture(**changes: Any) -> Image:
    return Image(np.zeros((2, 2, 3), np.uint8), recipe=recipe(**changes))


def numbers(**asked: Any) -> list[int]:
    return [entry.id for entry in history.search(**asked)]


def test_every_saved_work_is_remembered_with_its_recipe(tmp_path: Path, base: Path) -> None:
    assert history.search() == []
    assert not base.exists()  # a question makes no file
    path = picture(options={"prompt": "a fox", "style": "ink"}).save(tmp_path / "a.png", recipe="none")
    picture(options={}, seeds=(1, 2**63 - 1)).save(tmp_path / "b.jpg")
    Image(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "c.png")  # nobody's: no recipe
    second, first = history.search()
    assert (first.path, first.there, first.modality, first.backend, first.model) == (str(path), True, "image", "image.noise", "hum")
    assert (first.prompt, first.recipe.options["style"]) == ("a fox", "ink")  # also where the file tells nothing
    assert second.recipe.seeds == (1, 2**63 - 1)
    assert abs(datetime.fromisoformat(first.made) - datetime.now(UTC)) < timedelta(minutes=1)
    assert base.stat().st_mode & 0o077 == 0
    path.unlink()
    assert not history.get(1).there


def test_works_are_found_by_prompt_model_seed_and_date(monkeypatch: pytest.MonkeyPatch) -> None:
    history.record(recipe(options={"prompt": "A Fox_100%"}), "a.png")
    history.record(
        recipe(options={"prompt": ["two", "prompts"]}, seeds=(8, 9), model={"name": "plates", "sha256": "ffee00"}), "b.png"
    )
    history.record(recipe(backend="text.transformer", model={}))
    assert numbers() == [3, 2, 1]
    assert numbers(limit=2) == [3, 2]
    assert numbers(prompt="fox") == [1]
    assert numbers(prompt="x_1") == [1]
    assert numbers(prompt="%") == [1]  # no wildcard of SQL
    assert numbers(prompt="xx1") == []
    assert numbers(prompt="prompts") == [2]
    assert numbers(model="late") == [2]
    assert numbers(model="ffee") == [2]
    assert numbers(model="fee0") == []
    assert numbers(seed=9) == [2]
    assert numbers(seed=7) == [3, 1]
    assert numbers(modality="text") == [3]
    assert numbers(backend="noise") == numbers(backend="image.noise") == [2, 1]
    assert numbers(since="today", prompt="fox") == [1]
    assert numbers(until="yesterday") == []
    assert numbers(since="1h", until="today", seed=8) == [2]
    assert numbers(since="2999-01-01") == []
    for text in ("soon", "5x", "2026-13-01"):
        with pytest.raises(OptionError, match=f"--since takes a day .2026-11-26., .* not {text}"):
            history.search(since=text)
    monkeypatch.setenv("TZ", "UTC")
    assert history.moment("--until", "2026-11-26", end=True) > history.moment("--since", "2026-11-26 12:00")


def test_it_can_be_switched_off(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    settings = tmp_path / "config" / "settings.toml"
    monkeypatch.setenv("ARTGEN_HISTORY", "off")
    history.record(recipe(), "a.png")
    monkeypatch.delenv("ARTGEN_HISTORY")
    monkeypatch.setenv("ARTGEN_HOME", str(tmp_path / "home"))
    settings.write_text("history = false\n")
    history.record(recipe(), "a.png")
    assert history.search() == []
    monkeypatch.setenv("ARTGEN_HISTORY", "on")  # the environment wins
    history.record(recipe(), "a.png")
    assert history.place() == tmp_path / "home" / "history.sqlite"
    assert numbers() == [1]
    assert not base.exists()
    with history.paused():
        history.record(recipe(), "b.png")
    assert numbers() == [1]


@pytest.mark.parametrize(
    ("text", "told"),
    [("history = 3", "history takes true, false, not 3"), ("x = 1", "no setting 'x'"), ("=", "no TOML")],
)
def test_damaged_settings_cost_a_sentence_and_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings.toml").write_text(text)
    monkeypatch.delenv("ARTGEN_HISTORY")
    assert picture().save(tmp_path / "a.png").is_file()
    assert told in caplog.text


def damage(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"this was a database once" * 400)


def forbid(path: Path) -> None:
    path.parent.write_text("a file where the folder should be")


def newer(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 99")
    file.close()


@pytest.mark.parametrize(
    ("harm", "told"),
    [(damage, "file is not a database"), (forbid, "File exists"), (newer, "written by a newer artgen")],
)
def test_a_history_that_cannot_be_written_costs_one_sentence(
    tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture, harm: Any, told: str
) -> None:
    harm(base)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            assert picture().save(tmp_path / f"{number}.png").is_file()
    assert len(caplog.records) == 1  # not one a work
    assert told in caplog.text
    assert "the work is kept, the history is not written" in caplog.text


def test_a_locked_history_is_waited_for_once(
    tmp_path: Path, base: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.record(recipe(), "a.png")
    monkeypatch.setattr(history, "_PATIENCE", 0.05)
    other = sqlite3.connect(base, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        assert picture().save(tmp_path / "b.png").is_file()
        assert "database is locked" in caplog.text
        with pytest.raises(ArtgenError, match="another process has locked it"):
            history.verify()
    finally:
        other.rollback()
        other.close()
    assert numbers() == [1]


def test_a_damaged_history_is_told_to_a_reader(base: Path, run: Any) -> None:
    damage(base)
    code, out, err = run("history")
    assert (code, out) == (1, "")
    assert "damaged (file is not a database); move it away and a new one is begun: mv " in err


def test_several_processes_write_at_once(tmp_path: Path, base: Path) -> None:
    code = (
        "from artgen import history\nfrom artgen.recipe import Recipe\nimport sqlite3, sys\n"
        "print('ready', flush=True)\nsys.stdin.read()\n"  # so that all of them find no history and make one
        "for seed in range(25):\n"
        "    work = Recipe(artgen='1', verb='generate', backend='image.noise', seeds=(seed,))\n"
        "    history.record(work, f'{sys.argv[1]}-{seed}.png')\n"
    )
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=tmp_path, **pipes))
            for number in range(4)
        ]
        assert [process.stdout.readline() for process in started if process.stdout] == ["ready\n"] * 4
        for process in started:
            if process.stdin:
                process.stdin.close()
        assert [process.stderr.read() for process in started if process.stderr] == [""] * 4
    assert [process.wait() for process in started] == [0, 0, 0, 0]
    assert len(history.search()) == 100
    assert len(history.search(seed=3)) == 4
    assert history.verify() == 100


def test_a_history_that_another_process_is_making(base: Path) -> None:
    base.parent.mkdir()
    with contextlib.closing(sqlite3.connect(base, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # as where another process switches to WAL: to switch, SQLite does not wait for it
        assert history.search() == []
        writer = threading.Thread(target=history.record, args=(recipe(), "a.png"))
        writer.start()
        writer.join(0.3)
        other.rollback()
        writer.join()
    assert numbers() == [1]


def test_works_are_forgotten_for_good(base: Path) -> None:
    for seed in range(3):
        history.record(recipe(seeds=(seed,), options={"prompt": f"secret-{seed}"}), "a.png")
    assert history.forget([1, 99]) == 1
    assert numbers(seed=0) == []
    assert history.forget() == 2
    assert numbers() == []
    assert history.verify() == 0
    left = b"".join(path.read_bytes() for path in base.parent.iterdir() if not path.name.endswith("-wal"))
    assert b"secret-" not in left


def test_export_in_every_form(tmp_path: Path) -> None:
    history.record(recipe(options={"prompt": "füchse"}), "a.png")
    history.record(recipe(seeds=(1, 2)), "b.png")
    found = history.search()
    whole = json.loads(history.export(found, tmp_path / "w.json").read_text())
    assert [work["seeds"] for work in whole["works"]] == [[1, 2], [7]]
    lines = [json.loads(line) for line in history.export(found, tmp_path / "w.jsonl").read_text().splitlines()]
    assert lines == whole["works"]
    with history.export(found, tmp_path / "w.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[0]["seeds"], rows[1]["prompt"], json.loads(rows[1]["recipe"])["verb"]) == ("1 2", "füchse", "generate")
    with pytest.raises(UsageError, match=r"as \.json, \.jsonl or \.csv, not \.pdf"):
        history.export(found, tmp_path / "w.pdf")


# the commands


def test_the_commands(run: Any, model: Path) -> None:
    assert run("image", "generate", "--model", model, "--seeds", "3,5", "-o", "out/")[0] == 0
    code, out, _ = run("history")
    assert code == 0
    assert out.index(" 2 ") < out.index(" 1 ")  # newest first
    assert out.count("hum") >= 2
    told = json.loads(run("history", "--seed", "5", "--json")[1])["works"]
    assert [(work["id"], Path(work["path"]).name, work["there"]) for work in told] == [(2, "hum-seed0005.png", True)]
    assert json.loads(run("history", "-n", "1", "--json")[1])["works"][0]["id"] == 2
    code, out, _ = run("history", "show", "1")
    assert (code, "seeds: 3" in out, "next: artgen history replay 1" in out) == (0, True, True)
    assert run("history", "export", "all.csv", "--seed", "3") == (0, "all.csv: 1 works\n", "")
    assert run("history", "forget", "1") == (0, "1 forgotten; their files stay where they are\n", "")
    assert Path("out/hum-seed0003.png").is_file()
    assert run("history", "--prompt", "zebra") == (0, "", f"no work of that kind in {history.place()}\n")


def test_replay_from_the_history(run: Any, model: Path) -> None:
    run("image", "generate", "--model", model, "--seed", "3", "-o", "a.png", "--recipe", "none")
    content = artgen.open_artwork("a.png").numpy()
    code, out, _ = run("history", "replay", "1")
    assert (code, "identical content" in out) == (0, True)  # though the file itself tells nothing
    assert run("replay", "a.png")[0] == 1
    Path("a.png").unlink()
    code, out, _ = run("history", "replay", "1")
    assert (code, out.splitlines()) == (0, ["made again from its recipe; its file is gone, so nothing was compared", "a.png"])
    assert np.array_equal(artgen.open_artwork("a.png").numpy(), content)
    assert run("history", "replay", "1", "-o", "again/", "--json")[0] == 0
    assert Path("again/history-1.png").is_file()
    (model / "model.safetensors").unlink()
    assert run("history", "replay", "1")[0] == 1


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("history show", "give the number of a work, as artgen history lists it"),
        ("history show x", "a work has a number, as artgen history lists it, not x"),
        ("history replay 99", "no work 99 in the history; artgen history lists them"),
        ("history export", "give a file to write: artgen history export works.json"),
        ("history export x.pdf", "x.pdf: the history is exported as .json, .jsonl or .csv, not .pdf"),
        ("history forget", "say what to forget: artgen history forget NUMBER…, or artgen history forget --all"),
        ("history --since soon", "--since takes a day"),
        ("history --sed 1", "no option --sed; did you mean --seed?"),
        ("history shw 1", "no command 'shw' of artgen history; did you mean show?"),
    ],
)
def test_mistakes_get_a_sentence(run: Any, place: Path, line: str, sentence: str) -> None:
    code, out, err = run(*line.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"artgen: {sentence}")


def test_the_place_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ARTGEN_HISTORY")
    monkeypatch.delenv("ARTGEN_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert history.place() == Path("/data/artgen/history.sqlite")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert history.place() == tmp_path / ".local" / "share" / "artgen" / "history.sqlite"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert history.place() == tmp_path / "Library" / "Application Support" / "artgen" / "history.sqlite"
