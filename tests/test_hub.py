"""Models of other programs: found in folders and on a Hub of this machine, judged before they are loaded, and fetched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from hub_server import COMMIT, Hub
from huggingface_hub import constants
from safetensors.numpy import save

from artgen.errors import ModelError, OutputError, UsageError
from artgen.hub import HubModel, find, free_memory, licences, memory, require_memory
from artgen.testing.life import Recording

CARD = "---\nlicense: {}\n---\n# A model\n"
WEIGHTS = save({"a": np.arange(6, dtype=np.float32).reshape(2, 3)})
HALVES = save({"a": np.arange(6, dtype=np.float16).reshape(2, 3)})


def write(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(
        tmp_path / "thing",
        {
            "README.md": CARD.format("mit"), "model_index.json": '{"_class_name": "X"}', "unet/config.json": "{}",
            "unet/diffusion_pytorch_model.safetensors": WEIGHTS, "tokenizer/vocab.json": "{}", "tokenizer/code.py": "evil()",
            "other/model.safetensors": WEIGHTS, ".git/config": "x",
        },
    )  # fmt: skip


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub on this machine, with its cache in a folder of the test."""
    server = Hub()
    server.files = {
        "config.json": b"{}",
        "model.safetensors": WEIGHTS * 500,
        "README.md": CARD.format("mit").encode(),
        "run.py": b"x",
    }
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.file_download, "HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    try:
        yield server
    finally:
        server.close()


def taken(place: object, folders: tuple[str, ...] = ("",)) -> HubModel:
    model = find(str(place), "image.x")
    model.choose(folders)
    return model


def test_a_folder_is_known_by_its_files_and_its_card(folder: Path) -> None:
    model = find(str(folder), "image.diffusers")
    assert model.backend == "image.diffusers"
    assert model.config.licence == "mit"
    assert (model.repository, model.revision, model.place, model.provenance) == ("", "", str(folder), {})
    assert model.name == "thing"
    assert ".git/config" not in model.files
    assert model.files["unet/diffusion_pytorch_model.safetensors"] == len(WEIGHTS)
    assert model.json("model_index.json") == {"_class_name": "X"}
    assert model.json("no_such.json") == {}


def test_only_weights_and_data_of_the_chosen_folders_are_needed(folder: Path) -> None:
    model = taken(folder, ("unet", "tokenizer", "scheduler"))
    assert model.needed == ("README.md", "tokenizer/vocab.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors")
    assert model.bytes == len(WEIGHTS)
    assert list(model.tensors()) == ["a"]
    before = model.sha256
    write(folder, {"other/model.safetensors": WEIGHTS + b"x", "tokenizer/code.py": "other"})
    assert taken(folder, ("unet", "tokenizer")).sha256 == before
    write(folder, {"tokenizer/vocab.json": "{ }"})
    assert taken(folder, ("unet", "tokenizer")).sha256 != before


def test_half_the_bytes_are_taken_where_every_folder_offers_them(folder: Path) -> None:
    half = "unet/diffusion_pytorch_model.fp16.safetensors"
    write(folder, {half: HALVES})
    model = taken(folder, ("unet",))
    assert (model.variant, half in model.needed, model.bytes) == ("fp16", True, len(HALVES))
    both = taken(folder, ("unet", "other"))
    assert (both.variant, half in both.needed) == ("", False)
    (folder / "unet/diffusion_pytorch_model.safetensors").unlink()
    assert taken(folder, ("unet",)).variant == "fp16"
    only = find(str(folder), "image.x")
    only.choose(("unet",), variants=())
    assert only.variant == "fp16"


