"""Real-time scheduling and locked memory, if the system grants them; optional, and reported."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

if sys.platform != "win32":
    import resource

RUN_NS = 40_000_000
"""Maximum run of a thread without a wait before it rests: well below the limits of desktops, 200 ms."""

REST_SHARE = 0.1
"""Length of a rest as a share of the run, so that other threads on the core continue, if slowly."""

_WAITED_NS = 50_000  # a faster return means that it did not wait

LOCK_ROOM = 1 << 30
"""Bytes by which a process with locked memory may grow: mostly stacks and arenas of its threads."""

_NEAR = 64 << 20  # bytes; a size this close to a limit may be below it a moment later


def raise_thread_priority(priority: int) -> bool:
    """Request real-time scheduling of the calling thread (POSIX SCHED_FIFO, Windows time-critical)."""
    if sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
        kernel32.GetCurrentThread.restype = ctypes.c_void_p
        return bool(kernel32.SetThreadPriority(ctypes.c_void_p(kernel32.GetCurrentThread()), 15))
    if hasattr(os, "sched_setscheduler"):
        if not prepare():
            return False
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except OSError:
            return False
        return True
    libc = ctypes.CDLL(None)  # macOS: Python does not wrap pthread_setschedparam
    parameters = (ctypes.c_int * 2)(priority, 0)
    libc.pthread_self.restype = ctypes.c_void_p
    sched_fifo = 4
    return libc.pthread_setschedparam(ctypes.c_void_p(libc.pthread_self()), sched_fifo, parameters) == 0


def prepare() -> bool:
    """Arrange that a thread over its real-time limit does not end its process; return whether that works.

    On a system with such a limit this compiles code: call it before the first thread gets priority.
    """
    if not hasattr(resource, "RLIMIT_RTTIME"):
        return True
    if all(limit == resource.RLIM_INFINITY for limit in resource.getrlimit(resource.RLIMIT_RTTIME)):
        return True
    from rtsep.realtime import time_limit  # compiles, so it is imported only if it is used

    return time_limit.survive()


def is_real_time(thread: int) -> bool:
    """Return whether a thread (by its system id) or a process still has real-time priority.

    True if the system does not report it.
    """
    if not hasattr(os, "sched_getscheduler"):
        return True
    try:
        policy = os.sched_getscheduler(thread) & ~getattr(os, "SCHED_RESET_ON_FORK", 0)
    except OSError:  # it has ended
        return False
    return policy in (os.SCHED_FIFO, os.SCHED_RR)


class Rests:
    """Makes a thread that never runs out of work rest at intervals. For one thread."""

    def __init__(self) -> None:
        self._rested = time.monotonic_ns()

    def after_wait(self, since_ns: int) -> None:
        """Record a wait that began at `since_ns` (monotonic); rest if the last wait is too long ago."""
        now = time.monotonic_ns()
        if now - since_ns >= _WAITED_NS:
            self._rested = now
        elif now - self._rested >= RUN_NS:
            time.sleep((now - self._rested) * REST_SHARE * 1e-9)
            self._rested = time.monotonic_ns()


def lock_memory() -> bool:
    """Lock the pages of this process in memory (mlockall); return whether that worked.

    Future pages are included only without a limit: with one, an allocation beyond it would fail. If the limit
    does not cover everything, nothing is locked.
    """
    if sys.platform != "linux":
        return False
    mcl_current, mcl_future, mcl_onfault = 1, 2, 4
    # lock touched pages only: reserved address space (torch) costs no memory
    flags = mcl_current | mcl_onfault
    limit, size = _lock_limit(), _size()
    # Below the process's size only a privileged process succeeds, and limits do not apply to it.
    if limit is None or limit + _NEAR < size:
        flags |= mcl_future
    elif limit < size + LOCK_ROOM:
        return False
    return ctypes.CDLL(None).mlockall(flags) == 0


def _lock_limit() -> int | None:
    """Return the bytes that may be locked, after raising the limit as far as possible; None: no limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else hard


def _size() -> int:
    """Return the bytes of all mappings of this process."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
