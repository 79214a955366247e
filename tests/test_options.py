"""One declaration: every kind of option, its words, its range, its layers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from artgen.errors import OptionError
from artgen.options import Meta, Option, Options, Seconds, check, declared, nearest, parse_text, resolve


class Every(Options):
    truncation: Annotated[float, Meta(ge=0, le=2, description="Distance.")] = 0.7
    above: Annotated[float, Meta(gt=0, description="More than none.")] = 1.0
    between: Annotated[float, Meta(gt=0, lt=1, description="Inside.")] = 0.5
    below: Annotated[int, Meta(lt=9, description="Less.")] = 3
    most: Annotated[int, Meta(le=9, description="At most.")] = 3
    steps: Annotated[int | None, Meta(ge=1, description="How many.", extra={"unit": "steps"})] = None
    precision: Annotated[Literal["auto", "fp32", "bf16"], Meta(description="Format.")] = "auto"
    mirror: Annotated[bool, Meta(description="Mirror it.")] = False
    class_: Annotated[str | None, Meta(description="Class.", pattern="^[a-z]+$")] = None
    layers: Annotated[tuple[int, ...], Meta(description="Layers.")] = ()
    modes: Annotated[tuple[Literal["a", "b"], ...], Meta(description="Modes.")] = ()
    walk: Annotated[Seconds, Meta(gt=0, description="Length.")] = 2.0
    minutes: Annotated[float | None, Meta(gt=0, description="Time.", extra={"unit": "minutes"})] = None
    palette: Annotated[str | None, Meta(description="A picture.", extra={"file": True, "short": "-p"})] = None


class Needs(Options):
    first: Annotated[int, Meta(description="Needed.")]
    second_one: Annotated[int, Meta(description="Needed too.")]


def option(name: str) -> Option:
    return next(found for found in declared(Every) if found.name == name)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("truncation", "0 to 2"),
        ("above", "more than 0"),
        ("between", "more than 0 and less than 1"),
        ("below", "less than 9"),
        ("most", "9 or less"),
        ("steps", "1 or more"),
        ("precision", "auto, fp32 or bf16"),
        ("mirror", "true or false"),
        ("class_", "text"),
        ("layers", "a list"),
        ("modes", "a or b"),
    ],
)
def test_allowed_values_in_words(name: str, words: str) -> None:
    assert option(name).allowed == words


@pytest.mark.parametrize(
    ("name", "help_"),
    [
        ("truncation", "Distance. [0 to 2; default: 0.7]"),
        ("steps", "How many. [1 or more steps]"),
        ("precision", "Format. [auto, fp32 or bf16; default: auto]"),
        ("mirror", "Mirror it. [default: false]"),
        ("class_", "Class."),
        ("walk", "Length. [more than 0 seconds; default: 2.0]"),
    ],
)
def test_help_tells_range_unit_and_default(name: str, help_: str) -> None:
    assert option(name).help == help_


def test_help_says_required() -> None:
    assert declared(Needs)[0].help == "Needed. [a whole number; required]"


def test_flags_files_short_names_and_items() -> None:
    assert option("class_").flag == "--class"
    assert declared(Needs)[1].flag == "--second-one"
    assert (option("palette").file, option("palette").short) == (True, "-p")
    assert (option("truncation").file, option("truncation").short) == (False, "")
    assert option("layers").item is int
    assert option("modes").choices == ("a", "b")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("truncation", "1.5", 1.5),
        ("steps", "10_000", 10_000),
        ("mirror", "yes", True),
        ("mirror", "0", False),
        ("walk", "90", 90.0),
        ("walk", "1.5m", 90.0),
        ("walk", "500ms", 0.5),
        ("minutes", "90s", 1.5),
        ("minutes", "2h", 120.0),
        ("minutes", "20", 20.0),
        ("layers", ["1", "-3"], (1, -3)),
        ("layers", ["1,2", "-3"], (1, 2, -3)),
        ("modes", ["a,b"], ("a", "b")),
        ("modes", ["b", "a"], ("b", "a")),
        ("class_", "cat", "cat"),
    ],
)
def test_text_becomes_a_value(name: str, text: Any, value: object) -> None:
    assert parse_text(option(name), text) == value


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("truncation", "high", "--truncation takes 0 to 2, not high"),
        ("steps", "1.5", "--steps takes 1 or more steps, not 1.5"),
        ("mirror", "maybe", "--mirror takes true or false, not maybe"),
        ("walk", "3 days", "--walk takes more than 0 seconds, such as 90s, 20m or 2h, not 3 days"),
        ("layers", ["1", "x"], "--layers takes a whole number, not x"),
        ("steps", "", "--steps takes 1 or more steps, not nothing"),
    ],
)
def test_text_of_another_kind_is_refused(name: str, text: Any, sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_text(option(name), text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("truncation", 9.0, "--truncation takes 0 to 2, not 9"),
        ("truncation", float("nan"), "--truncation takes 0 to 2, not nan"),
        ("above", float("inf"), "--above takes more than 0, not inf"),
        ("precision", "fp8", "--precision takes auto, fp32 or bf16, not fp8"),
        ("mirror", 1, "--mirror takes true or false, not 1"),
        ("class_", "A1", "--class takes text, not A1"),
        ("modes", ("a", "c"), "--modes takes a or b, not a, c"),
        ("steps", True, "--steps takes 1 or more steps, not True"),
    ],
)
def test_values_outside_the_declaration_are_refused(name: str, value: object, sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        Every(**{name: value})
    assert str(caught.value) == sentence
    with pytest.raises(OptionError):
        check(Every, option(name), value)


def test_options_are_frozen_and_copied_with_checks() -> None:
    options = Every(truncation=1.0)
    with pytest.raises(AttributeError):
        options.truncation = 2.0  # type: ignore[misc]
    assert options.replace(truncation=0.5).truncation == 0.5
    with pytest.raises(OptionError):
        options.replace(truncation=5.0)
    assert list(options.asdict()) == [found.name for found in declared(Every)]


def test_later_layers_win_and_none_gives_way() -> None:
    chosen = resolve(Every, {"truncation": 0.1, "most": 1}, {"truncation": 0.2}, {"truncation": None, "most": 2})
    assert (chosen.truncation, chosen.most) == (0.2, 2)  # type: ignore[attr-defined]


def test_python_and_toml_spellings() -> None:
    chosen: Any = resolve(Every, {"truncation": 1, "layers": [1, 2], "class": "cat", "palette": Path("a.png"), "walk": "1m"})
    assert (chosen.truncation, chosen.layers, chosen.class_, chosen.palette, chosen.walk) == (1.0, (1, 2), "cat", "a.png", 60.0)
    assert isinstance(chosen.truncation, float)


def test_unknown_and_missing_names() -> None:
    with pytest.raises(OptionError, match=r"no option 'truncatoin' in a.toml; did you mean truncation\?"):
        resolve(Every, {"truncatoin": 1}, label="a.toml")
    with pytest.raises(OptionError, match="no option 'zzz'; known: first, second_one"):
        resolve(Needs, {"zzz": 1})
    with pytest.raises(OptionError, match="--first and --second-one must be given"):
        resolve(Needs)


def test_a_type_that_is_no_option_is_the_authors_mistake() -> None:
    class Wrong(Options):
        where: dict[str, int] = {}  # noqa: RUF012 - the mistake under test

    with pytest.raises(TypeError, match="an option is bool, int"):
        declared(Wrong)


def test_nearest() -> None:
    assert nearest("imag", ["image", "audio"]) == "; did you mean image?"
    assert nearest("zebra", ["image", "audio"]) == ""
    assert nearest("gen", ["generate", "train"]) == "; did you mean generate?"
    for known in (["Generate", "generate"], ["generate", "Generate"]):
        assert nearest("generat", known) == "; did you mean generate?"
        assert nearest("Generat", known) == "; did you mean Generate?"
    assert nearest("SKETCH", ["sketch"]) == "; did you mean sketch?"
    assert nearest("re", ["reconstruct", "resynthesise"]) == ""  # two begin so
    assert nearest("Image", ["image"]) == "; did you mean image?"
    assert nearest("--", ["--seed"]) == ""
