"""Sounds as pictures: mel spectrograms, a portrait of one sound, a contact sheet of many. numpy and Pillow alone.

The mel scale is the one of Slaney's Auditory Toolbox, linear below 1 kHz and logarithmic above, as librosa has it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Samples float32 [N, C], full scale from -1 to 1."""

Pixels = NDArray[np.uint8]

WINDOW = 1024
"""Samples of the window of pictures."""

FLOOR = -80.0
"""Decibels below its loudest place at which a spectrogram is black."""

_FRAMES = 512  # at once
_BREAK = 1000 / (200 / 3)  # mels at 1 kHz, where the scale bends
_STEP = math.log(6.4) / 27
# Black, violet, red, orange, pale yellow: even steps of lightness, told apart by the colour-blind (after matplotlib's inferno).
_COLOURS = np.array(
    [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]]
)
_PAPER = (24, 24, 28)
_INK = (235, 235, 235)
_WAVE = (120, 200, 235)


def to_mel(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Frequencies in Hz on the mel scale."""
    f = np.asarray(hertz, np.float64)
    bent = _BREAK + np.log(np.maximum(f, 1e-9) / 1000) / _STEP
    return np.where(f < 1000, f * 3 / 200, bent)


def to_hertz(mel: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """The inverse of :func:`to_mel`."""
    m = np.asarray(mel, np.float64)
    return np.where(m < _BREAK, m * 200 / 3, 1000 * np.exp((m - _BREAK) * _STEP))


@functools.cache
def mel_filters(rate: int, window: int, bands: int) -> NDArray[np.float32]:
    """The filters [bands, window // 2 + 1] from power at FFT frequencies to mel bands, triangles of equal area up to rate / 2."""
    bins = np.fft.rfftfreq(window, 1 / rate)
    edges = to_hertz(np.linspace(0, float(to_mel(rate / 2)), bands + 2))
    widths = np.diff(edges)
    slopes = edges[:, None] - bins[None, :]
    rising, falling = -slopes[:-2] / widths[:-1, None], slopes[2:] / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (edges[2:] - edges[:-2]))[:, None], np.float32)


