"""Text on the command line: streamed to standard output, saved with a recipe, told as JSON."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from text_models import trained_model

from artgen import api
from artgen.artwork import Text, open_artwork
from artgen.cli import main, texts
from artgen.cli.voice import Voice
from artgen.model import Model


@pytest.fixture(scope="module")
def rhyme(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return trained_model(tmp_path_factory.mktemp("models") / "rhyme")


@pytest.fixture
def run(rhyme: Model, capsys: pytest.CaptureFixture[str]) -> Any:
    def go(*words: str, code: int = 0) -> tuple[str, str]:
        assert main(["text", *words, "--model", str(rhyme.folder)]) == code, capsys.readouterr()
        return capsys.readouterr()

    return go


def expected(rhyme: Model, **options: Any) -> list[str]:
    made = api.generate("text", model=rhyme, **options)
    return [work.characters for work in made if isinstance(work, Text)]


def test_one_text_goes_to_standard_output_and_nothing_else(run: Any, rhyme: Model, tmp_path: Path) -> None:
    out, err = run("generate", "--prompt", "Row", "--length", "30", "--seed", "7")
    assert out == expected(rhyme, prompt="Row", length=30, seed=7)[0] + "\n"
    assert err == ""


def test_several_texts_have_headers(run: Any, rhyme: Model) -> None:
    out, _ = run("generate", "-p", "Life", "--length", "20", "-n", "3", "--seed", "0")
    whole = expected(rhyme, prompt="Life", length=20, n=3, seed=0)
    assert out == "".join(f"--- seed {seed} ---\n{text}" + "\n" * (not text.endswith("\n")) for seed, text in enumerate(whole))


def test_text_comes_as_it_is_written() -> None:
    out = io.StringIO()
    stream = texts.Stream(Voice().progress, headers=True, out=out)
    seen = []
    for characters in ("a", "ab", "ab🙂"):
        stream.partial(Text(characters, seeds=(12,)))
        seen.append(out.getvalue())
    stream.end(Text("ab🙂c", seeds=(12,)))
    stream.end(Text("x\n", seeds=(0,)))
    assert seen == ["--- seed 12 ---\na", "--- seed 12 ---\nab", "--- seed 12 ---\nab🙂"]
    assert out.getvalue() == "--- seed 12 ---\nab🙂c\n--- seed 0 ---\nx\n"


def test_json_tells_tokens_and_log_probabilities(run: Any, rhyme: Model) -> None:
    told = json.loads(run("generate", "--prompt", "Row", "--length", "12", "--seed", "3", "-n", "2", "--json")[0])
    assert told["backend"] == "text.transformer"
    made = api.generate("text", model=rhyme, prompt="Row", length=12, seed=3, n=2)
    for work, wanted in zip(told["works"], made, strict=True):
        assert isinstance(wanted, Text)
        assert (work["text"], work["tokens"], work["seeds"]) == (wanted.characters, list(wanted.tokens), list(wanted.seeds))
        assert work["log_probabilities"] == pytest.approx(wanted.log_probabilities, abs=1e-6)
        assert "path" not in work


def test_output_writes_files_with_a_recipe(
    run: Any, rhyme: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    out, _ = run("generate", "--prompt", "Row", "--length", "12", "--seed", "3", "-n", "2", "--output", str(tmp_path) + "/")
    paths = [Path(line) for line in out.splitlines()]
    assert [path.name for path in paths] == ["rhyme-seed0003.txt", "rhyme-seed0004.txt"]
    whole = expected(rhyme, prompt="Row", length=12, seed=3, n=2)
    assert [path.read_text(encoding="utf-8") for path in paths] == whole
    recipe = open_artwork(paths[0]).recipe
    assert recipe is not None
    assert (recipe.options["prompt"], recipe.options["engine"], recipe.seeds) == ("Row", "auto", (3,))
    assert main(["replay", str(paths[1])]) == 0
    assert "identical, every byte" in capsys.readouterr().out
    told = json.loads(run("generate", "--length", "5", "--seed", "1", "-o", str(tmp_path / "one.md"), "--json")[0])
    assert Path(told["works"][0]["path"]).read_text(encoding="utf-8") == told["works"][0]["text"]


def test_the_prompt_comes_from_standard_input(run: Any, rhyme: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def give(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    give("Merrily, é\r\n".encode())
    out, _ = run("generate", "--prompt-file", "-", "--length", "10", "--seed", "0")
    assert out.rstrip("\n") == expected(rhyme, prompt="Merrily, é", length=10, seed=0)[0].rstrip("\n")
    give(b"\xff\xfe\xfa")
    assert "standard input: no UTF-8 at byte 1" in run("generate", "--prompt-file", "-", code=2)[1]
    assert "leave one out" in run("generate", "--prompt-file", "-", "--prompt", "x", code=2)[1]


def test_ctrl_c_keeps_what_was_written(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from artgen.backends.text.transformer import sample

    whole = sample.write

    def interrupted(*arguments: Any, **named: Any) -> Iterator[None]:
        for number, step in enumerate(whole(*arguments, **named)):
            if number == 9:
                raise KeyboardInterrupt
            yield step

    monkeypatch.setattr(sample, "write", interrupted)
    out, err = run("generate", "--prompt", "Row", "--seed", "1", code=130)
    assert len(out) == len("Row") + 9 + 1
    assert err == "artgen: interrupted\n"
    _, err = run("generate", "--prompt", "Row", "--seed", "1", "--output", str(tmp_path / "cut.txt"), code=130)
    assert f"what was written so far is in {tmp_path / 'cut.txt'}" in err
    assert (tmp_path / "cut.txt").read_text(encoding="utf-8") == out.rstrip("\n")
    mark = json.loads((tmp_path / "cut.txt.json").read_text(encoding="utf-8"))
    assert "trainedAlgorithmicMedia" in mark["mark"]
    assert main(["replay", str(tmp_path / "cut.txt")]) == 1  # it is not a whole work


def test_a_closed_pipe_is_no_error(rhyme: Model) -> None:
    command = [sys.executable, "-m", "artgen", "text", "generate", "--model", str(rhyme.folder), "--length", "20000", "--seed", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()


def test_writing_imports_neither_torch_nor_numba(rhyme: Model) -> None:
    api.generate("text", model=rhyme, length=1, seed=0)  # compiled now, if it was not
    code = (
        "import sys; from artgen.cli import main\n"
        f"main(['text', 'generate', '--model', {str(rhyme.folder)!r}, '--length', '1', '--seed', '1', '--device', 'cpu'])\n"
        "print({'torch', 'numba', 'scipy', 'transformers', 'tokenizers'} & set(sys.modules), file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "set()\n"


def test_modify_prints_the_text_and_tells_what_changed(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("Row, row, [...] boat,\nGently", encoding="utf-8")
    out, err = run("modify", str(tmp_path / "mine.txt"), "--infill", "--length", "12")
    assert out.startswith("Row, row, ")
    assert out.endswith(" boat,\nGently\n")
    assert err.splitlines()[-2].startswith("- Row, row, {[...]} boat,⏎")
    assert err.splitlines()[-1].startswith("+ Row, row, {")
    told = json.loads(run("modify", str(tmp_path / "mine.txt"), "--infill", "--length", "12", "--json")[0])["works"][0]
    assert told["text"] == out.removesuffix("\n")
    (edit,) = told["edits"]
    assert (edit["kind"], edit["at"], edit["before"]) == ("replace", 10, "[...]")
    assert "nothing changed" in run("modify", str(tmp_path / "mine.txt"), "--rewrite", "--strength", "0")[1]


def test_modify_streams_a_continuation_and_saves_files(
    run: Any, rhyme: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.txt").write_text("Twinkle, twinkle", encoding="utf-8")
    out, err = run("modify", str(tmp_path / "mine.txt"), "--continue", "20", "--temperature", "0")
    assert out.startswith("Twinkle, twinkle, little star,")
    assert err.startswith("+ ")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Twinkle, twinkle")))
    assert run("modify", "-", "--continue", "20", "--temperature", "0")[0] == out
    saved, _ = run("modify", str(tmp_path / "mine.txt"), "--continue", "20", "--temperature", "0", "--output", str(tmp_path) + "/")
    assert saved == f"{tmp_path}/mine-modified.txt\n"
    assert Path(saved.strip()).read_text(encoding="utf-8") == out.removesuffix("\n")


def test_a_prompt_that_is_no_text_is_not_sent_to_an_option_of_prepare(rhyme: Model, capsys: Any, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 4)
    assert main(["text", "generate", "--model", str(rhyme.folder), "--prompt-file", str(tmp_path / "a.bin")]) == 2
    said = capsys.readouterr().err
    assert said.strip().endswith("no text; give a text in UTF-8")
    assert "--encoding" not in said


def test_between_takes_the_first_text_as_its_value(run: Any, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Row, row,", encoding="utf-8")
    (tmp_path / "b.txt").write_text("Gently down", encoding="utf-8")
    out, told = run("modify", "--between", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), "--length", "15")
    assert "+ Row, row,{" in told  # what came is the passage: both texts were there
    assert out.startswith("Row, row,")
    assert out.endswith("Gently down\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["generate", "--top-p", "0"], "--top-p takes more than 0 and at most 1, not 0"),
        (["generate", "--grid", "2x2"], "--grid is for pictures; leave it out"),
        (["generate", "--stop", ""], "--stop takes text of one character or more, not nothing"),
        (["generate", "--prompt-file", "nowhere.txt"], "nowhere.txt: No such file"),
        (["modify", "nowhere.txt", "--infill"], "nowhere.txt: no such file"),
        (["modify", "--infill"], "give what to modify: artgen text modify FILE"),
    ],
)
def test_mistakes_get_a_sentence(run: Any, words: list[str], sentence: str) -> None:
    assert sentence in run(*words, code=2)[1]


def test_modify_refuses_what_is_for_pictures(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a", encoding="utf-8")
    assert (
        "--compare is for pictures; what changes in a text is shown"
        in run("modify", str(tmp_path / "mine.txt"), "--continue", "3", "--compare", code=2)[1]
    )
    assert "say what to do with the text" in run("modify", str(tmp_path / "mine.txt"), code=2)[1]


def test_help_tells_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["text", "generate", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in ("--prompt", "--prompt-file", "--length", "--temperature", "--top-k", "--top-p", "--min-p", "--repetition-penalty",
                 "--stop", "--engine"):  # fmt: skip
        assert flag in out
    assert "artgen text generate --prompt" in out
    assert "photos" not in out
    assert main(["text", "modify", "--help"]) == 0
    out = capsys.readouterr().out
    for flag in ("--continue", "--infill", "--rewrite", "--strength", "--between", "--gap", "--candidates"):
        assert flag in out


def test_several_stops_on_the_command_line(run: Any) -> None:
    out, _ = run("generate", "--prompt", "Row", "--temperature", "0", "--stop", "nothing", "--stop", "down", "--seed", "1")
    assert out.rstrip().endswith("Gently")


def test_no_torch_where_no_gpu_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    there: set[str] = set()
    monkeypatch.setattr(Path, "exists", lambda self: str(self) in there)
    assert api.resolve_device("auto") == "cpu"
    assert "torch" not in sys.modules
    there.add("/dev/nvidiactl")
    assert api._may_have_gpu()
    there.clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert api._may_have_gpu()


def test_prepare_tells_programs_of_the_vocabulary_and_the_encodings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Grüße aus Köln. " * 40, encoding="utf-16")
    assert main(["text", "prepare", str(tmp_path / "a.txt"), "--output", str(tmp_path / "data"), "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert (notes["encodings"], notes["characters"]) == ({"utf-16": 1}, 640)
    assert notes["vocabulary"] > len(set("Grüße aus Köln. "))
    assert "key" not in notes
