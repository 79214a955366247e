"""The pages say what the code says: the reference is current, links lead somewhere, examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_readme import load

from artgen import registry
from artgen.options import declared

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
WRITTEN = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "plugins" / "README.md"]
WRITTEN += [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("plugins/*.md"))]
generate = load(DOCS / "generate.py")


def test_the_reference_is_current(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert (generate.main(), capsys.readouterr().err) == (0, "")


def test_a_stale_reference_is_found_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path / "reference")
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    (tmp_path / "reference" / "python.md").write_text("old")
    (tmp_path / "reference" / "image-gone.md").write_text("a backend that is gone")
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 1
    assert "not current: image-gone.md, python.md; run python docs/generate.py" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["generate.py"])
    assert generate.main() == 0
    assert not (tmp_path / "reference" / "image-gone.md").exists()
    monkeypatch.setattr(sys, "argv", ["generate.py", "--check"])
    assert generate.main() == 0


def test_every_backend_verb_and_option_has_its_row() -> None:
    own = [registry.load(entry) for entry in registry.entries() if entry.built_in]
    overview = (DOCS / "reference" / "backends.md").read_text(encoding="utf-8")
    for cls in own:
        assert f"[{cls.modality}.{cls.name}]({cls.modality}-{cls.name}.md)" in overview
        page = (DOCS / "reference" / f"{cls.modality}-{cls.name}.md").read_text(encoding="utf-8")
        parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
        sections = dict(zip(parts[1::2], parts[2::2], strict=True))
        assert tuple(sections) == cls.verbs()
        for verb, section in sections.items():
            rows = re.findall(r"^\| `(--[a-z-]+)`", section, flags=re.MULTILINE)
            assert rows == [option.flag for option in declared(getattr(cls, verb.capitalize()))]


def test_every_command_of_artgens_own_has_its_rows() -> None:
    from artgen.backend import VERBS
    from artgen.cli import common, own

    page = (DOCS / "reference" / "command-line.md").read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)$", page, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    flags = {verb: getattr(common, verb.capitalize()) for verb in VERBS} | {name: each.flags for name, each in own.documented()}
    assert set(sections) == set(flags)
    for name, group in flags.items():
        rows = re.findall(r"^\| `(--[a-z-]+)`", sections[name], flags=re.MULTILINE)
        assert rows == [option.flag for option in declared(group)]
    options = [option for group in flags.values() for option in declared(group)]
    assert [option.flag for option in options if len(option.description) < 10 or option.description[-1] not in ".…"] == []


def test_every_command_that_can_be_typed_is_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """What ``--help`` lists is what the reference has: a command that is added and not documented is found here."""
    from artgen.cli import main, own

    known = {name for name, _ in own.documented()}
    listed: set[str] = set()
    for group in ("", "history", "plugin"):
        main([*filter(None, [group]), "--help"])
        commands = capsys.readouterr().out.partition("Commands:\n")[2]
        names = re.findall(r"^  ([a-z]+) ", commands, flags=re.MULTILINE)
        listed |= {f"{group} {name}".strip() for name in names}
    assert listed - known == {*registry.modalities(), "plugin"}
    assert known <= listed


@pytest.mark.parametrize("modality", [entry.modality for entry in registry.entries() if entry.built_in])
def test_a_guide_names_each_verb_of_each_modality(modality: str) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in DOCS.glob("guide-*.md"))
    if f"artgen {modality} train" not in text:
        pytest.xfail(f"the guide of {modality} is not written yet")
    verbs = {verb for entry in registry.backends(modality) if entry.built_in for verb in registry.load(entry).verbs()}
    assert [verb for verb in sorted(verbs) if f"artgen {modality} {verb}" not in text] == []


def test_the_gallery_says_what_its_works_say() -> None:
    from artgen.artwork import read_recipe

    gallery = load(DOCS / "gallery.py")
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.page()
    there = [entry for entry in gallery.ENTRIES if (ROOT / entry.file).is_file()]
    assert len(there) >= 4
    for entry in there:
        recipe = read_recipe(ROOT / entry.file)
        assert recipe is not None
        assert "path" not in recipe.model  # the maker's disk is nobody's business
        assert recipe.modality == entry.modality
    named = {entry.file.name for entry in gallery.ENTRIES}
    assert {path.name.removesuffix(".json") for path in (ROOT / gallery.FOLDER).iterdir()} <= named


@pytest.mark.slow
def test_the_gallery_can_be_made_again() -> None:
    from artgen import replay

    gallery = load(DOCS / "gallery.py")
    for entry in gallery.ENTRIES:
        if (ROOT / entry.file).is_file():
            assert replay(ROOT / entry.file).state in ("identical", "close")


def test_every_option_says_what_it_means() -> None:
    own = [registry.load(entry) for entry in registry.entries() if entry.built_in]
    options = [option for cls in own for verb in cls.verbs() for option in declared(getattr(cls, verb.capitalize()))]
    assert [
        f"{option.owner}.{option.name}" for option in options if len(option.description) < 10 or option.description[-1] not in ".…"
    ] == []


def test_every_public_name_is_on_the_python_page() -> None:
    import artgen

    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    named = re.findall(r"^## (\w+)$", page, flags=re.MULTILINE)
    assert sorted(named) == sorted(set(artgen.__all__) - {"__version__"})


def test_every_page_is_in_the_navigation_once() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- .+?: ([\w/.-]+\.md)$", config, flags=re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:artgen|docs|tests|examples)/[\w./-]+)`", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("name", ["image-gan", "video-gan3d"])
def test_files_and_classes_that_the_explanation_names_exist(name: str) -> None:
    text = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    places = (ROOT / "artgen" / "nn", ROOT / "artgen" / "backends" / name.replace("-", "/"))
    code = {path.name: path.read_text(encoding="utf-8") for place in places for path in place.glob("*.py")}
    found = re.findall(r"\(`(\w+\.py)`: `(\w+)`\)", text)
    assert ("model.py", "Generator") in found
    assert [pair for pair in found if f"class {pair[1]}" not in code[pair[0]]] == []


def blocks(page: Path, title: str) -> str:
    """All code of one file that a page shows, in its order."""
    fence = rf'^```python title="{re.escape(title)}"\n(.*?)^```$'
    return "".join(re.findall(fence, page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("file", ["stripes.py", "backend.py"])
def test_the_tutorial_is_the_teaching_plugin_line_by_line(file: str) -> None:
    shown = blocks(DOCS / "plugins" / "tutorial.md", f"src/artgen_haze/{file}")
    assert shown == (ROOT / "examples" / "plugin-haze" / "src" / "artgen_haze" / file).read_text(encoding="utf-8")


def test_the_page_on_modalities_is_a_plugin_that_is_tested() -> None:
    page = (DOCS / "plugins" / "modality.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    code = (ROOT / "tests" / "palette_plugin.py").read_text(encoding="utf-8")
    lines = [line for line in code.splitlines() if line.strip()]
    assert [line for line in shown.splitlines() if line.strip() and line not in lines] == []


def test_the_page_on_wrapping_shows_the_scaffold() -> None:
    page = (DOCS / "plugins" / "wrap.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    template = (ROOT / "artgen" / "plugins" / "templates" / "image-wrap" / "backend.py.txt").read_text(encoding="utf-8")
    code = template.replace("@name@", "diffuse")
    assert [line for line in shown.splitlines() if line not in code.splitlines()] == []


def test_every_check_of_the_kit_belongs_to_a_promise() -> None:
    from artgen.testing import CHECKS

    page = (DOCS / "plugins" / "promises.md").read_text(encoding="utf-8")
    named = [name for line in page.splitlines() if line.startswith("- **Checks:**") for name in re.findall(r"`([a-z-]+)`", line)]
    assert sorted(named) == sorted(CHECKS)


def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the docs extra is not installed")
    # Not --quiet: it hides the warnings from the count that --strict fails on.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    loaded = r"<(?:script|img|iframe)[^>]+src=\"?https?:|<link[^>]+(?:stylesheet|preconnect|preload)[^>]+href=\"?https?:"
    assert [page.name for page in pages if re.search(loaded, page.read_text(encoding="utf-8"))] == []
