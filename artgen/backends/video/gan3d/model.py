"""The networks of ``video.gan3d``: parameters and mathematics on tensors.

A content latent says what is seen, a motion latent, a sequence, how it moves. Both scale and shift the channels of space-time
convolutions, the motion anew at every moment. The convolutions have no border in time (:mod:`.timeline`).
Sources: Tulyakov et al. 2018, "MoCoGAN" (content and motion apart); Vondrick et al. 2016, "Generating Videos with Scene
Dynamics" (a still background behind a mask); Karras et al. 2019 (styles); Huang et al. 2024 (discriminator without norms);
Karras et al. 2018, "Progressive Growing of GANs" (growing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.backends.video.gan3d.timeline import RATE, Passage, Span, passages
from artgen.nn.convolution import ClipConv, StyledConv, bias, doubled
from artgen.nn.mapping import Mapping, unit
from artgen.nn.styled import styled

# B batch, C channels, T frames, H height, W width, K steps of the motion latent, Z latent sizes, S style size, L stages

FIRST = 2
"""The first stage whose clips, of 16 pixels, have all frames: where growing begins."""


class SpaceTimeConv(nn.Module):
    """A 3x3x3 convolution whose normalised output is scaled and shifted by a style that changes with time.

    With ``grow`` it doubles height and width first. Along time it has no padding: T moments give T - 2.
    Shapes: x [B, C_in, T, H, W], style [B, K, S], weights [T - 2, K] -> [B, C_out, T - 2, H, W] (or 2H, 2W).
    """

    def __init__(self, inputs: int, outputs: int, style: int, grow: bool = False) -> None:
        super().__init__()
        self.grow = grow
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=(0, 1, 1), bias=False)
        self.affine = nn.Linear(style, 2 * outputs)
        nn.init.kaiming_normal_(self.conv.weight, a=0.2)
        nn.init.normal_(self.affine.weight, std=0.5 / math.sqrt(style))
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor, weights: Tensor) -> Tensor:
        """Convolve, normalise every place over its channels, apply the style of its moment, rectify."""
        x = doubled(x, self.conv.weight) if self.grow else self.conv(x)
        found = weights.to(style.dtype) @ self.affine(style)  # [B, T - 2, 2 C_out], the channels beside each other as those of x
        return styled(x, *found.transpose(1, 2).chunk(2, 1))


class Stage(nn.Module):
    """Double the size, and where ``faster`` the moments; then, where ``refine``, convolve once more as a residual."""

    def __init__(self, inputs: int, outputs: int, style: int, *, grow: bool, faster: bool, refine: bool) -> None:
        super().__init__()
        self.faster = faster
        self.enter = SpaceTimeConv(inputs, outputs, style, grow)
        self.refine = SpaceTimeConv(outputs, outputs, style) if refine else None

    def forward(self, x: Tensor, span: Span, passage: Passage, styles: Tensor, steps: Span) -> Tensor:
        """The moments ``passage.refined`` of this stage from ``x``, which holds those of ``span``, as styles [B, K, S] say."""
        if self.faster:
            x = F.interpolate(x, scale_factor=(2, 1, 1), mode="nearest")
            span = Span(2 * span.start, 2 * span.stop, 2 * span.rate)
        x = between(x, span, passage.entering)
        x = self.enter(x, styles, moments(steps, passage.entered, styles.device))
        if self.refine is None:
            entered: Tensor = x
            return entered
        more: Tensor = self.refine(x, styles, moments(steps, passage.refined, styles.device))
        return (between(x, passage.entered, passage.refined) + more) * math.sqrt(0.5)


def between(x: Tensor, span: Span, wanted: Span) -> Tensor:
    """The moments ``wanted`` of ``x``, which holds those of ``span``."""
    return x[:, :, wanted.start - span.start : wanted.stop - span.start]


@lru_cache(256)
def moments(steps: Span, wanted: Span, device: torch.device) -> Tensor:
    """The matrix [T, K] that reads values given at the middles of ``steps`` at the middles of the moments ``wanted``.

    It is kept: on a GPU making it anew takes longer than what it is for.
    """
    middle = (torch.arange(wanted.start, wanted.stop, device=device) + 0.5) / wanted.rate - 0.5 - steps.start
    place = torch.arange(len(steps), device=device)
    return (1 - (middle.clamp(0, len(steps) - 1)[:, None] - place).abs()).clamp_min(0)


class Motion(nn.Module):
    """Motion latents to styles of every step, in the light of the content.

    Shapes: motion [B, K, Zm], content [B, K, S] -> [B, K, M].
    """

    def __init__(self, latent: int, content: int, style: int) -> None:
        super().__init__()
        self.first = nn.Linear(latent + content, style)
        self.second = nn.Linear(style, style)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, a=0.2)
            nn.init.zeros_(layer.bias)

    def forward(self, motion: Tensor, content: Tensor) -> Tensor:
        """Styles of about unit size."""
        x = F.leaky_relu(self.first(torch.cat([motion, content.to(motion.dtype)], 2)), 0.2)
        x = F.leaky_relu(self.second(x), 0.2)
        return unit(x.flatten(0, 1)).reshape(x.shape)


class Generator(nn.Module):
    """Content and motion latents to clips in -1..1.

    ``widths`` are the channels of the stages from 4x4 pixels up; the resolution is 4 * 2^(len(widths) - 1). The second and the
    third stage double the moments too. The first ``refined`` stages have a second convolution. With ``background`` a still
    picture lies behind what moves, and a mask between them. With ``progressive`` every stage from :data:`FIRST` up has its own
    output, so that training may begin small.
    """

    def __init__(
        self, widths: Sequence[int], *, refined: int = 99, latent: int = 64, motion: int = 32, style: int = 128,
        motion_style: int = 64, classes: int = 0, channels: int = 3, background: Sequence[int] = (), progressive: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.mapping = Mapping(latent, style, classes=classes)
        self.motion = Motion(motion, style, motion_style)
        self.channels, self.style = channels, style
        self.root = nn.Linear(style + motion_style, widths[0] * 16)
        pairs = zip([widths[0], *widths[:-1]], widths, strict=True)
        self.stages = nn.ModuleList(
            Stage(a, b, style + motion_style, grow=index > 0, faster=index in (1, 2), refine=index < refined)
            for index, (a, b) in enumerate(pairs)
        )
        self.doubles = tuple(index in (1, 2) for index in range(len(widths)))
        self.refines = tuple(index < refined for index in range(len(widths)))
        seen = channels + (1 if background else 0)
        self.output = _output(widths[-1], seen)
        self.still = Still(background, style, channels) if background else None
        growing = range(FIRST, len(widths) - 1) if progressive else ()
        self.smaller = nn.ModuleDict({str(level): _output(widths[level], seen) for level in growing})

    @property
    def levels(self) -> int:
        """The number of stages L; each takes a style of its own."""
        return len(self.stages)

    @property
    def resolution(self) -> int:
        """Height and width of the clips."""
        return int(4 * 2 ** (self.levels - 1))

    def steps(self, frames: int) -> Span:
        """The steps of the motion latent that a clip of ``frames`` is made from."""
        return self._passages(frames)[0].entering

    def forward(
        self, latents: Tensor, motion: Tensor, labels: Tensor | None = None, frames: int = 16, level: int | None = None,
        fade: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """Shapes: latents [B, Z], motion [B, K, Zm], labels [B] -> clips [B, C, T, H, W]; the rest as in :meth:`synthesise`."""
        return self.synthesise(self.mapping(latents, labels), motion, frames, level, fade)

    def synthesise(self, styles: Tensor, motion: Tensor, frames: int = 16, level: int | None = None, fade: float = 1.0) -> Tensor:
        """Clips [B, C, T, H, W] from styles [B, S], or [B, L, S] (one a stage), or [B, L, K, S] (changing with time).

        ``motion`` [B, K, Zm] holds the latents of the steps :meth:`steps`. While growing, ``level`` is the last stage in
        use and ``fade`` in 0..1 how far it has replaced the one before.
        """
        level = self.levels - 1 if level is None else level
        plan = self._passages(frames)
        steps, lasting = plan[0].entering, styles.ndim < 4
        if styles.ndim == 2:
            styles = styles[:, None].expand(-1, self.levels, -1)
        if styles.ndim == 3:
            styles = styles[:, :, None].expand(-1, -1, len(steps), -1)
        moving = self.motion(motion, styles[:, 0])
        both = [torch.cat([styles[:, level], moving.to(styles.dtype)], 2) for level in range(self.levels)]
        x = self.root(both[0]).unflatten(2, (-1, 4, 4)).transpose(1, 2)  # [B, C, K, 4, 4]
        if self.output.weight.is_contiguous(memory_format=torch.channels_last_3d):
            x = x.contiguous(memory_format=torch.channels_last_3d)
        span, before = steps, (x, steps)
        for stage, passage, style in list(zip(self.stages, plan, both, strict=True))[: level + 1]:
            before = x, span
            x = stage(x, span, passage, style, steps)
            span = passage.refined
        clip = self._shown(x, span, level, frames)
        if fade < 1:
            small = self._shown(*before, level - 1, frames)
            clip = torch.lerp(F.interpolate(small, scale_factor=(1, 2, 2), mode="nearest"), clip, fade)
        return clip if self.still is None else self._before(clip, styles[:, -1], steps, lasting)

    def _shown(self, x: Tensor, span: Span, level: int, frames: int) -> Tensor:
        """The clip of the ``frames`` that stage ``level`` holds among the moments ``span``."""
        output = self.output if level == self.levels - 1 else self.smaller[str(level)]
        clip: Tensor = output(between(x, span, Span(0, frames, RATE)))
        return clip

    def _before(self, clip: Tensor, styles: Tensor, steps: Span, lasting: bool) -> Tensor:
        """``clip``, whose last channel is a mask, before the background of styles [B, K, S]; ``lasting`` if they are alike."""
        assert self.still is not None
        moves, mask = clip[:, :-1], torch.sigmoid(clip[:, -1:] + 1)
        span = Span(0, clip.shape[2], RATE)
        if lasting:
            still = self.still(styles[:, 0])[:, :, None]
        else:
            each = self.still(styles.flatten(0, 1)).unflatten(0, styles.shape[:2])  # [B, K, C, H, W]
            still = torch.einsum("tk,bkchw->bcthw", moments(steps, span, clip.device).to(each.dtype), each)
        if smaller := still.shape[-1] // clip.shape[-1] - 1:
            still = F.avg_pool3d(still, (1, smaller + 1, smaller + 1))
        laid: Tensor = still + mask * (moves - still)
        return laid

    def _passages(self, frames: int) -> tuple[Passage, ...]:
        return passages(frames, self.doubles, self.refines)


def _output(width: int, channels: int) -> nn.Conv3d:
    """From the channels of a stage to those of clips."""
    output = nn.Conv3d(width, channels, (1, 3, 3), padding=(0, 1, 1))
    nn.init.normal_(output.weight, std=0.5 / math.sqrt(output.weight[0].numel()))
    nn.init.zeros_(bias(output))
    return output


class Still(nn.Module):
    """A style to the picture that stands behind a clip: styles [B, S] -> [B, C, H, W]."""

    def __init__(self, widths: Sequence[int], style: int, channels: int) -> None:
        super().__init__()
        self.root = nn.Linear(style, widths[0] * 16)
        self.convs = nn.ModuleList(StyledConv(a, b, style, grow=True) for a, b in pairwise(widths))
        self.output = nn.Conv2d(widths[-1], channels, 3, padding=1)
        nn.init.normal_(self.output.weight, std=0.5 / math.sqrt(self.output.weight[0].numel()))
        nn.init.zeros_(bias(self.output))

    def forward(self, style: Tensor) -> Tensor:
        """The background of each style."""
        x = self.root(style).unflatten(1, (-1, 4, 4))
        for conv in self.convs:
            x = conv(x, style)
        picture: Tensor = self.output(x)
        return picture


class ClipDiscriminator(nn.Module):
    """Clips to logits by strided space-time convolutions: real ahead of generated.

    ``widths`` are the channels of the stages, from 4x4 pixels up. Every stage halves height and width, and the moments as long
    as there are more than two. A class is compared with the features by projection (Miyato and Koyama 2018). With
    ``progressive`` there is an input for smaller clips at every stage where they may begin (:data:`FIRST`).
    """

    def __init__(
        self, widths: Sequence[int], *, frames: int = 16, refined: int = 99, classes: int = 0, channels: int = 3,
        progressive: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        layers: list[nn.Conv3d] = []
        inputs: dict[str, nn.Conv3d] = {}
        slower = 1
        for index, (a, b) in enumerate(pairwise([channels, *reversed(widths)])):
            halve = frames > 3
            frames, slower = (frames // 2, 2 * slower) if halve else (frames, slower)
            layers.append(ClipConv(a, b, (4 if halve else 3, 4, 4), (2 if halve else 1, 2, 2), 1))
            if progressive and 0 < index <= len(widths) - FIRST:
                # The moments that the stages left out would have halved are halved here at once.
                inputs[str(len(widths) - index)] = ClipConv(channels, b, (2 * slower, 4, 4), (slower, 2, 2), (slower // 2, 1, 1))
        self.shrink = nn.ModuleList(layers)
        self.inputs = nn.ModuleDict(inputs)
        # The coarsest stages look twice, without changing anything at first.
        refine = [ClipConv(width, width, 3, padding=1) for width in widths[:refined]]
        self.refine = nn.ModuleList(refine)
        self.features = nn.Linear(widths[0] * 16 * frames, widths[0])
        self.head = nn.Linear(widths[0], 1)
        self.embed = nn.Embedding(classes, widths[0]) if classes else None
        for module in self.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=0.2)
                nn.init.zeros_(bias(module))
        for conv in refine:
            nn.init.zeros_(conv.weight)
        if self.embed is not None:
            nn.init.zeros_(self.embed.weight)

    def forward(self, clips: Tensor, labels: Tensor | None = None, fade: float = 1.0) -> Tensor:
        """Shapes: clips [B, C, T, H, W], labels [B] -> logits [B], float32; ``fade`` as in :meth:`trunk`."""
        x = F.leaky_relu(self.features(self.trunk(clips, fade)[-1].flatten(1)), 0.2)
        logits = self.head(x)[:, 0]
        if self.embed is not None:
            if labels is None:
                raise ValueError("a class-conditional discriminator needs labels")
            logits = logits + (x * self.embed(labels)).sum(1) / math.sqrt(x.shape[1])
        result: Tensor = logits.float()
        return result

    def trunk(self, clips: Tensor, fade: float = 1.0) -> list[Tensor]:
        """The features after every stage, the largest first; :mod:`.project` compares clips by them.

        While growing, the stages for larger clips are left out; ``fade`` in 0..1 is how far the largest in use has come in.
        """
        top = len(self.shrink)
        first = top + 2 - int(math.log2(clips.shape[-1]))
        x, found = clips, []
        for index in range(first, top):
            layer = self.inputs[str(top - index)] if index == first > 0 else self.shrink[index]
            x = F.leaky_relu(layer(x), 0.2)
            if fade < 1 and index == first + 1:
                small = self.inputs[str(top - index)](F.avg_pool3d(clips, (1, 2, 2)))
                x = torch.lerp(F.leaky_relu(small, 0.2), x, fade)
            level = top - 1 - index
            if level < len(self.refine):
                x = x + F.leaky_relu(self.refine[level](x), 0.2)
            found.append(x)
        return found
