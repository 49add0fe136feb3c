"""Processes that share the work of a score: Ctrl-C while they wait and work, and one that is killed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")

KILLED = (
    "a process of --workers was killed, mostly for its memory; the rest is done by one process "
    "(next time: --workers 1, or fewer)"
)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C in this process: while it waits for work, it would print a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end the work of a `with` block in a process that ignores it else."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        ignore_interrupts()


class Workers:
    """A pool of processes. If one of them is killed, the calling process does the rest of the work."""

    def __init__(self, pool: Executor) -> None:
        self._pool: Executor | None = pool

    def map(
        self, there: Callable[[Item], Result], here: Callable[[Item], Result], items: Sequence[Item]
    ) -> Iterator[Result]:
        """Yield `there(item)`, made by a process of the pool, for each item in order.

        `here` makes the same result in the calling process, for the items that a broken pool leaves.
        """
        done = 0
        if self._pool is not None:
            try:
                for result in self._pool.map(there, items):
                    yield result
                    done += 1
            except BrokenProcessPool:
                self._pool = None
                tqdm.write(KILLED, file=sys.stderr)
        if self._pool is None:
            yield from map(here, items[done:])


@contextlib.contextmanager
def open_workers(count: int, start: Callable[..., None], given: tuple[Any, ...]) -> Iterator[Workers]:
    """Start `count` processes for a `with` block; each calls `start(*given)` first."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    with one_thread_each(), ProcessPoolExecutor(count, context, start, given) as pool:
        yield Workers(pool)


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """Limit the linear algebra of new processes to one thread each, so that they share the cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
