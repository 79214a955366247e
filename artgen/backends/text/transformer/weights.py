"""The weights of a model as NumPy arrays, laid out as the engines read them; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from artgen.errors import ModelError
from artgen.model import WEIGHTS, Model

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

PAIR_HASH = (1000003, 8191)  # as in model.py, which needs torch
RUN_HASH = (1000003, 2147483647)
ROTARY_BASE = 1024.0
LOGIT_CAP = 15.0
ATTENTION_SCALE = 1.35


@dataclass(frozen=True)
class Weights:
    """A network [L layers, H heads, D width, V vocabulary] for a context of C tokens.

    ``embedding`` [V, D]; ``pairs`` [rows or 0, D], ``sizes`` the rows of each table in it: of pairs (0 for none), of runs of
    three tokens, of four, and so on; ``tables`` [L or 0, V, D] add to the values of attention; ``mix`` [L, 2];
    ``matrices`` one after the other, each [in, out]: qkv, out, up and down of every layer, then the head;
    ``cosine`` and ``sine`` [C, D / H / 4].
    """

    layers: int
    heads: int
    width: int
    vocabulary: int
    context: int
    embedding: Floats
    pairs: Floats
    sizes: tuple[int, ...]
    tables: Floats
    mix: Floats
    matrices: Floats
    cosine: Floats
    sine: Floats

    @property
    def scale(self) -> float:
        """What the products of queries and keys are multiplied with."""
        return float(ATTENTION_SCALE / (self.width // self.heads) ** 0.5)

    @property
    def reach(self) -> int:
        """How many tokens before a token its first embedding depends on."""
        return len(self.sizes) if any(self.sizes) else 0

    def pair_rows(self, before: Ids, tokens: Ids) -> Ids:
        """The rows of ``pairs`` [R, grams] for every token and those before it [R, reach], as :meth:`.model.Writer.embed`."""
        if not self.reach:
            return np.zeros((len(tokens), 0), np.int64)
        found: list[Ids] = []
        start = 0
        row = (tokens + 1) % RUN_HASH[1]
        for number, size in enumerate(self.sizes):
            row = (row * RUN_HASH[0] + before[:, number] + 1) % RUN_HASH[1]
            if number:
                found.append(start + row % size)
            elif size == self.vocabulary * self.vocabulary:
                found.append(before[:, 0] * self.vocabulary + tokens)
            elif size:
                found.append((before[:, 0] * PAIR_HASH[0] + tokens * PAIR_HASH[1]) % size)
            start += size
        return np.stack(found, 1)

    def layer(self, number: int) -> tuple[Floats, Floats, Floats, Floats]:
        """The matrices qkv [D, 3D], out [D, D], up [D, 4D] and down [4D, D] of a layer."""
        square, width = self.width**2, self.width
        part = self.matrices[12 * square * number : 12 * square * (number + 1)]
        qkv, out, up, down = np.split(part, [3 * square, 4 * square, 8 * square])
        return qkv.reshape(width, -1), out.reshape(width, -1), up.reshape(width, -1), down.reshape(4 * width, -1)

    @property
    def head(self) -> Floats:
        """The head [D, V]."""
        return self.matrices[12 * self.width**2 * self.layers :].reshape(self.width, -1)


def read_weights(model: Model) -> Weights:
    """The weights of ``model``, widened to float32.

    Raises:
        ModelError: the file is damaged, or is not what config.json says.
    """
    network = model.config.network
    arrays = {name.removeprefix("writer."): array for name, array in read_arrays(model).items()}
    try:
        return _laid_out(network, arrays)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(f"{model.folder}: config.json and weights do not belong together ({error})") from None


def _laid_out(network: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Weights:
    layers, heads, width = network["layers"], network["heads"], network["width"]
    vocabulary, context, pairs = network["vocabulary"], network["context"], network["pairs"]

    def take(name: str, rows: int, columns: int) -> Floats:
        if arrays[name].shape != (rows, columns):
            raise ValueError(f"{name} is {list(arrays[name].shape)}, not {[rows, columns]}")
        return np.ascontiguousarray(arrays[name], np.float32)

    parts = []
    for number in range(layers):
        for name, rows, columns in (("qkv", 3, 1), ("out", 1, 1), ("up", 4, 1), ("down", 1, 4)):
            parts.append(take(f"blocks.{number}.{name}.weight", rows * width, columns * width).T.ravel())
    embedding = take("embedding.weight", vocabulary, width)
    parts.append((embedding if network["tied"] else take("head.weight", vocabulary, width)).T.ravel())
    tables = [take(f"values.{number}.weight", vocabulary, width) for number in range(layers if network["values"] else 0)]
    sizes = (pairs, *network.get("runs", ()))
    grams = [take("pair.weight", pairs, width)] if pairs else []
    grams += [take(f"runs.{number}.weight", rows, width) for number, rows in enumerate(sizes[1:])]
    count = width // heads // 4
    angles = np.arange(context)[:, None] * ROTARY_BASE ** (-np.arange(count) / count)
    return Weights(
        layers=layers, heads=heads, width=width, vocabulary=vocabulary, context=context,
        embedding=embedding,
        pairs=np.concatenate([np.zeros((0, width), np.float32), *grams]), sizes=sizes,
        tables=np.stack(tables) if tables else np.zeros((0, vocabulary, width), np.float32),
        mix=np.stack([np.asarray(arrays[f"blocks.{number}.mix"], np.float32).reshape(2) for number in range(layers)]),
        matrices=np.concatenate(parts),
        cosine=np.cos(angles).astype(np.float32), sine=np.sin(angles).astype(np.float32),
    )  # fmt: skip


def read_arrays(model: Model) -> dict[str, NDArray[Any]]:
    """Every weight by name; bfloat16, which NumPy does not know, comes as float32.

    Raises:
        ModelError: the file is damaged, or not the one that the model was saved with.
    """
    from safetensors import SafetensorError, deserialize

    model.check()
    try:
        found = deserialize((model.folder / WEIGHTS).read_bytes())  # type: ignore[no-untyped-call]
        return {name: _array(told) for name, told in found}
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise ModelError(f"{model.folder / WEIGHTS}: damaged ({error}); restore the file or train the model again") from None


def _array(told: dict[str, Any]) -> NDArray[Any]:
    if told["dtype"] == "BF16":
        halves = np.frombuffer(told["data"], "<u2").astype(np.uint32) << 16
        return halves.view(np.float32).reshape(told["shape"])
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    return np.frombuffer(told["data"], kinds[told["dtype"]]).reshape(told["shape"])
