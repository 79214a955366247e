"""One page that opens in any browser: a poem that a model wrote, with a picture and a sound made for it.

    python examples/poem_page.py                                        # the starters
    python examples/poem_page.py --prompt "The sea" --seed 3 --text-model runs/poems --image-model runs/fruit --output art/sea.html

Everything is inside the one file; the works stand beside it too, each with its recipe and the mark that a model made it.
"""

from __future__ import annotations

import argparse
import base64
import html
from pathlib import Path

import artgen

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
  body {{ max-width: 34rem; margin: 3rem auto; padding: 0 1rem; font: 1.15rem/1.6 Georgia, serif;
    color: #222; background: #fdfbf6 }}
  img {{ width: 100%; image-rendering: pixelated; border-radius: 4px }}
  pre {{ font: inherit; white-space: pre-wrap; margin: 2rem 0 }}
  audio {{ width: 100% }}
  footer {{ margin-top: 2rem; font-size: .8rem; color: #777 }}
</style>
<img src="data:image/png;base64,{picture}" alt="A picture that a model made for the poem">
<pre>{poem}</pre>
<audio controls src="data:audio/ogg;base64,{sound}"></audio>
<footer>Poem, picture and sound were made by models: {made}. Seed {seed}.</footer>
"""


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a page of a poem, a picture and a sound.")
    parser.add_argument("--prompt", default="The ")
    parser.add_argument("--length", type=int, default=80, help="of the poem, in tokens")
    parser.add_argument("--seconds", type=float, default=6.0, help="of the sound")
    parser.add_argument("--seed", type=int, default=7)
    for kind in ("text", "image", "audio"):
        parser.add_argument(f"--{kind}-model", help="a folder; without one the starter")
    parser.add_argument("--output", type=Path, default=Path("art/poem.html"))
    asked = parser.parse_args(words)

    seed, page = asked.seed, asked.output
    (poem,) = artgen.generate("text", model=asked.text_model, seed=seed, prompt=asked.prompt, length=asked.length)
    (picture,) = artgen.generate("image", model=asked.image_model, seed=seed)
    (sound,) = artgen.generate("audio", model=asked.audio_model, seed=seed, seconds=asked.seconds)
    works = [poem, picture, sound]
    places = [work.save(page.with_suffix(ending)) for work, ending in zip(works, (".txt", ".png", ".ogg"), strict=True)]

    data = [base64.b64encode(place.read_bytes()).decode() for place in places]
    lines = poem.characters.strip()
    made = ", ".join(work.recipe.model["name"] for work in works if work.recipe)
    title = html.escape(lines.partition("\n")[0][:60])
    told = PAGE.format(title=title, picture=data[1], poem=html.escape(lines), sound=data[2], made=html.escape(made), seed=seed)
    page.write_text(told, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
