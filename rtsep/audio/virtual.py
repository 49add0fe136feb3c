"""A device that is not there: a clock that calls the audio callback's functions and drops what it gets.

Lets the main job run on a machine without a sound device, at the pace of one.
"""

from __future__ import annotations

import threading

import numpy as np
from numba import njit

from rtsep.audio import desk as desks
from rtsep.audio.desk import hear, play, plays_a_file
from rtsep.realtime import clock
from rtsep.realtime.atomics import load_acquire
from rtsep.realtime.priority import raise_thread_priority

PRIORITY = 70


@njit(cache=True, nogil=True)
def run_clock(
    desk: np.ndarray, running: np.ndarray, frames: int, rate: float, sink: np.ndarray, scratch: np.ndarray
) -> None:
    """Call `desk` for `frames` frames every `frames / rate` seconds until `running[0]` is cleared.

    `sink` is float32 [frames, output channels], `scratch` int64 [clock.SCRATCH]. After a late call the
    calls that are due follow at once, as with a device.
    """
    start = clock.now_ns(scratch)
    calls = 0
    while load_acquire(running, 0) == 1:
        if plays_a_file(desk):
            hear(desk, 0, frames, 0)
        play(desk, sink.ctypes.data, frames, 0)
        calls += 1
        clock.sleep_ns(start + int(calls * frames * 1e9 / rate) - clock.now_ns(scratch), scratch)


def compile_clock() -> None:
    """Compile `run_clock` (or load it from the cache) before anything depends on it."""
    desk, stopped = np.zeros(desks.SLOT_COUNT, np.int64), np.zeros(1, np.int64)
    run_clock(desk, stopped, 1, 1.0, np.zeros((1, 1), np.float32), np.zeros(clock.SCRATCH, np.int64))


class VirtualDevice:
    """Output side (and pace of a played file) without hardware. `rate` may differ a little from nominal."""

    name = "virtual device"

    def __init__(self, desk: np.ndarray, channels: int, frames: int, rate: float) -> None:
        self._running = np.ones(1, np.int64)
        sink, scratch = np.zeros((frames, channels), np.float32), np.zeros(clock.SCRATCH, np.int64)

        def run() -> None:
            raise_thread_priority(PRIORITY)
            run_clock(desk, self._running, frames, float(rate), sink, scratch)

        self._thread = threading.Thread(target=run, name="virtual-device", daemon=True)

    def start(self) -> None:
        """Start the clock."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the clock and wait for it."""
        self._running[0] = 0
        self._thread.join()
