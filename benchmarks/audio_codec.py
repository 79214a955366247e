"""How well the codec rebuilds sounds it never learned from, beside a mel spectrogram and Griffin-Lim at the same frame rate.

Of every tenth file nothing is learned from, and of the other files not their last tenth: the first are the unheard files, the
second the unheard segments. Both sides rebuild the same excerpts in turn; ratios are of means. Codes in use are counted over
excerpts of all files, heard and unheard.

python benchmarks/audio_codec.py SOURCE [--minutes 40] [--threads 1] [--folder FOLDER] [--output FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def split(source: Path, folder: Path) -> dict[str, list[Path]]:
    """Write what is learned from, the unheard segments and the unheard files, as WAV of their own."""
    import soundfile

    from artgen.errors import SourceError
    from artgen.media import audio, loudness

    parts: dict[str, list[Path]] = {"learned": [], "segments": [], "files": []}
    number = 0
    for path in sorted(path for path in source.rglob("*") if path.is_file() and path.suffix.lower() in audio.ENDINGS):
        try:
            samples, rate = audio.decode(path, channels=1)
        except SourceError as error:
            print(error, file=sys.stderr)
            continue
        samples = loudness.normalise(samples, rate, -20.0)  # as a whole, so that a quiet end stays quiet
        cut = len(samples) if number % 10 == 9 else round(0.9 * len(samples))
        pieces = {"files": samples} if number % 10 == 9 else {"learned": samples[:cut], "segments": samples[cut:]}
        for name, piece in pieces.items():
            place = folder / name / f"{number:04d}.wav"
            place.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(str(place), piece, rate)
            parts[name].append(place)
        number += 1
    return parts


def excerpts(paths: list[Path], rate: int, hop: int, most: int = 40, seconds: float = 4.0) -> list[np.ndarray]:
    """Up to ``most`` excerpts [N, 1] of files, from the beginning of each."""
    from artgen.media import audio

    found = []
    for path in paths[:: max(1, len(paths) // most)]:
        samples, _ = audio.decode(path, rate=rate, channels=1)
        count = min(len(samples), round(seconds * rate)) // hop * hop
        if count >= 2048:
            found.append(samples[:count])
    return found


def codes_used(codec: Any, sounds_of: list[np.ndarray]) -> list[float]:
    """The share of each codebook that these sounds need."""
    import torch

    from artgen.metrics import sounds

    with torch.no_grad():
        codes = [codec.encode(torch.from_numpy(real.T.copy())[None])[0].numpy() for real in sounds_of]
    return [round(sounds.code_use(book, codec.size).share, 3) for book in np.concatenate(codes, 1)]


def compare(codec: Any, sounds_of: list[np.ndarray]) -> dict[str, Any]:
    """Means of both distances for the codec and for Griffin-Lim, and their ratios."""
    import torch

    from artgen.metrics import sounds

    rows: dict[str, list[tuple[float, float]]] = {"codec": [], "griffin_lim": []}
    for real in sounds_of:
        with torch.no_grad():
            made = codec.decode(codec.encode(torch.from_numpy(real.T.copy())[None]))[0].numpy().T.copy()
        peer = sounds.griffin_lim(real, codec.rate, hop=codec.hop, window=4 * codec.hop)
        for name, side in (("codec", made), ("griffin_lim", peer)):
            rows[name].append((sounds.stft_distance(real, side), sounds.log_spectral_distance(real, side)))
    means = {name: [float(value) for value in np.mean(pairs, 0)] for name, pairs in rows.items()}
    return {
        "excerpts": len(sounds_of),
        **{f"{name}_mr_stft": round(pair[0], 4) for name, pair in means.items()},
        **{f"{name}_lsd": round(pair[1], 4) for name, pair in means.items()},
        "ratio_mr_stft": round(means["codec"][0] / means["griffin_lim"][0], 3),
        "ratio_lsd": round(means["codec"][1] / means["griffin_lim"][1], 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--minutes", type=float, default=40.0, help="of the codec alone")
    parser.add_argument("--gain", type=float, help="of the augmentation, in dB; artgen's own when not given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the run is kept; gone on with where it is there")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)
    from artgen import api
    from artgen.backends.audio.rnn.backend import Rnn
    from artgen.model import Model

    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        parts = split(given.source, folder / "split")
        api.prepare("audio", [folder / "split" / "learned"], folder / "dataset", held_out=0.02)
        run = folder / "run"
        if not (run / "model").exists():
            api.train("audio", folder / "dataset", run, device="cpu", preset="standard", minutes=given.minutes + 1,
                      codec_minutes=given.minutes, previews=8, gain=given.gain)  # fmt: skip
        model = Model.open(run)
        codec: Any = model.network(Rnn())["codec"]
        heard = {name: excerpts(paths, codec.rate, codec.hop) for name, paths in parts.items()}
        found: dict[str, Any] = {name: compare(codec, heard[name]) for name in ("segments", "files")}
        found["codes_used"] = codes_used(codec, [sound for sounds in heard.values() for sound in sounds])
    text = json.dumps({"minutes": given.minutes, "threads": given.threads, **found}, indent=1)
    print(text)
    if given.output:
        given.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
