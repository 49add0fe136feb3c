"""Locks on open files: each says that what the file stands for is in use.

The system takes a lock back when its owner ends, in whatever way. So a file without a lock is the orphan of a
process that was killed. A process number could not say this: another container may use the same one.
"""

from __future__ import annotations

import sys

from rtsep.realtime import forks

if sys.platform != "win32":
    import fcntl


def take(descriptor: int) -> bool:
    """Lock an open file; return whether nobody else has locked it. It waits for nobody.

    Windows has no such locks: there it is always free. Raises `OSError` on a file system that has none.
    """
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def keep(descriptor: int) -> None:
    """Hold a lock until `release`. Forks close the file, because a lock lasts as long as any copy of it."""
    forks.keep(descriptor)


def release(descriptor: int) -> None:
    """Close the file; its lock ends."""
    forks.close(descriptor)
