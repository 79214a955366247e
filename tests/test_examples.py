"""Every example runs, at its real sizes but for the budget; the sample data is what its credits say."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from test_readme import load

from artgen.api import offering
from artgen.options import resolve
from artgen.plan import read_config

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DATA = EXAMPLES / "data"


def shell(script: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(["bash", EXAMPLES / script, *words], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(("name", "count", "largest"), [("watercolours", 120, 1_000_000), ("tiles", 200, 400_000)])
def test_sample_data_is_small_captioned_credited_and_opens(name: str, count: int, largest: int) -> None:
    folder = DATA / name
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    files = {str(path.relative_to(folder)) for path in folder.glob("*/*") if path.is_file()}
    assert {row["file_name"] for row in rows} == files
    assert len(rows) == count
    assert all(row["text"] for row in rows)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < largest
    for file in files:
        with Image.open(folder / file) as picture:
            picture.load()
    credit = (folder / "CREDITS.txt").read_text(encoding="utf-8")
    assert "Pomological Watercolor Collection" in credit or "CC0" in credit


def test_every_example_is_tested_and_documented_in_itself() -> None:
    files = [path for path in EXAMPLES.iterdir() if path.is_file() and path.name != "README.md"]
    table = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    everything = {path.name for path in EXAMPLES.iterdir()} - {"README.md", "data"}
    assert [name for name in sorted(everything) if f"`{name}`" not in table] == []
    tests = Path(__file__).read_text(encoding="utf-8")
    assert [path.name for path in files if f'"{path.name}"' not in tests] == []
    assert [path.name for path in files if path.suffix == ".sh" and not os.access(path, os.X_OK)] == []


def test_emoji_are_sorted_into_folders_with_every_colour_of_skin_alike(tmp_path: Path) -> None:
    names = ["001_smile", "131_monkey", "142_red-heart", "516_cow", "690_exclamation", "139_100"]
    for first, gesture in ((194, "foot"), (214, "clap"), (220, "thumbs-up"), (226, "thumbs-down")):
        names += [f"{first + tone}_{gesture}" for tone in range(6)]
    with zipfile.ZipFile(tmp_path / "emoji.zip", "w") as archive:
        archive.writestr("emoji/metadata.jsonl", "{}")
        for name in names:
            archive.writestr(f"emoji/{name}.mp4", name)
    load(EXAMPLES / "starters" / "emoji_folders.py").main(str(tmp_path / "emoji.zip"), str(tmp_path / "out"))
    found = {str(path.relative_to(tmp_path / "out")): path.read_text() for path in (tmp_path / "out").rglob("*.mp4")}
    hands = [(194, 197), (215, 218), (222, 225), (226, 229)]  # the first and fourth, the second and fifth, …
    gestures = ["foot", "clap", "thumbs-up", "thumbs-down"]
    wanted = ["faces/001_smile", "faces/131_monkey", "hearts/142_red-heart", "animals/516_cow", "things/690_exclamation"]
    wanted += ["things/139_100"]
    wanted += [f"hands/{number}_{name}" for pair, name in zip(hands, gestures, strict=True) for number in pair]
    assert found == {f"{name}.mp4": name.split("/")[1] for name in wanted}
    load(EXAMPLES / "starters" / "emoji_folders.py").main(str(tmp_path / "emoji.zip"), str(tmp_path / "two"), "faces", "hearts")
    some = {str(path.relative_to(tmp_path / "two")) for path in (tmp_path / "two").rglob("*.mp4")}
    assert some == {"faces/001_smile.mp4", "faces/131_monkey.mp4", "hearts/142_red-heart.mp4"}
    with pytest.raises(SystemExit, match="kinds are faces, hearts, hands, animals, things, not cats"):
        load(EXAMPLES / "starters" / "emoji_folders.py").main(str(tmp_path / "emoji.zip"), str(tmp_path / "no"), "cats")


def test_the_recipes_of_the_starters_are_taken_with_data_that_their_commands_prepared() -> None:
    text = (EXAMPLES / "starters" / "README.md").read_text(encoding="utf-8")
    made: dict[str, object] = {}
    trained = []
    for words in map(shlex.split, re.findall(r"^    artgen (.+)$", text, re.MULTILINE)):
        (modality, verb, source), flags = words[:3], dict(zip(words[3::2], words[4::2], strict=True))
        typed = {flag: int(value) if value.isdigit() else value for flag, value in flags.items()}
        given = {flag[2:]: value for flag, value in typed.items() if flag not in ("--output", "--config", "--device")}
        if verb == "prepare":
            made[flags["--output"]] = resolve(offering(modality, None, "prepare").Prepare, given, label=verb)
            continue
        file = read_config(EXAMPLES.parent / flags["--config"], modality)
        cls = offering(modality, file["backend"], "train")
        resolve(cls.Train, {name: value for name, value in file.items() if name not in ("backend", "prepare")}, given, label=verb)
        wished = resolve(cls.Prepare, file.get("prepare", {}), label="prepare")
        assert made.get(source, wished) == wished, f"{flags['--config']}: its [prepare] is not what the command above it says"
        trained.append(Path(flags["--config"]).name)
    assert sorted(trained) == sorted(path.name for path in (EXAMPLES / "starters").glob("*.toml"))


@pytest.mark.slow
def test_train_on_my_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    main = load(EXAMPLES / "train_on_my_pictures.py").main
    main(["--output", "out", "--steps", "2"])
    assert "200 pictures in 5 classes, 0 skipped" in capsys.readouterr().out
    assert len(list((tmp_path / "out").glob("new-*.png"))) == 8
    main(["--output", "out", "--steps", "3"])
    assert len(list((tmp_path / "out").glob("new-*.png"))) == 16


@pytest.mark.slow
def test_latent_walk(tmp_path: Path) -> None:
    done = shell("latent_walk.sh", "", "1s", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "art" / "walk.gif") as film:
        assert getattr(film, "n_frames", 1) > 1
    assert (tmp_path / "art" / "walk.mp4").stat().st_size > 0


@pytest.mark.slow
def test_many_processes(tmp_path: Path) -> None:
    done = shell("many_processes.sh", "2", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 processes and one made the same bytes" in done.stdout
    assert len(list(tmp_path.glob("art/many-*/several/*.png"))) == 8


@pytest.mark.slow
def test_walk_to_music(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main = load(EXAMPLES / "walk_to_music.py").main
    main(["--seconds", "1", "--fps", "8", "--output", "film.mp4"])
    main(["--music", str(DATA / "notes" / "A5vL.flac"), "--fps", "2", "--output", "notes.mp4"])
    import av

    for name, seconds in (("film.mp4", 1.0), ("notes.mp4", None)):
        with av.open(name) as film:
            assert {stream.type for stream in film.streams} == {"video", "audio"}
            assert seconds is None or abs(film.duration / 1e6 - seconds) < 0.3  # type: ignore[operator]
    assert (tmp_path / "film.flac").is_file()  # what the starter composed


@pytest.mark.slow
def test_poem_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from artgen import replay

    monkeypatch.chdir(tmp_path)
    load(EXAMPLES / "poem_page.py").main(["--length", "20", "--seconds", "1", "--prompt", "O <moon>", "--output", "page.html"])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "O &lt;moon&gt;" in page
    assert "books, watercolours, tunes. Seed 7." in page
    assert "data:image/png;base64,iVBOR" in page
    assert "data:audio/ogg;base64,T2dnU" in page
    assert "http" not in page  # nothing is loaded from elsewhere
    for ending in (".txt", ".png", ".ogg"):
        assert replay(tmp_path / f"page{ending}").state in ("identical", "close")


@pytest.mark.slow
def test_python_api(tmp_path: Path) -> None:
    """As a whole file, in an empty folder, as its first lines say."""
    done = subprocess.run([sys.executable, EXAMPLES / "python_api.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "did you mean 'truncation'?" in done.stdout or "did you mean truncation?" in done.stdout
    assert len(list((tmp_path / "art" / "python").glob("*.png"))) == 5


@pytest.mark.slow
def test_cifar10_from_zip(tmp_path: Path) -> None:
    done = shell("cifar10_from_zip.sh", "", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    sheets = {path.stem for path in tmp_path.glob("art/classes-*/*.png")}
    assert sheets == {"dungeon", "effect", "item", "monster", "wearable"}
    (archive,) = tmp_path.glob("art/classes-*/tiles.zip")
    assert shell("cifar10_from_zip.sh", str(archive), "2", cwd=tmp_path).returncode == 0
