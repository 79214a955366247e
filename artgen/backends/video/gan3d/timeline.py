"""Which moments each stage of the generator has to compute so that its clip comes out whole, without a border in time.

Convolutions of the generator take no padding along time: every frame is made from its own neighbourhood of the motion latent,
in the same way wherever it lies. A long clip is then one walk of that latent, made in windows that meet exactly; a loop is a
latent that returns. Source of the idea: Skorokhodov et al. 2022, "StyleGAN-V", and Brooks et al. 2022, "Generating Long Videos
of Dynamic Scenes" (latents of any length, borders cut off).
"""

from __future__ import annotations

from dataclasses import dataclass

from artgen.errors import OptionError

RATE = 4
"""Frames to a step of the motion latent."""


@dataclass(frozen=True)
class Span:
    """The moments from ``start`` to ``stop`` (not included), of which ``rate`` make a step of the motion latent.

    Moment 0 is the first of the clip; those before it and behind the end are its neighbourhood.
    """

    start: int
    stop: int
    rate: int

    def __len__(self) -> int:
        return self.stop - self.start

    def wider(self) -> Span:
        """What a convolution of three moments needs to give this."""
        return Span(self.start - 1, self.stop + 1, self.rate)

    def halved(self) -> Span:
        """What has to be doubled to give this."""
        return Span(self.start // 2, -(-self.stop // 2), self.rate // 2)


@dataclass(frozen=True)
class Passage:
    """What one stage takes in and what its convolutions see and give, all moments that it computes."""

    entering: Span
    entered: Span
    refined: Span


def passages(frames: int, doubles: tuple[bool, ...], refines: tuple[bool, ...]) -> tuple[Passage, ...]:
    """The passage of every stage, the first stage first, for a clip of ``frames``.

    ``doubles`` says of every stage whether it doubles the moments as it is entered, ``refines`` whether it has a second
    convolution.

    Raises:
        OptionError: ``frames`` is no multiple of :data:`RATE`.
    """
    if frames % RATE or frames < RATE:
        raise OptionError(f"a clip has a multiple of {RATE} frames, not {frames}")
    found: list[Passage] = []
    wanted = Span(0, frames, RATE)
    for double, refine in zip(reversed(doubles), reversed(refines), strict=True):
        entered = wanted.wider() if refine else wanted
        entering = entered.wider()
        found.append(Passage(entering, entered, wanted))
        wanted = entering.halved() if double else entering
    return tuple(reversed(found))
