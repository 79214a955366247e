"""Work on many sources with all cores, with the results in the order of the sources."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from artgen.errors import ArtgenError
from artgen.media.archives import Reader

ALONE = 0.5
"""Seconds of work done in this process before others are started, because starting them takes about as long."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

SourceT = TypeVar("SourceT", contravariant=True)
OptionsT = TypeVar("OptionsT", contravariant=True)
ResultT = TypeVar("ResultT", covariant=True)
Given = TypeVar("Given")
Result = TypeVar("Result")
Settings = TypeVar("Settings")


class Work(Protocol[SourceT, OptionsT, ResultT]):
    """A function at the top of a module that turns sources into results, one each, reading archives through ``reader``.

    What a source is is its own affair, as long as it can be sent to another process.
    """

    def __call__(self, sources: Sequence[SourceT], options: OptionsT, reader: Reader) -> Sequence[ResultT]:
        """Results for ``sources``, in their order."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    work: Work[Given, Settings, Result], sources: Sequence[Given], options: Settings, *, chunk: int, workers: int | None = None
) -> Generator[Sequence[Result]]:
    """The results of ``work`` for every ``chunk`` of sources, in order; at most ``2 * workers + 1`` chunks are under way.

    ``workers`` (default: all cores) are started only when the work turns out to be long. Close the generator to end them early.

    Raises:
        ArtgenError: a worker was killed, most likely because memory ran out.
    """
    chunks = (sources[start : start + chunk] for start in range(0, len(sources), chunk))
    count = min(workers or cores(), -(-len(sources) // chunk))
    began = time.monotonic()
    with Reader() as reader:
        while count < 2 or time.monotonic() - began < ALONE:
            part = next(chunks, None)
            if part is None:
                return
            yield work(part, options, reader)
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_begin)
    waiting: deque[Future[Sequence[Result]]] = deque()
    try:
        for part in chunks:
            with _plain_start():
                waiting.append(pool.submit(_do, work, part, options))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise ArtgenError(
            "a decoding process was killed, most likely because memory ran out; the same command with --workers 1 goes on"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _plain_start() -> Iterator[None]:
    """Start processes that neither run the caller's script again nor start a thread a core for arithmetic they do not do.

    A spawned child imports the parent's ``__main__``: a script without an ``if __name__`` guard would prepare again in each.
    """
    main, before = sys.modules["__main__"], {name: os.environ.get(name) for name in _THREADS}
    sys.modules["__main__"] = types.ModuleType("__main__")
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _begin() -> None:
    # Ctrl-C reaches every process of the terminal; the parent decides when the workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def end_with_parent() -> None:
            # The queue never closes for a worker whose parent was killed: it holds the other end itself.
            parent.join()
            os._exit(1)

        threading.Thread(target=end_with_parent, daemon=True).start()


@functools.cache
def _reader() -> Reader:
    return Reader()


def _do(work: Work[Given, Settings, Result], sources: Sequence[Given], options: Settings) -> Sequence[Result]:
    return work(sources, options, _reader())
