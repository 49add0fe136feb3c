"""Processes of a pool: Ctrl-C while they wait and work, and one that was killed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

from rtsep.errors import RtsepError


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


@contextlib.contextmanager
def all_alive() -> Iterator[None]:
    """Raise `RtsepError` with the remedy if a process of the pool in a `with` block was killed."""
    try:
        yield
    except BrokenProcessPool:
        raise RtsepError(
            "a process of --workers was killed, mostly for its memory; repeat the command with --workers 1"
        ) from None
