"""Results where the user looks: a thumbnail in terminals that can show pictures, and the system's viewer.

Nothing of it is ever written into a pipe or a file.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from artgen.errors import OutputError

if TYPE_CHECKING:
    import PIL.Image

    from artgen.artwork import Artwork

_EDGE = 256
"""Pixels of the longer side of a thumbnail; a much smaller picture is enlarged, its pixels kept sharp."""
_MOST = 12
"""Thumbnails a command shows; more would push the first off the screen."""
_OPENED = 4
"""Files that are opened one by one; of more, the folder is."""
_PATIENCE = 0.2
"""Seconds a terminal has to say what it can."""

_started: list[subprocess.Popen[bytes]] = []  # a viewer outlives the command; it is kept so that Python does not warn of it
_OF_PROGRAM = {"iTerm.app": "iterm", "WezTerm": "iterm", "ghostty": "kitty", "mintty": "iterm"}


class Thumbnails:
    """Shows works on standard output as they are made, up to a number; ``chosen`` is a setting, ``auto`` asks the terminal."""

    def __init__(self, chosen: str) -> None:
        self._chosen = chosen
        self._left = _MOST
        self._kind: str | None = None

    def show(self, work: Artwork) -> None:
        """Show ``work``, where the output is a terminal that can and the work has a picture."""
        if self._left <= 0 or self._chosen == "never" or not sys.stdout.isatty():
            return
        if self._kind is None:
            self._kind = terminal() if self._chosen == "auto" else self._chosen
        picture = portrait(work) if self._kind else None
        if picture is None:
            return
        self._left -= 1
        sys.stdout.write({"kitty": kitty, "iterm": iterm, "sixel": sixel}[self._kind](picture) + "\n")
        sys.stdout.flush()


def terminal() -> str:
    """The kind of pictures that this terminal shows (``kitty``, ``iterm``, ``sixel``), or nothing."""
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "linux"):
        return ""
    if "TMUX" not in os.environ and "STY" not in os.environ:  # these pass the pictures of no other terminal on
        if "kitty" in term or "KITTY_WINDOW_ID" in os.environ:
            return "kitty"
        program = _OF_PROGRAM.get(os.environ.get("TERM_PROGRAM", ""), "")
        if program or os.environ.get("LC_TERMINAL") == "iTerm2":
            return program or "iterm"
    return "sixel" if _knows_sixel() else ""


def portrait(work: Artwork) -> PIL.Image.Image | None:
    """The portrait of a work at the size of a thumbnail; None for a work that has none."""
    from PIL import Image as Pillow

    found = work.portrait()
    if found is None:
        return None
    picture = found.to_pil()
    picture = picture.convert("RGBA" if picture.mode == "RGBA" else "RGB")
    scale = _EDGE / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if scale >= 2:
        whole = int(scale)
        return picture.resize((picture.width * whole, picture.height * whole), Pillow.Resampling.NEAREST)
    return picture.resize(size, Pillow.Resampling.LANCZOS) if scale < 1 else picture


def kitty(picture: PIL.Image.Image) -> str:
    """The picture in the graphics protocol of kitty, in pieces of 4096 characters as it asks for."""
    data = base64.b64encode(_png(picture)).decode()
    pieces = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    lines = []
    for number, piece in enumerate(pieces):
        head = "a=T,f=100,q=2," if number == 0 else ""
        lines.append(f"\x1b_G{head}m={int(number < len(pieces) - 1)};{piece}\x1b\\")
    return "".join(lines)


def iterm(picture: PIL.Image.Image) -> str:
    """The picture in the inline protocol of iTerm2."""
    data = _png(picture)
    return f"\x1b]1337;File=inline=1;size={len(data)};width={picture.width}px:{base64.b64encode(data).decode()}\x07"


def sixel(picture: PIL.Image.Image) -> str:
    """The picture as sixels, of 256 colours: six rows of pixels at a time, one colour after the other, runs shortened."""
    import numpy as np

    flat = picture.convert("RGB").quantize(256)
    pixels = np.asarray(flat)
    palette = np.asarray(flat.getpalette() or [], int).reshape(-1, 3)
    out = [f'\x1bPq"1;1;{picture.width};{picture.height}']
    out += [f"#{number};2;{r * 100 // 255};{g * 100 // 255};{b * 100 // 255}" for number, (r, g, b) in enumerate(palette)]
    weights = (1 << np.arange(6))[:, None]
    for top in range(0, len(pixels), 6):
        band = pixels[top : top + 6]
        for number, colour in enumerate(np.unique(band)):
            bits = ((band == colour) * weights[: len(band)]).sum(0) + 63
            line = "".join(map(chr, bits))
            short = re.sub(r"(.)\1{3,}", _run, line)
            out.append(f"{'$' if number else ''}#{colour}{short}")
        out.append("-")
    return "".join([*out, "\x1b\\"])


def open_files(paths: Sequence[str | Path]) -> None:
    """Show files in the system's viewer, of many the folder that holds them; the viewer is not waited for.

    Raises:
        OutputError: this system has none.
    """
    places = [Path(path).resolve() for path in paths]
    if len(places) > _OPENED:
        places = list(dict.fromkeys(place.parent for place in places))
    for place in places:
        if sys.platform == "win32":
            os.startfile(place)
            continue
        command = _viewer()
        if command is None:
            raise OutputError(f"no viewer found (xdg-open is not installed); open {place} yourself")
        nothing: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        _started.append(subprocess.Popen([command, str(place)], start_new_session=True, **nothing))


def _viewer() -> str | None:
    names = ("open",) if sys.platform == "darwin" else ("wslview", "xdg-open")  # on WSL the viewer is that of Windows
    return next((found for name in names if (found := shutil.which(name))), None)


def _knows_sixel() -> bool:
    """Ask the terminal for its attributes; 4 among them is sixel."""
    try:
        handle = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return "4" in ask(handle)
    finally:
        os.close(handle)


def ask(handle: int) -> list[str]:
    """The attributes that the terminal at ``handle`` names (ECMA-48: DA), or none where it does not answer in time."""
    import select
    import termios
    import tty

    try:
        before = termios.tcgetattr(handle)
    except termios.error:
        return []
    answer, until = b"", time.monotonic() + _PATIENCE
    try:
        tty.setcbreak(handle, termios.TCSANOW)
        os.write(handle, b"\x1b[c")
        while not answer.endswith(b"c") and (left := until - time.monotonic()) > 0:
            if select.select([handle], [], [], left)[0]:
                answer += os.read(handle, 64)
    finally:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(handle, termios.TCSANOW, before)
    found = re.search(rb"\x1b\[\?([\d;]+)c", answer)
    return found[1].decode().split(";")[1:] if found else []


def _run(found: re.Match[str]) -> str:
    return f"!{len(found[0])}{found[1]}"


def _png(picture: PIL.Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
