"""Measures of sound that need no downloaded network: how well it is rebuilt, how alike two sets of clips are, what is copied.

Distances between sets are ``FD-mel`` and ``KD-mel``, after the features they are taken on. They are none of the published numbers
that a trained network is behind, and are only to be compared with their own real-against-real floor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from artgen.errors import UsageError
from artgen.media import audio, loudness, spectrogram
from artgen.metrics.frechet import frechet, kernel_distance

Samples = NDArray[np.float32]
"""Samples float32 [N, C], full scale from -1 to 1."""

SCALES = (2048, 1024, 512, 256, 128)
"""Windows of the multi-resolution distance, each with a hop of a quarter."""

BANDS = 64
WIDTH = 3 * BANDS + 3
"""Numbers that describe a clip: see :func:`mel_statistics`."""

_LOG_FLOOR = 1e-5  # of full scale: below it a difference is not heard, but would count
_LSD_WINDOW = 2048
_LSD_RANGE = 80.0
_MEL_FLOOR = -80.0


# --- how well a sound is rebuilt


def stft_distance(real: Samples, made: Samples) -> float:
    """The multi-resolution STFT distance of two equally long sounds: 0 where they are equal.

    At each of the windows ``SCALES``, for every channel: the relative Frobenius distance of the magnitudes, plus the mean absolute
    difference of their natural logarithms (a full-scale sine has magnitude 1, and none counts as less than 1e-5); then the mean.

    Raises:
        UsageError: the sounds are not equally long, or empty.
    Source: Yamamoto et al. 2020, "Parallel WaveGAN", section 2.2; the windows are those of RAVE.
    """
    found = []
    for one, two in _channels(real, made):
        for window in SCALES:
            first, second = (_magnitudes(side, window) for side in (one, two))
            relative = np.linalg.norm(first - second) / max(float(np.linalg.norm(first)), 1e-9)
            logs = np.abs(np.log(np.maximum(first, _LOG_FLOOR)) - np.log(np.maximum(second, _LOG_FLOOR))).mean()
            found.append(float(relative) + float(logs))
    return float(np.mean(found))


def log_spectral_distance(real: Samples, made: Samples) -> float:
    """The log-spectral distance of two equally long sounds in decibels: the mean over frames of the root mean square over bins.

    2,048 samples a window, a quarter of it as hop; what lies more than 80 dB below the loudest place of ``real`` counts as if it
    lay there, so that the silence between notes does not decide.

    Raises:
        UsageError: the sounds are not equally long, or empty.
    Source: Gray & Markel 1976, "Distance measures for speech processing".
    """
    found = []
    for one, two in _channels(real, made):
        first, second = (_magnitudes(side, _LSD_WINDOW) for side in (one, two))
        floor = max(float(first.max()) * loudness.from_db(-_LSD_RANGE), 1e-9)
        gap = 20 * (np.log10(np.maximum(first, floor)) - np.log10(np.maximum(second, floor)))
        found.append(float(np.sqrt((gap**2).mean(1)).mean()))
    return float(np.mean(found))


def loudness_error(real: Samples, made: Samples, rate: int) -> float:
    """How far apart two sounds are in loudness (BS.1770-4), in LU; 0 for two silences, NaN where one alone is silent."""
    first, second = loudness.loudness(real, rate), loudness.loudness(made, rate)
    if not (math.isfinite(first) or math.isfinite(second)):
        return 0.0
    return abs(first - second) if math.isfinite(first) and math.isfinite(second) else math.nan


def griffin_lim(
    samples: Samples, rate: int, *, bands: int = 80, window: int = 1024, hop: int = 256, iterations: int = 32
) -> Samples:
    """The sound rebuilt from its mel spectrogram alone: what a codec has to be compared with. Same samples, same result.

    Source: Griffin & Lim 1984; Perraudin et al. 2013 (with momentum), as librosa has them.
    """
    import librosa

    made = []
    for channel in samples.T:
        mel = librosa.feature.melspectrogram(
            y=channel, sr=rate, n_fft=window, hop_length=hop, n_mels=bands, power=1.0, pad_mode="constant"
        )
        linear = librosa.feature.inverse.mel_to_stft(mel, sr=rate, n_fft=window, power=1.0)
        made.append(
            librosa.griffinlim(linear, n_iter=iterations, hop_length=hop, n_fft=window, length=len(channel), random_state=0)
        )
    return np.stack(made, 1).astype(np.float32)


@dataclass(frozen=True)
class CodeUse:
    """How much of a codebook is in use: ``perplexity`` (as many equally frequent codes would be as varied) and ``share`` used."""

    perplexity: float
    share: float


def code_use(codes: NDArray[np.integer], size: int) -> CodeUse:
    """The use that ``codes`` [...] make of a codebook of ``size`` codes; NaN where there are none.

    Raises:
        UsageError: a code is outside 0 to ``size`` - 1.
    """
    flat = np.asarray(codes).reshape(-1)
    if not len(flat):
        return CodeUse(math.nan, math.nan)
    if flat.min() < 0 or flat.max() >= size:
        raise UsageError(f"codes of a codebook of {size} are 0 to {size - 1}, not {flat.min()} to {flat.max()}")
    counts = np.bincount(flat, minlength=size)
    shares = counts[counts > 0] / len(flat)
    return CodeUse(float(np.exp(-(shares * np.log(shares)).sum())), float((counts > 0).mean()))


def _channels(real: Samples, made: Samples) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    if real.shape != made.shape or real.ndim != 2 or not real.size:
        raise UsageError(f"sounds to compare are [samples, channels] of one shape, not {list(real.shape)} and {list(made.shape)}")
    yield from zip(real.T, made.T, strict=True)


def _magnitudes(mono: NDArray[np.float32], window: int) -> NDArray[np.float64]:
    """Magnitudes [T, F], of which a full-scale sine has 1."""
    return np.sqrt(spectrogram.power(mono, window, window // 4), dtype=np.float64) * (4 / window)


# --- how alike two sets of clips are


def mel_statistics(clip: Samples, rate: int) -> NDArray[np.float32]:
    """What describes a clip [N, C] for FD-mel and KD-mel: 195 numbers, from the mean of its channels.

    Of 64 mel bands in dB (0 for a full-scale sine, none below -80; windows of about 50 ms, hops of a quarter) over time: the 64
    means, the 64 standard deviations, the 64 mean absolute steps from frame to frame. Then the rate of onsets (a second), the
    spectral flux (mean rise of all bands from frame to frame, dB) and the mean spectral flatness (dB).
    """
    window = 1024 if rate <= 24_000 else 2048
    mono = clip.mean(1, dtype=np.float32)
    values = spectrogram.mel_power(mono, rate, bands=BANDS, window=window) * np.float32((4 / window) ** 2)
    # A mel filter sums over bins and is scaled by its width in Hz: undone, so that the level does not depend on the rate.
    values = values / spectrogram.mel_filters(rate, window, BANDS).max(1)
    levels = np.maximum(10 * np.log10(np.maximum(values, 1e-12)), _MEL_FLOOR).astype(np.float64)  # [T, 64]
    steps = np.diff(levels, axis=0) if len(levels) > 1 else np.zeros((1, BANDS))
    rise = np.maximum(steps, 0).mean(1)
    frames = rate / (window // 4)
    flat = levels.mean(1) - 10 * np.log10(np.maximum((10 ** (levels / 10)).mean(1), 1e-12))
    more = [_onsets(rise, frames) / max(len(clip) / rate, 1e-9), float(rise.mean()), float(flat.mean())]
    return np.concatenate([levels.mean(0), levels.std(0), np.abs(steps).mean(0), more]).astype(np.float32)


def _onsets(rise: NDArray[np.float64], frames: float) -> int:
    """Peaks of the rise: over a deviation above its mean, over 1 dB, and the highest within 30 ms on both sides."""
    reach = max(1, round(0.03 * frames))
    padded = np.pad(rise, reach, constant_values=-1.0)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    first = np.argmax(around, 1) == reach
    return int((first & (rise > rise.mean() + rise.std()) & (rise > 1.0)).sum())


def mel_features(clips: Sequence[Samples], rate: int) -> NDArray[np.float32]:
    """:func:`mel_statistics` of every clip, [len(clips), 195]."""
    return np.stack([mel_statistics(clip, rate) for clip in clips]) if clips else np.zeros((0, WIDTH), np.float32)


def mel_distances(real: NDArray[np.floating], made: NDArray[np.floating]) -> tuple[float, float]:
    """FD-mel and KD-mel of two sets of :func:`mel_features`; NaN where a set has fewer than two clips.

    Every number is first scaled by its mean and deviation over ``real``, since decibels and onsets have different units. The floor
    is the same between two halves of the real clips; compare equally many clips of equal length only.
    """
    if len(real) < 2 or len(made) < 2:
        return math.nan, math.nan
    mean, spread = real.mean(0), np.maximum(real.std(0), 1e-2)
    first, second = ((side - mean) / spread for side in (real, made))
    return frechet(first, second), kernel_distance(first, second)


# --- what is copied


@dataclass(frozen=True)
class Match:
    """Where a sound is most like the training sounds: ``value`` is the correlation (1 for a copy at any volume, NaN for silence).

    ``start`` is where in the sound, in seconds; ``piece`` the number of the training piece and ``place`` where in it.
    """

    value: float
    start: float
    piece: int
    place: float


class Copies:
    """Looks for windows of sounds in training sounds by normalised cross-correlation at every offset.

    ``samples`` [N, C] (int16 of a dataset, or float) is only read block by block; ``pieces`` [P, 2] are the parts that count as
    training. Both sides are mixed to one channel at about ``reduced`` Hz, which keeps what tells tunes and beats apart. The sign
    does not matter: an upside-down copy is a copy.
    """

    def __init__(
        self, samples: NDArray[np.generic], pieces: NDArray[np.int64], rate: int, *, seconds: float = 1.0, reduced: int = 4000
    ) -> None:
        self._samples, self._pieces, self._rate = samples, pieces, rate
        self._low = min(reduced, rate)
        self._length = max(8, round(seconds * self._low))

    def highest(self, sounds: Sequence[Samples]) -> list[Match]:
        """The best match of each sound [n, C] over all its windows, which overlap by half."""
        windows, of, starts = [], [], []
        for number, sound in enumerate(sounds):
            low = self._reduced(sound)
            low = np.pad(low, (0, max(0, self._length - len(low))))
            places = range(0, len(low) - self._length + 1, max(1, self._length // 2))
            for start in [*places, *([len(low) - self._length] if (len(low) - self._length) % max(1, self._length // 2) else [])]:
                windows.append(low[start : start + self._length])
                of.append(number)
                starts.append(start)
        best = [Match(math.nan, 0.0, -1, 0.0)] * len(sounds)
        if not windows:
            return best
        for index, (value, piece, place) in enumerate(self._search(np.stack(windows))):
            old = best[of[index]].value
            if not math.isnan(value) and not old >= value:
                best[of[index]] = Match(value, starts[index] / self._low, piece, place / self._low)
        return best

    def _search(self, windows: NDArray[np.float32]) -> list[tuple[float, int, int]]:
        """For each window [W, L] its highest correlation, and in which piece and at which sample it is."""
        norms = np.linalg.norm(windows.astype(np.float64), axis=1)
        heard = np.flatnonzero(norms > 1e-4 * math.sqrt(self._length))
        found = [(math.nan, -1, 0)] * len(windows)
        excerpts: dict[int, NDArray[np.float32]] = {}
        size = 1 << max(12, (8 * self._length - 1).bit_length())
        spectra = None
        for block, marks in self._blocks(size):
            if spectra is None:
                spectra = np.conj(np.fft.rfft(windows[heard], size, axis=1))
            whole = np.fft.rfft(block, size)
            sums = np.concatenate([[0.0], np.cumsum(block.astype(np.float64) ** 2)])
            energy = sums[self._length :] - sums[: -self._length]  # [size - L + 1]
            # Where training is next to silent a correlation says nothing, and its norm is rounding.
            scale = np.where(energy > 1e-8 * self._length, 1 / np.sqrt(np.maximum(energy, 1e-12)), 0)
            for row, index in enumerate(heard.tolist()):
                values = np.abs(np.fft.irfft(whole * spectra[row], size)[: len(scale)]) * scale / norms[index]
                at = int(values.argmax())
                value = min(1.0, float(values[at]))
                if not found[index][0] >= value:
                    offset, piece, place = next(mark for mark in reversed(marks) if mark[0] <= at)
                    found[index] = (value, piece, place + at - offset)
                    excerpts[index] = block[at : at + self._length].copy()
        for index, excerpt in excerpts.items():
            value, piece, place = found[index]
            found[index] = (max(value, _between(windows[index], excerpt)), piece, place)
        return found

    def _blocks(self, size: int) -> Iterator[tuple[NDArray[np.float32], list[tuple[int, int, int]]]]:
        """The training sounds in blocks [size] that overlap by a window, with where parts begin: (offset, piece, its sample).

        Pieces are parted by a window of silence, so that no match lies over two of them.
        """
        block, marks, used = np.zeros(size, np.float32), list[tuple[int, int, int]](), 0
        for number, (start, stop) in enumerate(self._pieces):
            low = self._reduced(self._samples[int(start) : int(stop)])
            at = 0
            while at < len(low):
                if size - used < self._length:
                    yield block, marks
                    block, marks, used = np.zeros(size, np.float32), [], 0
                count = min(size - used, len(low) - at)
                block[used : used + count] = low[at : at + count]
                marks.append((used, number, at))
                used += count
                if at + count == len(low):
                    break
                at += count - self._length + 1
            used = min(size, used + self._length)
        if marks:
            yield block, marks

    def _reduced(self, part: NDArray[np.generic]) -> NDArray[np.float32]:
        """One channel [n] at the low rate, read from the disk in blocks."""
        scale = np.float32(1 / 32768) if part.dtype == np.int16 else np.float32(1)
        pieces = (
            (np.asarray(part[start : start + 2**20], np.float32) * scale).mean(1, keepdims=True)
            for start in range(0, len(part), 2**20)
        )
        return np.concatenate([np.zeros((0, 1), np.float32), *audio.resampled(pieces, self._rate, self._low, 1)])[:, 0]


def _between(window: NDArray[np.float32], excerpt: NDArray[np.float32]) -> float:
    """The highest correlation of two pieces [L] over shifts of less than a sample: a copy seldom lies on the low rate's grid."""
    spectrum = np.fft.rfft(window)
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(len(window))[None, :] * np.linspace(-0.5, 0.5, 11)[:, None])
    shifted = np.fft.irfft(spectrum * turns, len(window), axis=1)
    norms = np.linalg.norm(shifted, axis=1) * float(np.linalg.norm(excerpt.astype(np.float64)))
    return min(1.0, float((np.abs(shifted @ excerpt) / np.maximum(norms, 1e-12)).max()))