def power(mono: NDArray[np.float32], window: int = WINDOW, hop: int = WINDOW // 4) -> NDArray[np.float32]:
    """The power spectrogram [T, window // 2 + 1] of samples [N] through a Hann window; frame t is centred on sample t * hop.

    Beyond the ends there is silence. T is N // hop + 1.
    """
    shape = np.hanning(window + 1)[:-1].astype(np.float32)
    padded = np.pad(mono, (window // 2, window // 2 + hop))
    count = len(mono) // hop + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop][:count]
    made = np.empty((count, window // 2 + 1), np.float32)
    for start in range(0, count, _FRAMES):
        spectra = np.fft.rfft(frames[start : start + _FRAMES] * shape, axis=1)
        made[start : start + _FRAMES] = spectra.real**2 + spectra.imag**2
    return made


def mel_power(
    mono: NDArray[np.float32], rate: int, *, bands: int = 80, window: int = WINDOW, hop: int = WINDOW // 4
) -> NDArray[np.float32]:  # fmt: skip
    """The mel spectrogram [T, bands] (power) of samples [N] at ``rate`` Hz."""
    bands_of: NDArray[np.float32] = power(mono, window, hop) @ mel_filters(rate, window, bands).T
    return bands_of


def decibels(values: NDArray[np.float32], floor: float = FLOOR) -> NDArray[np.float32]:
    """Powers in decibels relative to the largest, none below ``floor``; all at the floor for silence."""
    largest = float(values.max(initial=0.0))
    if largest <= 0:
        return np.full_like(values, floor)
    levels: NDArray[np.float32] = np.maximum(10 * np.log10(np.maximum(values, 1e-30) / largest), floor).astype(np.float32)
    return levels


def coloured(levels: NDArray[np.float32], floor: float = FLOOR) -> Pixels:
    """Decibels [T, bands] from ``floor`` to 0 as a picture [bands, T, 3] with low frequencies at the bottom."""
    place = np.clip((levels.T[::-1] - floor) / -floor, 0, 1) * (len(_COLOURS) - 1)
    steps = np.arange(len(_COLOURS))
    return np.stack([np.interp(place, steps, _COLOURS[:, channel]) for channel in range(3)], -1).round().astype(np.uint8)


def picture(samples: Samples, rate: int, *, width: int = 320, height: int = 96) -> Pixels:
    """The mel spectrogram of samples [N, C] as a picture [height, width, 3]; a long sound is averaged over time."""
    strip = _Strip(rate, len(samples), width, height)
    strip.add(samples)
    return strip.spectrogram()


def portrait(blocks: Iterable[Samples], rate: int, *, width: int = 1200, waveform: int = 160, height: int = 320) -> Pixels:
    """A picture of one sound given in blocks: its waveform above its mel spectrogram, with seconds below and hertz on the left.

    The mean of the channels is drawn, and kept in memory for it: an hour of 44.1 kHz is 640 MB.
    """
    kept = np.concatenate([np.zeros(0, np.float32), *(block.mean(1, dtype=np.float32) for block in blocks)])
    strip = _Strip(rate, len(kept), width, height)
    strip.add(kept[:, None])
    plot = np.concatenate([strip.waveform(waveform), strip.spectrogram()])
    return _framed(plot, rate, len(kept) / rate, waveform, height)


def contact_sheet(
    sounds: Sequence[tuple[str, Samples]], rate: int, *, columns: int = 4, width: int = 320, height: int = 96
) -> Pixels:
    """Spectrograms of several sounds (name, samples [N, C]) in rows, each with its name and seconds below it."""
    from PIL import Image, ImageDraw

    caption, gap = 16, 8
    columns = max(1, min(columns, len(sounds)))
    rows = -(-len(sounds) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + caption + gap) + gap), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (name, samples) in enumerate(sounds):
        x, y = gap + number % columns * (width + gap), gap + number // columns * (height + caption + gap)
        sheet.paste(Image.fromarray(picture(samples, rate, width=width, height=height)), (x, y))
        told = f"{len(samples) / rate:.1f} s"
        room = (width - pen.textlength(told)) / 6 - 2
        pen.text((x, y + height + 2), _shortened(name, int(room)), fill=_INK)
        pen.text((x + width - pen.textlength(told), y + height + 2), told, fill=_INK)
    return np.asarray(sheet)


class _Strip:
    """A sound of ``length`` samples as ``width`` columns: the mel power and the extremes of each column's time."""

    def __init__(self, rate: int, length: int, width: int, bands: int) -> None:
        self.rate, self.width, self.length = rate, width, max(1, length)
        # Enough frames that no part of a column's time is unseen, and few enough that an hour is drawn in seconds.
        self.hop = max(1, min(WINDOW // 4, self.length // width)) if self.length < width * WINDOW else WINDOW // 2
        # Narrow triangles between two FFT frequencies would be empty: fewer bands are drawn taller.
        self.bands, self.height = min(bands, 80), bands
        self.power = np.zeros((width, self.bands))
        self.low, self.high = np.zeros(width, np.float32), np.zeros(width, np.float32)

    def add(self, samples: Samples) -> None:
        """Draw the whole sound, a few seconds at a time."""
        mono = samples.mean(1, dtype=np.float32)
        frames = np.zeros(self.width)
        step = self.hop * _FRAMES
        for start in range(0, len(mono), step):
            # The window reaches over both sides of the piece.
            before, after = min(start, WINDOW), WINDOW
            piece = mono[start - before : start + step + after]
            shift = before // self.hop
            skip = before - shift * self.hop
            made = mel_power(piece[skip:], self.rate, bands=self.bands, hop=self.hop)[shift:]
            made = made[: -(-min(step, len(mono) - start) // self.hop)]
            places = np.minimum((start + np.arange(len(made)) * self.hop) * self.width // self.length, self.width - 1)
            np.add.at(self.power, places, made)
            np.add.at(frames, places, 1)
        self._fill(frames)
        edges = np.minimum(np.arange(self.width) * self.length // self.width, max(0, len(mono) - 1))
        if len(mono):
            self.low, self.high = np.minimum.reduceat(mono, edges), np.maximum.reduceat(mono, edges)

    def _fill(self, frames: NDArray[np.float64]) -> None:
        """The mean of each column; a column of a very short sound that no frame fell into is like the one before."""
        there = np.flatnonzero(frames)
        if len(there):
            self.power[there] /= frames[there, None]
            self.power = self.power[there[np.maximum(np.searchsorted(there, np.arange(self.width), "right") - 1, 0)]]

    def spectrogram(self) -> Pixels:
        from PIL import Image

        drawn = coloured(decibels(self.power.astype(np.float32)))
        return np.asarray(Image.fromarray(drawn).resize((self.width, self.height), Image.Resampling.BILINEAR))

    def waveform(self, height: int) -> Pixels:
        plot = np.full((height, self.width, 3), _PAPER, np.uint8)
        middle = (height - 1) / 2
        rows = np.arange(height)[:, None]
        top, bottom = middle - self.high * middle, middle - self.low * middle
        inside = (rows >= np.floor(top)) & (rows <= np.ceil(bottom))
        plot[inside] = _WAVE
        return plot


def _framed(plot: Pixels, rate: int, seconds: float, waveform: int, height: int) -> Pixels:
    """``plot`` with the seconds below and the hertz of the spectrogram on the left."""
    from PIL import Image, ImageDraw

    left, below, gap = 52, 20, 8
    sheet = Image.new("RGB", (plot.shape[1] + left + gap, plot.shape[0] + below + gap), _PAPER)
    sheet.paste(Image.fromarray(plot), (left, gap))
    pen = ImageDraw.Draw(sheet)
    top = float(to_mel(rate / 2))
    for hertz in (100, 500, 1000, 2000, 4000, 8000, 16000):
        if hertz < rate / 2.2:
            y = gap + waveform + height * (1 - float(to_mel(hertz)) / top)
            told = f"{hertz} Hz"
            pen.text((left - 6 - pen.textlength(told), y - 6), told, fill=_INK)
    step = _step(seconds)
    for mark in range(int(seconds / step) + 1):
        x = left + mark * step / seconds * plot.shape[1]
        pen.line([(x, gap + plot.shape[0]), (x, gap + plot.shape[0] + 4)], fill=_INK)
        pen.text((x + 2, gap + plot.shape[0] + 4), f"{mark * step:g} s", fill=_INK)
    return np.asarray(sheet)


def _step(seconds: float) -> float:
    """A round number of seconds between at most ten marks."""
    wanted = max(seconds, 1e-3) / 8
    unit = 10 ** math.floor(math.log10(wanted))
    return float(next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= wanted))


def _shortened(name: str, room: int) -> str:
    plain = name.encode("latin-1", "replace").decode("latin-1")  # what Pillow's own letters can draw
    return plain if len(plain) <= room else f"...{plain[-max(1, room - 3) :]}"
