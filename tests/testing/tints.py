"""A small correct backend, without torch: plain colours with grain, learned step by step from the pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from artgen.artwork import Artwork, Image
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.dataset import Dataset, Manifest, fingerprint, write_manifest
from artgen.errors import SourceError, UsageError
from artgen.model import Config, Model, save_model
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from artgen.training import Run

SIZE = 8


class Tints(Backend):
    """The mean colour of the data, approached step by step, with grain from the seed."""

    api_version = 1
    modality = "image"
    name = "tints"
    summary = "Plain colours with grain."
    source = "written for the tests of the kit"

    class Prepare(Options):
        gain: Annotated[float, Meta(gt=0, le=4, description="Factor on every pixel.")] = 1.0

    class Train(TrainOptions):
        rate: Annotated[float, Meta(gt=0, lt=1, description="Share of the way to go in a step.")] = 0.5

    class Generate(Options):
        grain: Annotated[int, Meta(ge=0, le=64, description="Strength of the grain.")] = 16
        tone: Annotated[str, Meta(pattern="^(warm|cold)$", description="Tint of the whole.")] = "warm"
        shifts: Annotated[tuple[int, ...], Meta(description="Added to the channels.")] = ()

    class Modify(Options):
        strength: Annotated[float, Meta(ge=0, le=1, description="How much grain is laid on.")] = 0.5

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        kept = []
        for source in sources:
            if not Path(source).exists():
                raise SourceError(f"{source}: no such file or folder")
            kept += [self._small(path, options.gain) for path in sorted(Path(source).rglob("*.png"))]
        if not kept:
            raise SourceError(f"{sources[0]}: no PNG picture in it; give a folder of them")
        images = np.stack(kept)
        folder.mkdir(parents=True)
        np.save(folder / "images.npy", images)
        shapes = {"images": list(images.shape)}
        return write_manifest(folder, Manifest(
            artgen="0", kind="image", count=len(images), arrays={"images": "images.npy"}, shapes=shapes,
            fingerprint=fingerprint(images.tobytes()),
        ))  # fmt: skip

    def _small(self, path: Path, gain: float) -> Any:
        from PIL import Image as Pillow

        with Pillow.open(path) as picture:
            return np.clip(np.asarray(picture.convert("RGB").resize((SIZE, SIZE))) * gain, 0, 255).astype(np.uint8)

    def train(self, dataset: Dataset, run: Run, options: Any, progress: Progress = SILENT) -> Model:
        images = dataset.array("images")
        step, colour = self._state(run)
        progress.start("learning the colour", options.steps, "steps")
        try:
            while step < options.steps:
                chosen = np.random.default_rng([options.seed, step]).integers(0, len(images), options.batch_size)
                colour = colour + options.rate * (images[chosen].mean((0, 1, 2)) - colour)
                step += 1
                progress.advance()
                place = run.folder / "state" / f"{step:010d}" / "state.json"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(json.dumps({"step": step, "colour": list(colour)}))
        finally:
            progress.finish()
        return self._save(run, colour)

    def _state(self, run: Run) -> tuple[int, Any]:
        found = sorted(run.folder.glob("state/*/state.json")) if run.resume else []
        kept = json.loads(found[-1].read_text()) if found else {"step": 0, "colour": [0.0, 0.0, 0.0]}
        return kept["step"], np.array(kept["colour"])

    def _save(self, run: Run, colour: Any) -> Model:
        import torch

        config = Config(artgen="0", backend=run.backend, network={"size": SIZE})
        return save_model(run.folder / "model", config, {"colour": torch.tensor(colour, dtype=torch.float64)}, "# Tints\n")

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        colour = self._colour(model)
        for index, seed in enumerate(seeds):
            yield self._work(self._pixels(colour, self._grain(seed, index), options))

    def _colour(self, model: Model) -> Any:
        return model.tensors()["colour"].numpy()

    def _grain(self, seed: int, index: int) -> Any:
        return np.random.default_rng(seed).standard_normal((SIZE, SIZE, 3))

    def _pixels(self, colour: Any, grain: Any, options: Any) -> Any:
        tint = np.array([9, 0, -9]) * (1 if options.tone == "warm" else -1) + sum(options.shifts)
        return np.clip(colour + tint + grain * options.grain, 0, 255).astype(np.uint8)

    def _work(self, pixels: Any) -> Artwork:
        return Image(pixels)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        for number, (artwork, seed) in enumerate(zip(artworks, seeds, strict=True)):
            if not isinstance(artwork, Image):
                raise UsageError(f"{artwork.name or 'the input'}: tints modifies pictures, not {artwork.modality}")
            yield self._changed(artwork, np.random.default_rng(seed), options.strength, number)

    def _changed(self, artwork: Image, random: Any, strength: float, number: int) -> Artwork:
        grain = random.standard_normal(artwork.pixels.shape) * 64 * strength
        return Image(np.clip(artwork.pixels + grain, 0, 255).astype(np.uint8))

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        distance = abs(float(self._colour(model).mean()) - float(dataset.array("images").mean()))
        return {"colour": Score(distance, 0.0, "lower", "Distance of the mean colours.")}
