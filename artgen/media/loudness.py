"""How loud a sound is to the ear, and how it is brought to a wished loudness without clipping; fades and loops.

Loudness is the integrated loudness of ITU-R BS.1770-4 in LUFS, true peaks are those of its annex 2 in dBTP. :class:`Meter` and
:class:`Limiter` take a sound block by block in constant memory, and what they give does not depend on how it was cut.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Samples float32 [N, C], full scale from -1 to 1."""

TARGET = -14.0
"""LUFS that generated sound is brought to, as streaming services play it."""

CEILING = -1.0
"""dBTP that no true peak exceeds: what lossy encoders need to stay below full scale."""

_GATE = -70.0
_RELATIVE_GATE = -10.0
_OFFSET = -0.691
_HOP = 0.1  # seconds; a block is four hops, so that blocks overlap by three quarters
_BLOCK = 4
_LFE = 3

_OVER = 4
_TAPS = 24
_CHUNK = 2**15
_LOOK = 0.005  # seconds that the limiter sees ahead and fades over
_ROUNDS = 4
_MOST_GAIN = 60.0  # dB: what is quieter than that is not to be heard, only its noise would be


def to_db(level: float) -> float:
    """An amplitude as decibels below full scale; -inf for none."""
    return 20 * math.log10(level) if level > 0 else -math.inf


def from_db(decibels: float) -> float:
    """Decibels as an amplitude."""
    return float(10 ** (decibels / 20))


# --- how loud


@functools.cache
def weighting(rate: int) -> NDArray[np.float64]:
    """The K-weighting filter at ``rate`` Hz as two second-order sections [2, 6]: a shelf for the head, a high-pass for the ear.

    BS.1770-4 tabulates 48 kHz alone; the analogue filters behind that table are warped to any other rate.
    Source: De Man 2014, "Evaluation of implementations of the EBU R128 loudness measurement".
    """
    k = math.tan(math.pi * min(1681.974450955533, 0.49 * rate) / rate)
    high = 10 ** (3.999843853973347 / 20)
    band, q = high**0.4996667741545416, 0.7071752369554196
    norm = 1 + k / q + k * k
    shelf = [high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k]
    poles = [norm, 2 * (k * k - 1), 1 - k / q + k * k]
    k = math.tan(math.pi * 38.13547087602444 / rate)
    q = 0.5003270373238773
    # The zeros of the high-pass are not divided by its norm: so says the table of the standard.
    under = 1 + k / q + k * k
    ear = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / under, (1 - k / q + k * k) / under]
    return np.array([[value / norm for value in (*shelf, *poles)], ear])


