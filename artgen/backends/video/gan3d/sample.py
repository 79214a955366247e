"""Clips of any length from a trained generator: a work depends on its seed alone, bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from artgen.artwork import Video
from artgen.backend import SILENT, Backend, Progress
from artgen.backends.video.gan3d import motion as motions
from artgen.backends.video.gan3d.model import ClipDiscriminator, Generator
from artgen.backends.video.gan3d.timeline import RATE
from artgen.errors import OptionError
from artgen.media import reactive
from artgen.media.reactive import Curves
from artgen.model import Model
from artgen.nn.batches import padded, split
from artgen.nn.critic import Discriminator
from artgen.nn.pixels import clip_pixels
from artgen.training.opened import class_number, open_networks

WINDOWS = 4
"""Windows that go through the generator at once, the last ones padded: then nothing beside a window can change its bits."""

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Plan:
    """A film of ``frames`` at ``fps``: when it reads the motion latent (``moments``, in steps), and after how many steps that is
    where it was (``period``, for a loop).

    ``moments`` holds those of all steps that its windows need, the first of them being step ``start`` of the film.
    """

    frames: int
    fps: float
    moments: tuple[float, ...]
    start: int
    period: int | None = None

    @property
    def noises(self) -> motions.Span:
        """The noises that the motion is made from."""
        if self.period is not None:
            return motions.Span(0, self.period)
        return motions.Span.around(min(self.moments), max(self.moments))


class Sampler:
    """A model's networks, ready to run; kept with the open model."""

    def __init__(self, model: Model, backend: Backend) -> None:
        self.network: dict[str, Any] = model.config.network
        modules = open_networks(model, backend)
        self.device = torch.device(model.device)
        self.generator, self.clip_discriminator = modules["generator"], modules["clip_discriminator"]
        self.picture_discriminator = dict(modules.items()).get("picture_discriminator")
        self.window: int = self.network["frames"]
        self.fps = float(model.config.generate.get("fps") or 12.0)
        self.classic = self.network["architecture"] == "vgan"
        self.classes = model.config.classes
        self.counts: list[int] = self.network.get("class_counts", [])
        self._means: dict[int | None, Tensor] = {}

    @classmethod
    def of(cls, model: Model, backend: Backend) -> Sampler:
        """The sampler of an open model, made at its first use."""
        if "sampler" not in model.cache:
            model.cache["sampler"] = cls(model, backend)
        sampler = model.cache["sampler"]
        assert isinstance(sampler, cls)
        return sampler

    @property
    def styled(self) -> Generator:
        """The style-modulated generator; the classic one is asked for nowhere that this is."""
        assert isinstance(self.generator, Generator)
        return self.generator

    def critic(self, *, still: bool) -> ClipDiscriminator | Discriminator:
        """The discriminator whose features compare clips, or with ``still`` pictures.

        Raises:
            OptionError: the model is of the classic architecture.
        """
        judge = self.picture_discriminator if still else self.clip_discriminator
        if not isinstance(judge, ClipDiscriminator | Discriminator):
            raise OptionError("a model of --architecture vgan cannot modify clips; train one of --architecture style")
        return judge

    def clips(self, seeds: Sequence[int], options: Any, progress: Progress = SILENT) -> Iterator[Video]:
        """One clip a seed."""
        if self.classic:
            yield from self._classic_clips(seeds, options)
            return
        label = class_number(options.class_, self.classes, bool(self.counts))
        sound, curves = None, None
        fps = options.fps or self.fps
        if options.audio is not None:
            progress.start("listening")
            sound, curves = reactive.listen(options.audio, fps, options.seconds)
            progress.finish()
        plan = self.plan(fps, options.seconds, loop=options.loop, curves=curves, reactivity=options.reactivity)
        truncations = options.truncation
        if curves is not None:
            truncations = self._in_steps(plan, curves.truncations(options.truncation, options.reactivity))
        windows = -(-plan.frames // self.window)
        progress.start("generating", len(seeds) * plan.frames, "frames")
        for part in split(seeds, max(1, WINDOWS // windows)):
            draws = [self.draw(seed, label, plan) for seed in part]
            styles = torch.cat([self.styles(latent, number, truncations) for latent, _, number in draws])
            made = self.run(styles, torch.cat([moving for _, moving, _ in draws]), plan.frames, progress)
            for seed, frames in zip(part, made, strict=True):
                yield Video(frames, fps=fps, seeds=(seed,), audio=sound)
        progress.finish()

    def _classic_clips(self, seeds: Sequence[int], options: Any) -> Iterator[Video]:
        for name in ("seconds", "audio", "loop", "class_"):
            if getattr(options, name) not in (None, False):
                flag = "--" + name.rstrip("_")
                raise OptionError(
                    f"{flag}: a model of --architecture vgan makes clips of {self.window} frames and no others; leave {flag} out"
                )
        for part in split(seeds, WINDOWS):
            draws = [torch.randn(self.network["latent"], generator=torch.Generator().manual_seed(seed)) for seed in part]
            with torch.no_grad():
                made = clip_pixels(self.generator(padded(torch.stack(draws).to(self.device), WINDOWS)))
            for seed, frames in zip(part, made, strict=False):
                yield Video(rgb(frames), fps=options.fps or self.fps, seeds=(seed,))

    def plan(
        self,
        fps: float,
        seconds: float | None,
        *,
        loop: bool = False,
        curves: Curves | None = None,
        reactivity: float = 1.0,
    ) -> Plan:
        """The film that is asked for; a rate other than the model's own takes more or fewer frames for the same motion.

        Raises:
            OptionError: it would be shorter than two frames.
        """
        own = self.window / self.fps if seconds is None else seconds
        frames = round(own * fps) if curves is None else len(curves.loudness)
        if frames < 2:
            raise OptionError(f"--seconds {seconds:g} at {fps:g} frames a second is less than two frames; ask for more")
        pace = self.fps / fps  # steps of the latent to a step of the film
        if loop:
            frames = RATE * max(1, round(frames / RATE))
            period = max(2, round(frames / RATE * pace))
            pace = period * RATE / frames
        needed = self.styled.steps(self.window)
        windows = -(-frames // self.window)
        steps = range(needed.start, needed.stop + (windows - 1) * self.window // RATE)
        if curves is not None:
            moments = self._heard(steps, curves.places(reactivity), frames / RATE * pace)
        else:
            moments = tuple(step * pace for step in steps)
        return Plan(frames, fps, moments, needed.start, period if loop else None)

    def _heard(self, steps: range, places: NDArray[np.float64], length: float) -> tuple[float, ...]:
        """The moments of ``steps`` on a way of ``length`` steps, of which ``places`` [T] say how far each frame is."""
        middles = np.array([(step + 0.5) * RATE - 0.5 for step in steps])
        known = np.arange(len(places))
        found = np.interp(middles, known, places)
        # Before the first frame and behind the last it goes on as fast as there.
        begins, ends = places[1] - places[0], places[-1] - places[-2]
        found += np.minimum(middles, 0) * begins + np.maximum(middles - known[-1], 0) * ends
        # The first frame is not the middle of the first step.
        return tuple(float(place) for place in found * length - (0.5 - 0.5 / RATE) * length * RATE / len(places))

    def _in_steps(self, plan: Plan, values: NDArray[np.float64]) -> Tensor:
        """A value a frame [T] as one a step [K]."""
        middles = [(plan.start + index + 0.5) * RATE - 0.5 for index in range(len(plan.moments))]
        return torch.from_numpy(np.interp(middles, np.arange(len(values)), values)).float().to(self.device)

    def draw(self, seed: int, label: int | None, plan: Plan) -> tuple[Tensor, Tensor, int]:
        """The content latent [1, Z], the motion latents [1, K, Zm] and the class of ``seed``."""
        generator = torch.Generator().manual_seed(seed)
        latent = torch.randn(1, self.network["latent"], generator=generator)
        number = label or 0
        if self.counts and label is None:
            number = int(torch.multinomial(torch.tensor(self.counts, dtype=torch.float64), 1, generator=generator))
        elif self.counts:
            torch.multinomial(torch.tensor(self.counts, dtype=torch.float64), 1, generator=generator)
        return latent.to(self.device), self.moving(plan, generator), number

    def moving(self, plan: Plan, generator: torch.Generator) -> Tensor:
        """Motion latents [1, K, Zm] for the film ``plan``, from what ``generator`` draws."""
        turns, noise = motions.draw(plan.noises, generator)
        return motions.motion(noise, turns, plan.moments, plan.noises.start, plan.period).to(self.device)

    @torch.no_grad()
    def styles(self, latent: Tensor, number: int, truncation: float | Tensor) -> Tensor:
        """Styles of one content latent [1, Z]: [1, S], or for a ``truncation`` a step [K], [1, K, S]."""
        labels = torch.full((1,), number, device=self.device) if self.counts else None
        style: Tensor = self.styled.mapping(padded(latent, WINDOWS), None if labels is None else padded(labels, WINDOWS))[:1]
        mean = self.mean(number if self.counts else None)
        if isinstance(truncation, Tensor):
            return mean + truncation[None, :, None] * (style - mean)[:, None]
        return mean + truncation * (style - mean)

    def mean(self, label: int | None) -> Tensor:
        """The mean style [S] of a class, or of all."""
        if label not in self._means:
            self._means[label] = self.styled.mapping.mean(label)
        return self._means[label]

    @torch.no_grad()
    def run(self, styles: Tensor, moving: Tensor, frames: int, progress: Progress = SILENT) -> list[Frames]:
        """Films of ``frames`` from styles [B, S], [B, K, S] or [B, L, K, S] and motion latents [B, K, Zm], in windows that meet."""
        spread = self._spread(styles, moving.shape[1])
        needed, hop = len(self.styled.steps(self.window)), self.window // RATE
        jobs = [(row, start) for row in range(len(moving)) for start in range(-(-frames // self.window))]
        made: list[list[Frames]] = [[] for _ in range(len(moving))]
        for numbers in split(range(len(jobs)), WINDOWS):
            part = [jobs[number] for number in numbers]
            windows = torch.stack([moving[row, start * hop : start * hop + needed] for row, start in part])
            looks = torch.stack([spread[row, :, start * hop : start * hop + needed] for row, start in part])
            with self.format():
                clips = self.styled.synthesise(padded(looks, WINDOWS), padded(windows, WINDOWS), self.window)
            for (row, start), pixels in zip(part, clip_pixels(clips), strict=False):
                made[row].append(rgb(pixels))
                progress.advance(min(self.window, frames - start * self.window))
        return [np.concatenate(windows)[:frames] for windows in made]

    def _spread(self, styles: Tensor, steps: int) -> Tensor:
        """Styles for every stage and step, [B, L, K, S]."""
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, steps, -1)
        if styles.ndim == 3:
            styles = styles[:, None].expand(-1, self.styled.levels, -1, -1)
        return styles

    def format(self) -> contextlib.AbstractContextManager[Any]:
        """The number format that films are made in: bf16 where the CPU has matrix units for it, else fp32."""
        if self.device.type == "cpu" and torch.cpu._is_amx_tile_supported():
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()


def rgb(frames: Frames) -> Frames:
    """Frames [..., C] as [..., 3]: grey repeated, transparency left out."""
    return np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames[..., :3]
