"""How models are loaded: number formats, places, compressed weights, what does not fit and what is refused before that."""

from __future__ import annotations

import gc
import importlib.util
import json
import logging
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from tiny_models import causal, musicgen
from transformers import AutoModelForCausalLM

import artgen
from artgen.dataset import Dataset
from artgen.errors import ModelError, UsageError
from artgen.hub import memory
from artgen_transformers import loading
from artgen_transformers.text.backend import Transformers

WIDE = {"hidden_size": 128, "intermediate_size": 128, "head_dim": 32}  # as wide as the kernels of bitsandbytes ask for


def opened(folder: Path, **options: Any) -> tuple[Any, tuple[int, ...]]:
    """The network as it was loaded for a text, and the tokens of the text."""
    model = Transformers.find_model(str(folder))
    common: dict[str, Any] = {"backend": "transformers", "seed": 3, "temperature": 0.0, "prompt": "Row", "device": "cpu"}
    work: Any = artgen.generate("text", model=model, length=12, **common, **options)[0]
    (network,) = (part for key, part in model.cache.items() if str(key).startswith("network"))
    return network, work.tokens


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
def test_weights_have_the_number_format_that_is_asked_for(gpt2: Path, dtype: str, expected: torch.dtype) -> None:
    network, tokens = opened(gpt2, dtype=dtype)
    assert {weight.dtype for weight in network.parameters()} == {expected}
    assert len(tokens) > 3


def test_auto_is_what_the_file_holds_but_on_a_cpu() -> None:
    assert loading._format(loading.Loading(), "cuda:0")["dtype"] == "auto"
    assert loading._format(loading.Loading(dtype="fp16"), "cuda:0")["dtype"] is torch.float16


