"""A small 3D network whose features ``FD-motion`` is measured in: it has learned on the real clips what time looks like.

It tells real clips from ones whose frames were shuffled, that run backwards, that freeze, or that jitter. Beside what it learned
stand measured numbers (how much changes from frame to frame, over longer times, and how evenly), which see amounts that learned
features are blind to. It is trained once, on real clips alone, and kept with the dataset: every model is measured by the same eye.

What it sees is how a clip changes, in colour, and what the clip shows, in grey: so a clip of another look that moves alike is near.
Source of the idea: Misra et al. 2016, "Shuffle and Learn".
"""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from artgen.backend import SILENT, Progress
from artgen.dataset import Dataset
from artgen.errors import DatasetError, OutputError, UsageError
from artgen.files import cache_folder
from artgen.metrics import kept
from artgen.metrics.arrays import Features, choose

Clips = NDArray[np.uint8]
"""Clips uint8 [N, T, H, W, 3]."""

Module = TypeVar("Module", bound=nn.Module)

# B batch, C channels, T frames, S side of the square the network sees, D features.

VERSION = 1
SIDE = 32
LEARNED = 96
MEASURED = 8
MEASURED_SHARE = 1 / 8
VARIANCE = 256.0
"""The total variance of the real features, as that of pictures has it."""

KINDS = ("real", "shuffled", "backwards", "frozen", "jittered")
MOST_CLIPS = 4000
BATCH = 32
MICRO_BATCH = 16
STEPS = 200

_GREY = (0.299, 0.587, 0.114)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a trained network beside its weights: how it was made, and of which data."""

    version: int
    frames: int
    sha256: str
    fingerprint: str
    steps: int
    clips: int


class Network(nn.Module):
    """Learned features beside measured ones: [B, 3, T, S, S] in -1..1 -> [B, 104]; T may be any length from 2."""

    centre: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normed(nn.Conv3d(4, 24, 3, (1, 2, 2), 1, bias=False)),  # [B, 24, T - 1, 16, 16]
            *_normed(nn.Conv3d(24, 48, 3, 2, 1, bias=False)),  # [B, 48, T / 2, 8, 8]
            *_normed(nn.Conv3d(48, LEARNED, 3, 2, 1, bias=False)),  # [B, 96, T / 4, 4, 4]
            *_normed(nn.Conv3d(LEARNED, LEARNED, 3, 1, 1, bias=False)),
        )
        self.register_buffer("centre", torch.zeros(LEARNED + MEASURED))
        self.register_buffer("scale", torch.ones(LEARNED + MEASURED))

    def forward(self, x: Tensor) -> Tensor:
        """Features, moved and scaled so that those of the real data have mean 0 and the total variance :data:`VARIANCE`."""
        found: Tensor = (torch.cat([self.learned(x), _measured(x)], 1) - self.centre) * self.scale
        return found

    def learned(self, x: Tensor) -> Tensor:
        """What the loss trains: [B, 96]."""
        grey = (x * x.new_tensor(_GREY).view(1, 3, 1, 1, 1)).sum(1, keepdim=True)
        found: Tensor = self.layers(torch.cat([2 * x.diff(dim=2), grey[:, :, 1:]], 1)).mean((2, 3, 4))
        return found


def _normed(conv: nn.Conv3d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm3d(conv.out_channels), nn.LeakyReLU(0.1, inplace=True)


def _measured(x: Tensor) -> Tensor:
    """[B, 3, T, S, S] -> [B, 8]: logarithms of how much changes over one, two and four frames, fine and coarse, and how evenly."""
    coarse = F.avg_pool3d(x, (1, 4, 4))
    steps = x.diff(dim=2).square().mean((1, 3, 4))  # [B, T - 1]
    found = [_change(picture, lag) for picture in (x, coarse) for lag in (1, 2, 4)]
    evenness = (steps.sqrt() + 0.01).log().std(1, unbiased=False)
    bend = _change(x.diff(dim=2), 1) if x.shape[2] > 2 else torch.zeros_like(evenness)
    return torch.stack([*found, bend, evenness], 1)


def _change(x: Tensor, lag: int) -> Tensor:
    lag = min(lag, x.shape[2] - 1)
    # 0.01: a step of one of 255 levels; below it nothing moves.
    return ((x[:, :, lag:] - x[:, :, :-lag]).square().mean((1, 2, 3, 4)).sqrt() + 0.01).log()


class Extractor:
    """A trained network with the name of what it is: ``mot-1a2b3c4d``."""

    def __init__(self, network: Network, facts: Facts) -> None:
        self.network = _channels_last(network.eval().requires_grad_(False))
        self.facts = facts

    @property
    def name(self) -> str:
        """The first eight letters of the hash of its weights."""
        return f"mot-{self.facts.sha256[:8]}"

    def features(self, clips: Clips, progress: Progress = SILENT) -> Features:
        """Features [N, 104] of clips; a clip's features do not depend on the others."""
        return _features(self.network, clips, progress)


