"""Futexes, words on which the kernel lets threads wait: some 25 us from post to running.

A word is 1 after a post; a wait takes it back to 0. The C library's semaphores use the same calls, but abort
the program if memory has a value that they never write. The model process runs a stranger's program and can
write to the words that it shares with the hop loop. Here every other value counts as a post, and an error of
the kernel only ends a wait early.
"""

from __future__ import annotations

import ctypes
import platform

import numpy as np
from numba import njit, types

from rtsep.realtime.atomics import address_of, swap_word
from rtsep.realtime.clock import NS, sleep_ns
from rtsep.realtime.wake_poll import POLL_NS

NAME = "futex"
SHARED_BYTES = 64  # a word has 4; this is a separate cache line

_FUTEX = {
    "x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98, "ppc64le": 221, "s390x": 238,
}.get(platform.machine(), 0)  # fmt: skip
"""Number of the system call; 0: unknown on this processor, where every handle is 0."""

_WAIT, _WAKE = 0, 1

_syscall = types.ExternalFunction(
    "syscall", types.int64(types.int64, types.int64, types.int64, types.int64, types.int64)
)


@njit(nogil=True)
def post(handle: int) -> None:
    """Wake the waiter. Never blocks."""
    if handle != 0:
        swap_word(handle, np.int32(1))
        _syscall(_FUTEX, handle, _WAKE, 1, 0)


@njit(nogil=True)
def wait(handle: int, timeout_ns: int, scratch: np.ndarray) -> None:
    """Wait for a post, at most `timeout_ns`; further posts that are pending are taken at once.

    The kernel measures a duration by its monotonic clock: setting the time of day changes no wait.
    """
    if handle == 0:
        sleep_ns(min(timeout_ns, POLL_NS), scratch)
    elif swap_word(handle, np.int32(0)) == 0:
        scratch[0] = timeout_ns // NS
        scratch[1] = timeout_ns % NS
        _syscall(_FUTEX, handle, _WAIT, 0, address_of(scratch, 0))  # returns at once if it is no longer 0
        swap_word(handle, np.int32(0))


class Semaphore:
    """Word at `address` (64 bytes of memory that outlives it, 0 at first), by default in its own memory."""

    def __init__(self, address: int | None = None, name: str = "", create: bool = True) -> None:
        self._memory = ctypes.create_string_buffer(SHARED_BYTES) if address is None else None
        at = ctypes.addressof(self._memory) if self._memory is not None else int(address or 0)
        self.handle = at if _FUTEX else 0

    def close(self) -> None:
        """Do nothing: the word is only memory."""