def test_offload_spreads_the_model_and_leaves_the_text_as_it_is(
    gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _, plain = opened(gpt2)
    assert opened(gpt2, offload="auto")[1] == plain
    # Machines that have room for all but the layers, and for nothing.
    for room, kept in ((100_000, {"cpu", "disk"}), (1000, {"disk"})):
        _give_room(monkeypatch, room)
        network, tokens = opened(gpt2, offload="disk")
        assert set(network.hf_device_map.values()) == kept
        assert any(weight.is_meta for weight in network.parameters())
        assert tokens == plain
        assert any(tmp_path.iterdir())
        del network
        gc.collect()
        assert not any(tmp_path.iterdir())
    assert not caplog.records


def test_music_and_measurements_come_from_a_disk_too(
    gpt2: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = musicgen(tmp_path / "music")
    common: dict[str, Any] = {"model": folder, "backend": "musicgen", "device": "cpu", "seed": 3, "seconds": 0.1, "prompt": "Row"}
    measured: dict[str, Any] = {"backend": "transformers", "device": "cpu", "metrics": ("loss",), "held_out": 60}
    plain = artgen.generate("audio", **common)[0].numpy()
    scores = artgen.evaluate("text", gpt2, dataset.folder, **measured)
    _give_room(monkeypatch, 1000)
    assert np.array_equal(plain, artgen.generate("audio", offload="disk", **common)[0].numpy())
    assert artgen.evaluate("text", gpt2, dataset.folder, offload="disk", **measured)["bpb"].value == scores["bpb"].value


def _give_room(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the machine have ``count`` bytes of main memory for a model."""
    import accelerate.utils.modeling
    import transformers.integrations.accelerate as theirs

    for module in (theirs, accelerate.utils.modeling):
        monkeypatch.setattr(module, "get_max_memory", lambda *given: {"cpu": count})


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_without_its_package_compressing_is_refused(gpt2: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "bitsandbytes" else found(name, *more))
    with pytest.raises(UsageError) as caught:
        opened(gpt2, quantise=kind)
    needed = "needs the package bitsandbytes; install it with: pip install 'artgen-transformers[quantised]'"
    assert str(caught.value) == f"--quantise {kind} {needed}"


def test_what_is_asked_for_reaches_the_library(gpt2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, given = importlib.util.find_spec, dict[str, Any]()

    def load(folder: str, **arguments: Any) -> Any:
        given.update(arguments)
        raise OSError("far enough.")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: name if name == "bitsandbytes" else found(name, *more))
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    with pytest.raises(ModelError, match=r"transformers cannot open it \(far enough\); restore it or choose another model"):
        opened(gpt2, quantise="int4", dtype="bf16")
    settings = given["quantization_config"]
    assert (settings.load_in_4bit, settings.bnb_4bit_quant_type, settings.bnb_4bit_compute_dtype) == (True, "nf4", torch.bfloat16)
    assert (given["device_map"], given["dtype"]) == ({"": "cpu"}, torch.bfloat16)
    assert (given["use_safetensors"], given["local_files_only"], given["trust_remote_code"]) == (True, True, False)
    with pytest.raises(ModelError, match="far enough"):
        opened(gpt2, quantise="int8")
    assert given["quantization_config"].load_in_8bit
    assert given["dtype"] is torch.float32
    with pytest.raises(ModelError, match="far enough"):
        opened(gpt2, quantise="int8", offload="auto")
    assert given["device_map"] == "auto"
    given.clear()
    with pytest.raises(ModelError, match="far enough"):
        opened(gpt2)
    assert not {"quantization_config", "device_map", "offload_folder"} & given.keys()


@pytest.mark.parametrize(("kind", "layer"), [("int8", "Linear8bitLt"), ("int4", "Linear4bit")])
def test_compressed_weights_write_and_learn(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, layer: str
) -> None:
    pytest.importorskip("bitsandbytes")
    folder = causal("llama", tmp_path / "wide", **WIDE)
    caplog.set_level(logging.WARNING)
    network, tokens = opened(folder, quantise=kind)
    assert type(network.model.layers[0].mlp.up_proj).__name__ == layer
    plain, expected = opened(folder)
    assert network.get_memory_footprint() < 0.6 * plain.get_memory_footprint()
    assert len(tokens) > 3
    if kind == "int8":
        assert tokens[:3] == expected[:3]
    options: dict[str, Any] = {"steps": 2, "batch_size": 2, "context": 16, "rank": 2, "previews": 1, "precision": "fp32"}
    run = tmp_path / "run"
    common: dict[str, Any] = {"backend": "transformers", "device": "cpu", "from_": folder, "quantise": kind}
    model = artgen.train("text", dataset.folder, run, **common, **options)
    assert all("lora_" in name for name in model.tensors())
    assert artgen.generate("text", model=run, seed=1, length=4, device="cpu", quantise=kind)[0].tokens  # type: ignore[attr-defined]
    assert not caplog.records


def test_what_does_not_fit_is_told_before_it_is_loaded(gpt2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = memory.loaded_bytes([gpt2 / "model.safetensors"], 1) * 4 * 1.1
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *a, **k: pytest.fail("loaded"))
    monkeypatch.setattr(memory, "free_memory", lambda device: int(weights) - 1)
    advice = "give --dtype bf16 .half the memory., --quantise int4, or --offload auto or disk, or choose a smaller model"
    with pytest.raises(UsageError, match=rf"gpt2 needs 0\.\d+ GB on cpu, and 0\.\d+ GB are free; {advice}"):
        opened(gpt2)
    monkeypatch.setattr(memory, "free_memory", lambda device: 1000)
    music = musicgen(tmp_path / "music")
    with pytest.raises(UsageError, match=r"music needs 0\.\d+ GB on cpu, and 1e-06 GB are free"):
        artgen.generate("audio", model=music, backend="musicgen", seed=1, seconds=0.1, device="cpu")


@pytest.mark.parametrize(
    ("options", "share"),
    [
        ({"dtype": "bf16"}, 0.5),
        ({"dtype": "fp16"}, 0.5),
        ({"quantise": "int8"}, 0.25),
        ({"quantise": "int4"}, 0.125),
        ({"offload": "disk"}, 0),
    ],
)
def test_what_the_advice_names_fits_into_less(
    gpt2: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], share: float
) -> None:
    model = Transformers.find_model(str(gpt2))
    model.device = "cpu"
    needed = int(memory.loaded_bytes([gpt2 / "model.safetensors"], 1) * 4 * 1.1 * share) + 1
    monkeypatch.setattr(memory, "free_memory", lambda device: needed)
    loading._check_memory(model, loading.Loading(**options))
    if share:
        monkeypatch.setattr(memory, "free_memory", lambda device: needed - 2)
        with pytest.raises(UsageError, match="gpt2 needs"):
            loading._check_memory(model, loading.Loading(**options))


def test_pickles_and_code_are_refused_before_anything_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *a, **k: pytest.fail("loaded"))
    pickled = causal("llama", tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"the weights in pytorch_model\.bin are a pickle, which can run any code"):
        opened(pickled)
    strange = causal("llama", tmp_path / "strange")
    told = json.loads((strange / "config.json").read_text())
    code = {"auto_map": {"AutoModelForCausalLM": "modeling.Mine"}, "model_type": "mine"}
    (strange / "config.json").write_text(json.dumps({**told, **code}))
    (strange / "modeling.py").write_text("raise SystemExit('run')")
    with pytest.raises(ModelError, match="needs code that comes with the model, and artgen runs none"):
        opened(strange)


def test_the_licence_is_kept_and_refused_on_demand(tmp_path: Path) -> None:
    for licence, allowed in (("cc-by-nc-4.0", False), ("apache-2.0", True)):
        folder = causal("llama", tmp_path / licence, licence=licence)
        common: dict[str, Any] = {"backend": "transformers", "seed": 1, "length": 3, "device": "cpu"}
        work = artgen.generate("text", model=folder, **common)[0]
        assert cast(Any, work.recipe).licence == licence
        if allowed:
            assert artgen.generate("text", model=folder, commercial_only=True, **common)[0].numpy() is not None
        else:
            with pytest.raises(UsageError, match=r"its licence cc-by-nc-4\.0 forbids commercial use; choose another model"):
                artgen.generate("text", model=folder, commercial_only=True, **common)


def test_a_name_that_was_never_downloaded_is_told_without_a_network() -> None:
    for modality, backend in (("text", "transformers"), ("audio", "musicgen")):
        with pytest.raises(ModelError, match=r"nobody/nothing: no such folder, not downloaded before, and .*HF_HUB_OFFLINE"):
            artgen.generate(modality, model="nobody/nothing", backend=backend, seed=1, device="cpu")


def test_loading_leaves_the_random_numbers_of_the_caller(gpt2: Path) -> None:
    before, state = torch.get_rng_state(), np.random.get_state()[1]
    opened(gpt2)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(cast(Any, state), cast(Any, np.random.get_state()[1]))
