"""The monotonic clock and a sleep on it, callable from compiled code without the GIL."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
from numba import njit, types

from rtsep.realtime.atomics import address_of, as_pointer

NS = 1_000_000_000

SCRATCH = 2
"""Number of int64 slots that a caller provides for the system call's result, to avoid allocation."""


@njit(nogil=True)
def frames_to_ns(frames: int, rate: int) -> int:
    """Return the duration of `frames` frames at `rate` Hz in ns, rounded down.

    The plain product would overflow 64 bits after 53 hours at 48 kHz; this is correct for 292 years.
    """
    return frames // rate * NS + frames % rate * NS // rate


if sys.platform == "win32":
    import llvmlite.binding

    _kernel32 = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined,unused-ignore]
    for _name in ("QueryPerformanceCounter", "QueryPerformanceFrequency", "Sleep"):
        llvmlite.binding.add_symbol(_name, ctypes.cast(getattr(_kernel32, _name), ctypes.c_void_p).value)
    # Sleep() has the resolution of the system timer: request 1 ms for the life of this process.
    ctypes.WinDLL("winmm").timeBeginPeriod(1)  # type: ignore[attr-defined,unused-ignore]

    _query_counter = types.ExternalFunction("QueryPerformanceCounter", types.int32(types.voidptr))
    _query_frequency = types.ExternalFunction("QueryPerformanceFrequency", types.int32(types.voidptr))
    _sleep_ms = types.ExternalFunction("Sleep", types.void(types.uint32))

    @njit(nogil=True)
    def now_ns(scratch: np.ndarray) -> int:
        """Return the monotonic time in ns; `scratch` int64[>= SCRATCH] belongs to the calling thread."""
        _query_counter(as_pointer(address_of(scratch, 0)))
        _query_frequency(as_pointer(address_of(scratch, 1)))
        ticks, rate = scratch[0], scratch[1]
        return frames_to_ns(ticks, rate)

    @njit(nogil=True)
    def sleep_ns(duration: int, scratch: np.ndarray) -> None:
        """Sleep for about `duration` ns."""
        if duration > 0:
            _sleep_ms(np.uint32(max(1, duration // 1_000_000)))

else:
    _CLOCK_MONOTONIC = 6 if sys.platform == "darwin" else 1
    _clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.voidptr))
    _nanosleep = types.ExternalFunction("nanosleep", types.int32(types.voidptr, types.voidptr))

    @njit(nogil=True)
    def now_ns(scratch: np.ndarray) -> int:
        """Return the monotonic time in ns; `scratch` int64[>= SCRATCH] belongs to the calling thread."""
        _clock_gettime(np.int32(_CLOCK_MONOTONIC), as_pointer(address_of(scratch, 0)))
        return scratch[0] * NS + scratch[1]

    @njit(nogil=True)
    def sleep_ns(duration: int, scratch: np.ndarray) -> None:
        """Sleep for about `duration` ns."""
        if duration > 0:
            scratch[0] = duration // NS
            scratch[1] = duration % NS
            _nanosleep(as_pointer(address_of(scratch, 0)), as_pointer(np.int64(0)))
