"""The contact sheet of ``--list-layers``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from artgen.artwork import Image

SWATCH = 96
"""Edge of one dream on the sheet, in pixels."""

GAP = 4
LABEL = 16
"""Height of a line of text, in pixels."""


def drawn(rows: Sequence[tuple[str, Sequence[int], Sequence[NDArray[np.uint8]]]], columns: int) -> Image:
    """A row for each (name, channel numbers, dreams uint8 [SWATCH, SWATCH, 3]), with the numbers below the dreams."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    columns = max(columns, 2)
    pitch = SWATCH + GAP
    height = SWATCH + 2 * LABEL + GAP
    page = Pillow.new("RGB", (columns * pitch + GAP, len(rows) * height + GAP), "white")
    pen = ImageDraw.Draw(page)
    for line, (name, channels, dreams) in enumerate(rows):
        top = line * height + GAP
        pen.text((GAP, top), name, fill="black")
        for place, (channel, dream) in enumerate(zip(channels, dreams, strict=True)):
            left = place * pitch + GAP
            page.paste(Pillow.fromarray(dream), (left, top + LABEL))
            pen.text((left, top + LABEL + SWATCH), str(channel), fill="grey")
    return Image(np.array(page))
