"""Locks on open files: a lock marks its file as in use.

The system releases a lock when its owner ends, however that happens. Therefore a file without a lock was left
by a killed process. A process id cannot show this, because another container may use the same one.
"""

from __future__ import annotations

import sys

from rtsep.realtime import forks

if sys.platform != "win32":
    import fcntl


def take(descriptor: int) -> bool:
    """Lock an open file without waiting; return whether that worked.

    Windows has no such locks: there it always works. Raise `OSError` on a file system without locks.
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
