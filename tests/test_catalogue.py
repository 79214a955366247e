"""The list of models: starters, those of plugins, the user's runs, with what is wrong where something is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import noise_plugin
import pytest
from noise_fixtures import place  # noqa: F401 - a fixture
from noise_plugin import save_noise

from artgen import model as models
from artgen.catalogue import list_models, sample
from artgen.cli import main
from artgen.errors import SourceError
from artgen.model import starters

pytestmark = pytest.mark.usefixtures("place")
# ruff: noqa: F811 - fixtures are imported and then named as arguments


def found(*places: str) -> dict[str, Any]:
    return {each.place: each for each in list_models(places)}


def a_run(folder: Path) -> None:
    save_noise(folder / "model", [1, 2, 3], 30.0, 8)
    (folder / "config.toml").write_text('backend = "image.noise"\n')


def test_starters_are_there_with_size_data_and_licence() -> None:
    told = found()
    assert set(starters()) <= set(told)
    for name in starters():
        each = told[name]
        assert (each.origin, each.reason) == ("starter", "")
        assert each.bytes == (models.STARTERS / name / "model.safetensors").stat().st_size
        assert each.licence
        assert each.data
        assert each.next == f"artgen {each.backend.partition('.')[0]} generate --model {name} --seed 7"


def test_runs_and_folders_are_found_where_they_are(tmp_path: Path) -> None:
    a_run(Path("runs/fruit"))
    a_run(Path("runs/deep/down/tiles"))
    save_noise(tmp_path / "others" / "hum", [1, 2, 3], 30.0, 8)
    config = Path("runs/fruit/model/config.json")
    facts = {"scores": {"fd": 3.5}, "licence": "CC0", "data": {"count": 12, "sources": ["plates.zip"]}}
    config.write_text(json.dumps(json.loads(config.read_text()) | facts))
    told = found(str(tmp_path / "others"))
    fruit = told["runs/fruit"]
    assert (fruit.origin, fruit.name, fruit.backend, fruit.licence, fruit.scores) == (
        "run",
        "fruit",
        "image.noise",
        "CC0",
        {"fd": 3.5},
    )
    assert fruit.data == "12 items: plates.zip"
    assert told["runs/deep/down/tiles"].origin == "run"
    assert told[str(tmp_path / "others" / "hum")].origin == "folder"
    assert list(found("runs/fruit", "runs"))[-2:] == ["runs/deep/down/tiles", "runs/fruit"]  # each once
    with pytest.raises(SourceError, match=r"runz: no such folder; did you mean runs\?$"):
        list_models(["runz"])


def test_what_cannot_be_used_is_listed_with_the_reason() -> None:
    a_run(Path("runs/damaged"))
    Path("runs/damaged/model/config.json").write_text("{")
    Path("runs/begun").mkdir()
    Path("runs/begun/config.toml").write_text('backend = "text.transformer"\n')
    told = found()
    assert "config.json: damaged" in told["runs/damaged"].reason
    assert told["runs/begun"].reason == "no model yet; go on with artgen text train --resume --output runs/begun"
    with pytest.raises(SourceError, match="no model yet"):
        sample(told["runs/begun"])


def test_models_that_plugins_bring_are_listed(place: Path) -> None:
    module = place / "with_starter"
    (module / "starters").mkdir(parents=True)
    (module / "__init__.py").write_text("from noise_plugin import Noise\n\n\nclass Loud(Noise):\n    name = 'loud'\n")
    made = save_noise(module / "starters" / "roar", [9, 9, 9], 30.0, 8)
    config = made.folder / "config.json"
    config.write_text(config.read_text().replace("image.noise", "image.loud"))
    noise_plugin.install(place, {"image.loud": "with_starter:Loud"}, distribution="artgen-loud")
    each = found()["roar"]
    assert (each.origin, each.next) == ("plugin", "artgen image generate --backend loud --model roar --seed 7")
    assert sample(each).recipe.backend == "image.loud"  # type: ignore[union-attr]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    a_run(Path("runs/fruit"))
    Path("runs/begun").mkdir()
    Path("runs/begun/config.toml").write_text('backend = "image.noise"\n')
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert "watercolours" in out
    assert "artgen image generate --model runs/fruit --seed 7" in out
    assert main(["models", "--sample", "samples", "--json"]) == 0
    told = {each["place"]: each for each in json.loads(capsys.readouterr().out)["models"]}
    assert told["runs/fruit"]["sample"] == "samples/runs_fruit.png"
    assert Path("samples/runs_fruit.png").is_file()
    assert Path(told["watercolours"]["sample"]).is_file()
    assert (told["runs/begun"]["sample"], told["runs/begun"]["reason"].startswith("no model yet")) == ("", True)
    assert main(["models", "nowhere"]) == 2
