"""macOS: Grand Central Dispatch semaphores between threads; short polls between processes.

macOS has no unnamed or timed POSIX semaphores, and dispatch semaphores do not cross processes. The
`handle` of a shared semaphore is therefore 0, which means: poll.
"""

from __future__ import annotations

import ctypes

import numpy as np
from numba import njit, types

from rtsep.realtime.atomics import as_pointer
from rtsep.realtime.clock import sleep_ns

NAME = "dispatch semaphore"
SHARED_BYTES = 64

_POLL_NS = 250_000
_MAX_TAKEN = 64  # posts after a wait: another thread may post without end
_DISPATCH_TIME_NOW = 0
_dispatch_time = types.ExternalFunction("dispatch_time", types.uint64(types.uint64, types.int64))
_signal = types.ExternalFunction("dispatch_semaphore_signal", types.int64(types.voidptr))
_wait = types.ExternalFunction("dispatch_semaphore_wait", types.int64(types.voidptr, types.uint64))


@njit(nogil=True)
def post(handle: int) -> None:
    """Wake the waiter. Never blocks."""
    if handle != 0:
        _signal(as_pointer(handle))


@njit(nogil=True)
def wait(handle: int, timeout_ns: int, scratch: np.ndarray) -> None:
    """Wait for a post, at most `timeout_ns`; further posts that are pending are taken at once."""
    if handle == 0:
        sleep_ns(min(timeout_ns, _POLL_NS), scratch)
        return
    until = _dispatch_time(np.uint64(_DISPATCH_TIME_NOW), timeout_ns)
    if _wait(as_pointer(handle), until) == 0:
        for _ in range(_MAX_TAKEN):
            if _wait(as_pointer(handle), np.uint64(_DISPATCH_TIME_NOW)) != 0:
                return


class Semaphore:
    """Dispatch semaphore of this process; with an `address` (shared memory) it polls."""

    def __init__(self, address: int | None = None, name: str = "", create: bool = True) -> None:
        self.handle = 0
        if address is None:
            libc = ctypes.CDLL(None)
            libc.dispatch_semaphore_create.restype = ctypes.c_void_p
            libc.dispatch_semaphore_create.argtypes = [ctypes.c_long]
            self.handle = int(libc.dispatch_semaphore_create(0) or 0)

    def close(self) -> None:
        """Release the semaphore; no thread may wait on it any more."""
        if self.handle:
            libc = ctypes.CDLL(None)
            libc.dispatch_release.argtypes = [ctypes.c_void_p]
            libc.dispatch_release(self.handle)
            self.handle = 0
