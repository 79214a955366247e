"""What a step frees, the next one takes again: the allocator should not hand it back to the system in between.

glibc gives the top of its heap back whenever more than twice its largest block was freed; every step then waits for thousands of
pages that the system clears anew. Keeping them trains pictures and clips on a CPU 5 to 10 percent faster (docs/log.md).
"""

from __future__ import annotations

import ctypes
import sys

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt, malloc.h

LARGE = 32 << 20
"""Bytes from which a block is mapped by itself and given back at once: the largest that glibc would come to by itself."""

KEPT = 256 << 20
"""Free bytes at the top of the heap that stay with the process."""


def keep_freed() -> bool:
    """Keep freed memory for the rest of the process; returns whether the allocator can be told (glibc on Linux)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(
        mallopt(name, size) == 1 for name, size in ((_MMAP_THRESHOLD, LARGE), (_TRIM_THRESHOLD, KEPT))
    )
