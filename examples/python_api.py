# %% [markdown]
# artgen in Python, cell by cell. Run the whole file (`python examples/python_api.py`), or open it as a notebook: VS Code, PyCharm
# and Jupyter (with jupytext) know the `# %%` marks. In a notebook a work that stands last in a cell shows itself.

# %% Make pictures with the starter model; a seed is a picture
from __future__ import annotations

from pathlib import Path

import artgen

pictures = artgen.generate("image", n=4, seed=7, truncation=0.7)
pictures[0]

# %% Works are arrays with a recipe; saving never overwrites
out = Path("art/python")
print(pictures[0].numpy().shape, pictures[0].recipe.options)
for picture in pictures:
    print(picture.save(out / f"plate-{picture.seeds[0]}.png"))

# %% The recipe comes back with the file, and makes the work again
again = artgen.replay(out / "plate-7.png")
print(again.state, "-", again.reason)
assert again.state == "identical"

# %% Many works in little memory: each is handed over as soon as it is made
brightest = max(artgen.iter_generate("image", n=12, seed=0), key=lambda work: work.numpy().mean())
print("the brightest plate has seed", brightest.seeds[0])

# %% Your own data: prepare, train, generate. Four steps make no art; give minutes=30 instead of steps
tiles = Path(__file__).resolve().parent / "data" / "tiles"
dataset = artgen.prepare("image", tiles, out / "dataset", resolution=32)
model = artgen.train("image", dataset.folder, out / "run", preset="brief", batch_size=8, steps=4, previews=1)
print(len(dataset), "tiles,", model.backend, "in", model.folder)
artgen.generate("image", model=model, seed=1)[0]

# %% Change a picture of your own, with the model that knows its kind
(changed,) = artgen.modify("image", tiles / "monster" / "goblin.png", model=model, strength=0.4, iterations=20)
print(changed.save(out / "goblin.png"))

# %% What can be asked for, and what a mistake says
print([found["name"] for found in artgen.list_backends("image")])
try:
    artgen.generate("image", truncatoin=1)
except ValueError as error:
    print(error)