def test_a_shard_that_is_missing_is_named(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    write(folder, {"big/model-00001-of-00002.safetensors": WEIGHTS, "big/model.safetensors.index.json": json.dumps(index)})
    with pytest.raises(ModelError, match=r"model-00002-of-00002\.safetensors is missing on this disk; connect"):
        taken(folder, ("big",))
    write(folder, {"big/model-00002-of-00002.safetensors": WEIGHTS})
    assert taken(folder, ("big",)).bytes == 2 * len(WEIGHTS)


REFUSED: list[tuple[dict[str, bytes | str], tuple[str, ...], str]] = [
    ({"pytorch_model.bin": b"x"}, ("",), r"pytorch_model\.bin are a pickle, which can run any code"),
    ({"unet/diffusion_pytorch_model.ckpt": b"x", "model.safetensors": WEIGHTS}, ("", "unet"), r"\.ckpt are a pickle"),
    ({"config.json": "{}"}, ("",), "no weights as safetensors in it"),
    ({"notes.txt": "x"}, ("",), "no safetensors file in it; give a model saved as safetensors"),
]


@pytest.mark.parametrize(("files", "folders", "told"), REFUSED)
def test_what_is_no_safetensors_is_refused(
    tmp_path: Path, files: dict[str, bytes | str], folders: tuple[str, ...], told: str
) -> None:
    with pytest.raises(ModelError, match=told):
        taken(write(tmp_path / "m", files), folders)


def test_pickles_that_are_no_weights_do_not_matter(tmp_path: Path) -> None:
    place = write(tmp_path / "m", {"model.safetensors": WEIGHTS, "optimizer.pt": b"x", "training_args.bin": b"x"})
    assert taken(place).needed == ("model.safetensors",)
    write(place, {"aside/training_args.bin": b"x"})
    assert taken(place, ("", "aside")).needed == ("model.safetensors",)


def test_code_is_refused_unless_the_library_knows_the_kind_itself(folder: Path) -> None:
    model = find(str(folder), "text.x")
    code = {"auto_map": {"AutoModel": "modeling_x.X"}, "model_type": "x"}
    with pytest.raises(ModelError, match="needs code that comes with the model, and artgen runs none"):
        model.refuse_code(code, known=("llama",))
    model.refuse_code(code, known=("x",))
    model.refuse_code({"model_type": "x"})


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("no such/../place!", "no name that the Hub could have"),
        ("./nowhere", "no name that the Hub could have"),
        ("owner/thing", "HF_HUB_OFFLINE is set; unset it to download the model, or give a folder"),
    ],
)
def test_a_place_that_is_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, told: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=told):
        find(place, "image.x")


@pytest.mark.parametrize(("name", "told"), [("x.ckpt", "a pickle, which can run any code"), ("x.safetensors", "a single file")])
def test_a_single_file_is_told(tmp_path: Path, name: str, told: str) -> None:
    write(tmp_path, {name: WEIGHTS})
    with pytest.raises(ModelError, match=told):
        find(str(tmp_path / name), "image.x")


def test_a_damaged_file_of_json_is_told(folder: Path) -> None:
    write(folder, {"model_index.json": "{"})
    with pytest.raises(ModelError, match=r"model_index\.json: damaged"):
        find(str(folder), "image.x").json("model_index.json")


