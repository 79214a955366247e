from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from artgen.errors import SourceError
from artgen.recipe import COMPOSITE, GENERATED, Input, Recipe, environment, file_sha256, read_json


def recipe(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "artgen": "0.1.0",
        "verb": "modify",
        "backend": "image.gan",
        "seeds": (7, 2**63 - 1),
        "model": {"name": "fruit", "sha256": "ab" * 32},
        "options": {"truncation": 0.7, "class_": None, "mix": ("a.png", "b.png"), "grid": "4x2"},
        "inputs": (Input(role="input", name="жук 🪲.png", sha256="cd" * 32, path="in/жук 🪲.png"),),
        "layout": "compare",
        "licence": "CC0-1.0",
        "environment": {"torch": "2.11.0"},
    }
    return Recipe(**{**values, **changes})


def test_full_recipe_comes_back_whole() -> None:
    made = recipe(options={"truncation": 0.7, "mix": ["a.png"]}, mark=COMPOSITE)
    assert read_json(made.to_json()) == made
    assert read_json(made.to_json("full")) == made


def test_json_is_one_sorted_line() -> None:
    text = recipe().to_json()
    assert "\n" not in text
    assert list(json.loads(text)) == sorted(json.loads(text))
    assert "🪲" in text


@pytest.mark.parametrize("mark", [GENERATED, COMPOSITE])
@pytest.mark.parametrize("detail", ["full", "minimal", "none"])
def test_the_mark_is_told_at_every_detail(mark: str, detail: Any) -> None:
    assert json.loads(recipe(mark=mark).to_json(detail))["mark"] == mark


def test_minimal_and_none_tell_nothing_else() -> None:
    minimal = json.loads(recipe().to_json("minimal"))
    assert minimal == {"artgen": "0.1.0", "verb": "modify", "backend": "image.gan", "mark": GENERATED}
    assert json.loads(recipe().to_json("none")) == {"mark": GENERATED}
    assert read_json(recipe().to_json("minimal")) is None
    assert read_json(recipe().to_json("none")) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"seeds": [1]}', '{"artgen": 1}', "[" * 100_000, "Steps: 20, Sampler: Euler"]
)
def test_other_text_is_no_recipe(text: str) -> None:
    assert read_json(text) is None


def test_a_file_name_that_is_no_utf8_does_not_stop_saving() -> None:
    odd = Input(role="input", name=b"caf\xe9.png".decode("utf-8", "surrogateescape"), sha256="")
    text = recipe(inputs=(odd,)).to_json()
    found = read_json(text)
    assert found is not None
    assert found.inputs[0].name == "caf?.png"


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(AttributeError):
        recipe().seeds = (1,)  # type: ignore[misc]


def test_modality_is_the_first_part_of_the_backend() -> None:
    assert recipe(backend="video.gan3d").modality == "video"


def test_environment_names_what_decides_the_bits() -> None:
    assert set(environment()) >= {"python", "system", "machine", "torch"}


def test_file_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"art" * 100_000)
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"art" * 100_000).hexdigest()
    with pytest.raises(SourceError, match=r"missing: No such file"):
        file_sha256(tmp_path / "missing")
