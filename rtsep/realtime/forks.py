"""Forks of a program that plays: what it has belongs to the process that made it; a fork leaves it alone.

A fork has copies of all objects, but no thread except the one that forked. At its end the copies would close,
remove and stop what the other process still uses: its files, its model, its client on a JACK server.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable


class Origin:
    """The process in which this was made."""

    def __init__(self) -> None:
        self._process = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether that is this process, and no fork of it."""
        return self._process == os.getpid()


def in_forks(action: Callable[[], None]) -> None:
    """Do `action` in each fork of this process from now on, before anything else runs there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)


_kept: set[int] = set()


def keep(descriptor: int) -> None:
    """Close an open file in each fork: a lock on it would last as long as the fork does."""
    _kept.add(descriptor)


def close(descriptor: int) -> None:
    """Close what `keep` was given; in a fork, which has closed it already, do nothing."""
    if descriptor in _kept:
        _kept.discard(descriptor)
        os.close(descriptor)


def _close_all() -> None:
    for descriptor in _kept:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _kept.clear()


in_forks(_close_all)
