"""Real-time scheduling and locked memory, where the system grants them; said, not required."""

from __future__ import annotations

import ctypes
import os
import sys


def raise_thread_priority(priority: int) -> bool:
    """Ask for real-time scheduling of the calling thread (POSIX SCHED_FIFO, Windows time-critical)."""
    if sys.platform == "win32":
        kernel32 = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
        kernel32.GetCurrentThread.restype = ctypes.c_void_p
        return bool(kernel32.SetThreadPriority(ctypes.c_void_p(kernel32.GetCurrentThread()), 15))
    if hasattr(os, "sched_setscheduler"):
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


def lock_memory() -> bool:
    """Keep the pages of this process in memory, present and future ones (mlockall)."""
    if sys.platform != "linux":
        return False
    mcl_current, mcl_future, mcl_onfault = 1, 2, 4
    # ONFAULT: lock what is touched, so that reserving address space (torch does) costs no memory.
    return ctypes.CDLL(None).mlockall(mcl_current | mcl_future | mcl_onfault) == 0
