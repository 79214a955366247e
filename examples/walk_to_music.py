"""A film in which a model wanders from picture to picture in time with music: the sound drives the walk and is heard in the film.

python examples/walk_to_music.py                                    # eight seconds of the sound starter
python examples/walk_to_music.py --music my/song.flac --model runs/fruit --output art/film.mp4
"""

from __future__ import annotations

import argparse
from pathlib import Path

import artgen


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a film that moves with music.")
    parser.add_argument("--music", type=Path, help="a sound file; without one the sound starter composes")
    parser.add_argument("--model", help="a picture model; without one the starter")
    parser.add_argument("--seconds", type=float, default=8.0, help="of music that is composed")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--output", type=Path, default=Path("art/film.mp4"))
    asked = parser.parse_args(words)

    music = asked.music
    if music is None:
        (piece,) = artgen.generate("audio", seed=asked.seed, seconds=asked.seconds)
        music = piece.save(asked.output.with_suffix(".flac"))
        print(music)
    (film,) = artgen.generate("image", model=asked.model, seed=asked.seed, audio=str(music), fps=asked.fps)
    print(film.save(asked.output))


if __name__ == "__main__":
    main()
