"""POSIX semaphores (futexes): 11 ns to post without a waiter, some 25 us from post to running."""

from __future__ import annotations

import ctypes
import errno

import numpy as np
from numba import njit, types

from rtsep.realtime.atomics import address_of, as_pointer
from rtsep.realtime.clock import NS, now_ns, sleep_ns
from rtsep.realtime.wake_poll import POLL_NS

NAME = "sem_t"
SHARED_BYTES = 64  # sizeof(sem_t) is 32; this is a separate cache line

_sem_post = types.ExternalFunction("sem_post", types.int32(types.voidptr))
_sem_trywait = types.ExternalFunction("sem_trywait", types.int32(types.voidptr))

# With the time of day, a wait for a missing mask would last an hour longer if the clock is set back by one.
# glibc 2.30 and later support waits on the monotonic clock.
_BY_MONOTONIC_CLOCK = hasattr(ctypes.CDLL(None), "sem_clockwait")

if _BY_MONOTONIC_CLOCK:
    _CLOCK_MONOTONIC = 1
    _sem_clockwait = types.ExternalFunction(
        "sem_clockwait", types.int32(types.voidptr, types.int32, types.voidptr)
    )
    _now_ns = now_ns

    @njit(nogil=True)
    def _wait_until(handle: int, until: int) -> int:
        """Return 0 for a post; `until` is a pointer to a timespec on the clock of `_now_ns`."""
        return _sem_clockwait(handle, np.int32(_CLOCK_MONOTONIC), until)

else:
    _CLOCK_REALTIME = 0
    _sem_timedwait = types.ExternalFunction("sem_timedwait", types.int32(types.voidptr, types.voidptr))
    _clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))

    @njit(nogil=True)
    def _now_ns(scratch: np.ndarray) -> int:
        """Return the time of day in ns."""
        _clock_gettime(np.int32(_CLOCK_REALTIME), as_pointer(address_of(scratch, 0)))
        return scratch[0] * NS + scratch[1]

    @njit(nogil=True)
    def _wait_until(handle: int, until: int) -> int:
        """Return 0 for a post; `until` is a pointer to a timespec on the clock of `_now_ns`."""
        return _sem_timedwait(handle, until)


@njit(nogil=True)
def post(handle: int) -> None:
    """Wake the waiter. Never blocks."""
    if handle != 0:
        _sem_post(as_pointer(handle))


@njit(nogil=True)
def wait(handle: int, timeout_ns: int, scratch: np.ndarray) -> None:
    """Wait for a post, at most `timeout_ns`; further posts that are pending are taken at once."""
    if handle == 0:
        sleep_ns(min(timeout_ns, POLL_NS), scratch)
        return
    until = _now_ns(scratch) + timeout_ns
    scratch[0] = until // NS
    scratch[1] = until % NS
    if _wait_until(as_pointer(handle), as_pointer(address_of(scratch, 0))) == 0:
        while _sem_trywait(as_pointer(handle)) == 0:
            pass


class Semaphore:
    """Semaphore (sem_t) at `address` (64 bytes of memory that outlives it), by default in its own memory."""

    def __init__(self, address: int | None = None, name: str = "", create: bool = True) -> None:
        self._memory = ctypes.create_string_buffer(SHARED_BYTES) if address is None else None
        self.handle = ctypes.addressof(self._memory) if self._memory is not None else int(address or 0)
        if create:
            libc = ctypes.CDLL(None, use_errno=True)
            shared = address is not None
            if libc.sem_init(ctypes.c_void_p(self.handle), int(shared), 0) != 0:
                raise OSError(ctypes.get_errno(), f"sem_init: {errno.errorcode.get(ctypes.get_errno(), '?')}")

    def close(self) -> None:
        """Do nothing: the semaphore is only memory."""
