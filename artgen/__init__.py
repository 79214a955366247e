"""Make art with generative models: images, audio, text and video, on your own data.

The public names are loaded when they are first used, so that ``import artgen`` costs nothing::

    import artgen

    works = artgen.generate("image", n=4, seed=7, truncation=0.7)
    works[0].save("first.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from artgen.api import evaluate, generate, iter_generate, list_backends, modify, prepare, train
    from artgen.artwork import Image, Text, Video, open_artwork
    from artgen.dataset import Dataset
    from artgen.describe import show
    from artgen.model import Model
    from artgen.remake import replay

    __version__: str

__all__ = [
    "Dataset",
    "Image",
    "Model",
    "Text",
    "Video",
    "__version__",
    "evaluate",
    "generate",
    "iter_generate",
    "list_backends",
    "modify",
    "open_artwork",
    "prepare",
    "replay",
    "show",
    "train",
]

_PLACES = {
    "Dataset": "artgen.dataset",
    "Image": "artgen.artwork",
    "Model": "artgen.model",
    "Text": "artgen.artwork",
    "Video": "artgen.artwork",
    "evaluate": "artgen.api",
    "generate": "artgen.api",
    "iter_generate": "artgen.api",
    "list_backends": "artgen.api",
    "modify": "artgen.api",
    "open_artwork": "artgen.artwork",
    "prepare": "artgen.api",
    "replay": "artgen.remake",
    "show": "artgen.describe",
    "train": "artgen.api",
}


def __getattr__(name: str) -> Any:  # the type of each name is declared above
    if name == "__version__":
        from importlib.metadata import version

        globals()[name] = version("artgen")  # stands in every recipe, and reading it takes longer than all else of one
        return globals()[name]
    if name not in _PLACES:
        raise AttributeError(f"module 'artgen' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_PLACES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
