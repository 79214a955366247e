"""Every check of the doctor, on a machine that is well and on one that was broken on purpose."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noise_plugin
import pytest
from noise_fixtures import place  # noqa: F401 - a fixture

from artgen import doctor, history
from artgen.cli import main
from artgen.cli.progress import Lines
from artgen.doctor import CHECKS, Finding, devices, examine, formats, machine, packages
from artgen.errors import SourceError, UsageError
from artgen.media import audio, image, video
from artgen.recipe import Recipe

# ruff: noqa: F811 - fixtures are imported and then named as arguments


def found(name: str) -> list[Finding]:
    return list(examine([name]))


def problems(name: str) -> list[Finding]:
    bad = [finding for finding in found(name) if finding.state == "problem"]
    assert all(finding.remedy for finding in bad), "every problem comes with a line to type"
    return bad


# formats


def test_every_format_is_tried_and_works() -> None:
    told = found("formats")
    assert {finding.state for finding in told} == {"good"}
    tried = {finding.check: set(finding.facts["formats"]) for finding in told}
    from artgen.artwork import Audio, Image, Text, Video

    for name, cls in (("pictures", Image), ("sounds", Audio), ("clips", Video), ("texts", Text)):
        assert set(cls.endings) <= tried[name]
    assert {".bmp", ".jp2"} <= tried["pictures"]
    assert {".mp3", ".m4a"} <= tried["sounds"]


def only(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    medium = next(each for each in formats.media() if each.name == name)
    monkeypatch.setattr(formats, "media", lambda: [medium])


def test_a_format_that_loses_the_recipe_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "pictures")
    encode = image.encode

    def without(pixels: Any, path: Path, text: str, mark: str, **more: Any) -> None:
        encode(pixels, path, "" if path.suffix == ".webp" else text, "" if path.suffix == ".png" else mark, **more)

    monkeypatch.setattr(image, "encode", without)
    told = {finding.told for finding in problems("formats")}
    assert "webp: the recipe does not come back as it was written" in told
    monkeypatch.setattr(image, "encode", lambda pixels, path, text, mark: encode(pixels, path, text, "http://else"))
    monkeypatch.setattr(Recipe, "to_json", lambda self, detail="full": json.dumps({"artgen": "0", "verb": "generate"}))
    assert any("does not come back" in finding.told for finding in problems("formats"))


def test_a_decoder_that_gives_other_pixels_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "pictures")
    decode = image.decode
    monkeypatch.setattr(image, "decode", lambda path, **more: 255 - decode(path, **more))
    bad = problems("formats")
    assert {finding.told.partition(":")[0] for finding in bad} >= {"png", "jpg", "webp", "tif", "bmp"}
    assert "differs from what was written by" in bad[0].told
    assert "pillow" in bad[0].remedy


def test_sounds_and_clips_that_cannot_be_written_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("libvpx is not there")

    monkeypatch.setattr(video, "encode", refuse)
    only(monkeypatch, "clips")
    assert {finding.told for finding in problems("formats")} >= {"mp4: OSError: libvpx is not there"}
    monkeypatch.undo()
    only(monkeypatch, "sounds")
    decode = audio.decode
    monkeypatch.setattr(audio, "decode", lambda path, **more: (decode(path, **more)[0] * 0.5, 48_000))
    assert {finding.told.partition(":")[0] for finding in problems("formats")} >= {"wav", "flac", "ogg", "mp3", "m4a"}


# devices


def test_the_cpu_computes_right() -> None:
    (told,) = found("devices")
    assert told.state == "good"
    assert len(told.facts["errors"]) >= 12
    assert max(told.facts["errors"].values()) < 1e-4


def test_a_device_with_wrong_numbers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    right = devices.outputs

    def wrong(device: str, *, double: bool = False) -> dict[str, Any]:
        made = dict(right("cpu", double=double))
        if device == "cuda:0":
            made["attention"] = made["attention"] * 1.05
            made["spectrum"] = "NotImplementedError: no kernel"
            made["linear"] = made["linear"] * float("nan")
        return made

    monkeypatch.setattr(devices, "outputs", wrong)
    monkeypatch.setattr(devices, "found", lambda: ["cpu", "cuda:0"])
    monkeypatch.setattr(devices, "_name", lambda device: "Test card")
    monkeypatch.setattr(devices, "picture_fault", lambda device: "")
    cpu, gpu = found("devices")
    assert (cpu.state, gpu.state) == ("good", "problem")
    assert gpu.told.startswith("cuda:0 (Test card) computes wrong numbers: linear by nan of the range; attention by 0.0")
    assert "spectrum does not run (NotImplementedError: no kernel)" in gpu.told
    assert gpu.remedy == "artgen image generate --device cpu"


def test_a_device_whose_pictures_differ_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from artgen import api
    from artgen.artwork import Image

    shades = {"cpu": 100, "mps": 110}
    monkeypatch.setattr(api, "generate", lambda _, seed, device: [Image(np.full((4, 4, 3), shades[device], np.uint8))])
    assert devices.picture_fault("mps") == "a picture made on it differs from the CPU's by 10 levels of 255 on average"
    shades["mps"] = 101
    assert devices.picture_fault("mps") == ""


def test_a_card_that_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(devices.Path, "exists", lambda self: str(self) == "/dev/nvidia0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(devices, "found", list)
    (told,) = problems("devices")
    assert told.remedy == "nvidia-smi"


def test_precision_says_what_is_used_and_what_the_others_took() -> None:
    pictures, text = found("precision")
    assert (pictures.state, text.state) == ("good", "good")
    chosen = min(pictures.facts["seconds"], key=pictures.facts["seconds"].get)
    measured = pictures.facts["seconds"]
    assert measured[pictures.facts["choice"]] <= measured[chosen] / 0.97 + 1e-9  # a tie goes to the plainer one
    assert set(measured) == {f"{number}, {layout}" for number in ("fp32", "bf16") for layout in ("contiguous", "channels-last")}
    assert pictures.told.startswith(f"cpu: pictures in {pictures.facts['choice']}, ")


def test_a_format_that_a_device_cannot_train_in_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("no bf16 kernel")

    monkeypatch.setattr(devices, "_trial", broken)
    told = problems("precision")
    assert told[0].told == "cpu: a training step of pictures ends in RuntimeError: no bf16 kernel"


# machine


def test_a_full_disk_and_one_that_cannot_be_written_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems("disk") == []
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda place: usage(10**12, 10**12, 10**8))
    told = problems("disk")
    assert len(told) == 3
    assert "0.1 GB free" in told[0].told
    assert told[0].remedy.startswith("du -sh")
    monkeypatch.setattr(machine, "_writing", lambda place: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    told = problems("disk")
    assert told[0].told.endswith("cannot be written (Permission denied)")
    assert told[1].remedy == "export ARTGEN_HOME=$HOME/artgen-cache"


def test_little_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    available, total = machine.memory()
    assert 0 < available <= total
    monkeypatch.setattr(machine, "memory", lambda: (10**9, 8 * 10**9))
    (told,) = problems("memory")
    assert told.told.startswith("1.0 of 8.0 GB are available")


def test_threads_that_do_not_fit_the_cores_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    monkeypatch.setattr(machine, "usable_cores", lambda: 0)
    (told,) = problems("threads")
    assert told.remedy == "export OMP_NUM_THREADS=0"
    monkeypatch.setattr(machine, "usable_cores", lambda: before + 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (told,) = found("threads")
    assert (told.state, told.remedy) == ("note", "unset OMP_NUM_THREADS")
    assert torch.get_num_threads() == before


def test_the_share_of_a_container_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(machine.Path, "read_text", lambda self: "250000 100000\n")
    assert machine.usable_cores() == 3
    monkeypatch.setattr(machine.Path, "read_text", lambda self: "max 100000\n")
    assert machine.usable_cores() == 16


# packages


def test_versions_that_are_missing_or_wrong_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "import_fault", lambda module: "")
    monkeypatch.setattr(packages, "pair_fault", lambda: "")
    (told,) = found("versions")
    assert told.state == "good"
    version = packages._version
    monkeypatch.setattr(packages, "_version", lambda name: {"torch": "2.10.0", "pillow": ""}.get(name, version(name)))
    told = {finding.told: finding.remedy for finding in problems("versions")}  # type: ignore[assignment]
    assert any(line.startswith("torch 2.10.0 is installed, torch==2.11.* is needed") for line in told)
    assert any(line.startswith("pillow is missing") for line in told)
    assert all("install" in remedy for remedy in told.values())  # type: ignore[attr-defined]


def test_a_torchaudio_that_does_not_fit_takes_nothing_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert packages.import_fault("json") == ""
    (tmp_path / "torchaudio.py").write_text("raise OSError('libtorchaudio.so: undefined symbol: _ZN3c10')")
    (tmp_path / "torch.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert packages.pair_fault() == "OSError: libtorchaudio.so: undefined symbol: _ZN3c10"
    (tmp_path / "torchaudio.py").write_text("import os; os.abort()")
    assert packages.pair_fault() == "it ends with signal 6"
    monkeypatch.setattr(packages, "import_fault", lambda module: "")
    (told,) = problems("versions")
    assert "and torchaudio" in told.told
    assert "torch==2.11.*" in told.remedy


def test_plugins_that_cannot_be_used_are_told(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise_plugin.broken_module(place, "broken_doctor", "raise RuntimeError('no such card')")
    noise_plugin.install(place, {"video.broken": "broken_doctor:Backend"}, distribution="artgen-broken")
    told = {finding.told.partition(" ")[0]: finding for finding in found("plugins")}
    assert told["artgen-broken"].state == "problem"
    assert "video.broken: RuntimeError: no such card" in told["artgen-broken"].told
    assert told["artgen-broken"].remedy == "artgen plugin uninstall artgen-broken"
    assert told["imported"].state == "good"
    monkeypatch.setenv("ARTGEN_PLUGINS", "")
    from artgen import discovery

    discovery.forget()
    held = [finding for finding in found("plugins") if finding.state == "note"]
    assert {finding.remedy for finding in held} == {"unset ARTGEN_PLUGINS"}


def test_a_starter_that_makes_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from artgen import api

    def damaged(*_: Any, **__: Any) -> None:
        raise SourceError("model.safetensors: damaged")

    (told,) = found("starters")
    assert told.state == "good"
    assert "watercolours (image" in told.told
    monkeypatch.setattr(api, "generate", damaged)
    bad = problems("starters")
    assert {"watercolours: model.safetensors: damaged"} <= {finding.told for finding in bad}


def test_a_damaged_history_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [finding.state for finding in found("history")] == ["note"]  # switched off for all tests
    monkeypatch.setenv("ARTGEN_HISTORY", str(tmp_path / "h.sqlite"))
    assert [finding.state for finding in found("history")] == ["good"]
    (tmp_path / "h.sqlite").write_bytes(b"no database at all" * 100)
    (told,) = problems("history")
    assert "damaged" in told.told
    assert told.remedy.startswith("mv ")


# the whole


def test_a_check_that_fails_itself_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Iterator[Finding]:
        raise ZeroDivisionError("0")
        yield

    monkeypatch.setattr(doctor, "CHECKS", {"memory": broken, "disk": machine.check_disk})
    told = list(examine())
    assert told[0].told == "the check itself ends in ZeroDivisionError: 0"
    assert told[-1].check == "disk"


def test_names_of_checks_are_checked() -> None:
    with pytest.raises(UsageError, match="no check 'fromats'; did you mean formats\\?; the checks are"):
        examine(["fromats"])


def test_off_a_terminal_nothing_is_told_of_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def slow() -> Iterator[Finding]:
        now[0] += 60
        yield Finding("slow", "good", "done")

    now = [0.0]
    monkeypatch.setattr(doctor, "CHECKS", {"slow": slow, "again": slow, "third": slow})
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    assert main(["doctor"]) == 0
    said = capsys.readouterr()
    assert (said.out.count("ok       slow: done"), said.err) == (3, "")
    heard = io.StringIO()
    list(examine((), Lines(heard, lambda: now[0])))
    assert heard.getvalue().splitlines()[0] == "examining: 1 of 3, slow"  # no check is like another, so no rate and no rest


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--only", "memory"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "everything works"
    monkeypatch.setattr(machine, "memory", lambda: (10**9, 8 * 10**9))
    assert main(["doctor", "--only", "memory"]) == 1
    said = capsys.readouterr()
    assert "PROBLEM  memory: 1.0 of 8.0 GB" in said.out
    assert "type: artgen image train" in said.out
    assert main(["doctor", "--only", "memory", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == 1
    assert set(told["findings"][0]) == {"check", "state", "told", "remedy", "facts"}
    assert main(["doctor", "--only", "nothing"]) == 2


def test_doctor_help_is_light() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "artgen", "doctor", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=True)
    assert " torch" not in done.stderr
    assert "sqlite3" not in done.stderr


def test_every_check_is_one_of_these() -> None:
    assert set(CHECKS) == {
        "versions", "plugins", "formats", "devices", "precision", "threads", "memory", "disk", "starters", "history",
    }  # fmt: skip
    assert history.enabled() is False
