"""What a user sets once: ``settings.toml`` in the folder for settings, each with a variable of the environment that wins.

::

    history = false        # remember no works; ARTGEN_HISTORY=off
    thumbnails = "never"   # auto, kitty, iterm, sixel or never; ARTGEN_THUMBNAILS
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from artgen.errors import UsageError
from artgen.files import config_folder

FILE = "settings.toml"
THUMBNAILS = ("auto", "kitty", "iterm", "sixel", "never")
_KNOWN: dict[str, tuple[Any, ...]] = {"history": (True, False), "thumbnails": THUMBNAILS}


def settings_file() -> Path:
    """Where the settings are, whether or not there are any."""
    return config_folder() / FILE


def setting(name: str) -> Any:
    """The value of a setting in the file, or None where it says nothing.

    Raises:
        UsageError: the file is no TOML, or holds a value or a name that is none of ours.
    """
    path = settings_file()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    import tomllib

    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: no TOML ({error}); correct the line or remove the file") from None
    for key, value in values.items():
        if key not in _KNOWN:
            raise UsageError(f"{path}: no setting {key!r}; there are {', '.join(_KNOWN)}")
        if value not in _KNOWN[key]:
            allowed = ", ".join(str(each).lower() if isinstance(each, bool) else each for each in _KNOWN[key])
            raise UsageError(f"{path}: {key} takes {allowed}, not {value}")
    return values.get(name)


def thumbnails() -> str:
    """How pictures are shown in the terminal, by ``ARTGEN_THUMBNAILS``, else by the settings, else ``auto``.

    Raises:
        UsageError: one of them has a value that is none of ours.
    """
    chosen = os.environ.get("ARTGEN_THUMBNAILS", "").lower()
    if chosen and chosen not in THUMBNAILS:
        raise UsageError(f"ARTGEN_THUMBNAILS takes {', '.join(THUMBNAILS)}, not {chosen}")
    return chosen or setting("thumbnails") or "auto"
