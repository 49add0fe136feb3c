"""Forks of a playing program: resources belong to the process that made them; a fork does not touch them.

A fork has copies of all objects, but only the thread that forked. At its end the copies would close, remove
and stop resources that the other process still uses: its files, its model, its client on a JACK server.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable


class Origin:
    """Process in which the object was created."""

    def __init__(self) -> None:
        self._process = os.getpid()

    @property
    def is_here(self) -> bool:
        """Return whether this is that process, not a fork of it."""
        return self._process == os.getpid()


def in_forks(action: Callable[[], None]) -> None:
    """Run `action` in each fork of this process from now on, before any other code there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=action)


_kept: set[int] = set()


def keep(descriptor: int) -> None:
    """Close an open file in each fork: a lock on it would otherwise last as long as the fork."""
    _kept.add(descriptor)


def close(descriptor: int) -> None:
    """Close a descriptor given to `keep`; in a fork, which has already closed it, do nothing."""
    if descriptor in _kept:
        _kept.discard(descriptor)
        os.close(descriptor)


def _close_all() -> None:
    for descriptor in _kept:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _kept.clear()


in_forks(_close_all)
