"""Sort the pictures that the bundled network is trained on into one folder a class.

    python collect.py FOLDER_OF_ARCHIVES OUTPUT

The archives: usda_pomological_watercolors.zip, noto_emoji_128.zip, fluent_emoji_3d_256.zip, dcss_tiles_32.zip and
freedoom_textures.zip, each with a metadata.jsonl.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

FEWEST = {"fruit": 60, "emoji": 30, "tiles": 25}


def fruit(row: dict[str, Any]) -> tuple[str, str]:
    """The fruit on a plate, by its folder."""
    return "fruit", PurePosixPath(row["file_name"]).parts[0]


def emoji(row: dict[str, Any]) -> tuple[str, str]:
    """The group of an emoji, whoever drew it."""
    return "emoji", row.get("group") or "Other"


def tile(row: dict[str, Any]) -> tuple[str, str]:
    """The category of a tile and its first tag."""
    return "tiles", "-".join([row["category"], *row.get("tags", [])[:1]])


def texture(row: dict[str, Any]) -> tuple[str, str]:
    """Wall or floor."""
    return "textures", PurePosixPath(row["file_name"]).parts[0]


ARCHIVES = {
    "usda_pomological_watercolors": fruit,
    "noto_emoji_128": emoji,
    "fluent_emoji_3d_256": emoji,
    "dcss_tiles_32": tile,
    "freedoom_textures": texture,
}


def main(archives: Path, output: Path) -> None:
    """Write ``output``/<class>/<picture>."""
    for name, classify in ARCHIVES.items():
        with zipfile.ZipFile(archives / f"{name}.zip") as archive:
            text = archive.read(f"{name}/metadata.jsonl").decode()
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
            sizes = Counter(classify(row) for row in rows)
            for row in rows:
                kind, group = classify(row)
                few = sizes[kind, group] < FEWEST.get(kind, 0)
                folder = "".join(c if c.isalnum() else "-" for c in (f"{kind} other" if few else f"{kind} {group}").lower())
                target = output / folder / f"{name}-{row['file_name'].replace('/', '-')}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(f"{name}/{row['file_name']}"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
