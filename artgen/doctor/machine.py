"""Is there room, memory and a fitting number of threads? Each is tried: a file is written, a product is computed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from artgen.doctor.finding import Finding
from artgen.files import cache_folder

_SMALL_DISK, _SMALL_MEMORY = 2e9, 1.5e9


def check_disk() -> Iterator[Finding]:
    """The free space where works, runs and caches go, and how fast a file gets onto the disk."""
    places = {"here": Path(), "cache": _there(cache_folder()), "temporary files": Path(tempfile.gettempdir())}
    for name, place in places.items():
        free = shutil.disk_usage(place).free
        where = f"{name} ({place.resolve()})"
        facts = {"path": str(place.resolve()), "free": free}
        try:
            speed = _writing(place)
        except OSError as error:
            yield Finding("disk", "problem", f"{where}: cannot be written ({error.strerror or error})", _elsewhere(name, place))
            continue
        facts |= {"bytes_per_second": round(speed)}
        told = f"{where}: {free / 1e9:.1f} GB free, written and flushed at {speed / 1e6:.0f} MB/s"
        if free < _SMALL_DISK:
            yield Finding("disk", "problem", f"{told}; a training may need 2 GB", f"du -sh '{place.resolve()}'/* | sort -h", facts)
        else:
            yield Finding("disk", "good", told, facts=facts)


def check_memory() -> Iterator[Finding]:
    """The memory that programs can have now."""
    available, total = memory()
    told = f"{available / 1e9:.1f} of {total / 1e9:.1f} GB are available"
    facts = {"available": available, "total": total}
    if available < _SMALL_MEMORY:
        remedy = "artgen image train SOURCE --preset sketch --micro-batch 4"
        yield Finding("memory", "problem", f"{told}: close other programs, or train in small pieces", remedy, facts)
    else:
        yield Finding("memory", "good", told, facts=facts)


def check_threads() -> Iterator[Finding]:
    """Whether torch uses the cores that this process may have, measured on a product of matrices."""
    import torch

    threads, cores = torch.get_num_threads(), usable_cores()
    alone, together = (_product(count) for count in (1, threads))
    torch.set_num_threads(threads)
    gain = alone / together
    facts = {"threads": threads, "cores": cores, "gain": round(gain, 2)}
    told = f"{threads} threads on {cores} cores, {gain:.1f} times as fast as one"
    if threads > cores:
        yield Finding(
            "threads", "problem", f"{told}: more threads than cores wait for one another", f"export OMP_NUM_THREADS={cores}", facts
        )
    elif threads < cores and "OMP_NUM_THREADS" in os.environ:
        told = f"{told}; OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']} keeps the others idle"
        yield Finding("threads", "note", told, "unset OMP_NUM_THREADS", facts)
    else:
        yield Finding("threads", "good", told, facts=facts)


def memory() -> tuple[int, int]:
    """The available and the whole memory in bytes, within the limit of a container."""
    import psutil

    found = psutil.virtual_memory()
    available, total = int(found.available), int(found.total)
    limit = _number(Path("/sys/fs/cgroup/memory.max"))
    if limit is not None and limit < total:
        used = _number(Path("/sys/fs/cgroup/memory.current")) or 0
        available, total = min(available, max(0, limit - used)), limit
    return available, total


def usable_cores() -> int:
    """The cores that this process may use: those it is bound to, within the share of a container."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, _, period = Path("/sys/fs/cgroup/cpu.max").read_text().strip().partition(" ")
        return max(1, min(bound, -(-int(quota) // int(period))))
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return bound


def _product(threads: int) -> float:
    import torch

    torch.set_num_threads(threads)
    square = torch.ones(384, 384)
    square @ square
    times = []
    for _ in range(5):
        started = time.perf_counter()
        square @ square
        times.append(time.perf_counter() - started)
    return min(times)


def _writing(place: Path) -> float:
    """Bytes a second at which a file gets onto the disk."""
    data = os.urandom(2**20) * 8
    with tempfile.NamedTemporaryFile(dir=place, prefix=".artgen-doctor-") as file:
        started = time.perf_counter()
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return len(data) / (time.perf_counter() - started)


def _elsewhere(name: str, place: Path) -> str:
    if name == "cache":
        return "export ARTGEN_HOME=$HOME/artgen-cache"
    return "export TMPDIR=$HOME/tmp && mkdir -p $HOME/tmp" if name == "temporary files" else "cd ~"


def _there(place: Path) -> Path:
    """The nearest folder that exists."""
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
