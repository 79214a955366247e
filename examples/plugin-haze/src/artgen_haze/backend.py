"""``image.haze``: a small variational autoencoder that learns from your pictures.

Source: Kingma and Welling 2013, "Auto-Encoding Variational Bayes".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from artgen.artwork import Artwork, Image, grid
from artgen.backend import SILENT, Backend, Progress, Score, TrainOptions
from artgen.errors import UsageError
from artgen.media import prepare_image
from artgen.options import Meta, Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from artgen.dataset import Dataset
    from artgen.model import Model
    from artgen.training import Batch, Position, Task


class Haze(Backend):
    """Pictures from a few numbers: an encoder finds the numbers of a picture, a decoder paints them."""

    api_version = 1
    modality = "image"
    name = "haze"
    summary = "Variational autoencoder: soft pictures like yours, learned in a minute."
    source = "Kingma and Welling 2013, 'Auto-Encoding Variational Bayes'"

    Prepare = prepare_image.Prepare

    class Train(TrainOptions):
        """Options of ``train``."""

        latent: Annotated[int, Meta(ge=1, le=512, description="How many numbers describe a picture.")] = 32
        width: Annotated[int, Meta(ge=4, le=256, description="Channels of the widest picture; more learn more, slower.")] = 32
        learning_rate: Annotated[float, Meta(gt=0, le=1, description="Size of the first steps.")] = 0.002
        order: Annotated[float, Meta(ge=0, le=10, description="Pull of the numbers towards a bell curve.")] = 0.5

    class Generate(Options):
        """Options of ``generate``."""

        variety: Annotated[float, Meta(ge=0, le=2, description="Distance from the mean picture.")] = 1.0

    class Modify(Options):
        """Options of ``modify``."""

        strength: Annotated[float, Meta(ge=0, le=1, description="0 keeps the picture, 1 is what the model sees.")] = 0.6
        drift: Annotated[float, Meta(ge=0, le=2, description="How far the seed carries it away from what it is.")] = 0.3

    class Evaluate(Options):
        """Options of ``evaluate``."""

        items: Annotated[int, Meta(ge=2, le=100_000, description="Pictures to compare.", extra={"unit": "items"})] = 500

    def prepare(self, sources: Sequence[str | Path], folder: Path, options: Any, progress: Progress = SILENT) -> Dataset:
        """Decode pictures into the dataset that every image backend shares."""
        return prepare_image.prepare(sources, folder, options, progress)

    def build(self, config: dict[str, Any]) -> nn.Module:
        """Encoder [B, 3, R, R] -> [B, 2 * latent] (means and log-variances), decoder [B, latent] -> [B, 3, R, R]."""
        from torch import nn

        width, latent, edge = config["width"], config["latent"], config["resolution"] // 8

        def smaller(before: int, after: int) -> list[nn.Module]:
            return [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.SiLU()]

        def larger(before: int, after: int) -> list[nn.Module]:
            return [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.SiLU()]

        encoder = nn.Sequential(
            *smaller(3, width), *smaller(width, 2 * width), *smaller(2 * width, 4 * width),
            nn.Flatten(), nn.Linear(4 * width * edge * edge, 2 * latent),
        )  # fmt: skip
        decoder = nn.Sequential(
            nn.Linear(latent, 4 * width * edge * edge), nn.Unflatten(1, (4 * width, edge, edge)), nn.SiLU(),
            *larger(4 * width, 2 * width), *larger(2 * width, width), *larger(width, width),
            nn.Conv2d(width, 3, 3, padding=1), nn.Tanh(),
        )  # fmt: skip
        return nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def task(self, dataset: Dataset, options: Any) -> Task:
        """What one step of training computes."""
        return learning(self, dataset, options)

    def generate(self, model: Model, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Artwork]:
        """One picture a seed, drawn from a generator of its own: the same seed gives the same bytes."""
        import torch

        for seed in seeds:
            numbers = torch.randn(1, model.config.network["latent"], generator=torch.Generator().manual_seed(seed))
            yield paint(model.network(self), options.variety * numbers.to(model.device))

    def modify(
        self, model: Model, artworks: Iterable[Artwork], seeds: Sequence[int], options: Any, progress: Progress = SILENT
    ) -> Iterator[Artwork]:
        """Each picture as the model remembers it, laid over itself; its size and transparency stay."""
        import numpy as np
        import torch

        from artgen.nn.pixels import to_signal

        network: Any = model.network(self)
        edge = model.config.network["resolution"]
        for artwork, seed in zip(artworks, seeds, strict=True):
            if not isinstance(artwork, Image):
                raise UsageError(f"{artwork.name or 'the input'}: haze modifies pictures, not {artwork.modality}")
            picture = artwork.to_pil()
            small = np.asarray(picture.convert("RGB").resize((edge, edge)))
            with torch.inference_mode():
                numbers = network["encoder"](to_signal(torch.tensor(small[None])).to(model.device)).chunk(2, 1)[0]
            drift = torch.randn(numbers.shape, generator=torch.Generator().manual_seed(seed))
            seen = paint(network, numbers + options.drift * drift.to(model.device)).to_pil().resize(picture.size)
            yield Image(blend(artwork.pixels, np.asarray(seen), options.strength))

    def evaluate(self, model: Model, dataset: Dataset, options: Any, progress: Progress = SILENT) -> dict[str, Score]:
        """How far generated pictures are from real ones, beside how far real ones are from each other."""
        import numpy as np

        from artgen.metrics.swd import sliced_wasserstein

        real = dataset.array("images")[: 2 * options.items]
        half = len(real) // 2
        made = np.stack([work.numpy() for work in self.generate(model, range(half), self.Generate())])
        value, _ = sliced_wasserstein(made, real[:half])
        floor, _ = sliced_wasserstein(real[half : 2 * half], real[:half])
        about = "Distance of patches at every scale (sliced Wasserstein)."
        return {"swd": Score(value, floor, "lower", about, f"swd@N={half}", Image(made[0]))}


def blend(before: NDArray[np.uint8], after: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    """``after`` RGB [H, W, 3] laid over ``before`` [H, W, C] with C 1, 3 or 4; a fourth channel, transparency, is kept."""
    import numpy as np

    colours = after if before.shape[2] > 1 else after.mean(2, keepdims=True)
    mixed = before.copy()
    channels = min(3, before.shape[2])
    mixed[..., :channels] = np.rint((1 - strength) * before[..., :channels] + strength * colours)
    return mixed


def paint(network: Any, numbers: Tensor) -> Image:
    """The picture that the decoder of ``network`` makes of ``numbers`` [1, latent]."""
    import torch

    from artgen.nn.pixels import to_pixels

    with torch.inference_mode():
        return Image(to_pixels(network["decoder"](numbers))[0])


def learning(backend: Haze, dataset: Dataset, options: Any) -> Task:
    """The task that the shared training loop runs; a function, so that listing the backend imports no torch."""
    import numpy as np
    import torch

    from artgen.nn.pixels import to_signal
    from artgen.training import Phase, Task

    class Learning(Task):
        """Paint each picture again from few numbers, and keep the numbers of all pictures together like a bell curve."""

        def __init__(self) -> None:
            super().__init__()
            resolution = dataset.array("images").shape[1]
            self.network = {"resolution": resolution, "latent": options.latent, "width": options.width}
            self.modules_of = backend.build(self.network)
            self.averaged = dict(self.modules_of.named_children())
            self.phases = (
                Phase(
                    "autoencoder", list(self.parameters()), torch.optim.Adam, lambda at: options.learning_rate * (1 - at.fraction)
                ),
            )

        def load(self, dataset: Dataset, indices: Sequence[int]) -> dict[str, Tensor]:
            return {"pictures": to_signal(torch.from_numpy(dataset.array("images")[np.asarray(indices)]))}

        def forward(self, phase: str, batch: Batch, position: Position) -> dict[str, Tensor]:
            pictures = batch["pictures"]
            mean, logarithm = self.modules_of["encoder"](pictures).clamp(-10, 10).chunk(2, 1)
            numbers = mean + torch.exp(logarithm / 2) * batch.normal(options.latent)
            error = (self.modules_of["decoder"](numbers) - pictures).square().mean()
            spread = 0.5 * (mean.square() + logarithm.exp() - 1 - logarithm).sum(1).mean() / pictures[0].numel()
            return {"loss": error + options.order * spread, "error": error, "spread": spread}

        def preview(self, dataset: Dataset) -> Iterator[Artwork]:
            numbers = torch.randn(16, options.latent, generator=torch.Generator().manual_seed(0))
            device = next(self.parameters()).device
            yield grid([paint(self.modules_of, row[None].to(device)) for row in numbers], 4, 4)

    return Learning()
