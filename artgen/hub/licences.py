"""What a licence of a model allows, as far as its name tells; nothing here is legal advice."""

from __future__ import annotations

import re
from pathlib import Path

from artgen.errors import UsageError

_FORBIDS = re.compile(r"(^|[-_ ])nc([-_ ]|$)|non-?commercial|research|academic|deepfloyd|apple-amlr", re.IGNORECASE)
_ALLOWS = (
    "apache-2.0", "mit", "mit-0", "bsd", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc0-1.0", "cc-by-2.0", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "wtfpl", "zlib", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0",
    "openrail", "openrail++", "creativeml-openrail-m", "bigscience-openrail-m", "bigscience-bloom-rail-1.0", "bigcode-openrail-m",
    "faipl-1.0-sd", "artistic-2.0", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "gemma", "stabilityai-ai-community",
)  # fmt: skip
"""Names, as the Hub writes them, of licences that allow commercial use, some of them under conditions."""


def commercial(licence: str) -> bool | None:
    """Whether ``licence`` allows commercial use; None where its name does not tell."""
    if _FORBIDS.search(licence):
        return False
    return True if licence.lower() in _ALLOWS else None


def sentence(licence: str) -> str:
    """One sentence for the user of a model under ``licence``."""
    if not licence:
        return "states no licence; ask its authors before you publish what it makes"
    allowed = commercial(licence)
    more = {
        True: "commercial use is allowed, under its terms",
        False: "no commercial use",
        None: "read its terms before you publish",
    }
    return f"licence {licence}; {more[allowed]}"


def require_commercial(model: str, licence: str) -> None:
    """Go on only with a licence that allows commercial use.

    Raises:
        UsageError: it forbids it, or is not known to allow it.
    """
    allowed = commercial(licence)
    if allowed is False:
        raise UsageError(
            f"{model}: its licence {licence} forbids commercial use; choose another model or leave --commercial-only out"
        )
    if allowed is None:
        told = f"its licence {licence} is not known to allow" if licence else "it states no licence, so nothing allows"
        raise UsageError(f"{model}: {told} commercial use; read its terms, then leave --commercial-only out if they do")


def of_card(path: Path) -> str:
    """The licence that a model card (``README.md``) names in its header, or nothing."""
    from huggingface_hub.repocard import metadata_load

    try:
        facts = metadata_load(path) if path.is_file() else None
    except Exception:  # the YAML of a stranger; a card that cannot be read names nothing
        return ""
    return named(facts or {})


def named(facts: object) -> str:
    """The licence that the facts of a card name: ``license``, or ``license_name`` where that is ``other``."""
    get = facts.get if hasattr(facts, "get") else lambda name: None
    licence = get("license")
    if isinstance(licence, list):
        licence = licence[0] if licence else ""
    own = get("license_name")
    return str(own if licence in ("other", None) and own else licence or "")
