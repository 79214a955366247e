"""``artgen image modify`` for a GAN: the user's picture is found in the latent space, changed there, and put back at its own size.

What the model cannot draw (fine detail, high resolution, odd colours) is the rest between the picture and what the model
made of it. The rest is kept, as far as ``--detail`` says: so a small model can change a large picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from artgen.artwork import Image
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import OptionError
from artgen.media import frame as frames
from artgen.media import image as image_media
from artgen.options import Meta, Options, resolve

if TYPE_CHECKING:
    from torch import Tensor

    from artgen.backends.image.gan.project import Found
    from artgen.backends.image.gan.sample import Sampler
    from artgen.media.frame import Floats, Frame, Pixels
    from artgen.model import Model

STRENGTH = 0.3
AMOUNT = 2.0


class Modify(Options, frozen=True, kw_only=True):
    """Options of ``modify``; several edits are made in the order mix, direction, strength, mask."""

    strength: Annotated[
        float | None,
        Meta(
            ge=0, le=1,
            description="How far to leave your picture: 0 stays, 1 is a new picture from the seed; "
            f"{STRENGTH} when not given, 0 beside --mix, --direction or --mask.",
        ),
    ] = None  # fmt: skip
    detail: Annotated[
        float | None,
        Meta(ge=0, le=1, description="Share kept of what the model cannot draw; 1 minus --strength when not given."),
    ] = None
    mix: Annotated[
        str | None, Meta(description="Take the fine styles (colour, texture) from this second picture.", extra={"file": True})
    ] = None
    layers: Annotated[
        str | None,
        Meta(
            pattern=r"^\d+(-\d+)?$",
            description="Stages that --mix takes from the second picture, 1 being the coarsest, for example 3-5; "
            "the finer half when not given.",
        ),
    ] = None
    direction: Annotated[int | None, Meta(ge=1, le=64, description="Move along this editing direction, 1 the strongest.")] = None
    amount: Annotated[
        float | None,
        Meta(ge=-10, le=10, description=f"How far to move along --direction, in standard deviations; {AMOUNT:g} when not given."),
    ] = None
    directions: Annotated[
        Literal["sefa", "pca"] | None,
        Meta(description="How editing directions are found: from the weights (sefa, when not given) or from samples (pca)."),
    ] = None
    mask: Annotated[
        str | None, Meta(description="Repaint the white parts of this mask, keep the rest of your picture.", extra={"file": True})
    ] = None
    iterations: Annotated[
        int, Meta(ge=1, le=10000, description="Optimisation steps for finding your picture in the latent space.")
    ] = 200
    class_: Annotated[str | None, Meta(description="Treat the picture as one of this class; found out when not given.")] = None

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if self.layers is not None and self.mix is None:
            raise OptionError(f"--layers {self.layers} says what --mix takes; give --mix with a second picture too")
        for name in ("amount", "directions"):
            if getattr(self, name) is not None and self.direction is None:
                raise OptionError(f"--{name} {getattr(self, name)} is about --direction; give --direction 1 too")
        if self.detail is not None and self.mask is not None:
            raise OptionError("--mask keeps all of your picture outside the mask and none inside; leave --detail out")

    @property
    def leaving(self) -> float:
        """The strength in use."""
        if self.strength is not None:
            return self.strength
        return STRENGTH if self.mix is None and self.direction is None and self.mask is None else 0.0

    @property
    def kept(self) -> float:
        """The share of the rest in use."""
        return 1 - self.leaving if self.detail is None else self.detail


def modify(backend: Backend, model: Model, artwork: Image, seed: int, options: Modify, progress: Progress = SILENT) -> Image:
    """``artwork`` changed as ``options`` say, RGB in its own size; the same for the same picture, options and seed.

    The whole picture is fitted into the model's square in its own proportions; what lies beside it in the square is not
    looked at. With a mask every pixel that the mask has black stays as it is.

    Raises:
        OptionError: an option that this model cannot follow, or the model is of the classic architecture.
        SourceError: the second picture or the mask cannot be read.
    """
    from artgen.backends.image.gan.project import render
    from artgen.backends.image.gan.sample import Sampler

    sampler = Sampler.of(model, backend)
    sampler.critic()
    label, taken = sampler.label(options.class_), stages(options.layers, sampler.styled.levels)
    _check_direction(sampler, options)
    pixels = frames.opaque(artwork.pixels)
    height, width = pixels.shape[:2]
    mask = frames.read_mask(options.mask, height, width) if options.mask else None
    other = image_media.decode(options.mix) if options.mix else None
    size = sampler.styled.resolution
    frame = frames.Frame(height, width, size)

    found = _found(sampler, frame, pixels, mask, seed, label, options.iterations, progress, "finding your picture")
    styles = found.styles
    if other is not None:
        place = frames.Frame(other.shape[0], other.shape[1], size)
        second = _found(sampler, place, other, None, seed, label, options.iterations, progress, "finding the second picture")
        styles = styles.clone()
        styles[:, taken] = second.styles[:, taken]
    styles = _moved(sampler, found, styles, options)
    if options.leaving:
        styles = styles.lerp(_drawn(backend, model, sampler, seed, found.label)[:, None].expand_as(styles), options.leaving)
    after = _plane(render(sampler, styles))
    if mask is not None:
        return Image(_repainted(pixels, frame, mask, after), seeds=(seed,))
    change = after - options.kept * _plane(render(sampler, found.styles))
    return Image(_put_back(pixels, frame, change, options.kept), seeds=(seed,))


def stages(layers: str | None, count: int) -> slice:
    """The stages that ``layers`` (``3`` or ``3-5``, from 1) names among ``count``; the finer half for None.

    Raises:
        OptionError: there are no such stages.
    """
    if layers is None:
        return slice(count // 2, count)
    first, _, last = layers.partition("-")
    start, end = int(first), int(last or first)
    if not 1 <= start <= end <= count:
        raise OptionError(f"--layers takes stages 1 to {count} of this model, for example {count // 2 + 1}-{count}, not {layers}")
    return slice(start - 1, end)


def _check_direction(sampler: Sampler, options: Modify) -> None:
    known = sampler.styled.root.in_features
    if options.direction is not None and options.direction > known:
        raise OptionError(f"--direction takes 1 to {known} for this model, not {options.direction}")


def _found(
    sampler: Sampler, frame: Frame, pixels: Pixels, mask: Floats | None, seed: int, label: int | None, iterations: int,
    progress: Progress, title: str,
) -> Found:  # fmt: skip
    """``pixels`` in the latent space of the model, without what ``mask`` covers."""
    import torch

    from artgen.backends.image.gan.project import project

    def tensor(plane: Floats) -> Tensor:
        return torch.from_numpy(plane).to(sampler.device)

    target = tensor(frame.fit(pixels)).permute(2, 0, 1)[None] / 127.5 - 1
    known = frame.known(mask)
    return project(
        sampler, target, seed=seed, label=label, iterations=iterations, known=None if known is None else tensor(known)[None, None],
        hole=mask is not None, progress=progress, title=title,
    )  # fmt: skip


def _moved(sampler: Sampler, found: Found, styles: Tensor, options: Modify) -> Tensor:
    """``styles`` after the way along the direction that is asked for."""
    if options.direction is None:
        return styles
    from artgen.backends.image.gan.directions import direction

    amount = AMOUNT if options.amount is None else options.amount
    return styles + amount * direction(sampler.styled, found.manifold, options.direction, options.directions or "sefa")


def _drawn(backend: Backend, model: Model, sampler: Sampler, seed: int, label: int | None) -> Tensor:
    """The style [1, S] of the picture that ``generate`` makes of ``seed`` by default."""
    generating: Any = resolve(backend.Generate, model.config.generate)
    return sampler.styles(*sampler.draw((seed,), label), generating.truncation)


def _plane(picture: Tensor) -> Floats:
    """A picture [1, C, R, R] in -1..1 as [R, R, C] in 0..255."""
    values: Floats = ((picture[0].permute(1, 2, 0).cpu().numpy() + 1) * 127.5).astype(np.float32)
    return values


def _put_back(pixels: Pixels, frame: Frame, change: Floats, kept: float) -> Pixels:
    """``kept`` times the picture plus ``change`` [R, R, C], a channel at a time to spare memory."""
    made = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        values = np.float32(kept) * pixels[..., channel] + frame.back(change[..., channel])
        made[..., channel] = np.clip(np.rint(values), 0, 255)
    return made


def _repainted(pixels: Pixels, frame: Frame, mask: Floats, after: Floats) -> Pixels:
    """The picture with ``after`` [R, R, C] where ``mask`` [H, W] says, shifted smoothly so that the border meets what is kept.

    Source: Pérez et al. 2003, "Poisson Image Editing", section 3: a guided patch is a membrane on top of the source.
    """
    known = frame.known(mask)
    assert known is not None
    apart = frame.fit(pixels) - after
    made = np.empty_like(pixels)
    for channel in range(pixels.shape[2]):
        painted = frame.back(after[..., channel] + frames.spread(apart[..., channel], known))
        values = pixels[..., channel] + mask * (np.clip(painted, 0, 255) - pixels[..., channel])
        made[..., channel] = np.clip(np.rint(values), 0, 255)
    return made