def test_a_name_is_found_and_fetched_with_progress(hub: Hub, tmp_path: Path) -> None:
    model = find("owner/thing", "image.x")
    assert [path for _, path, _ in hub.asked if "/resolve/" in path] == []  # no file is fetched to find it
    assert (model.repository, model.revision, model.config.licence) == ("owner/thing", COMMIT, "apache-2.0")
    assert model.provenance == {"repository": "owner/thing", "revision": COMMIT}
    assert (model.place, model.name) == (f"owner/thing@{COMMIT}", "thing")
    model.choose()
    progress = Recording()
    folder = model.fetch(progress)
    assert progress.started == ["downloading owner/thing"]
    assert (progress.open, progress.faults) == (0, [])
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert (folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert folder.is_relative_to(tmp_path / "cache")
    there = taken(folder)
    assert (there.repository, there.revision, there.sha256) == (model.repository, COMMIT, model.sha256)
    assert there.config.licence == "mit"  # in a folder the card says it
    hub.asked.clear()
    again = taken("owner/thing")
    again.fetch(progress)
    assert [path for method, path, _ in hub.asked if "/resolve/" in path] == []
    assert progress.started == ["downloading owner/thing"]


def test_what_was_downloaded_serves_without_a_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    taken("owner/thing").fetch()
    hub.fault = "down"
    assert taken("owner/thing").revision == COMMIT
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    for place in ("owner/thing", f"owner/thing@{COMMIT}"):
        model = taken(place)
        assert (model.revision, model.config.licence, model.fetch().name) == (COMMIT, "mit", COMMIT)
    assert hub.asked == []


def test_a_stopped_download_is_gone_on_with(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    model = taken("owner/thing")
    whole = hub.files["model.safetensors"]
    hub.cut = 5000
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)

    def stop(*args: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(huggingface_hub.file_download.time, "sleep", stop)  # it would try again by itself at once
    with pytest.raises(KeyboardInterrupt):
        model.fetch()
    monkeypatch.undo()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(model.folder.parents[2]))
    partial = next(model.folder.parents[1].glob("blobs/*.artgen"))
    assert 0 < partial.stat().st_size < len(whole)
    had = partial.stat().st_size
    hub.asked.clear()
    progress = Recording()
    folder = taken("owner/thing").fetch(progress)
    assert (folder / "model.safetensors").read_bytes() == whole
    assert f"bytes={had}-" in [span for _, _, span in hub.asked]


def test_a_download_that_comes_over_damaged_is_not_kept(hub: Hub) -> None:
    model = taken("owner/thing")
    first = hub._send

    def damaged(request: Any, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        first(request, status, data[:-1] + b"?" if body and b"\x00" in data else data, headers, body)

    hub._send = damaged  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=r"model\.safetensors came over damaged; try again"):
        model.fetch()
    hub._send = first  # type: ignore[method-assign]
    assert (taken("owner/thing").fetch() / "model.safetensors").read_bytes() == hub.files["model.safetensors"]


FAULTS = [
    ("owner/nothing", "", None, "no model of that name on the Hub; check the name .*hf auth login"),
    ("owner/nothing", "", "token", "your token may not see it"),
    ("owner/thing@no-such", "", None, "has no revision no-such; see https://huggingface.co/owner/thing/tree/main"),
    (
        "owner/thing",
        "gated",
        None,
        r"accepts their conditions \(https://huggingface.co/owner/thing\); accept them there, then sign in",
    ),
    ("owner/thing", "gated", "token", "your account has not been let in yet"),
    ("owner/thing", "stranger", None, "no model of that name on the Hub|the Hub does not know you"),
    ("owner/thing", "down", None, "status 503.*try again later, or give a folder"),
    ("owner/--thing..", "", None, "no name that the Hub could have"),
]


@pytest.mark.parametrize(("place", "fault", "token", "told"), FAULTS)
def test_each_way_the_hub_refuses_has_a_sentence(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, place: str, fault: str, token: str | None, told: str
) -> None:
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token)
    hub.fault = fault
    with pytest.raises(ModelError, match=told) as caught:
        taken(place).fetch()
    assert "\n" not in str(caught.value)


def test_no_network_has_a_sentence(hub: Hub) -> None:
    hub.close()
    with pytest.raises(
        ModelError, match=r"owner/thing: no such folder, and the Hub cannot be reached .*; connect, or give a folder"
    ):
        find("owner/thing", "image.x")


def test_a_disk_without_room_is_told_before_the_download(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    model = taken("owner/thing")
    hub.asked.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=2**40, used=2**40, free=1000))
    with pytest.raises(OutputError, match=r"owner/thing: takes 0\.0 GB, and .* has 0\.0 GB free; free some space, or set HF_HOME"):
        model.fetch()
    assert hub.asked == []


def test_a_disk_that_fills_up_meanwhile_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any, **settings: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub.file_download, "http_get", full)
    with pytest.raises(OutputError, match="the disk of the Hub's cache is full"):
        taken("owner/thing").fetch()


def test_the_licence_is_shown_once(folder: Path) -> None:
    said: list[str] = []
    progress = Recording()
    progress.say = said.append  # type: ignore[method-assign]
    model = taken(folder, ("unet",))
    model.accept(progress)
    model.accept(progress, commercial_only=True)
    assert said == ["thing: licence mit; commercial use is allowed, under its terms"]