def extractor_for(dataset: Dataset, progress: Progress = SILENT, steps: int = STEPS) -> Extractor:
    """The motion extractor of ``dataset``: the one kept with it, or one trained now (a minute or two on a CPU) and kept.

    A dataset in a place that cannot be written has its extractor in the user's cache folder.

    Raises:
        DatasetError: the dataset holds no clips.
    """
    videos = dataset.array("videos")
    if not len(videos) or videos.shape[1] < 2:
        raise DatasetError(f"{dataset.folder}: holds no clips to measure motion against; prepare it again")
    places = (dataset.folder, cache_folder() / "extractors" / dataset.fingerprint[:16])
    for place in places:
        for folder in sorted(place.glob("motion-*")):
            if found := kept.opened(folder, Facts, _built, version=VERSION, mark=dataset.fingerprint):
                return Extractor(*found)
    network, facts = train(videos, progress, dataset.fingerprint, steps)
    for place in places:
        try:
            kept.keep(place / f"motion-{facts.sha256[:8]}", network, facts)
            return Extractor(network, facts)
        except OutputError:
            continue  # read-only or full: the next place will do
    progress.say(
        "The motion extractor could not be kept and will be trained anew next time; set ARTGEN_HOME to a folder with space."
    )
    return Extractor(network, facts)


def _built(facts: Facts) -> Network:
    with torch.random.fork_rng(devices=[]):  # the first weights, which the file replaces, are drawn from the global generator
        return Network()


def train(videos: Clips, progress: Progress = SILENT, mark: str = "", steps: int = STEPS) -> tuple[Network, Facts]:
    """Train a network on the clips ``videos``; the same clips and number of threads give the same weights."""
    rows = np.sort(choose(len(videos), MOST_CLIPS, 0))
    small = torch.cat([shrunk(videos[rows[start : start + 64]]) for start in range(0, len(rows), 64)])
    random = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network, head = _channels_last(Network()), nn.Linear(LEARNED, len(KINDS))
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], lr=1.0, weight_decay=0.02)
    progress.start("training the motion extractor on the real clips", steps, "steps")
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 20) * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)
        chosen = torch.randint(len(small), (min(BATCH, 4 * len(small)),), generator=random)
        clips, kinds = disturbed(_moved(small[chosen].float() / 127.5 - 1, random), random)
        loss = F.cross_entropy(head(network.learned(clips.contiguous(memory_format=torch.channels_last_3d))), kinds)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not say what it takes
        optimizer.step()
        progress.advance()
    progress.finish()
    network = network.eval().requires_grad_(False)
    _set_scale(network, small)
    facts = Facts(
        version=VERSION, frames=videos.shape[1], sha256=kept.digest(network), fingerprint=mark, steps=steps, clips=len(rows)
    )  # fmt: skip
    return network, facts


def shrunk(clips: Clips) -> Tensor:
    """Clips uint8 [N, T, H, W, 3] as uint8 [N, 3, T, S, S], averaged over areas; float32 would need four times the memory.

    Raises:
        UsageError: another shape or kind of numbers.
    """
    if clips.dtype != np.uint8 or clips.ndim != 5 or clips.shape[-1] != 3:
        raise UsageError(f"clips to measure are uint8 [N, T, H, W, 3], not {clips.dtype} {list(clips.shape)}")
    count, frames = clips.shape[:2]
    x = torch.from_numpy(np.array(clips)).flatten(0, 1).permute(0, 3, 1, 2).float()
    mode = "area" if min(x.shape[-2:]) >= SIDE else "nearest"
    x = x if x.shape[-2:] == (SIDE, SIDE) else F.interpolate(x, size=(SIDE, SIDE), mode=mode)
    return x.round().to(torch.uint8).reshape(count, frames, 3, SIDE, SIDE).transpose(1, 2).contiguous()


