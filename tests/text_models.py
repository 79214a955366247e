"""A tiny text model for tests: random weights with well separated logits, or trained for a second on a nursery rhyme."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from artgen.backends.text.transformer import fim, presets
from artgen.backends.text.transformer.build import build
from artgen.media.tokenizer import FILE, CharTokenizer, Tokenizer
from artgen.model import Config, Model, save_model

RHYME = (
    "Row, row, row your boat,\nGently down the stream.\nMerrily, merrily, merrily, merrily,\nLife is but a dream.\n"
    "Twinkle, twinkle, little star,\nHow I wonder what you are!\nUp above the world so high,\nLike a diamond in the sky.\n"
)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """Make the presets for little text ones of the real kind that train in a second."""
    for name in ("BRIEF", "SKETCH"):
        plan = getattr(presets, name)
        patch.setattr(
            presets, name, msgspec.structs.replace(plan, layers=2, width=32, heads=2, context=32, runs=(64, 64), pairs=256)
        )


def network(tokenizer: Tokenizer, **changes: Any) -> dict[str, Any]:
    size = tokenizer.size
    told = {"vocabulary": size, "layers": 2, "heads": 2, "width": 32, "context": 32, "pairs": size * size}
    return {**told, "values": True, "tied": False, "fim": 0.5, **changes}


def save(folder: Path, tokenizer: Tokenizer, config: dict[str, Any], modules: torch.nn.Module, **told: Any) -> Model:
    config_ = Config(artgen="0", backend="text.transformer", network=config, **told)
    save_model(folder, config_, modules.state_dict(), "# a model for tests")
    tokenizer.save(folder / FILE)
    return Model.open(folder)


def random_model(folder: Path, tokenizer: Tokenizer | None = None, **changes: Any) -> Model:
    """Weights large enough that the likeliest token is so by a distance."""
    tokenizer = tokenizer or CharTokenizer.train(RHYME)
    config = network(tokenizer, **changes)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        modules = build(config)
        for name, parameter in modules.named_parameters():
            if name.endswith("mix"):
                parameter.data = torch.tensor([0.9, 0.3])
            else:
                torch.nn.init.normal_(parameter, std=1.0 if "emb" in name or "pair" in name or "values" in name else 0.3)
    return save(folder, tokenizer, config, modules)


def trained_model(folder: Path) -> Model:
    """Trained on :data:`RHYME`, half of the windows with a gap to fill."""
    return save(folder, *trained())


@cache
def trained(steps: int = 300) -> tuple[Tokenizer, dict[str, Any], torch.nn.Module]:
    """The tokenizer, the network's config and its weights; trained once a session."""
    tokenizer = CharTokenizer.train(RHYME)
    config = network(tokenizer, context=64, width=48)
    ids = np.tile(tokenizer.encode(RHYME), 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = build(config)
        writer = modules["writer"]
        optimizer = torch.optim.AdamW(writer.parameters(), 1e-2)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / steps)
            random = np.random.default_rng(step)
            starts = random.integers(0, len(ids) - 65, 8)
            windows = np.stack([ids[start : start + 65] for start in starts])
            for row in range(4):
                windows[row] = fim.window(windows[row], tokenizer, random)
            batch = torch.from_numpy(windows)
            logits = writer(batch[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            for parameter in writer.parameters():
                if parameter.grad is not None and parameter.grad.is_sparse:
                    parameter.grad = parameter.grad.to_dense()
            optimizer.step()
    return tokenizer, config, modules
