"""Measurement of the timing of a device's calls; automatic slack is based on it.

A sound server between the driver and rtsep can call several times in a row and then pause. The first of such
calls come early: each of them needs a block that a device with even calls would need later. Slack covers
this.

Each call gives a time at which frame 0 would have been due. The spread of these times within a window is the
maximum by which calls come early. One late call affects only one window, so readers take the median of
several. A window during which the whole process stood still, as in a suspended machine, starts again.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rtsep.realtime.atomics import acquire, store_release
from rtsep.realtime.stops import STOP_NS

WINDOW_S = 0.1
"""Length of a window in seconds: longer than the pause between two bursts of every measured server."""

KEPT = 16
"""Number of windows that are kept."""

SKIPPED = 2
"""Windows after the start that are ignored, because servers fill their buffers then."""

COUNT, LOW, HIGH, FRAMES, SPREADS = 0, 1, 2, 3, 8
STATE_SIZE = SPREADS + KEPT


@njit(cache=True, nogil=True)
def measure_call(state: np.ndarray, at: int, base_ns: int, frames: int, rate: int) -> None:
    """Record a call of `frames` frames, which gives `base_ns` for frame 0, in the state from `at` on."""
    if base_ns - state[at + LOW] > STOP_NS:  # the whole process stood still, not only the device
        state[at + FRAMES] = 0
    if state[at + FRAMES] == 0:
        state[at + LOW] = state[at + HIGH] = base_ns
    state[at + LOW] = min(state[at + LOW], base_ns)
    state[at + HIGH] = max(state[at + HIGH], base_ns)
    state[at + FRAMES] += frames
    if state[at + FRAMES] >= WINDOW_S * rate:
        state[at + SPREADS + state[at + COUNT] % KEPT] = state[at + HIGH] - state[at + LOW]
        store_release(state, at + COUNT, state[at + COUNT] + 1)
        state[at + FRAMES] = 0


def read_spread(state: NDArray[np.int64], at: int, windows: int, share: float) -> float | None:
    """Return in seconds how early calls come, from the last `windows` windows; None if there are fewer.

    The spread of `share` of these windows is not larger.
    """
    count = int(acquire(state, at + COUNT))
    if count < SKIPPED + windows:
        return None
    spreads = sorted(int(state[at + SPREADS + k % KEPT]) for k in range(count - windows, count))
    return spreads[min(windows - 1, int(share * windows))] * 1e-9
