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
SLOT_COUNT = SPREADS + KEPT


@njit(cache=True, nogil=True)
def measure_call(slots: np.ndarray, at: int, base_ns: int, frames: int, rate: int) -> None:
    """Record a call of `frames` frames, which gives `base_ns` for frame 0, in the slots from `at` on."""
    if base_ns - slots[at + LOW] > STOP_NS:  # the whole process stood still, not only the device
        slots[at + FRAMES] = 0
    if slots[at + FRAMES] == 0:
        slots[at + LOW] = slots[at + HIGH] = base_ns
    slots[at + LOW] = min(slots[at + LOW], base_ns)
    slots[at + HIGH] = max(slots[at + HIGH], base_ns)
    slots[at + FRAMES] += frames
    if slots[at + FRAMES] >= WINDOW_S * rate:
        slots[at + SPREADS + slots[at + COUNT] % KEPT] = slots[at + HIGH] - slots[at + LOW]
        store_release(slots, at + COUNT, slots[at + COUNT] + 1)
        slots[at + FRAMES] = 0


def read_spread(slots: NDArray[np.int64], at: int, windows: int, share: float) -> float | None:
    """Return in seconds how early calls come, from the last `windows` windows; None if there are fewer.

    The spread of `share` of these windows is not larger.
    """
    count = int(acquire(slots, at + COUNT))
    if count < SKIPPED + windows:
        return None
    spreads = sorted(int(slots[at + SPREADS + k % KEPT]) for k in range(count - windows, count))
    return spreads[min(windows - 1, int(share * windows))] * 1e-9
