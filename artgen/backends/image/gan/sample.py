"""Pictures and walks from a trained generator: a work depends on its seed alone, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artgen.artwork import Image, Video
from artgen.backend import Backend, Progress
from artgen.backends.image.gan.model import Generator
from artgen.errors import OptionError
from artgen.media import reactive
from artgen.model import Model
from artgen.nn.batches import padded, split
from artgen.nn.critic import Discriminator
from artgen.nn.pixels import to_pixels
from artgen.training.opened import class_number, open_networks

KEYS = 4
"""Key pictures of a walk that was given a single seed."""


KEY_SECONDS = 4.0
"""Seconds of music between two key pictures of a walk that was given a single seed."""


@dataclass(frozen=True, eq=False)
class Keys:
    """The points [K, S] of a walk: untruncated styles and the mean style of each one's class, or latents of the classic network."""

    points: Tensor
    means: Tensor | None


class Sampler:
    """A model's networks, ready to run; kept with the open model."""

    def __init__(self, model: Model, backend: Backend) -> None:
        network = model.config.network
        modules = open_networks(model, backend)
        self.device = torch.device(model.device)
        self.generator, self.discriminator = modules["generator"], modules["discriminator"]
        self.latent: int = network["latent"]
        self.classic = network["architecture"] == "dcgan"
        self.classes = model.config.classes
        self.counts: list[int] = network.get("class_counts", [])
        self._means: dict[int | None, Tensor] = {}

    @classmethod
    def of(cls, model: Model, backend: Backend) -> Sampler:
        """The sampler of an open model, made at its first use."""
        if "sampler" not in model.cache:
            model.cache["sampler"] = cls(model, backend)
        sampler = model.cache["sampler"]
        assert isinstance(sampler, cls)
        return sampler

    def pictures(self, seeds: Sequence[int], options: Any) -> Iterator[Image]:
        """One picture a seed."""
        label = self.label(options.class_)
        for part in split(seeds):
            latents, labels = self.draw(part, label)
            pixels = self.run_classic(latents) if self.classic else self.run(self.styles(latents, labels, options.truncation))
            for seed, picture in zip(part, pixels, strict=True):
                yield Image(picture, seeds=(seed,))

    def walk(self, seeds: Sequence[int], options: Any, progress: Progress) -> Video:
        """A closed walk through the pictures of all seeds; one seed gives the first of several keys.

        A sound sets the pace: the walk is fast where it is loud and at onsets, and goes further from the mean where it is bright.
        """
        sound, curves = None, None
        if options.audio is not None:
            progress.start("listening")
            sound, curves = reactive.listen(options.audio, options.fps, options.walk)
            progress.finish()
        count = max(2, round(options.walk * options.fps)) if curves is None else len(curves.loudness)
        # A picture every few seconds, however long the music is.
        keys = self.keys(seeds, options, KEYS if curves is None else max(KEYS, round(count / options.fps / KEY_SECONDS)))
        even = np.arange(count) / count
        place = torch.from_numpy(even if curves is None else curves.places(options.reactivity)).float() * len(keys.points)
        truncations = (
            np.full(count, options.truncation) if curves is None else curves.truncations(options.truncation, options.reactivity)
        )
        progress.start("walking", count, "frames")
        frames = []
        for part in split(range(count)):
            frames.append(self._passed(keys, place[list(part)].to(self.device), torch.from_numpy(truncations[list(part)])))
            progress.advance(len(part))
        progress.finish()
        return Video(np.concatenate(frames), fps=options.fps, seeds=tuple(seeds), audio=sound)

    def keys(self, seeds: Sequence[int], options: Any, count: int = KEYS) -> Keys:
        """The points a walk passes; a single seed gives ``count`` of them."""
        label = self.label(options.class_)
        if len(seeds) == 1:
            draws = [self._draw_one(seeds[0], label, number) for number in range(count)]
        else:
            draws = [self._draw_one(seed, label) for seed in seeds]
        latents = torch.stack([latent for latent, _ in draws]).to(self.device)
        if self.classic:
            return Keys(latents, None)
        labels = torch.tensor([number for _, number in draws], device=self.device) if self.counts else None
        parts = [list(part) for part in split(range(len(latents)))]
        styles = [self.styles(latents[part], None if labels is None else labels[part], 1.0) for part in parts]
        means = torch.stack([self.mean(None if labels is None else int(labels[number])) for number in range(len(latents))])
        return Keys(torch.cat(styles), means)

    def _passed(self, keys: Keys, place: Tensor, truncations: Tensor) -> NDArray[np.uint8]:
        """The pictures at ``place`` [B] of a walk, each of its own truncation [B]."""
        point = closed_spline(keys.points, place)
        if keys.means is None:
            return self.run_classic(point)
        mean = closed_spline(keys.means, place)
        return self.run(mean + truncations.to(point)[:, None] * (point - mean))

    def draw(self, seeds: Sequence[int], label: int | None) -> tuple[Tensor, Tensor | None]:
        """The latents [B, Z] of ``seeds`` and, for a class-conditional model, labels [B]."""
        draws = [self._draw_one(seed, label) for seed in seeds]
        latents = torch.stack([latent for latent, _ in draws]).to(self.device)
        return latents, torch.tensor([number for _, number in draws], device=self.device) if self.counts else None

    def _draw_one(self, seed: int, label: int | None, skip: int = 0) -> tuple[Tensor, int]:
        generator = torch.Generator().manual_seed(seed)
        for _ in range(skip):
            torch.randn(self.latent, generator=generator)
        latent = torch.randn(self.latent, generator=generator)
        if not self.counts or label is not None:
            return latent, label or 0
        chosen = torch.multinomial(torch.tensor(self.counts, dtype=torch.float64), 1, generator=generator)
        return latent, int(chosen)

    @torch.no_grad()
    def styles(self, latents: Tensor, labels: Tensor | None, truncation: float) -> Tensor:
        """Styles [B, S], pulled towards the mean style of their class."""
        count = len(latents)
        styles: Tensor = self.styled.mapping(padded(latents), None if labels is None else padded(labels))[:count]
        means = self.mean(None) if labels is None else torch.stack([self.mean(int(label)) for label in labels])
        return means + truncation * (styles - means)

    def mean(self, label: int | None) -> Tensor:
        """The mean style [S] of a class, or of all."""
        if label not in self._means:
            self._means[label] = self.styled.mapping.mean(label)
        return self._means[label]

    @torch.no_grad()
    def run(self, styles: Tensor) -> NDArray[np.uint8]:
        """Pictures uint8 [B, H, W, C] of up to :data:`MICRO_BATCH` styles [B, S] or [B, L, S]."""
        return to_pixels(self.styled.synthesise(padded(styles)))[: len(styles)]

    @torch.no_grad()
    def run_classic(self, latents: Tensor) -> NDArray[np.uint8]:
        """Pictures uint8 [B, H, W, C] of up to :data:`MICRO_BATCH` latents [B, Z] of the classic network."""
        return to_pixels(self.generator(padded(latents)))[: len(latents)]

    @property
    def styled(self) -> Generator:
        """The style-modulated generator; the classic one is asked for nowhere that this is."""
        assert isinstance(self.generator, Generator)
        return self.generator

    def critic(self) -> Discriminator:
        """The discriminator, whose features compare pictures.

        Raises:
            OptionError: the model is of the classic architecture.
        """
        if not isinstance(self.discriminator, Discriminator):
            raise OptionError("a model of --architecture dcgan cannot modify pictures; train one of --architecture style")
        return self.discriminator

    def label(self, wanted: str | None) -> int | None:
        """The number of the class that ``--class`` names.

        Raises:
            OptionError: the model has no such class, or none at all.
        """
        return class_number(wanted, self.classes, bool(self.counts))


def closed_spline(keys: Tensor, place: Tensor) -> Tensor:
    """Points on the closed Catmull-Rom spline through ``keys`` [K, S] at ``place`` [B] in 0..K; it passes key k at k.

    Source: Catmull and Rom 1974, "A class of local interpolating splines".
    """
    count = len(keys)
    index = place.floor().long()
    t = (place - index)[:, None]
    before, here, there, after = (keys[(index + offset) % count] for offset in (-1, 0, 1, 2))
    bend = (2 * before - 5 * here + 4 * there - after) * t**2 + (3 * (here - there) + after - before) * t**3
    return here + 0.5 * ((there - before) * t + bend)
