"""What will not fit, said before anything is loaded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from artgen.errors import ModelError, UsageError

BYTES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
"""How large a number of each format is; of those that are not here, one."""

_LARGEST_HEADER = 100_000_000  # what the safetensors library allows itself


def numbers(paths: Iterable[Path]) -> dict[str, int]:
    """How many numbers of each format (``F32``, ``BF16`` …) the safetensors files hold, from their headers alone.

    Raises:
        ModelError: a file is damaged.
    """
    counts: dict[str, int] = {}
    for path in paths:
        for name, facts in _header(path).items():
            if name == "__metadata__":
                continue
            count = 1
            for edge in facts["shape"]:
                count *= edge
            counts[facts["dtype"]] = counts.get(facts["dtype"], 0) + count
    return counts


def loaded_bytes(paths: Iterable[Path], bytes_each: int | None = None) -> int:
    """The memory that the weights take once loaded, in bytes; ``bytes_each`` is what a number is converted to.

    Raises:
        ModelError: a file is damaged.
    """
    return sum(
        count * (bytes_each if bytes_each and kind.startswith(("F", "BF")) else BYTES.get(kind, 1))
        for kind, count in numbers(paths).items()
    )


def free_memory(device: str = "cpu") -> int:
    """The memory that ``device`` (``cpu``, ``cuda:0``, ``mps``) has free now, in bytes."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in _CONTAINER:
        most, now = _number(limit), _number(used)
        if most is not None and now is not None:
            free = min(free, max(0, most - now))
    return free


def require_memory(needed: int, device: str, what: str, advice: str) -> None:
    """Go on only where ``needed`` bytes for ``what`` fit into the free memory of ``device``; ``advice`` is what to do else.

    Raises:
        UsageError: they do not.
    """
    free = free_memory(device)
    if needed > free:
        raise UsageError(f"{what} needs {gigabytes(needed)} on {device}, and {gigabytes(free)} are free; {advice}")


def gigabytes(count: int) -> str:
    """``3.4 GB``, ``0.02 GB``."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e9:.2g} GB"


# A container may have less than the machine: version 2 and 1 of control groups.
_CONTAINER = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def _number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return None


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(_LARGEST_HEADER, os.fstat(file.fileno()).st_size):
                raise ValueError("its header is cut off")
            found = json.loads(file.read(length))
            last = max((facts["data_offsets"][1] for name, facts in found.items() if name != "__metadata__"), default=0)
            if 8 + length + last > os.fstat(file.fileno()).st_size:
                raise ValueError("its end is missing")
            return dict(found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: damaged ({error}); fetch or restore the file") from None