class Meter:
    """Measures a sound that is given block by block: loudness, sample peak, seconds.

    Channels count as BS.1770-4 says: with five or more the surrounds 1.41-fold, the fourth of six or more (the low-frequency
    one) not at all, all others equally.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self.rate = rate
        self.frames = 0
        self.peak = 0.0
        self._sections = weighting(rate)
        self._state = np.zeros((len(self._sections), 2, channels))
        self._weights = np.ones(channels)
        if channels >= 5:
            surround = 3 if channels == 5 else 4
            self._weights[surround : surround + 2] = 1.41
        if channels >= 6:
            self._weights[_LFE] = 0
        self._hops: list[float] = []
        self._rest = np.zeros(0)

    def add(self, block: Samples) -> None:
        """Hear the next samples [N, C]."""
        from scipy.signal import sosfilt

        if not len(block):
            return
        self.peak = max(self.peak, float(np.abs(block).max()))
        filtered, self._state = sosfilt(self._sections, block.astype(np.float64), axis=0, zi=self._state)
        power = np.concatenate([self._rest, (filtered * filtered) @ self._weights])
        done = self.frames - len(self._rest)
        self.frames += len(block)
        start = 0
        while (end := self._edge(len(self._hops) + 1) - done) <= len(power):
            self._hops.append(float(power[start:end].mean()))
            start = end
        self._rest = power[start:]

    def _edge(self, hop: int) -> int:
        return round(hop * _HOP * self.rate)

    @property
    def seconds(self) -> float:
        """How long the sound was so far."""
        return self.frames / self.rate

    @property
    def loudness(self) -> float:
        """The integrated loudness in LUFS, -inf for silence; a sound too short for one block of 0.4 seconds counts as one."""
        hops = np.array(self._hops)
        if len(hops) < _BLOCK:
            total = hops.sum() * _HOP * self.rate + self._rest.sum()
            return _lufs(total / self.frames) if self.frames else -math.inf
        powers = np.convolve(hops, np.ones(_BLOCK) / _BLOCK, "valid")
        kept = powers[powers > _power(_GATE)]
        if not len(kept):
            return -math.inf
        gate = _lufs(kept.mean()) + _RELATIVE_GATE
        return _lufs(kept[kept > _power(gate)].mean())


def loudness(samples: Samples, rate: int) -> float:
    """The integrated loudness of samples [N, C] at ``rate`` Hz in LUFS; -inf for silence."""
    meter = Meter(rate, samples.shape[1])
    for start in range(0, len(samples), _CHUNK):
        meter.add(samples[start : start + _CHUNK])
    return meter.loudness


def true_peak(samples: Samples) -> float:
    """The largest amplitude of the sound between and at the samples [N, C], found at four times the rate."""
    largest = 0.0
    for start in range(0, len(samples), _CHUNK):
        piece = samples[max(0, start - _TAPS) : start + _CHUNK + _TAPS]
        largest = max(largest, float(_peaks(piece).max(initial=0.0)))
    return largest


def _lufs(power: float) -> float:
    return _OFFSET + 10 * math.log10(power) if power > 0 else -math.inf


def _power(lufs: float) -> float:
    return float(10 ** ((lufs - _OFFSET) / 10))


@functools.cache
def _phases() -> NDArray[np.float64]:
    """The filters [3, 24] that give the sound a quarter, a half and three quarters of a sample after each sample."""
    places = np.arange(_TAPS) - (_TAPS // 2 - 1)
    shifts = np.arange(1, _OVER) / _OVER
    distance = shifts[:, None] - places[None, :]
    window = np.i0(9 * np.sqrt(np.clip(1 - (distance / (_TAPS / 2)) ** 2, 0, 1))) / np.i0(9)
    taps = np.sinc(distance) * window
    return np.asarray(taps / taps.sum(1, keepdims=True))


def _peaks(samples: Samples) -> NDArray[np.float64]:
    """The largest amplitude [N] of any channel at each sample and on the way to its neighbours."""
    peaks = np.abs(samples).max(1).astype(np.float64) if len(samples) else np.zeros(0)
    half = _TAPS // 2
    for channel in samples.T.astype(np.float64) if len(samples) else ():
        padded = np.pad(channel, (half - 1, half))
        for taps in _phases():
            between = np.abs(np.convolve(padded, taps[::-1], "valid"))  # [N]
            np.maximum(peaks, between, out=peaks)
            np.maximum(peaks[1:], between[:-1], out=peaks[1:])
    return peaks


# --- brought to a loudness


class Limiter:
    """Turns a sound down around each peak that would exceed ``ceiling`` (dB), and leaves every other sample as it is.

    The gain falls and rises over 5 milliseconds before and after a peak, as the smoothed minimum of what is needed, so it is never
    too large. With ``true`` the peaks between samples count too. Blocks come back later than they were given; :meth:`finish`
    gives the rest.
    """

    def __init__(self, rate: int, channels: int, ceiling: float = CEILING, *, true: bool = True) -> None:
        self._ceiling = from_db(ceiling)
        # Scaling by a changing gain moves peaks between samples a little: this much is kept free for it.
        self._wanted = self._ceiling * (from_db(-0.05) if true else 1.0)
        self._true = true
        self._look = max(1, round(_LOOK * rate))
        self._reach = 2 * self._look + _TAPS
        shape = np.hanning(2 * self._look + 3)[1:-1]
        self._shape = shape / shape.sum()
        # The held samples begin ``_before`` samples ahead of the next chunk.
        self._held: Samples = np.zeros((0, channels), np.float32)
        self._before = 0

    def process(self, block: Samples) -> Samples:
        """Take the next samples [N, C] and give those [M, C] that are ready."""
        self._held = np.concatenate([self._held, block.astype(np.float32)])
        done = []
        while len(self._held) >= self._before + _CHUNK + self._reach:
            done.append(self._emit(_CHUNK))
        return np.concatenate(done) if done else self._held[:0]

    def finish(self) -> Samples:
        """The samples that are still held."""
        done = [self._held[:0]]
        while len(self._held) > self._before:
            done.append(self._emit(min(_CHUNK, len(self._held) - self._before)))
        return np.concatenate(done)

    def _emit(self, count: int) -> Samples:
        """Limit the next ``count`` samples, from the samples within reach alone: other blocks would give the same bits."""
        start, stop = self._before, self._before + count
        seen = self._held[: stop + self._reach]
        wanted = seen[start:stop]
        gain = self._gain(seen)
        if gain is not None:
            limit = np.float32(self._ceiling)
            wanted = np.clip(wanted * gain[start:stop, None].astype(np.float32), -limit, limit)
        keep = max(0, stop - self._reach)
        self._held, self._before = self._held[keep:], stop - keep
        return np.ascontiguousarray(wanted)

    def _gain(self, seen: Samples) -> NDArray[np.float64] | None:
        """The gain [N], or None where nothing is too loud."""
        from scipy.ndimage import minimum_filter1d

        largest = float(np.abs(seen).max(initial=0.0))
        if largest * (float(np.abs(_phases()).sum(1).max()) if self._true else 1.0) <= self._wanted:
            return None
        peaks = _peaks(seen) if self._true else np.abs(seen).max(1).astype(np.float64)
        if peaks.max() <= self._wanted:
            return None
        needed = np.minimum(1.0, self._wanted / np.maximum(peaks, 1e-30))
        lowest = minimum_filter1d(needed, 2 * self._look + 1, mode="nearest")
        padded = np.pad(lowest, self._look, mode="edge")
        return np.convolve(padded, self._shape, "valid")


def limited(
    blocks: Iterable[Samples], rate: int, channels: int, ceiling: float = CEILING, *, true: bool = True
) -> Iterator[Samples]:
    """The blocks [N, C] of a sound through a :class:`Limiter`; how they are cut may change."""
    limiter = Limiter(rate, channels, ceiling, true=true)
    for block in blocks:
        done = limiter.process(block)
        if len(done):
            yield done
    rest = limiter.finish()
    if len(rest):
        yield rest


def gain_for(measured: float, target: float) -> float:
    """The factor that brings a sound of ``measured`` LUFS to ``target``, at most 60 dB; 1 for silence."""
    return from_db(min(_MOST_GAIN, target - measured)) if math.isfinite(measured) else 1.0


def normalise(samples: Samples, rate: int, target: float = TARGET, ceiling: float = CEILING) -> Samples:
    """Samples [N, C] at ``target`` LUFS with no true peak above ``ceiling`` dBTP; silence stays as it is.

    What the limiter takes from the loudness is given back by more gain, in a few rounds; clicks that are nothing but peaks stay
    quieter than the target.
    """
    first = loudness(samples, rate)
    if not math.isfinite(first):
        return samples.copy()
    gain = gain_for(first, target)
    for _ in range(_ROUNDS):
        made = np.concatenate(list(limited([samples * np.float32(gain)], rate, samples.shape[1], ceiling)))
        missing = target - loudness(made, rate)
        if abs(missing) < 0.1 or gain * from_db(missing) > from_db(_MOST_GAIN):
            break
        gain *= from_db(missing)
    over = true_peak(made) / from_db(ceiling)
    return made if over <= 1 else made * np.float32(1 / over)


# --- edges


def fade(samples: Samples, rate: int, seconds_in: float = 0.005, seconds_out: float = 0.02) -> Samples:
    """A copy of samples [N, C] that begins and ends in silence, each over a raised cosine; a short sound has shorter fades."""
    made = samples.copy()
    for seconds, part in ((seconds_in, made), (seconds_out, made[::-1])):
        count = min(round(seconds * rate), len(samples) // 2)
        if count:
            part[:count] *= _rise(count)[:, None]
    return made


def crossfade(first: Samples, second: Samples, overlap: int, *, equal_power: bool = False) -> Samples:
    """``first`` [N, C] then ``second`` [M, C] with ``overlap`` samples in common: [N + M - overlap, C].

    The two gains add up to 1, right for sounds that are alike; with ``equal_power`` their squares do, right for unrelated ones.
    """
    overlap = max(0, min(overlap, len(first), len(second)))
    made = np.concatenate([first[: len(first) - overlap], second])
    if overlap:
        rise = _rise(overlap)[:, None]
        fall = np.float32(1) - rise
        if equal_power:
            rise, fall = np.sqrt(rise), np.sqrt(fall)
        start = len(first) - overlap
        made[start : start + overlap] = first[start:] * fall + second[:overlap] * rise
    return made


def loop(samples: Samples, overlap: int) -> Samples:
    """Samples [N, C] as a seamless loop [N - overlap, C]: what would come after its end fades into its beginning."""
    overlap = max(0, min(overlap, len(samples) // 2))
    if not overlap:
        return samples.copy()
    length = len(samples) - overlap
    seam = crossfade(samples[length:], samples[:overlap], overlap, equal_power=True)
    return np.concatenate([seam, samples[overlap:length]])


def _rise(count: int) -> Samples:
    """A raised cosine from just above 0 to just below 1, [count]."""
    return (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count)).astype(np.float32)