LICENCES = [
    ("apache-2.0", True), ("creativeml-openrail-m", True), ("openrail++", True), ("cc-by-4.0", True), ("llama3.1", True),
    ("cc-by-nc-4.0", False), ("cc-by-nc-sa-3.0", False), ("flux-1-dev-non-commercial-license", False), ("apple-amlr", False),
    ("stabilityai-nc-research-community", False), ("deepfloyd-if-license", False), ("other", None), ("", None), ("my-own", None),
]  # fmt: skip


@pytest.mark.parametrize(("licence", "allowed"), LICENCES)
def test_what_a_licence_allows_is_told_by_its_name(folder: Path, licence: str, allowed: bool | None) -> None:
    assert licences.commercial(licence) is allowed
    write(folder, {"README.md": CARD.format(licence)})
    model = find(str(folder), "image.x")
    if allowed:
        model.accept(commercial_only=True)
        return
    told = "forbids commercial use" if allowed is False else "not known to allow commercial" if licence else "states no licence"
    with pytest.raises(UsageError, match=told):
        model.accept(commercial_only=True)
    model.accept()


def test_a_card_says_its_licence_in_many_ways(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    assert licences.of_card(card) == ""
    for text, licence in [
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit"), ("---\nlicense: other\nlicense_name: its-own\n---\n", "its-own"),
        ("---\nlicense: other\n---\n", "other"), ("# nothing\n", ""), ("---\n- a\n---\n", ""), ("---\n: [\n---\n", ""),
    ]:  # fmt: skip
        card.write_text(text)
        assert licences.of_card(card) == licence


def test_memory_is_counted_from_the_headers(folder: Path) -> None:
    path = write(folder, {"x.safetensors": save({"a": np.zeros((2, 3), np.float32), "b": np.zeros(5, np.int64)})}) / "x.safetensors"
    assert memory.numbers([path]) == {"F32": 6, "I64": 5}
    assert memory.loaded_bytes([path]) == 6 * 4 + 5 * 8
    assert memory.loaded_bytes([path, path], 2) == 2 * (6 * 2 + 5 * 8)
    for cut in (4, 20, path.stat().st_size - 1):
        (folder / "cut.safetensors").write_bytes(path.read_bytes()[:cut])
        with pytest.raises(ModelError, match=r"cut\.safetensors: damaged"):
            memory.numbers([folder / "cut.safetensors"])


def test_what_does_not_fit_is_told_in_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = free_memory("cpu")
    assert 2**20 < free < 2**50
    require_memory(free // 2, "cpu", "thing", "give --dtype bf16")
    limit, used = tmp_path / "limit", tmp_path / "used"
    limit.write_text("3000000000")
    used.write_text("1000000000")
    monkeypatch.setattr(memory, "_CONTAINER", ((str(limit), str(used)),))
    assert free_memory("cpu") == 2_000_000_000
    with pytest.raises(UsageError, match=r"thing needs 7\.0 GB on cpu, and 2\.0 GB are free; give --dtype bf16"):
        require_memory(7_000_000_000, "cpu", "thing", "give --dtype bf16")
    limit.write_text("max")
    assert free_memory("cpu") > 2_000_000_000


def test_the_hash_of_a_large_file_is_remembered_until_it_changes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from artgen import model as module

    monkeypatch.setattr(module, "_LARGE", 1)
    monkeypatch.setenv("ARTGEN_HOME", str(tmp_path / "home"))
    first = taken(folder, ("unet",)).sha256
    monkeypatch.setattr(module, "file_sha256", lambda path: pytest.fail("hashed again"))
    assert taken(folder, ("unet",)).sha256 == first
    monkeypatch.undo()
    monkeypatch.setattr(module, "_LARGE", 1)
    write(folder, {"unet/diffusion_pytorch_model.safetensors": WEIGHTS + b" "})
    assert taken(folder, ("unet",)).sha256 != first