def disturbed(x: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Clips [B, 3, T, S, S], each left as it is or disturbed in one of the ways :data:`KINDS`, whose numbers [B] are given too."""
    kinds = torch.randint(len(KINDS), (len(x),), generator=random)
    ways = (lambda clip, _: clip, _shuffled, lambda clip, _: clip.flip(1), _frozen, _jittered)
    return torch.stack([ways[kind](clip, random) for clip, kind in zip(x, kinds.tolist(), strict=True)]), kinds


def _shuffled(clip: Tensor, random: torch.Generator) -> Tensor:
    order = torch.randperm(clip.shape[1], generator=random)
    return clip[:, order]


def _frozen(clip: Tensor, random: torch.Generator) -> Tensor:
    """Some frame stands for the rest of a third of the clip or more."""
    frames = clip.shape[1]
    length = max(1, int(torch.randint(frames // 3, frames, (), generator=random)))
    start = int(torch.randint(frames - length, (), generator=random)) if frames > length else 0
    order = torch.arange(frames)
    order[start : start + length + 1] = start
    return clip[:, order]


def _jittered(clip: Tensor, random: torch.Generator) -> Tensor:
    """Every frame is moved by up to two of 32 pixels, each its own way."""
    moves = torch.randint(-2, 3, (clip.shape[1], 2), generator=random).tolist()
    padded = F.pad(clip, (2, 2, 2, 2), mode="reflect")
    side = clip.shape[-1]
    frames = [padded[:, number, 2 + y : 2 + y + side, 2 + x : 2 + x + side] for number, (y, x) in enumerate(moves)]
    return torch.stack(frames, 1)


def _moved(x: Tensor, random: torch.Generator) -> Tensor:
    """Each clip mirrored or not, and moved as a whole by up to an eighth of its side: the same for all its frames."""
    side, pad = x.shape[-1], SIDE // 8
    mirrored = torch.rand(len(x), generator=random) < 0.5
    x = torch.where(mirrored[:, None, None, None, None], x.flip(4), x)
    wide = F.pad(x.flatten(1, 2), (pad, pad, pad, pad), mode="reflect")
    x = wide.reshape(*x.shape[:3], *wide.shape[-2:])
    moves = torch.randint(2 * pad + 1, (len(x), 2), generator=random).tolist()
    return torch.stack([clip[..., top : top + side, left : left + side] for clip, (top, left) in zip(x, moves, strict=True)])


@torch.inference_mode()
def _features(network: Network, clips: Clips, progress: Progress = SILENT) -> Features:
    """The last micro-batch is filled up: kernels are chosen by shape, and a clip's bits must not depend on its neighbours."""
    parts = []
    for start in range(0, len(clips), MICRO_BATCH):
        x = shrunk(clips[start : start + MICRO_BATCH]).float() / 127.5 - 1
        full = x.new_zeros(MICRO_BATCH, *x.shape[1:]).to(memory_format=torch.channels_last_3d)
        full[: len(x)] = x
        parts.append(network(full)[: len(x)].numpy().astype(np.float32))
        progress.advance(len(x))
    return np.concatenate(parts) if parts else np.zeros((0, LEARNED + MEASURED), np.float32)


def _set_scale(network: Network, small: Tensor) -> None:
    some = small[torch.from_numpy(choose(len(small), 512, 1))]
    found = _features(network, some.permute(0, 2, 3, 4, 1).contiguous().numpy())
    network.centre.copy_(torch.from_numpy(found.mean(0)))
    variances = found.var(0, dtype=np.float64)
    for part, share in ((slice(0, LEARNED), 1 - MEASURED_SHARE), (slice(LEARNED, None), MEASURED_SHARE)):
        total = float(variances[part].sum())
        if total > 0:
            network.scale[part] = math.sqrt(share * VARIANCE / total)


def _channels_last(module: Module) -> Module:
    # The only overload with memory_format takes a tensor's dtype too, and is wrong about it.
    return module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]
