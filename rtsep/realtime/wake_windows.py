"""Windows: kernel semaphores, with names if they are shared between processes."""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding
import numpy as np
from numba import njit, types

from rtsep.realtime.atomics import as_pointer
from rtsep.realtime.clock import sleep_ns  # that module requests 1 ms timers
from rtsep.realtime.wake_poll import POLL_NS

NAME = "kernel semaphore"
SHARED_BYTES = 64

_MAX_TAKEN = 64  # posts after a wait: a model process may post without end

_kernel32: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
for _name in ("ReleaseSemaphore", "WaitForSingleObject"):
    llvmlite.binding.add_symbol(_name, ctypes.cast(getattr(_kernel32, _name), ctypes.c_void_p).value)

_release = types.ExternalFunction("ReleaseSemaphore", types.int32(types.voidptr, types.int32, types.voidptr))
_wait = types.ExternalFunction("WaitForSingleObject", types.uint32(types.voidptr, types.uint32))


@njit(nogil=True)
def post(handle: int) -> None:
    """Wake the waiter. Never blocks."""
    if handle != 0:
        _release(as_pointer(handle), np.int32(1), as_pointer(np.int64(0)))


@njit(nogil=True)
def wait(handle: int, timeout_ns: int, scratch: np.ndarray) -> None:
    """Wait for a post, at most `timeout_ns` (whole ms); further posts that are pending are taken at once."""
    if handle == 0:
        sleep_ns(min(timeout_ns, POLL_NS), scratch)
        return
    if _wait(as_pointer(handle), np.uint32(max(1, timeout_ns // 1_000_000))) == 0:
        for _ in range(_MAX_TAKEN):
            if _wait(as_pointer(handle), np.uint32(0)) != 0:
                return


class Semaphore:
    """Kernel semaphore; with a `name` another process opens the same one (create=False)."""

    def __init__(self, address: int | None = None, name: str = "", create: bool = True) -> None:
        _kernel32.CreateSemaphoreW.restype = ctypes.c_void_p
        label = ctypes.c_wchar_p(f"Local\\{name}") if name else None
        self.handle = int(_kernel32.CreateSemaphoreW(None, 0, 0x7FFFFFFF, label) or 0)
        if not self.handle:
            raise ctypes.WinError(ctypes.get_last_error())  # type: ignore[attr-defined,unused-ignore]

    def close(self) -> None:
        """Close the handle."""
        if self.handle:
            _kernel32.CloseHandle(ctypes.c_void_p(self.handle))
            self.handle = 0
