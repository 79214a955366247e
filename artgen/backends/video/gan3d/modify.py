"""``artgen video modify`` with a 3D-GAN: the user's clip is found in the latent space, changed there, and put back at its own size.

What the model cannot draw is the rest between the clip and what the model made of it. Where the frames of the clip go on
(``--extend``, ``--slow``, ``--interpolate``) the rest is kept, so that the clip itself is in the result, and fades or is crossed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Video, open_artwork
from artgen.backend import SILENT, Backend, Progress
from artgen.errors import OptionError, SourceError
from artgen.media import frame as frames_of
from artgen.media import image as image_media
from artgen.media.frame import Frame
from artgen.options import Meta, Options

if TYPE_CHECKING:
    from torch import Tensor

    from artgen.backends.video.gan3d.project import Found
    from artgen.backends.video.gan3d.sample import Sampler
    from artgen.model import Model

LONGEST = 64
"""Frames, at the rate of the model, of the part of a clip that is looked at."""

Floats = NDArray[np.float32]
Frames = NDArray[np.uint8]


class Modify(Options, frozen=True, kw_only=True):
    """Options of ``modify``; one change at a time, a new motion when none is given."""

    remotion: Annotated[bool, Meta(description="The same content in a new motion, which the seed draws; this is the default.")] = (
        False
    )
    mix: Annotated[
        str | None, Meta(description="The content of your clip in the motion of this one.", extra={"file": True})
    ] = None  # fmt: skip
    animate: Annotated[
        str | None, Meta(description="This still picture as the content, in the motion of your clip.", extra={"file": True})
    ] = None
    extend: Annotated[
        float | None, Meta(gt=0, le=600, description="Go on for so long after your clip has ended.", extra={"unit": "seconds"})
    ] = None
    interpolate: Annotated[
        str | None, Meta(description="Turn your clip into this one while it runs.", extra={"file": True})
    ] = None  # fmt: skip
    slow: Annotated[
        int | None, Meta(ge=2, le=16, description="So many times as slow, with new frames between yours.")
    ] = None  # fmt: skip
    detail: Annotated[
        float | None,
        Meta(
            ge=0, le=1, description="Share kept of what the model cannot draw; 1 with --extend, --interpolate and --slow, else 0."
        ),
    ] = None
    iterations: Annotated[
        int, Meta(ge=1, le=10000, description="Optimisation steps for finding your clip in the latent space.")
    ] = 150  # fmt: skip
    class_: Annotated[str | None, Meta(description="Treat the clip as one of this class; found out when not given.")] = None

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        changes = ("remotion", "mix", "animate", "extend", "interpolate", "slow")
        given = [f"--{name}" for name in changes if getattr(self, name) not in (None, False)]
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} are changes of their own; give one of them")

    @property
    def kept(self) -> float:
        """The share of the rest in use."""
        if self.detail is not None:
            return self.detail
        return 1.0 if self.extend is not None or self.interpolate is not None or self.slow is not None else 0.0


@dataclass(eq=False)
class Subject:
    """A clip of the user: its ``frames`` at ``fps``, where they lie in the model's square, and what was found.

    ``pace`` is how many steps of the motion latent pass in a frame.
    """

    frames: Frames
    fps: float
    frame: Frame
    found: Found
    pace: float

    def moments(self, places: NDArray[np.float64]) -> list[float]:
        """The moments of the motion latent at ``places``, in frames of this clip; the first frame is 0."""
        return [float(place) for place in (places * self.pace - 0.5 * (1 - self.pace))]


def modify(backend: Backend, model: Model, artwork: Video, seed: int, options: Modify, progress: Progress = SILENT) -> Video:
    """``artwork`` changed as ``options`` say, in its own size and rate; the same for the same clip, options and seed.

    Raises:
        OptionError: an option that this model cannot follow, or the model is of the classic architecture.
        SourceError: the second clip or the picture cannot be read.
    """
    from artgen.backends.video.gan3d.sample import Sampler
    from artgen.training.opened import class_number

    sampler = Sampler.of(model, backend)
    sampler.critic(still=False)
    label = class_number(options.class_, sampler.classes, bool(sampler.counts))
    other = _other(options)
    work = Work(sampler, seed, label, options, progress)
    if options.animate is not None:
        made = work.animated(artwork, image_media.decode(options.animate))
    elif isinstance(other, Video) and options.mix is not None:
        made = work.mixed(artwork, other)
    elif isinstance(other, Video):
        made = work.interpolated(artwork, other)
    elif options.extend is not None:
        made = work.extended(artwork, options.extend)
    elif options.slow is not None:
        made = work.slowed(artwork, options.slow)
    else:
        made = work.moved(artwork)
    return Video(made, artwork.fps, seeds=(seed,))


def _other(options: Modify) -> Video | None:
    name = options.mix if options.mix is not None else options.interpolate
    if name is None:
        return None
    work = open_artwork(name, "video")
    if not isinstance(work, Video):
        raise SourceError(f"{name}: {work.modality}, not video; give a second clip")
    return work


@dataclass
class Work:
    """One change: the parts that all kinds of it are made from."""

    sampler: Sampler
    seed: int
    label: int | None
    options: Modify
    progress: Progress

    def moved(self, clip: Video) -> Frames:
        """The content of ``clip`` in a motion of the seed."""
        subject = self.find(clip)
        places = np.arange(len(subject.frames), dtype=np.float64)
        return self.make(subject, subject.found.styles, self.fresh, places)

    def mixed(self, clip: Video, other: Video) -> Frames:
        """The content of ``clip`` in the motion of ``other``, as long as that."""
        subject, second = self.find(clip), self.find(other, "finding the second clip")
        places = np.arange(max(2, round(len(second.frames) / second.fps * subject.fps)), dtype=np.float64)
        return self.make(subject, subject.found.styles, second.found.motion, places)

    def animated(self, clip: Video, picture: Frames) -> Frames:
        """``picture`` in the motion of ``clip``, in its size."""
        subject = self.find(clip)
        height, width = picture.shape[:2]
        square = Frame(height, width, self.sampler.styled.resolution).fit(frames_of.opaque(picture))
        content = self._project(square[None], "finding the picture")
        places = np.arange(len(subject.frames), dtype=np.float64)
        still = Subject(frames_of.opaque(picture)[None], subject.fps, Frame(height, width, len(square)), content, subject.pace)
        return self.make(still, content.styles, subject.found.motion, places)

    def extended(self, clip: Video, seconds: float) -> Frames:
        """``clip``, and then so many seconds more; the rest of its last frame fades."""
        from artgen.backends.video.gan3d.project import continued

        subject = self.find(clip)
        last = len(subject.frames) - 1
        places = np.arange(last + 1 + max(1, round(seconds * subject.fps)), dtype=np.float64)
        end = subject.moments(np.array([float(last)]))[0]
        fading = np.exp(-np.maximum(0, places - last) / (0.5 * subject.fps))

        def rest(drawn: Floats) -> Floats:
            whole = _rgb(subject.frames) - drawn[: last + 1]
            return _weighed(whole[np.minimum(places, last).astype(int)], fading)

        def onward(moments: list[float]) -> Tensor:
            return continued(subject.found, self.fresh(moments), moments, end)

        return self.make(subject, subject.found.styles, onward, places, rest)

    def slowed(self, clip: Video, factor: int) -> Frames:
        """``clip`` with ``factor`` - 1 new frames after each."""
        subject = self.find(clip)
        places = np.arange((len(subject.frames) - 1) * factor + 1) / factor

        def rest(drawn: Floats) -> Floats:
            return _between(_rgb(subject.frames) - drawn[::factor], places)

        return self.make(subject, subject.found.styles, subject.found.motion, places, rest)

    def interpolated(self, clip: Video, other: Video) -> Frames:
        """``clip`` turning into ``other`` while it runs; it begins with the one and ends with the other."""
        import torch

        from artgen.backends.video.gan3d.project import turned

        subject, second = self.find(clip), self.find(other, "finding the second clip")
        count = len(subject.frames)
        places = np.arange(count, dtype=np.float64)
        moments = self.steps(subject, places)
        first, last = (subject.moments(places[place : place + 1])[0] for place in (0, count - 1))
        share = torch.tensor([(moment - first) / max(1e-6, last - first) for moment in moments], device=self.sampler.device)
        share = share.clamp(0, 1).float()
        share = share * share * (3 - 2 * share)
        one, two = subject.found.styles[:, :, None], second.found.styles[:, :, None]
        # The second clip is read so that both end together.
        late = (len(second.frames) / second.fps - count / subject.fps) * subject.fps * subject.pace
        moving = turned(subject.found.motion(moments), second.found.motion([moment + late for moment in moments]), share)
        styles = one + share[None, None, :, None] * (two - one)
        made = self._drawn(subject, styles, moving, count)
        if not self.options.kept:
            return _pixels(made)
        smooth = np.linspace(0, 1, count) if count > 1 else np.ones(1)
        smooth = smooth * smooth * (3 - 2 * smooth)
        ends = (places + len(second.frames) / second.fps * subject.fps - count).clip(0) * second.fps / subject.fps
        theirs = _sized(self.rest(second, np.minimum(ends, len(second.frames) - 1)), *subject.frames.shape[1:3])
        rests = _weighed(self.rest(subject, places), 1 - smooth) + _weighed(theirs, smooth)
        # What is drawn at the ends knows already, or still, of the other clip: that difference is made up for too.
        wanted = np.stack([_rgb(subject.frames)[0], _sized(_rgb(second.frames)[-1:], *subject.frames.shape[1:3])[0]])
        missing = wanted - (made + rests)[[0, -1]]
        rests += _weighed(np.repeat(missing[:1], count, 0), 1 - smooth) + _weighed(np.repeat(missing[1:], count, 0), smooth)
        return _pixels(made + self.options.kept * rests)

    def find(self, clip: Video, title: str = "finding your clip") -> Subject:
        """``clip`` in the latent space: of a long one its beginning."""
        height, width = clip.frames.shape[1:3]
        frame = Frame(height, width, self.sampler.styled.resolution)
        own = self.sampler.fps
        wanted = len(clip.frames) / clip.fps * own
        count = min(LONGEST, max(self.sampler.window, -(-round(wanted) // 4) * 4))
        if wanted > LONGEST + 4:
            self.progress.say(f"{clip.name or 'the clip'}: the motion of its first {LONGEST / own:.1f} seconds is looked at")
        places = np.minimum(np.round(np.arange(count) * clip.fps / own), len(clip.frames) - 1).astype(int)
        squares = np.stack([frame.fit(frames_of.opaque(clip.frames[place])) for place in places])
        return Subject(clip.frames, clip.fps, frame, self._project(squares, title), own / clip.fps / 4)

    def _project(self, squares: Floats, title: str) -> Found:
        import torch

        from artgen.backends.video.gan3d.project import project

        target = torch.from_numpy(squares).to(self.sampler.device).permute(3, 0, 1, 2)[None] / 127.5 - 1
        return project(
            self.sampler, target, seed=self.seed, label=self.label, iterations=self.options.iterations, progress=self.progress,
            title=title,
        )  # fmt: skip

    def fresh(self, moments: list[float]) -> Tensor:
        """A motion of the seed at ``moments``."""
        import torch

        from artgen.backends.video.gan3d.sample import Plan

        plan = Plan(0, self.sampler.fps, tuple(moments), 0)
        return self.sampler.moving(plan, torch.Generator().manual_seed(self.seed))

    def steps(self, subject: Subject, places: NDArray[np.float64]) -> list[float]:
        """The moments of all steps of a film whose frames stand at ``places`` of ``subject``."""
        from artgen.backends.video.gan3d.timeline import RATE

        needed, window = self.sampler.styled.steps(self.sampler.window), self.sampler.window
        windows = -(-len(places) // window)
        middles = (np.arange(needed.start, needed.stop + (windows - 1) * window // RATE) + 0.5) * RATE - 0.5
        pace = places[1] - places[0] if len(places) > 1 else 1.0
        return subject.moments(places[0] + middles * pace)

    def make(
        self, subject: Subject, styles: Tensor, motion: Callable[[list[float]], Tensor], places: NDArray[np.float64],
        rest: Callable[[Floats], Floats] | None = None,
    ) -> Frames:  # fmt: skip
        """A film of frames at ``places``, with the rest of ``subject``, which ``rest`` tells for what was drawn."""
        moments = self.steps(subject, places)
        made = self._drawn(subject, styles[:, :, None].expand(-1, -1, len(moments), -1), motion(moments), len(places))
        if self.options.kept:
            found = rest(made) if rest else self.rest(subject, np.minimum(places, len(subject.frames) - 1))
            made += self.options.kept * found
        return _pixels(made)

    def rest(self, subject: Subject, places: NDArray[np.float64]) -> Floats:
        """What the model could not draw of ``subject`` at ``places``, in its size, [T, H, W, C]; between frames in proportion."""
        whole = np.arange(len(subject.frames), dtype=np.float64)
        moments = self.steps(subject, whole)
        styles = subject.found.styles[:, :, None].expand(-1, -1, len(moments), -1)
        rests = _rgb(subject.frames) - self._drawn(subject, styles, subject.found.motion(moments), len(whole))
        return _between(rests, places)

    def _drawn(self, subject: Subject, styles: Tensor, moving: Tensor, count: int) -> Floats:
        """Frames of the model in the size of ``subject``, [T, H, W, C], 0 to 255."""
        self.progress.start("drawing", count, "frames")
        squares = self.sampler.run(styles, moving, count, self.progress)[0].astype(np.float32)
        self.progress.finish()
        return np.stack([_planes(square, subject.frame.back) for square in squares])


def _planes(picture: Floats, change: Callable[[Floats], Floats]) -> Floats:
    return np.stack([change(np.ascontiguousarray(picture[..., channel])) for channel in range(picture.shape[-1])], axis=-1)


def _sized(pictures: Floats, height: int, width: int) -> Floats:
    return np.stack([_planes(picture, lambda plane: frames_of.resized(plane, height, width)) for picture in pictures])


def _between(frames: Floats, places: NDArray[np.float64]) -> Floats:
    """``frames`` at ``places``, those between two in proportion."""
    below = np.floor(places).astype(int)
    above, share = np.minimum(below + 1, len(frames) - 1), (places - below)[:, None, None, None].astype(np.float32)
    found: Floats = frames[below] * (1 - share) + frames[above] * share
    return found


def _weighed(frames: Floats, weights: NDArray[np.float64]) -> Floats:
    return frames * weights.astype(np.float32)[:, None, None, None]


def _pixels(frames: Floats) -> Frames:
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def _rgb(frames: Frames) -> Floats:
    return frames[..., :3].astype(np.float32)
