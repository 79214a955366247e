"""A whole small plugin: noise with the mean and spread of the data; real in every verb, and without torch."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from artgen.artwork import Artwork, Image, Video
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.dataset import Dataset, Manifest, Skipped, fingerprint, write_manifest
from artgen.errors import SourceError
from artgen.files import write_atomically
from artgen.model import CONFIG, WEIGHTS, Config, Model
from artgen.options import Meta, Options, Seconds

if TYPE_CHECKING:
    from artgen.training import Run


class Noise(Backend):
    """Gaussian noise around the mean colour of the data."""

    modality = "image"
    name = "noise"
    summary = "Gaussian noise around the mean colour of the data."
    source = "a test"

    class Prepare(Options):
        resolution: Annotated[int, Meta(ge=4, le=64, description="Edge of the pictures.", extra={"unit": "px"})] = 8

    class Train(TrainOptions):
        spread: Annotated[float, Meta(gt=0, le=4, description="How much noise.")] = 1.0

    class Generate(Options):
        truncation: Annotated[float, Meta(ge=0, le=2, description="Distance from the mean.")] = 0.7
        class_: Annotated[int | None, Meta(ge=0, description="Class to make.")] = None
        mirror: Annotated[bool, Meta(description="Mirror the picture.")] = False
        tone: Annotated[Literal["warm", "cold"], Meta(description="Tint.")] = "warm"
        shift: Annotated[tuple[int, ...], Meta(description="Added to each channel.")] = ()
        palette: Annotated[str | None, Meta(description="Picture whose mean is taken.", extra={"file": True})] = None
        sheet: Annotated[bool, Meta(description="All seeds in one picture.")] = False
        walk: Annotated[Seconds | None, Meta(gt=0, le=10, description="Length of a clip.")] = None

    class Modify(Options):
        strength: Annotated[float, Meta(ge=0, le=1, description="Share of noise.")] = 0.5
        mix: Annotated[tuple[str, ...], Meta(description="Other pictures.", extra={"file": True})] = ()

    class Evaluate(Options):
        items: Annotated[int, Meta(ge=1, description="Works to make.", extra={"unit": "items"})] = 4

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Options, progress: Progress = SILENT) -> Dataset:
        from PIL import Image as Pillow

        size = options.resolution  # type: ignore[attr-defined]
        kept, skipped = [], []
        for path in sorted(file for source in sources for file in Path(source).rglob("*") if file.is_file()):
            try:
                with Pillow.open(path) as picture:
                    kept.append(np.asarray(picture.convert("RGB").resize((size, size))))
            except OSError:
                skipped.append(Skipped(str(path), "no picture"))
        if not kept:
            raise SourceError(f"{sources[0]}: no picture in it")
        images = np.stack(kept)
        folder.mkdir(parents=True)
        np.save(folder / "images.npy", images)
        return write_manifest(folder, Manifest(
            artgen="0", kind="image", count=len(images), arrays={"images": "images.npy"}, shapes={"images": list(images.shape)},
            options=options.asdict(), skipped=skipped, fingerprint=fingerprint(images.tobytes()),
        ))  # fmt: skip

    def train(self, dataset: Dataset, run: Run, options: Options, progress: Progress = SILENT) -> Model:
        images = np.asarray(dataset.array("images"), np.float64)
        spread = images.std() * options.spread  # type: ignore[attr-defined]
        return save_noise(run.folder / "model", images.mean((0, 1, 2)), spread, images.shape[1])

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        mean, spread, size = _weights(model)
        if options.palette:
            mean = _pixels(options.palette).mean((0, 1))
        for shift in options.shift:
            mean = mean + shift
        if options.sheet:
            works = list(self.generate(model, seeds, options.replace(sheet=False)))
            yield Image(np.concatenate([work.numpy() for work in works]), seeds=tuple(seeds))
            return
        for seed in seeds:
            frames = round(options.walk * 5) if options.walk else 1
            noise = np.random.default_rng(seed).standard_normal((frames, size, size, 3)) * spread * options.truncation
            tint = np.array([20, 0, -20]) * (1 if options.tone == "warm" else -1)
            pixels = np.clip(mean + noise + tint + (options.class_ or 0), 0, 255).astype(np.uint8)
            pixels = pixels[:, :, ::-1] if options.mirror else pixels
            yield Video(pixels, 5.0) if options.walk else Image(pixels[0])

    def together(self, options: Any) -> bool:
        return bool(options.sheet)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        others = [float(_pixels(path).mean()) for path in options.mix]
        for artwork, seed in zip(artworks, seeds, strict=True):
            pixels = artwork.numpy().astype(np.float64)
            noise = np.random.default_rng(seed).standard_normal(pixels.shape) * 64
            changed = pixels * (1 - options.strength) + noise * options.strength + sum(others)
            yield Image(np.clip(changed, 0, 255).astype(np.uint8))

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        works = [work.numpy() for work in self.generate(model, range(options.items), self.Generate())]
        value = abs(float(np.mean(works)) - float(dataset.array("images").mean()))
        sheet = Image(works[0])
        return {
            "colour": Score(value, 0.0, "lower", "Distance of the mean colours.", f"mean@N={options.items}", sheet),
            "unknown": Score(float("nan"), None, "higher", "Cannot be measured."),
        }


def save_noise(folder: Path, mean: Any, spread: float, size: int, generate: dict[str, Any] | None = None) -> Model:
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"mean": np.asarray(mean, np.float64), "spread": np.array([spread])}, folder / WEIGHTS)
    import msgspec

    config = Config(artgen="0", backend="image.noise", network={"size": size}, generate=generate or {}, licence="CC0-1.0")
    write_atomically(folder / CONFIG, msgspec.json.encode(config))
    return Model.open(folder)


def _weights(model: Model) -> tuple[Any, float, int]:
    from safetensors.numpy import load_file

    tensors = load_file(model.folder / WEIGHTS)
    return tensors["mean"], float(tensors["spread"][0]), int(model.config.network["size"])


def _pixels(path: str) -> Any:
    from PIL import Image as Pillow

    with Pillow.open(path) as picture:
        return np.asarray(picture.convert("RGB"), np.float64)


class OnlyPrepares(Backend):
    """A backend with one verb."""

    modality = "image"
    name = "preparer"
    summary = "Prepares and no more."
    Prepare = Noise.Prepare
    prepare = Noise.prepare


class Greedy(Noise):
    """A backend that declares a flag of artgen's own."""

    name = "greedy"

    class Generate(Options):
        output: Annotated[str, Meta(description="Mine.")] = ""


NOT_A_BACKEND = object()


class FromTheFuture(Noise):
    """Written for another contract."""

    api_version = 99


def install(
    folder: Path, points: dict[str, str], *, distribution: str = "artgen-noise", modalities: dict[str, str] | None = None
) -> None:
    """Put a package's metadata into ``folder`` (which must be on the path), as pip would."""
    info = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    lines = ["[artgen.backends]", *(f"{name} = {value}" for name, value in points.items())]
    lines += ["[artgen.modalities]", *(f"{name} = {value}" for name, value in (modalities or {}).items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def broken_module(folder: Path, name: str, body: str) -> None:
    """A module in ``folder`` that does ``body`` when it is imported."""
    (folder / f"{name}.py").write_text(textwrap.dedent(body))
    sys.modules.pop(name, None)
