"""``shape.gan3d``: the adversarial network of solids of Wu et al. 2016, and the same network with what was learned since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from artgen.artwork import Artwork, Image
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.errors import UsageError
from artgen.options import Meta, Options
from artgen_voxel import grids, measures, prepare, render
from artgen_voxel.shape import Shape

if TYPE_CHECKING:
    from torch import nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen_voxel.task import SolidTask

_NEW = 0.9
_PAIRS = 6

Pieces = Literal["largest", "all"]


class Gan3d(Backend):
    """Transposed convolutions in three dimensions against strided ones."""

    api_version = 1
    modality: ClassVar[str] = "shape"
    name: ClassVar[str] = "gan3d"
    summary: ClassVar[str] = "3D generative adversarial network: learns solids from voxels and meshes and makes new ones."
    source: ClassVar[str] = (
        "Wu et al. 2016, 'Learning a Probabilistic Latent Space of Object Shapes via 3D Generative-Adversarial Modeling'"
    )
    metrics: ClassVar[tuple[str, ...]] = ("one_nna",)

    Prepare: ClassVar[type[Options]] = prepare.Prepare

    class Train(TrainOptions):
        """Options of ``train``."""

        batch_size: Annotated[
            int, Meta(ge=1, le=65536, description="Shapes per step, over all processes.", extra={"unit": "items"})
        ] = 16  # fmt: skip
        architecture: Annotated[
            Literal["modern", "wu2016"],
            Meta(description="modern trains the network with paired losses and penalties; wu2016 as the paper did."),
        ] = "modern"
        preset: Annotated[
            Literal["sketch", "standard", "large"],
            Meta(description="Width of the networks: sketch for minutes on a CPU, standard for hours, large for GPUs."),
        ] = "sketch"
        mirror: Annotated[bool, Meta(description="Learn from shapes mirrored left to right too.")] = True
        learning_rate: Annotated[
            float | None, Meta(gt=0, le=1, description="Learning rate at the start; by architecture when not given.")
        ] = None
        gamma: Annotated[
            float | None, Meta(ge=0, description="Weight of the gradient penalties (modern); 2 when not given.")
        ] = None  # fmt: skip
        ema: Annotated[float, Meta(ge=0, le=1, description="Half-life of the averaged weights, as a share of the run.")] = 0.02

    class Generate(Options):
        """Options of ``generate``."""

        truncation: Annotated[
            float, Meta(ge=0, le=2, description="Distance from the mean latent: 0 is one shape for all, 1 the full variety.")
        ] = 1.0
        pieces: Annotated[Pieces, Meta(description="Keep the largest connected piece, or all, specks in the air too.")] = "largest"

    class Modify(Options):
        """Options of ``modify``."""

        strength: Annotated[
            float, Meta(ge=0, le=1, description="How far the new shape is from yours: 0 is yours as the model knows it.")
        ] = 0.25
        iterations: Annotated[int, Meta(ge=0, le=10_000, description="Steps of the search for your shape.")] = 200
        pieces: Annotated[Pieces, Meta(description="Keep the largest connected piece, or all, specks in the air too.")] = "largest"

    class Evaluate(Options):
        """Options of ``evaluate``."""

        items: Annotated[
            int, Meta(ge=1, le=100_000, description="Samples to make and real shapes to compare with.", extra={"unit": "items"})
        ] = 200
        seed: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Seed of the first sample; the others follow it.")] = 0

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Voxels and meshes to one array of equal cubes."""
        return prepare.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """Generator and discriminator."""
        from artgen_voxel.task import build

        return build(config)

    def task(self, dataset: Dataset, options: Any) -> SolidTask:
        """Adversarial training of the architecture that is asked for."""
        from artgen_voxel.task import make_task

        return make_task(dataset, options)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One shape a seed."""
        from artgen_voxel.sample import Sampler

        yield from Sampler.of(model, self).shapes(seeds, options)

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """A shape near each of the user's own."""
        from artgen_voxel.sample import Sampler

        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Shape):
                raise UsageError(f"{artwork.name or 'the input'}: gan3d modifies shapes, not {artwork.modality}")
            if not grids.to_solid(artwork.density).any():
                raise UsageError(f"{artwork.name or 'the input'}: an empty shape; give one with some voxels inside")
            yield Sampler.of(model, self).near(artwork, seed, options, progress)

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """Samples against real shapes by how they overlap; every score with that of one real half against the other."""
        voxels = dataset.array("voxels")
        count = min(options.items, len(voxels) // 2)
        order = np.random.default_rng(0).permutation(len(voxels))
        real, held = (voxels[np.sort(rows)] > 0 for rows in (order[:count], order[count : 2 * count]))
        made = self._made(model, options, max(count, 1), progress)
        if made.shape[1:] != voxels.shape[1:]:
            sides = f"{made.shape[1]} voxels a side, the dataset's are of {voxels.shape[1]}"
            raise UsageError(f"the model makes shapes of {sides}; prepare it with --resolution {made.shape[1]}")
        samples = made[:count]
        protocol = f"artgen-IoU@N={count}" + (" (too few shapes for a steady number)" if count < 100 else "")
        table = {
            "one_nna": (measures.one_nna, "lower", "How well a nearest neighbour tells them apart; 0: not at all, 0.5: always."),
            "coverage": (measures.coverage, "higher", "Share of the real shapes that some sample is near to: variety."),
            "matching": (measures.matching, "higher", "Overlap of the real shapes with their nearest sample: fidelity."),
        }
        scores = {
            name: Score(measure(real, samples), measure(real, held), better, told, protocol)  # type: ignore[arg-type]
            for name, (measure, better, told) in table.items()
        }
        return scores | {"copies": _copies(made, voxels, protocol)}

    def _made(self, model: Model, options: Any, count: int, progress: Progress) -> measures.Solids:
        progress.start("making samples", count, "shapes")
        found = []
        for shape in self.generate(model, range(options.seed, options.seed + count), self.Generate()):
            found.append(grids.to_solid(shape.numpy()))
            progress.advance()
        progress.finish()
        return np.stack(found)

    @classmethod
    def sample_sources(cls, folder: Path) -> list[Path]:
        """A few solids for the conformance kit: boxes with a hole, in two classes."""
        from artgen_voxel.samples import write_samples

        return write_samples(folder, 8)


def _copies(made: measures.Solids, voxels: Any, protocol: str) -> Score:
    """The overlap that the closest twentieth of the samples reaches with a training shape, and a sheet of such pairs."""
    training = np.asarray(voxels) > 0
    found, overlap = measures.nearest(made, training)
    near = measures.overlaps(training, training)
    np.fill_diagonal(near, 0)
    floor = float(np.quantile(near.max(1), 0.95)) if len(training) > 1 else float("nan")
    rows = np.argsort(-overlap, kind="stable")[:_PAIRS]
    pairs = [grids.to_density(solid) for row in rows for solid in (made[row], training[found[row]])]
    counted = f"{int((overlap > _NEW).sum())} of {len(made)} overlap by {_NEW}."
    told = f"Overlap of the closest samples with a training shape; 1: copies. {counted}"
    sheet = Image(render.sheet(pairs, columns=2), name="nearest training shapes")
    return Score(float(np.quantile(overlap, 0.95)), floor, "near floor", told, protocol, sheet)
