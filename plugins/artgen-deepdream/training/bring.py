"""Turn a trained model into the one that the package brings: its licence and its card.

python bring.py runs/eclectic/model-last ../src/artgen_deepdream/starters/eclectic

"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from artgen.model import Model, save_model

LICENCE = "apache-2.0"

CARD = """---
library_name: artgen
tags: [artgen, image.deepdream]
license: {licence}
---

# eclectic: the network that `image.deepdream` dreams through

A convolutional classifier of {parameters:.2f} million parameters ({size:.1f} MB, half precision) in {layers} layers: plain
convolutions at full and half size, then blocks that see several sizes at once. It has no normalisation layers and no strides.

    artgen image modify mine.jpg --backend deepdream
    artgen image generate --backend deepdream --list-layers

## Data and licences

{count:,} pictures in {classes} classes:

- watercolours of fruit, by fruit: USDA Pomological Watercolor Collection, public domain
- emoji by group: Noto Emoji (SIL Open Font License 1.1, Apache 2.0) and Fluent Emoji (MIT)
- tiles by category and tag: Dungeon Crawl Stone Soup, CC0 1.0
- textures, wall or floor: Freedoom, BSD 3-Clause

## Scores

On every sixteenth picture, never trained on: accuracy {accuracy:.1%} over {classes} classes (the largest class is 11 % of the
pictures), cross-entropy {loss:.3f}.

## Training

`plugins/artgen-deepdream/training`: {items:,} items seen, batches of {batch}, cuts of {crop} pixels out of 96, augmentation
{augment}, label smoothing 0.1, AdamW at {rate} with a cosine, averaged weights, seed {seed}.

## Limits

It is small and was trained for minutes: it dreams of stripes, edges, grain, leaves and rinds, not of the dogs and eyes that
networks trained on photographs dream of. For those give a network of transformers with `--model`.

Works of this model are machine-made; artgen marks them so in the file (IPTC digital source type).
"""


def main(trained: Path, target: Path) -> None:
    """Write ``target`` from the model in ``trained``."""

    model = Model.open(trained)
    config, tensors = model.config, model.tensors()
    train, scores = config.train, measured(model)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    card = CARD.format(
        licence=LICENCE, parameters=parameters / 1e6, size=2 * parameters / 1e6,
        layers=sum(len(row) for row in config.network["widths"]), count=config.data["count"], classes=len(config.classes),
        accuracy=scores["accuracy"], loss=scores["held_out_loss"], items=train["items_seen"], batch=train["batch_size"],
        crop=train["crop"], augment=train["augment"], rate=train["learning_rate"], seed=train["seed"],
    )  # fmt: skip
    save_model(target, msgspec.structs.replace(config, licence=LICENCE, scores=scores), tensors, card)


def measured(model: Model) -> dict[str, float]:
    """The scores of the last weights, which are not always those that the run logged as the best."""
    import tomllib

    from artgen.dataset import Dataset
    from artgen_deepdream.options import Train
    from artgen_deepdream.task import ClassifierTask

    run = tomllib.loads((model.folder.parent / "config.toml").read_text(encoding="utf-8"))
    dataset = Dataset.open(run["dataset"])
    task = ClassifierTask(dataset, Train(preset=model.config.train["preset"], crop=model.config.train["crop"]))
    task.eye.load_state_dict({name.removeprefix("eye."): tensor.float() for name, tensor in model.tensors().items()})
    return task.eval().measure(dataset, ("accuracy", "held_out_loss"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
